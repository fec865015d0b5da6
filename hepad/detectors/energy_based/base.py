r"""The base of the energy-based detectors: the model p(x) ~ exp(-E(x)) is raised on background and lowered elsewhere.

A detector is composed of an energy E (hepad.detectors.energy_based.energies), a sampler of negative samples x-
(hepad.detectors.energy_based.negative_sampling) and a loss. The contrastive loss is

    L = < E(x) > - < E(x-) > + gamma < E(x-)^2 > [ + gamma < E(x)^2 > for scalar energies ]

If x- followed p, the gradient of the first two terms would be that of the negative log-likelihood; short, cold chains
follow p only roughly (the log has their temperature). The state that a training ends with is chosen on background
validation events (hepad.detectors.energy_based.criteria).
"""

import math
import statistics
from abc import abstractmethod
from collections import deque
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hepad.detectors.base import LEAST_R2, Detector
from hepad.detectors.distances import nearest, separation, wasserstein
from hepad.detectors.energy_based.criteria import CRITERIA
from hepad.detectors.energy_based.energies import Energy, Error, Scalar
from hepad.detectors.energy_based.langevin import Chain, Support
from hepad.detectors.energy_based.negative_sampling import NegativeSampler, buffers_of, chains_of, sphere_start
from hepad.detectors.networks import Autoencoder
from hepad.detectors.normalisation import directions
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Fit, History, Schedule
from hepad.errors import DivergenceError, InputError, check_choice
from hepad.representations import Space

RUNAWAY = 100.0  # |E-| in units of its value at the first step (at least one) beyond which a training is lost
FAR = 3.0  # E- in units of E+ beyond which the negative samples of a reconstruction are far from background
NEIGHBOURS = 2000  # training events among which the nearest is looked for
WINDOW = 1000  # steps over which a sudden rise of E- is looked for


@dataclass(frozen=True, kw_only=True)
class StateChoice:
    """How the state of a training is chosen.

    criterion: a name in hepad.detectors.energy_based.criteria.CRITERIA; events: how many validation events it looks at.
    """

    criterion: str = "last"
    events: int = 500

    def __post_init__(self):
        check_choice("objective: criterion", self.criterion, CRITERIA)
        if self.events < 2:
            raise InputError(f"objective: events >= 2 are needed; got {self}.")


@dataclass(frozen=True, kw_only=True)
class Objective(StateChoice):
    """The choice of the state, and the loss: gamma is the weight of the squared energies."""

    gamma: float = 0.03

    def __post_init__(self):
        super().__post_init__()
        if self.gamma < 0:
            raise InputError(f"objective: gamma >= 0 is needed; got {self}.")


