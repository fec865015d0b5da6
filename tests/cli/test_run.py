"""``hepad run``: what it shows, what it says of failures and interrupts, and that an installed package can run."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from command_line import ENVIRONMENT, ROOT
from toy_run import toy_run, written

import hepad
from hepad.cli import shipped
from hepad.cli.main import main
from hepad.cli.titles import TITLES, title
from hepad.cli.watching import Watch
from hepad.config.plan import PATH
from hepad.errors import InputError
from hepad.storage.files import write_json

RUN = (sys.executable, "-m", "hepad.cli.main", "run", "--cores", "2", "--config", "config.yaml")
MODEL = "results/models/jets/ae/1.safetensors"
CONFIG = {
    "samples": {"qcd": {"label": "QCD"}, "top": {}},
    "detectors": {"nae_image": {"label": "NAE, images"}},
    "tasks": {"boosted": {"background": "qcd", "signals": ["top"], "detectors": ["nae_image"]}},
}


def rules():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    return re.findall(r"^(?:rule|use rule \w+ as) (\w+)", text, re.MULTILINE)


def test_every_rule_has_a_title():
    assert {rule for rule in rules() if not rule.startswith("tabulate")} | {"all"} == set(TITLES)


@pytest.mark.parametrize(
    ("rule", "wildcards", "words"),
    [
        ("train_detector", {"task": "boosted", "detector": "nae_image", "seed": "1"},
         "training NAE, images on QCD, seed 1"),
        ("evaluate", {"task": "boosted", "signal": "top"}, "evaluating top in QCD"),
        ("read_events", {"sample": "qcd", "chunk": "3"}, "reading QCD, part 3"),
        ("plot_model_samples", {"task": "boosted"}, "drawing model samples (QCD)"),
        ("train_baselines_jets", {}, "fitting the simple opponents of jets"),
        ("tabulate_rates", {}, "writing tables: rates"),
        ("some_new_rule", {"task": "boosted", "signal": "top"}, "some new rule (QCD, top)"),
    ],
)  # fmt: skip
def test_titles_have_the_labels_of_the_configuration(rule, wildcards, words):
    assert title(rule, wildcards, CONFIG) == words


def event(kind, **facts):
    return {"event": kind, **facts}


def test_what_runs_and_how_far_it_is(tmp_path):
    write_json(tmp_path / PATH, {"of": {}, "plan": {"config": CONFIG}})
    watch = Watch(tmp_path / "results")
    assert watch.text() == "looking at the configuration and the files"
    watch.take(event("run_info", stats={"train_detector": 2, "evaluate": 1, "total": 3}))
    job = {"rule_name": "train_detector", "wildcards": {"task": "boosted", "detector": "nae_image", "seed": "1"}}
    watch.take(event("job_info", jobid=7, log=[], **job))
    assert watch.text() == "training NAE, images on QCD, seed 1 (1 of 3)"
    watch.take(event("job_info", jobid=8, log=[], rule_name="evaluate", wildcards={"task": "boosted", "signal": "top"}))
    assert watch.text() == "evaluating top in QCD and 1 more (1 of 3)"
    watch.take(event("job_finished", job_id=8))
    watch.take(event("progress", done=1, total=3))
    assert watch.text() == "training NAE, images on QCD, seed 1 (2 of 3)"
    for _ in range(2):
        watch.take(event("job_error", jobid=7, rule_name="train_detector", log=["results/logs/x.log"]))
    assert [(f.title, f.logs) for f in watch.failures] == [
        ("training NAE, images on QCD, seed 1", [tmp_path / "results/logs/x.log"])
    ]


def test_broken_yaml_is_said_with_its_line_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("samples:\n  qcd: {label: QCD\ntasks: {}\n")
    with pytest.raises(SystemExit, match=r"^ERROR: mine\.yaml: not valid YAML: [^$]*line 3"):
        main(["run", "--config", "mine.yaml"])
    assert not (tmp_path / "results").exists()


def test_a_folder_in_which_nothing_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^ERROR: file/results/logs: Not a directory\. Give another path"):
        main(["run", "--config", "test", "--directory", "file"])
    with pytest.raises(SystemExit, match=r"^ERROR: /proc/none: No such file or directory\. Give another path"):
        main(["run", "--config", "test", "--directory", "/proc/none"])


def test_configurations_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.configuration("test") == ROOT / "config/test.yaml"
    assert shipped.configuration(None) == ROOT / "config/config.yaml"
    with pytest.raises(InputError, match=r"--config tset: there is no such file.*dark_machines.*test"):
        shipped.configuration("tset")
    (tmp_path / "hepad.yaml").write_text("")
    (tmp_path / "test").write_text("")
    assert str(shipped.configuration(None)) == "hepad.yaml"
    assert str(shipped.configuration("test")) == "test"


@pytest.mark.parametrize(
    "command", ["run", "results", "figure", "score", "init", "report", "inspect", "export", "verify"]
)
def test_every_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"hepad {command}" in text.split("example", 1)[1]


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"hepad {hepad.__version__}\n"


def test_an_interrupt_is_one_line(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("hepad.cli.results.Results", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["results"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^ERROR: .*file"):
        main(["run", "--config", "test", "--directory", str(tmp_path / "file")])


@pytest.fixture(scope="module")
def toy(make_events, tmp_path_factory):
    """A folder with the files of two samples and the events of their background read."""
    folder = tmp_path_factory.mktemp("toy")
    config = toy_run(make_events, folder, steps=50)
    config["detectors"]["ae"]["label"] = "AE, numbers"
    written(config, folder)
    return folder, config


def run(folder, *arguments):
    done = subprocess.run([*RUN, "--", *arguments, MODEL], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_a_run_says_what_it_does_and_where_all_of_it_is(toy):
    """Options of Snakemake, here a target, stand after '--'."""
    folder, config = toy
    written(config, folder)
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert (folder / MODEL).is_file()
    assert re.search(r"^finished: 5 jobs in \d+\.\d minutes$", done.stdout, re.MULTILINE)
    assert "log: results/logs/run.log" in done.stdout
    assert "5 of 5 steps" in (folder / "results/logs/run.log").read_text()
    assert re.search(r"\(\d of 5\)", done.stderr)
    assert "steps" not in done.stdout + done.stderr
    assert "hepad score" in done.stdout
    planned = run(folder, "--dry-run")
    assert "nothing to be done" in planned.stdout


@pytest.mark.slow
def test_a_job_that_fails_is_told_with_its_own_log(toy):
    folder, config = toy
    schedule = {"steps": 50, "learning_rate": 1e30}
    written({**config, "detectors": {"ae": {**config["detectors"]["ae"], "training": schedule}}}, folder)
    done = run(folder)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith("FAILED: "))
    log = "results/logs/train/jets/ae/1.log"
    assert lines[at] == f"FAILED: training AE, numbers on one, seed 1. The end of its log, {log}:"
    assert lines[at + 1] == f"  {(folder / log).read_text().splitlines()[-1]}"
    assert lines[at + 1].startswith("  ERROR: ")
    assert "the same command again" in lines[at + 2]
    assert len(lines) - at == 3


@pytest.mark.slow
def test_a_bad_configuration_is_one_message(toy):
    folder, config = toy
    written({**config, "detectors": {"ae": {**config["detectors"]["ae"], "trainin": {}}}}, folder)
    done = run(folder)
    assert done.returncode == 1
    assert "Did you mean 'training'" in done.stderr
    assert done.stderr.count("ERROR: ") == 1
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [(), (signal.SIGINT, signal.SIGHUP)], ids=["terminal", "background"])
def test_an_interrupt_ends_all_jobs_and_says_what_to_do(ignored, toy):
    """In the background of a script the process ignores Ctrl-C, and under nohup the end of the terminal; whoever runs
    the tests may be there, too."""
    folder, config = toy
    written({**config, "detectors": {"ae": {**config["detectors"]["ae"], "training": {"steps": 200_000}}}}, folder)
    log = folder / "results/logs/train/jets/ae/1.log"
    log.unlink(missing_ok=True)
    inherited = {signal.SIGINT: signal.SIG_DFL} | dict.fromkeys(ignored, signal.SIG_IGN)
    old = {number: signal.signal(number, how) for number, how in inherited.items()}
    with subprocess.Popen(
        [*RUN, "--", MODEL], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        for number, handler in old.items():
            signal.signal(number, handler)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not (log.is_file() and "steps/s" in log.read_text()):
            time.sleep(0.2)  # until the training has begun
        for number in ignored:
            process.send_signal(number)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert re.search(r"^Stopped after \d of \d jobs; what is finished is kept: the same command", errors, re.MULTILINE)
    assert log.read_text().splitlines()[-1] == "interrupted"
    before = log.stat().st_size
    time.sleep(1)
    assert log.stat().st_size == before  # nobody trains on
    assert not list((folder / ".snakemake/locks").glob("*"))


@pytest.mark.slow
def test_an_installed_package_carries_the_workflow(tmp_path):
    """From a wheel, in an empty folder, outside of the clone; only the dependencies are those of this environment."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = ["wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheel")]
    subprocess.run([*pip, *built], check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheel").glob("hepad-*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [str(site / "bin/hepad"), "run", "--config", "test", "--dry-run"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"configuration: {site / 'hepad/shipped/config/test.yaml'}" in done.stdout
    assert re.search(r"^  train_detector +6$", done.stdout, re.MULTILINE)
    for template in (path for path in (ROOT / "hepad/figures").iterdir() if path.suffix in (".css", ".html", ".js")):
        assert (site / "hepad/figures" / template.name).is_file()
    assert f"Snakefile: {site / 'hepad/shipped/Snakefile'}" in (empty / "results/logs/run.log").read_text()


def test_events_are_lines_of_json(tmp_path):
    """Of the plugin, by itself."""
    code = (
        "import logging, os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from snakemake_logger_plugin_hepad import LogHandler, LogHandlerSettings\n"
        "log = logging.Logger('x'); log.addHandler(LogHandler(None, LogHandlerSettings(pipe=1)))\n"
        "log.info('a line'); log.info('b', extra={'event': 'progress', 'done': 1, 'total': 2, 'other': object()})\n"
    )
    command = [sys.executable, "-c", code, str(ROOT / "workflow/logger")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"event": "progress", "done": 1, "total": 2}]


@pytest.mark.slow
def test_a_signal_of_a_few_events_and_observables_alone(make_events, tmp_path):
    """Fourteen events, all of them for the test: everything is drawn, but for the supervised line, which is said."""
    config = toy_run(make_events, tmp_path, steps=50, events=(900, 14))
    config["samples"]["two"]["split"] = [0, 0, 1]
    config["detectors"] = {"heavy": {"type": "Variable", "representation": "vector", "variable": "mass"}}
    config["tasks"]["jets"]["detectors"] = ["heavy"]
    written(config, tmp_path)
    done = subprocess.run(RUN, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no supervised line: too few training events" in done.stdout
    tables = {}
    for name in ("auc", "supervised"):
        with open(tmp_path / f"results/{name}.csv", newline="") as file:
            (tables[name],) = csv.DictReader(file)
    assert (tables["auc"]["detector"], tables["auc"]["n_signal"]) == ("heavy", "14")
    assert float(tables["auc"]["auc"]) > 0.9, "two prongs are heavier than one"
    assert (tables["supervised"]["auc"], tables["supervised"]["remark"]) == ("", "none: too few training events")
    assert "no supervised trees: " in (tmp_path / "results/logs/run.log").read_text()
