"""A training that is stopped, killed or cut off ends as an undisturbed one, bit for bit, for every detector."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import hepad.detectors.training.checkpoint
from hepad import detectors
from hepad.detectors import DETECTORS
from hepad.detectors.energy_based.langevin import ReplayBuffer
from hepad.detectors.training.checkpoint import Checkpoint, Stopped
from hepad.progress import Progress
from hepad.representations import Space

VECTOR = Space((6,), ("a", "b", "c", "d", "e", "f"), 0)
IMAGE = Space((1, 8, 8), (), 64)
SPACES = {"vector": VECTOR, "image": IMAGE}
SHORT = {"steps": 30, "batch": 32, "learning_rate": 1e-2}
NETWORK = {"hidden_dims": [32], "latent_dim": 4}
FLAT = NETWORK | {"sphere": False}
CHAIN = {"n_steps": 3, "step_size": 0.1, "noise_std": 0.05}
LATENT = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.03, "unit": True}
TRAINING = {"steps": 26, "batch": 32, "learning_rate": 1e-3}
NAE = {"autoencoder": NETWORK, "pretraining": SHORT, "training": TRAINING, "visible_chain": CHAIN}
OMI = NAE | {"latent_chain": LATENT}
KEPT = {"buffer": 100}  # fewer than are drawn: it turns over
SCALAR = {"hidden_dims": [16], "training": TRAINING, "visible_chain": CHAIN, "objective": {"gamma": 0.1}}
FLOW = {"hidden_dims": [16], "training": SHORT}
MEMBERS = [
    {"name": name, "type": "AE", "arguments": {"autoencoder": NETWORK, "training": SHORT}} for name in ("one", "two")
]
CASES = {
    "ae": ("AE", "vector", {"autoencoder": NETWORK, "training": SHORT | {"ema_decay": 0.9, "grad_clip": 1.0},
                            "noise": 0.1}),
    "ae_compressed": ("AE", "image", {"autoencoder": NETWORK, "training": SHORT | {"cosine_decay": False},
                                      "n_components": 5}),
    "wae": ("AE", "vector", {"autoencoder": FLAT, "training": SHORT, "mmd": 0.1}),
    "vae": ("ConvVAE", "vector", {"network": "dense", "latent_dim": 2, "training": SHORT}),
    "vae_flow": ("ConvVAE", "vector", {"network": "dense", "latent_dim": 3, "training": SHORT,
                                         "flow": {"type": "Planar"}}),
    "flow": ("FlowDensity", "vector", FLOW | {"transforms": 2}),
    "latent_mixture": ("LatentMixture", "vector", {"of": {"type": "AE", "autoencoder": FLAT}, "training": SHORT,
                                                   "n_gaussians": [1, 2]}),
    "contrastive": ("Contrastive", "vector", {"hidden_dims": [16], "embedding": 4, "training": SHORT | {"steps": 60}}),
    "gan": ("WGAN", "vector", {"autoencoder": FLAT, "training": SHORT | {"ema_decay": 0.9}, "encoding": SHORT}),
    "dagmm": ("DAGMM", "vector", {"hidden_dims": [16], "training": SHORT}),
    "deep_svdds": ("DeepSVDD", "vector", {"centers": [1, 2], "training": SHORT}),
    "deep_svdd": ("DeepSVDD", "vector", {"training": SHORT | {"ema_decay": 0.9}}),
    "masked": ("MaskedPrediction", "image", {"hidden_dims": [16], "share": 0.5, "masks": 2, "training": SHORT}),
    "flow_matching": ("FlowMatching", "vector", {"hidden_dims": [16], "training": SHORT | {"steps": 60}}),
    "glow": ("Glow", "image", {"depth": 2, "width": 8, "training": SHORT | {"ema_decay": 0.9}}),
    "pixelcnn": ("PixelCNN", "image", {"width": 4, "mixture": 2, "training": SHORT}),
    "nae": ("NAE", "vector", OMI | KEPT | {"objective": {"criterion": "manifold_auc", "events": 50}}),
    "nae_image": ("NAE", "image", OMI | {"training": TRAINING | {"ema_decay": 0.9}, "n_components": 5}),
    "nae_bfloat16": ("NAE", "vector", OMI | {"visible_chain": CHAIN | {"bfloat16": True}}),
    "nae_components": ("NAE", "image", OMI | {"visible_chain": CHAIN | {"components": 7}}),
    "nae_persistent": ("NAE", "vector", NAE | {"start": "persistent", "visible_chain": CHAIN | {"metropolis": True}}),
    "nae_data": ("NAE", "vector", NAE | {"start": "data", "objective": {"criterion": "wasserstein", "events": 40}}),
    "wnae": ("WNAE", "vector", NAE | {"training": {"steps": 10, "batch": 32}, "visible_chain": CHAIN}),
    "mpdr": ("MPDR", "vector", OMI | {"manifolds": [3, 4], "training": TRAINING | {"ema_decay": 0.9}}),
    "mpdr_own": ("MPDR", "vector", OMI | {"manifolds": [3]}),
    "mpdr_masked": ("MPDR", "vector", OMI | {"kind": "masked"}),
    "mpdr_scalar": ("MPDR", "vector", OMI | {"kind": "scalar", "objective": {"criterion": "manifold_auc"}}),
    "igebm": ("IGEBM", "vector", SCALAR | KEPT),
    "drl": ("DRL", "vector", SCALAR | {"sigma": [0.3, 2.0]}),
    "combination": ("Combination", "vector", {"members": MEMBERS}),
    "conditional": ("Combination", "vector", {"members": MEMBERS, "given": ["b"]}),
}  # fmt: skip
HOW = ("signal", "exception")
# the others are slow in sum
OFTEN = dict.fromkeys(("ae_compressed", "flow", "gan", "nae", "nae_bfloat16", "mpdr_scalar", "conditional"), "signal")
OFTEN |= dict.fromkeys(
    ("ae", "vae_flow", "latent_mixture", "contrastive", "nae_persistent", "wnae", "combination"), "exception"
)


def events(space, seed, count=300):
    """A blob that moves about, or six numbers near a plane."""
    rng = np.random.default_rng(seed)
    if space.pixels:
        y, x = np.mgrid[-1:1:8j, -1:1:8j]
        center = rng.normal(0, 0.3, (count, 2, 1, 1))
        image = np.exp(-((x - center[:, 0]) ** 2 + (y - center[:, 1]) ** 2) / 0.1)
        found = image / image.sum((1, 2), keepdims=True)
    else:
        plane = np.random.default_rng(0).normal(size=(2, 6))
        found = rng.normal(size=(count, 2)) @ plane + 0.1 * rng.normal(size=(count, 6))
    return torch.tensor(found, dtype=torch.float32).view(count, *space.shape)


def fit(case, checkpoint=None, seed=3, progress=None):
    name, space, arguments = CASES[case] if isinstance(case, str) else case
    space = SPACES[space]
    detector = detectors.build({"type": name, "arguments": arguments}, space, seed)
    generator = torch.Generator().manual_seed(seed)
    train, valid = events(space, 1), events(space, 2, 100)
    found = detector.fit(train, valid, generator=generator, progress=progress, checkpoint=checkpoint)
    return detector.state_dict(), found, generator.get_state()


@pytest.fixture(autouse=True)
def same_code(monkeypatch):
    """Somebody may work on the source while this runs."""
    monkeypatch.setattr(hepad.detectors.training.checkpoint, "_code", lambda: {"versions": {}, "source": ""})


@functools.cache
def undisturbed(case):
    before = torch.get_rng_state()
    found = fit(case)
    # what is drawn from torch's own generator would not be in a checkpoint
    assert torch.equal(torch.get_rng_state(), before)
    return found


def checkpoint_of(case, path, **options):
    name, space, arguments = CASES[case] if isinstance(case, str) else case
    return Checkpoint(path, {"spec": {"type": name, "arguments": arguments}, "space": space, "seed": 3}, **options)


class PowerCut(Exception):
    pass


class Disturbed(Checkpoint):
    """Goes out in phase ``phase`` after update ``last``: by a signal or, if there is a ``kept``, by an exception."""

    def disturb(self, phase, last, kept=None):
        self.phase, self.last, self.kept, self.steps = phase, last, kept, []
        return self

    def reach(self, loop):
        self.steps.append(loop.step)
        here = len(self.finished) == self.phase
        if here and loop.step == self.last and self.kept is None:
            os.kill(os.getpid(), signal.SIGTERM)
        if here and loop.step == self.kept:
            self.due = 0.0
        super().reach(loop)
        if here and loop.step == self.last:
            raise PowerCut


def steps_of_phases(found):
    """The last step of each phase of a fit."""
    last = {}
    for record in found.history:
        last[record["phase"]] = record["step"]
    return list(last.values())


def equal(a, b):
    """Whether two nests of dicts, lists, numbers and tensors are the same, bit for bit; NaN is itself."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def assert_same(found, expected):
    for name, (a, b) in {"model": (found[0], expected[0]), "random state": (found[2], expected[2])}.items():
        assert equal(dict(a) if isinstance(a, dict) else a, dict(b) if isinstance(b, dict) else b), name
    assert equal(found[1].history, expected[1].history)
    assert equal(found[1].candidates, expected[1].candidates)
    facts = [{key: value for key, value in f.facts.items() if key != "seconds"} for f in (found[1], expected[1])]
    assert equal(*facts)


