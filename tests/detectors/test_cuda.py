"""On a GPU: a training that is stopped ends as an undisturbed one, bit for bit, and its scores are those of a CPU."""

import pytest
import torch
from test_checkpoint import CASES, SPACES, Disturbed, assert_same, checkpoint_of, events, same_code, steps_of_phases

from hepad import detectors
from hepad.detectors.training.checkpoint import Stopped

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
__all__ = ["same_code"]


@pytest.fixture(autouse=True)
def deterministic(monkeypatch):
    """Sums over pixels in a fixed order; without it two runs on one GPU differ in the last bits."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def fit_on_gpu(case, checkpoint=None, seed=3):
    """The detector, and what ``assert_same`` compares, on the CPU."""
    name, space, arguments = CASES[case]
    detector = detectors.build({"type": name, "arguments": arguments}, SPACES[space], seed).to("cuda")
    generator = torch.Generator("cuda").manual_seed(seed)
    train, valid = (events(SPACES[space], *how).to("cuda") for how in ((1,), (2, 100)))
    found = detector.fit(train, valid, generator=generator, checkpoint=checkpoint)
    found.candidates.update({step: on_cpu(state) for step, state in found.candidates.items()})
    return detector, (on_cpu(detector.state_dict()), found, generator.get_state())


def on_cpu(state):
    return {name: tensor.cpu() for name, tensor in state.items()}


@pytest.mark.parametrize("case", CASES)
def test_stopped_in_every_phase_it_ends_as_if_it_had_not_been(case, tmp_path):
    _, expected = fit_on_gpu(case)
    path = tmp_path / "checkpoint.safetensors"
    for phase, steps in enumerate(steps_of_phases(expected[1])):
        with pytest.raises(Stopped):
            fit_on_gpu(case, Disturbed(path, checkpoint_of(case, path).belongs_to).disturb(phase, steps // 2))
    torch.cuda.manual_seed(phase)
    assert_same(fit_on_gpu(case, checkpoint_of(case, path))[1], expected)


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_a_cpu(case, tmp_path):
    name, space, arguments = CASES[case]
    detector, _ = fit_on_gpu(case)
    detectors.save(detector, tmp_path / "model.safetensors", {"type": name, "arguments": arguments})
    other, x = detectors.load(tmp_path / "model.safetensors"), events(SPACES[space], 4)
    scores = other.score(x)
    spread = scores.std()
    torch.testing.assert_close(detector.score(x.to("cuda")).cpu(), scores, rtol=0, atol=1e-3 * float(spread))
