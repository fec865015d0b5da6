"""The workflow through Snakemake's HTCondor plugin and a double of the scheduler. No HTCondor was asked.

Run with ``pytest -m htcondor -n0 tests/workflow/test_htcondor_double.py``, with the extra 'htcondor'.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT, snakemake
from safetensors.torch import load_file
from toy_run import toy_run, written

pytestmark = pytest.mark.htcondor
MODEL = "results/models/jets/ae/1.safetensors"
TARGETS = ("results/auc.csv", "results/figures/jets/auc.pdf")


@pytest.fixture(scope="module")
def config(make_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return written(toy_run(make_events, folder, steps=2000), folder)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """(folder of the run, what Snakemake said, submit descriptions in their order)"""
    pytest.importorskip("htcondor2", reason="the extra 'htcondor' is not installed")
    folder = tmp_path_factory.mktemp("double")
    command = [sys.executable, "-W", "ignore", ROOT / "tests" / "htcondor_double.py", folder]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder / "run", "--configfile", config]
    command += ["--workflow-profile", ROOT / "profiles" / "htcondor", "--seconds-between-status-checks", "1"]
    result = subprocess.run(
        [*map(str, command), *TARGETS],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, cwd=folder, timeout=1200,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    paths = sorted(folder.glob("*.json"), key=lambda path: int(path.stem))
    return folder / "run", result.stdout, [json.loads(path.read_text()) for path in paths]


def of_rule(run, name):
    return [job for job in run[2] if job["batch_name"].startswith(name)]


def test_results_are_those_of_a_local_run(run, config, tmp_path):
    result = snakemake(tmp_path / "run", config, *TARGETS)
    assert result.returncode == 0, result.stdout
    first, second = (load_file(folder / MODEL) for folder in (run[0], tmp_path / "run"))
    assert first.keys() == second.keys()
    assert all(first[key].equal(second[key]) for key in first)
    assert (run[0] / TARGETS[0]).read_text() == (tmp_path / "run" / TARGETS[0]).read_text()


def test_a_training_asks_for_a_gpu_memory_and_a_day(run):
    jobs = of_rule(run, "train_detector")
    wanted = {"request_gpus": "1", "request_memory": "4000MB", "request_cpus": "1", "MY.JobFlavour": '"tomorrow"'}
    assert all({key: job[key] for key in wanted} == wanted for job in jobs)


def test_other_jobs_ask_for_the_default_and_no_gpu(run):
    others = [job for job in run[2] if job not in of_rule(run, "train_detector")]
    assert others
    wanted = {"request_memory": "2000MB", "request_disk": "2048000", "request_cpus": "1", "MY.JobFlavour": '"workday"'}
    assert all({key: job[key] for key in wanted} == wanted for job in others)
    assert not [job for job in others if "request_gpus" in job]


def test_a_removed_training_is_submitted_again(run):
    assert len(of_rule(run, "train_detector")) == 2
    assert "was removed/aborted" in run[1]


def test_small_jobs_are_one_job_in_one_slot(run):
    assert len(of_rule(run, "reading")) == 1, "two samples"
    steps = len(list((run[0] / "results/benchmarks").rglob("*.tsv")))
    assert len(run[2]) - 1 < steps / 1.5


def test_logs_of_htcondor_lie_in_one_folder(run):
    assert {job["log"] for job in run[2]} == {".snakemake/htcondor/snakemake-rules.log"}
    assert all(Path(job["output"]).parts[:2] == (".snakemake", "htcondor") for job in run[2])
