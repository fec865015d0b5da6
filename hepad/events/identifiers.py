"""Identifiers of events: of their numbers, or hashed from their content, the same in whatever file they come."""

import numpy as np

from hepad.events.padding import BLOCK

# the identifier of an event without a number is made of its hardest objects, in the order of IDENTIFIERS
IDENTIFYING = {"jets": 10, "electrons": 4, "muons": 4, "photons": 4, "taus": 4}

# taus are last: an event without any has the identifier that it had before they were read
IDENTIFIERS = ("electrons", "jets", "muons", "photons", "met", "taus")


def content_id(constituents: np.ndarray) -> np.ndarray:
    """(N,) int64 identifiers from the constituents (N, P, 4): the same in whatever file and order a jet comes.

    Multilinear hash of the float32 bits, h = Σ_i a_i x_i mod 2^64 with fixed odd a_i; padding adds nothing.
    """
    length = constituents.shape[1] * constituents.shape[2]
    factors = np.random.default_rng(20220614).integers(2**64, size=length, dtype=np.uint64) | np.uint64(1)
    total = np.empty(len(constituents), np.uint64)
    for start in range(0, len(constituents), BLOCK):
        # + 0.0 turns -0.0, whose bits are not zero, into 0.0
        block = np.asarray(constituents[start : start + BLOCK], np.float32) + np.float32(0.0)
        words = np.ascontiguousarray(block).reshape(len(block), length).view(np.uint32)
        total[start : start + BLOCK] = np.einsum("nw,w->n", words.astype(np.uint64), factors)
    return (total >> np.uint64(1)).astype(np.int64)


def event_id(run: np.ndarray, luminosity_block: np.ndarray, event: np.ndarray) -> np.ndarray:
    """(N,) int64 identifiers of events from their (N,) numbers; of different triples they differ (chance: 2^-63 n²)."""
    words = np.stack([np.asarray(x).astype(np.uint64) for x in (run, luminosity_block, event)], axis=1)
    # multilinear, as in content_id, on 32-bit halves
    halves = np.stack([words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)], axis=-1).reshape(len(words), 6)
    factors = np.random.default_rng(20220615).integers(2**64, size=6, dtype=np.uint64) | np.uint64(1)
    return ((halves * factors).sum(axis=1, dtype=np.uint64) >> np.uint64(1)).astype(np.int64)


def jets_of(jet: np.ndarray, jets: np.ndarray) -> np.ndarray:
    """(N, K, 4) ``jets``; of an event that has none, the probe jet (N, 4) is the first."""
    no_jets = jets[:, 0, 0] == 0
    if no_jets.any():
        jets = jets.copy()
        jets[no_jets, 0] = jet[no_jets]
    return jets


def objects_id(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) int64 from the objects (N, K, 4) and the missing momentum (N, 2) of events that have no number."""
    objects = [np.pad(p, ((0, 0), (0, 2)))[:, None] if p.ndim == 2 else p[:, : IDENTIFYING[name]]
               for name, p in columns.items()]  # fmt: skip
    return content_id(np.concatenate(objects, axis=1))