def test_every_detector_that_is_trained_step_by_step_is_here():
    assert {name for name, *_ in CASES.values()} == {name for name, cls in DETECTORS.items() if cls.group == "detector"}


@pytest.mark.parametrize(
    ("case", "how"),
    [pytest.param(case, how, marks=[pytest.mark.slow] * (OFTEN.get(case) != how)) for case in CASES for how in HOW],
)
def test_stopped_in_every_phase_it_ends_as_if_it_had_not_been(case, how, tmp_path):
    expected = undisturbed(case)
    rng = np.random.default_rng([len(case), how == "signal"])
    path = tmp_path / "checkpoint.safetensors"
    for phase, steps in enumerate(steps_of_phases(expected[1])):
        last = int(rng.integers(2, steps + 1))
        kept = None if how == "signal" else int(rng.integers(1, last))
        checkpoint = Disturbed(path, checkpoint_of(case, path).belongs_to).disturb(phase, last, kept)
        with pytest.raises(Stopped if how == "signal" else PowerCut):
            fit(case, checkpoint)
        # nothing of what was kept was computed twice
        assert checkpoint.steps[-1] == last
        assert len(checkpoint.steps) <= sum(steps_of_phases(expected[1])[: phase + 1])
    checkpoint = Disturbed(path, checkpoint_of(case, path).belongs_to).disturb(-1, 0)
    torch.manual_seed(last)
    assert_same(fit(case, checkpoint), expected)
    assert checkpoint.steps[:1] == ([last + 1] if how == "signal" else [kept + 1])[: steps > (kept or last)]


