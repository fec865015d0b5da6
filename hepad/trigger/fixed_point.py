r"""Students in fixed-point arithmetic, as an FPGA would compute them: converted by hls4ml, its C++ compiled with g++.

A number of type fixed<W,I> is a multiple of 2^(I-W) in [-2^(I-1), 2^(I-1)), I counting the sign. In every format

    input, weights, biases    rounded to the nearest, halves upwards, saturating (RND, SAT)
    sums                      exact, as wide as they need to be
    activations, output       rounded down, saturating (TRN, SAT)

Either all have the same I, or each has the smallest that holds what it has to: all weights and biases, the student's
output up to log2(n + 1) bits, and of input and activations all but 1e-4 of the float student's on background events.
What is larger saturates.

hls4ml and g++ are needed, no vendor's tools: what an FPGA computes is emulated, how long it takes and what it occupies
is not known from that.
"""

import contextlib
import io
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from hepad import representations
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError, at, check_choice
from hepad.evaluation.streaming import per_event, sample
from hepad.registry import settings
from hepad.trigger.rates import FRACTION, Scale, at_budget, gain
from hepad.trigger.student import Student, build
from hepad.trigger.vectors import Vectors, chosen

INPUT = "input_1"  # hls4ml's name
BEYOND = 1e-4  # share of the inputs and activations of background that may saturate
WIDEST = 24  # bits of a float32, in which the compiled C++ takes its input and gives its output
COLUMNS = (
    *("signal", "engine", "khz", "eps_b", "threshold", "n_background_passed"),
    *("eps_s", "eps_s_low", "eps_s_high", "resolved"),
)


Scored = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]  # {engine: (N,)}, weights and clusters of N events


class Format(NamedTuple):
    """``width`` bits, of which ``integer`` with the sign are before the point; None: as many as each layer needs."""

    width: int
    integer: int | None = None

    @classmethod
    def of(cls, text: str | int) -> "Format":
        """The format that a text such as '16,6' or '8' names."""
        parts = str(text).split(",")
        try:
            format = cls(*map(int, parts))
        except (TypeError, ValueError):
            raise InputError(f"formats: '{text}' is not 'WIDTH,INTEGER' or 'WIDTH', such as '16,6' or '8'.") from None
        if not 2 <= format.width <= WIDEST or not (format.integer is None or 1 <= format.integer <= format.width):
            raise InputError(
                f"formats: '{text}': the width must lie between 2 and {WIDEST} bits, the integer bits, with the sign, "
                "between 1 and the width."
            )
        return format

    @property
    def label(self) -> str:
        """Such as 'fixed<16,6>', or 'fixed<8,*>' where the integer bits differ from layer to layer."""
        return f"fixed<{self.width},{'*' if self.integer is None else self.integer}>"

    def type_for(self, values: Tensor, mode: str, share: float = 0.0) -> str:
        """hls4ml's name of the type that holds ``values`` but for this ``share``; ``mode``: RND or TRN."""
        integer = self.integer
        if integer is None:
            largest = float(np.quantile(values.detach().abs().numpy(), 1 - share))
            integer = 1 + math.frexp(largest)[1] if largest > 0 else 1  # largest < 2^(integer - 1)
        return f"fixed<{self.width},{integer},{mode},SAT>"


def types_of(student: Student, form: Format, background: Tensor) -> dict[str, dict[str, str]]:
    """Types by layer, as hls4ml's configuration has them.

    Parameters
    ----------
    student: fitted
    form: the format
    background: (N, *space.shape) training events, for the ranges of input, activations and output
    """
    with torch.no_grad():
        x = student.prepare(background)
        types = {INPUT: {"result": form.type_for(x, "RND", BEYOND)}}
        for name, layer in student.network.named_children():
            x = layer(x)
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                held = {"weight": form.type_for(layer.weight, "RND"), "bias": form.type_for(layer.bias, "RND")}
                # the sums of a hidden layer are rounded by its activation
                types[name] = {**held, "accum": "auto", "result": "auto"}
            elif isinstance(layer, nn.ReLU):
                types[name] = {"result": form.type_for(x, "TRN", BEYOND)}
        types[name]["result"] = form.type_for(student.largest, "TRN")
    return types


