"""Substructure: known answers, invariances, and brute force or fastjet's own contribs as references."""

from dataclasses import replace
from itertools import combinations, product

import awkward as ak
import fastjet
import numpy as np
import pytest
import vector

from hepad.events.kinematics import delta_r, to_cartesian
from hepad.representations import EventVector, declustering, substructure
from hepad.representations.event_vector import SUBSTRUCTURE, VARIABLES
from hepad.representations.substructure import Jets

OF_CONSTITUENTS = [
    name for name in VARIABLES
    if not name.startswith(("jet_", "met", "n_", "delta_phi", "ht", "second"))
]  # fmt: skip


@pytest.fixture(scope="module")
def constituents(make_events):
    return make_events(80, 5, prongs=2).constituents.astype(np.float64)


@pytest.fixture(scope="module")
def sequence(constituents):
    """The same jets in fastjet, made without this package's clustering."""
    p = [to_cartesian(jet[jet[:, 0] > 0]) for jet in constituents]
    array = ak.Array([[dict(zip(("px", "py", "pz", "E"), row, strict=True)) for row in jet] for jet in p])
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0)
    return fastjet.ClusterSequence(ak.with_name(array, "Momentum4D"), definition)


def jets(*rows, n=1):
    """(n, P, 4) massless constituents from rows (pt, y, phi)."""
    one = np.zeros((1, len(rows), 4))
    one[0, :, :3] = rows
    return one.repeat(n, axis=0)


def rapidities(constituents):
    pt, eta, _, mass = np.moveaxis(np.asarray(constituents, float), -1, 0)
    return np.arcsinh(pt * np.sinh(eta) / np.maximum(np.hypot(pt, mass), 1e-300))


def branch_of(constituents):
    return declustering.primary_branch(declustering.cluster(Jets(constituents), declustering.CAMBRIDGE))


def test_mass_against_vector(constituents):
    pt, eta, phi, mass = np.moveaxis(constituents, -1, 0)
    p = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    total = vector.array({name: getattr(p, name).sum(axis=1) for name in ("px", "py", "pz", "E")})
    np.testing.assert_allclose(substructure.mass(Jets(constituents)), total.mass, rtol=1e-9)


def test_rapidity_against_vector(constituents):
    pt, eta, phi, mass = np.moveaxis(constituents[constituents[..., 0] > 0], -1, 0)
    expected = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass}).rapidity
    found = Jets(constituents).y
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_equal_constituents():
    """Four of equal pT on a square: every answer is known."""
    a = 0.01
    square = Jets(jets((100, a, a), (100, a, -a), (100, -a, a), (100, -a, -a)))
    assert substructure.multiplicity(square) == 4
    assert substructure.pt_dispersion(square) == pytest.approx(0.5)
    assert substructure.leading_fraction(square) == pytest.approx(0.25)
    assert substructure.girth(square) == pytest.approx(np.sqrt(2) * a, rel=1e-4)
    assert substructure.axes(square) == pytest.approx((a, a))
    e2, _ = substructure.energy_correlations(square)
    assert e2 == pytest.approx((4 * 2 * a + 2 * np.sqrt(8) * a) / 16)


def test_two_constituents():
    two = Jets(jets((300, 0.0, 0.1), (100, 0.0, -0.3)))
    assert substructure.mass(two) == pytest.approx(np.sqrt(2 * 300 * 100 * (1 - np.cos(0.4))), rel=1e-9)
    assert substructure.axes(two) == pytest.approx((np.sqrt(0.75 * 0.25) * 0.4, 0))
    e2, e3 = substructure.energy_correlations(two)
    assert e2 == pytest.approx(0.75 * 0.25 * 0.4)
    assert e3 == 0
    # the winner-take-all axis is the harder one: only the softer is away from it
    tau = declustering.n_subjettiness(two, radius=0.8)
    assert tau[:, 0] == pytest.approx([0.25 * 0.4 / 0.8, 0, 0])
    branch = declustering.primary_branch(declustering.cluster(two, declustering.CAMBRIDGE))
    assert (branch.z[0, 0], branch.delta[0, 0], branch.kt[0, 0]) == pytest.approx((0.25, 0.4, 40))
    assert declustering.lund_multiplicity(branch, kt_min=39) == 1
    assert declustering.lund_multiplicity(branch, kt_min=41) == 0


