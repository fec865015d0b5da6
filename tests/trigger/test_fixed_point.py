"""Fixed-point students: what hls4ml's compiled C++ computes, against arithmetic written out in NumPy."""

import csv
import json
import re
import shutil
import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch

from hepad.errors import InputError
from hepad.representations import Space
from hepad.trigger import fixed_point
from hepad.trigger import student as students
from hepad.trigger.fixed_point import INPUT, Emulation, Format, agreement, check, integers, types_of
from hepad.trigger.rates import zero_bias

SPACE = Space((4,), ("a", "b", "c", "d"))
IMAGE = Space((1, 8, 8), (), 64)
CONVOLUTION = {"network": "convolutional", "hidden_dims": [6], "channels": 3}


def fixed(x, name: str) -> np.ndarray:
    """x in the type 'fixed<W,I,mode,SAT>'."""
    width, integer, mode = re.fullmatch(r"fixed<(\d+),(-?\d+),(RND|TRN),SAT>", name).groups()
    step = 2.0 ** (int(integer) - int(width))
    count = np.floor(np.asarray(x, float) / step + (0.5 if mode == "RND" else 0.0))
    return np.clip(count, -(2 ** (int(width) - 1)), 2 ** (int(width) - 1) - 1) * step


def reference(student: students.Student, types: dict, x: torch.Tensor) -> np.ndarray:
    """A student computed as the docstring of hepad.trigger.fixed_point says; kernels do not overlap."""
    v = fixed(student.prepare(x).numpy(), types[INPUT]["result"])
    for name, layer in student.network.named_children():
        if isinstance(layer, torch.nn.Conv2d):
            k = layer.kernel_size[0]
            side = v.shape[-1] // k
            blocks = v[:, 0, : side * k, : side * k].reshape(-1, side, k, side, k)
            weight = fixed(layer.weight.detach(), types[name]["weight"])[:, 0]
            v = np.einsum("nikjl,ckl->ncij", blocks, weight)
            v = v + fixed(layer.bias.detach(), types[name]["bias"])[:, None, None]
        elif isinstance(layer, torch.nn.Linear):
            v = v @ fixed(layer.weight.detach(), types[name]["weight"]).T
            v = v + fixed(layer.bias.detach(), types[name]["bias"])
        elif isinstance(layer, torch.nn.ReLU):
            v = fixed(np.maximum(v, 0), types[name]["result"])
        else:
            v = v.reshape(len(v), -1)
    return fixed(v, types["output"]["result"]).ravel()


def made(space: Space, spec: dict, seed: int = 1) -> tuple[students.Student, torch.Tensor]:
    """A student with random weights and 500 events to set its ranges by."""
    student = students.build(spec, space, seed)
    x = torch.randn(500, *space.shape, generator=torch.Generator().manual_seed(seed)).abs()
    student.standardise(x)
    student.largest.fill_(student.score(x).abs().max())
    return student, x


def test_without_hls4ml_the_message_says_what_to_install(tmp_path, monkeypatch):
    student, x = made(SPACE, {"hidden_dims": [2]})
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    with pytest.raises(InputError, match=re.escape("pip install 'hepad[fpga]'")):
        Emulation(student, Format(16, 6), x, tmp_path)


def test_without_a_compiler_the_message_says_so(tmp_path, monkeypatch):
    student, x = made(SPACE, {"hidden_dims": [2]})
    monkeypatch.setitem(sys.modules, "hls4ml", ModuleType("hls4ml"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=re.escape("g++")):
        Emulation(student, Format(16, 6), x, tmp_path / "project")


ENTRY = {"task": "qcd", "detector": "ae", "seed": 1, "network": {}, "training": {"steps": 5}, "formats": ["16,6", 8]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "gcd"}, r"students.s.task 'gcd' .* Did you mean 'qcd'"),
        ({"detector": "vae"}, "students.s.detector 'vae'"),
        ({"seed": 2}, "students.s.seed: 2"),
        ({"network": {"pool": 2}}, "students.s: student: pool: 2 needs pixels"),
        ({"training": {"step": 5}}, "Did you mean 'steps'"),
        ({"formats": ["6,16"]}, "students.s: formats: '6,16'"),
        ({}, re.escape("hepad[fpga]")),
    ],
)
def test_entries_that_do_not_fit_are_refused_before_anything_runs(change, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    config = {
        "tasks": {"qcd": {"detectors": ["ae"], "seeds": [1]}},
        "detectors": {"ae": {"representation": "vector"}},
        "representations": {"vector": {"type": "EventVector", "variables": ["mass", "girth"]}},
        "students": {"s": ENTRY | change},
    }
    with pytest.raises(InputError, match=message):
        check(config)


def test_agreement_of_known_scores():
    found = agreement(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0, 3.5]))
    assert found["largest_difference"] == 1
    assert found["mean_difference"] == pytest.approx(1.5 / 4)
    assert found["distinct"] == 3
    assert found["rank"] == pytest.approx(4.5 / np.sqrt(5 * 4.5))


