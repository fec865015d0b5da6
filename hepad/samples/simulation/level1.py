"""Objects like those of a first-level trigger: calorimeter towers, jets, e/γ and muons, of low resolution.

Trigger towers of 0.087 × 2π/72 in η × φ, |η| < 4.96, ECAL and HCAL apart, smeared with the resolutions of
:mod:`hepad.samples.simulation.response` and kept above a threshold in E_T. The pile-up density is the median over the
event's patches of 6 × 6 towers with |η| < 3,

    ρ = median_patches ( Σ E_T / area ),         pT(jet) = pT - ρ π R²

(M. Cacciari, G. Salam, arXiv:0707.1378, on a grid).

- jets: anti-kT, R = 0.4, on towers; pT > 20 GeV after subtraction
- e/γ (``photons``; a first level has no tracks to tell e from γ): 3 × 3 ECAL towers around a local maximum, |η| < 2.5,
  pT > 10 GeV, HCAL/ECAL < 0.1, and less than 0.25 pT around them in 7 × 7 towers, ρ subtracted
- muons: |η| < 2.4, pT > 3 GeV, efficiency 0.95, pT to 20 %
- missing pT: minus the vector sum of all towers; muons are not in it
- HT: of the jets, by whoever asks

L1-like: no tracks, coarse towers, thresholds, an event-by-event pile-up subtraction, e/γ without identity, calorimetric
missing pT. Not L1: jets are anti-kT instead of sliding windows, cells are equally fine in the forward calorimeter, no
integer scales and saturation, no calibration of jets to particle level, no taus, no fake muons, one crossing in time;
efficiencies and resolutions of muons and the thresholds are our choice. Charged particles below 0.7 GeV never reach the
calorimeter in a field of 3.8 T; others are not bent.
"""

import numpy as np

from hepad.events.padding import WIDTHS, pad
from hepad.samples.clustering import CHARGED_HADRON, MUON, Particles, cluster
from hepad.samples.simulation.response import Region, Response, ecal_share, lognormal, resolution

N_ETA, N_PHI, D_ETA = 114, 72, 0.087
D_PHI = 2 * np.pi / N_PHI
MAX_ETA = N_ETA / 2 * D_ETA
ECAL_MIN_ET, HCAL_MIN_ET = 0.5, 1.0
PATCH = 6
RADIUS, JET_MIN_PT = 0.4, 20.0
EGAMMA_MIN_PT, EGAMMA_MAX_ETA, MAX_H_OVER_E, MAX_ISOLATION = 10.0, 2.5, 0.1, 0.25
MUON_MIN_PT, MUON_MAX_ETA, MUON_EFFICIENCY, MUON_RESOLUTION = 3.0, 2.4, 0.95, 0.2
MIN_CHARGED_PT = 0.7
ETA = (np.arange(N_ETA) + 0.5) * D_ETA - MAX_ETA
PHI = (np.arange(N_PHI) + 0.5) * D_PHI - np.pi


