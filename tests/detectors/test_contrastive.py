"""Augmentations by what they conserve, and the contrastive loss by known answers."""

import math

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.detectors.augmentations import (
    Augmentations,
    Layout,
    drop_objects,
    in_order,
    reflect_image,
    reflect_objects,
    rotate_image,
    rotate_objects,
    scale_pixels,
    smear_objects,
)
from hepad.detectors.contrastive import nt_xent
from hepad.errors import CollapseError, InputError
from hepad.representations import EventMatrix, Space

ROWS = ("jet1", "jet2", "jet3", "jet4", "b_jet1", "b_jet2", "muon1", "met")
FEATURES = ("px", "py", "eta", "mass")
MATRIX = Space((1, 8, 4), tuple(f"{row}_{feature}" for row in ROWS for feature in FEATURES), objects=True)
LAYOUT = Layout.of(MATRIX)
IMAGE = Space((1, 8, 8), (), 64)
VECTOR = Space((3,), ("a", "b", "c"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix(n: int = 200, seed: int = 0) -> torch.Tensor:
    """Events with one to four jets, up to two b jets and a muon, in double precision, in order of pt."""
    rng = np.random.default_rng(seed)
    pt, phi = 20 + rng.exponential(100, (n, 8)), rng.uniform(-np.pi, np.pi, (n, 8))
    x = np.stack([pt * np.cos(phi), pt * np.sin(phi), rng.normal(0, 1.5, (n, 8)), rng.exponential(10, (n, 8))], -1)
    for rows, least in (((0, 1, 2, 3), 1), ((4, 5), 0), ((6,), 0)):
        absent = np.arange(len(rows)) >= rng.integers(least, len(rows) + 1, (n, 1))
        x[:, rows] *= ~absent[..., None]
    x[:, 7, 2:] = 0
    return in_order(torch.from_numpy(x).unsqueeze(1), LAYOUT)


def momenta(x: torch.Tensor) -> torch.Tensor:
    """(B, R, 4) E, px, py, pz."""
    px, py, eta, mass = x[:, 0].unbind(-1)
    pz = torch.hypot(px, py) * torch.sinh(eta)
    return torch.stack([(px**2 + py**2 + pz**2 + mass**2).sqrt(), px, py, pz], -1)


def masses(p: torch.Tensor) -> torch.Tensor:
    """(B, R, R) squared invariant masses of all pairs."""
    total = p.unsqueeze(1) + p.unsqueeze(2)
    return total[..., 0] ** 2 - total[..., 1:].square().sum(-1)


def images(n: int = 50, seed: int = 0) -> torch.Tensor:
    x = torch.rand(n, 1, 8, 8, generator=generator(seed), dtype=torch.float64) ** 4
    return x / x.sum((1, 2, 3), keepdim=True)


def test_layout_of_a_matrix_that_begins_with_b_jets():
    layout = Layout.of(EventMatrix(jets=0, b_jets=2, muons=0, electrons=0, photons=1).space)
    assert layout.features == {"px": 0, "py": 1, "eta": 2, "mass": 3}
    assert layout.classes.tolist() == [0, 0, 1, 2]
    assert layout.met.tolist() == [False, False, False, True]


@pytest.mark.parametrize("separator", ["{}{}_{}", "{}_{}.{}"])
def test_layout_reads_both_ways_of_writing_columns(separator):
    columns = [separator.format(name, i, f) for name in ("jet", "b_jet") for i in (1, 2) for f in FEATURES]
    layout = Layout.of(Space((1, 4, 4), tuple(columns), objects=True))
    assert layout.classes.tolist() == [0, 0, 1, 1]
    assert layout.features == {"px": 0, "py": 1, "eta": 2, "mass": 3}
    assert LAYOUT.classes.tolist() == [0, 0, 0, 0, 1, 1, 2, 3]
    assert LAYOUT.met.tolist() == [False] * 7 + [True]


def test_rotation_keeps_masses_and_met_and_turns_every_direction():
    x, angle = matrix(), torch.linspace(-3, 3, 200, dtype=torch.float64)
    y = rotate_objects(x, LAYOUT, angle)
    torch.testing.assert_close(masses(momenta(y)), masses(momenta(x)))
    torch.testing.assert_close(LAYOUT.pt(y), LAYOUT.pt(x))
    there = (x != 0).any(-1)[:, 0]
    assert torch.equal((y != 0).any(-1)[:, 0], there)
    turned = [torch.atan2(e[:, 0, :, 1], e[:, 0, :, 0]) for e in (x, y)]
    difference = torch.remainder(turned[1] - turned[0] - angle.unsqueeze(1) + math.pi, 2 * math.pi) - math.pi
    assert difference[there].abs().max() < 1e-12


def test_reflection_keeps_masses_and_is_its_own_inverse():
    x, flip = matrix(), torch.arange(200) % 2 == 0
    y = reflect_objects(x, LAYOUT, flip)
    torch.testing.assert_close(masses(momenta(y)), masses(momenta(x)))
    assert torch.equal(y[flip][..., 2], -x[flip][..., 2])
    assert torch.equal(y[~flip], x[~flip])
    assert torch.equal(reflect_objects(y, LAYOUT, flip), x)


def test_smearing_keeps_directions_and_the_balance_with_met():
    x = matrix()
    factor = 1 + 0.2 * torch.randn(200, 8, generator=generator(), dtype=torch.float64)
    factor[:, :6] = factor[:, :1]  # each class by one factor: its order stays, and rows can be compared
    y = smear_objects(x, LAYOUT, factor)
    torch.testing.assert_close(y[:, 0, :, :2].sum(1), x[:, 0, :, :2].sum(1))
    torch.testing.assert_close(y[:, 0, :, 2], x[:, 0, :, 2])
    expected = momenta(x)[:, :7] * factor[:, :7, None]
    torch.testing.assert_close(momenta(y)[:, :7], expected)  # whole four-momenta: masses scale with them
    assert (y[:, 0, 7] != x[:, 0, 7]).any(-1).all()


def test_dropping_takes_soft_objects_only():
    x = matrix()
    y = drop_objects(x, LAYOUT, torch.ones(200, 8, dtype=torch.bool))
    pt, left = LAYOUT.pt(x)[:, :7], LAYOUT.pt(y)[:, :7]
    threshold = 0.25 * pt.amax(1, keepdim=True)
    kept = torch.where(pt >= threshold, pt, 0)
    torch.testing.assert_close(left.sort(1).values, kept.sort(1).values)
    assert (left.amax(1) == pt.amax(1)).all()
    assert 0 < ((pt > 0) & (kept == 0)).sum() < (pt > 0).sum()
    assert torch.equal(y[:, :, 7], x[:, :, 7])
    assert torch.equal(drop_objects(x, LAYOUT, torch.zeros(200, 8, dtype=torch.bool)), x)


def test_objects_are_put_in_order_within_their_class():
    x = matrix()
    shuffled = x[:, :, torch.tensor([2, 0, 3, 1, 5, 4, 6, 7])]
    assert torch.equal(in_order(shuffled, LAYOUT), x)


def test_images_are_turned_and_mirrored_as_a_whole():
    x = images()
    turns = torch.arange(50) % 4
    y = rotate_image(x, turns)
    for k in range(4):
        assert torch.equal(y[turns == k], x[turns == k].rot90(k, (2, 3)))
    assert torch.equal(rotate_image(y, (4 - turns) % 4), x)
    flip = torch.arange(50) % 3 == 0
    z = reflect_image(x, flip)
    assert torch.equal(z[flip], x[flip].flip(3))
    assert torch.equal(reflect_image(z, flip), x)
    for same in (y, z):
        assert torch.equal(same.flatten(1).sort(1).values, x.flatten(1).sort(1).values)


def test_pixels_keep_their_sum_or_their_range():
    x = images()
    factor = torch.rand(x.shape, generator=generator(1), dtype=torch.float64) * 3
    y = scale_pixels(x, factor, unit_sum=True)
    torch.testing.assert_close(y.sum((1, 2, 3)), torch.ones(50, dtype=torch.float64))
    assert torch.equal(scale_pixels(x, torch.zeros_like(x), unit_sum=True), x)  # an image without pixels is none
    z = scale_pixels(x * 40, factor, unit_sum=False)
    assert z.max() == 1
    assert z.min() >= 0


@pytest.mark.parametrize("space", [MATRIX, IMAGE, VECTOR, Space((66,), ("m", "n"), 64)])
def test_all_together_change_events_and_none_changes_nothing(space):
    x = matrix().float() if space.objects else torch.rand(200, *space.shape, generator=generator(2))
    if space.pixels:
        x = x / x.flatten(1).sum(1).view(-1, *[1] * len(space.shape))
    width = torch.ones(space.shape)
    y = Augmentations(space)(x, width, generator())
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert (y != x).flatten(1).any(1).all()
    torch.testing.assert_close(Augmentations(space, {})(x, width, generator()), x)
    if space.objects:
        assert ((y != 0).any(-1).sum(2) <= (x != 0).any(-1).sum(2)).all()


def test_columns_are_smeared_by_their_own_width():
    x, width = torch.zeros(20_000, 3), torch.tensor([1.0, 10.0, 0.0])
    y = Augmentations(VECTOR, {"smear": 0.5})(x, width, generator())
    np.testing.assert_allclose(y.std(0).numpy(), [0.5, 5.0, 0], rtol=0.03)


@pytest.mark.parametrize(
    ("space", "strengths", "message"),
    [
        (VECTOR, {"rotate": 1.0}, "Allowed: smear"),
        (IMAGE, {"rotat": 1.0}, "Did you mean 'rotate'"),
        (IMAGE, {"drop": 1.5}, "drop: 1.5"),
        (IMAGE, {"smear": -1.0}, "smear: -1.0"),
        (Space((1, 1, 3), ("jet1_pt", "jet1_eta", "jet1_phi"), objects=True), None, "px, py and some of"),
        (Space((1, 1, 3), ("a", "b", "c"), objects=True), None, "columns such as 'jet1_px'"),
        (Space((60,), (), 60), None, "square"),
    ],
)
def test_bad_augmentations_name_themselves(space, strengths, message):
    with pytest.raises(InputError, match=message):
        Augmentations(space, strengths)


def test_nt_xent_of_known_similarities():
    # two events; views agree, events are orthogonal: l = -log e^(1/t) / (e^(1/t) + 2)
    a = torch.eye(2, 5) * torch.tensor([[3.0], [0.2]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert nt_xent(a, a, 0.5).item() == pytest.approx(expected, rel=1e-6)
    same = torch.ones(7, 4)
    assert nt_xent(same, same, 0.1).item() == pytest.approx(math.log(13), rel=1e-6)  # chance


def test_nt_xent_is_the_sum_of_its_definition():
    a, b = torch.randn(2, 6, 4, generator=generator(), dtype=torch.float64)
    z = torch.nn.functional.normalize(torch.cat([a, b]), dim=1).numpy()
    terms = []
    for i in range(12):
        e = [math.exp(z[i] @ z[k] / 0.3) for k in range(12)]
        terms.append(-math.log(e[(i + 6) % 12] / (sum(e) - e[i])))
    assert nt_xent(a, b, 0.3).item() == pytest.approx(np.mean(terms), rel=1e-10)
    order = torch.randperm(6, generator=generator(1))
    assert nt_xent(a[order], b[order], 0.3).item() == pytest.approx(nt_xent(a, b, 0.3).item(), rel=1e-12)


def contrastive(space: Space, **arguments):
    training = {"training": {"steps": 150, "batch": 64, "learning_rate": 3e-3}, "hidden_dims": [32], "embedding": 6}
    return detectors.build({"type": "Contrastive", "arguments": training | arguments}, space, 0)


def test_the_embedding_of_rotated_events_is_closer_than_that_of_others():
    x = matrix(1200).float()
    detector = contrastive(MATRIX, hidden_dims=[64], n_gaussians=[1, 2], augmentations={"rotate": 1.0})
    fit = detector.fit(x[:1000], x[1000:], generator=generator())
    assert fit.facts["nt_xent"] < 0.8 * fit.facts["nt_xent_of_chance"]
    turned = rotate_objects(x[1000:], LAYOUT, torch.rand(200, generator=generator(3)) * 6)
    with torch.no_grad():
        a, b = (detector.encoder(detector.normalise(e)) for e in (x[1000:], turned))
    distance = torch.cdist(a, b)
    assert distance.diagonal().mean() < 0.5 * distance.mean()


def test_views_are_of_physical_events():
    x = matrix(500).float()
    detector = contrastive(MATRIX, augmentations={"rotate": 1.0})
    detector.normalise.fit(x, generator())
    view = detector.normalise.invert(detector.view(detector.normalise(x), generator(1)))
    there = (x != 0).any(-1)
    assert torch.equal((view != 0).any(-1), there)
    torch.testing.assert_close(LAYOUT.pt(view), LAYOUT.pt(x), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(view[..., 2:], x[..., 2:], rtol=1e-3, atol=1e-2)


def test_a_collapsed_embedding_is_refused():
    x = images(300).float()
    with pytest.raises(CollapseError, match="by chance"):
        # every view is noise: nothing of the event is left to be recognised
        contrastive(IMAGE, augmentations={"drop": 0.98}).fit(x[:200], x[200:], generator=generator())


def test_bad_settings_name_themselves():
    for arguments in ({"temperature": 0.0}, {"embedding": 1}):
        with pytest.raises(InputError, match="temperature > 0"):
            contrastive(VECTOR, **arguments)
