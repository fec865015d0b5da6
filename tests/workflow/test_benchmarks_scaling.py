"""What a large run costs: the fit of known costs, the prediction, and the script with stages of known cost."""

import csv
import math
import sys
from pathlib import Path

import pytest

from hepad.storage.files import read_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import scaling  # noqa: E402
import scaling_document as costs  # noqa: E402
import slurm_overhead  # noqa: E402
from cores import NAMES  # noqa: E402
from cores import main as time_cores  # noqa: E402

START, SLOPE = 1.5, 2e-4


def row(stage, events, jobs, start=START, slope=SLOPE):
    seconds = start * jobs + slope * events
    return {"stage": stage, "events": events, "jobs": jobs, "seconds": seconds, "peak_mb": 9, "bytes_out": 8 * events}


def test_the_fit_finds_known_costs_and_leaves_out_what_is_too_small():
    rows = [row("read", n, jobs) for n, jobs in ((10**4, 1), (10**5, 1), (10**6, 10))]
    rows += [row("index", n, 1, slope=0) for n in (10**4, 10**6)]
    rows += [row("generate", 10**4, 3, start=-1e-3)]
    fit = costs.fitted(rows)
    assert (fit["read"]["start"], fit["read"]["slope"]) == pytest.approx((START, SLOPE))
    assert (fit["index"]["start"], fit["index"]["slope"]) == pytest.approx((START, 0), abs=1e-12)
    assert (fit["read"]["bytes"], fit["read"]["peak_mb"]) == (8, 9)
    assert min(fit["generate"]["start"], fit["generate"]["slope"]) >= 0


def test_a_scattered_stage_takes_turns_and_another_one_core():
    fit = {name: {"start": 3600.0, "slope": 0.0} for name in ("read", "gather events", "generate")}
    # the laptop scale: 10^5 entries a job of reading, 4000 jets a job of generation but at most 1000 jobs
    for cores, hours in ((1, (100, 1, 1000)), (30, (4, 1, math.ceil(1000 / 30))), (1000, (1, 1, 1))):
        found = costs.predicted(fit, 10**7, cores, lambda name, events: scaling.jobs_of(name, events, "laptop"))
        assert tuple(found.values()) == pytest.approx(hours)


def test_runs_resume_and_end_in_the_table_and_the_document(tmp_path, monkeypatch, capsys):
    made = []

    def measure(name, folder, events, chunk):
        made.append(name)
        jobs = math.ceil(events / chunk)
        return {key: value for key, value in row(name, events, jobs).items() if key not in ("stage", "events")}

    monkeypatch.setattr(scaling, "measure", measure)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- tables of benchmarks/scaling.py -->\nold\n<!-- end of the tables -->\nafter\n")
    command = ["--scale", "smoke", "--files", tmp_path, "--runs", tmp_path, "--document", page, "--only"]
    scaling.main([*map(str, command), "stage=read,stage=score,stage=evaluate"])
    assert made == ["toys", "read", "toys", "read", "train", "score", "train", "score", "evaluate", "evaluate"]
    with open(tmp_path / "scaling.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert tuple(first) == scaling.COLUMNS
    assert (first["stage"], first["events"], float(first["seconds"])) == ("read", "200", pytest.approx(1.54))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| 1 core | 10 cores |" in text
    assert text.count("\n| evaluate | ") == 1
    assert read_json(tmp_path / "scaling-smoke" / "stage_read-events_200.json")["settings"] == {"chunk": 200}
    scaling.main([*map(str, command), "stage=read"])
    assert len(made) == 10


def test_a_job_says_what_it_took_itself(tmp_path, capfd):
    """Not what the process that started it had in its memory."""
    ballast = b"x" * 600_000_000
    found = scaling.measure("toys", tmp_path, 50, 100)
    assert found["jobs"] == 1
    assert len(ballast) / 1e6 > found["peak_mb"] > 50


def test_the_document_is_that_of_the_table():
    with open(ROOT / "benchmarks" / "tables" / "scaling.csv", newline="") as file:
        rows = [{key: x if key == "stage" else float(x) for key, x in line.items()} for line in csv.DictReader(file)]
    for line in rows:
        line["peak_mb"] = round(line["peak_mb"])
    text = costs.document(rows, lambda name, events: scaling.jobs_of(name, events, "laptop"))
    assert text in (ROOT / "docs" / "scaling.md").read_text()


@pytest.mark.slow
def test_the_scattered_part_is_timed_on_one_core_and_on_two(tmp_path):
    time_cores(["--rounds", "1", "--jets", "200", "--files", str(tmp_path), "--tables", str(tmp_path)])
    with open(tmp_path / "cores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["part"], row["round"]) for row in rows] == [(p, r) for r in ("1", "median") for p in NAMES]
    for row in rows:
        one, two = float(row["one_core_s"]), float(row["cores_s"])
        assert float(row["ratio"]) == pytest.approx(one / two, rel=0.05)
    assert list(tmp_path.iterdir()) == [tmp_path / "cores.csv"]


def test_the_overhead_of_slurm_is_what_its_jobs_hold_beyond_their_work(tmp_path):
    work = {"read/one/0": 4.5, "read/one/1": 3.5, "score/jets/one/0": 10.0, "gather/events/one": 1.0}
    for name, seconds in work.items():
        path = tmp_path / f"results/benchmarks/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    # two jobs read, in a group; the last job belongs to another run
    jobs = (("reading_read_events", 10, tmp_path), ("rule_score_wildcards_one", 11, tmp_path))
    jobs += (("rule_evaluation_gather_scores", 3, tmp_path), ("rule_score_wildcards_one", 50, tmp_path.parent))
    known = "\n\n".join(
        f"JobId={number} JobName=a\n   Comment={comment} WorkDir={folder}\n"
        f"   StartTime=2026-01-01T00:59:58 EndTime=2026-01-01T01:00:{seconds - 2:02}"
        for number, (comment, seconds, folder) in enumerate(jobs)
    )
    found = slurm_overhead.rows(tmp_path, slurm_overhead.held(known, tmp_path))
    rows = {row["stage"]: (row["jobs"], row["slurm_jobs"], row["overhead"]) for row in found}
    assert rows == {"read": (2, 1, 0.25), "score": (1, 1, 0.1), "gather": (1, 1, 2.0), "all": (4, 3, 0.263)}
    with pytest.raises(RuntimeError, match="of no stage"):
        slurm_overhead.rows(tmp_path, [("rule_unknown", 1.0)])
