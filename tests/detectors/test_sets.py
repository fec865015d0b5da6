"""The network of sets: what an energy of constituents must not see, its chains, and what has no use for it."""

import math

import numpy as np
import pytest
import torch

from hepad import Constituents, EventMatrix, detectors
from hepad.detectors.energy_based.energies import Scalar
from hepad.detectors.energy_based.langevin import Chain, Support, langevin
from hepad.detectors.networks import Sets
from hepad.detectors.normalisation import Normaliser
from hepad.errors import InputError
from hepad.representations import occupied
from hepad.trigger.export.inference import run
from hepad.trigger.export.onnx_export import export

SPACE = Constituents(count=12).space
SHORT = {"steps": 60, "batch": 64, "learning_rate": 3e-3}
CHAIN = {"n_steps": 5, "step_size": 0.01, "noise_std": 0.1}
ENERGY = {"network": "sets", "hidden_dims": [16, 16], "training": SHORT, "visible_chain": CHAIN}
LATENT_CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.05}
CASES = {
    "IGEBM": ENERGY | {"start": "data"},
    "DRL": ENERGY | {"sigma": [0.3, 1.0]},
    "DeepSVDD": {"network": "sets", "hidden_dims": [16, 16], "training": SHORT},
}


def jets(count, seed):
    """(count, 1, 12, 3) of 4 to 9 constituents by falling z, which sum to one, and rows of zeros behind."""
    rng = np.random.default_rng(seed)
    there = np.arange(12) < rng.integers(4, 10, (count, 1))
    z = np.sort(rng.exponential(size=(count, 12)) * there)[:, ::-1]
    directions = rng.normal(0, 0.2, (count, 12, 2)) * there[..., None]
    x = np.concatenate([(z / z.sum(1, keepdims=True))[..., None], directions], 2)
    return torch.tensor(x[:, None], dtype=torch.float32)


def built(name):
    return detectors.build({"type": name, "arguments": CASES[name]}, SPACE, 1)


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    detector = built(request.param)
    detector.fit(jets(500, 1), jets(200, 2), generator=torch.Generator().manual_seed(1))
    return request.param, detector


def shuffled(x, seed=0):
    order = torch.rand(x.shape[:3], generator=torch.Generator().manual_seed(seed)).argsort(2)
    return x.gather(2, order.unsqueeze(3).expand_as(x))


def close(found, expected, size):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * size.std().item())


def test_the_order_of_constituents_is_not_seen(fitted):
    x = jets(100, 3)
    score = fitted[1].score(x)
    assert score.std() > 0
    close(fitted[1].score(shuffled(x)), score, score)


def test_a_collinear_splitting_is_not_seen(fitted):
    x = jets(100, 3)
    split, parts = x.clone(), torch.rand(100, generator=torch.Generator().manual_seed(1))
    split[:, 0, 11] = x[:, 0, 0]
    split[:, 0, 11, 0] *= parts
    split[:, 0, 0, 0] *= 1 - parts
    score = fitted[1].score(x)
    close(fitted[1].score(split), score, score)
    split[:, 0, 11, 1:] = 0.3  # at another place the same momentum is seen
    assert (fitted[1].score(split) - score).abs().mean() > 0.01 * score.std()


def test_a_soft_constituent_is_not_seen(fitted):
    x = jets(100, 3)
    score, soft, off = fitted[1].score(x), x.clone(), []
    for z in (1e-1, 1e-3, 1e-7):
        soft[:, 0, 11] = torch.tensor([z, 0.1, -0.2])
        off.append((fitted[1].score(soft) - score).abs().mean().item())
    assert off[0] > 5 * off[1]
    assert off[2] < 1e-5 * score.std()


def test_rows_of_zeros_are_not_seen():
    energy, normalise, x = Scalar(SPACE, "sets", (16, 16)).eval(), Normaliser(SPACE), jets(100, 1)
    normalise.fit(x, torch.Generator())
    z = normalise(x)
    padded = torch.cat([z, torch.zeros(100, 1, 30, 3)], 2)
    torch.testing.assert_close(energy(padded), energy(z), rtol=1e-5, atol=1e-6)


def test_the_network_is_the_sum_that_is_written():
    network, x = Sets((1, 12, 3), 2, [5]).double(), jets(4, 1).double()
    for jet, found in zip(x[:, 0], network(x), strict=True):
        total = sum(z * network.each(torch.stack([deta, dphi])) for z, deta, dphi in jet)
        torch.testing.assert_close(found, network.of_sum(total))


def test_gradients_are_finite(fitted):
    detector = fitted[1]
    x = jets(50, 4).requires_grad_(True)
    score = detector.anomaly(detector.normalise(x))
    weights = [p for p in detector.parameters() if p.requires_grad]
    found = torch.autograd.grad(score.sum(), [x, *weights])
    assert all(g.isfinite().all() for g in found)
    assert found[0].abs().sum() > 0


