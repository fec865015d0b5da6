"""Fixed-point students: what hls4ml's compiled C++ computes, against arithmetic written out in NumPy."""

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
from hepad.trigger import student as students
from hepad.trigger.fixed_point import INPUT, Emulation, Format, agreement, check, types_of

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
