"""Makes jets from the particles of many events: jets, probe jets, isolated leptons and photons, and missing momentum.

Everything is flat or padded and vectorised over events. Isolation of an object with cone ΔR < 0.3:

    I = Σ_{others in the cone} pt / pt  <  0.15

The missing transverse momentum is minus the vector sum of all objects. Jets are not cleaned of leptons and photons.
:mod:`hepad.samples.simulation.level1` makes the coarser objects of a first-level trigger.
"""

from typing import NamedTuple

import awkward as ak
import fastjet
import numpy as np
from fastjet import _swig

from hepad.events.cuts import window
from hepad.events.kinematics import delta_r, from_cartesian, to_cartesian
from hepad.events.padding import WIDTHS, pad

# FastJet (arXiv:1111.6097) would introduce itself in every job
_swig.ClusterSequence.set_fastjet_banner_stream(None)

ELECTRON, MUON, PHOTON, CHARGED_HADRON, NEUTRAL_HADRON = 11, 13, 22, 211, 130
JET_MIN_PT = 20.0
OBJECT_MIN_PT, OBJECT_MAX_ABS_ETA = 10.0, 2.5
ISOLATION_CONE, MAX_ISOLATION = 0.3, 0.15


class Particles(NamedTuple):
    """M particles or reconstructed objects of many events, flat.

    event: (M,) int64; index of the event
    kind: (M,) int32; |PDG id|; after the response one of 11, 13, 22 (ECAL), 211 (track), 130 (HCAL)
    charged: (M,) bool
    p: (M, 4) float64; (pt, eta, phi, mass) [GeV, rad]
    """

    event: np.ndarray
    kind: np.ndarray
    charged: np.ndarray
    p: np.ndarray

    def take(self, rows) -> "Particles":
        return Particles(*(array[rows] for array in self))


class Jets(NamedTuple):
    """Jets of many events, flat, by falling pt within each event.

    event: (J,) int64; rank: (J,) int64, 0 for the leading jet; p: (J, 4) (pt, eta, phi, mass);
    members: (J,) ragged rows of ``particles`` that belong to the jet
    """

    event: np.ndarray
    rank: np.ndarray
    p: np.ndarray
    members: ak.Array


def cluster(particles: Particles, n_events: int, radius: float) -> Jets:
    """Anti-kT jets (Cacciari, Salam, Soyez, arXiv:0802.1189) of pt > 20 GeV, E-scheme.

    ``particles`` are grouped by event, in event order.
    """
    count = np.bincount(particles.event, minlength=n_events)
    start = np.concatenate([[0], np.cumsum(count)])
    momenta = to_cartesian(particles.p)
    fields = {name: momenta[:, i] for i, name in enumerate(("px", "py", "pz", "E"))}
    events = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), count)
    sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    jets, members = sequence.inclusive_jets(JET_MIN_PT), sequence.constituent_index(JET_MIN_PT)
    per_event = ak.to_numpy(ak.num(jets))
    event = np.repeat(np.arange(n_events), per_event)
    flat = ak.flatten(jets)
    p = from_cartesian(np.stack([ak.to_numpy(flat[name]) for name in fields], axis=-1)).reshape(-1, 4)
    members = ak.flatten(members) + start[event]
    order = np.lexsort((-p[:, 0], event))
    rank = np.arange(len(event)) - np.repeat(np.cumsum(per_event) - per_event, per_event)
    return Jets(event[order], rank, p[order], members[order])


def probe_jets(jets: Jets, selection, leading: int) -> np.ndarray:
    """(J,) bool: among the ``leading`` hardest jets of their event, and inside the window."""
    (low, high), abs_eta = window(selection)
    pt, eta = jets.p[:, :2].astype(np.float32).T  # the precision of Events: what passes here passes when read
    return (jets.rank < leading) & (pt > low) & (pt < high) & (np.abs(eta) < abs_eta)


def constituents(particles: Particles, jets: Jets, rows: np.ndarray) -> np.ndarray:
    """(n, 200, 4) float32: constituents of the jets ``rows`` (index array), by falling pt, padded."""
    members = jets.members[rows]
    jet = np.repeat(np.arange(len(rows)), ak.to_numpy(ak.num(members)))
    return pad(jet, particles.p[ak.to_numpy(ak.flatten(members))], len(rows), WIDTHS["constituents"])


def event_objects(particles: Particles, jets: Jets, n_events: int) -> dict[str, np.ndarray]:
    """Arrays ``jets``, ``electrons``, ``muons``, ``photons`` and ``met`` of hepad.events.Events, one row per event."""
    objects = {"jets": pad(jets.event, jets.p, n_events, WIDTHS["jets"])}
    good = isolated(particles, n_events)
    for name, kind in (("electrons", ELECTRON), ("muons", MUON), ("photons", PHOTON)):
        chosen = particles.take(good[particles.kind[good] == kind])
        objects[name] = pad(chosen.event, chosen.p, n_events, WIDTHS[name])
    pt, phi = particles.p[:, 0], particles.p[:, 2]
    px = -np.bincount(particles.event, pt * np.cos(phi), minlength=n_events)
    py = -np.bincount(particles.event, pt * np.sin(phi), minlength=n_events)
    objects["met"] = np.stack([np.hypot(px, py), np.arctan2(py, px)], axis=-1).astype(np.float32)
    return objects


def isolated(particles: Particles, n_events: int) -> np.ndarray:
    """Rows of the isolated electrons, muons and photons with pt > 10 GeV, |η| < 2.5."""
    p = particles.p
    candidate = np.flatnonzero(
        np.isin(particles.kind, (ELECTRON, MUON, PHOTON))
        & (p[:, 0] > OBJECT_MIN_PT)
        & (np.abs(p[:, 1]) < OBJECT_MAX_ABS_ETA)
    )
    count = np.bincount(particles.event, minlength=n_events)
    start = np.cumsum(count) - count
    # all pairs of a candidate with a particle of its event
    host = particles.event[candidate]
    first = np.repeat(np.arange(len(candidate)), count[host])
    second = np.arange(len(first)) - np.repeat(np.cumsum(count[host]) - count[host], count[host]) + start[host][first]
    a, b = p[candidate[first]], p[second]
    near = (delta_r(a[:, 1], a[:, 2], b[:, 1], b[:, 2]) < ISOLATION_CONE) & (second != candidate[first])
    cone = np.bincount(first[near], b[near, 0], minlength=len(candidate))
    return candidate[cone < MAX_ISOLATION * p[candidate, 0]]
