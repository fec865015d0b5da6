"""Two processes of torchrun train as one process does on the whole batch."""

import faulthandler
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_checkpoint import CASES, CHAIN, NAE, NETWORK, SHORT, VECTOR, Disturbed, checkpoint_of, events, fit
from torch import nn

import hepad.detectors.training.checkpoint
from hepad.detectors.energy_based.negative_sampling import sphere_start
from hepad.detectors.training import distributed
from hepad.detectors.training.checkpoint import Checkpoint, Stopped
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Schedule
from hepad.errors import DivergenceError, InputError
from hepad.progress import Progress

# nothing in them is random but the order of events
STILL = {
    "ae": ("AE", "vector", {"autoencoder": NETWORK, "training": SHORT | {"ema_decay": 0.9, "grad_clip": 1.0}}),
    "nae": ("NAE", "vector", NAE | {"start": "data", "visible_chain": CHAIN | {"noise_std": 0.0}}),
}
OFTEN = ("gan", "mpdr_scalar")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))


def run(loss_of, steps=1, batch=32, path=None):
    """A loop of its own, and what it ended with."""
    module, generator = network(), torch.Generator().manual_seed(1)
    fitting, schedule = Fitting(generator, Progress("test")), Schedule(steps=steps, batch=batch)
    fitting.minimise(module, loss_of(module, generator), events(VECTOR, 1), schedule, phase="test")
    return module


def plain(module, _generator):
    return lambda x, _step: ((module(x) - x).square().mean(), {})


def gradients():
    return {name: p.grad for name, p in run(plain).named_parameters()}


class Noise:
    """A loss that keeps what it has drawn, and the events that it was given."""

    def __init__(self):
        self.drawn, self.given = [], []

    def __call__(self, module, generator):
        start = sphere_start(3, generator)

        def loss(x, _step):
            self.drawn.append(start(len(x)))
            self.given.append(x)
            return (module(x) - x).square().mean(), {}

        return loss


def lost_in_one(module, _generator):
    def loss(x, step):
        if step == 1 and distributed.rank() == 1:
            raise DivergenceError("the chain of the second process is lost")
        return module(x).mean(), {}

    return loss


def state(found, name):
    return {f"{name}/{key}": value for key, value in found[0].items()}


def interrupted(folder):
    """A fit that is stopped in each phase by a signal to the second process alone, and goes on."""
    path = folder / "checkpoint.safetensors"
    for phase, last in ((0, 11), (1, 17)):
        checkpoint = Disturbed(path, checkpoint_of("nae_persistent", path).belongs_to)
        checkpoint.disturb(phase, last if distributed.rank() == 1 else 10**6)
        try:
            fit("nae_persistent", checkpoint)
        except Stopped:
            continue
        raise AssertionError("it went on")
    checkpoint = Disturbed(path, checkpoint_of("nae_persistent", path).belongs_to).disturb(-1, 0)
    found = fit("nae_persistent", checkpoint)
    assert checkpoint.steps[0] == 18, checkpoint.steps
    return found


def work(folder, cases):
    """What each of the processes does; its results go to a file of its own."""
    faulthandler.dump_traceback_later(200, exit=True)  # processes that wait for each other say where
    with distributed.processes("cpu", 2):
        torch.set_num_threads(1)
        hepad.detectors.training.checkpoint._code = lambda: {}
        found = {f"gradient/{name}": g for name, g in gradients().items()}
        noise = Noise()
        run(noise, 3)
        found |= {"noise": torch.cat(noise.drawn), "given": torch.cat(noise.given)}
        for name, case in STILL.items():
            found |= state(fit(case), f"still {name}")
        for case in cases:
            found |= state(fit(case), case)
        found |= state(fit("nae_persistent"), "undisturbed") | state(interrupted(folder), "interrupted")
        for loss, batch, error in ((lost_in_one, 32, DivergenceError), (plain, 31, InputError)):
            try:
                run(loss, 10, batch)
            except error as refused:
                (folder / f"{error.__name__}.{distributed.rank()}").write_text(str(refused))
        save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{distributed.rank()}.safetensors")


def torchrun(folder, *cases):
    command = [sys.executable, *distributed.torchrun(2), __file__, "cpu", "cpu", str(folder), *cases]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def results(folder, *cases):
    process = torchrun(folder, *cases)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def both(folder):
    return results(folder, *OFTEN)


def assert_identical(both):
    for name, tensor in both[0].items():
        if name not in ("noise", "given"):
            assert torch.equal(tensor, both[1][name]), name


@pytest.mark.slow
def test_gradients_are_those_of_one_process_with_the_whole_batch(both):
    for name, expected in gradients().items():
        torch.testing.assert_close(both[0][f"gradient/{name}"], expected, rtol=1e-5, atol=1e-8)
        assert expected.abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", STILL)
def test_a_whole_training_is_that_of_one_process(both, name):
    for key, expected in fit(STILL[name])[0].items():
        torch.testing.assert_close(both[0][f"still {name}/{key}"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_all_processes_end_with_the_same_weights(both):
    assert_identical(both)
    assert {name.split("/")[0] for name in both[0]} >= set(OFTEN)


@pytest.mark.slow
def test_each_process_has_its_share_of_the_events_and_noise_of_its_own(both):
    first, second = both
    assert first["noise"].shape == second["noise"].shape == (48, 3)
    assert torch.cat([first["noise"], second["noise"]]).unique(dim=0).shape[0] == 96
    noise = Noise()
    run(noise, 1)
    together = torch.cat([part["given"][:16] for part in both])
    assert torch.equal(together, noise.given[0])


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_each_goes_on_with_its_own_chains(both):
    for rank in both:
        names = [name.removeprefix("interrupted/") for name in rank if name.startswith("interrupted/")]
        assert len(names) > 5
        for name in names:
            assert torch.equal(rank[f"interrupted/{name}"], rank[f"undisturbed/{name}"]), name


@pytest.mark.slow
def test_a_divergence_in_one_process_ends_all(both, folder):
    said = [(folder / f"DivergenceError.{rank}").read_text() for rank in range(2)]
    assert said == ["it was lost in another process", "the chain of the second process is lost"]


@pytest.mark.slow
def test_a_batch_that_cannot_be_divided_is_refused(both, folder):
    for rank in range(2):
        assert "31 events cannot be divided evenly among 2 processes" in (folder / f"InputError.{rank}").read_text()


def test_only_the_first_process_writes_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    checkpoint = Checkpoint(tmp_path / "c", {})
    with checkpoint.of([torch.zeros(2)], Progress("test")):
        checkpoint.leave({})
        checkpoint._write(checkpoint.finished)
    assert list(tmp_path.iterdir()) == []


def test_a_script_with_several_gpus_is_started_anew_under_torchrun(monkeypatch):
    class Replaced(Exception):
        pass

    def execute(program, command):
        raise Replaced(program, command)

    monkeypatch.setattr(distributed.os, "execv", execute)
    monkeypatch.setattr(distributed, "claim", lambda name, gpus: tuple(f"{name}:{i + 1}" for i in range(gpus)))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(Replaced) as found, distributed.processes("cuda", 2):
        pass
    program, command = found.value.args
    assert program == command[0] == sys.executable
    assert command[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert command[-3:] == ["train.py", "cuda:1", "cuda:2"]
    with distributed.processes("cuda", 1) as device:
        assert device == "cuda:1"


@pytest.mark.slow
def test_every_detector_trains_in_two_processes(tmp_path):
    assert_identical(results(tmp_path, *(case for case in CASES if case not in OFTEN)))


if __name__ == "__main__":
    work(Path(sys.argv[3]), sys.argv[4:])