def test_a_buffer_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(0)
    buffers = [ReplayBuffer(10, 0.9, lambda n: torch.zeros(n, 2)) for _ in range(2)]
    for count in (3, 3, 3, 3, 3):
        buffers[0].store(torch.randn(count, 2, generator=generator))
        buffers[1].load_state_dict(buffers[0].state_dict())
        assert buffers[1].filled == buffers[0].filled
        draws = [buffer.start(20, torch.Generator().manual_seed(1)) for buffer in buffers]
        assert torch.equal(*draws)
        more = torch.randn(4, 2, generator=generator)
        for buffer in buffers:
            buffer.store(more)
        assert torch.equal(buffers[0].points[: buffers[0].filled], buffers[1].points[: buffers[1].filled])


SCRIPT = """
import json, signal, sys, time
import test_checkpoint as t
t.hepad.detectors.training.checkpoint._code = lambda: {"versions": {}, "source": ""}
from hepad.errors import report_errors
from hepad.storage.files import write_json
from hepad.progress import Progress

case, path, log, out, every = sys.argv[1:]
with report_errors(log):
    progress = Progress("job", log)
    checkpoint = t.checkpoint_of(case, path, every=float(every))
    update = t.Checkpoint.reach
    def slowly(self, loop):
        print("step", len(self.finished), loop.step, flush=True)
        time.sleep(0.01)
        update(self, loop)
    t.Checkpoint.reach = slowly
    model, fit, _ = t.fit(case, checkpoint, progress=progress)
    write_json(out, {"history": fit.history, "digest": t.digest(model, fit)})
    checkpoint.delete()
"""


