r"""Samplers of the negative samples x- of the energy-based detectors.

With E the energy, (f, g) an autoencoder with codes on the unit sphere and P the projection on the sphere:

    ContrastiveDivergence          visible chain on E from the background batch itself
                                   contrastive divergence (Hinton 2002)
    PersistentCD                   visible chain on E from the ends of earlier ones
                                   persistent CD (Tieleman 2008), IGEBM
    OnManifold                     latent chain on E(g(z)) from the ends of earlier ones, visible chain on E from g(z)
                                   NAE (arXiv:2105.05735, section 4)
    RecoveryLikelihood             x~ = x + sigma eps; visible chain from x~ on E(x') + c |x' - x~|^2 / (2 sigma^2)
                                   DRL (Gao et al., arXiv:2012.08125)
    ManifoldProjectionDiffusion    z~ = P(f(x) + sigma eps); latent chain from z~, then visible chain from g(z), both on
                                   E(x') + c d(f(x'), z~) / (2 sigma^2)
                                   MPDR (NeurIPS 2023, eq. 5-7)

sigma is drawn for each event from a range (noise-magnitude ensemble) and every chain is tied to its own x~ or z~ alone.
d is the squared distance on the sphere, along the chord or along the arc (``geodesic``). With several frozen
autoencoders (manifold ensemble) the batch is divided among them. A chain of temperature T has the recovery likelihood
itself as its law for c = T; MPDR's paper has a smaller c.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hepad.detectors.energy_based.energies import Energy, Reconstruction
from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Sphere, Support, frozen, langevin
from hepad.detectors.networks import Autoencoder
from hepad.errors import InputError


class Negatives(NamedTuple):
    """Negative samples x (B, ...) and the way they took: the points that the chains started from, as events (B, ...),
    and where the visible chain took over."""

    start: Tensor
    middle: Tensor
    x: Tensor


def chains_of(sampler: "NegativeSampler") -> dict[str, Chain]:
    """The chains of a sampler: 'visible' and, where it has one, 'latent'."""
    return {name: part for name, part in vars(sampler).items() if isinstance(part, Chain)}


def buffers_of(sampler: "NegativeSampler") -> dict[str, ReplayBuffer]:
    """The buffers that a sampler keeps from one draw to the next."""
    return {name: part for name, part in vars(sampler).items() if isinstance(part, ReplayBuffer)}


def noise_start(shape: tuple[int, ...], support: Support, generator: torch.Generator) -> Callable[[int], Tensor]:
    """count -> (count, *shape) standard normal points, moved into the space of events."""
    return lambda n: support.project(torch.randn(n, *shape, generator=generator, device=generator.device))


def sphere_start(latent: int, generator: torch.Generator) -> Callable[[int], Tensor]:
    """count -> (count, latent) codes, uniform on the unit sphere."""
    return lambda n: Sphere().project(torch.randn(n, latent, generator=generator, device=generator.device))


def buffer_settings(start: str, replay: float | None, buffer: int | None) -> tuple[float, int]:
    """Probability of a start from a buffer and its size; None stands for the defaults, 0.95 and 10,000. InputError if
    they cannot be, or chains that start from the data are given any."""
    if start == "data" and (replay, buffer) != (None, None):
        raise InputError("replay, buffer: chains with start 'data' have no buffer; leave them out.")
    if replay == 0 and buffer is not None:
        raise InputError("buffer: with 'replay: 0' no chain starts from it; leave it out.")
    replay, buffer = 0.95 if replay is None else replay, 10_000 if buffer is None else buffer
    ReplayBuffer.check(buffer, replay)
    return replay, buffer


class NegativeSampler(Protocol):
    """Draws negative samples for a batch of normalised background events."""

    def draw(self, energy: Energy, x: Tensor, support: Support, generator: torch.Generator) -> Negatives: ...


@dataclass(frozen=True)
class ContrastiveDivergence:
    """Contrastive divergence: chains start at the events of the batch."""

    visible: Chain

    def draw(self, energy: Energy, x: Tensor, support: Support, generator: torch.Generator) -> Negatives:
        with frozen(energy):
            end = langevin(energy.descended(self.visible), x, self.visible, domain=support, generator=generator)
        return Negatives(x, x, end)


@dataclass(frozen=True)
class PersistentCD:
    """Chains go on from the ends of earlier ones, or start where ``buffer.fresh`` says.

    differentiable: keep the graph of the chain, so that a loss on x- reaches the parameters of the energy
    """

    visible: Chain
    buffer: ReplayBuffer
    differentiable: bool = False

    def draw(self, energy: Energy, x: Tensor, support: Support, generator: torch.Generator) -> Negatives:
        start = support.project(self.buffer.start(len(x), generator))
        downhill, options = energy.descended(self.visible), {"domain": support, "generator": generator}
        if self.differentiable:
            end = langevin(downhill, start, self.visible, differentiable=True, **options)
        else:
            with frozen(energy):
                end = langevin(downhill, start, self.visible, **options)
        self.buffer.store(end)
        return Negatives(start, start, end)


def visible_chains(settings, fresh: Callable[[int], Tensor]) -> ContrastiveDivergence | PersistentCD:
    """Chains in the space of events, of settings with ``start``, ``visible_chain``, ``replay`` and ``buffer``.

    fresh: count -> (count, ...), where chains begin that do not begin at the data or in the buffer
    """
    replay, size = buffer_settings(settings.start, settings.replay, settings.buffer)
    if settings.start == "data":
        return ContrastiveDivergence(settings.visible_chain)
    return PersistentCD(settings.visible_chain, ReplayBuffer(size, replay, fresh))


@dataclass(frozen=True)
class OnManifold:
    """On-manifold initialisation of the NAE; ``buffer`` holds codes."""

    latent: Chain
    visible: Chain
    buffer: ReplayBuffer

    def draw(self, energy: Reconstruction, x: Tensor, support: Support, generator: torch.Generator) -> Negatives:
        def decode(z: Tensor) -> Tensor:
            return support.project(energy.autoencoder.decode(z))

        with frozen(energy):
            z0 = self.buffer.start(len(x), generator)
            z = langevin(lambda z: energy.raw(decode(z)), z0, self.latent, domain=Sphere(), generator=generator)
            self.buffer.store(z)
            with torch.no_grad():
                start, middle = decode(z0), decode(z)
            downhill = energy.descended(self.visible)
            return Negatives(
                start, middle, langevin(downhill, middle, self.visible, domain=support, generator=generator)
            )


@dataclass(frozen=True)
class Recovery:
    """How background is perturbed and how strongly a chain is tied to the perturbed point.

    sigma: smallest and largest magnitude of the perturbation, which is drawn per event; weight, visible_weight: c in
    the latent and in the visible chain; geodesic: distance along the arc instead of the chord.

    The paper sets c to zero in the visible chain of images, where its gradient is high-frequency noise (B.1.3).
    """

    sigma: tuple[float, float] = (0.05, 0.3)
    weight: float = 1e-4
    visible_weight: float = 0.0
    geodesic: bool = False

    def __post_init__(self):
        if len(self.sigma) != 2 or not 0 < self.sigma[0] <= self.sigma[1]:
            raise InputError(f"recovery: sigma must be two numbers 0 < smallest <= largest, not {list(self.sigma)}.")
        if min(self.weight, self.visible_weight) < 0:
            raise InputError("recovery: weight and visible_weight must not be negative.")

    def draw_sigma(self, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """(count,) magnitudes, uniform in the range."""
        low, high = self.sigma
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    def tie(self, raw: Callable[[Tensor], Tensor], model: Autoencoder, target: Tensor, sigma: Tensor, c: float):
        """x' -> raw(x') + c d(f(x'), target) / (2 sigma^2), each (B,)."""
        if c == 0:
            return raw

        def tied(x: Tensor) -> Tensor:
            code = model.encode(x)
            if self.geodesic:
                distance = torch.acos((code * target).sum(1).clamp(-1 + 1e-6, 1 - 1e-6)).square()
            else:
                distance = (code - target).square().sum(1)
            return raw(x) + c * distance / (2 * sigma.square())

        return tied


@dataclass(frozen=True)
class ManifoldProjectionDiffusion:
    """MPDR: ``manifolds`` are frozen spherical autoencoders."""

    manifolds: tuple[Autoencoder, ...]
    recovery: Recovery
    latent: Chain
    visible: Chain

    def draw(self, energy: Energy, x: Tensor, support: Support, generator: torch.Generator) -> Negatives:
        self.check(len(x), len(self.manifolds))
        with frozen(energy):
            groups = zip(self.manifolds, x.tensor_split(len(self.manifolds)), strict=True)
            parts = [self._draw(energy, model, part, support, generator) for model, part in groups]
        return Negatives(*(torch.cat(stage) for stage in zip(*parts, strict=True)))

    @staticmethod
    def check(batch: int, count: int) -> None:
        """InputError if a batch of so many events cannot be divided among ``count`` autoencoders."""
        if batch < count:
            raise InputError(
                f"manifolds: a batch of {batch} events cannot be divided among {count} autoencoders; raise "
                "'training: batch' or name fewer 'manifolds'."
            )

    def _draw(self, energy: Energy, model: Autoencoder, x: Tensor, support: Support, generator) -> Negatives:
        def decode(z: Tensor) -> Tensor:
            return support.project(model.decode(z))

        sphere, r = Sphere(), self.recovery
        sigma = r.draw_sigma(len(x), generator, x.device)
        with torch.no_grad():
            z = model.encode(x)
            noise = torch.randn(z.shape, generator=generator, device=z.device)
            target = sphere.project(z + sigma.unsqueeze(1) * noise)
        latent = r.tie(energy.raw, model, target, sigma, r.weight)
        z = langevin(lambda z: latent(decode(z)), target, self.latent, domain=sphere, generator=generator)
        with torch.no_grad():
            start, middle = decode(target), decode(z)
        visible = r.tie(energy.descended(self.visible), model, target, sigma, r.visible_weight)
        return Negatives(start, middle, langevin(visible, middle, self.visible, domain=support, generator=generator))


@dataclass(frozen=True)
class RecoveryLikelihood:
    """Recovery from Gaussian noise in the space of events; the ``sigma`` of ``recovery`` in normalised units, its
    ``weight`` c in the one chain that there is."""

    recovery: Recovery
    visible: Chain

    def draw(self, energy: Energy, x: Tensor, support: Support, generator: torch.Generator) -> Negatives:
        sigma = self.recovery.draw_sigma(len(x), generator, x.device)
        noise = sigma.view(-1, *[1] * (x.dim() - 1)) * support.noise(x, generator)
        target = support.project(x + noise)

        downhill = energy.descended(self.visible)

        def tied(x: Tensor) -> Tensor:
            distance = (x - target).square().flatten(1).sum(1)
            return downhill(x) + self.recovery.weight * distance / (2 * sigma.square())

        with frozen(energy):
            end = langevin(tied, target, self.visible, domain=support, generator=generator)
        return Negatives(target, target, end)
