"""Every flow: exact Jacobian, invertibility, amortisation, gradients. The registry decides what is tested."""

import pytest
import torch

from hepad.flows import FLOWS

CONTEXT = 7


def make(name, dimension, scale):
    torch.manual_seed(dimension)
    flow = FLOWS[name](dimension, CONTEXT).double()
    if scale:
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, 0, scale / CONTEXT**0.5)
    return flow


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("dimension", [2, 3, 5, 8, 15])
@pytest.mark.parametrize("scale", [None, 1.0, 3.0])
def test_log_abs_det_jacobian_is_exact(name, dimension, scale):
    flow = make(name, dimension, scale)
    z, h = torch.randn(4, dimension).double(), torch.randn(4, CONTEXT).double()
    _, log_abs_det_jacobian = flow(z, h)
    for i in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda x, i=i: flow(x[None], h[i : i + 1])[0][0], z[i])
        sign, value = torch.linalg.slogdet(jacobian)
        assert sign > 0
        assert value.item() == pytest.approx(log_abs_det_jacobian[i].item(), abs=1e-9)


@pytest.mark.parametrize("name", FLOWS)
def test_permuted_events_give_permuted_outputs(name):
    flow = make(name, 4, 1.0)
    z, h = torch.randn(6, 4).double(), torch.randn(6, CONTEXT).double()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for a, b in zip(flow(z[order], h[order]), flow(z, h), strict=True):
        torch.testing.assert_close(a, b[order])


@pytest.mark.parametrize("name", FLOWS)
def test_starts_near_the_identity(name):
    flow = make(name, 6, None)
    z, h = torch.randn(200, 6).double(), torch.randn(200, CONTEXT).double()
    moved, log_abs_det_jacobian = flow(z, h)
    assert (moved - z).abs().mean() < 0.1
    assert log_abs_det_jacobian.abs().mean() < 0.1


@pytest.mark.parametrize("name", FLOWS)
def test_every_parameter_and_the_context_receive_gradient(name):
    flow = make(name, 4, 1.0)
    z, h = torch.randn(6, 4).double(), torch.randn(6, CONTEXT).double().requires_grad_()
    moved, log_abs_det_jacobian = flow(z, h)
    (moved.square().sum() - log_abs_det_jacobian.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in flow.parameters())
    assert (h.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", FLOWS)
def test_flow_lowers_the_kl_of_a_banana(name):
    # target: z1 ~ N(0, 1), z2 | z1 ~ N(z1^2 - 1, 0.3^2); the best diagonal Gaussian has a KL well above zero
    torch.manual_seed(0)

    def negative_log_target(z):
        width = 0.3
        return 0.5 * z[:, 0] ** 2 + 0.5 * ((z[:, 1] - z[:, 0] ** 2 + 1) / width) ** 2 + torch.log(torch.tensor(width))

    def smallest_kl(flow):
        mu, log_sigma = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
        parameters = [mu, log_sigma, *(flow.parameters() if flow else [])]
        optimiser = torch.optim.Adam(parameters, lr=0.02)
        history = []
        for _ in range(600):
            eps = torch.randn(256, 2)
            z = mu + log_sigma.exp() * eps
            log_q = -0.5 * eps.square().sum(1) - log_sigma.sum()
            if flow:
                z, log_abs_det_jacobian = flow(z, torch.ones(256, CONTEXT))
                log_q = log_q - log_abs_det_jacobian
            kl = (log_q + negative_log_target(z)).mean()
            optimiser.zero_grad()
            kl.backward()
            optimiser.step()
            history.append(kl.item())
        return sum(history[-100:]) / 100

    assert smallest_kl(FLOWS[name](2, CONTEXT)) < smallest_kl(None) - 0.1