def test_limits_of_few_constituents(make_events):
    """One constituent: everything angular is 0; N constituents: τ_N and what builds on it is 0."""

    def values(count):
        events = make_events(5, 1)
        events = replace(events, constituents=events.constituents[:, :count])
        table = EventVector(OF_CONSTITUENTS)(events).numpy()
        return dict(zip(OF_CONSTITUENTS, table.T, strict=True))

    for name, value in values(1).items():
        if name in ("multiplicity", "pt_dispersion", "leading_fraction"):
            np.testing.assert_allclose(value, 1)
        elif name in ("mass", "soft_drop_mass"):
            np.testing.assert_allclose(value, 0.1396, rtol=1e-3)
        else:
            np.testing.assert_allclose(value, 0, atol=1e-12, err_msg=name)
    for count, zero in {2: ("tau2", "tau21", "tau32", "e3", "c2", "d2"), 3: ("tau3", "tau32"), 4: ("tau43",),
                        5: ("tau54",)}.items():  # fmt: skip
        found = values(count)
        assert all((found[name] == 0).all() for name in zero)
        assert (found["tau1"] > 0).all()
    assert (values(3)["tau2"] > 0).all()


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_energy_correlations_against_loops(constituents, beta):
    few = constituents[:12, :9].copy()
    few[3, 5:] = few[7, 2:] = 0
    e2, e3 = substructure.energy_correlations(Jets(few), beta)
    y = rapidities(few)
    for k, jet in enumerate(few):
        used = np.flatnonzero(jet[:, 0])
        z, phi = jet[:, 0] / jet[:, 0].sum(), jet[:, 2]

        def r(i, j, k=k, phi=phi):
            return delta_r(y[k, i], phi[i], y[k, j], phi[j]) ** beta

        loop2 = sum(z[i] * z[j] * r(i, j) for i, j in combinations(used, 2))
        loop3 = sum(z[i] * z[j] * z[m] * r(i, j) * r(j, m) * r(m, i) for i, j, m in combinations(used, 3))
        assert (e2[k], e3[k]) == pytest.approx((loop2, loop3), rel=2e-5)


GRAPHS = {
    "efp_22": [(0, 1), (0, 1)],
    "efp_23": [(0, 1), (0, 1), (0, 1)],
    "efp_32": [(0, 1), (1, 2)],
    "efp_33": [(0, 1), (0, 1), (1, 2)],
    "efp_star": [(0, 1), (0, 2), (0, 3)],
    "efp_chain": [(0, 1), (1, 2), (2, 3)],
}


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_energy_flow_against_the_sum_over_all_vertices(constituents, beta):
    few = constituents[:6, :6].copy()
    few[3, 4:] = few[5, 1:] = 0
    found = substructure.energy_flow(Jets(few), beta)
    assert set(found) == set(GRAPHS)
    y = rapidities(few)
    for k, jet in enumerate(few):
        used, z, phi = np.flatnonzero(jet[:, 0]), jet[:, 0] / jet[:, 0].sum(), jet[:, 2]
        r = delta_r(y[k][:, None], phi[:, None], y[k], phi) ** beta
        np.fill_diagonal(r, 0)
        for name, graph in GRAPHS.items():
            vertices = 1 + max(max(edge) for edge in graph)
            loop = sum(
                np.prod(z[list(at)]) * np.prod([r[at[a], at[b]] for a, b in graph])
                for at in product(used, repeat=vertices)
            )
            assert found[name][k] == pytest.approx(loop, rel=2e-5), name


