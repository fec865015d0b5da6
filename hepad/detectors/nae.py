r"""Normalized autoencoder (Yoon, Noh, Park, ICML 2021, arXiv:2105.05735; for jets Dillon et al., arXiv:2206.14225).

    E(x) = e(x) / e0,     e(x) = |x - g(f(x))|^2 / D,      p(x) = exp(-E(x)) / Omega
    L    = < E(x) > - < E(x-) > + gamma < E(x-)^2 >

e0 is the validation error of the autoencoder that training starts from. On-manifold initialisation finds the negative
samples x-: a latent chain z on E(g(z)) over the unit sphere, started from a replay buffer or a random direction; then a
visible chain on E(x) from x = g(z), inside the space of events. Both chains act on the error e itself, so that their
steps have the size that the papers give.
"""

import torch
from torch import Tensor, nn

from hepad.detectors.energy import EnergyDetector
from hepad.errors import InputError
from hepad.networks import Autoencoder
from hepad.representations import Space
from hepad.sampling import ReplayBuffer, Sphere, Support, frozen, langevin


class NAE(EnergyDetector):
    """Normalized autoencoder on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    network, hidden, latent: as for AE; the code lives on the unit sphere
    pretraining, training: Schedules of the autoencoder phase and of the energy phase
    latent_chain, visible_chain: Chains (steps, step, noise, clip, unit, anneal)
    gamma: weight of the squared negative energies
    replay, buffer: probability of a start from the buffer, and the buffer's size
    l2: strength of the L2 term on the weights
    """

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden: tuple[int, ...] = (256, 128),
        latent: int = 16,
        pretraining: dict,
        training: dict,
        latent_chain: dict,
        visible_chain: dict,
        gamma: float = 0.03,
        replay: float = 0.95,
        buffer: int = 10_000,
        l2: float = 0.0,
    ):
        if not (gamma >= 0 and 0 <= replay <= 1 and buffer >= 1):
            raise InputError("NAE: gamma >= 0, 0 <= replay <= 1 and buffer >= 1 are needed.")
        model = Autoencoder(space, network=network, hidden=list(hidden), latent=latent, sphere=True)
        super().__init__(space, model, pretraining, training, latent_chain, visible_chain, l2)
        self.gamma, self.replay, self.buffer_size = gamma, replay, buffer

    def energy(self, x: Tensor) -> Tensor:
        return self.autoencoder.error(x) / self.scale

    def begin(self, generator: torch.Generator) -> nn.Module:
        sphere, shape, device = Sphere(), self.autoencoder.latent, self.scale.device

        def fresh(count: int) -> Tensor:
            return sphere.project(torch.randn(count, shape, generator=generator, device=device))

        self.buffer = ReplayBuffer(self.buffer_size, self.replay, fresh)
        return self.autoencoder

    def negatives(self, x: Tensor, support: Support, generator: torch.Generator) -> Tensor:
        model = self.autoencoder
        with frozen(model):
            z = langevin(
                lambda z: model.error(support.project(model.decode(z))),
                self.buffer.start(len(x), generator),
                self.latent_chain,
                domain=Sphere(),
                generator=generator,
            )
            self.buffer.store(z)
            with torch.no_grad():
                start = support.project(model.decode(z))
            return langevin(model.error, start, self.visible_chain, domain=support, generator=generator)

    def regulariser(self, positive: Tensor, negative: Tensor) -> Tensor:
        return self.gamma * negative.square().mean()
