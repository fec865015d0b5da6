"""Generator-level facts from Pythia's event record, flat over all events of a batch."""

from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events.kinematics import delta_r, from_cartesian

BOSONS = (23, 24, 25)
DARK_MESONS = (4900111, 4900113, 4900211, 4900213, 4900221)
DARK_MATTER = (51, 53)


class Record(NamedTuple):
    """The event record of a batch, flat: (M,) each, p is (M, 4) (px, py, pz, E) [GeV].

    daughter1, daughter2 are row numbers; a row without daughters points at itself.
    """

    event: np.ndarray
    id: np.ndarray
    status: np.ndarray
    daughter1: np.ndarray
    daughter2: np.ndarray
    p: np.ndarray


def flatten(batch: ak.Array) -> Record:
    """The record of a batch from ``Pythia.nextBatch``."""
    particles = batch.prt
    count = ak.to_numpy(ak.num(particles.id))
    flat = ak.flatten(particles)
    rows = np.arange(count.sum())
    start = np.repeat(np.cumsum(count) - count, count)
    first, last = (ak.to_numpy(flat[name]).astype(np.int64) for name in ("daughter1", "daughter2"))
    daughter1 = np.where(first > 0, start + first, rows)
    daughter2 = np.where(last > 0, start + last, daughter1)
    p = np.stack([ak.to_numpy(flat.p[name]) for name in ("px", "py", "pz", "e")], axis=-1)
    event = np.repeat(np.arange(len(count)), count)
    return Record(event, ak.to_numpy(flat.id), ak.to_numpy(flat.status), daughter1, daughter2, p)


def last_copy(record: Record, rows: np.ndarray) -> np.ndarray:
    """Follow each particle through its copies (recoil, radiation) to the one that decays."""
    while True:
        d1, d2, kind = record.daughter1[rows], record.daughter2[rows], record.id[rows]
        following = np.where(record.id[d1] == kind, d1, np.where(record.id[d2] == kind, d2, rows))
        if (following == rows).all():
            return rows
        rows = following


def decays(record: Record, particle: int) -> np.ndarray:
    """(T, 5) rows: each last copy of ±``particle`` and its decay partons, W, Z and H replaced by their own partons.

    A top gives (t, q, q', b, b): partons that have no second half are repeated.
    """
    rows = np.unique(last_copy(record, np.flatnonzero(np.abs(record.id) == particle)))
    columns = [rows]
    for daughter in (record.daughter1[rows], record.daughter2[rows]):
        boson = np.isin(np.abs(record.id[daughter]), BOSONS)
        last = last_copy(record, daughter)
        columns += [np.where(boson, d[last], daughter) for d in (record.daughter1, record.daughter2)]
    return np.stack(columns, axis=-1)


def match(record: Record, particle: int, event: np.ndarray, jet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match jets (J, 4) of events (J,) to decaying particles of the same event.

    Returns
    -------
    pt (J,) of the best match and dr_max (J,), the largest ΔR between the jet axis and the particle or any of its
    decay partons; the best match is the one of smallest dr_max. Without any such particle: 0 and 99.
    """
    rows = decays(record, particle)
    particle_event = record.event[rows[:, 0]]
    place = np.arange(len(particle_event)) - np.searchsorted(particle_event, particle_event)
    n_events, width = int(max(event.max(initial=0), particle_event.max(initial=0))) + 1, int(place.max(initial=0)) + 1
    decay = np.zeros((n_events, width, 5, 3))
    decay[:, :, :, 1] = 1e3  # where there is none: far from every jet
    decay[particle_event, place] = from_cartesian(record.p[rows])[..., :3]
    near = decay[event]
    distance = delta_r(near[..., 1], near[..., 2], jet[:, None, None, 1], jet[:, None, None, 2]).max(axis=-1)
    best = distance.argmin(axis=1)
    jet_rows = np.arange(len(event))
    return near[jet_rows, best, 0, 0], np.minimum(distance[jet_rows, best], 99.0)


def dark_mesons(record: Record, n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Per event (n_events,): the number of dark mesons and the fraction of them that decays to dark matter.

    Dark mesons are hadrons of a hidden valley, Pythia's codes 49001ij and 49002ij; 0 where an event has none.
    """
    rows = np.unique(last_copy(record, np.flatnonzero(np.isin(np.abs(record.id), DARK_MESONS))))
    invisible = np.isin(np.abs(record.id[record.daughter1[rows]]), DARK_MATTER)
    total = np.bincount(record.event[rows], minlength=n_events)
    return total, np.bincount(record.event[rows], invisible, minlength=n_events) / np.maximum(total, 1)


def checked_matching(matching) -> dict | None:
    """A matching as a :class:`~hepad.samples.simulation.settings.Generation` takes it; InputError if it is none."""
    if not matching:
        return None
    if not isinstance(matching, dict) or set(matching) != {"particle", "radius"} or not matching["radius"] > 0:
        raise InputError(f"matching: {matching!r} is not of the form {{particle: 6, radius: 0.8}}.")
    return {"particle": int(matching["particle"]), "radius": float(matching["radius"])}