class EnergyDetector(Detector):
    """Subclasses set ``self.energy`` and give a ``sampler``; where they need an autoencoder phase, ``prepare``."""

    energy: Energy

    score_name = "energy $E$"
    squares_of_background = False  # whether gamma acts on E(x)^2, too
    # of a lost training
    remedy = "Lower 'training: learning_rate' or 'visible_chain: step_size', or raise 'objective: gamma'"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        training: Schedule
        visible_chain: Chain
        objective: Objective = Objective()
        n_components: int = 0

        @property
        def near_background(self) -> bool:
            """Whether chains start near background, and not in noise."""
            return True

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        if self.settings.visible_chain.metropolis and self.inner.pixels:
            raise InputError(
                "visible_chain: 'metropolis' accepts nothing on images, whose dark pixels lie on the edge of what is "
                "allowed. Leave it out, or replace the pixels by principal components ('n_components')."
            )
        components, dimension = self.settings.visible_chain.components, math.prod(self.inner.shape)
        if components and not self.settings.near_background:
            raise InputError(
                "visible_chain: components: chains that start in noise never lose what of it is outside of the "
                "components. Leave it out, or let them start elsewhere."
            )
        if components > dimension:
            raise InputError(f"visible_chain: components: an event has {dimension} numbers, not {components}.")
        if components:
            self.register_buffer("directions", torch.zeros(dimension, components))

    def support(self) -> Support:
        """Where negative samples can be, and along which directions they move."""
        support = self.normalise.support()
        return replace(support, directions=self.directions) if self.settings.visible_chain.components else support

    @abstractmethod
    def sampler(self, support: Support, generator: torch.Generator) -> NegativeSampler:
        """The sampler of negative samples."""

    def prepare(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, dict]:
        """Run the phases before the energy phase; their history and facts."""
        return [], {}

    def manifolds(self) -> list[Autoencoder]:
        """The autoencoders, if any, whose manifolds the negative samples start from."""
        return []

    def check_criterion(self) -> None:
        """InputError if the criterion is about manifolds and there are none; for the end of a constructor."""
        name, others = self.settings.objective.criterion, [k for k, c in CRITERIA.items() if not c.of_manifolds]
        if CRITERIA[name].of_manifolds and not self.manifolds():
            raise InputError(
                f"objective: criterion '{name}' needs an autoencoder with codes on the sphere, which "
                f"{type(self).__name__} does not have here; use {' or '.join(map(repr, others))}."
            )

    def loss(self, positive: Tensor, negative: Tensor, x: Tensor, sample: Tensor) -> Tensor:
        """Scalar of the energies (B,) of the background x and of the negative sample; the contrastive one."""
        squares = negative.square().mean()
        if self.squares_of_background:
            squares = squares + positive.square().mean()
        return positive.mean() - negative.mean() + self.settings.objective.gamma * squares

    def anomaly(self, x: Tensor) -> Tensor:
        """The energy; of a network with one output also the squared distance to the box of the training events."""
        energy = self.energy(x)
        return energy + self.normalise.outside(x) if isinstance(self.energy, Scalar) else energy

    def terms(self, x: Tensor) -> Tensor | None:
        return self.energy.terms(x)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        history, facts = self.prepare(train, valid, fitting)
        generator = fitting.generator
        self.energy.eval()  # to look must not move the spectral norms
        if self.settings.visible_chain.components:
            self.directions.copy_(directions(train, self.settings.visible_chain.components, generator))
        support, before = self.support(), in_blocks(self.energy, valid)
        sampler, guard = self.sampler(support, generator), Guard(type(self).__name__, self.remedy)
        facts |= {f"{name}_temperature": chain.temperature for name, chain in chains_of(sampler).items()}

        def loss(x: Tensor, step: int):
            sample = sampler.draw(self.energy, x, support, generator).x
            positive, negative = self.energy(x), self.energy(sample)
            guard.watch(negative.detach().mean().item(), step)
            logged = {"energy_positive": positive.detach().mean(), "energy_negative": negative.detach().mean()}
            return self.loss(positive, negative, x, sample) + self.energy.penalty(), logged

        measure = self._measures(train, valid, sampler, support, generator)
        energy_history, candidates = fitting.minimise(
            self.energy,
            loss,
            train,
            self.settings.training,
            phase="energy",
            measure=measure,
            criterion=CRITERIA[self.settings.objective.criterion],
            carried=buffers_of(sampler) | {"guard": guard},
        )
        after = in_blocks(self.energy, valid)
        facts |= {"energy": after.mean().item()} | chosen(energy_history, self.settings.objective.criterion)
        if isinstance(self.energy, Error):
            facts["r2"] = self.energy.r2(valid, after.mean().item())
        ranks = torch.stack([energy.argsort().argsort() for energy in (before, after)])
        facts["spearman_with_start"] = torch.corrcoef(ranks.double())[0, 1].item()
        facts |= self._look_at_negatives(train, valid, sampler, support, generator)
        candidates = {step: {f"energy.{k}": v for k, v in state.items()} for step, state in candidates.items()}
        return Fit(history + energy_history, facts, candidates)

    def _look_at_negatives(
        self, train: Tensor, valid: Tensor, sampler: NegativeSampler, support: Support, generator: torch.Generator
    ) -> dict:
        """Facts: how far the negative samples of the end are from background, and, if they are ``far``, what to do.

        They are far if half of them are farther from their nearest training event than nine tenths of background, or if
        the error of reconstruction is above FAR times background's: what is near background is then not normalised.
        """
        probe = valid[: self.settings.objective.events]
        count = max(min(len(probe), len(train) // 2), len(self.manifolds()))  # no chain is its own neighbour
        reference = train[:-count][:NEIGHBOURS]
        try:
            drawn = sampler.draw(self.energy, train[-count:], support, generator)
        except DivergenceError as error:  # of a state that training has gone back to: it is kept all the same
            return {"far": str(error)}
        e_background, e_middle, e_end = (
            in_blocks(self.energy, x.detach()).mean().item() for x in (probe, drawn.middle, drawn.x)
        )
        own = nearest(probe, reference)
        limit, usual = own.quantile(0.9).item(), max(own.median().item(), 1e-12)

        def far(x: Tensor, energy: float) -> bool:
            ruled_out = isinstance(self.energy, Error) and energy > FAR * e_background
            return ruled_out or nearest(x.detach(), reference).median().item() > limit

        ratio = nearest(drawn.x.detach(), reference).median().item() / usual
        facts = {"negatives_energy": e_end, "negatives_distance": ratio}
        if far(drawn.x, e_end):
            latent = "latent" in chains_of(sampler) and far(drawn.middle, e_middle)
            facts["far"] = (
                f"{'latent_chain' if latent else 'visible_chain'}: the negative samples end far from background (E- = "
                f"{e_end:.3g} where background has {e_background:.3g}, distance to the nearest training event "
                f"{ratio:.2g} times background's), so that nothing near it is normalised. "
                f"{self._nearer(latent)}"
            )
        return facts

    def _nearer(self, latent: bool) -> str:
        """What brings the negative samples of the latent, or of the visible chain nearer to background."""
        if latent:
            return "Give the chain more 'n_steps' or less 'noise_std', or the autoencoder a smaller code."
        chain, settings = self.settings.visible_chain, self.settings
        ways = ["'components'"] if settings.near_background and not (chain.components or chain.metropolis) else []
        ways += ["a smaller 'noise_std'"] if chain.noise_std else []
        return f"Give the chain {' or '.join([*ways, 'another step_size'])}."

    def check_not_ruined(self, x: Tensor, energy: float) -> None:
        """DivergenceError if the mean ``energy`` of background x says that what is made of it has been ruined."""
        if not isinstance(self.energy, Error):
            return
        r2 = self.energy.r2(x, energy)
        if not r2 > LEAST_R2:
            raise DivergenceError(
                f"{type(self).__name__}: the energy phase has ruined the {self.energy.makes} of background, which is "
                f"no better than its mean event (R^2 = {r2:.3f}). {self.remedy}, or give {self.energy.needs}."
            )

    def _measures(
        self, train: Tensor, valid: Tensor, sampler: NegativeSampler, support: Support, generator: torch.Generator
    ):
        """The function that the training calls at each record: the values that hepad.detectors.energy_based.criteria
        names, on background alone.

        Chains that start from events start from training events. They must not start from the validation events that
        they are compared with: a chain that never moved would have W^2 = 0."""
        probe = valid[: self.settings.objective.events]
        starts = train[: len(probe)]
        models = self.manifolds()
        codes = [sphere_start(m.latent_dim, generator)(len(probe)) for m in models]

        def measure() -> dict[str, float]:
            with torch.no_grad():
                self.energy.train()
                for part in train.split(self.settings.training.batch)[:10]:
                    self.energy(part)  # spectral norms, if any, settle on the candidate's weights
                self.energy.eval()
                on_background = in_blocks(self.energy, probe)
                values = {"valid_energy": on_background.mean().item()}
                self.check_not_ruined(probe, values["valid_energy"])
                if models:
                    spread = [support.project(m.decode(z)) for m, z in zip(models, codes, strict=True)]
                    values["manifold_auc"] = separation(on_background, in_blocks(self.energy, torch.cat(spread)))
            sample = sampler.draw(self.energy, starts, support, generator).x.detach()
            values["wasserstein"] = wasserstein(probe[: len(sample)], sample).item()
            return values

        return measure


class Guard:
    """Stops a training whose negative energy has run away: beyond RUNAWAY, or, after WINDOW steps, suddenly above all
    that they have seen (more than six standard deviations and twice the mean's size above their mean, as MPDR's
    detector of divergence, which has 0.2 in the place of the mean)."""

    def __init__(self, name: str, remedy: str):
        self.name, self.remedy, self.recent, self.limit = name, remedy, deque(maxlen=WINDOW), RUNAWAY

    def watch(self, level: float, step: int) -> None:
        """DivergenceError if ``level``, the mean energy of the negative samples at ``step``, has run away."""
        sudden = False
        if step == 1:  # chains that start in noise begin far up
            self.limit = RUNAWAY * max(1.0, abs(level))
        if len(self.recent) == WINDOW:
            mean, deviation = statistics.fmean(self.recent), statistics.pstdev(self.recent)
            sudden = level > mean + max(6 * deviation, 2 * abs(mean))
        if not abs(level) < self.limit or sudden:
            raise DivergenceError(
                f"{self.name}: the energy of the negative samples has run away (E- = {level:.3g} at step "
                f"{step} of the energy phase). {self.remedy}."
            )
        self.recent.append(level)

    def state_dict(self) -> dict:
        """What it has seen."""
        return {"recent": list(self.recent), "limit": self.limit}

    def load_state_dict(self, state: dict) -> None:
        """Have seen what :meth:`state_dict` gave."""
        self.recent.extend(state["recent"])
        self.limit = state["limit"]


def chosen(history: History, criterion: str) -> dict:
    """Facts of a training: the record that the criterion chose, and whether the training diverged."""
    facts = {"criterion": criterion, "chosen_step": CRITERIA[criterion].best(history)}
    if "diverged" in history[-1]:
        facts["diverged_at_step"] = history[-1]["step"]
    return facts