def level1_objects(particles: Particles, n: int, response: Response, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays ``jet`` (the leading jet, or zeros), ``jets``, ``photons``, ``muons``, ``met`` of Events for n events."""
    ecal, hcal = towers(particles, n, response, rng)
    total = ecal + hcal
    rho = density(total)
    jets = _jets(total, rho)
    px, py = (-(total.sum(axis=1) @ trig(PHI)) for trig in (np.cos, np.sin))
    return {
        "jet": jets[:, 0],
        "jets": jets,
        "photons": _egammas(ecal, hcal, rho),
        "muons": _muons(particles, n, rng),
        "met": np.stack([np.hypot(px, py), np.arctan2(py, px)], axis=-1).astype(np.float32),
    }


def towers(particles: Particles, n: int, response: Response, rng) -> tuple[np.ndarray, np.ndarray]:
    """(n, N_ETA, N_PHI) E_T [GeV] of ECAL and HCAL towers above their thresholds."""
    pt, eta, phi, mass = particles.p.T
    visible = (particles.kind != MUON) & (np.abs(eta) < MAX_ETA) & ~(particles.charged & (pt < MIN_CHARGED_PT))
    event, eta, phi = particles.event[visible], eta[visible], phi[visible]
    energy = np.sqrt((pt[visible] * np.cosh(eta)) ** 2 + mass[visible] ** 2)
    i_eta = np.clip(((eta + MAX_ETA) / D_ETA).astype(np.int64), 0, N_ETA - 1)
    i_phi = ((phi + np.pi) / D_PHI).astype(np.int64) % N_PHI
    cell, share = (event * N_ETA + i_eta) * N_PHI + i_phi, ecal_share(particles.kind[visible])
    energies = []
    for part, regions, threshold in (
        (share, response.ecal, ECAL_MIN_ET),
        (1 - share, response.hcal, HCAL_MIN_ET),
    ):
        deposit = np.bincount(cell, energy * part, minlength=n * N_ETA * N_PHI)
        hit = np.flatnonzero(deposit)
        rows = hit // N_PHI % N_ETA
        # normal, not log-normal: with a noise far above the deposit, the tail of a log-normal makes jets out of nothing
        width = resolution(deposit[hit], _settings(regions)[rows])
        e_t = (deposit[hit] + width * rng.standard_normal(len(hit))) / np.cosh(ETA[rows])
        deposit[hit] = np.where(e_t > threshold, e_t, 0)
        energies.append(deposit.reshape(n, N_ETA, N_PHI))
    return energies[0], energies[1]


def density(total: np.ndarray) -> np.ndarray:
    """(n,) ρ [GeV per unit of η × φ] of towers (n, N_ETA, N_PHI)."""
    central = total[:, np.abs(ETA) < 3]
    rows = central.shape[1] // PATCH
    patches = central[:, : rows * PATCH].reshape(len(total), rows, PATCH, N_PHI // PATCH, PATCH).sum(axis=(2, 4))
    return np.median(patches.reshape(len(total), -1), axis=1) / (PATCH**2 * D_ETA * D_PHI)


def _settings(regions: tuple[Region, ...]) -> np.ndarray:
    """(N_ETA, 6) rows of the region that each ring of towers lies in; beyond the last, the last."""
    table = np.array(regions)
    return table[np.minimum(np.searchsorted(table[:, 0], np.abs(ETA), side="right"), len(table) - 1)]


def _jets(total: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """(n, K, 4) subtracted jets; the mass is scaled with pT."""
    n = len(total)
    event, i_eta, i_phi = np.nonzero(total)
    e_t = total[event, i_eta, i_phi]
    p = np.stack([e_t, ETA[i_eta], PHI[i_phi], np.zeros_like(e_t)], axis=-1)
    kind = np.full(len(event), CHARGED_HADRON, np.int32)
    jets = cluster(Particles(event, kind, np.zeros(len(event), bool), p), n, RADIUS)
    left = jets.p[:, 0] - rho[jets.event] * np.pi * RADIUS**2
    hard = left > JET_MIN_PT
    scaled = jets.p[hard]
    scaled[:, [0, 3]] *= (left[hard] / scaled[:, 0])[:, None]
    return pad(jets.event[hard], scaled, n, WIDTHS["jets"])


def _window(grid: np.ndarray, half: int) -> np.ndarray:
    """Sum over (2 half + 1)² towers around each; φ closes, η ends in zeros."""
    wide = np.pad(grid, ((0, 0), (half, half), (0, 0)))
    rows = sum(wide[:, i : i + N_ETA] for i in range(2 * half + 1))
    return sum(np.roll(rows, i, axis=2) for i in range(-half, half + 1))


def _egammas(ecal: np.ndarray, hcal: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """(n, K, 4) e/γ."""
    n = len(ecal)
    central = np.abs(ETA) < EGAMMA_MAX_ETA
    pt = _window(ecal, 1)
    seed = (ecal > EGAMMA_MIN_PT / 4) & (pt > EGAMMA_MIN_PT) & central[None, :, None]
    event, i_eta, i_phi = np.nonzero(seed)
    # few seeds: their neighbourhoods one by one, as (seeds, 7, 7)
    around = np.arange(-3, 4)
    rows, columns = np.clip(i_eta[:, None] + around, 0, N_ETA - 1), (i_phi[:, None] + around) % N_PHI
    index = event[:, None, None], rows[:, :, None], columns[:, None, :]
    near_e, near_h = ecal[index], hcal[index]
    inner = np.zeros((7, 7), bool)
    inner[2:5, 2:5] = True
    core, h = near_e[:, inner].sum(axis=1), near_h[:, inner].sum(axis=1)
    area = D_ETA * D_PHI
    isolation = (near_e + near_h).sum(axis=(1, 2)) - core - h - rho[event] * 40 * area
    # of two equal neighbours the first is the maximum
    maximum = near_e.reshape(len(core), 49)[:, inner.ravel()].argmax(axis=1) == 4
    good = maximum & (h < MAX_H_OVER_E * core) & (isolation < MAX_ISOLATION * core)
    p = np.stack([core, ETA[i_eta], PHI[i_phi], np.zeros_like(core)], axis=-1)[good]
    return pad(event[good], p, n, WIDTHS["photons"])


def _muons(particles: Particles, n: int, rng) -> np.ndarray:
    """(n, K, 4) muons."""
    muons = particles.take(particles.kind == MUON)
    p = muons.p.copy()
    p[:, 0] *= lognormal(np.full(len(p), MUON_RESOLUTION), rng)
    mask = rng.random(len(p)) < MUON_EFFICIENCY
    mask &= (p[:, 0] > MUON_MIN_PT) & (np.abs(p[:, 1]) < MUON_MAX_ETA)
    return pad(muons.event[mask], p[mask], n, WIDTHS["muons"])