def test_energy_flow_of_two_constituents():
    """z and 1 - z at distance d: with u = z (1 - z), efp_2k = 2 u d^k and the others follow from v = (1 - z, z) d."""
    found, u, d = substructure.energy_flow(Jets(jets((300, 0.0, 0.1), (100, 0.0, -0.3)))), 0.75 * 0.25, 0.4
    expected = {
        "efp_22": 2 * u * d**2,
        "efp_23": 2 * u * d**3,
        "efp_32": u * d**2,
        "efp_33": u * d**3,
        "efp_star": u * (0.75**2 + 0.25**2) * d**3,
        "efp_chain": 2 * u**2 * d**3,
    }
    assert {name: value[0] for name, value in found.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "power"), [("C2", 2), ("D2", 3)])
def test_energy_correlations_against_fastjet(constituents, sequence, name, power):
    e2, e3 = substructure.energy_correlations(Jets(constituents))
    expected = ak.to_numpy(sequence.exclusive_jets_energy_correlator(func=name))
    np.testing.assert_allclose(e3 / e2**power, expected, rtol=2e-5)


@pytest.mark.parametrize(("z_cut", "beta"), [(0.1, 0.0), (0.2, 1.0), (0.45, 0.0)])
def test_soft_drop_against_fastjet(constituents, sequence, z_cut, beta):
    expected = sequence.exclusive_jets_softdrop_grooming(1, beta, z_cut, "scalar_z", 0.8)
    found = declustering.soft_drop(branch_of(constituents), z_cut, beta, 0.8)
    dropped = found.sharing > 0
    assert dropped.mean() > 0.3
    np.testing.assert_allclose(found.mass, ak.to_numpy(expected.msoftdrop), rtol=1e-6)
    np.testing.assert_allclose(found.angle[dropped], ak.to_numpy(expected.deltaRsoftdrop)[dropped], rtol=1e-6)
    np.testing.assert_allclose(found.sharing[dropped], ak.to_numpy(expected.symmetrysoftdrop)[dropped], rtol=1e-6)


def test_branch_against_fastjet(constituents, sequence):
    """Every primary splitting, and the constituent's mass at the end of the branch."""
    lund = sequence.exclusive_jets_lund_declusterings(1)[:, 0]
    branch = branch_of(constituents)
    for k in range(len(constituents)):
        depth = len(lund[k])
        np.testing.assert_allclose(branch.kt[k, :depth], lund[k].kt, rtol=1e-6)
        np.testing.assert_allclose(branch.delta[k, :depth], lund[k].Delta, rtol=1e-6)
        assert (branch.kt[k, depth:] == 0).all()
    np.testing.assert_allclose(branch.mass[:, 0], substructure.mass(Jets(constituents)), rtol=1e-6)
    np.testing.assert_allclose(branch.mass[:, -1], 0.1396, rtol=1e-2)


def test_soft_drop_removes_soft_wide_radiation():
    jet = jets((300, 0, 0.1), (200, 0, -0.1), (20, 0.5, 0.0))
    groomed = declustering.soft_drop(branch_of(jet), z_cut=0.1)
    assert groomed.mass == pytest.approx(substructure.mass(Jets(jet[:, :2])), rel=1e-6)
    assert (groomed.angle, groomed.sharing) == (pytest.approx(0.2), pytest.approx(0.4))


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_n_subjettiness_against_fastjet(constituents, sequence, beta):
    expected = ak.to_numpy(sequence.njettiness("NormalizedMeasure", "WTA_KT_Axes", [1, 2, 3, 4], beta, 0.8))
    np.testing.assert_allclose(declustering.n_subjettiness(Jets(constituents), 4, beta, 0.8).T, expected, atol=1e-9)


