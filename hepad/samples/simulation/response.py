"""Detector response: a stand-in for Delphes, "tower smearing, ATLAS-like". It is not Delphes.

Charged particles with |η| < 2.5 become tracks with an efficiency ε(pt, η). The tracker measures the pt of a track,
the calorimeter its energy (ECAL that of an electron, HCAL that of a hadron, nothing that of a muon),

    σ_t(pt)/pt = sqrt(a² + (b pt)²),     σ_c(E) = sqrt((c E)² + s² E + n²),

and particle flow takes the mean of both with weights 1/σ², so that it is smeared with

    1/σ² = 1/σ_t² + 1/σ_c²,     each relative to its value.

Everything else, hadrons and electrons without a track included, deposits its energy in ECAL and HCAL towers, which
are merged per event and cell, then smeared with σ_c(E) and kept above a threshold and above a significance
E > 2 σ_c(E). A tower is massless and points to a uniformly drawn place in its cell. All smearing is log-normal with
mean 1, so that it is positive and leaves the scale unbiased; the thresholds do not: they take soft neutral hadrons
away, and nothing calibrates jets for them. Numbers: the public ATLAS card of Delphes (April 2026), for the tracker,
the segmentation and the resolutions.

Left out: the magnetic field (no bending, no curlers), shower shapes and leakage, pile-up, fake tracks, identification
errors of leptons and photons. A muon without a track is lost. Delphes weighs the tracks of a tower together with its
whole energy; here each track has a calorimeter measurement of its own, without its neighbours, so that jets, their
substructure and the missing momentum are measured better than by the experiments: the pt of QCD jets of 550 GeV to 2 %,
where CMS has 10 % at 100 GeV and 5 % at 1 TeV (arXiv:1607.03663).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepad.samples.clustering import CHARGED_HADRON, ELECTRON, MUON, NEUTRAL_HADRON, PHOTON, Particles


class Region(NamedTuple):
    """Calorimeter up to |η| = max_eta: cells of d_eta × d_phi, resolution constants c, s [√GeV], n [GeV]."""

    max_eta: float
    d_eta: float
    d_phi: float
    constant: float
    stochastic: float
    noise: float


class Tracking(NamedTuple):
    """Tracks up to |η| = max_eta: ε for pt of 0.1 to 1, of 1 to 100 and above 100 GeV; constants a, b [1/GeV]."""

    max_eta: float
    soft: float
    middle: float
    hard: float
    a: float
    b: float


DEGREE = np.pi / 180


@dataclass(frozen=True)
class Response:
    """Settings of the response; the defaults are ATLAS-like.

    hadrons, electrons, muons: regions of the tracker by rising |η|; no tracks beyond the last, or below 0.1 GeV
    ecal, hcal: regions by rising |η|; nothing is seen beyond the last (forward ECAL cells in η are our choice)
    ecal_threshold, hcal_threshold: smallest tower energy [GeV]
    significance: smallest E/σ(E) of a tower
    """

    hadrons: tuple = (
        Tracking(0.5, 0.70, 0.95, 0.95, 0.06, 1.3e-3),
        Tracking(1.5, 0.70, 0.95, 0.95, 0.10, 1.7e-3),
        Tracking(2.5, 0.60, 0.85, 0.85, 0.25, 3.1e-3),
    )
    electrons: tuple = (
        Tracking(0.5, 0.73, 0.95, 0.99, 0.03, 1.3e-3),
        Tracking(1.5, 0.73, 0.95, 0.99, 0.05, 1.7e-3),
        Tracking(2.5, 0.50, 0.83, 0.90, 0.15, 3.1e-3),
    )
    muons: tuple = (
        Tracking(0.5, 0.75, 0.99, 0.99, 0.01, 1.0e-4),
        Tracking(1.5, 0.75, 0.99, 0.99, 0.015, 1.5e-4),
        Tracking(2.5, 0.70, 0.98, 0.98, 0.025, 3.5e-4),
    )
    ecal: tuple = (
        Region(3.0, DEGREE, DEGREE, 0.0017, 0.101, 0.0),
        Region(3.2, 0.2, 10 * DEGREE, 0.0017, 0.101, 0.0),
        Region(4.9, 0.2, 10 * DEGREE, 0.035, 0.285, 0.0),
    )
    hcal: tuple = (
        Region(1.7, 0.1, 10 * DEGREE, 0.0302, 0.5205, 1.59),
        Region(2.5, 0.1, 10 * DEGREE, 0.05, 0.706, 0.0),
        Region(3.2, 0.2, 20 * DEGREE, 0.05, 0.706, 0.0),
        Region(4.9, 0.2, 20 * DEGREE, 0.0942, 1.0, 0.0),
    )
    ecal_threshold: float = 0.5
    hcal_threshold: float = 1.0
    significance: float = 2.0


def respond(particles: Particles, settings: Response, rng: np.random.Generator) -> Particles:
    """Visible stable particles in, reconstructed objects out, both flat; grouped by event, in event order."""
    tracked = find_tracks(particles, settings, rng)
    tracks = particles.take(tracked)
    kind = np.where(np.isin(tracks.kind, (ELECTRON, MUON)), tracks.kind, CHARGED_HADRON)
    tracks = tracks._replace(kind=kind, p=smear_tracks(tracks.p, kind, settings, rng))

    rest = particles.take(~tracked & (particles.kind != MUON))
    energy = np.sqrt((rest.p[:, 0] * np.cosh(rest.p[:, 1])) ** 2 + rest.p[:, 3] ** 2)
    share = ecal_share(rest.kind)
    towers = [
        make_towers(rest, energy * part, regions, threshold, settings.significance, neutral, rng)
        for part, regions, threshold, neutral in (
            (share, settings.ecal, settings.ecal_threshold, PHOTON),
            (1 - share, settings.hcal, settings.hcal_threshold, NEUTRAL_HADRON),
        )
    ]
    joined = Particles(*(np.concatenate(columns) for columns in zip(tracks, *towers, strict=True)))
    return joined.take(np.argsort(joined.event, kind="stable"))


def tracking(p: np.ndarray, kind: np.ndarray, settings: Response) -> np.ndarray:
    """(M, 6) rows of :class:`Tracking` for particles (M, 4) of ``kind`` (M,); beyond the tracker no efficiency."""
    rows, abs_eta = np.zeros((len(p), len(Tracking._fields))), np.abs(p[:, 1])
    lepton = np.isin(kind, (ELECTRON, MUON))
    for regions, own in (
        (settings.hadrons, ~lepton),
        (settings.electrons, kind == ELECTRON),
        (settings.muons, kind == MUON),
    ):
        table = np.array([*regions, Tracking(np.inf, 0, 0, 0, *regions[-1][-2:])])
        rows[own] = table[np.searchsorted(table[:, 0], abs_eta[own])]
    return rows


def find_tracks(particles: Particles, settings: Response, rng: np.random.Generator) -> np.ndarray:
    """(M,) bool: the charged particles that leave a track."""
    pt = particles.p[:, 0]
    efficiencies = tracking(particles.p, particles.kind, settings)[:, 1:4]
    bins = np.searchsorted((0.1, 1.0, 100.0), pt) - 1  # -1: too soft for any
    efficiency = np.where(bins < 0, 0.0, efficiencies[np.arange(len(pt)), bins])
    return particles.charged & (rng.random(len(pt)) < efficiency)


def smear_tracks(p: np.ndarray, kind: np.ndarray, settings: Response, rng: np.random.Generator) -> np.ndarray:
    """(M, 4) with the pt that tracker and calorimeter give particles of ``kind`` (M,); η, φ and mass kept."""
    a, b = tracking(p, kind, settings)[:, 4:].T
    precision = np.hypot(a, b * p[:, 0]) ** -2.0
    energy, abs_eta = np.hypot(p[:, 0] * np.cosh(p[:, 1]), p[:, 3]), np.abs(p[:, 1])
    for regions, seen in ((settings.ecal, kind == ELECTRON), (settings.hcal, ~np.isin(kind, (ELECTRON, MUON)))):
        table = np.array(regions)
        cells = table[np.searchsorted(table[:, 0], abs_eta[seen], side="right").clip(max=len(table) - 1)]
        precision[seen] += (energy[seen] / resolution(energy[seen], cells)) ** 2
    smeared = p.copy()
    smeared[:, 0] *= lognormal(precision**-0.5, rng)
    return smeared


def merge_cells(event: np.ndarray, eta: np.ndarray, phi: np.ndarray, energy: np.ndarray, regions: tuple):
    """Add up deposits per event and calorimeter cell; deposits beyond the last region are lost.

    Parameters: flat (M,) arrays. Returns flat (T,) arrays: event, region, η and φ of the cell's centre, energy.
    """
    table = np.array(regions)
    edges = table[:, 0]
    inside = (np.abs(eta) < edges[-1]) & (energy > 0)
    event, eta, phi, energy = event[inside], eta[inside], phi[inside], energy[inside]
    region = np.searchsorted(edges, np.abs(eta), side="right")
    d_eta, n_phi = table[region, 1], np.rint(2 * np.pi / table[region, 2]).astype(np.int64)
    # cells are counted from the inner edge of their region, on either side
    inner, side = np.append(0.0, edges[:-1])[region], (eta >= 0).astype(np.int64)
    i_eta = np.floor((np.abs(eta) - inner) / d_eta).astype(np.int64)
    i_phi = np.floor((phi % (2 * np.pi)) / (2 * np.pi) * n_phi).astype(np.int64) % n_phi
    # one integer per event and cell; 1024 exceeds every index of a cell
    key = (((event * len(table) + region) * 2 + side) * 1024 + i_eta) * 1024 + i_phi
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    event, region, i_eta, i_phi = event[first], region[first], i_eta[first], i_phi[first]
    centre_eta = (2 * side[first] - 1) * (inner[first] + (i_eta + 0.5) * table[region, 1])
    centre_phi = ((i_phi + 0.5) * table[region, 2] + np.pi) % (2 * np.pi) - np.pi
    return event, region, centre_eta, centre_phi, np.bincount(inverse, energy, minlength=len(first))


def make_towers(rest, deposit, regions, threshold, significance, kind, rng) -> Particles:
    """Merge deposits (M,) [GeV] of the particles ``rest`` into towers of one calorimeter, smear, apply thresholds."""
    event, region, eta, phi, energy = merge_cells(rest.event, rest.p[:, 1], rest.p[:, 2], deposit, regions)
    table = np.array(regions)
    energy = energy * lognormal(resolution(energy, table[region]) / energy, rng)
    offset = rng.random((2, len(energy))) - 0.5
    keep = (energy > threshold) & (energy > significance * resolution(energy, table[region]))
    eta, phi = eta + offset[0] * table[region, 1], phi + offset[1] * table[region, 2]
    p = np.stack([energy / np.cosh(eta), eta, (phi + np.pi) % (2 * np.pi) - np.pi, np.zeros_like(eta)], axis=-1)
    n = int(keep.sum())
    return Particles(event[keep], np.full(n, kind, np.int32), np.zeros(n, bool), p[keep])


def resolution(energy: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """σ(E) [GeV] of towers with energies (T,) in ``regions`` (T, 6), rows of :class:`Region`."""
    constant, stochastic, noise = regions[:, 3], regions[:, 4], regions[:, 5]
    return np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)


def ecal_share(kind: np.ndarray) -> np.ndarray:
    """Share of the energy in the ECAL: all of e and γ, 0.3 of undecayed K0S and Λ, nothing of other hadrons."""
    return np.where(np.isin(kind, (ELECTRON, PHOTON)), 1.0, np.where(np.isin(kind, (310, 3122)), 0.3, 0.0))


def lognormal(relative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Factors of mean 1 and standard deviation ``relative``."""
    width = np.sqrt(np.log1p(relative**2))
    return np.exp(width * rng.standard_normal(len(relative)) - width**2 / 2)
