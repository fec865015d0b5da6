"""Faults done to a run, a few of each kind (the table has more), and what they rest on: no damage passes for a result.

``pytest -m slow -n0 tests/faults``; the table: ``python tests/faults``.
"""

import errno
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import damage, damaged, damaged_checkpoint
from disks import full_disk, may_mount, read_only
from kills import kill
from machine import stop_training
from place import Place

from hepad import detectors
from hepad.detectors.training.candidates import load_candidates, save_candidates
from hepad.errors import InputError, lacking, report_errors
from hepad.evaluation.scores import read_scores, write_scores
from hepad.events import Events, write_blocks
from hepad.progress import Progress
from hepad.representations import build
from hepad.representations.features import Features, represent
from hepad.samples.gather import gather as gather_events
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of
from hepad.storage.hdf5 import append_array, new_hdf5
from hepad.storage.table import write_index

SPEC = {"type": "AE", "arguments": {"autoencoder": {"hidden_dims": [16], "latent_dim": 2}, "training": {"steps": 20}}}


def numbers(arrays):
    return {name: np.asarray(array).tobytes() for name, array in arrays}


def of_events(path):
    chunks = list(Events.blocks(path))
    meta = json.dumps(chunks[-1].meta, sort_keys=True, default=str)
    return [numbers(chunk.arrays()) for chunk in chunks], meta


def of_features(path):
    columns = ("x", "split", "weight", "event_id", "jet")
    return [(numbers((c, getattr(chunk, c)) for c in columns), chunk.space) for chunk in Features.blocks(path)]


def of_scores(path):
    return [numbers(part.items()) for part in read_scores(path)]


def of_model(path):
    return numbers(detectors.load(path).state_dict().items())


def of_candidates(path):
    return {step: numbers(state.items()) for step, state in load_candidates(path).items()}


@pytest.fixture(scope="module")
def results(make_events, tmp_path_factory):
    """{file: what reads it}: one of each kind of result."""
    folder = tmp_path_factory.mktemp("results")
    parts = [folder / "events" / f"{i}.h5" for i in range(2)]
    for i, part in enumerate(parts):
        write_root(make_events(40, i + 1), folder / f"{i}.root")
        source = {"files": [str(folder / f"{i}.root")]}
        write_blocks(part, stream_of(source, name="s", selection="any", split=(0.6, 0.2, 0.2), part=True))
    gather_events(parts, folder / "events.h5", "any")
    vector = build({"type": "EventVector", "variables": ["mass", "girth"]})
    features = folder / "features" / "0.h5"
    represent(vector, Events.blocks(parts[0]), {features: ("train", "valid", "test")})
    write_index([features], folder / "features.h5")
    found = Features.read(features)
    detector = detectors.build(SPEC, found.space, seed=1)
    detectors.save(detector, folder / "model.safetensors", SPEC)
    candidates = {step: {name: tensor + step for name, tensor in detector.state_dict().items()} for step in (1, 2)}
    save_candidates(candidates, folder / "candidates.safetensors")
    write_scores(folder / "scores.h5", [({"ae/1": detector.score(found.x).numpy()}, found)])
    return {
        parts[0]: of_events, folder / "events.h5": of_events,
        features: of_features, folder / "features.h5": of_features, folder / "scores.h5": of_scores,
        folder / "model.safetensors": of_model, folder / "candidates.safetensors": of_candidates,
    }  # fmt: skip


@pytest.mark.parametrize("kind", range(7))
def test_damage_of_a_result_is_refused_by_name_or_harmless(results, kind, tmp_path):
    path, read = list(results.items())[kind]
    expected, whole, messages = read(path), path.read_bytes(), []
    for trial in range(60):
        done = damage(path, np.random.default_rng([kind, trial]))
        try:
            assert read(path) == expected, f"{path.name}: {done} was taken for a result"
        except InputError as error:
            messages.append(str(error))
        path.write_bytes(whole)
    assert len(messages) > 10
    assert [said for said in messages if str(path) not in said] == []
    assert [said for said in messages if "delete" not in said.lower() and "fetch it again" not in said] == []


def write(path):
    with new_hdf5(path) as file:
        for name in "abc":
            append_array(file, name, np.random.default_rng(0).random(5000))


def test_a_file_that_cannot_be_written_to_its_end_is_an_error_and_no_file(tmp_path):
    """HDF5 alone would crash: it writes when nobody listens any more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match="large") as raised:
            write(tmp_path / "a.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def failing(number, text="", name=None):
    def fail():
        raise OSError(number, text or os.strerror(number), name)

    return fail


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (failing(errno.ENOSPC, name="results/a.h5"), ["no space is left", "results/a.h5 (mounted at /", "Free some"]),
        (failing(errno.EROFS, name="results/a.h5"), ["results/a.h5", "can only be read", "Make it writable"]),
        (failing(errno.EACCES, name="results/a.h5"), ["results/a.h5", "may not be read or written"]),
        (lambda: Path("/dev/full").write_text("a"), ["no space is left"]),
        (lambda: np.zeros(2**55), ["not enough memory", "chunk_events"]),
        (lambda: torch.zeros(2**50), ["not enough memory"]),
    ],
)
def test_what_the_machine_lacks_is_said_in_one_line(fail, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended, report_errors(tmp_path / "log"):
        fail()
    message = str(ended.value)
    assert [word for word in ["ERROR: ", *words] if word not in message] == []
    assert len(message.splitlines()) == 1
    assert (tmp_path / "log").read_text() == message + "\n"


def test_other_errors_are_not_taken_for_it():
    assert lacking(ValueError("no space in this name")) is None
    assert lacking(FileNotFoundError(errno.ENOENT, "No such file or directory", "a")) is None


def test_a_log_without_room_ends_no_work(tmp_path):
    progress = Progress("job", "/dev/full")
    with progress.stage("autoencoder", 10) as stage:
        stage.advance(10)
    progress.close()
    with report_errors("/dev/full"):
        pass


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


FAULTS = {
    "kill": kill,
    "full disk": full_disk,
    "read-only results": read_only,
    "SIGTERM to a training": stop_training,
    "checkpoint": damaged_checkpoint,
    "model file": damaged("model_file"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_survives_a_fault_with_the_same_results(fault, work):
    if fault in ("full disk", "read-only results") and not may_mount(work):
        pytest.skip("only root can mount a disk of its own")
    place = Place(work, fault.replace(" ", "_"))
    found = FAULTS[fault](place, np.random.default_rng(len(fault)))
    assert found["results_equal"], found
    assert found["survived"], found
