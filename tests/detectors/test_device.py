"""Which device a job takes: with several GPUs one of its own, freed when the job is killed. The GPUs are pretended."""

import multiprocessing
import os
import signal
import tempfile
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from hepad.detectors.training import device
from hepad.errors import InputError

FORK = multiprocessing.get_context("fork")


def pretend(patch, visible):
    """Let torch see the GPUs with these identities."""
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: len(visible))
    patch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=visible[index]))


def work(pipe, visible, gpus):
    with pytest.MonkeyPatch.context() as patch:
        pretend(patch, visible)
        pipe.send(device.claim("auto", gpus))
        signal.pause()


@pytest.fixture
def job(tmp_path, monkeypatch):
    """``job(visible, gpus)``: (process, devices) of a running job that sees the GPUs with these identities."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExitStack() as stack:

        def start(visible, gpus=1):
            here, there = FORK.Pipe()
            process = FORK.Process(target=work, args=(there, visible, gpus))
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            assert here.poll(30), "the job says nothing"
            return process, list(here.recv())

        yield start


def test_each_job_gets_a_gpu_of_its_own_and_a_killed_one_gives_it_back(job):
    gpus = ["a", "b", "c"]
    first, taken = job(gpus)
    assert taken == ["cuda:0"]
    assert [job(gpus)[1], job(gpus)[1]] == [["cuda:1"], ["cuda:2"]]
    first.kill()
    first.join()
    assert first.exitcode == -signal.SIGKILL
    assert job(gpus)[1] == ["cuda:0"]


def test_a_program_that_takes_the_place_of_the_job_keeps_its_gpu(job, tmp_path):
    there = tmp_path / "there"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "pause", lambda: os.execvp("sh", ["sh", "-c", f"touch '{there}'; exec sleep 60"]))
        taken = job(["a", "b"])[1]
    while not there.exists():
        time.sleep(0.01)
    assert [taken, job(["a", "b"])[1]] == [["cuda:0"], ["cuda:1"]]


def test_more_jobs_than_gpus_are_spread_evenly(job):
    taken = [job(["a", "b"])[1][0] for _ in range(5)]
    assert taken == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]


def test_a_gpu_is_recognised_where_others_are_hidden(job):
    assert job(["b", "c"])[1] == ["cuda:0"], "b"
    assert job(["a", "b", "c"])[1] == ["cuda:0"], "a"
    assert job(["a", "b", "c"])[1] == ["cuda:2"], "c, since b is taken"


@pytest.mark.parametrize(("gpus", "expected"), [(2, ["cuda:1", "cuda:2"]), (3, ["cuda:0", "cuda:1", "cuda:2"]),
                                                (9, ["cuda:0", "cuda:1", "cuda:2"])])  # fmt: skip
def test_a_job_of_several_gpus_prefers_free_ones(job, gpus, expected):
    job(["a", "b", "c"])
    assert job(["a", "b", "c"], gpus)[1] == expected


def test_a_single_visible_gpu_is_taken_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pretend(monkeypatch, ["a"])
    assert device.claim("auto", 1) == ("cuda",)
    assert device.claim("cuda", 2) == ("cuda",)
    assert not list(tmp_path.iterdir()), "a scheduler chose it, or there is no choice"
    assert device.claim("auto", 0) == device.claim("cpu", 1) == ("cpu",)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda"):
        device.claim("cuda")
    assert device.resolve("auto", 1) in ("cpu", "mps")
