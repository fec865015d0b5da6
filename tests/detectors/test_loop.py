"""The optimisation loop and its progress, on problems with known answers."""

import math
import re

import pytest
import torch
from torch import nn

from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import LAST, Criterion, Schedule
from hepad.errors import DivergenceError, InputError
from hepad.progress import Progress


class Point(nn.Module):
    def __init__(self, start=5.0):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start))


def fit(module, loss, schedule, records=25, **options):
    fitting = Fitting(torch.Generator().manual_seed(0), Progress("test"), records=records)
    return fitting.minimise(module, loss, torch.arange(100.0).view(100, 1), schedule, phase="test", **options)


def test_finds_the_minimum_and_decays_the_rate_as_a_half_cosine():
    module = Point()
    history, _ = fit(module, lambda batch, step: ((module.x - 2) ** 2, {}), Schedule(steps=500, learning_rate=0.1))
    assert module.x.item() == pytest.approx(2.0, abs=1e-3)
    middle = next(record for record in history if record["step"] == 260)
    assert middle["learning_rate"] == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 259 / 500)))


def test_every_event_is_seen_once_before_any_is_seen_twice():
    seen = []

    def loss(batch, step):
        seen.extend(batch[:, 0].tolist())
        return module.x**2, {}

    module = Point()
    fit(module, loss, Schedule(steps=8, batch=25))
    assert sorted(seen[:100]) == sorted(seen[100:]) == list(range(100))
    assert seen[:100] != seen[100:]


@pytest.mark.parametrize("average", [0.0, 0.5])
@pytest.mark.parametrize("criterion", [Criterion("distance"), Criterion("minus", largest=True)])
def test_ends_with_the_candidate_that_the_criterion_chooses(average, criterion):
    # the loss pulls x down for ever, the criterion likes x = 4 best; it sees the averaged weights where there are any
    module, seen = Point(5.0), []

    def measure():
        seen.append(module.x.item())
        return {"distance": abs(module.x.item() - 4.0), "minus": -abs(module.x.item() - 4.0)}

    schedule = Schedule(steps=100, learning_rate=0.05, ema_decay=average)
    history, candidates = fit(
        module, lambda batch, step: (module.x, {}), schedule, measure=measure, criterion=criterion
    )
    assert abs(module.x.item() - 4.0) == min(record["distance"] for record in history)
    assert history[-1]["distance"] > 0.5
    assert [candidates[record["step"]]["x"].item() for record in history] == seen


def test_without_a_criterion_the_last_candidate_stays():
    module = Point(5.0)
    history, candidates = fit(
        module, lambda batch, step: (module.x, {}), Schedule(steps=10), measure=lambda: {"m": 1.0}
    )
    assert module.x.item() == candidates[10]["x"].item() == min(state["x"].item() for state in candidates.values())
    assert all(record["m"] == 1.0 for record in history)


def test_ends_with_the_running_average():
    # a constant gradient makes Adam step by exactly the rate, so that the whole path and its average are known
    module = Point(0.0)
    fit(module, lambda batch, step: (module.x, {}), Schedule(steps=50, learning_rate=0.5, ema_decay=0.9))
    x = average = 0.0
    for k in range(1, 51):
        x -= 0.5 * 0.5 * (1 + math.cos(math.pi * (k - 1) / 50))
        average += (1 - min(0.9, k / (k + 10))) * (x - average)
    assert module.x.item() == pytest.approx(average, rel=1e-4)
    assert abs(average - x) > 0.05


def test_logged_values_are_means_since_the_last_record():
    module = Point()
    history, _ = fit(
        module, lambda batch, step: (module.x**2, {"step_value": float(step)}), Schedule(steps=10), records=3
    )
    assert [record["step"] for record in history] == [3, 6, 9, 10]
    assert [record["step_value"] for record in history] == [2.0, 5.0, 8.0, 10.0]


def test_a_loss_that_is_not_finite_stops_the_training():
    module = Point()

    def loss(batch, step):
        return module.x * (math.nan if step == 3 else 1), {}

    with pytest.raises(DivergenceError, match="test phase: the loss is nan at step 3"):
        fit(module, loss, Schedule(steps=10), records=2)
    history, candidates = fit(module, loss, Schedule(steps=10), records=10)
    assert "nan at step 3" in history[-1]["diverged"]
    assert list(candidates) == [1, 2]
    assert module.x.item() == candidates[2]["x"].item()


def test_a_divergence_while_measuring_goes_back_too_and_spoils_no_weights():
    module, calls = Point(), []

    def measure():
        calls.append(1)
        if len(calls) == 3:
            raise DivergenceError("the measuring chain is lost")
        return {"m": 1.0}

    schedule = Schedule(steps=10, ema_decay=0.5)
    history, candidates = fit(module, lambda batch, step: (module.x, {}), schedule, records=10, measure=measure)
    assert history[-1] == {"phase": "test", "step": 3, "diverged": "the measuring chain is lost"}
    assert list(candidates) == [1, 2]
    assert module.x.item() == candidates[2]["x"].item()


def test_a_criterion_looks_at_finite_values_of_candidates_alone():
    history = [{"step": 1, "m": math.nan}, {"step": 2, "m": 2.0}, {"step": 3, "m": 1.0}, {"step": 4}]
    history.append({"step": 5, "m": 0.0, "diverged": "why"})
    assert (Criterion("m").best(history), Criterion("m", largest=True).best(history), LAST.best(history)) == (3, 2, 4)
    with pytest.raises(DivergenceError, match="'other'"):
        Criterion("other").best(history)


@pytest.mark.parametrize("bad", [{"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"ema_decay": 1.0}])
def test_bad_schedules_are_refused(bad):
    with pytest.raises(InputError, match="schedule"):
        Schedule(**{"steps": 1, **bad})


def test_the_rate_of_a_training_that_goes_on_is_that_of_its_own_steps(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("hepad.progress.time.monotonic", lambda: clock[0])
    with Progress("job", tmp_path / "log").stage("energy", 1000) as stage:
        stage.go_on_from(900)
        clock[0] = 4.0
        stage.advance(20)
    assert "energy 920/1000  5.0 steps/s, 16 s left" in (tmp_path / "log").read_text()


def test_the_log_has_plain_lines_with_epoch_loss_rate_and_time_left(tmp_path):
    progress = Progress("qcd nae", tmp_path / "log", interval=0.0)
    with progress.stage("energy", 40) as stage:
        for _ in range(20):
            stage.advance(1, epoch=1.5, loss=0.25)
    progress.close()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert re.search(r"qcd nae: energy 20/40 epoch 1\.5, loss 0\.25 [\d.]+ steps/s, \d+ s left$", last)


def test_a_log_says_of_each_file_what_was_read_kept_and_refused(tmp_path):
    log = tmp_path / "read.log"
    progress = Progress("qcd", log)
    progress.count({"a.root": {"read": 3, "kept": 1, "refused: pt": 2, "repetition": 0}, "b.root": {"read": 0}})
    progress.close()
    lines = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert lines == ["qcd: a.root: read 3, kept 1, refused: pt 2", "qcd: b.root: no events"]
