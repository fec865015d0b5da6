"""The workflow through a real Slurm of one node with a fake GPU, and the profiles of batch systems.

Run with ``pytest -m slurm -n0 tests/workflow/test_slurm.py`` as root on Debian or Ubuntu, with the extra 'slurm'.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from command_line import COMMAND, ENVIRONMENT, ROOT, snakemake
from safetensors.torch import load_file
from toy_run import toy_run, written

from hepad.figures import KINDS

NODE = ROOT / "tests" / "one_node_slurm.sh"
PROFILES = sorted((ROOT / "profiles").glob("*/config.yaml"))
MODEL = "results/models/jets/{}/1.safetensors"
TARGETS = ("results/auc.csv", "results/efficiency.csv", "results/rejection.csv", "results/figures/jets/auc.pdf")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_profiles_name_rules_and_groups_that_exist(path):
    profile = yaml.safe_load(path.read_text())
    files = (ROOT / "workflow" / "rules").glob("*.smk")
    named = re.compile(r"^(?:rule|use rule \w+ as) (\w+)(?: with)?:", re.MULTILINE)
    rules = {name for file in files for name in named.findall(file.read_text())} | {f"plot_{kind}" for kind in KINDS}
    assert set(profile.get("groups", {})) | set(profile.get("set-resources", {})) <= rules
    assert set(profile.get("group-components", {})) == set(profile.get("groups", {}).values())
    snakefile = (ROOT / "workflow/Snakefile").read_text()
    local = re.search(r"^localrules:\n((?:    \w+,\n)+)", snakefile, re.MULTILINE)[1].split(",")
    assert {name.strip() for name in local} - {""} <= rules - set(profile.get("groups", {}))


def test_profiles_of_batch_systems_repeat_the_default_one_and_group_alike():
    default, *others = (
        yaml.safe_load((ROOT / f"profiles/{n}/config.yaml").read_text()) for n in ("default", "slurm", "htcondor")
    )
    for profile in others:
        kept = {key: value for key, value in default.items() if key not in ("resources", "cores")}
        assert kept.items() <= profile.items()
        assert [profile[key] for key in ("groups", "group-components")] == [
            others[0][key] for key in ("groups", "group-components")
        ]


def call(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def node():
    """A running Slurm."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra 'slurm' is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root can start a Slurm")
    if not shutil.which("slurmctld") and not shutil.which("apt-get"):
        pytest.skip("there is no Slurm and no apt-get to install it")
    if Path("/etc/slurm/slurm.conf").exists():
        pytest.skip("this machine has a Slurm of its own")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munge's socket has to be open to all
    started = subprocess.run([NODE, folder], capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr
        yield folder
    finally:
        subprocess.run([NODE, folder, "stop"], check=False)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def config(make_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    content = toy_run(make_events, folder, steps=6000)
    content["detectors"]["mass"] = {"type": "Variable", "representation": "vector", "variable": "mass"}
    content["detectors"]["ae"]["seeds"] = [1, 2]
    content["tasks"]["jets"]["detectors"].append("mass")
    return written(content, folder)


@pytest.fixture(scope="module")
def local(config, tmp_path_factory):
    """The folder of a run without a batch system."""
    directory = tmp_path_factory.mktemp("local") / "run"
    result = snakemake(directory, config, *TARGETS)
    assert result.returncode == 0, result.stdout
    return directory


class Run:
    """Snakemake on the Slurm profile, with shorter waits, in the background."""

    def __init__(self, directory, config, *arguments):
        command = [*COMMAND, "--directory", directory, "--configfile", config]
        command += ["--workflow-profile", ROOT / "profiles" / "slurm"]
        command += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10", *arguments]
        directory.parent.mkdir(exist_ok=True)
        self.log = directory.parent / "snakemake.log"
        self.begun = directory / "results/logs/train/jets/ae/1.log"
        self.begun.unlink(missing_ok=True)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*map(str, command)], stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd=directory.parent
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def end(self):
        return self.process.wait(timeout=1800)

    def training(self):
        """The Slurm job that trains 'ae', once the training itself has begun."""
        comment = "rule_train_detector_wildcards_jets_ae_1"
        deadline = time.monotonic() + 1800
        while not self.begun.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "no training began"
            time.sleep(0.2)
        (running,) = (job for job in jobs() if (job["Comment"], job["JobState"]) == (comment, "RUNNING"))
        return running


def jobs():
    """What Slurm knows of its jobs, ended ones included."""
    found = []
    for block in call("scontrol", "show", "jobs", "--details").split("\n\n"):
        fields = dict(re.findall(r"(\S+?)=(\S*)", block))
        if "JobId" in fields:
            found.append(fields)
    return found


def tables(directory):
    return {path.name: path.read_text() for path in sorted((directory / "results").glob("*.csv"))}


def assert_same_results(one, other):
    assert tables(one) == tables(other)
    assert set(tables(one)) >= {"auc.csv", "efficiency.csv", "rejection.csv"}
    for detector in ("ae", "mass"):
        first, second = (load_file(run / MODEL.format(detector)) for run in (one, other))
        assert first.keys() == second.keys()
        assert all(first[key].equal(second[key]) for key in first)


@pytest.fixture(scope="module")
def cancelled(node, config, tmp_path_factory):
    """(folder, log, jobs of Slurm) of a finished run, a training of which was cancelled while it ran."""
    directory = tmp_path_factory.mktemp("batch") / "run"
    with Run(directory, config, *TARGETS) as run:
        call("scancel", run.training()["JobId"])
        assert run.end() == 0, run.log.read_text()
    return directory, run.log.read_text(), jobs()


@pytest.mark.slurm
def test_a_cancelled_training_is_repeated_and_the_results_are_those_of_a_local_run(cancelled, local):
    directory, log, known = cancelled
    states = [job["JobState"] for job in known if job["Comment"] == "rule_train_detector_wildcards_jets_ae_1"]
    assert states == ["CANCELLED", "COMPLETED"] or states == ["FAILED", "COMPLETED"], states
    assert "Trying to restart job" in log
    assert_same_results(directory, local)


@pytest.mark.slurm
def test_trainings_request_a_gpu_and_are_queued_at_once(cancelled):
    trainings = [job for job in cancelled[2] if "train_detector" in job["Comment"]]
    assert {job.get("TresPerJob") for job in trainings} == {"gres:gpu:1"}
    assert {job["Comment"] for job in trainings} == {f"rule_train_detector_wildcards_jets_ae_{n}" for n in (1, 2)}
    assert not [job for job in cancelled[2] if job not in trainings and "TresPerJob" in job]
    first, second = sorted(trainings, key=lambda job: int(job["JobId"]))[:2]
    assert second["SubmitTime"] < first["EndTime"], "gpu=1 is a limit of a machine, not of the cluster"
    assert all(job["NumCPUs"] == "1" and job["TimeLimit"] == "04:00:00" for job in trainings)


@pytest.mark.slurm
def test_small_jobs_are_one_slurm_job_in_one_slot(cancelled):
    directory, _, known = cancelled
    steps = len(list((directory / "results/benchmarks").rglob("*.tsv")))
    reading = [job for job in known if "read_events" in job["Comment"]]
    assert [(job["NumCPUs"], job["TimeLimit"]) for job in reading] == [("1", "00:40:00")], "two samples, one slot"
    assert [job for job in known if "train_baseline" in job["Comment"]], "not among the trainings"
    assert len(known) - 1 < steps / 1.5


@pytest.mark.slurm
def test_the_next_run_goes_on_after_snakemake_was_killed(node, config, local, tmp_path):
    directory, model = tmp_path / "run", MODEL.format("ae")
    shutil.copytree(local, directory)
    shutil.rmtree((directory / model).parent)
    with Run(directory, config, model) as run:
        training = run.training()
        run.process.send_signal(signal.SIGKILL)
    with Run(directory, config, model) as locked:
        assert locked.end() != 0
        assert "--unlock" in locked.log.read_text()
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and call("squeue", "--noheader", "--jobs", training["JobId"]).strip():
        time.sleep(0.5)
    assert (directory / model).is_file(), "Slurm ends the training without Snakemake"
    assert snakemake(directory, config, "--unlock").returncode == 0
    with Run(directory, config, model) as again:
        assert again.end() == 0, again.log.read_text()
    assert_same_results(directory, local)
