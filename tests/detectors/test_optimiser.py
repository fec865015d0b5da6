"""Adam: the numbers of torch's class, its state, and what it does not import."""

import subprocess
import sys

import pytest
import torch

from hepad.detectors.training.optimiser import Adam

SHAPES = (4, 3), (7,), ()


def parameters():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def set_gradients(these, step, without=None):
    generator = torch.Generator().manual_seed(step)
    for k, p in enumerate(these):
        g = torch.randn(p.shape, generator=generator)
        p.grad = None if k == without else g


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9)])
def test_every_step_is_that_of_torch_bit_for_bit(betas):
    ours, theirs = parameters(), parameters()
    adam, reference = Adam(ours, betas), torch.optim.Adam(theirs, betas=betas, fused=True)
    for step, rate in enumerate((0.1, 0.01, 0.3, 1e-4, 0.02)):
        without = 1 if step == 2 else None  # a parameter without a gradient stays, and does not count the step
        set_gradients(ours, step, without)
        set_gradients(theirs, step, without)
        reference.param_groups[0]["lr"] = rate
        adam.step(rate)
        reference.step()
        assert all(map(torch.equal, ours, theirs))


def test_the_first_step_goes_by_the_rate_down_the_gradient():
    (p,) = these = [torch.tensor([1.0, 1.0, 1.0], requires_grad=True)]
    p.grad = torch.tensor([2.0, -1e-3, 0.0])
    Adam(these).step(0.25)
    torch.testing.assert_close(p.detach(), torch.tensor([0.75, 1.25, 1.0]), rtol=0, atol=1e-5)


def test_it_goes_on_from_its_state():
    whole, halves = parameters(), parameters()
    adam, first = Adam(whole), Adam(halves)
    for step in range(3):
        set_gradients(whole, step)
        set_gradients(halves, step)
        adam.step(0.1)
        first.step(0.1)
    second = Adam(halves)
    second.load_state_dict({name: [t.clone() for t in of] for name, of in first.state_dict().items()})
    set_gradients(whole, 9)
    set_gradients(halves, 9)
    adam.step(0.1)
    second.step(0.1)
    assert all(map(torch.equal, whole, halves))


def test_without_gradients_nothing_moves():
    these = parameters()
    before = [p.detach().clone() for p in these]
    adam = Adam(these)
    set_gradients(these, 0)
    adam.zero_grad()
    adam.step(0.1)
    assert all(map(torch.equal, before, these))


TRAINING = """
import sys, torch, hepad
x = torch.randn(400, 2, generator=torch.Generator().manual_seed(1)) @ torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])
x = x.numpy()
few = {"training": {"steps": 4}}
ae = hepad.AE(training={"steps": 300}, autoencoder={"hidden_dims": [32], "latent_dim": 3}).fit(x)
hepad.NAE(pretraining=ae, **few).fit(x)
print([name for name in ("torch._dynamo", "scipy.stats", "sympy", "sklearn", "matplotlib") if name in sys.modules])
"""


def test_a_training_imports_no_compiler_and_no_statistics():
    """Each would take every job of a run a second or two."""
    found = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
