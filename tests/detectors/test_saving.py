"""The guard under which a module is built from a description that nobody trusts."""

import subprocess
import sys

import pytest
import torch

from hepad import detectors
from hepad.detectors.saving import CALL, Bounded, TooLargeError
from hepad.representations import Space

VECTOR, MATRIX = torch.randn(30), torch.randn(20, 30)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(20, 30),
        lambda: torch.eye(25),
        lambda: torch.eye(25, 10),
        lambda: torch.randint(5, (40, 3)),
        lambda: torch.randint(0, 5, size=(40, 3)),
        lambda: torch.empty(7, 8),
        lambda: torch.zeros((9, 9)),
        lambda: MATRIX / 3.0,
        lambda: VECTOR[:, None] * VECTOR,
        lambda: torch.sub(MATRIX, VECTOR),
        lambda: torch.nn.functional.normalize(MATRIX, dim=0),
        lambda: torch.cat([MATRIX, MATRIX]),
        lambda: torch.stack([VECTOR, VECTOR, VECTOR]),
        lambda: torch.mv(MATRIX, VECTOR),
        lambda: MATRIX.mean(0),
        lambda: VECTOR.repeat(4, 5),
        lambda: MATRIX @ MATRIX.T,
        lambda: torch.outer(VECTOR, VECTOR),
    ],
)
def test_what_an_operation_makes_is_counted_before(make):
    """Never less than what it makes, and no more than its inputs and that together."""
    with Bounded(1_000) as bounded:
        before = bounded.left
        made = make().numel()
        counted = before - bounded.left - CALL
    assert made <= counted % CALL <= max(made, 2 * MATRIX.numel())


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, None] * x,
        lambda x: torch.mul(x[:, None], other=x),
        lambda x: torch.clamp(x[:, None], min=x),
        lambda x: torch.outer(x, x),
        lambda x: x.repeat(100_000),
        lambda x: torch.eye(len(x)),
        lambda x: torch.randn(len(x), len(x)),
        lambda x: torch.randint(5, (len(x), len(x))),
        lambda x: torch.nn.functional.pad(x, (0, 10**9)),
    ],
)
def test_what_would_need_a_terabyte_is_not_begun(make):
    x = torch.zeros(500_000)
    with pytest.raises(TooLargeError), Bounded(1_000):
        make(x)


def test_loading_a_model_imports_no_compiler(tmp_path):
    """torch's compiler, and its meta device, which imports it, take longer than all else of scoring a file."""
    space = Space((4,), ("a", "b", "c", "d"))
    flow = {"network": "dense", "latent_dim": 2, "flow": {"type": "Planar", "layers": 2}, "training": {"steps": 1}}
    specs = {"ConvVAE": flow, "Mixture": {"n_gaussians": 2}}
    for name, described in {name: {"type": name, "arguments": given} for name, given in specs.items()}.items():
        detectors.save(detectors.build(described, space, seed=0), tmp_path / name, described)
        look = f"import sys; from hepad import detectors; detectors.load({str(tmp_path / name)!r})"
        done = subprocess.run([sys.executable, "-c", f"{look}; print('torch._dynamo' in sys.modules)"],
                              capture_output=True, text=True, check=True)  # fmt: skip
        assert done.stdout.strip() == "False", name
