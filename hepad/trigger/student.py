r"""Students: small networks that repeat a detector's score, for a trigger level where the detector does not fit.

As for CMS's CICADA (A. A. Pol et al., arXiv:2310.06047) a student h is fitted to the score s of its teacher,

    minimise  < (h(u(x)) - t(s(x)))^2 >  over background and outliers,      t(s) = -log2 [ (#(b > s) + 1) / (n + 1) ]

b are the teacher's scores of the n background training events. t is a monotonic function of s in bits: a threshold t
keeps about the fraction 2^-t of background. Its range is known, 0 to log2(n + 1), which suits fixed-point numbers, and
it knows no order above the highest background score, where no threshold could be set anyway.

Outliers are background events taken apart, each with a share p ~ U(0, 1) of its own: every entry is, with probability
p, that of another event; every second image, if there are any, is (1 - p) of itself and p of another event's, turned by
90, 180 or 270 degrees. They have the teacher's own score, not a label. No signal event is in here.

u sums pixels in blocks and standardises, with scales that are powers of two, which is a shift of bits in firmware.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from hepad.detectors.saving import UNREADABLE, read_module, write_module
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import CollapseError, InputError, check_choice
from hepad.progress import Progress
from hepad.registry import FormerName, settings
from hepad.representations import Space


class Student(nn.Module):
    """A small network with one output, in bits; higher = more anomalous.

    Parameters
    ----------
    space: what the representation yields
    network: 'dense', or 'convolutional' for images: one convolution whose kernels do not overlap, then dense layers
    hidden_dims: widths of the dense layers before the output
    channels, kernel: of the convolution
    pool: pixels are summed in blocks of pool × pool

    Attributes
    ----------
    network: nn.Sequential of Conv2d, ReLU, Flatten and Linear alone, which hls4ml takes: (B, *inputs) -> (B, 1)
    inputs: shape of one event after :meth:`prepare`
    largest: bits of the highest background score, log2(n + 1)
    """

    def __init__(
        self,
        space: Space,
        *,
        network: str = "dense",
        hidden_dims: tuple[int, ...] = (32, 16),
        channels: int = 4,
        kernel: int = 2,
        pool: int = 1,
    ):
        super().__init__()
        check_choice("network", network, ("dense", "convolutional"))
        self.space, self.pool = space, pool
        self.side = math.isqrt(space.pixels)
        if space.pixels and (self.side**2 != space.pixels or self.side % pool):
            raise InputError(f"student: pool: {space.pixels} pixels are no square that divides into blocks of {pool}.")
        if not space.pixels and pool != 1:
            raise InputError(f"student: pool: {pool} needs pixels, and this representation has none. Leave it out.")
        pooled = (self.side // pool) ** 2
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if network == "convolutional":
            self.inputs = (1, self.side // pool, self.side // pool)
            if space.columns or not 1 <= kernel <= self.inputs[1]:
                raise InputError(
                    "student: network 'convolutional' needs an image and nothing beside it, and a kernel no larger "
                    f"than it; here kernel {kernel}, pooled {self.inputs}, columns {list(space.columns)}. Use 'dense'."
                )
            layers["convolution"] = nn.Conv2d(1, channels, kernel, stride=kernel)
            layers["convolution_relu"], layers["flatten"] = nn.ReLU(), nn.Flatten()
            width = channels * (self.inputs[1] // kernel) ** 2
        else:
            width = pooled + math.prod(space.shape) - space.pixels
            self.inputs = (width,)
        for i, size in enumerate(hidden_dims, start=1):
            layers[f"dense{i}"], layers[f"relu{i}"] = nn.Linear(width, size), nn.ReLU()
            width = size
        layers["output"] = nn.Linear(width, 1)
        self.network = nn.Sequential(layers)
        self.register_buffer("offset", torch.zeros(math.prod(self.inputs)))
        self.register_buffer("scale", torch.ones(math.prod(self.inputs)))
        self.register_buffer("largest", torch.ones(()))

    def prepare(self, x: Tensor) -> Tensor:
        """u of events x (N, *space.shape): (N, *inputs)."""
        return ((self._pooled(x) - self.offset) / self.scale).view(-1, *self.inputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *space.shape) -> (B,)."""
        return self.network(self.prepare(x)).squeeze(1)

    def score(self, x: Tensor) -> Tensor:
        """Score (N,) [bits] of events (N, *space.shape)."""
        self.eval()
        return in_blocks(lambda part: self(part.to(self.scale.device)).cpu(), x)

    def standardise(self, x: Tensor) -> None:
        """Learn offset and scale from background events; pixels share a scale and have no offset."""
        flat = self._pooled(x)
        pixels = (self.side // self.pool) ** 2
        mean, width = flat.mean(0), flat.std(0)
        if pixels:
            mean[:pixels], width[:pixels] = 0, flat[:, :pixels].std()
        constant = width < 1e-9 * (1 + mean.abs())
        self.offset.copy_(mean)
        self.scale.copy_(torch.where(constant, 1.0, 2.0 ** width.clamp(min=1e-30).log2().round()))

    def _pooled(self, x: Tensor) -> Tensor:
        flat, pixels = x.flatten(1), self.space.pixels
        if self.pool == 1:
            return flat
        image = flat[:, :pixels].view(-1, 1, self.side, self.side)
        image = nn.functional.avg_pool2d(image, self.pool) * self.pool**2
        return torch.cat([image.flatten(1), flat[:, pixels:]], 1)


def bits(background: Tensor) -> Callable[[Tensor], Tensor]:
    """t: teacher's scores (N,) -> bits (N,), of the teacher's scores of background training events (n,)."""
    ordered, n = background.sort().values, len(background)

    def t(scores: Tensor) -> Tensor:
        above = n - torch.searchsorted(ordered, scores.contiguous(), right=True)
        return -torch.log2((above + 1) / (n + 1)).float()

    return t


def outliers(x: Tensor, space: Space, count: int, generator: torch.Generator) -> Tensor:
    """``count`` events made of background events x (N, *shape) as described above; they stay images where x are."""
    options = {"generator": generator, "device": x.device}
    flat, pixels = x.flatten(1), space.pixels
    events = flat[torch.randint(len(x), (count,), **options)]
    p = torch.rand(count, 1, **options)
    side = math.isqrt(pixels)
    mixed = torch.arange(count, device=x.device) % 2 == 0
    mixed = mixed if pixels else torch.zeros_like(mixed)
    for start in range(0, count, 4096):  # random numbers for every entry: not for all events at once
        rows = slice(start, start + 4096)
        part = events[rows]
        other = torch.randint(len(x), part.shape, **options)
        chosen = (torch.rand(part.shape, **options) < p[rows]) & ~mixed[rows, None]
        events[rows] = torch.where(chosen, flat.gather(0, other), part)
    if pixels:
        rotated = flat[torch.randint(len(x), (count,), **options), :pixels].view(-1, side, side)
        turns = torch.randint(1, 4, (count,), **options)
        rotated = torch.stack([rotated.rot90(k, (1, 2)) for k in (1, 2, 3)])[turns - 1, torch.arange(count)].flatten(1)
        share = p * mixed.unsqueeze(1)
        events[:, :pixels] = (1 - share) * events[:, :pixels] + share * rotated
        if space.unit_sum:
            events[:, :pixels] /= events[:, :pixels].sum(1, keepdim=True).clamp(min=1e-30)
    return events.view(count, *x.shape[1:])


def distil(
    student: Student,
    teacher: Callable[[Tensor], Tensor],
    train: Tensor,
    valid: Tensor,
    training: Schedule,
    *,
    share: float = 0.5,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> Fit:
    """Fit a student to its teacher.

    Parameters
    ----------
    student: unfitted
    teacher: the score of a fitted detector, (N, *shape) -> (N,)
    train, valid: (N, *shape) background events; ``valid`` decides which state is kept
    training: schedule; share: number of outliers over that of background events
    generator: the only source of randomness

    Returns
    -------
    history, and facts: ``rank``, Spearman's correlation of student and teacher on valid background; ``rank_outliers``,
    the same on valid outliers, if any; ``parameters``, how many

    Raises
    ------
    CollapseError: the student is constant; InputError: too few events, or a share below zero
    """
    if min(len(train), len(valid)) < 2 or share < 0:
        raise InputError(
            f"student: {len(train)} train and {len(valid)} valid events, a share of {share} outliers: two of each and "
            "a share from 0 on are needed."
        )
    student.standardise(train)
    student.largest.fill_(math.log2(len(train) + 1))
    t = bits(teacher(train))
    pairs = {}
    for name, x in (("train", train), ("valid", valid)):
        events = [x, *outliers(x, student.space, round(share * len(x)), generator).split(len(x))]
        events = [e for e in events if len(e)]  # without outliers, no detector need score nothing
        pairs[name] = [torch.cat([student.prepare(e).flatten(1), t(teacher(e)).unsqueeze(1)], 1) for e in events]

    def loss(batch: Tensor, _step: int):
        return (student.network(batch[:, :-1].view(-1, *student.inputs)).squeeze(1) - batch[:, -1]).square().mean(), {}

    whole = torch.cat(pairs["valid"])

    def measure() -> dict[str, float]:
        return {"valid_loss": in_blocks(lambda part: loss(part, 0)[0].expand(len(part)), whole).mean().item()}

    fitting, options = Fitting(generator, progress or Progress("student")), {"phase": "student", "measure": measure}
    history, _ = fitting.minimise(
        student.network, loss, torch.cat(pairs["train"]), training, criterion=Criterion("valid_loss"), **options
    )
    student.eval()
    facts = {"valid_loss": measure()["valid_loss"], "parameters": sum(p.numel() for p in student.parameters())}
    background, *others = pairs["valid"]
    for name, parts in (("rank", [background]), ("rank_outliers", others)):
        if parts:
            events = torch.cat(parts)
            with torch.no_grad():
                scores = student.network(events[:, :-1].view(-1, *student.inputs)).squeeze(1)
            facts[name] = float(spearmanr(scores.cpu().numpy(), events[:, -1].cpu().numpy()).statistic)
    if not facts["rank"] > 0.05:
        raise CollapseError(
            f"student: it does not follow its teacher on background (rank correlation {facts['rank']:.3f}). Give it "
            "wider layers, less pooling, or more steps."
        )
    return Fit(history, facts)


def build(spec: dict, space: Space, seed: int) -> Student:
    """A student from the arguments of :class:`Student`, its weights drawn with ``seed``; InputError for other ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return settings(Student, spec, "network", (space,))


def save(student: Student, path: str | Path, spec: dict) -> None:
    """The student in one safetensors file, with its spec as metadata; atomic."""
    write_module(student, path, {"student": spec, "space": asdict(student.space)})


def load(path: str | Path) -> Student:
    """A student from a file written by :func:`save`; InputError if the file is anything else."""
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file. Check the path, or distil the student.")
    try:
        return read_module(path, lambda notes: build(notes["student"], Space.of(notes["space"]), seed=0))
    except FormerName as error:
        raise InputError(f"{path}: a student of an earlier version of hepad: {error} Distil it again.") from None
    except UNREADABLE as error:
        raise InputError(f"{path}: not a usable student ({error}). Delete it and distil again.") from None
