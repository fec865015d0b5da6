"""Objects like those of a first-level trigger: calorimeter towers, jets, e/γ and muons, of low resolution.

Trigger towers of 0.087 × 2π/72 in η × φ, |η| < 4.96, ECAL and HCAL apart, smeared with the resolutions of
:mod:`hepad.samples.simulation.response` and kept above a threshold in E_T. The pile-up density is the median over the
event's patches of 6 × 6 towers with |η| < 3,

    ρ = median_patches ( Σ E_T / area ),         pT(jet) = pT - ρ π R²

(M. Cacciari, G. Salam, arXiv:0707.1378, on a grid).

- jets: anti-kT, R = 0.4, on towers; pT > 20 GeV after subtraction
- e/γ (``photons``; a first level has no tracks to tell e from γ): 3 × 3 ECAL towers around a local maximum, |η| < 2.5,
  pT > 10 GeV, HCAL/ECAL < 0.2, not isolated
- muons: |η| < 2.4, pT > 3 GeV, of particles with p > 5 and pT > 2 GeV (what reaches the muon system), efficiency 0.9;
  the curvature 1/pT is measured to 30 %, so that soft muons feed the hard ones, as they do at CMS. Charged pions and
  kaons decay to muons in flight before the calorimeter, 1.3 m from the beam or 3 m along it, with

      P = B (1 - exp(-l m / (p c τ))),     p_μ / p uniform in [(m_μ / m)², 1]

- missing pT: minus the vector sum of the towers with E_T above 2.5 GeV + 0.06 ρ; muons are not in it. A threshold that
  rises with the event's own pile-up is how CMS mitigates it, by a table of towers' thresholds
- HT: of the jets, by whoever asks
- spurious deposits (:func:`spurious`), of noise, halo and mismeasurement, that no generator has: in ν = 1.7e-4 of the
  crossings one HCAL tower has E_T above 50 GeV, of the integral law (50 GeV / E_T)². It is the tail of missing pT above
  100 GeV in real crossings

The target are public rates of CMS: counts of seeds in 9.8 million zero-bias crossings of 2018 at 40 collisions
(cms-l1-dpg/L1MenuTools, rate-estimation/plots). MITIGATION, ν, and efficiency and resolution of muons were chosen for
them; docs/trigger.md has the comparison.

L1-like: no tracks, coarse towers, thresholds, an event-by-event pile-up subtraction, e/γ without identity, calorimetric
missing pT. Not L1: jets are anti-kT instead of sliding windows, cells are equally fine in the forward calorimeter, no
integer scales and saturation, no calibration of jets to particle level, no taus; thresholds are our choice. Charged
particles below 0.7 GeV never reach the calorimeter in a field of 3.8 T; others are not bent.
"""

import numpy as np

from hepad.events.padding import WIDTHS, pad
from hepad.samples.clustering import CHARGED_HADRON, MUON, Particles, cluster
from hepad.samples.simulation.pileup import CURLING
from hepad.samples.simulation.response import Region, Response, ecal_share, resolution

N_ETA, N_PHI, D_ETA = 114, 72, 0.087
D_PHI = 2 * np.pi / N_PHI
MAX_ETA = N_ETA / 2 * D_ETA
ECAL_MIN_ET, HCAL_MIN_ET = 0.5, 1.0
PATCH = 6
RADIUS, JET_MIN_PT = 0.4, 20.0
EGAMMA_MIN_PT, EGAMMA_MAX_ETA, MAX_H_OVER_E = 10.0, 2.5, 0.2
MUON_MIN_PT, MUON_MAX_ETA, MUON_EFFICIENCY, MUON_RESOLUTION = 3.0, 2.4, 0.9, 0.3
MUON_REACH, MUON_REACH_PT = 5.0, 2.0  # GeV, momentum and pT of what gets through the calorimeters and the field
STRAIGHT, STRAIGHT_OFTEN = 0.5, 0.1  # |curvature| over the true one of mismeasured muons; their share in test crossings
# |PDG id|: mass [GeV], c τ [m] and branching fraction to a muon, of what decays in flight
DECAYS = {211: (0.13957, 7.804, 1.0), 321: (0.49368, 3.711, 0.6356)}
MUON_MASS, CALORIMETER_RADIUS, CALORIMETER_Z = 0.10566, 1.3, 3.0  # GeV, m
MITIGATION = (2.5, 0.06)  # GeV, units of η × φ: the threshold of towers in missing pT, constant and in front of ρ
HCAL_NOISE = 0.3  # GeV, of a trigger tower; the response has that of a cell with its pile-up
SPURIOUS, SPURIOUS_MIN_ET, SPURIOUS_MAX_ET, SPURIOUS_POWER = 1.7e-4, 50.0, 1000.0, 2
SPURIOUS_OFTEN = 0.05  # of test crossings
ETA = (np.arange(N_ETA) + 0.5) * D_ETA - MAX_ETA
PHI = (np.arange(N_PHI) + 0.5) * D_PHI - np.pi