def test_shares_stay_weights_and_the_box_is_that_of_all_constituents():
    normalise, x = Normaliser(SPACE), jets(500, 1)
    normalise.fit(x, torch.Generator())
    z, there = normalise(x), occupied(x).squeeze(3)
    torch.testing.assert_close(z[..., 0], x[..., 0] / x[..., 0][there].std())
    torch.testing.assert_close(normalise.invert(z), x)
    assert torch.equal(normalise.low[0], z.amin((0, 1, 2)).expand(12, 3))
    assert torch.equal(normalise.high[0], z.amax((0, 1, 2)).expand(12, 3))
    assert (normalise.support().low.view(12, 3)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        *((name, CHAIN | more) for name in ("IGEBM", "DRL") for more in ({}, {"metropolis": True})),
        ("IGEBM", CHAIN | {"components": 6}),
    ],
)
def test_chains_move_the_constituents_that_are_there_and_no_other(name, chain):
    spec = {"type": name, "arguments": CASES[name] | {"visible_chain": chain}}
    detector, x, generator = detectors.build(spec, SPACE, 1), jets(200, 1), torch.Generator().manual_seed(1)
    detector.normalise.fit(x, generator)
    z, support = detector.normalise(x), detector.support()
    if "components" in chain:
        detector.directions.copy_(torch.randn(36, 6, generator=generator))
    negative = detector.sampler(support, generator).draw(detector.energy, z, support, generator).x
    there = occupied(z)
    assert torch.equal(negative * ~there, torch.zeros_like(z))
    assert (negative != z)[..., 1:][there.expand_as(z)[..., 1:]].float().mean() > 0.5
    assert (negative[..., 0] >= 0).all()


def test_metropolis_with_absent_constituents_has_the_right_law():
    """Of the energy |x|^2 / 2 the law of what is there is a normal one of width one; what is not has no part in it."""
    x = torch.tensor([[1.0, 0.1, 0.1], [0.0, 0.0, 0.0]]).expand(4000, 1, 2, 3)
    chain, generator = Chain(60, 0.4, math.sqrt(0.8), metropolis=True), torch.Generator().manual_seed(1)
    end = langevin(
        lambda x: x.square().flatten(1).sum(1) / 2, x, chain, domain=Support(objects=True), generator=generator
    )
    assert (end[:, :, 1] == 0).all()
    assert end[:, :, 0].std().item() == pytest.approx(1, abs=0.03)


def test_saved_and_exported_it_scores_the_same(fitted, tmp_path):
    name, detector = fitted
    x = shuffled(jets(50, 5))
    spec = {"type": name, "arguments": CASES[name]}
    detectors.save(detector, tmp_path / "model.safetensors", spec)
    assert torch.equal(detectors.load(tmp_path / "model.safetensors").score(x), detector.score(x))
    export(tmp_path / "model.safetensors", tmp_path / "d.onnx")
    close(torch.from_numpy(run(tmp_path / "d.onnx", x.numpy())), detector.score(jets(50, 5)), detector.score(x))


AUTOENCODER = {"autoencoder": {"network": "sets"}}
PHASES = AUTOENCODER | {"pretraining": SHORT, "training": SHORT, "visible_chain": CHAIN}
REFUSED = {
    "AE": AUTOENCODER | {"training": SHORT},
    "ConvVAE": {"network": "sets", "training": SHORT},
    "WGAN": AUTOENCODER | {"training": SHORT, "encoding": SHORT},
    "DAGMM": {"network": "sets", "training": SHORT},
    "NAE": PHASES | {"latent_chain": LATENT_CHAIN},
    "WNAE": PHASES,
    "MPDR": PHASES | {"latent_chain": LATENT_CHAIN},
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_autoencoder_cannot_be_made_of_it(name):
    with pytest.raises(InputError, match=r"network: 'sets' has no decoder.* Use dense, .*: IGEBM, DRL, DeepSVDD"):
        detectors.build({"type": name, "arguments": REFUSED[name]}, SPACE, 1)


@pytest.mark.parametrize(
    "space",
    [
        Constituents(features=("pt", "deta", "dphi")).space,
        Constituents(features=("deta", "dphi", "z")).space,
        Constituents(features=("z", "deta", "mass")).space,
        Constituents(features=("z",)).space,
        EventMatrix().space,
    ],
)
def test_events_that_are_no_shares_and_directions_are_refused(space):
    with pytest.raises(InputError, match="network 'sets' needs Constituents with 'z' as first feature"):
        detectors.build({"type": "IGEBM", "arguments": CASES["IGEBM"]}, space, 1)


def test_what_it_cannot_be_trained_with_is_refused():
    for changed, said in (({"start": "persistent"}, "Set 'start: data'"), ({"hidden_dims": []}, "at least one width")):
        with pytest.raises(InputError, match=said):
            detectors.build({"type": "IGEBM", "arguments": CASES["IGEBM"] | changed}, SPACE, 1)
