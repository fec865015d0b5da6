r"""Energies of an event: what p(x) ~ exp(-E(x)) is made of.

    Reconstruction (R)    E(x) = e(x) / e0,    e(x) = |x - g(f(x))|^2 / D
    Masked (IDNN)         E(x) = e(x) / e0,    e(x) = < (x_i - x^m_i)^2 > over masks m and the entries i that they hide
    Scalar (S)            E(x) = n(x),         a network with one output and layers of spectral norm one

e is a mean over entries, so that the step sizes of published chains hold for any D, and e0 its validation value when
the energy phase begins, so that background starts at E = 1 whatever the input; the e of masked prediction is that of
hepad.detectors.masked_prediction. Chains act on ``raw``, which is e or n: their steps then have the size that the
papers give; a chain along principal components, which no paper has, acts on E, so that its step holds for any
background. (Yoon, Noh, Park, ICML 2021, arXiv:2105.05735, section 3; Yoon et al., NeurIPS 2023, sections 3.5 and 4.4.)

Far from all events an energy of one output was never asked for, and may be small there: a score is that energy and the
squared distance to the box of the training events.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hepad.detectors.base import r_squared
from hepad.detectors.energy_based.langevin import Chain
from hepad.detectors.masked_prediction import MaskSettings, Predictor
from hepad.detectors.networks import Autoencoder, AutoencoderSettings, scalar_network
from hepad.representations import Space


class Energy(nn.Module, ABC):
    """(B, *shape) normalised events -> (B,), higher is less probable; each event on its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    @abstractmethod
    def raw(self, x: Tensor) -> Tensor:
        """The energy (B,) that chains descend."""

    def forward(self, x: Tensor) -> Tensor:
        return self.raw(x) / self.scale

    def terms(self, x: Tensor) -> Tensor | None:
        """What each entry adds to the energy, (B, *shape); None if it is no sum over entries."""
        return None

    def descended(self, chain: Chain) -> Callable[[Tensor], Tensor]:
        """What a chain in the space of events goes down."""
        return self if chain.components else self.raw

    def penalty(self) -> Tensor | float:
        """The term of the loss for the weights of this energy's network."""
        return 0.0


class Error(Energy):
    """The mean squared error of what a network makes of an event; ``scale`` is that of background.

    makes: what that is called; needs: what a network that fails may lack
    """

    makes: str
    needs: str

    @abstractmethod
    def r2(self, x: Tensor, energy: float) -> float:
        """R^2 of what the network makes of events x whose mean energy is ``energy``."""


class Reconstruction(Error):
    """The error of an autoencoder."""

    makes, needs = "reconstruction", "the autoencoder more latents"

    def __init__(self, space: Space, settings: AutoencoderSettings):
        super().__init__()
        self.autoencoder = Autoencoder(space, settings)

    def raw(self, x: Tensor) -> Tensor:
        return self.autoencoder.error(x)

    def terms(self, x: Tensor) -> Tensor | None:
        return self.autoencoder.error_terms(x) / self.scale

    def penalty(self) -> Tensor | float:
        return self.autoencoder.penalty() / self.scale

    def r2(self, x: Tensor, energy: float) -> float:
        return r_squared(x, energy * self.scale.item())


class Masked(Error):
    """The error of what a network predicts of hidden parts from the others."""

    makes, needs = "prediction", "the prediction wider 'hidden_dims'"

    def __init__(self, space: Space, settings: MaskSettings):
        super().__init__()
        self.predictor = Predictor(space, settings)

    def raw(self, x: Tensor) -> Tensor:
        return self.predictor.error(x)

    def terms(self, x: Tensor) -> Tensor | None:
        return self.predictor.error_terms(x) / self.scale

    def r2(self, x: Tensor, energy: float) -> float:
        return self.predictor.r2(x, energy * self.scale.item())


class Scalar(Energy):
    """A network with one output: the encoder ``network`` with dense layers ``hidden_dims``."""

    def __init__(self, space: Space, network: str, hidden_dims: tuple[int, ...]):
        super().__init__()
        self.net = scalar_network(space, network, list(hidden_dims))

    def raw(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)
