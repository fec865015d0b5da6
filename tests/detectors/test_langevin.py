"""The Langevin chain against known distributions, and the traps of published samplers."""

import pytest
import torch

from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Sphere, Support, frozen, langevin
from hepad.errors import DivergenceError, InputError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gaussian_mean_and_covariance():
    # U = x^T A x / 2 at temperature T = noise^2 / (2 step) has covariance T A^-1
    a = torch.tensor([[2.0, 0.6], [0.6, 1.0]])
    mean = torch.tensor([1.0, -2.0])
    chain = Chain(n_steps=1500, step_size=0.01, noise_std=0.2)
    x = langevin(
        lambda x: 0.5 * torch.einsum("bi,ij,bj->b", x - mean, a, x - mean),
        torch.zeros(20_000, 2),
        chain,
        domain=Support(),
        generator=generator(),
    )
    assert chain.temperature == pytest.approx(2.0)
    assert Chain(n_steps=1, step_size=0.01, noise_std=0.2, anneal=True).temperature is None
    torch.testing.assert_close(x.mean(0), mean, atol=0.05, rtol=0)
    # the discretisation broadens the distribution by 1 + step A / 2, one per cent here
    torch.testing.assert_close(torch.cov(x.T), 2.0 * torch.linalg.inv(a), atol=0.12, rtol=0.04)


def test_a_chain_along_directions_has_the_stationary_law_within_them():
    # steep in the narrow direction, as data are: E = x^T A x / 2 with A^-1 near L L^T, which the metric makes round
    long, short = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([-0.08, 0.06, 0.0])  # spreads 5 and 0.1
    directions = torch.stack([long, short], 1)
    inverse = directions @ directions.T  # of rank 2: nothing moves along the third axis
    a = torch.linalg.pinv(inverse)
    chain = Chain(n_steps=400, step_size=0.05, noise_std=0.1**0.5, components=2)
    support = Support(directions=directions)
    x = langevin(lambda x: 0.5 * torch.einsum("bi,ij,bj->b", x, a, x), torch.zeros(20_000, 3), chain,
                 domain=support, generator=generator())  # fmt: skip
    assert chain.temperature == pytest.approx(1.0)
    assert (x[:, 2] == 0).all()
    inside = x @ directions / directions.square().sum(0)  # coordinates in units of the spreads: standard normal
    torch.testing.assert_close(torch.cov(inside.T), torch.eye(2), atol=0.06, rtol=0)
    # the plain chain, whose step must suit the narrow direction, has not gone far in the wide one
    chain = Chain(n_steps=400, step_size=0.005, noise_std=0.1)
    plain = langevin(lambda x: 0.5 * torch.einsum("bi,ij,bj->b", x, a, x), torch.zeros(2000, 3), chain,
                     domain=Support(), generator=generator())  # fmt: skip
    assert (plain @ long / 25).std() < 0.5


def test_clip_limits_each_sample_not_each_row():
    # gradient 100 in every one of 16 pixels: norm 400 per image, 200 per row of four
    start = torch.zeros(3, 1, 4, 4)
    chain = Chain(n_steps=1, step_size=1.0, noise_std=0.0, grad_clip=0.01)
    x = langevin(lambda x: 100 * x.flatten(1).sum(1), start, chain, domain=Support(), generator=generator())
    torch.testing.assert_close(x.flatten(1).norm(dim=1), torch.full((3,), 0.01))


def test_clip_acts_before_the_gradient_is_used_and_leaves_small_ones_alone():
    chain = Chain(n_steps=1, step_size=1.0, noise_std=0.0, grad_clip=1.0)
    slopes = torch.tensor([0.5, 7.0])
    x = langevin(lambda x: slopes * x[:, 0], torch.zeros(2, 1), chain, domain=Support(), generator=generator())
    torch.testing.assert_close(x[:, 0], torch.tensor([-0.5, -1.0]))


def test_unit_gradient_moves_every_sample_by_one_step():
    chain = Chain(n_steps=1, step_size=0.1, noise_std=0.0, unit=True)
    slopes = torch.tensor([1e-4, 1e4])
    x = langevin(lambda x: slopes * x[:, 0], torch.zeros(2, 3), chain, domain=Support(), generator=generator())
    torch.testing.assert_close(x.norm(dim=1), torch.full((2,), 0.1))


