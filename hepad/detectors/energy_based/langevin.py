r"""Langevin chains, the only sampler.

One step of the chain on the energy E, inside a domain with projection P:

    x_{i+1} = P( x_i - step_size * g_i + noise_i * xi_i ),     xi_i ~ N(0, 1),     g_i = grad E(x_i)

``step_size`` and ``noise_std`` are the only settings; together they imply the temperature at which exp(-E/T) is
stationary (for small steps, no clipping and constant noise), T = noise_std**2 / (2 step_size). With ``metropolis`` a
step is accepted with

    min(1, exp[ -(E(y) - E(x)) / T ] q(x|y) / q(y|x) ),     q(y|x) = N(y; x - step_size grad E(x), noise_std^2)

for each sample on its own, and exp(-E/T) is stationary for steps of any size. With ``anneal`` the noise of step
i = 0, 1, 2, ... is noise_std / max(1, i), as in the code of the NAE's authors: the first two steps have full noise.
With ``grad_clip`` the gradient of each *sample* (not of each row of its pixels) is shortened to that norm before it is
used; with ``unit`` it is scaled to norm one. With ``components`` k the chain goes along the k principal components of
the background only, in units of its standard deviation along each (preconditioning): of their covariance C = L L^T,
L (D, k) with orthogonal columns,

    x_{i+1} = P( x_i - step_size * L L^T g_i + noise_i * L xi_i ),     xi_i ~ N(0, 1) in k dimensions,

with the same stationary exp(-E/T) in the space that the components span, as far as P does not act, and moves that look
like background: noise on every pixel by itself is unlike any jet. What is outside of that space when a chain starts
stays there. ``grad_clip`` and ``unit`` are then about L L^T g. With ``bfloat16`` the networks compute energies and
gradients in half the width, to three digits, which GPUs and recent CPUs do twice as fast; the samples themselves stay
in single precision.

Source: Yoon, Noh, Park, ICML 2021, arXiv:2105.05735; Yoon et al., NeurIPS 2023 (MPDR); Metropolis adjustment: Roberts
and Tweedie, Bernoulli 2 (1996) 341; preconditioning: Girolami and Calderhead, JRSS B 73 (2011) 123, with a constant
metric.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hepad.errors import DivergenceError, InputError
from hepad.representations import occupied


@dataclass(frozen=True)
class Chain:
    """Settings of a Langevin chain.

    n_steps: number of steps, >= 0; step_size: factor of the gradient, > 0; noise_std: standard deviation of the noise,
    >= 0; grad_clip: largest gradient norm of a sample, or None; unit: use the direction of the gradient only;
    anneal: divide the noise by 1, 1, 2, 3, ...; metropolis: accept or reject every step of every sample;
    bfloat16: compute gradients in half the width (slower on a CPU that has no instructions for it);
    components: how many principal components of the background the steps and the noise go along, in units of its
    spread, down the energy in units of the background's; 0: every entry of an event by itself
    """

    n_steps: int
    step_size: float
    noise_std: float
    grad_clip: float | None = None
    unit: bool = False
    anneal: bool = False
    metropolis: bool = False
    bfloat16: bool = False
    components: int = 0

    def __post_init__(self):
        clipped = self.grad_clip is not None
        if min(self.n_steps, self.noise_std) < 0 or self.step_size <= 0 or (clipped and self.grad_clip <= 0):
            raise InputError(
                f"chain: n_steps >= 0, step_size > 0, noise_std >= 0 and grad_clip > 0 are needed; got {self}."
            )
        if self.unit and clipped:
            raise InputError("chain: 'unit' already fixes the gradient's norm; leave 'grad_clip' out.")
        if self.metropolis and (self.temperature is None or self.noise_std == 0):
            raise InputError("chain: 'metropolis' needs noise_std > 0 and excludes 'unit', 'grad_clip' and 'anneal'.")
        if self.components < 0 or (self.components and self.metropolis):
            raise InputError(f"chain: components >= 0 without 'metropolis' are needed; got {self}.")
        if self.metropolis and self.bfloat16:
            raise InputError("chain: 'metropolis' compares energies; three digits, 'bfloat16', are too few for it.")

    @property
    def temperature(self) -> float | None:
        """noise_std**2 / (2 step_size), in units of the chain's energy.

        None where ``unit``, ``grad_clip`` or ``anneal`` change it.
        """
        changed = self.unit or self.anneal or self.grad_clip is not None
        return None if changed else self.noise_std**2 / (2 * self.step_size)

    @property
    def unlimited(self) -> bool:
        """Whether a step may be as long as the gradient makes it, unchecked."""
        return not (self.unit or self.metropolis or self.grad_clip is not None)


class Domain(Protocol):
    """The set in which a chain moves; ``chain`` has the settings of its chains."""

    chain: str

    def project(self, x: Tensor) -> Tensor:
        """The nearest allowed point, per sample."""

    def tangent(self, x: Tensor, g: Tensor) -> Tensor:
        """The part of the gradient ``g`` along the domain at ``x``."""

    def noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Normal numbers along the domain, of the shape of ``x``."""


