"""The ConvVAE: its ELBO and likelihood against exact ones, objects and their Chamfer distance, generation."""

import math

import pytest
import torch
from torch import nn

from hepad import detectors
from hepad.detectors.distances import chamfer
from hepad.detectors.flows import FLOWS, Flow
from hepad.detectors.networks import NETWORKS
from hepad.errors import CollapseError, InputError
from hepad.representations import Space

VECTOR = Space((4,), ("a", "b", "c", "d"))
IMAGE = Space((1, 12, 12), (), 144)
OBJECTS = Space((1, 14, 3), tuple(f"o{i}" for i in range(42)), objects=True)
SHORT = {"steps": 200, "batch": 64, "learning_rate": 3e-3}
FLOW_OF_TWO = [{"type": name, **({"columns": 2} if name[0] == "O" else {})} for name in FLOWS if name[0] != "H"]
FLOW_OF_TWO.append({"type": "HouseholderSylvester", "reflections": 2})


def make(space, **arguments):
    return detectors.build({"type": "ConvVAE", "arguments": {"training": SHORT, **arguments}}, space, 0)


def objects(count, seed, spread=0.3):
    """Events of 3 to 14 objects on a line in feature space, its direction the same in all events."""
    rng = torch.Generator().manual_seed(seed)
    height, n = torch.randn(count, 1, 1, 1, generator=rng), torch.randint(3, 15, (count, 1, 1, 1), generator=rng)
    row = torch.arange(14.0).view(1, 1, 14, 1)
    x = torch.cat([5 + height + 0.2 * row, 3 - height.expand(-1, -1, 14, -1), 0.3 * row + 2 * height], 3)
    return (x + spread * torch.randn(x.shape, generator=rng)) * (row < n)


def randomise(module, scale):
    for p in module.parameters():
        nn.init.normal_(p, 0, scale / math.sqrt(p.shape[1] if p.dim() > 1 else 8))