def digest(model, fit):
    candidates = {f"{step} {name}": tensor for step, state in fit.candidates.items() for name, tensor in state.items()}
    found = hashlib.sha256()
    for name, tensor in sorted((dict(model) | candidates).items()):
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


def job(case, folder, every="3600"):
    """A training in a process of its own, whose standard output is a line for each update."""
    paths = [str(folder / name) for name in ("checkpoint.safetensors", "log", "out.json")]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, case, *paths, every]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def lines_until(process, phase, step):
    for line in process.stdout:
        if line.split()[1:] == [str(phase), str(step)]:
            return
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
def test_signals_of_batch_systems_and_a_kill_cost_time_alone(tmp_path):
    _, found, _ = expected = undisturbed("nae")
    path, log, out = (tmp_path / name for name in ("checkpoint.safetensors", "log", "out.json"))
    for number, phase, step in ((signal.SIGTERM, 0, 11), (signal.SIGUSR1, 1, 7)):
        process = job("nae", tmp_path)
        lines_until(process, phase, step)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.splitlines()[-1].startswith(
            f"ERROR: stopped by {number.name}. Start it again: it goes on from {path}"
        )
        assert "Traceback" not in said
        assert path.is_file()
        assert not out.exists()
    process = job("nae", tmp_path, every="0.2")  # written every 0.2 s
    lines_until(process, 1, 20)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process = job("nae", tmp_path)
    first = process.stdout.readline().split()
    assert process.wait(timeout=60) == 0, process.stderr.read()
    assert first[1] == "1"
    assert int(first[2]) > 7
    written = json.loads(out.read_text())
    assert written == {"history": found.history, "digest": digest(expected[0], found)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "out.json"]
    assert log.read_text().count("goes on from step") == 1 + 2 + 2


def written(path, case="nae", phase=1, last=13):
    """A checkpoint of a training that was stopped."""
    with pytest.raises(Stopped):
        fit(case, Disturbed(path, checkpoint_of(case, path).belongs_to).disturb(phase, last))
    return path.read_bytes()


def said_of_a_fit(case, path, tmp_path, **other):
    """What the log says, and what the fit gave."""
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    progress = Progress("job", log)
    found = fit(case, checkpoint_of(case, path), progress=progress, **other)
    progress.close()
    return log.read_text(), found