class Sphere:
    """Unit vectors in the last dimension."""

    chain = "latent_chain"

    def project(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1)

    def tangent(self, x: Tensor, g: Tensor) -> Tensor:
        return g - (g * x).sum(-1, keepdim=True) * x

    def noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return _normal(x, generator)


@dataclass(frozen=True)
class Support:
    """Possible events: the first ``pixels`` entries of a flattened event are a non-negative image of sum ``total``,
    the others lie between ``low`` and ``high`` (tensors or numbers; None is unbounded).

    directions: (D, k), those in which chains move, each as long as the background's standard deviation; None: all
    objects: an event (1, R, F) is made of objects, and those that are not there, rows of zeros, stay away
    """

    chain = "visible_chain"
    pixels: int = 0
    total: Tensor | float = 1.0
    low: Tensor | float | None = None
    high: Tensor | float | None = None
    directions: Tensor | None = None
    objects: bool = False

    def project(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        image, vector = flat[:, : self.pixels].clamp(min=0), flat[:, self.pixels :]
        if self.pixels:
            image = image * (self.total / image.sum(1, keepdim=True).clamp(min=1e-12))
        if self.low is not None or self.high is not None:
            vector = vector.clamp(self.low, self.high)
        return torch.cat([image, vector], 1).view(x.shape)

    def tangent(self, x: Tensor, g: Tensor) -> Tensor:
        if self.directions is not None:
            g = (g.flatten(1) @ self.directions @ self.directions.T).view(x.shape)
        return g * occupied(x) if self.objects else g

    def noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if self.directions is None:
            xi = _normal(x, generator)
        else:
            along = _normal(x.new_empty(len(x), self.directions.shape[1]), generator)
            xi = (along @ self.directions.T).view(x.shape)
        return xi * occupied(x) if self.objects else xi


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Inside the block no parameter collects a gradient, and the modules are in eval mode."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    training = [(module, module.training) for module in modules]
    for p in parameters:
        p.requires_grad_(False)
    for module in modules:
        module.eval()
    try:
        with nn.utils.parametrize.cached():  # spectral norms are computed once per chain, not once per step
            yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
        for module, mode in training:
            module.train(mode)


def langevin(
    energy: Callable[[Tensor], Tensor],
    x0: Tensor,
    chain: Chain,
    *,
    domain: Domain,
    generator: torch.Generator,
    differentiable: bool = False,
) -> Tensor:
    """Run ``chain.n_steps`` Langevin steps on ``energy`` from ``x0``.

    Parameters
    ----------
    energy: (B, ...) -> (B,); each sample's energy depends on that sample alone
    x0: (B, ...) start, inside the domain
    domain: where the chain may go; applied after every step. A Metropolis chain rejects what would leave it.
    differentiable: keep the graph of the whole chain, so that the end points have a gradient with respect to the
        parameters of the energy; memory grows with the number of steps

    Returns
    -------
    (B, ...) end points, detached unless ``differentiable``

    Raises
    ------
    DivergenceError: the chain left the finite numbers, or a Metropolis chain met an energy that is none
    """
    if chain.metropolis:
        x = _metropolis(energy, x0.detach(), chain, domain=domain, generator=generator)
    else:
        x = x0.detach()
        for i in range(chain.n_steps):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=chain.bfloat16):
                _, g = _gradient(energy, x, differentiable)
            noise = chain.noise_std / max(1, i) if chain.anneal else chain.noise_std
            x = (x if differentiable else x.detach()) - chain.step_size * _shaped(domain.tangent(x, g), chain)
            if noise > 0:
                x = x + noise * domain.noise(x, generator)
            x = domain.project(x)
    if not torch.isfinite(x).all():
        remedy = "'step_size', or 'grad_clip'" if chain.unlimited else "'step_size'"
        raise DivergenceError(
            f"{domain.chain}: a Langevin chain left the finite numbers (n_steps {chain.n_steps}, step_size "
            f"{chain.step_size}, noise_std {chain.noise_std}). Use a smaller {remedy} there, or a lower "
            "'training: learning_rate'."
        )
    return x if differentiable else x.detach()


