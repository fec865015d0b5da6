r"""One score out of several detectors: their p-values on background, combined, and calibrated again.

    u_k = -log p_k(s_k(x)),     p_k: how rare the score of member k is among background (hepad.detectors.survival)

    fisher    T = sum_k w_k u_k                                 R. Fisher 1932; with weights I. Good 1955
    min_p     T = max_k (u_k + log w_k)                         L. Tippett 1931
    max_p     T = min_k (u_k + log w_k)                         B. Wilkinson 1951
    mean_p    T = -log [ sum_k p_k / w_k / K ]                  E. Edgington 1972
    cauchy    T = log-like of C = sum_k w_k cot(pi p_k) / K     Y. Liu, J. Xie, arXiv:1808.09011
    e_values  T = log [ sum_k w_k e(p_k) / K ]                  V. Vovk, R. Wang, arXiv:1912.06116

    score = -log10 P(T >= T(x)),    P: of the same background events, with a tail as each member's
    score = -log10 P(V >= V(x)),    V = -log P(T >= T(x) | c), if variables c are given (hepad.detectors.conditional)

w_k has mean 1. For independent members the law of T is known: 2T is chi squared with 2K degrees of freedom (fisher,
equal weights); the smallest p has K trials, 1 - (1 - p)^K (Z. Sidak 1967); C is Cauchy's. Members that look at the
same jet are not independent. So the law of T is measured on the calibration events, with whatever dependence they
have. The usual corrections are reported: scale and degrees of freedom from the variance of 2T (M. Brown 1975; J.
Kost, M. McDermott 2002), and the number of independent trials that gives what is seen. They are not used: a law of
two moments is wrong where members are dependent in their tails (docs/detectors/combination.md has numbers).

e(p) is the density of p under a signal that the member sees, to background's, which is 1: k p^(k-1) with a power k of
which only 0 < k < 1 is known,

    e(p) = int_0^1 k p^(k-1) dk = (1 - p + p log p) / (p log^2 p) = (exp(u) - 1 - u) / u^2

So the mean of the e(p_k) is the likelihood ratio of a signal that any one of the members sees, with the odds w_k / K,
and by Neyman and Pearson no statistic of those p finds it better on average. It has no parameter, and its order hardly
depends on the spread of k.

min_p and max_p are the OR and AND of M. van Beekveld et al. (arXiv:2010.07940), mean_p their average, and fisher their
product, of scores in units of p-values; S. Caron, L. Hendriks, R. Verheyen (arXiv:2106.10164) combine a density and
Deep SVDD so.

The calibration events are the validation events: members were not fitted to them, though the state of a member may
have been chosen with them. Weights, members and method are fixed before, and nothing here sees a signal.

cot(pi p) is cut at p = 0.99: one member that finds an event too usual does not outvote the others. "log-like" is
log(1 + C) for C > 0 and -log(1 - C) below, computed from the u_k, so that no p is too small for single precision.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepad.detectors.base import DETECTORS, Detector, build
from hepad.detectors.conditional import ConditionalSurvival
from hepad.detectors.normalisation import Unscaled
from hepad.detectors.survival import LEAST, Survival, too_few
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Fit, History
from hepad.errors import InputError, at, check_choice
from hepad.representations import Space

LARGEST_P, TINY, WIDEST, SMALL_U = 0.99, 1e-30, 1e6, 0.5
UNEVEN = 4.5  # standard deviations of a count


def fisher(u: Tensor, weights: Tensor) -> Tensor:
    """T (B,) of u (B, K) and weights (K,)."""
    return (weights * u).sum(1)


def min_p(u: Tensor, weights: Tensor) -> Tensor:
    """As :func:`fisher`."""
    return (u + weights.log()).amax(1)


def max_p(u: Tensor, weights: Tensor) -> Tensor:
    """As :func:`fisher`."""
    return (u + weights.log()).amin(1)


def mean_p(u: Tensor, weights: Tensor) -> Tensor:
    """As :func:`fisher`."""
    return math.log(len(weights)) - torch.logsumexp(-u - weights.log(), 1)


def cauchy(u: Tensor, weights: Tensor) -> Tensor:
    """As :func:`fisher`."""
    u = u.clamp(min=-math.log(LARGEST_P))
    top, p = u.amax(1, keepdim=True), torch.exp(-u).clamp(min=TINY)
    scaled = (weights * p / torch.tan(math.pi * p) * torch.exp(u - top)).mean(1)  # C exp(-top)
    top = top.squeeze(1)
    below = -torch.log1p(-scaled.clamp(max=0) * torch.exp(top.clamp(max=30)))  # there all p are large
    return torch.where(scaled > 0, softplus(top + scaled.clamp(min=TINY).log()), below)


def e_values(u: Tensor, weights: Tensor) -> Tensor:
    """As :func:`fisher`."""
    large = u.clamp(min=SMALL_U)
    far = large - 2 * large.log() + torch.log1p(-(1 + large) * torch.exp(-large))
    series = sum(u.clamp(max=SMALL_U) ** n / math.factorial(n + 2) for n in range(7))  # where exp(u) - 1 - u cancels
    e = torch.where(u > SMALL_U, far, torch.log(series))
    return torch.logsumexp(e + weights.log(), 1) - math.log(len(weights))


METHODS = {"fisher": fisher, "min_p": min_p, "max_p": max_p, "mean_p": mean_p, "cauchy": cauchy, "e_values": e_values}


class Member(nn.Module):
    """A detector in a combination, the part of the events that it sees, and how rare its scores are.

    detector: whose space has pixels and columns of the combination's; space: of the combination
    """

    def __init__(self, detector: Detector, space: Space):
        super().__init__()
        own = detector.space
        if own.pixels not in (0, space.pixels):
            raise InputError(
                f"its image has {own.pixels} pixels, the combination's events have {space.pixels}. Give the "
                "combination a representation with the one image that its members see."
            )
        if math.prod(own.shape) != own.pixels + len(own.columns):
            raise InputError(
                f"its events of shape {own.shape} are not {own.pixels} pixels and {len(own.columns)} columns."
            )
        if missing := sorted(set(own.columns) - set(space.columns)):
            raise InputError(
                f"it sees '{missing[0]}', which the combination's events do not have. Give the combination a "
                "representation of all that its members see: {type: Joined, parts: [...]}."
            )
        columns = [space.pixels + space.columns.index(name) for name in own.columns]
        self.detector, self.survival = detector, Survival()
        self.register_buffer("seen", torch.tensor([*range(own.pixels), *columns]), persistent=False)

    def part(self, x: Tensor) -> Tensor:
        """What the detector sees of events x (B, *space.shape)."""
        return x.flatten(1)[:, self.seen].reshape(-1, *self.detector.space.shape)

    def score(self, x: Tensor) -> Tensor:
        """The detector's own score (B,) of events (B, *space.shape)."""
        return self.detector.anomaly(self.detector.normalise(self.part(x)))

    def forward(self, x: Tensor) -> Tensor:
        """-log p (B,) of events (B, *space.shape)."""
        return self.survival(self.score(x))