class Emulation:
    """A compiled student; ``score`` works while ``folder`` is there.

    Parameters
    ----------
    student: fitted
    form: its format
    background: training events (N, *space.shape), see :func:`types_of`
    folder: where hls4ml's project goes: its C++ is what vendors' tools would be given

    Raises
    ------
    InputError: hls4ml or g++ is missing
    """

    def __init__(self, student: Student, form: Format, background: Tensor, folder: str | Path):
        hls4ml = require()
        self.student, self.form, self.types = student, form, types_of(student, form, background)
        network = student.network.cpu().eval()
        with contextlib.redirect_stdout(io.StringIO()):  # hls4ml prints what it reads
            config = hls4ml.utils.config_from_pytorch_model(
                network, student.inputs, granularity="name", backend="Vitis", default_precision="fixed<16,6>"
            )
            for name, types in self.types.items():
                config["LayerName"][name]["Precision"].update(types)
            self.model = hls4ml.converters.convert_from_pytorch_model(
                network, output_dir=str(Path(folder).resolve()), backend="Vitis", hls_config=config
            )
            self.model.compile()

    def score(self, x: Tensor) -> Tensor:
        """Score (N,) [bits] of events (N, *space.shape)."""
        with torch.no_grad():
            prepared = np.ascontiguousarray(self.student.prepare(x).numpy(), np.float32)
        if not len(prepared):
            return torch.empty(0)
        return torch.from_numpy(np.asarray(self.model.predict(prepared)).reshape(-1))

    def write_vectors(self, path: str | Path, events: Tensor, thresholds: Mapping[str, float]) -> None:
        """Test vectors (:mod:`hepad.trigger.vectors`) in integers, as the hardware takes and gives them.

        A number is its integer times 2^(I-W), and the first line says 'input' and 'output', the types. A score is above
        a threshold if its integer is above the threshold's, which is rounded down.

        Parameters
        ----------
        path: the CSV; events: (N, *space.shape) of the test background; thresholds: {name: score [bits]}

        Raises
        ------
        InputError: the emulation of the integers gives other scores than that of the events
        """
        kind_in, kind_out = self.types[INPUT]["result"], self.types["output"]["result"]
        x, kinds = chosen(events, self.score(events).numpy(), dict(thresholds), self.student.space)
        x, kinds = x[:-1], kinds[:-1]  # an integer cannot be NaN, which comes last
        with torch.no_grad():
            inputs = integers(self.student.prepare(x).numpy().astype(float), kind_in)
        scores = self.score(x).numpy()
        again = self.model.predict(np.ascontiguousarray(inputs * _step(kind_in), np.float32))
        if not np.array_equal(np.asarray(again).reshape(-1), scores):
            raise InputError(f"{path}: the student gives other scores of the integers than of the events. Report it.")
        pixels = math.prod(self.student.inputs) - len(self.student.space.columns)
        names = [f"pixel_{i}" for i in range(pixels)] + [*self.student.space.columns]
        whole = {name: math.floor(value / _step(kind_out)) for name, value in thresholds.items()}
        vectors = Vectors(inputs.reshape(len(x), -1), kinds, names, integers(scores, kind_out))
        vectors.write(path, input=kind_in, output=kind_out, rtol=0, atol=0, thresholds=whole)


