r"""Samples that are sums of processes, such as QCD in slices of p̂_T beside W, Z and top: each by its cross-section.

Of the process p with the cross-section σ_p, of which events of weight w were tried with the sum S_p, an event counts

    w' = w σ_p / S_p,      so that over the events of the sample      Σ w' = Σ_p σ_p A_p,

A_p = Σ_{kept of p} w / S_p its acceptance. The sum has the cross-section σ = Σ σ_p and the acceptance Σ σ_p A_p / σ,
whose product is the accepted cross-section, and the rate at a luminosity is the sum of those of its processes. S_p is

    files         what is given as ``sum_weights``, or Σ w of all entries that were read
    generated     that of the generation, which A_p, counted there, and Σ w of the kept events give

A cross-section that is given of a card is that of all its events, those given up early
(:mod:`hepad.samples.simulation.veto`) too; one that the generation finds is that of the others, as their acceptance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hepad.errors import InputError
from hepad.events import Events, acceptance_of
from hepad.events.identifiers import event_id
from hepad.samples.metadata import PER_CHUNK, common, merge_chunks
from hepad.storage.table import Table

PROCESS = "process"  # in ``truth``: the number of the process, in the order of ``meta['processes']``


class Process(NamedTuple):
    """A process as the configuration declares it, and how many consecutive chunks of the sample are its."""

    name: str
    chunks: int
    cross_section_pb: float | None = None
    sum_weights: float | None = None


def of_process(events: Iterator[Events], number: int) -> Iterator[Events]:
    """Events of one process in blocks, with its number as ``truth`` and identifiers that no other process has.

    Files of two processes often count their events from the same number. Those of the first process stay as they are.
    """
    for block in events:
        block.meta["columns"]["truth"][PROCESS] = np.dtype(np.float32).str
        n = len(block)
        truth = block.truth | {PROCESS: np.full(n, number, np.float32)}
        ids = {name: getattr(block, name) for name in ("event_id", "row_id")}
        if number:
            ids = {name: event_id(np.full(n, number), np.zeros(n, int), values) for name, values in ids.items()}
        yield replace(block, truth=truth, **ids)


def merge_processes(
    tables: Sequence[Table], left_out: Sequence[np.ndarray], processes: Sequence[Process]
) -> tuple[dict, list[float]]:
    """The ``meta`` of a sum of processes, and for every chunk what its weights are multiplied by.

    Parameters
    ----------
    tables: of the events of the chunks, process by process
    left_out: of each the numbers of the rows that the sample does not have
    processes: in the order of the chunks

    Returns
    -------
    meta: what the processes share, ``cross_section_pb`` and ``acceptance`` of the sum, and in ``processes`` of each
        cross_section_pb, acceptance, sum_weights (S_p), events, effective (their (Σ w)² / Σ w²) and files
    factors: σ_p / S_p, in pb

    Raises
    ------
    InputError: a process has no cross-section, or its weights sum to nothing or less
    """
    name, metas, factors, found, first = tables[0].meta["name"], [], [], {}, 0
    for process in processes:
        chunks = slice(first, first + process.chunks)
        first = chunks.stop
        meta = merge_chunks([table.meta for table in tables[chunks]])
        sums = np.sum([_sums(*pair) for pair in zip(tables[chunks], left_out[chunks], strict=True)], axis=0)
        where = f"samples.{name}.source.processes.{process.name}"
        found[process.name] = _normalised(where, process, meta, *sums.tolist())
        factors += [found[process.name]["cross_section_pb"] / found[process.name]["sum_weights"]] * process.chunks
        metas.append(meta | {"present": sorted({*meta["present"], "weight"})})  # all have weights now
    sigma = sum(of["cross_section_pb"] for of in found.values())
    accepted = sum(of["cross_section_pb"] * of["acceptance"] for of in found.values())
    agreed = {
        key: value
        for key, value in metas[0].items()
        if key not in (*PER_CHUNK, "sum_weights_read") and all(meta.get(key) == value for meta in metas)
    }
    counts = {path: count for meta in metas for path, count in meta["counts"].items()}
    return agreed | common(name, metas) | {
        "name": name, "counts": counts, "rate": {"kind": "cross_section"}, "cross_section_pb": sigma,
        "acceptance": accepted / sigma, "processes": found,
    }, factors  # fmt: skip


def _sums(table: Table, left_out: np.ndarray) -> tuple[float, float, int]:
    """Σ w, Σ w² and number of the events of a chunk, of which several rows may be one."""
    columns = table.read(["event_id", "weight"])
    ids, weights = (np.delete(columns[key], left_out) for key in ("event_id", "weight"))
    weights = weights[np.unique(ids, return_index=True)[1]]
    return float(weights.sum()), float(weights @ weights), len(weights)


def _normalised(where: str, process: Process, meta: dict, kept: float, squares: float, events: float) -> dict:
    """Cross-section, S_p and acceptance of a process of which events of the weights ``kept`` are in the sample."""
    sigma = process.cross_section_pb or meta.get("cross_section_pb")
    if sigma is None:
        raise InputError(f"{where}: its files do not say what its cross-section is. Add 'cross_section_pb'.")
    acceptance = acceptance_of(meta, bool(process.cross_section_pb))
    if process.sum_weights is None and acceptance and kept > 0:
        tried = kept / acceptance
    else:
        tried = process.sum_weights or meta["sum_weights_read"]
    if tried <= 0 or (events and kept <= 0):
        raise InputError(
            f"{where}: the weights of its events sum to {min(tried, kept):.6g}, but its rate needs a sum above 0. "
            "Check its files, or give 'sum_weights'."
        )
    if process.sum_weights and kept > tried * (1 + 1e-9):
        raise InputError(
            f"{where}.sum_weights: {tried:.6g} is less than the weights of its {events:.0f} events that pass, which "
            f"sum to {kept:.6g}. Give the sum over all events that were generated."
        )
    return {
        "cross_section_pb": sigma, "acceptance": kept / tried, "sum_weights": tried, "events": int(events),
        "effective": kept**2 / squares if squares else 0.0, "files": list(meta["counts"]),
    }  # fmt: skip
