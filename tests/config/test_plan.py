"""What Snakemake's main process leaves for its jobs: the same as they would find, and without torch."""

import copy
import subprocess
import sys

import pytest
from command_line import ENVIRONMENT, GENERATED, ROOT, snakemake
from schema import validate
from toy_run import toy_run, written

from hepad.config import code_digest, plain_yaml, plan, preflight
from hepad.config.subjects import Subject
from hepad.detectors import DETECTORS

# what Snakemake runs on a node for one job
JOB = """
import sys
from snakemake.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, "uproot" in sys.modules)
"""


@pytest.fixture(params=GENERATED, ids=lambda path: path.stem)
def planned(request, tmp_path, monkeypatch):
    """A shipped configuration as it is given, what a plan of it is for, and the plan."""
    monkeypatch.chdir(tmp_path)
    config = plain_yaml.load(request.param)
    given, about = copy.deepcopy(config), plan.of(config)
    validate(config)  # fills in defaults, in place
    return given, about, preflight.make(config, ROOT)


def test_jobs_read_what_the_main_process_found(planned):
    given, about, found = planned
    assert plan.read(about) is None, "nothing is written yet"
    plan.write(found, about)
    assert plan.read(plan.of(given)) == found


def test_a_plan_holds_for_one_configuration_and_one_state_of_the_package(planned):
    given, about, found = planned
    plan.write(found, about)
    other = copy.deepcopy(given)
    next(iter(other["tasks"].values()))["seeds"] = [7]
    assert plan.read(plan.of(other)) is None
    assert plan.read(about | {"package": "of other code"}) is None
    whole = plan.PATH.read_bytes()
    for damaged in (b"", b"{}", whole[: len(whole) // 2], whole[:-2]):
        plan.PATH.write_bytes(damaged)
        assert plan.read(about) is None


def test_a_plan_knows_what_the_classes_are(planned):
    for name, entry in planned[2]["config"]["detectors"].items():
        cls, found = DETECTORS[entry["type"]], planned[2]["detectors"][name]
        assert found["group"] == cls.group
        assert found["score_name"] == cls.score_axis(entry)
        inside = {entry.get("of", {}).get("type", entry["type"])}
        inside |= {planned[2]["config"]["detectors"][member]["type"] for member in entry.get("members", ())}
        files = {sys.modules[DETECTORS[kind].__module__].__file__ for kind in (entry["type"], *inside)}
        assert found["code"] == code_digest.digest(*files)


def test_a_combination_takes_the_members_of_its_seed_or_their_first():
    entries = {"a": {"seeds": [2, 3]}, "b": {}, "both": {}}
    config = {"tasks": {"jets": {"detectors": [*entries], "seeds": [1, 2]}}, "detectors": entries}
    found = {
        name: {"group": "detector", "trained": name != "both", "before": ["a", "b"] if name == "both" else []}
        for name in entries
    }
    of = {seed: {"task": "jets", "detector": "both", "seed": seed} for seed in ("1", "2")}
    subjects = {seed: Subject({"config": config, "detectors": found}, about) for seed, about in of.items()}
    assert subjects["1"].before == ["a/2", "b/1"]
    assert subjects["2"].before == ["a/2", "b/2"]
    trained = Subject({"config": config, "detectors": found}, {"task": "jets"}, "trained")
    assert trained.detectors == ["a", "b"]  # a combination has no steps to show
    former = {name: {"group": "detector", "members": of["before"]} for name, of in found.items()}
    assert Subject({"config": config, "detectors": former}, {"task": "jets"}, "trained").detectors == ["a", "b"]


@pytest.mark.slow
def test_a_job_begins_without_torch(make_events, tmp_path):
    config = written(toy_run(make_events, tmp_path, 10), tmp_path)
    directory, output = tmp_path / "run", "events/one/0.h5"
    assert snakemake(directory, config, f"results/{output}").returncode == 0
    (directory / "results" / output).unlink()
    command = ["--snakefile", ROOT / "Snakefile", "--directory", directory, "--configfile", config, "--cores", "1"]
    command += ["--mode", "remote", "--nolock", "--force", "--target-jobs", "read_events:chunk=0,sample=one"]
    job = subprocess.run(
        [sys.executable, "-c", JOB, *map(str, command)], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert job.returncode == 0, job.stderr
    assert (directory / "results" / output).is_file()
    assert job.stdout.splitlines()[-1] == "False False"