def test_what_is_damaged_is_refused_and_costs_time_alone(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole = written(path)
    header = int.from_bytes(whole[:8], "little")
    damaged = {f"{size} bytes": whole[:size] for size in (0, 7, 100, header, len(whole) // 2, len(whole) - 1)}
    places = {0, 5, 7, 9, 60, header // 2, header, header + 8, (header + len(whole)) // 2, len(whole) - 1}
    for place in sorted(places):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 7
        damaged[f"bit of byte {place}"] = bytes(flipped)
    digest_at = whole.index(b'"digest":"') + 12
    damaged["digest"] = whole[:digest_at] + b"0000" + whole[digest_at + 4 :]
    damaged["foreign"] = b"\x80\x04 not a safetensors file"
    reader = Checkpoint(path, checkpoint_of("nae", path).belongs_to)
    for name, content in damaged.items():
        path.write_bytes(content)
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        with reader.of((events(VECTOR, 1), events(VECTOR, 2, 100)), Progress("job", log)):
            assert reader.saved == [], name
        assert f"starts afresh: {path} is not a whole checkpoint (" in log.read_text(), name
    path.write_bytes(damaged["bit of byte 60"])
    text, found = said_of_a_fit("nae", path, tmp_path)
    assert "starts afresh" in text
    assert "goes on" not in text
    assert_same(found, undisturbed("nae"))
    path.write_bytes(whole)
    assert "goes on from step 13" in said_of_a_fit("nae", path, tmp_path)[0]


def test_another_safetensors_file_is_refused(tmp_path):
    detectors.save(detectors.build({"type": "AE", "arguments": CASES["ae"][2]}, VECTOR, 0), tmp_path / "m", {})
    text, found = said_of_a_fit("ae", tmp_path / "m", tmp_path)
    assert "is not a whole checkpoint" in text
    assert_same(found, undisturbed("ae"))


@pytest.mark.parametrize("other", ["spec", "seed", "data", "device", "versions", "source"])
def test_a_checkpoint_of_another_training_is_refused(other, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    written(path, "ae", 0, 13)
    checkpoint = checkpoint_of("ae", path)
    data = [events(VECTOR, 1), events(VECTOR, 2, 100)]
    if other in ("spec", "seed"):
        checkpoint.belongs_to[other] = 4
    elif other == "data":
        data[1][-1, -1] += 1e-3
    else:
        about = {"versions": {}, "source": ""} | {other: "changed"}
        monkeypatch.setattr(hepad.detectors.training.checkpoint, "_code", lambda: about)
    log = tmp_path / "log"
    with checkpoint.of(data, Progress("job", log)):
        assert checkpoint.saved == []
    assert f"starts afresh: {path} belongs to another {other}" in log.read_text()
    assert path.is_file()


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hepad.detectors.training.checkpoint, "save_file", full)
    path = tmp_path / "checkpoint.safetensors"
    checkpoint = Disturbed(path, checkpoint_of("ae", path).belongs_to).disturb(0, 1000, kept=5)
    progress = Progress("job", tmp_path / "log")
    assert_same(fit("ae", checkpoint, progress=progress), undisturbed("ae"))
    assert "cannot be written ([Errno 28] No space left" in (tmp_path / "log").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["log"]


def test_a_signal_between_the_phases_loses_nothing_that_was_kept(tmp_path):
    # phase 1 was kept in the middle; the next start is stopped before it comes there
    path = tmp_path / "checkpoint.safetensors"
    whole = written(path)
    checkpoint = checkpoint_of("nae", path)
    data = (events(VECTOR, 1), events(VECTOR, 2, 100))
    with pytest.raises(Stopped, match="SIGUSR1"), checkpoint.of(data, Progress("job")):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert path.read_bytes() == whole
    assert "goes on from step 13" in said_of_a_fit("nae", path, tmp_path)[0]


def test_a_signal_after_a_phase_keeps_it(tmp_path):
    class Late(Checkpoint):
        def leave(self, outcome):
            super().leave(outcome)
            if len(self.finished) == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        fit("nae", Late(path, checkpoint_of("nae", path).belongs_to))
    text, found = said_of_a_fit("nae", path, tmp_path)
    assert "autoencoder: goes on from step 30" in text
    assert_same(found, undisturbed("nae"))


def test_the_handlers_of_others_come_back():
    before = [signal.getsignal(number) for number in hepad.detectors.training.checkpoint.SIGNALS]
    with Checkpoint("unused").of((torch.zeros(2), torch.zeros(2)), Progress("job")):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in hepad.detectors.training.checkpoint.SIGNALS] == before


def test_it_is_written_at_intervals_and_takes_at_most_a_hundredth_of_the_time(tmp_path, monkeypatch):
    # the clock gains 0.4 s with every look at it, and 5 s with every writing
    now, at = [0.0], []

    def clock():
        now[0] += 0.4
        return now[0]

    def save(_tensors, path, metadata):
        now[0] += 5
        path.write_bytes(b"")
        content = json.loads(metadata["checkpoint"])["content"]["items"]
        at.append(now[0])
        assert content

    monkeypatch.setattr(hepad.detectors.training.checkpoint.time, "monotonic", clock)
    monkeypatch.setattr(hepad.detectors.training.checkpoint, "save_file", save)
    checkpoint = checkpoint_of("ae", tmp_path / "c", every=2.0)
    checkpoint.due = 0.0

    class Loop:
        def state_dict(self):
            return {"step": 1}

    with checkpoint.of((torch.zeros(2),), Progress("job")):
        for _ in range(10_000):
            checkpoint.reach(Loop())
    gaps = np.diff(at)
    assert len(gaps) > 3
    assert gaps.min() > 500
    assert gaps.max() < 600
