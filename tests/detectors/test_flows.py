"""Every flow: exact Jacobian, invertibility, amortisation, gradients. The registry decides what is tested."""

import math
import sys
from pathlib import Path

import pytest
import torch

from hepad.detectors import flows
from hepad.detectors.flows import FLOWS
from hepad.detectors.flows.convolutional import convolve
from hepad.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import flows as benchmark

CONTEXT = 7
SYLVESTER = ("OrthogonalSylvester", "HouseholderSylvester", "TriangularSylvester")


def make(name, dimension, scale):
    """A flow with random parameters of this scale, z and h of some events, all in double precision."""
    flow = benchmark.drawn(name, dimension, scale, CONTEXT)
    return flow, torch.randn(8, dimension).double(), torch.randn(8, CONTEXT).double()


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("dimension", range(2, 16))
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_log_abs_det_jacobian_is_exact_and_every_layer_has_a_positive_one(name, dimension, scale):
    flow, z, h = make(name, dimension, scale)
    moved, log_abs_det_jacobian = flow(z, h)
    end, expected, signs = benchmark.by_autograd(flow, z, h)
    torch.testing.assert_close(log_abs_det_jacobian, expected, rtol=0, atol=1e-9)
    assert (signs > 0).all()
    torch.testing.assert_close(moved, end, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_the_jacobian_of_the_whole_flow_is_the_product_of_its_layers(name):
    flow, z, h = make(name, 4, 1.0)
    _, jacobian = benchmark.jacobians(lambda z: flow(z, h)[0], z)
    sign, log_det = torch.linalg.slogdet(jacobian)
    assert (sign > 0).all()
    torch.testing.assert_close(flow(z, h)[1], log_det, rtol=0, atol=1e-9)


def test_the_oracle_sees_a_missing_term():
    # z' = 2 z without its log-determinant, as in public code: D log 2 is missing
    class Doubling(flows.Flow):
        def maps(self, h):
            yield lambda z: (2 * z, torch.zeros(len(z)))

    _, expected, _ = benchmark.by_autograd(Doubling(3, 1), torch.randn(5, 3), torch.randn(5, 2))
    torch.testing.assert_close(expected, torch.full((5,), 3 * math.log(2)))


@pytest.mark.parametrize("name", FLOWS)
def test_each_event_is_transformed_by_its_own_parameters(name):
    flow, z, h = make(name, 4, 1.0)
    order = torch.tensor([3, 0, 5, 1, 7, 4, 2, 6])
    for a, b in zip(flow(z[order], h[order]), flow(z, h), strict=True):
        torch.testing.assert_close(a, b[order])
    for a, b in zip(flow(z[:1].expand(8, -1), h), flow(z[:1], h[:1]), strict=True):
        torch.testing.assert_close(a[0], b[0])
        assert (a[1:] != b).all()


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("dimension", [1, 6])
def test_starts_near_the_identity(name, dimension):
    torch.manual_seed(0)
    few = {"OrthogonalSylvester": {"columns": 1}, "HouseholderSylvester": {"reflections": 1}}
    flow = flows.build({"type": name, **few.get(name, {})}, dimension, CONTEXT)
    z, h = torch.randn(200, dimension), torch.randn(200, CONTEXT)
    moved, log_abs_det_jacobian = flow(z, h)
    assert (moved - z).abs().mean() < 0.1
    assert log_abs_det_jacobian.abs().mean() < 0.2


@pytest.mark.parametrize("name", FLOWS)
def test_every_parameter_and_the_context_receive_gradient(name):
    flow, z, h = make(name, 5, 1.0)
    h.requires_grad_()
    moved, log_abs_det_jacobian = flow(z, h)
    (moved.square().sum() - log_abs_det_jacobian.sum()).backward()
    for label, p in flow.named_parameters():
        # each amortised number, or, of masked networks, each unit
        assert (p.grad.abs().flatten(1).sum(1) if p.dim() > 1 else p.grad.abs()).gt(0).all(), label
    assert (h.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", FLOWS)
def test_a_start_at_the_identity_can_be_left(name):
    # u = 0, R1 = 0 or s = 1 must not be a stationary point of all parameters at once
    torch.manual_seed(0)
    flow = flows.build({"type": name}, 5, CONTEXT)
    moved, log_abs_det_jacobian = flow(torch.randn(50, 5), torch.randn(50, CONTEXT))
    ((moved - 1).square().sum() - log_abs_det_jacobian.sum()).backward()
    assert max(p.grad.abs().max() for p in flow.parameters()) > 0.1


@pytest.mark.parametrize("name", FLOWS)
def test_every_layer_is_invertible(name):
    # Newton's method from z = z', which is not the solution: it finds the z that was transformed, and no other
    flow, z, h = make(name, 4, 0.5)
    with torch.no_grad():
        moved, _ = flow(z, h)
    assert (moved - z).abs().max() > 0.1
    found = moved.clone()
    for _ in range(100):
        value, jacobian = benchmark.jacobians(lambda x: flow(x, h)[0], found)
        step = torch.linalg.solve(jacobian, moved - value)
        found = found + step / step.norm(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(found, z, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FLOWS)
def test_scores_of_wild_events_stay_finite(name):
    # in single precision and far outside of what the encoder has seen: no log of a determinant rounded to zero
    flow = benchmark.drawn(name, 5, 30.0, CONTEXT).float()
    for value in flow(3 * torch.randn(500, 5), torch.randn(500, CONTEXT)):
        assert torch.isfinite(value).all()


@pytest.mark.parametrize("name", SYLVESTER)
@pytest.mark.parametrize("dimension", [2, 5, 15])
def test_columns_of_q_are_orthonormal(name, dimension):
    flow = benchmark.drawn(name, dimension, 3.0, CONTEXT)
    axes = torch.randn(6, flow.layers, {"O": flow.rank, "H": min(4, dimension), "T": 0}[name[0]] * dimension).double()
    q = flow.basis(axes)
    assert q.shape[1:] == (flow.layers, dimension, flow.rank)
    unit = torch.eye(flow.rank).double().expand(*q.shape[:2], -1, -1)
    torch.testing.assert_close(q.mT @ q, unit, rtol=0, atol=1e-12)


def test_q_is_a_smooth_function_of_its_parameters():
    # LAPACK's QR flips a column where its first entry changes sign; an encoder must not see that
    flow = benchmark.drawn("OrthogonalSylvester", 5, 1.0, CONTEXT)
    axes = torch.randn(1, flow.layers, 5 * flow.rank).double()
    axes[:, :, 0] = 1e-6
    near = axes.clone()
    near[:, :, 0] = -1e-6
    torch.testing.assert_close(flow.basis(axes), flow.basis(near), rtol=0, atol=1e-4)


def test_householder_reflects():
    # one reflection takes v to -v and leaves what is orthogonal to it
    flow = flows.build({"type": "HouseholderSylvester", "layers": 1, "reflections": 1}, 3, CONTEXT)
    q = flow.basis(torch.tensor([[[3.0, 0.0, 4.0]]]))[0, 0]
    torch.testing.assert_close(q @ torch.tensor([3.0, 0.0, 4.0]), -torch.tensor([3.0, 0.0, 4.0]))
    torch.testing.assert_close(q @ torch.tensor([4.0, 0.0, -3.0]), torch.tensor([4.0, 0.0, -3.0]))
    torch.testing.assert_close(q @ torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))


@pytest.mark.parametrize("name", ["Convolutional", "InverseAutoregressive", "TriangularSylvester"])
def test_the_reversed_order_is_fed_on(name):
    # one layer sees the coordinates in one order alone; after two every coordinate depends on every other
    torch.manual_seed(0)
    for layers, full in ((1, False), (2, True)):
        flow = flows.build({"type": name, "layers": layers}, 6, CONTEXT).double()
        for p in flow.parameters():
            torch.nn.init.normal_(p, 0, 0.3)
        h, z = torch.ones(4, CONTEXT).double(), torch.randn(4, 6).double()
        _, jacobian = benchmark.jacobians(lambda z, flow=flow, h=h: flow(z, h)[0], z)
        assert bool((jacobian.abs().amin(0) > 0).all()) is full
        assert bool(jacobian.triu(1).any() and jacobian.tril(-1).any()) is full


def test_to_look_back_is_to_look_ahead_on_reversed_coordinates():
    torch.manual_seed(0)
    z, w, b, s = torch.randn(8, 5), torch.randn(8, 3), torch.randn(8, 1), torch.rand(8, 5)
    back = convolve(z, w, b, s, dilation=2, back=True)
    ahead = convolve(z.flip(1), w, b, s.flip(1), dilation=2, back=False)
    torch.testing.assert_close(back[0], ahead[0].flip(1))
    torch.testing.assert_close(back[1], ahead[1])


def smallest_kl(flow):
    """KL to the target z1 ~ N(0, 1), z2 | z1 ~ N(z1^2 - 1, 0.3^2), up to a constant."""
    torch.manual_seed(0)
    gaussian = torch.zeros(2, 2, requires_grad=True)
    parameters = [gaussian, *(flow.parameters() if flow else [])]
    optimiser = torch.optim.Adam(parameters, lr=0.01, fused=True)
    history = []
    for _ in range(250):
        eps = torch.randn(128, 2)
        z = gaussian[0] + gaussian[1].exp() * eps
        log_q = -0.5 * eps.square().sum(1) - gaussian[1].sum()
        if flow:
            z, log_abs_det_jacobian = flow(z, torch.ones(128, CONTEXT))
            log_q = log_q - log_abs_det_jacobian
        z1, z2 = z.unbind(1)
        kl = (log_q + 0.5 * (z1.square() + ((z2 - z1.square() + 1) / 0.3).square())).mean()
        optimiser.zero_grad()
        kl.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()
        history.append(kl.item())
    return sum(history[-50:]) / 50


@pytest.fixture(scope="module")
def gaussian_kl():
    return smallest_kl(None)


@pytest.mark.parametrize("name", FLOWS)
def test_flow_lowers_the_kl_of_a_banana(name, gaussian_kl):
    few = {"OrthogonalSylvester": {"columns": 2}, "HouseholderSylvester": {"reflections": 2}}
    torch.manual_seed(0)
    assert smallest_kl(flows.build({"type": name, **few.get(name, {})}, 2, CONTEXT)) < gaussian_kl - 0.1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "OrthogonalSylvester", "columns": 4}, "OrthogonalSylvester: columns: 4 must be between 1 and .* 3"),
        (
            {"type": "HouseholderSylvester", "reflections": 4},
            "reflections: 4 must be between 1 and the latent dimension",
        ),
        ({"type": "Planar", "layers": 0}, "Planar: layers: 0 must be at least 1"),
        ({"type": "Convolutional", "kernel": 0}, "kernel: 0 must be at least 1"),
        ({"type": "Planar", "layer": 3}, "Did you mean 'layers'"),
        ({"type": "Sylvester"}, "Allowed: Convolutional"),
        ({"layers": 3}, "not an entry with the key 'type'"),
    ],
)
def test_bad_settings_name_themselves(spec, message):
    with pytest.raises(InputError, match=message):
        flows.build(spec, 3, CONTEXT)


def test_the_benchmark_writes_its_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "DIMENSIONS", (2,))
    monkeypatch.setattr(benchmark, "SEEDS", (0,))
    benchmark.main(["--tables", str(tmp_path), "--steps", "2", "--repeats", "1"])
    assert {path.name for path in tmp_path.iterdir()} == {"flow_logdet.csv", "flow_banana.csv", "flow_cost.csv"}
    for path in tmp_path.iterdir():
        assert {line.split(",")[0] for line in path.read_text().splitlines()[1:]} >= set(FLOWS)
