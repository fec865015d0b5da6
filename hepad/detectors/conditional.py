r"""How rare a score is among background of the same mass, pile-up, ...: a p-value given variables.

    v(s | c) = -log P(S >= s | c)      c: the variables that are given

A cut on it passes the same share of background at every c: it holds a rate when the pile-up changes, and sculpts no
mass. One function serves all budgets. With scores and given variables as logits of their ranks among all background,

    u = log P(S < s) / P(S >= s),    w_j the same of c_j        (logistic, so that both tails have room)

a small network gives the quantiles of u at fixed levels,

    P(U >= q_k(c) | c) = exp(-L_k),    q_1(c) = a_1(c),    q_k(c) = q_(k-1)(c) + DISTANCE + softplus(a_k(c))

which cannot cross, by the smallest mean over events of the quantile loss (R. Koenker, G. Bassett, Econometrica 46
(1978) 33), each level with a weight by which all have gradients of the same noise,

    sum_k exp(L_k / 2) [ p_k (u - q_k)_+ + (1 - p_k) (q_k - u)_+ ],    p_k = 1 - exp(-L_k)

Scores that many events share, as HT = 0 of crossings without a jet, are a step of S that no smooth quantile follows:
where P(HT > 0 | c) crosses a level, u would jump. To learn from, each of them but the largest is drawn at random
between P(S >= s) and P(S > s) (J. Machado, J. Santos Silva, J. Am. Stat. Assoc. 100 (2005) 1226); what is scored keeps
P(S >= s).

v is linear between quantiles and goes on beyond the first and the last one as between the two next to it. The network
starts from the quantiles of all background, whatever c is, and the state with the smallest loss on the validation
events is kept. Quantiles with fewer than 30 training events beyond them are not learned. What v is wrong by on average
is set right by the calibration that follows it (:mod:`hepad.detectors.combination`).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepad.detectors.networks import dense
from hepad.detectors.survival import Survival
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Criterion, History, Schedule
from hepad.errors import InputError, at

LEVELS = (0.1, 0.3, 0.6, 1.0, 1.5, *(-math.log(p) for p in (0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4)))
LEAST = 30  # training events beyond a quantile that is learned
DISTANCE = 1e-3
HIDDEN = (32, 32)
SMALLEST = 1e-4  # -log p whose logit single precision has to 1e-3
SCHEDULE = Schedule(steps=1000, batch=2048, learning_rate=0.01)


def logit(rarity: Tensor) -> Tensor:
    """log (1 - p) / p of -log p."""
    rarity = rarity.clamp(min=SMALLEST)
    return rarity + torch.log1p(-torch.exp(-rarity))


class ConditionalSurvival(nn.Module):
    """-log P(S >= s | c) (B,) of scores s (B,) and the given variables c (B, K), once fitted.

    names: of the variables, for messages
    """

    def __init__(self, names: tuple[str, ...]):
        super().__init__()
        self.names = names
        self.scales = nn.ModuleList(Survival() for _ in ("score", *names))
        self.network = dense([len(names), *HIDDEN, len(LEVELS)], nn.SiLU)
        self.register_buffer("levels", torch.tensor(LEVELS), persistent=False)
        self.register_buffer("steps", self.levels.diff(), persistent=False)
        self.register_buffer("learned", torch.ones(len(LEVELS)))  # zero for the last, if they have too few events
        self.register_buffer("lowest", torch.full((len(names),), -torch.inf))
        self.register_buffer("highest", torch.full((len(names),), torch.inf))
        everywhere = logit(self.levels)
        with torch.no_grad():  # the quantiles of all background
            self.network[-1].weight.zero_()
            self.network[-1].bias.copy_(torch.log(torch.expm1(everywhere.diff(prepend=everywhere[:1] - 1) - DISTANCE)))
            self.network[-1].bias[0] = everywhere[0]

    def fit(self, train: Tensor, valid: Tensor, tail: float, fitting: Fitting) -> History:
        """Learn from training events (N, 1 + K) of s and c; ``valid`` decides which state is kept and has the law of s.
        ``tail``: as for the laws of single numbers."""
        for name, scale, column in zip(("score", *self.names), self.scales, (valid[:, 0], *train.T[1:]), strict=True):
            with at(f"given '{name}'" if name != "score" else name):
                if not torch.isfinite(column).all():
                    raise InputError(
                        f"{(~torch.isfinite(column)).sum()} of {len(column)} events have none. Leave it out of 'given'"
                        ", or read files that have it."
                    )
                scale.fit(column, tail)
        self.lowest.copy_(train[:, 1:].amin(0))
        self.highest.copy_(train[:, 1:].amax(0))
        x, held = (torch.cat([self._spread(of[:, 0]), self._logits(of)[:, 1:]], 1) for of in (train, valid))
        self.learned.copy_(len(train) * torch.exp(-self.levels) >= LEAST)
        weight = self.learned * torch.exp(self.levels / 2)
        share = 1 - torch.exp(-self.levels)

        def loss(batch: Tensor, _step: int):
            first, gaps = self._quantiles(batch[:, 1:])
            off = batch[:, :1] - torch.cat([first, first + gaps.cumsum(1)], 1)
            return (weight * torch.maximum(share * off, (share - 1) * off)).sum(1).mean(), {}

        def measure() -> dict[str, float]:
            with torch.no_grad():
                return {"valid_loss": loss(held, 0)[0].item()}

        options = {"phase": "conditional", "measure": measure, "criterion": Criterion("valid_loss")}
        return fitting.minimise(self.network, loss, x, SCHEDULE, **options)[0]

    def _spread(self, s: Tensor) -> Tensor:
        """u (N, 1) of scores (N,), drawn between that of the score and that of the next one that there is."""
        values, place = torch.unique(s, return_inverse=True)
        p = torch.exp(-self.scales[0](values))
        above = torch.cat([p[1:], p[-1:]])
        share = torch.rand(len(s), generator=torch.Generator().manual_seed(0)).to(s)
        return logit(-torch.log(above[place] + share * (p - above)[place]))[:, None]

    def _logits(self, x: Tensor) -> Tensor:
        """Of s and c (B, 1 + K); c beyond all training events counts as the last of them."""
        c = torch.minimum(torch.maximum(x[:, 1:], self.lowest), self.highest)
        columns = x[:, 0], *c.unbind(1)
        return torch.stack([logit(scale(column)) for scale, column in zip(self.scales, columns, strict=True)], 1)

    def _quantiles(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """q_1 (B, 1), given w (B, K), and the distances from each quantile to the next (B, len(LEVELS) - 1)."""
        a = self.network(w / 2)
        return a[:, :1], DISTANCE + softplus(a[:, 1:])

    def forward(self, s: Tensor, c: Tensor) -> Tensor:
        x = self._logits(torch.cat([s[:, None], c], 1))
        first, gaps = self._quantiles(x[:, 1:])
        slopes = self.steps / gaps
        above = x[:, :1] - torch.cat([first, first + gaps[:, :-1].cumsum(1)], 1)  # of the lower end of each gap
        last = self.learned - torch.cat([self.learned[1:], self.learned.new_zeros(1)])
        inside = torch.minimum(above.clamp(min=0), gaps) * slopes * self.learned[1:]
        beyond = (above - gaps).clamp(min=0) * slopes * last[1:]
        return self.levels[0] + above[:, 0].clamp(max=0) * slopes[:, 0] + (inside + beyond).sum(1)
