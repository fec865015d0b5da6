r"""Adam (Kingma and Ba, arXiv:1412.6980), with its published constants beside the rate, and with the bias corrected:

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   x <- x - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

The update is torch's own function. Its class of the same name begins with an import of two seconds, of a compiler that
nothing here uses, in every training.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

EPS = 1e-8


class Adam:
    """Adam on ``parameters``, whose gradients are there at each :meth:`step`."""

    def __init__(self, parameters: Iterable[Tensor], betas: tuple[float, float] = (0.9, 0.999)):
        self.parameters, self.betas = list(parameters), betas
        self.means, self.squares = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.counts = [torch.zeros((), device=p.device) for p in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with this learning rate, of the parameters that have a gradient."""
        states = zip(self.parameters, self.means, self.squares, self.counts, strict=True)
        moved = [(p, p.grad, *state) for p, *state in states if p.grad is not None]
        if not moved:
            return
        parameters, gradients, means, squares, counts = map(list, zip(*moved, strict=True))
        adam(
            parameters, gradients, means, squares, [], counts, fused=True, amsgrad=False, beta1=self.betas[0],
            beta2=self.betas[1], lr=rate, weight_decay=0.0, eps=EPS, maximize=False,
        )  # fmt: skip

    def state_dict(self) -> dict:
        """All that further steps depend on besides the parameters."""
        return {"means": self.means, "squares": self.squares, "counts": self.counts}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what :meth:`state_dict` gave."""
        for name, own in self.state_dict().items():
            for mine, theirs in zip(own, state[name], strict=True):
                mine.copy_(theirs)