def test_integers_of_known_numbers():
    """Steps of a quarter between -2 and 1.75: halves go upwards, or all down, and what is outside saturates."""
    x = np.array([0.0, 0.124, 0.125, -0.125, -0.126, 1.74, 1.75, 9.0, -2.0, -9.0])
    assert integers(x, "fixed<4,2,RND,SAT>").tolist() == [0, 0, 1, 0, -1, 7, 7, 7, -8, -8]
    assert integers(x, "fixed<4,2,TRN,SAT>").tolist() == [0, 0, 0, -1, -1, 6, 7, 7, -8, -8]
    assert integers(np.array([3.0]), "fixed<4,-2,RND,SAT>").tolist() == [7]  # in steps of a 64th
    assert integers(np.array([3.0]), "fixed<4,6,RND,SAT>").tolist() == [1]  # in steps of four


def test_thresholds_are_those_of_the_comparison():
    rng = np.random.default_rng(0)
    scored = ({"student/fixed<8,*>": rng.integers(0, 40, 3000) / 4}, np.ones(3000), np.arange(3000))
    for scale, names in ((None, ["eps_b_0.1", "eps_b_0.01"]), (zero_bias(), ["1000kHz", "300kHz"])):
        rows = fixed_point.compare(scored, scored, scale, (1000, 300), (0.1, 0.01))
        found = fixed_point.thresholds(scored, "student/fixed<8,*>", scale, (1000, 300), (0.1, 0.01))
        assert found == dict(zip(names, (row["threshold"] for row in rows), strict=True))


fpga = pytest.mark.fpga
needs_tools = pytest.mark.skipif(
    find_spec("hls4ml") is None or shutil.which("g++") is None, reason="needs hls4ml and g++"
)


@fpga
@needs_tools
@pytest.mark.parametrize(
    ("space", "spec", "form"),
    [
        (SPACE, {"hidden_dims": []}, "16,6"),  # one Linear layer
        (SPACE, {"hidden_dims": [8, 4]}, "8"),
        (IMAGE, CONVOLUTION, "16,6"),
        (IMAGE, CONVOLUTION, "8"),
    ],
)
def test_the_emulation_is_the_arithmetic_written_out(space, spec, form, tmp_path):
    """Bit by bit, also where input and activations saturate."""
    student, x = made(space, spec)
    emulation = Emulation(student, Format.of(form), x, tmp_path)
    events = torch.cat([x, 3 * x, -x, 100 * x[:50]])
    expected = reference(student, types_of(student, Format.of(form), x), events)
    assert len(np.unique(expected)) > 20
    np.testing.assert_array_equal(emulation.score(events).numpy(), expected)
    assert emulation.score(events[:1]).shape == (1,)
    assert emulation.score(events[:0]).shape == (0,)


@fpga
@needs_tools
def test_wide_numbers_are_close_to_the_float_student(tmp_path):
    student, x = made(SPACE, {"hidden_dims": [8, 4]})
    emulation = Emulation(student, Format(24, 8), x, tmp_path)
    assert agreement(student.score(x).numpy(), emulation.score(x).numpy())["largest_difference"] < 1e-3


@fpga
@needs_tools
@pytest.mark.parametrize(
    ("space", "spec", "form"), [(SPACE, {"hidden_dims": [8, 4]}, "16,6"), (IMAGE, CONVOLUTION, "8")]
)
def test_vectors_are_integers_of_which_the_arithmetic_makes_the_same_ones(space, spec, form, tmp_path):
    student, x = made(space, spec)
    emulation = Emulation(student, Format.of(form), x, tmp_path / "project")
    scores = emulation.score(x).numpy()
    threshold = float(np.sort(scores)[-50])
    emulation.write_vectors(tmp_path / "v.csv", x, {"t": threshold, "between": threshold + 1e-4})
    with open(tmp_path / "v.csv", newline="") as file:
        head = json.loads(file.readline().removeprefix("# "))
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("vector", "kind", "score", "pass_t", "pass_between")]
    inputs = np.array([[int(row[name]) for name in names] for row in rows])
    width, integer = map(int, re.findall(r"-?\d+", head["input"])[:2])
    assert np.abs(inputs + 0.5).max() <= 2 ** (width - 1)
    # what the student makes of an input that is not prepared any more
    plain = students.build(spec, space, 1)
    plain.load_state_dict(student.state_dict() | {"offset": 0 * student.offset, "scale": 0 * student.scale + 1})
    taken = torch.tensor(inputs * 2.0 ** (integer - width)).reshape(-1, *space.shape).float()
    expected = reference(plain, emulation.types, taken)
    width, integer = map(int, re.findall(r"-?\d+", head["output"])[:2])
    found = np.array([int(row["score"]) for row in rows])
    assert np.array_equal(found * 2.0 ** (integer - width), expected)
    for name, value in (("t", threshold), ("between", threshold + 1e-4)):
        passes = [int(row[f"pass_{name}"]) for row in rows]
        assert passes == (expected > value).astype(int).tolist()
        assert passes == (found > head["thresholds"][name]).astype(int).tolist()
        assert 0 < sum(passes) < len(passes)
    assert {"background", "above t", "below t", "zeros"} <= {row["kind"] for row in rows}
