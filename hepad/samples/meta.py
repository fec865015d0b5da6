"""Facts of a generated sample, and how those of its chunks combine."""

from hepad.errors import InputError

SUMMED = ("n_tried", "n_events_accepted", "n_jets", "sum_weights_tried", "sum_weights_accepted")
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