def test_annealing_starts_after_the_second_step():
    # the authors' noise is 1, 1, 1/2, 1/3, ...; dividing by 1, 2, 3, ... gives a width of 1.17 in place of 1.54
    zero = torch.zeros(50_000, 1)

    def width(steps):
        chain = Chain(n_steps=steps, step_size=1e-9, noise_std=1.0, anneal=True)
        return langevin(lambda x: 0 * x[:, 0], zero, chain, domain=Support(), generator=generator()).std().item()

    assert width(1) == pytest.approx(1.0, rel=0.02)
    assert width(2) == pytest.approx(2**0.5, rel=0.02)
    assert width(4) == pytest.approx((1 + 1 + 1 / 4 + 1 / 9) ** 0.5, rel=0.02)


def test_metropolis_removes_the_error_of_large_steps():
    # at step 0.5 on x^2 / 2 the plain chain has the variance T / (1 - step / 2) = 1.33, the adjusted one T = 1
    chain = {"n_steps": 200, "step_size": 0.5, "noise_std": 1.0}
    start = torch.zeros(20_000, 1)

    def variance(**more):
        x = langevin(
            lambda x: 0.5 * x[:, 0] ** 2, start, Chain(**chain, **more), domain=Support(), generator=generator()
        )
        return x.var().item()

    assert variance() == pytest.approx(1 / 0.75, rel=0.04)
    assert variance(metropolis=True) == pytest.approx(1.0, rel=0.04)


def test_metropolis_judges_every_chain_by_its_own_energy():
    # with the (B, B) acceptance of published code, the still chain on the steep wall freezes all, or its fate spreads
    def energy(x):
        return torch.tensor([1e6, 0.0, 0.0]) * x[:, 0] ** 2

    chain = Chain(n_steps=1, step_size=0.005, noise_std=0.1, metropolis=True)
    start = torch.zeros(3, 1)
    moved = langevin(energy, start, chain, domain=Support(), generator=generator()) != 0
    assert moved.flatten().tolist() == [False, True, True]


def test_metropolis_never_leaves_the_support():
    support = Support(low=torch.tensor([0.0]), high=torch.tensor([1.0]))
    chain = Chain(n_steps=200, step_size=0.5, noise_std=1.0, metropolis=True)
    x = langevin(lambda x: 0 * x[:, 0], torch.full((20_000, 1), 0.5), chain, domain=support, generator=generator())
    # clamping would pile up events on the walls; the law of a flat energy is uniform
    assert ((x > 0) & (x < 1)).all()
    assert x.mean().item() == pytest.approx(0.5, abs=0.01)
    assert x.var().item() == pytest.approx(1 / 12, rel=0.03)


def test_a_differentiable_chain_has_the_gradient_of_its_end():
    # E = k x^2 / 2: the end is x (1 - step k)^n, its derivative with respect to k is -n step x (1 - step k)^(n - 1)
    k = torch.tensor(2.0, requires_grad=True)
    chain = Chain(n_steps=5, step_size=0.1, noise_std=0.0)
    x = langevin(
        lambda x: 0.5 * k * x[:, 0] ** 2,
        torch.tensor([[3.0]]),
        chain,
        domain=Support(),
        generator=generator(),
        differentiable=True,
    )
    x.sum().backward()
    assert x.item() == pytest.approx(3 * 0.8**5, rel=1e-5)
    assert k.grad.item() == pytest.approx(-5 * 0.1 * 3 * 0.8**4, rel=1e-5)


def test_sphere_keeps_unit_norm_and_moves_along_it():
    start = Sphere().project(torch.randn(100, 5, generator=generator()))
    chain = Chain(n_steps=20, step_size=0.1, noise_std=0.05, unit=True)
    z = langevin(lambda z: z[:, 0], start, chain, domain=Sphere(), generator=generator())
    torch.testing.assert_close(z.norm(dim=1), torch.ones(100))
    assert z[:, 0].mean() < start[:, 0].mean() - 0.5
    gradient = Sphere().tangent(start, torch.randn(100, 5))
    torch.testing.assert_close((gradient * start).sum(1), torch.zeros(100), atol=1e-6, rtol=0)


def test_images_stay_non_negative_with_fixed_sum():
    support = Support(pixels=16, total=3.0, low=torch.tensor([-1.0]), high=torch.tensor([2.0]))
    x = support.project(5 * torch.randn(50, 17, generator=generator()))
    assert (x[:, :16] >= 0).all()
    torch.testing.assert_close(x[:, :16].sum(1), torch.full((50,), 3.0))
    assert (x[:, 16] >= -1).all()
    assert (x[:, 16] <= 2).all()
    torch.testing.assert_close(support.project(x), x)