def integers(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of any shape as the integers that stand for them in the type 'fixed<W,I,mode,SAT>'."""
    width, mode = re.fullmatch(r"fixed<(\d+),-?\d+,(RND|TRN),SAT>", name).groups()
    largest = 2 ** (int(width) - 1)
    counts = np.floor(values / _step(name) + (0.5 if mode == "RND" else 0.0))
    return np.clip(counts, -largest, largest - 1).astype(np.int64)


def _step(name: str) -> float:
    width, integer = re.match(r"fixed<(\d+),(-?\d+),", name).groups()
    return 2.0 ** (int(integer) - int(width))


def require():
    """hls4ml; InputError if it or g++ is not there."""
    try:
        import hls4ml  # optional, and slow to import
    except ImportError as error:
        raise InputError(f"fixed point needs hls4ml ({error}): pip install 'hepad[fpga]'.") from None
    if shutil.which("g++") is None:
        raise InputError("fixed point needs the compiler g++, which is not on PATH: install it (apt install g++).")
    return hls4ml


def check(config: dict) -> None:
    """InputError unless every entry of ``students`` names a detector of a task, can be built, and can be emulated."""
    for name, entry in config["students"].items():
        key = f"students.{name}"
        task = config["tasks"][check_choice(f"{key}.task", entry["task"], config["tasks"])]
        detector = check_choice(f"{key}.detector", entry["detector"], task["detectors"])
        if entry["seed"] not in task["seeds"]:
            raise InputError(f"{key}.seed: {entry['seed']} is none of the task's, {task['seeds']}.")
        space = representations.build(config["representations"][config["detectors"][detector]["representation"]]).space
        with at(key):
            build(entry["network"], space, 0)
            settings(Schedule, entry["training"], "training")
            for text in entry["formats"]:
                Format.of(text)
            require()


def agreement(expected: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """How far the fixed-point scores (N,) of background are from the float student's: largest and mean absolute
    difference [bits], rank correlation, and how many distinct scores there are."""
    difference = np.abs(np.asarray(scores, float) - np.asarray(expected, float))
    return {
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "rank": float(spearmanr(expected, scores).statistic),
        "distinct": len(np.unique(scores)),
    }


def of_events(scores: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> Scored:
    """A sample as :func:`compare` takes it: each event once, with the highest score of its jets, as a trigger has it.

    Parameters
    ----------
    scores, columns: as of :func:`hepad.evaluation.scores.read_scores`
    """
    engines = list(scores)
    first, highest = per_event(columns["event_id"], [scores[engine] for engine in engines])
    return dict(zip(engines, highest, strict=True)), columns["weight"][first], columns["cluster"][first]


def compare(
    background: Scored,
    signal: Scored,
    scale: Scale | None,
    khz: tuple[float, ...],
    eps_b: tuple[float, ...],
) -> list[dict]:
    """ε_S of several scores of the same events, each at its own threshold for the same rate.

    Parameters
    ----------
    background, signal: ({engine: scores (N,)}, weights (N,), clusters (N,)) of the events, by :func:`of_events`
    scale: of the background sample; None if it declares no rate
    khz: budgets of the total rate, used with a scale; eps_b: background efficiencies, used without one

    Returns
    -------
    rows with the keys ``COLUMNS`` but for ``signal``, the detector first, then the float student, then the others from
    wide to narrow; the interval of ε_S has the uncertainty of the threshold in it
    (:func:`hepad.trigger.rates.gain`), ``khz`` is None without a scale
    """
    requests, scale = _requests(scale, khz, eps_b)
    rows = []
    for engine in sorted(background[0], key=_by_precision):
        b, s = (
            sample("background", background[0][engine], background[1], cluster=background[2]),
            sample("signal", signal[0][engine], signal[1], cluster=signal[2]),
        )
        for rate, budget in requests:
            point = at_budget(b, scale, budget)
            value, low, high = gain(point, b, s).eps_s[:3]
            row = {"engine": engine, "khz": rate, "eps_b": point.eps_b, "threshold": point.threshold}
            row |= {"n_background_passed": point.total.passed, "resolved": int(point.resolved)}
            rows.append(row | {"eps_s": value, "eps_s_low": low, "eps_s_high": high})
    return rows


def thresholds(
    background: Scored, engine: str, scale: Scale | None, khz: tuple[float, ...], eps_b: tuple[float, ...]
) -> dict[str, float]:
    """{'100kHz' or 'eps_b_0.01': threshold} of one engine, as :func:`compare` finds them; those that are finite."""
    scores, weights, cluster = background
    requests, unit = _requests(scale, khz, eps_b)
    distribution, found = sample("background", scores[engine], weights, cluster=cluster), {}
    for rate, budget in requests:
        threshold = at_budget(distribution, unit, budget).threshold
        if math.isfinite(threshold):
            found[f"eps_b_{budget:g}" if rate is None else f"{rate:g}kHz"] = threshold
    return found


def _requests(scale: Scale | None, khz, eps_b) -> tuple[list[tuple[float | None, float]], Scale]:
    """(budget in kHz or None, budget in the unit of the scale) of all budgets, and the scale."""
    if scale is not None:
        return [(float(k), 1e3 * k) for k in khz], scale
    for e in eps_b:
        if not 0 < e <= 1:
            raise InputError(f"student: a background efficiency of {e} is not in (0, 1]. Correct the config.")
    return [(None, float(e)) for e in eps_b], FRACTION


def _by_precision(engine: str) -> tuple:
    width = re.search(r"<(\d+)", engine)
    return not engine.startswith("detector"), -math.inf if width is None else -int(width[1]), engine
