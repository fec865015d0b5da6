"""Model samples: ways between events end at the events, images on them stay images, samples keep their law."""

import math

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Support, langevin
from hepad.detectors.energy_based.negative_sampling import ContrastiveDivergence, PersistentCD
from hepad.errors import InputError
from hepad.evaluation import model_samples
from hepad.figures.model_samples import beside_data
from hepad.figures.paths import energy_paths
from hepad.figures.style import style
from hepad.representations import Space

IMAGE = Space((1, 8, 8), pixels=64)
BOTH = Space((67,), ("a", "b", "c"), pixels=64)
VECTOR = Space((3,), ("a", "b", "c"))
SHORT = {"steps": 3, "batch": 50}
CHAIN = {"n_steps": 2, "step_size": 0.05, "noise_std": 0.05}
START = {"pretraining": {"steps": 300, "batch": 50, "learning_rate": 0.005}, "training": SHORT, "visible_chain": CHAIN}
SMALL = {"hidden_dims": [16], "latent_dim": 3}
SPECS = {
    "NAE": {"autoencoder": SMALL, "latent_chain": CHAIN, **START},
    "WNAE": {"autoencoder": SMALL | {"sphere": False}, **START},
    "MPDR": {"autoencoder": SMALL, "latent_chain": CHAIN, **START},
    "IGEBM": {"hidden_dims": [16], "training": SHORT, "visible_chain": CHAIN},
}
CONFIG = {"sqrt_s_tev": 14}