def test_prongs(make_events):
    """Two narrow prongs of like pT have τ2 << τ1; a third makes τ3 << τ2."""
    rng = np.random.default_rng(2)

    def toy(prongs):
        c = np.zeros((50, 30, 4))
        c[..., 0] = rng.uniform(10, 30, (50, 30))
        c[..., 1:3] = np.array(prongs)[np.arange(30) % len(prongs)] + rng.normal(0, 0.02, (50, 30, 2))
        tau = declustering.n_subjettiness(Jets(c))
        return tau[1] / tau[0], tau[2] / tau[1]

    tau21, tau32 = toy([(0, 0.3), (0, -0.3)])
    assert tau21.max() < 0.2
    assert tau32.min() > 0.5
    tau21, tau32 = toy([(0, 0.3), (0.3, -0.2), (-0.3, -0.2)])
    assert tau21.min() > 0.3
    assert tau32.max() < 0.25
    assert toy([(0, 0)])[0].min() > 0.5


@pytest.mark.parametrize("change", ["boost along the beam", "rotation about the beam", "reflection"])
def test_invariances(make_events, change):
    events = make_events(40, 8, prongs=3)
    p = events.constituents.astype(np.float64)
    present = p[..., 0] > 0
    moved = p.copy()
    if change == "boost along the beam":
        transverse_mass = np.hypot(p[..., 0], p[..., 3])
        moved[..., 1] = np.arcsinh(np.sinh(rapidities(p) + 0.7) * transverse_mass / np.where(present, p[..., 0], 1))
    elif change == "rotation about the beam":
        moved[..., 2] = (p[..., 2] + 2 + np.pi) % (2 * np.pi) - np.pi
    else:
        moved[..., 1] *= -1
    moved *= present[..., None]
    representation = EventVector(OF_CONSTITUENTS)
    a = representation(replace(events, constituents=p)).numpy()
    b = representation(replace(events, constituents=moved)).numpy()
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)


def test_collinear_safety(constituents):
    """Splitting the hardest constituent in two changes no safe variable, but those that count do change."""
    half = constituents[:, :1] * [0.5, 1, 1, 0]
    split = np.concatenate([half, half, constituents[:, 1:]], axis=1)
    whole = constituents.copy()
    whole[:, 0, 3] = 0
    for f in (substructure.mass, substructure.girth):
        np.testing.assert_allclose(f(Jets(split)), f(Jets(whole)), rtol=1e-6)
    np.testing.assert_allclose(
        substructure.energy_correlations(Jets(split)), substructure.energy_correlations(Jets(whole)), rtol=2e-5
    )
    split_efp, whole_efp = substructure.energy_flow(Jets(split)), substructure.energy_flow(Jets(whole))
    for name in substructure.ENERGY_FLOW:
        np.testing.assert_allclose(split_efp[name], whole_efp[name], rtol=2e-5)
    np.testing.assert_allclose(
        declustering.n_subjettiness(Jets(split)), declustering.n_subjettiness(Jets(whole)), rtol=1e-6
    )
    assert (substructure.pt_dispersion(Jets(split)) < substructure.pt_dispersion(Jets(whole))).all()
    assert (substructure.multiplicity(Jets(split)) == substructure.multiplicity(Jets(whole)) + 1).all()


def test_ranges(make_events):
    events = make_events(200, 4, prongs=2)
    table = EventVector(OF_CONSTITUENTS)(events).double().numpy()
    found = dict(zip(OF_CONSTITUENTS, table.T, strict=True))
    assert set(SUBSTRUCTURE) <= set(found)
    for name in ("tau21", "tau32", "tau43", "tau54", "pt_dispersion", "leading_fraction", "planar_flow"):
        assert (found[name] > 0).all()
        assert (found[name] <= 1 + 1e-6).all(), name
    assert (found["soft_drop_mass"] <= found["mass"] * (1 + 1e-6)).all()
    assert ((found["soft_drop_sharing"] > 0.1) & (found["soft_drop_sharing"] <= 0.5)).mean() > 0.9
    assert (found["minor_axis"] <= found["major_axis"]).all()