class Combination(Detector):
    """p-values of several detectors, combined to one score.

    Parameters
    ----------
    space: what the representation yields, all that the members see
    members: the detectors; in a configuration a list of names of other detectors of the task, in Python a list of
        fitted ones, or a mapping that gives them names
    method: 'fisher', the sum of -log p; 'min_p', the smallest p; 'cauchy' or 'e_values', in between; 'max_p', the
        largest p, and 'mean_p', which ask that every member finds an event rare
    weights: of the members, in their order; equal if left out
    tail: share of the calibration events, the highest, that the tails of p-values are fitted to
    given: columns whose values background shares: the score is how rare an event is among background of the same mass,
        pile-up, ..., so that a threshold passes the same share of it at every value. With it one member is enough
    """

    score_name = r"$-\log_{10} p$"

    def __init__(
        self,
        space: Space,
        *,
        members: list[dict],
        method: str = "fisher",
        weights: list[float] | None = None,
        tail: float = 0.1,
        given: list[str] | None = None,
    ):
        super().__init__(space)
        self.normalise = Unscaled(space)
        self.names = tuple(str(entry.get("name", f"member {k}")) for k, entry in enumerate(members, 1))
        self.tail, self.fitted = tail, False
        if len(set(self.names)) < max(1 if given else 2, len(self.names)):
            raise InputError(
                "Combination: members: two or more of different names are needed, or one with 'given', not "
                f"{self.names}."
            )
        weights = [1.0] * len(self.names) if weights is None else weights
        if len(weights) != len(self.names) or min(weights) <= 0 or max(weights) > WIDEST * min(weights):
            raise InputError(
                f"Combination: weights: {weights}: {len(self.names)} numbers above zero are needed, one a member, and "
                f"none more than {WIDEST:g} times another."
            )
        if not 0 < tail <= 0.5:
            raise InputError(f"Combination: tail: {tail:g} must lie between 0 and 0.5.")
        self.method = METHODS[check_choice("Combination: method", method, METHODS)]
        relative = torch.tensor([weight / max(weights) for weight in weights])
        self.register_buffer("weights", relative / relative.mean(), persistent=False)
        self.members = nn.ModuleList()
        for name, entry in zip(self.names, members, strict=True):
            with at(f"Combination: member '{name}'"):
                self.members.append(Member(_built(entry, space), space))
        self.survival = Survival()
        self.given = tuple(check_choice("Combination: given", name, space.columns) for name in given or ())
        if len(set(self.given)) < len(self.given):
            raise InputError(f"Combination: given: {list(self.given)}: one is there twice. Remove it.")
        if self.given:
            self.conditional = ConditionalSurvival(self.given)
            columns = [space.pixels + space.columns.index(name) for name in self.given]
            self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def adopt(self, fitted: Mapping[str, Detector]) -> None:
        """Take fitted detectors as the members, by their names; ``fit`` leaves them as they are.

        InputError: a member is missing, or a detector is not the one that the member is to be
        """
        for name, member in zip(self.names, self.members, strict=True):
            if name not in fitted:
                raise InputError(f"Combination: member '{name}' is missing. Train it first.")
            try:
                member.detector.load_state_dict(fitted[name].state_dict())
            except RuntimeError:
                raise InputError(
                    f"Combination: member '{name}': its model is another detector. Train it again."
                ) from None
        self.fitted = True

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        if int(self.tail * len(valid)) < LEAST:  # said before a member is trained
            raise InputError(f"Combination: {too_few(len(valid), self.tail)}")
        history: History = []
        for name, member in zip(self.names, self.members, strict=True):
            if not self.fitted:
                parts = (member.part(train), member.part(valid))
                options = {"progress": fitting.progress, "checkpoint": fitting.checkpoint}
                found = member.detector.fit(*parts, generator=fitting.generator, **options).history
                history += [{**record, "phase": f"{name}: {record['phase']}"} for record in found]
            member.eval()
            with at(f"Combination: member '{name}'"):
                member.survival.fit(in_blocks(member.score, valid), self.tail)
        u = torch.stack([in_blocks(member, valid) for member in self.members], 1)
        found = self.method(u, self.weights)
        with at("Combination"):
            if self.given:
                pairs = [torch.cat([in_blocks(self._statistic, x)[:, None], self._at(x)], 1) for x in (train, valid)]
                history += self.conditional.fit(*pairs, self.tail, fitting)
                found = in_blocks(self._rarity, valid)
            self.survival.fit(found, self.tail)
        facts = {"n_calibration": len(valid), "p_counted_down_to": math.exp(-self.survival.value[-1].item())}
        if self.given and (uneven := self._uneven(valid)):
            facts["uneven"] = uneven
        return Fit(history, facts | self._dependence(u))

    def _uneven(self, valid: Tensor) -> str:
        """What is to be said if the validation events in a fifth of a given variable pass too often or too seldom, as
        they do where a member judges the events that it was fitted on otherwise than new ones; '' if they do not."""
        passes = (in_blocks(self.anomaly, valid) > 1).double()  # a tenth of them, where all is well
        for name, column in zip(self.given, self._at(valid).unbind(1), strict=True):
            for part in column.argsort().chunk(5):
                share = passes[part].mean().item()
                if abs(share - 0.1) > UNEVEN * math.sqrt(0.09 / len(part)):
                    low, high = column[part].min(), column[part].max()
                    return (
                        f"of the validation events with '{name}' from {low:.4g} to {high:.4g} a share of {share:.3f} "
                        "passes where 0.1 should: a member judges its training events otherwise than new ones. Train "
                        "it on more events, or take another."
                    )
        return ""

    def _dependence(self, u: Tensor) -> dict:
        """What says how dependent the members are, of their -log p (N, K) of the calibration events; {} of one."""
        if len(self.names) == 1:
            return {}
        pairs = torch.corrcoef(u.T)[*torch.triu_indices(len(self.names), len(self.names), 1)]
        variance, mean = (2 * fisher(u, self.weights)).var().item(), 2 * len(self.names)
        smallest = min_p(u, self.weights).quantile(1 - self.tail).item()  # -log of what min p is below in the tail
        trials = math.log1p(-self.tail) / math.log1p(-math.exp(-smallest)) if self.method is min_p else None
        found = {"brown_scale": variance / (2 * mean), "brown_degrees": 2 * mean**2 / variance, "trials": trials}
        return {"mean_correlation": pairs.mean().item()} | {key: value for key, value in found.items() if value}

    def anomaly(self, x: Tensor) -> Tensor:
        return self.survival(self._rarity(x) if self.given else self._statistic(x)) / math.log(10)

    def _statistic(self, x: Tensor) -> Tensor:
        """T (B,) of events (B, *space.shape)."""
        return self.method(torch.stack([member(x) for member in self.members], 1), self.weights)

    def _at(self, x: Tensor) -> Tensor:
        """The given variables (B, len(given)) of events."""
        return x.flatten(1)[:, self.columns]

    def _rarity(self, x: Tensor) -> Tensor:
        """-log P(T >= T(x) | c) (B,), before its calibration."""
        return self.conditional(self._statistic(x), self._at(x))

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        self.eval()
        device = self.weights.device
        of = {
            name: in_blocks(lambda part, m=member: m(part.to(device)).cpu(), x)
            for name, member in zip(self.names, self.members, strict=True)
        }
        return {name: torch.exp(-u) for name, u in of.items()}


def _built(entry: Mapping, space: Space) -> Detector:
    """The detector of a member; without a ``space`` of its own it sees all of the combination's events."""
    if entry.get("type") == "Combination":
        raise InputError("a combination is no member of another. List its members in its place.")
    own = Space.of(entry["space"]) if "space" in entry else space
    seed = int(torch.randint(2**31 - 1, ()))  # drawn from that of this detector, which is set while it is built
    return build(
        {"type": check_choice("type", entry.get("type"), DETECTORS), "arguments": entry.get("arguments")}, own, seed
    )