def level1_objects(
    particles: Particles, response: Response, natural: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Arrays of Events for n events: ``jet`` (the leading jet, or zeros), ``jets``, ``photons``, ``muons``, ``met``.

    natural: (n,) bool; in the others spurious deposits and mismeasured muons, which are rare and fire triggers, are
        more frequent, and ``weight`` (n,) is what they stand for
    """
    n = len(natural)
    ecal, hcal = towers(particles, n, response, rng)
    deposits, of_deposits = spurious(natural, rng)
    muons, of_muons = _muons(particles, natural, rng)
    hit = np.flatnonzero(deposits)
    hcal[hit, rng.integers(N_ETA, size=len(hit)), rng.integers(N_PHI, size=len(hit))] += deposits[hit]
    total = ecal + hcal
    rho = density(total)
    jets = _jets(total, rho)
    constant, slope = MITIGATION
    above = np.where(total > (constant + slope * rho)[:, None, None], total, 0).sum(axis=1)
    px, py = (-(above @ trig(PHI)) for trig in (np.cos, np.sin))
    return {
        "jet": jets[:, 0],
        "jets": jets,
        "photons": _egammas(ecal, hcal),
        "muons": muons,
        "met": np.stack([np.hypot(px, py), np.arctan2(py, px)], axis=-1).astype(np.float32),
        "weight": of_deposits * of_muons,
    }


def spurious(natural: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n,) spurious E_T [GeV] of crossings, 0 for none, and (n,) weights by which they stand for the natural law.

    natural: (n,) bool, crossings that have them as often as they are; others have them in a share SPURIOUS_OFTEN
    """
    often = np.where(natural, SPURIOUS, SPURIOUS_OFTEN)
    some = rng.random(len(natural)) < often
    least = (SPURIOUS_MIN_ET / SPURIOUS_MAX_ET) ** SPURIOUS_POWER
    e_t = SPURIOUS_MIN_ET * rng.uniform(least, 1, len(natural)) ** (-1 / SPURIOUS_POWER)
    return np.where(some, e_t, 0.0), np.where(some, SPURIOUS / often, (1 - SPURIOUS) / (1 - often))


def towers(particles: Particles, n: int, response: Response, rng) -> tuple[np.ndarray, np.ndarray]:
    """(n, N_ETA, N_PHI) E_T [GeV] of ECAL and HCAL towers above their thresholds."""
    pt, eta, phi, mass = particles.p.T
    visible = (particles.kind != MUON) & (np.abs(eta) < MAX_ETA) & ~(particles.charged & (pt < CURLING))
    event, eta, phi = particles.event[visible], eta[visible], phi[visible]
    energy = np.sqrt((pt[visible] * np.cosh(eta)) ** 2 + mass[visible] ** 2)
    i_eta = np.clip(((eta + MAX_ETA) / D_ETA).astype(np.int64), 0, N_ETA - 1)
    i_phi = ((phi + np.pi) / D_PHI).astype(np.int64) % N_PHI
    cell, share = (event * N_ETA + i_eta) * N_PHI + i_phi, ecal_share(particles.kind[visible])
    energies = []
    for part, regions, threshold in (
        (share, response.ecal, ECAL_MIN_ET),
        (1 - share, [region._replace(noise=min(region.noise, HCAL_NOISE)) for region in response.hcal], HCAL_MIN_ET),
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


def _egammas(ecal: np.ndarray, hcal: np.ndarray) -> np.ndarray:
    """(n, K, 4) e/γ."""
    n = len(ecal)
    central = np.abs(ETA) < EGAMMA_MAX_ETA
    pt = _window(ecal, 1)
    seed = (ecal > EGAMMA_MIN_PT / 4) & (pt > EGAMMA_MIN_PT) & central[None, :, None]
    event, i_eta, i_phi = np.nonzero(seed)
    # few seeds: their neighbourhoods one by one, as (seeds, 3, 3)
    around = np.arange(-1, 2)
    rows, columns = np.clip(i_eta[:, None] + around, 0, N_ETA - 1), (i_phi[:, None] + around) % N_PHI
    index = event[:, None, None], rows[:, :, None], columns[:, None, :]
    near, core, h = ecal[index], ecal[index].sum(axis=(1, 2)), hcal[index].sum(axis=(1, 2))
    # of two equal neighbours the first is the maximum
    maximum = near.reshape(len(core), 9).argmax(axis=1) == 4
    good = maximum & (h < MAX_H_OVER_E * core)
    p = np.stack([core, ETA[i_eta], PHI[i_phi], np.zeros_like(core)], axis=-1)[good]
    return pad(event[good], p, n, WIDTHS["photons"])


def _muons(particles: Particles, natural: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """(n, K, 4) muons, and (n,) weights."""
    p, event = particles.p.copy(), particles.event
    muon = particles.kind == MUON
    momentum = p[:, 0] * np.cosh(p[:, 1])
    for kind, (mass, c_tau, fraction) in DECAYS.items():
        some = np.flatnonzero((particles.kind == kind) & (momentum > MUON_REACH) & (np.abs(p[:, 1]) < MUON_MAX_ETA))
        eta = np.abs(p[some, 1])
        length = np.minimum(CALORIMETER_RADIUS * np.cosh(eta), CALORIMETER_Z / np.tanh(np.maximum(eta, 1e-6)))
        probability = fraction * -np.expm1(-length * mass / (momentum[some] * c_tau))
        some = some[rng.random(len(some)) < probability]
        p[some, 0] *= rng.uniform((MUON_MASS / mass) ** 2, 1, len(some))
        p[some, 3] = MUON_MASS
        muon[some] = True
    p, event = p[muon], event[muon]
    reach = (p[:, 0] > MUON_REACH_PT) & (p[:, 0] * np.cosh(p[:, 1]) > MUON_REACH)
    seen = reach & (np.abs(p[:, 1]) < MUON_MAX_ETA)
    seen &= rng.random(len(p)) < MUON_EFFICIENCY
    p, event = p[seen], event[seen]
    curvature, of_each = _curvature(natural[event], rng)
    p[:, 0] /= np.maximum(np.abs(curvature), 1e-3)
    weight = np.ones(len(natural))
    np.multiply.at(weight, event, of_each)
    seen = p[:, 0] > MUON_MIN_PT
    return pad(event[seen], p[seen], len(natural), WIDTHS["muons"]), weight


def _curvature(natural: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """(m,) measured over true curvature of muons, normal about 1, and (m,) weights.

    Of muons that are not ``natural`` the share STRAIGHT_OFTEN is uniform within STRAIGHT of 0, where pT is too large.
    """
    curvature = 1 + MUON_RESOLUTION * rng.standard_normal(len(natural))
    straight = ~natural & (rng.random(len(natural)) < STRAIGHT_OFTEN)
    curvature = np.where(straight, rng.uniform(-STRAIGHT, STRAIGHT, len(natural)), curvature)
    normal = np.exp(-(((curvature - 1) / MUON_RESOLUTION) ** 2) / 2) / (MUON_RESOLUTION * np.sqrt(2 * np.pi))
    drawn = (1 - STRAIGHT_OFTEN) * normal + STRAIGHT_OFTEN * (np.abs(curvature) < STRAIGHT) / (2 * STRAIGHT)
    return curvature, np.where(natural, 1.0, normal / drawn)