def _gradient(energy, x: Tensor, differentiable: bool = False) -> tuple[Tensor, Tensor]:
    """Energy (B,), detached, and its gradient at ``x``."""
    x.requires_grad_(True)
    with torch.enable_grad():
        e = energy(x)
        (g,) = torch.autograd.grad(e.sum(), x, create_graph=differentiable)
    return e.detach(), g


def _shaped(g: Tensor, chain: Chain) -> Tensor:
    """The gradient of each sample, clipped or scaled as a whole."""
    if not chain.unit and chain.grad_clip is None:
        return g
    norm = g.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, *[1] * (g.dim() - 1))
    return g / norm if chain.unit else g * (chain.grad_clip / norm).clamp(max=1)


def _normal(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def _metropolis(energy, x: Tensor, chain: Chain, *, domain: Domain, generator: torch.Generator) -> Tensor:
    """The Metropolis-adjusted chain; every sample is accepted or rejected by its own energies alone."""
    e_x, g_x = _gradient(energy, x)
    g_x = domain.tangent(x, g_x)
    lost = ~e_x.isfinite().all()  # such a chain would reject for ever
    for _ in range(chain.n_steps):
        x, xi = x.detach(), domain.noise(x, generator)
        y = x - chain.step_size * g_x + chain.noise_std * xi
        inside = (domain.project(y) - y).abs().flatten(1).amax(1) == 0
        e_y, g_y = _gradient(energy, y)
        g_y = domain.tangent(y, g_y)
        lost |= e_y.isnan().any()
        y = y.detach()
        back = (x - y + chain.step_size * g_y) / chain.noise_std  # the noise that would lead back
        log_q = 0.5 * (xi.square() - back.square()).flatten(1).sum(1)  # log q(x|y) - log q(y|x)
        uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype)
        accept = inside & (uniform.log() < (e_x - e_y) / chain.temperature + log_q)
        wide = accept.view(-1, *[1] * (x.dim() - 1))
        x, g_x, e_x = torch.where(wide, y, x), torch.where(wide, g_y, g_x), torch.where(accept, e_y, e_x)
    return torch.full_like(x, torch.nan) if lost else x


class ReplayBuffer:
    """The last ``size`` end points of earlier chains, from which new chains start.

    ``start`` draws each start from the buffer with probability ``replay`` (with replacement), else a fresh one.
    """

    def __init__(self, size: int, replay: float, fresh: Callable[[int], Tensor]):
        self.check(size, replay)
        self.size, self.replay, self.fresh = size, replay, fresh
        self.points: Tensor | None = None
        self.filled = self.next = 0

    @staticmethod
    def check(size: int, replay: float) -> None:
        """InputError unless these are a size and a probability."""
        if size < 1 or not 0 <= replay <= 1:
            raise InputError(f"buffer, replay: buffer >= 1 and 0 <= replay <= 1 are needed, not {size} and {replay}.")

    def start(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, ...) starting points."""
        new = self.fresh(count)
        if self.filled == 0:
            return new
        device = new.device
        rows = torch.randint(self.filled, (count,), generator=generator, device=device)
        old = torch.rand(count, generator=generator, device=device) < self.replay
        return torch.where(old.view(-1, *[1] * (new.dim() - 1)), self.points[rows], new)

    def store(self, points: Tensor) -> None:
        """Keep ``points`` (first in, first out)."""
        points = points.detach()
        if self.points is None:
            self.points = torch.empty((self.size, *points.shape[1:]), device=points.device, dtype=points.dtype)
        rows = (self.next + torch.arange(len(points), device=points.device)) % self.size
        self.points[rows] = points
        self.next = (self.next + len(points)) % self.size
        self.filled = min(self.size, self.filled + len(points))

    def state_dict(self) -> dict:
        """The points that there are, and where the next ones go."""
        return {"points": None if self.points is None else self.points[: self.filled], "next": self.next}

    def load_state_dict(self, state: dict) -> None:
        """Hold what :meth:`state_dict` gave."""
        self.points, self.filled, self.next = None, 0, 0
        if state["points"] is not None:
            self.store(state["points"])
        self.next = state["next"]
