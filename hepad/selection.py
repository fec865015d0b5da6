r"""What can be measured of an energy without any signal event, to choose a state of a training and to notice its ruin.

    wasserstein       W^2(V, N) = min_pi sum_ij pi_ij |v_i - n_j|^2 / D       V: background validation events,
                                                                             N: negative samples of the model
    manifold_auc      P( E(m) > E(v) )     m = g(z), z uniform on the sphere: points spread over the manifold

W^2 is solved exactly by POT. (W^2: CMS, arXiv:2510.02168; manifold_auc: MPDR, NeurIPS 2023, appendix C.)
"""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepad.checkpoint import digest
from hepad.errors import InputError
from hepad.io import atomic_path
from hepad.training import LAST, Criterion, Trail

CRITERIA = {
    "last": LAST,
    "wasserstein": Criterion("wasserstein"),
    "manifold_auc": Criterion("manifold_auc", largest=True),
}


def transport_plan(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) optimal plan between x (N, ...) and y (M, ...) of equal weights and squared Euclidean cost."""
    import ot  # takes a second

    cost = torch.cdist(x.flatten(1), y.flatten(1)).square().detach().cpu().double().numpy()
    plan = ot.emd(np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), cost, numItermax=1_000_000)
    return torch.as_tensor(plan, dtype=x.dtype, device=x.device)


def wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared Wasserstein distance per dimension, a scalar with gradients to x and y.

    At the optimum the plan does not change to first order (envelope theorem), so that it is a constant in the gradient.
    """
    a, b = x.flatten(1), y.flatten(1)
    plan = transport_plan(a, b)
    squares = plan.sum(1) @ a.square().sum(1) + plan.sum(0) @ b.square().sum(1)
    return (squares - 2 * (plan * (a @ b.T)).sum()) / a.shape[1]


def separation(background: Tensor, other: Tensor) -> float:
    """P(other > background) of two sets of scores (N,), (M,); ties count half."""
    order = background.sort().values
    below = torch.searchsorted(order, other) + torch.searchsorted(order, other, right=True)
    return (below.double().mean() / (2 * len(background))).item()


def save_trail(trail: Trail, path: str | Path) -> None:
    """The candidates of a training in one safetensors file, atomically."""
    with atomic_path(path) as partial:
        tensors = {f"{step}/{k}": v.cpu().contiguous() for step, state in trail.items() for k, v in state.items()}
        save_file(tensors, partial, metadata={"digest": digest("", tensors)})


def load_trail(path: str | Path) -> Trail:
    """The candidates in a file written by :func:`save_trail`, by step; InputError if it is anything else."""
    trail: Trail = {}
    try:
        if not Path(path).is_file():
            raise FileNotFoundError("there is no such file")
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if metadata.get("digest", found := digest("", tensors)) != found:  # files of early versions have none
            raise ValueError("its content does not have its digest")
        for key, tensor in tensors.items():
            step, name = key.split("/", 1)
            trail.setdefault(int(step), {})[name] = tensor
        kinds = {step: {name: (t.shape, t.dtype) for name, t in state.items()} for step, state in trail.items()}
        if any(kind != kinds[min(kinds)] for kind in kinds.values()):
            raise ValueError("its states differ in their tensors")
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not the candidates of a training ({error}). Delete it and train again.") from None
    return dict(sorted(trail.items()))
