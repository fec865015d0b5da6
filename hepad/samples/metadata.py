"""Facts of a generated sample, and how those of its chunks combine."""

import numpy as np

from hepad.errors import InputError
from hepad.events import FACTS, GROUPS
from hepad.samples.readers.base import Found

SUMMED = ("n_tried", "n_given_up", "n_events_accepted", "n_jets", "sum_weights_tried", "sum_weights_accepted")
PER_CHUNK = (*SUMMED, "seed", "seeds", "cross_section_pb", "cross_section_error_pb", "acceptance")


def merge_meta(metas: list[dict]) -> dict:
    """Combine the ``meta`` of the chunks of one sample.

    Counts are summed, the acceptance is the ratio of the summed weights, the cross-section is the mean weighted with
    the number of events tried, σ = Σ n_i σ_i / Σ n_i, its error that of independent chunks; ``seeds`` lists the seeds.
    InputError if the chunks differ in anything else (card, window, jet radius, ...). Files that were not generated
    have no such facts: what all agree on is kept.
    """
    first = metas[0]
    if not all(set(PER_CHUNK) - {"seed"} <= set(meta) for meta in metas):
        return {key: value for key, value in first.items() if all(meta.get(key) == value for meta in metas)}
    for other in metas[1:]:
        keys = (set(first) | set(other)) - set(PER_CHUNK)
        different = sorted(key for key in keys if first.get(key) != other.get(key))
        if different:
            raise InputError(
                f"sample '{first.get('name')}': its files were generated with different settings "
                f"({', '.join(different)}). Delete them and run again."
            )
    merged = {key: value for key, value in first.items() if key not in PER_CHUNK}
    merged |= {key: sum(meta[key] for meta in metas) for key in SUMMED}
    share = [meta["n_tried"] / merged["n_tried"] for meta in metas]
    sigma = sum(f * meta["cross_section_pb"] for f, meta in zip(share, metas, strict=True))
    variance = sum((f * meta["cross_section_error_pb"]) ** 2 for f, meta in zip(share, metas, strict=True))
    return merged | {
        "cross_section_pb": sigma,
        "cross_section_error_pb": variance**0.5,
        "acceptance": merged["sum_weights_accepted"] / merged["sum_weights_tried"],
        "seeds": [seed for meta in metas for seed in meta["seeds"]],
    }


def merge_chunks(metas: list[dict]) -> dict:
    """Combine the ``meta`` of chunks of one sample, each as :func:`hepad.samples.stream.stream` completes it.

    Counts and sums are those of all files; what identifies the sample (name, window) is the first chunk's. InputError
    if the chunks do not belong together, as :func:`common` and :func:`merge_meta` say.
    """
    shared = common(metas[0]["name"], metas) | {
        "name": metas[0]["name"],
        "window": metas[0]["window"],
        "counts": {path: count for meta in metas for path, count in meta["counts"].items()},
        "sum_weights_read": sum(meta["sum_weights_read"] for meta in metas),
    }
    merged = merge_meta([{key: value for key, value in meta.items() if key not in shared} for meta in metas])
    if "sum_weights_tried" in merged:  # generated samples have it; the acceptance of each chunk has its selection in it
        sums = [meta["sum_weights_tried"] for meta in metas]
        merged["acceptance"] = sum(t * meta["acceptance"] for t, meta in zip(sums, metas, strict=True)) / sum(sums)
    return merged | shared


def columns_of(look: Found) -> dict[str, dict[str, str]]:
    """The kinds of numbers of the facts and of the truth of a file: {'facts': {'run': '<i8'}, 'truth': {}}."""
    facts = {name: np.dtype(kind).str for name, kind in FACTS.items() if name in look.facts}
    return {"facts": facts, "truth": {name: np.dtype(np.float32).str for name in sorted(look.truth)}}


def common(name: str, chunks: list[dict]) -> dict:
    """Facts that the files or chunks of a sample share, whatever their order.

    ``jet_radius``; ``present``, what all have; ``columns``, ``triggers``, ``readers``, what any has; ``partial``, the
    names of columns and triggers that not all have: a trigger of one era is not set in the events of another. The
    keys of ``counts`` are the files of a chunk. InputError if they do not belong together: they differ in the radius of
    their jets, or in whether they have constituents, or weights.
    """
    split, unit = "Make two samples of them", "or set 'unit_weights: true' in their source: every event counts once"
    for feature, values, remedy in (
        ("the radius of their jets", [chunk["jet_radius"] for chunk in chunks], split),
        ("whether they have constituents", _with(chunks, "constituents"), split),
        ("whether they have weights", _with(chunks, "weight"), f"{split}, {unit}"),
    ):
        files: dict = {}
        for chunk, value in zip(chunks, values, strict=True):
            if value is not None and chunk["counts"]:
                files.setdefault(value, []).extend(chunk["counts"])
        if len(files) > 1:
            raise InputError(f"sample '{name}': its files differ in {feature}: {_listed(files)}. {remedy}.")
    named = [{*chunk["triggers"], *(key for group in GROUPS for key in chunk["columns"][group])} for chunk in chunks]
    whole = [names - set(chunk.get("partial", ())) for names, chunk in zip(named, chunks, strict=True)]
    return {
        "jet_radius": next((chunk["jet_radius"] for chunk in chunks if chunk["jet_radius"] is not None), None),
        "present": sorted(set.intersection(*(set(chunk["present"]) for chunk in chunks))),
        "columns": {
            group: dict(sorted(item for chunk in chunks for item in chunk["columns"][group].items()))
            for group in GROUPS
        },
        "triggers": sorted({bit for chunk in chunks for bit in chunk["triggers"]}),
        "partial": sorted(set.union(*named) - set.intersection(*whole)),
        "readers": sorted({reader for chunk in chunks for reader in chunk["readers"]}),
    }


def _with(chunks: list[dict], column: str) -> list[str]:
    return ["with" if column in chunk["present"] else "without" for chunk in chunks]


def _listed(files: dict) -> str:
    """The first files of each value."""
    examples = {
        value: ", ".join(paths[:3]) + (f", ... ({len(paths)})" if len(paths) > 3 else "")
        for value, paths in files.items()
    }
    return "; ".join(f"{value}: {paths}" for value, paths in examples.items())
