"""Where negative samples come from: each sampler against what it must give for energies with known answers."""

import pytest
import torch

from hepad import detectors
from hepad.detectors.autoencoder import mmd
from hepad.detectors.energy_based.energies import Energy, Reconstruction, Scalar
from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Support
from hepad.detectors.energy_based.negative_sampling import (
    ContrastiveDivergence,
    ManifoldProjectionDiffusion,
    Negatives,
    OnManifold,
    PersistentCD,
    Recovery,
    RecoveryLikelihood,
    buffer_settings,
    noise_start,
    sphere_start,
)
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.normalisation import Compression
from hepad.errors import InputError
from hepad.representations import Space

VECTOR = Space((4,), tuple("abcd"), 0)


class Flat(Energy):
    """No opinion: what remains is the law's own."""

    def raw(self, x):
        return 0 * x.flatten(1).sum(1)


class Spring(Energy):
    """k x^2 / 2."""

    def __init__(self, k):
        super().__init__()
        self.k = torch.nn.Parameter(torch.tensor(float(k)))

    def raw(self, x):
        return 0.5 * self.k * x.square().flatten(1).sum(1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def autoencoder(latent_dim=3, seed=0):
    torch.manual_seed(seed)
    return Autoencoder(VECTOR, AutoencoderSettings(hidden_dims=(16,), latent_dim=latent_dim)).requires_grad_(False)


def test_recovery_from_gaussian_noise_samples_each_events_own_posterior():
    # flat energy: exp(-|x' - x~|^2 / 2 sigma^2) at temperature one is a normal of the event's own width around x~
    sampler = RecoveryLikelihood(
        Recovery(sigma=(0.2, 0.9), weight=1.0), Chain(n_steps=400, step_size=0.01, noise_std=0.02**0.5)
    )
    x = torch.zeros(6000, 1)
    sigma = 0.2 + 0.7 * torch.rand(6000, generator=generator(5))
    found = sampler.draw(Flat(), x, Support(), generator(5))
    distance = (found.x - found.start)[:, 0] / sigma
    assert distance.std().item() == pytest.approx(1.0, rel=0.1)
    narrow = (found.x - found.start)[sigma < 0.4].std().item()
    wide = (found.x - found.start)[sigma > 0.7].std().item()
    assert wide / narrow == pytest.approx(0.8 / 0.305, rel=0.12)
    # and x~ itself lies sigma away from x
    assert (found.start[:, 0] / sigma).std().item() == pytest.approx(1.0, rel=0.05)


def test_contrastive_divergence_starts_at_the_data():
    x = torch.randn(50, 4, generator=generator())
    found = ContrastiveDivergence(Chain(n_steps=1, step_size=0.1, noise_std=0.0)).draw(
        Spring(1), x, Support(), generator()
    )
    assert torch.equal(found.start, x)
    torch.testing.assert_close(found.x, 0.9 * x)


def test_persistent_chains_go_on_and_reach_the_model():
    support, g = Support(), generator()
    buffer = ReplayBuffer(500, 1.0, noise_start((2,), support, g))
    sampler, energy = PersistentCD(Chain(n_steps=10, step_size=0.01, noise_std=0.1), buffer), Spring(2.0)
    for _ in range(60):
        x = sampler.draw(energy, torch.zeros(500, 2), support, g).x
    # temperature 0.1^2 / (2 x 0.01) = 0.5, variance T / k = 0.25
    assert x.var().item() == pytest.approx(0.25, rel=0.12)


def test_perturbations_live_on_the_manifold_and_grow_with_sigma():
    model, x = autoencoder(), torch.randn(400, 4, generator=generator())
    still = Chain(n_steps=0, step_size=1.0, noise_std=0.0)
    moved = []
    for sigma in (1e-4, 0.1, 1.0):
        sampler = ManifoldProjectionDiffusion((model,), Recovery(sigma=(sigma, sigma)), still, still)
        found = sampler.draw(Flat(), x, Support(), generator())
        assert torch.equal(found.start, found.x)
        with torch.no_grad():
            moved.append((found.x - model(x)).norm(dim=1).mean().item())
    assert moved[0] < 1e-3
    assert moved[0] < moved[1] < moved[2]


class Radial(torch.nn.Module):
    """The sphere itself as a manifold: encoding is the direction, decoding the identity."""

    def encode(self, x):
        return torch.nn.functional.normalize(x, dim=1)

    def decode(self, z):
        return z


def test_the_tie_gives_each_chain_the_width_of_its_perturbation():
    # flat energy: the angle to z~ of exp(-c d / 2 sigma^2 T) on the circle is a normal of width sigma (T / c)^(1/2)
    chain, still = Chain(n_steps=300, step_size=0.02, noise_std=0.02), Chain(n_steps=0, step_size=1.0, noise_std=0.0)
    x = torch.nn.functional.normalize(torch.randn(3000, 2, generator=generator()), dim=1)
    for sigma in (0.1, 0.3):
        sampler = ManifoldProjectionDiffusion((Radial(),), Recovery(sigma=(sigma, sigma), weight=0.05), chain, still)
        found = sampler.draw(Flat(), x, Support(), generator(3))
        angle = 2 * torch.asin((found.x - found.start).norm(dim=1) / 2)
        expected = sigma * (chain.temperature / 0.05) ** 0.5
        assert angle.square().mean().sqrt().item() == pytest.approx(expected, rel=0.08)


def test_the_visible_chain_has_a_weight_of_its_own():
    # flat energy and no noise: the visible chain goes down the tie, if it has one
    x = torch.nn.functional.normalize(torch.randn(50, 2, generator=generator()), dim=1)
    for weight, visible_weight in ((0.7, 0.0), (0.0, 0.7)):
        recovery = Recovery((0.5, 0.5), weight, visible_weight)
        sampler = ManifoldProjectionDiffusion((Radial(),), recovery, Chain(1, 0.1, 0.3), Chain(1, 0.1, 0.0))
        z, middle, end = sampler.draw(Flat(), x, Support(), generator(3))
        y = middle.clone().requires_grad_(True)
        tie = visible_weight * (Radial().encode(y) - z).square().sum() / (2 * 0.5**2)
        torch.testing.assert_close(end, middle - 0.1 * torch.autograd.grad(tie, y)[0])
        assert torch.equal(end, middle) == (visible_weight == 0)


def test_geodesic_and_chord_agree_for_small_distances_and_differ_for_large_ones():
    model = autoencoder(latent_dim=2)
    x = torch.randn(200, 4, generator=generator())
    with torch.no_grad():
        code = model.encode(x)
        target = torch.nn.functional.normalize(torch.randn(200, 2, generator=generator(1)), dim=1)
        sigma = torch.full((200,), 0.5)
        parts = [Recovery(geodesic=g).tie(Flat().raw, model, target, sigma, 0.5)(x) for g in (False, True)]
    angle = torch.acos((code * target).sum(1).clamp(-1, 1))
    torch.testing.assert_close(parts[0], (2 * torch.sin(angle / 2)).square(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(parts[1], angle.square(), atol=5e-3, rtol=1e-3)


def test_the_energies_parameters_get_no_gradient_from_a_chain_unless_asked():
    energy, x = Spring(1.0), torch.ones(3, 2)
    ContrastiveDivergence(Chain(n_steps=3, step_size=0.1, noise_std=0.1)).draw(energy, x, Support(), generator())
    assert energy.k.grad is None
    assert energy.k.requires_grad
    buffer = ReplayBuffer(10, 0.0, lambda n: torch.ones(n, 2))
    found = PersistentCD(Chain(n_steps=3, step_size=0.1, noise_std=0.0), buffer, differentiable=True)
    found.draw(energy, x, Support(), generator()).x.sum().backward()
    assert energy.k.grad.item() == pytest.approx(6 * -0.3 * 0.9**2, rel=1e-5)
    assert not buffer.points.requires_grad


def test_on_manifold_initialisation_keeps_codes_and_starts_from_them():
    torch.manual_seed(0)
    energy = Reconstruction(VECTOR, AutoencoderSettings(hidden_dims=(16,), latent_dim=3))
    buffer = ReplayBuffer(100, 1.0, sphere_start(3, generator()))
    sampler = OnManifold(Chain(2, 0.1, 0.05), Chain(0, 1.0, 0.0), buffer)
    first = sampler.draw(energy, torch.zeros(20, 4), Support(), generator())
    assert isinstance(first, Negatives)
    torch.testing.assert_close(buffer.points[:20].norm(dim=1), torch.ones(20))
    with torch.no_grad():
        torch.testing.assert_close(first.middle, energy.autoencoder.decode(buffer.points[:20]))
    again = sampler.draw(energy, torch.zeros(20, 4), Support(), generator(1))
    distance = torch.cdist(again.start, first.middle).amin(1)
    torch.testing.assert_close(distance, torch.zeros(20), atol=1e-3, rtol=0)


def test_a_batch_smaller_than_the_ensemble_is_refused():
    sampler = ManifoldProjectionDiffusion(
        (autoencoder(2), autoencoder(3)), Recovery(), Chain(1, 0.1, 0.0), Chain(1, 0.1, 0.0)
    )
    with pytest.raises(InputError, match="batch of 1 events cannot be divided among 2"):
        sampler.draw(Flat(), torch.zeros(1, 4), Support(), generator())
    arguments = {key: {"steps": 1, "batch": 2} for key in ("pretraining", "training")}
    arguments |= {key: {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1} for key in ("latent_chain", "visible_chain")}
    for extra, message in (
        ({"manifolds": [2, 3, 4]}, "batch of 2 events cannot be divided among 3"),
        ({"manifolds": [4, 4]}, "different latent sizes"),
        ({"manifolds": [1, 4]}, "1 is too small"),
        (
            {"latent_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1, "metropolis": True}},
            "without 'metropolis'",
        ),
        ({"recovery": {"weight": -1.0}}, "must not be negative"),
        ({"objective": {"criterion": "signal"}}, "Allowed: last, manifold_auc, wasserstein"),
    ):
        with pytest.raises(InputError, match=message):
            detectors.build({"type": "MPDR", "arguments": arguments | extra}, VECTOR, 0)


def test_a_criterion_about_manifolds_needs_one():
    arguments = {"training": {"steps": 1}, "visible_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1}}
    arguments["objective"] = {"criterion": "manifold_auc"}
    plane = {"pretraining": {"steps": 1}, "start": "data", "autoencoder": {"sphere": False}}
    for name, extra in (("IGEBM", {}), ("DRL", {"weight": 0.01}), ("NAE", plane)):
        with pytest.raises(InputError, match="'manifold_auc' needs an autoencoder"):
            detectors.build({"type": name, "arguments": arguments | extra}, VECTOR, 0)


@pytest.mark.parametrize("bad", [{"replay": 1.5}, {"buffer": 0}])
@pytest.mark.parametrize("name", ["NAE", "WNAE", "IGEBM"])
def test_a_buffer_that_cannot_be_is_refused_before_anything_runs(name, bad):
    arguments = {"training": {"steps": 1}, "visible_chain": {"n_steps": 1, "step_size": 0.1, "noise_std": 0.1}}
    arguments |= {} if name == "IGEBM" else {"pretraining": {"steps": 1}}
    arguments |= {"start": "persistent"} if name == "NAE" else {}
    with pytest.raises(InputError, match="buffer, replay"):
        detectors.build({"type": name, "arguments": arguments | bad}, VECTOR, 0)


def test_a_scalar_energy_has_a_bounded_slope():
    torch.manual_seed(0)
    energy = Scalar(VECTOR, "dense", (64, 64))
    with torch.no_grad():
        for layer in energy.net.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.parametrizations.weight.original.mul_(50)
        for _ in range(200):
            energy(torch.zeros(2, 4))  # the power iteration settles
    energy.eval()
    x, y = torch.randn(500, 4, generator=generator()), torch.randn(500, 4, generator=generator(1))
    with torch.no_grad():
        slope = (energy(x) - energy(y)).abs() / (x - y).norm(dim=1)
    assert slope.max() <= 1.01


def test_mmd_is_zero_on_average_for_one_law_and_not_for_two():
    def draw(seed, scale=1.0):
        return scale * torch.randn(100, 3, generator=generator(seed))

    same = torch.stack([mmd(draw(2 * i), draw(2 * i + 1), 6.0) for i in range(200)])
    assert same.mean().abs().item() < 4 * same.std().item() / 200**0.5
    assert mmd(draw(0), draw(1, scale=3.0), 6.0) > 10 * same.std()


def test_compression_is_principal_components_and_the_distance_to_their_plane():
    space = Space((52,), ("mass", "width"), 50)
    base = torch.rand(3, 50, generator=generator())
    image = torch.rand(400, 3, generator=generator(1)) @ base + 0.01 * torch.rand(400, 50, generator=generator(2))
    x = torch.cat([image / image.sum(1, keepdim=True), torch.randn(400, 2, generator=generator(3)) * 10 + 80], 1)
    compression = Compression(space, 2)
    compression.fit(x, generator())
    z = compression(x)
    assert compression.space.columns == ("component_1", "component_2", "log_residual", "mass", "width")
    torch.testing.assert_close(z.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(5), atol=1e-4, rtol=0)
    back = compression.invert(z)
    torch.testing.assert_close(back[:, 50:], x[:, 50:], rtol=1e-4, atol=1e-3)
    # what is lost is the part of the image outside the plane, whose size the third number says
    lost = (back - x)[:, :50].square().sum(1)
    said = compression.standardise.invert(z)[:, 2].exp() - compression.floor
    torch.testing.assert_close(said, lost, rtol=0.05, atol=1e-8)
    with pytest.raises(InputError, match="n_components"):
        Compression(Space((3,), tuple("abc"), 0), 2)


def test_a_buffer_that_nothing_starts_from_is_refused():
    with pytest.raises(InputError, match="with 'replay: 0' no chain starts from it"):
        buffer_settings("on_manifold", 0.0, 100)
    assert buffer_settings("on_manifold", 0.0, None) == (0.0, 10_000)
