"""Images and vectors of one jet at a time, with NumPy and fastjet, to hold hepad's representations against.

All take the constituents that are there, (P, 4) of (pt, eta, phi, mass) [GeV, rad].
"""

import fastjet
import numpy as np

RADIUS = fastjet.JetDefinition.max_allowable_R
CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, RADIUS)
KT_WINNER = fastjet.JetDefinition(fastjet.kt_algorithm, RADIUS, fastjet.WTA_pt_scheme)
STEPS = np.arange(40)
FILTER = np.exp(-0.5 * ((STEPS[:, None] - STEPS) / 2) ** 2) * (np.abs(STEPS[:, None] - STEPS) <= 8)  # σ = 2 pixels, 4σ


def wrapped(phi: np.ndarray) -> np.ndarray:
    return (phi + np.pi) % (2 * np.pi) - np.pi


def image_of(jet: np.ndarray) -> np.ndarray:
    """(40, 40), as ``JetImage(sigma=2)``."""
    image = FILTER @ pixels_of(jet) @ FILTER
    return image / image.sum()


def pixels_of(jet: np.ndarray) -> np.ndarray:
    """(40, 40), what ``JetImage`` filters: the pT [GeV] in each pixel."""
    pt, eta, phi = jet[:, :3].T.astype(np.float64)
    phi = wrapped(phi - phi[0])
    x, y = eta - np.average(eta, weights=pt), phi - np.average(phi, weights=pt)
    theta = 0.5 * np.arctan2(2 * np.sum(pt * x * y), np.sum(pt * (x**2 - y**2)))
    x, y = x * np.sin(theta) - y * np.cos(theta), x * np.cos(theta) + y * np.sin(theta)
    x = -x if np.sum(pt * np.sign(x)) > 0 else x
    y = -y if np.sum(pt * np.sign(y)) < 0 else y
    image, *_ = np.histogram2d(y, x, bins=40, range=[[-0.70, 0.70], [-0.58, 0.58]], weights=pt)
    return image


def vector_of(jet: np.ndarray) -> np.ndarray:
    """(12,), as ``EventVector()``: mass, soft-drop mass, τ21, τ32, C2, D2, p_TD, girth, ..."""
    pt, eta, phi, mass = jet.T.astype(np.float64)
    z = pt / pt.sum()
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)])
    y, total = np.arctanh(p[2] / p[3]), p.sum(axis=1)
    particles = [fastjet.PseudoJet(*map(float, q)) for q in p.T]
    groomed, lund = declustered(particles)
    tau = subjettiness(particles, pt, y, phi)
    distance = np.hypot(y[:, None] - y, wrapped(phi[:, None] - phi))
    pairs = np.sqrt(z[:, None] * z) * distance
    e2, e3 = np.sum(z[:, None] * z * distance) / 2, np.sum((pairs @ pairs) * pairs) / 6
    dy, dphi = y - np.arctanh(total[2] / total[3]), wrapped(phi - np.arctan2(total[1], total[0]))
    u, v = dy - z @ dy, dphi - z @ dphi
    low, high = np.linalg.eigvalsh([[z @ (u * u), z @ (u * v)], [z @ (u * v), z @ (v * v)]])
    return np.array([
        np.sqrt(total[3] ** 2 - total[:3] @ total[:3]), groomed, tau[1] / tau[0], tau[2] / tau[1],
        e3 / e2**2, e3 / e2**3, np.sqrt(z @ z), z @ np.hypot(dy, dphi), len(pt), z.max(),
        4 * low * high / (low + high) ** 2, lund,
    ])  # fmt: skip


def declustered(particles: list) -> tuple[float, int]:
    """Soft-drop mass (β = 0, z_cut = 0.1) and number of primary splittings with kT > 1 GeV."""
    sequence = fastjet.ClusterSequence(particles, CAMBRIDGE)
    here, groomed, lund = sequence.inclusive_jets()[0], None, 0
    b, c = fastjet.PseudoJet(), fastjet.PseudoJet()
    while here.has_parents(b, c):
        b, c = (b, c) if b.pt() > c.pt() else (c, b)
        lund += c.pt() * b.delta_R(c) > 1
        if groomed is None and c.pt() > 0.1 * (b.pt() + c.pt()):
            groomed = here.m()
        here, b, c = b, fastjet.PseudoJet(), fastjet.PseudoJet()
    return here.m() if groomed is None else groomed, lund


def subjettiness(particles: list, pt: np.ndarray, y: np.ndarray, phi: np.ndarray) -> list[float]:
    """τ1, τ2, τ3 but for their common factor; axes of exclusive kT with winner-take-all recombination."""
    sequence = fastjet.ClusterSequence(particles, KT_WINNER)
    tau = []
    for n in (1, 2, 3):
        axes = [(axis.rap(), axis.phi()) for axis in sequence.exclusive_jets(n)]
        tau.append(pt @ np.min([np.hypot(y - a, wrapped(phi - b)) for a, b in axes], axis=0))
    return tau
