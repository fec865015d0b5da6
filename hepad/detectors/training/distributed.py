"""One training on several GPUs of a machine, a process each: DistributedDataParallel, started by torchrun.

    grad L = 1/N sum_r grad L_r,        L_r: the loss of the r-th of N equal shares of the batch

All processes hold the same data and the same weights. They draw the same batches, of which each takes its share, while
what a loss draws, its noise and its chains, comes from a stream of each process's own. For a loss that is a mean over
events grad L is that of the whole batch, up to rounding; one that compares the events of a batch with each other
(contrastive, maximum mean discrepancy, Wasserstein) compares those of a share, and the Gaussian noise of the ConvVAE is
that of a share. Replay buffers are each process's own.
Values that are measured are those of the first process, which alone writes files.

Everywhere else in this package a training is one process: these functions then do nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hepad.detectors.training.device import claim
from hepad.errors import DivergenceError


@contextmanager
def processes(name: str, gpus: int) -> Iterator[str]:
    """The device of this process, of as many processes as ``hepad.detectors.training.device.claim`` gives devices.

    Where that is more than one, the running script is started anew under torchrun, with the devices as its arguments,
    and takes the place of this process.
    """
    if dist.is_torchelastic_launched():
        device = sys.argv[1 + int(os.environ["LOCAL_RANK"])]
        with joined(device):
            yield device
        return
    devices = claim(name, gpus)
    if len(devices) > 1:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *torchrun(len(devices)), sys.argv[0], *devices])
    yield devices[0]


def torchrun(count: int) -> tuple[str, ...]:
    """Arguments of Python that run a script in so many processes of this machine, which get the signals of batch
    systems."""
    signals = "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    return "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", signals


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Inside the block this process is one of torchrun's."""
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0 on."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def largest(values: list[float], device: torch.device) -> list[float]:
    """The largest of each value among all processes."""
    if size() == 1:
        return values
    maxima = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(maxima, dist.ReduceOp.MAX)
    return maxima.tolist()


def mean(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """The mean of each value over all processes."""
    if size() == 1:
        return values
    sums = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return dict(zip(values, (sums / size()).tolist(), strict=True))


def of_first(value):
    """The value that the first process has."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def of_all(value) -> list:
    """The values of all processes, in their order."""
    values = [value] * size()
    if size() > 1:
        dist.all_gather_object(values, _on_cpu(value))
    return values


def _on_cpu(value):
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    return [_on_cpu(item) for item in value] if isinstance(value, (list, tuple)) else value


def share(rows: Tensor) -> Tensor:
    """The part of a batch that is this process's."""
    return rows.tensor_split(size())[rank()]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give parameters outside of :func:`wrapped` the mean gradient of all processes."""
    if size() > 1:
        for p in parameters:
            dist.all_reduce(p.grad)
            p.grad /= size()


def synchronise(module: nn.Module) -> None:
    """Give all processes the weights of the first, to the last bit."""
    if size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


@contextmanager
def diverging_together(device: torch.device) -> Iterator[None]:
    """A DivergenceError of one process in the block is raised by all, so that none waits for it."""
    error = None
    try:
        yield
    except DivergenceError as found:
        error = found
    if size() > 1 and largest([float(error is not None)], device)[0] and error is None:
        error = DivergenceError("it was lost in another process")
    if error is not None:
        raise error


def wrapped(module: nn.Module, loss: Callable) -> Callable:
    """A ``loss`` on the parameters of ``module`` whose gradients are averaged over all processes."""
    return DistributedDataParallel(_Loss(module, loss)) if size() > 1 else loss


class _Loss(nn.Module):
    """DistributedDataParallel averages the gradients of a module's parameters after a call of that module."""

    def __init__(self, module: nn.Module, loss: Callable):
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: Tensor, step: int):
        return self.loss(batch, step)
