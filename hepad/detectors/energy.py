r"""What the energy-based detectors share: the model p(x) ~ exp(-E(x)) is raised on background and lowered elsewhere.

    L = < E(x) > - < E(x-) > + regulariser

where x- are negative samples: points that the model itself believes in, found by Langevin chains from points on the
manifold of an autoencoder that was trained first. If they followed p, the gradient of the first two terms would be that
of the negative log-likelihood; short, cold chains follow p only roughly (the log has their temperature). The detectors
differ in the energy, in where the chains start and in the regulariser.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from hepad.detectors.autoencoder import fit_autoencoder
from hepad.detectors.base import Reconstructing, settings
from hepad.evaluation import spearman
from hepad.networks import Autoencoder
from hepad.progress import Progress
from hepad.representations import Space
from hepad.sampling import Chain, DivergenceError, Support
from hepad.training import Schedule, fit_loop, in_parts

RUNAWAY = 100.0  # |E-| in units of the validation energy (or of one) beyond which a training is lost


class EnergyDetector(Reconstructing):
    """An autoencoder phase, then an energy phase; subclasses give ``energy``, ``negatives`` and ``regulariser``.

    Energies are per dimension and in units of ``scale``: for reconstruction energies the validation error of the
    autoencoder, so that background starts at E = 1 whatever the input.
    """

    score_name = "energy $E$"

    def __init__(
        self,
        space: Space,
        autoencoder: Autoencoder,
        pretraining: dict,
        training: dict,
        latent_chain: dict,
        visible_chain: dict,
        l2: float,
    ):
        super().__init__(space)
        self.autoencoder = autoencoder
        self.pretraining = settings(Schedule, pretraining, "pretraining")
        self.training_schedule = settings(Schedule, training, "training")
        self.latent_chain = settings(Chain, latent_chain, "latent_chain")
        self.visible_chain = settings(Chain, visible_chain, "visible_chain")
        self.l2 = l2
        self.register_buffer("scale", torch.ones(()))

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """E (B,) of normalised events, in units of ``scale``."""

    @abstractmethod
    def negatives(self, x: Tensor, support: Support, generator: torch.Generator) -> Tensor:
        """Negative samples (B, ...) for a batch of normalised background events."""

    @abstractmethod
    def regulariser(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Scalar that keeps the energies bounded."""

    def final_facts(self, valid: Tensor, energy: Tensor) -> dict:
        """What is known of the finished energy on background; a reconstruction that was ruined is refused."""
        return {"energy": energy.mean().item(), "r2": self._refuse_poor(valid, (energy.mean() * self.scale).item())}

    @abstractmethod
    def begin(self, generator: torch.Generator) -> nn.Module:
        """Prepare the energy phase after the autoencoder's; return the module that it trains."""

    def anomaly(self, x: Tensor) -> Tensor:
        return self.energy(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.autoencoder(self.normalise(x)))

    def _fit(self, train: Tensor, valid: Tensor, generator: torch.Generator, progress: Progress):
        history, error = fit_autoencoder(
            self.autoencoder, train, valid, self.pretraining, l2=self.l2, generator=generator, progress=progress
        )
        facts = {"autoencoder_r2": self._refuse_poor(valid, error), "autoencoder_error": error}
        facts["latent_temperature"] = self.latent_chain.temperature
        facts["visible_temperature"] = self.visible_chain.temperature
        start = in_parts(self.autoencoder.error, valid)
        self.scale.fill_(error)
        trained, support = self.begin(generator), self.normalise.support()

        def loss(x: Tensor, step: int):
            negative_x = self.negatives(x, support, generator)
            positive, negative = self.energy(x), self.energy(negative_x)
            self._refuse_runaway(negative.detach(), step)
            logged = {"energy_positive": positive.detach().mean(), "energy_negative": negative.detach().mean()}
            value = positive.mean() - negative.mean() + self.regulariser(positive, negative)
            if self.l2:
                value = value + self.l2 * sum(p.square().sum() for p in trained.parameters() if p.dim() > 1)
            return value, logged

        history += fit_loop(
            trained, loss, train, self.training_schedule, phase="energy", generator=generator, progress=progress
        )
        with torch.no_grad():
            trained.train()
            for part in train.split(self.training_schedule.batch)[:20]:
                self.energy(part)  # spectral norms, if any, settle on the averaged weights
            self.eval()
        end = in_parts(self.energy, valid)
        facts |= self.final_facts(valid, end)
        facts["spearman_with_autoencoder"] = spearman(start.cpu().numpy(), end.cpu().numpy())
        return history, facts

    def _refuse_runaway(self, negative: Tensor, step: int) -> None:
        level = negative.mean().item()
        if not abs(level) < RUNAWAY:
            raise DivergenceError(
                f"{type(self).__name__}: the energy of the negative samples has run away (E- = {level:.3g} at step "
                f"{step} of the energy phase). Lower 'rate' or 'visible_chain: step', or raise 'gamma'."
            )
