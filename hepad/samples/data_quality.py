"""Tables of the events read and refused, and a check that a background and its signals may be compared.

Two samples are not comparable, whatever a detector makes of them, if their jets were clustered with different radii, if
their beams had different energies, or if they share events.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hepad.errors import InputError
from hepad.events import MEASURES, SPLITS, Events
from hepad.events.identifiers import content_id, jets_of
from hepad.events.observables import measure
from hepad.storage.files import write_rows

SAME = {"jet_radius": "the radius of their jets", "sqrt_s_tev": "the energy of the collisions [TeV]"}
MAX_SHARED = 0.01
SHOWN = (
    "jet_pt", "jet_eta", "jet_phi", "jet_mass", "multiplicity", "constituents_pt_share", "met", "n_jets", "n_electrons",
    "n_muons", "n_photons", "n_taus", "weight", *MEASURES,
)  # fmt: skip
COLUMNS = ("sample", "file", "what", "count", "fraction")


def first_events(files: dict[str, str | Path], count: int) -> dict[str, Events]:
    """The first ``count`` events in the file of each sample."""
    return {name: Events.read(path, slice(count)) for name, path in files.items()}


def shared_quantities(samples: dict[str, Events]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Labels of the D observables that all samples have, and their values, (N, D) by sample."""
    tables = {name: measure(events, SHOWN) for name, events in samples.items()}
    columns = tuple(name for name in next(iter(tables.values())) if all(name in table for table in tables.values()))
    return columns, {name: np.stack([table[column] for column in columns], axis=1) for name, table in tables.items()}


def check_comparable(samples: dict[str, Events]) -> None:
    """InputError if the samples, the background first, differ in what no detector should see, or share events.

    What a sample does not tell is not compared.
    """
    background, *signals = samples
    for signal in signals:
        for key, item in SAME.items():
            values = [samples[name].meta.get(key) for name in (background, signal)]
            if None not in values and values[0] != values[1]:
                raise InputError(
                    f"background '{background}' ({values[0]}) and signal '{signal}' ({values[1]}) differ in {item}: "
                    "their scores would differ by that alone. Use samples that agree, or set 'any_window: true' in the "
                    "task to compare them all the same."
                )
        ids = [content_id(_objects(samples[name])) for name in (background, signal)]
        shared = np.isin(ids[1], ids[0]).mean() if len(ids[1]) else 0
        if shared > MAX_SHARED:
            raise InputError(
                f"{shared:.1%} of the events of signal '{signal}' are in background '{background}', too. Check their "
                "'files'."
            )


def _objects(events: Events) -> np.ndarray:
    """(M, K, 4) of the events that have any: two crossings without objects are alike and not the same."""
    if events.constituents.shape[1]:
        return events.constituents
    jets, leptons = jets_of(events.jet, events.jets), (events.electrons, events.muons)
    objects = np.concatenate([jets, *leptons, events.photons, events.taus], axis=1)
    return objects[(objects[..., 0] > 0).any(axis=1)]


def cut_flow(meta: dict, split: np.ndarray) -> list[dict]:
    """Rows of the table for one sample: per file what was read, refused by each cut, and kept; then its splits.

    Before the splits are the same counts of each process of a sum.
    """
    rows, parts = [], dict(meta["counts"])
    for process, found in meta.get("processes", {}).items():
        parts[f"process {process}"] = total = Counter()
        for file in found["files"]:
            total.update(meta["counts"][file])
    for file, counts in parts.items():
        for cut in sorted(counts, key=lambda cut: (cut != "read", cut == "kept")):
            fraction = counts[cut] / max(counts["read"], 1)
            rows.append({"file": Path(file).name, "what": cut, "count": counts[cut], "fraction": fraction})
    for name, count in zip(SPLITS, np.bincount(split, minlength=len(SPLITS)).tolist(), strict=True):
        rows.append({"file": "all", "what": f"split: {name}", "count": count, "fraction": count / max(len(split), 1)})
    return [{"sample": meta["name"], **row} for row in rows]


def write_cut_flow(path: str | Path, events: Iterable[str | Path]) -> None:
    """The table of the samples in event files as CSV, atomically."""
    write_rows(path, COLUMNS, [row for file in events for row in _of_file(file)])


def _of_file(path: str | Path) -> list[dict]:
    table = Events.table(path)
    return cut_flow(table.meta, table["split"])