class Linear(nn.Module):
    """x = W z + c, the decoder of a model whose likelihood and posterior are known."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.w = torch.linalg.qr(torch.randn(4, 2))[0] * torch.tensor([1.5, 0.7])  # orthogonal columns
        self.c = torch.tensor([0.3, -0.2, 0.1, 0.5])

    def forward(self, z):
        return z @ self.w.T + self.c


def linear_vae(variance=0.2, **arguments):
    """A VAE with the linear decoder and its exact posterior N(M^-1 W^T (x - c) / s^2, M^-1), M = 1 + W^T W / s^2."""
    vae = make(VECTOR, network="dense", latent_dim=2, context=4, **arguments)
    vae.encoder, vae.decoder = nn.Identity(), Linear()  # h = x
    w, c = vae.decoder.w, vae.decoder.c
    precision = 1 + w.square().sum(0) / variance
    with torch.no_grad():
        vae.log_variance.fill_(math.log(variance))
        vae.posterior.weight.copy_(torch.cat([w.T / variance / precision.unsqueeze(1), torch.zeros(2, 4)]))
        vae.posterior.bias.copy_(torch.cat([-vae.posterior.weight[:2] @ c, -0.5 * precision.log()]))
    exact = torch.distributions.MultivariateNormal(c, w @ w.T + variance * torch.eye(4))
    return vae, exact


# ELBO and likelihood


def test_with_the_exact_posterior_elbo_and_importance_are_the_likelihood():
    vae, exact = linear_vae(score="importance", samples=3)
    x = exact.sample((50,))
    with torch.no_grad():
        expected = -exact.log_prob(x)
        torch.testing.assert_close(vae.anomaly(x), expected, rtol=1e-4, atol=1e-4)
        _, nll, kl = vae.elbo_terms(x, torch.randn(50, 2))
        torch.testing.assert_close(nll + kl, expected, rtol=1e-4, atol=1e-4)  # log p(x) for every z


@pytest.mark.parametrize("flow", FLOW_OF_TWO, ids=lambda flow: flow["type"])
def test_importance_weights_average_to_the_likelihood_whatever_the_flow(flow):
    # E_q[p(x, zK) / q(zK|x)] = p(x): a wrong sign, or a log-determinant left out, moves it
    vae, exact = linear_vae(flow=flow | {"layers": 2})
    randomise(vae.flow, 0.3)
    with torch.no_grad():
        vae.posterior.bias[2:] += 0.5  # wider than the posterior: weights of finite variance
        for x in exact.sample((3,)):
            _, nll, kl = vae.elbo_terms(x.expand(20_000, -1), torch.randn(20_000, 2))
            found, expected = math.log(20_000) - (-nll - kl).logsumexp(0), -exact.log_prob(x)
            assert found.item() == pytest.approx(expected.item(), abs=0.1)
            assert (nll + kl).mean() > expected


def test_importance_score_is_that_average_over_its_own_draws_and_falls_with_their_number():
    found = []
    for samples in (1, 10, 1000):
        vae, exact = linear_vae(score="importance", samples=samples)
        x = exact.sample((5,))
        with torch.no_grad():
            vae.posterior.bias[2:] += 0.7
            gaps = []
            for _ in range(max(1, 1000 // samples)):
                vae.eps.normal_()
                gaps.append(vae.anomaly(x) + exact.log_prob(x))
            terms = [vae.elbo_terms(x, eps.expand(5, -1)) for eps in vae.eps]
            expected = -torch.stack([-nll - kl for _, nll, kl in terms]).exp().mean(0).log()
        torch.testing.assert_close(vae.anomaly(x), expected, rtol=1e-4, atol=1e-4)
        found.append(torch.stack(gaps).mean().item())
    assert found[0] > found[1] + 0.1 > found[2] + 0.1
    assert found[2] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("score", ["importance", "elbo"])
def test_scores_depend_on_their_own_event_alone_and_survive_a_file(score, tmp_path):
    spec = {"type": "ConvVAE", "arguments": {"network": "dense", "latent_dim": 3, "score": score, "samples": 5,
            "flow": {"type": "TriangularSylvester"}, "training": SHORT}}  # fmt: skip
    vae = detectors.build(spec, VECTOR, 3)
    vae.normalise.fit(torch.randn(100, 4), torch.Generator())
    x = torch.randn(30, 4)
    together = vae.score(x)
    torch.testing.assert_close(together, torch.cat([vae.score(row) for row in x.split(1)]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.flip(0), vae.score(x.flip(0)), rtol=1e-5, atol=1e-5)
    assert torch.equal(together, vae.score(x))
    detectors.save(vae, tmp_path / "vae.safetensors", spec)
    assert torch.equal(detectors.load(tmp_path / "vae.safetensors").score(x), together)


def test_zero_flows_are_the_plain_vae_to_the_last_bit():
    class Nothing(Flow):
        def maps(self, h):
            yield from ()

    vae, x, eps = make(IMAGE), torch.rand(6, *IMAGE.shape), torch.randn(6, 8)
    h = vae.encoder(x)
    mu, log_sigma = vae.posterior(h).chunk(2, 1)
    z = mu + log_sigma.exp() * eps
    kl = (-0.5 * (eps.square() + math.log(2 * math.pi)) - log_sigma).sum(1)
    kl = kl + 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
    error = (x - vae.decoder(z)).square().flatten(1).sum(1)
    for flow in (None, Nothing(8, 1)):
        vae.flow = flow
        found = vae.elbo_terms(x, eps)
        assert torch.equal(found[0], error / 144)
        assert torch.equal(found[2], kl)


@pytest.mark.parametrize("flow", [None, *({"type": name, "layers": 2} for name in FLOWS)], ids=str)
def test_every_parameter_of_the_vae_receives_gradient(flow):
    for space, more in ((IMAGE, {}), (OBJECTS, {"network": "objects", "likelihood": "chamfer"})):
        vae = make(space, flow=flow, **more)
        x = objects(6, 0) if space.objects else torch.rand(6, *space.shape)
        _, nll, kl = vae.elbo_terms(x, torch.randn(6, 8))
        (nll + kl).mean().backward()
        missing = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()]
        assert not missing


def test_the_noise_of_a_factor_model_and_its_likelihood_are_found():
    # x = W y + 0.1 eps of eight entries of variance 1; log p(x) is that of a normal distribution
    rng = torch.Generator().manual_seed(0)
    w = torch.randn(8, 2, generator=rng)
    w *= math.sqrt(1 - 0.01) / w.norm(dim=1, keepdim=True)
    exact = torch.distributions.MultivariateNormal(torch.zeros(8), w @ w.T + 0.01 * torch.eye(8))

    def drawn(count):
        return torch.randn(count, 2, generator=rng) @ w.T + 0.1 * torch.randn(count, 8, generator=rng)

    space = Space((8,), tuple("abcdefgh"))
    vae = make(space, network="dense", latent_dim=2, training={"steps": 600, "batch": 128, "learning_rate": 3e-3})
    fit = vae.fit(drawn(4000), drawn(1000), generator=torch.Generator().manual_seed(0))
    assert vae.log_variance.exp().item() == pytest.approx(0.01, rel=0.4)  # from 1, in 600 updates
    best = -exact.log_prob(drawn(5000)).mean().item()
    assert best - 0.3 < fit.facts["negative_elbo"] < best + 1.0


def test_the_noise_is_where_the_likelihood_is_largest():
    vae = make(VECTOR, network="dense", latent_dim=2)
    x, eps = torch.randn(50, 4), torch.randn(50, 2)
    with torch.no_grad():
        error, _, _ = vae.elbo_terms(x, eps)
        vae._fit_variance(error)
        least = vae.elbo_terms(x, eps)[1].mean()
        for change in (-0.1, 0.1):
            vae.log_variance += change
            assert vae.elbo_terms(x, eps)[1].mean() > least
            vae.log_variance -= change


# Chamfer distance


def transposed_by_view(x, y):
    """The distance of public code: (R, F) viewed as (F, R), not transposed."""
    x, y = (t[:, 0].reshape(len(t), t.shape[3], t.shape[2]).mT.unsqueeze(1) for t in (x, y))
    d = (x[:, 0].unsqueeze(2) - y[:, 0].unsqueeze(1)).square().sum(3)
    return d.amin(2).sum(1) + d.amin(1).sum(1)


def test_chamfer_of_known_points():
    x = torch.tensor([[[[1.0, 0], [4, 0], [0, 0]]]])
    y = torch.tensor([[[[1.0, 1], [2, 0], [4, 0]]]])  # its third row is in the place of an absent object
    assert chamfer(x, y).item() == (1 + 4) + (1 + 1)  # each x its nearest y, then each y its nearest x
    assert chamfer(x, x).item() == 0
    assert chamfer(torch.zeros(2, 1, 3, 2), torch.randn(2, 1, 3, 2)).tolist() == [0, 0]


def test_chamfer_by_loops():
    x, y = objects(5, 0), torch.randn(5, 1, 14, 3)
    for event, made, found in zip(x[:, 0], y[:, 0], chamfer(x, y), strict=True):
        there = [i for i in range(14) if event[i].any()]
        d = {(i, j): ((event[i] - made[j]) ** 2).sum().item() for i in there for j in there}
        expected = sum(min(d[i, j] for j in there) for i in there) + sum(min(d[i, j] for i in there) for j in there)
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_chamfer_sees_neither_the_order_of_objects_nor_padding():
    torch.manual_seed(0)
    x = torch.randn(20, 1, 6, 4)
    y = x + 0.1 * torch.randn(20, 1, 6, 4)
    found = chamfer(x, y)
    orders = [torch.randperm(6) for _ in range(2)]
    shuffled = x[:, :, orders[0]], y[:, :, orders[1]]
    torch.testing.assert_close(chamfer(*shuffled), found)
    assert not torch.allclose(transposed_by_view(*shuffled), transposed_by_view(x, y), rtol=0.01)
    padding = torch.zeros(20, 1, 5, 4)
    for filled in (padding, 9 + padding, 0.01 + padding):  # whatever the decoder puts there
        torch.testing.assert_close(chamfer(torch.cat([x, padding], 2), torch.cat([y, filled], 2)), found)
    places = torch.randperm(11)
    padded = torch.cat([x, padding], 2)[:, :, places], torch.cat([y, padding], 2)[:, :, places]
    torch.testing.assert_close(chamfer(*padded), found)


def test_chamfer_has_a_finite_gradient_with_padding_and_coincident_objects():
    x = objects(8, 0)
    x[0] = 0
    y = x.clone().requires_grad_()
    (chamfer(x, y) + chamfer(x, y + 1)).sum().backward()
    assert torch.isfinite(y.grad).all()
    assert not y.grad[(x == 0).all(-1)].any()
    assert y.grad[1:].abs().sum() > 0


# events made of objects


@pytest.fixture(scope="module", params=["gaussian", "chamfer"])
def fitted(request):
    arguments = {"network": "objects", "hidden_dims": [64], "latent_dim": 3, "context": 16, "likelihood": request.param,
                 "flow": {"type": "Planar", "layers": 2}, "training": SHORT}  # fmt: skip
    vae = detectors.build({"type": "ConvVAE", "arguments": arguments}, OBJECTS, 0)
    fit = vae.fit(objects(800, 1), objects(200, 2), generator=torch.Generator().manual_seed(0))
    return vae, fit


def test_vae_of_objects_learns_and_finds_what_is_off(fitted):
    vae, fit = fitted
    assert fit.facts["r2"] > 0.3
    odd = objects(300, 4, spread=3.0)
    normal = objects(300, 3)
    assert (vae.score(odd).median() > torch.quantile(vae.score(normal), 0.9)).item()


def test_absent_objects_stay_absent_in_reconstruction_and_generation(fitted):
    vae, _ = fitted
    x = objects(50, 5)
    absent = (x == 0).all(-1)
    assert torch.equal((vae.reconstruct(x) == 0).all(-1), absent)
    made = vae.generate(500, torch.Generator().manual_seed(0))
    assert made.shape == (500, *OBJECTS.shape)
    counts = [(t != 0).any(-1).sum((1, 2)).float() for t in (made, objects(500, 6))]
    assert counts[0].mean().item() == pytest.approx(counts[1].mean().item(), abs=1.0)
    assert counts[0].min() >= 3
    # the features of the objects that are there; which place has which is free under the Chamfer distance
    means = [t[(t != 0).any(-1)].mean(0) for t in (made, objects(500, 6))]
    torch.testing.assert_close(*means, rtol=0.1, atol=0.4)


def test_a_vae_that_learns_nothing_of_objects_is_refused():
    vae = make(OBJECTS, network="objects", likelihood="chamfer", training={"steps": 1, "learning_rate": 1e-9})
    with pytest.raises(CollapseError, match="no better than its mean event"):
        vae.fit(objects(100, 1), objects(50, 2), generator=torch.Generator())


def test_events_that_are_all_the_same_are_refused():
    vae = make(VECTOR, network="dense", latent_dim=2)
    with pytest.raises(CollapseError, match="no better than its mean event"):
        vae.fit(torch.ones(100, 4), torch.ones(50, 4), generator=torch.Generator())


def test_objects_network_has_the_published_layers():
    make_encoder, make_decoder = NETWORKS["objects"]
    shapes = [tuple(p.shape) for p in make_encoder((1, 32, 4), 20, []).parameters() if p.dim() > 1]
    assert shapes == [(32, 1, 3, 4), (16, 32, 5, 1), (8, 16, 7, 1), (20, 160)]
    for rows in (13, 32):
        assert make_decoder(5, (1, rows, 4), [10])(torch.randn(3, 5)).shape == (3, 1, rows, 4)
        assert make_encoder((1, rows, 4), 7, [10])(torch.randn(3, 1, rows, 4)).shape == (3, 7)
    for shape in ((1, 12, 4), (2, 32, 4), (40,)):
        for build in (lambda s: make_encoder(s, 5, []), lambda s: make_decoder(5, s, [])):
            with pytest.raises(InputError, match="network 'objects' needs"):
                build(shape)


# generation


def test_generated_events_have_the_moments_of_the_model_in_the_units_of_x():
    vae, _ = linear_vae(flow={"type": "Planar"})  # the prior is that of zK: the flow has no part in it
    data = torch.randn(1000, 4) * torch.tensor([3.0, 1, 10, 0.1]) + 7
    vae.normalise.fit(data, torch.Generator())
    made = vae.generate(40_000, torch.Generator().manual_seed(0))
    w, c = vae.decoder.w, vae.decoder.c
    scale, mean = vae.normalise.scale, vae.normalise.mean
    torch.testing.assert_close((made.mean(0) - mean) / scale, c, rtol=0, atol=0.04)
    torch.testing.assert_close(((made - mean) / scale).T.cov(), w @ w.T, rtol=0, atol=0.06)
    assert torch.equal(made, vae.generate(40_000, torch.Generator().manual_seed(0)))
    assert not made.requires_grad


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (IMAGE, {"likelihood": "chamfer"}, "compares objects"),
        (OBJECTS, {"network": "dense", "likelihood": "chamfer", "score": "importance"}, "normalised likelihood"),
        (IMAGE, {"likelihood": "gauss"}, "Did you mean 'gaussian'"),
        (IMAGE, {"score": "recon"}, "Allowed: elbo, importance"),
        (IMAGE, {"samples": 0}, "samples: 0 must be at least 1"),
        (IMAGE, {"latent_dim": 3, "flow": {"type": "OrthogonalSylvester"}}, "columns: 4 must be between"),
        (IMAGE, {"flow": {"layers": 3}}, "not an entry with the key 'type'"),
        (Space((1, 5, 3), objects=True), {"network": "objects"}, "R >= 13"),
    ],
)
def test_bad_settings_name_themselves(space, arguments, message):
    with pytest.raises(InputError, match=message):
        make(space, **arguments)