def test_a_chain_does_not_depend_on_the_others():
    start = torch.randn(8, 3, generator=generator())
    chain = Chain(n_steps=10, step_size=0.1, noise_std=0.0, grad_clip=0.5)

    def energy(x):
        return x.pow(4).sum(1)

    together = langevin(energy, start, chain, domain=Support(), generator=generator())
    alone = torch.cat([langevin(energy, row, chain, domain=Support(), generator=generator()) for row in start.split(1)])
    torch.testing.assert_close(together, alone)


def test_half_width_gradients_are_good_to_a_per_cent_and_samples_stay_in_single_precision():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    seen = []

    def energy(x):
        out = net(x)
        seen.append(out.dtype)
        return out.float().squeeze(1)

    start = torch.randn(200, 5, generator=generator())
    moves = {}
    for half in (False, True):
        chain = Chain(n_steps=1, step_size=0.1, noise_std=0.0, bfloat16=half)
        with frozen(net):
            end = langevin(energy, start, chain, domain=Support(), generator=generator())
        assert end.dtype == torch.float32
        moves[half] = end - start
    assert seen == [torch.float32, torch.bfloat16]
    difference = (moves[True] - moves[False]).norm() / moves[False].norm()
    assert 0 < difference < 0.01


def test_divergence_names_the_setting():
    chain = Chain(n_steps=200, step_size=10.0, noise_std=0.0)
    with pytest.raises(DivergenceError, match="'step_size'"):
        langevin(lambda x: x.pow(4).sum(1), torch.ones(2, 2), chain, domain=Support(), generator=generator())


@pytest.mark.parametrize("domain", [Support(), Sphere()])
@pytest.mark.parametrize("extra", [{}, {"grad_clip": 1.0}, {"unit": True}])
def test_divergence_names_the_chain_and_a_remedy_that_it_takes(domain, extra):
    start = torch.nn.functional.normalize(torch.ones(2, 2), dim=-1)
    with pytest.raises(DivergenceError) as caught:
        langevin(
            lambda x: x.sum(1) * torch.nan, start, Chain(1, 0.1, 0.1, **extra), domain=domain, generator=generator()
        )
    assert str(caught.value).startswith(("visible" if isinstance(domain, Support) else "latent") + "_chain: ")
    assert ("'grad_clip'" in str(caught.value)) == (not extra)


@pytest.mark.parametrize(
    "energy", [lambda x: x.sum(1) * torch.nan, lambda x: x.sum(1) + torch.inf, lambda x: (x - 1).sum(1).sqrt()]
)
def test_a_metropolis_chain_does_not_stand_still_on_an_energy_that_is_no_number(energy):
    # the last one is a number at the start alone
    chain = Chain(n_steps=5, step_size=0.1, noise_std=0.3, metropolis=True)
    with pytest.raises(DivergenceError, match="visible_chain"):
        langevin(energy, torch.full((50, 2), 1.5), chain, domain=Support(), generator=generator())


BAD = [{"n_steps": -1}, {"step_size": 0.0}, {"noise_std": -1.0}, {"grad_clip": 0.0}, {"grad_clip": 1.0, "unit": True}]
BAD += [{"metropolis": True, "bfloat16": True}]
BAD += [
    {"metropolis": True, "unit": True},
    {"metropolis": True, "anneal": True},
    {"metropolis": True, "noise_std": 0.0},
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_chains_are_refused(bad):
    with pytest.raises(InputError, match="chain"):
        Chain(**{"n_steps": 1, "step_size": 0.1, "noise_std": 0.1, **bad})


def test_frozen_restores_parameters_and_mode():
    module = torch.nn.Linear(2, 1).train()
    with frozen(module):
        assert not module.weight.requires_grad
        assert not module.training
    assert module.weight.requires_grad
    assert module.training


def test_replay_buffer_is_first_in_first_out():
    buffer = ReplayBuffer(5, replay=1.0, fresh=lambda n: torch.full((n, 1), -1.0))
    assert (buffer.start(4, generator()) == -1).all(), "an empty buffer gives fresh starts"
    buffer.store(torch.arange(4.0).view(4, 1))
    buffer.store(torch.arange(10.0, 13.0).view(3, 1))
    assert set(buffer.points.flatten().tolist()) == {2.0, 3.0, 10.0, 11.0, 12.0}
    assert set(buffer.start(200, generator()).flatten().tolist()) == {2.0, 3.0, 10.0, 11.0, 12.0}


def test_replay_fraction():
    buffer = ReplayBuffer(10, replay=0.95, fresh=lambda n: torch.full((n, 1), -1.0))
    buffer.store(torch.ones(10, 1))
    fraction = (buffer.start(20_000, generator()) > 0).float().mean().item()
    assert fraction == pytest.approx(0.95, abs=0.01)