def events(space, count, seed, width=1.5):
    """Images with a blob of the given width at a random place, and columns that know of the place."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(2, 5, (count, 2))
    pixel = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    image = np.exp(-np.square(pixel - place[:, None]).sum(-1) / (2 * width**2))
    image /= image.sum(1, keepdims=True)
    columns = np.column_stack([place, np.round(place.sum(1))]) * width
    parts = {IMAGE: [image], BOTH: [image, columns], VECTOR: [columns]}[space]
    return torch.from_numpy(np.concatenate(parts, 1)).float().view(count, *space.shape)


def fitted(kind, space, **arguments):
    detector = detectors.build({"type": kind, "arguments": SPECS[kind] | arguments}, space, 1)
    generator = torch.Generator().manual_seed(1)
    detector.fit(events(space, 200, 1), events(space, 100, 2), generator=generator)
    return detector


@pytest.fixture(scope="module")
def nae():
    return fitted("NAE", IMAGE)


def test_slerp_goes_along_the_great_circle_at_constant_speed():
    a, b = torch.nn.functional.normalize(torch.randn(2, 20, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    way = model_samples.slerp(a, b, 11)
    torch.testing.assert_close(way.norm(dim=-1), torch.ones(11, 20))
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    angle = torch.acos((a * b).sum(-1))
    steps = torch.acos((way[1:] * way[:-1]).sum(-1))
    torch.testing.assert_close(steps, (angle / 10).expand(10, 20), atol=1e-4, rtol=0)
    quarter = model_samples.slerp(torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]]), 3)[1, 0]
    assert quarter.tolist() == pytest.approx([math.sqrt(0.5)] * 2)


def test_slerp_between_equal_or_opposite_points_stays_on_the_sphere():
    a = torch.nn.functional.normalize(torch.randn(20, 5, generator=torch.Generator().manual_seed(1)), dim=-1)
    torch.testing.assert_close(model_samples.slerp(a, a, 5), a.expand(5, 20, 5))
    torch.testing.assert_close(model_samples.slerp(a, -a, 4).norm(dim=-1), torch.ones(4, 20))


def test_straight_line_between_images_keeps_their_sum():
    a, b = events(IMAGE, 10, 3), events(IMAGE, 10, 4, width=0.7)
    way = model_samples.straight(a, b, 7)
    assert torch.equal(way[0], a)
    assert torch.equal(way[-1], b)
    torch.testing.assert_close(way[3], (a + b) / 2)
    torch.testing.assert_close(way.flatten(2).sum(2), torch.ones(7, 10))
    assert way.min() >= 0


@pytest.mark.parametrize(("kind", "space"), [("NAE", IMAGE), ("WNAE", VECTOR), ("MPDR", BOTH)])
def test_energies_at_the_ends_are_the_scores(kind, space):
    detector = fitted(kind, space)
    a, b = events(space, 30, 3), events(space, 30, 4, width=0.7)
    found = model_samples.energies_between(detector, a, b, steps=5)
    line, geodesic = found[model_samples.LINE], found[model_samples.GEODESIC]
    assert line.shape == geodesic.shape == (5, 30)
    torch.testing.assert_close(line[0], detector.score(a))
    torch.testing.assert_close(line[-1], detector.score(b))
    # the geodesic ends at what the autoencoder makes of the events
    model = model_samples.autoencoder_of(detector)
    for end, x in ((0, a), (-1, b)):
        made = detector.normalise.invert(model(detector.normalise(x)).detach())
        torch.testing.assert_close(geodesic[end], detector.score(made), rtol=1e-3, atol=1e-5)


def test_a_detector_without_autoencoder_has_the_straight_line_alone():
    detector = fitted("IGEBM", VECTOR)
    assert model_samples.autoencoder_of(detector) is None
    assert list(model_samples.energies_between(detector, *2 * [events(VECTOR, 5, 3)])) == [model_samples.LINE]


def test_negatives_are_those_of_the_detector(nae):
    x = events(IMAGE, 12, 3)
    found = model_samples.negatives(nae, x, torch.Generator().manual_seed(5))
    generator, support = torch.Generator().manual_seed(5), nae.normalise.support()
    stages = nae.sampler(support, generator).draw(nae.energy, nae.normalise(x), support, generator)
    expected = [nae.normalise.invert(stage) for stage in stages]
    assert list(found) == list(model_samples.STAGES)
    for sample, stage in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(sample.x, stage[:, 0].numpy())
        np.testing.assert_allclose(sample.energy, nae.score(stage).numpy(), rtol=1e-4)
        np.testing.assert_allclose(sample.x.sum((1, 2)), 1, rtol=1e-4)
    # only a sampler with a latent chain has a stage between
    plain = model_samples.negatives(fitted("IGEBM", VECTOR), events(VECTOR, 6, 3), torch.Generator().manual_seed(5))
    assert list(plain) == [model_samples.STAGES[0], model_samples.STAGES[2]]
    assert not np.allclose(plain[model_samples.STAGES[0]].x, plain[model_samples.STAGES[2]].x)


def test_energy_of_a_compressed_image_is_that_of_the_chains_point():
    """The picture has lost the distance to the plane, the energy has not."""
    detector = fitted("MPDR", BOTH, n_components=3)
    x, generator = events(BOTH, 12, 3), torch.Generator().manual_seed(5)
    end = model_samples.negatives(detector, x, generator)[model_samples.STAGES[2]]
    assert end.x.shape == (12, 8, 8)
    sampler, generator = detector.sampler(detector.normalise.support(), generator), torch.Generator().manual_seed(5)
    z = sampler.draw(detector.energy, detector.normalise(x), detector.normalise.support(), generator).x
    np.testing.assert_allclose(end.energy, detector.anomaly(z).detach().numpy(), rtol=1e-5)


def test_a_longer_chain_is_the_chain_continued():
    """Without noise, three times the steps are the chain run three times; the sampler itself keeps its length."""
    chain, space = Chain(n_steps=4, step_size=0.1, noise_std=0.0), Support()
    sampler = ContrastiveDivergence(chain)
    longer = model_samples.lengthened(sampler, 3)
    assert (sampler.visible.n_steps, longer.visible.n_steps) == (4, 12)
    x, generator = torch.randn(9, 2, generator=torch.Generator().manual_seed(1)), torch.Generator()

    def bowl(x):
        return x.square().sum(1)

    once = langevin(bowl, x, longer.visible, domain=space, generator=generator)
    torch.testing.assert_close(once, 0.8**12 * x)
    graph = PersistentCD(chain, ReplayBuffer(10, 0.5, lambda n: torch.zeros(n, 2)), differentiable=True)
    assert not model_samples.lengthened(graph, 3).differentiable


@pytest.mark.parametrize("space", [IMAGE, BOTH])
def test_what_is_seen_of_images(space):
    x = events(space, 4, 3)
    assert model_samples.seen(space, x).shape == (4, 8, 8)
    np.testing.assert_array_equal(model_samples.seen(space, x).reshape(4, -1), x.flatten(1)[:, :64])
    two = Space((131,), ("a", "b", "c"), pixels=128)  # two images are none of square shape
    assert model_samples.seen(two, torch.zeros(4, 131)).shape == (4, 3)


def test_looking_changes_nothing_and_repeats(nae):
    x = {"QCD": events(IMAGE, 40, 3), "top": events(IMAGE, 30, 4, width=0.7)}
    before = {name: tensor.clone() for name, tensor in nae.state_dict().items()}
    one, two = (model_samples.look_into(nae, "QCD", x["QCD"]) for _ in range(2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in nae.state_dict().items())
    np.testing.assert_array_equal(one.model_samples[model_samples.MODEL].x, two.model_samples[model_samples.MODEL].x)


def test_another_signal_leaves_the_way_to_the_first(nae):
    x, top = events(IMAGE, 40, 3), events(IMAGE, 30, 4, width=0.7)
    one = model_samples.energies_to(nae, x, {"top": top}, pairs=50)
    assert list(one) == ["top"]
    assert one["top"][model_samples.LINE].shape[1] == 30
    more = model_samples.energies_to(nae, x, {"more": events(IMAGE, 30, 5), "top": top}, pairs=50)
    np.testing.assert_array_equal(one["top"][model_samples.LINE], more["top"][model_samples.LINE])


def test_figure_of_images(nae):
    x = {"QCD": events(IMAGE, 40, 3), "top": events(IMAGE, 30, 4, width=0.7)}
    found = model_samples.look_into(nae, "QCD", x["QCD"])
    with style(CONFIG):
        figure = beside_data(found.negatives, (), CONFIG, title="NAE")
    *panels, _ = figure.axes
    assert [len(ax.images) for ax in panels] == [8] * 4
    assert panels[0].get_ylabel() == "QCD"
    for ax, (shown, energy) in zip(panels, found.negatives.values(), strict=True):
        lowest = ax.images[0].norm.vmin
        np.testing.assert_allclose(ax.images[3].get_array(), np.maximum(shown[3], lowest))
        assert [text.get_text() for text in ax.texts if text.get_text().startswith("$E$")][3] == (
            f"$E$ = {energy[3]:#.3g}".replace("-", "−")
        )
        # each image stands where the axes end or further in, none over another
        assert np.diff([image.get_extent()[0] for image in ax.images]).min() > 2 * 0.58
    with style(CONFIG):
        figure = beside_data(found.model_samples, (), CONFIG)
    assert [len(ax.images) for ax in figure.axes[:2]] == [24, 24]


def test_figure_of_variables():
    x = {"QCD": events(VECTOR, 40, 3), "top": events(VECTOR, 30, 4, width=0.7)}
    x["QCD"][:, 2].round_()
    found = model_samples.look_into(fitted("MPDR", VECTOR), "QCD", x["QCD"])
    with style(CONFIG):
        figure = beside_data(found.negatives, ("a", "b", "c [GeV]"), CONFIG)
    assert [ax.get_xlabel() for ax in figure.axes] == ["a", "b", "c [GeV]", "energy $E$"]
    # data are whole numbers in c: the model's are counted in the same bins, each around one
    edges = figure.axes[2].patches[0].get_data().edges
    assert np.all(edges % 1 == 0.5)
    for ax in figure.axes:
        for patch in ax.patches:
            assert patch.get_data().values.sum() == pytest.approx(1)


def test_figure_of_paths():
    rng = np.random.default_rng(1)
    energies = {"top": {"line": rng.exponential(1, (5, 1000))}, "svj": {"line": 3 + rng.normal(0, 1, (5, 1000))}}
    with style(CONFIG):
        (ax,) = energy_paths(energies, CONFIG, background_name="QCD").axes
    lines = {line.get_gid(): line for line in ax.lines}
    np.testing.assert_allclose(lines["top"].get_ydata(), np.median(energies["top"]["line"], axis=1))
    low, high = np.quantile(energies["svj"]["line"][2], [0.1585, 0.8415])
    x, y = ax.collections[1].get_paths()[0].vertices.T
    np.testing.assert_allclose(np.unique(y[np.isclose(x, 0.5)]), [low, high])
    assert "from QCD (0)" in ax.get_xlabel()
    assert ax.get_yscale() == "linear"  # some energies are negative
    with pytest.raises(InputError, match="no signal"):
        energy_paths({}, CONFIG)
