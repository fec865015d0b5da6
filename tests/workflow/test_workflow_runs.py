"""The whole workflow on a user's own small files: results, repetition, a swapped signal, refusals, a killed run."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import uproot
import yaml
from command_line import COMMAND, ENVIRONMENT, ROOT, planned, snakemake

import hepad
from hepad.cli.main import main as hepad_command
from hepad.config import plan, subjects
from hepad.evaluation.scores import read_scores
from hepad.figures import KINDS, registry
from hepad.samples.root_output import write_root
from hepad.samples.sources import read
from hepad.storage.files import read_json

pytestmark = pytest.mark.slow  # the run alone takes two minutes

WINDOW = {"pt": [550, 650], "abs_eta": 2.0}
CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.05}
MODEL = "results/models/jets/{}/1.safetensors"
DETECTORS = ("ae", "nae", "vae", "mass")
NOT_HERE = {"student", "menu"}  # kinds of what the toy run has not
SIGNAL_FREE = {"plot_trainings", "plot_correlation"}
TARGETS = ("all", *(f"results/features/image/{name}.test.h5" for name in ("one", "two")))
RATE = {"kind": "cross_section", "cross_section_pb": 1e8, "acceptance": 0.3, "luminosity": 2e34}
UNASKED = [name for name in KINDS if not registry.kind(name).on_request]
COLUMNS = {
    "auc": "task,detector,signal,seed,n_background,n_signal,auc,auc_low,auc_high,remark",
    "efficiency": "task,detector,signal,seed,eps_b,n_background_passed,independent,eps_s,eps_s_low,eps_s_high,remark",
    "rejection": "task,detector,signal,seed,eps_s,n_background_passed,independent,inverse_eps_b,low,high,remark",
}


def sample(path):
    return {"source": {"files": [str(path)]}, "selection": dict(WINDOW)}


def configuration(data):
    """One-prong background, two-prong signal, three detectors, one of images, and a baseline: every kind of figure."""
    return {
        "device": "cpu",
        "samples": {"one": sample(data / "one.root") | {"rate": RATE}, "two": sample(data / "two.root")},
        "representations": {
            "vector": {"type": "EventVector", "variables": ["mass", "multiplicity", "girth", "pt_dispersion"]},
            "image": {"type": "JetImage", "size": 12, "sigma": 1},
        },
        "detectors": {
            "ae": {
                "type": "AE", "representation": "vector", "autoencoder": {"hidden_dims": [64], "latent_dim": 2},
                "training": {"steps": 3000},
            },
            "nae": {
                "type": "NAE", "representation": "vector", "autoencoder": {"hidden_dims": [32], "latent_dim": 2},
                "pretraining": {"steps": 500},
                "training": {"steps": 40, "ema_decay": 0.9}, "latent_chain": CHAIN, "visible_chain": CHAIN,
            },
            "vae": {
                "type": "ConvVAE", "representation": "image", "network": "dense", "hidden_dims": [64], "latent_dim": 4,
                "beta": 0.001, "training": {"steps": 600, "learning_rate": 0.003, "batch": 64},
            },
            "mass": {"type": "Variable", "representation": "vector", "variable": "mass"},
        },
        "tasks": {"jets": {"background": "one", "signals": ["two"], "detectors": list(DETECTORS)}},
        "evaluation": {"supervised": "vector"},
    }  # fmt: skip


def written(path, config):
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def snapshot(directory):
    """{path: (time of last change, digest)} of every result."""
    files = (path for path in sorted((directory / "results").rglob("*")) if path.is_file())
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@pytest.fixture(scope="module")
def data(make_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, seed, prongs, count in (("one", 1, 1, 900), ("two", 2, 2, 400), ("three", 3, 3, 300)):
        write_root(make_events(count, seed, prongs=prongs), folder / f"{name}.root")
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """(directory, configuration file) of a finished run, with all that figures on request read; nobody writes there."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    config = written(directory.parent / "config.yaml", configuration(data))
    result = snakemake(directory, config, *TARGETS)
    assert result.returncode == 0, result.stdout
    return directory, config


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run in which a model is missing, so that a training is due."""
    directory = tmp_path / "run"
    shutil.copytree(finished[0], directory)
    shutil.rmtree(directory / MODEL.format("ae").rsplit("/", 1)[0])
    return directory


def rows(directory, table):
    with open(directory / "results" / f"{table}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_price_of_blind_choices_is_read_from_a_finished_run(finished, tmp_path):
    benchmark = [sys.executable, ROOT / "benchmarks/blind_choice.py", "--results", finished[0] / "results"]
    result = subprocess.run([*benchmark, "--tables", tmp_path], capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "blind_choice.csv", newline="") as file:
        found = {(row["detector"], row["criterion"]): row for row in csv.DictReader(file) if row["seed"]}
    assert {name for name, _ in found} == {"ae", "nae", "vae"}, "what has no states has no choice"
    assert {("nae", "manifold_auc"), ("ae", "valid_loss")} < set(found)
    assert ("ae", "wasserstein") not in found
    assert all(0 <= float(row[price]) <= 1 for row in found.values() for price in ("auc_price", "eps_s_price"))
    (shipped,) = (row for row in rows(finished[0], "auc") if row["detector"] == "vae")
    assert float(found["vae", "valid_loss"]["auc"]) == pytest.approx(float(shipped["auc"]), abs=1e-5), "trained again"
    chosen = {row["criterion"]: row for row in rows(finished[0], "model_selection")}
    assert all(found["nae", name]["chosen_step"] == row["chosen_step"] for name, row in chosen.items())


@pytest.mark.parametrize("table", COLUMNS)
def test_tables_have_the_published_columns(finished, table):
    found = rows(finished[0], table)
    assert ",".join(found[0]) == COLUMNS[table]
    assert {row["detector"] for row in found} == set(DETECTORS)
    assert {(row["task"], row["signal"], row["seed"]) for row in found} == {("jets", "two", "1")}


def test_the_signal_is_found_and_the_supervised_trees_stay_apart(finished):
    auc = {row["detector"]: float(row["auc"]) for row in rows(finished[0], "auc")}
    assert auc["mass"] > 0.9, "two prongs are heavier than one"
    assert auc["ae"] > 0.8
    assert [row["detector"] for row in rows(finished[0], "supervised")] == ["supervised"]


def test_every_figure_is_there_as_pdf_and_png(finished):
    figures = finished[0] / "results" / "figures" / "jets"
    names = ["auc", "images", "average_images", "inputs", "headline_two", "data_quality"]
    names += ["score_grid", "correlation", "seeds", "events", "trainings"]
    names += [f"{kind}/{detector}" for kind in ("rates", "turn_ons") for detector in DETECTORS]
    for name in names:
        assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF"), name
        assert (figures / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
        assert min((figures / f"{name}.{kind}").stat().st_size for kind in ("pdf", "png")) > 3000, name
    assert {str(path.relative_to(figures).with_suffix("")) for path in figures.rglob("*.p*")} == set(names)
    overviews = {f"{name}.{kind}" for name in ("regret", "signal_efficiency") for kind in ("pdf", "png")}
    assert {path.name for path in (figures.parent / "overview").iterdir()} == overviews


def test_figures_are_drawn_on_request(copy, finished):
    names = [f"results/figures/jets/{name}" for name in ("efficiency_two.pdf", "scores", "training")]
    assert not any((copy / name).exists() for name in names)
    result = snakemake(copy, finished[1], *names)
    assert result.returncode == 0, result.stdout
    assert (copy / names[0]).is_file()
    assert {path.stem for path in (copy / names[1]).glob("*.pdf")} == set(DETECTORS)
    assert {path.stem for path in (copy / names[2]).glob("*.pdf")} == {"ae", "nae", "vae"}


def test_the_front_page_is_of_this_run(finished):
    results = finished[0] / "results"
    page = (results / "index.html").read_text()
    assert "two in one</strong>:" in page
    (digest,) = re.findall("<code>([0-9a-f]{64})</code>", page)
    assert digest == plan.digest(hepad.open(results).config)
    pictures = {path.relative_to(results).as_posix() for path in (results / "figures").rglob("*.png")}
    assert set(re.findall('href="(figures/[^"]+png)"', page)) == pictures
    assert (results / "jets_efficiency.tex").read_text().count("two in one") == 1
    assert 'href="gallery/jets.html"' in page
    assert "Events of task jets" in (results / "gallery/jets.html").read_text()


def test_every_job_has_a_log_and_a_benchmark(finished):
    results = finished[0] / "results"
    jobs = [job for job in planned(*finished, "--forceall", *TARGETS) if job.rule != "all"]
    assert len(jobs) == len(list((results / "benchmarks").rglob("*.tsv")))
    assert "r2 = " in (results / "logs/train/jets/ae/1.log").read_text()


def test_a_finished_run_has_nothing_left_to_do(finished):
    assert planned(*finished) == []


def test_same_seed_same_scores_bit_for_bit(finished, tmp_path):
    names = [f"results/scores/jets/{name}.h5" for name in ("one", "two")]
    result = snakemake(tmp_path / "again", finished[1], *names)
    assert result.returncode == 0, result.stdout
    for name in names:
        (first, _), (second, _) = read_scores(finished[0] / name), read_scores(tmp_path / "again" / name)
        assert sorted(first) == ["ae/1", "mass/1", "nae/1", "vae/1"]
        for key, scores in first.items():
            np.testing.assert_array_equal(second[key], scores)


def test_work_in_small_pieces_gives_the_same_numbers(finished, data, tmp_path):
    config = yaml.safe_load(finished[1].read_text()) | {"chunk_events": {"reading": 300}}
    for name in ("one", "two"):
        whole = read({"files": str(data / f"{name}.root")}, name=name, selection="any", split=(0, 0, 1))
        for i, piece in enumerate(np.array_split(np.arange(len(whole)), 4)):
            write_root(whole[piece], tmp_path / f"{name}_{i}.root")
        config["samples"][name]["source"]["files"] = [str(tmp_path / f"{name}_*.root")]
    config["tasks"]["jets"]["detectors"] = ["mass"]
    result = snakemake(
        tmp_path / "run", written(tmp_path / "c.yaml", config), "results/auc.csv", "results/supervised.csv"
    )
    assert result.returncode == 0, result.stdout
    parts = sorted(path.name for path in (tmp_path / "run/results/scores/jets/one").iterdir())
    assert parts == ["0.h5", "1.h5", "2.h5", "3.h5"], "225 and 225 events are more than 300"
    for table in ("auc", "supervised"):
        expected = [row for row in rows(finished[0], table) if row["detector"] in ("mass", "supervised")]
        assert rows(tmp_path / "run", table) == expected


def test_another_signal_costs_its_own_jobs_and_figures_only(finished, data, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["samples"]["three"] = sample(data / "three.root")
    config["tasks"]["jets"]["signals"].append("three")
    jobs = planned(finished[0], written(tmp_path / "config.yaml", config))
    assert not [job for job in jobs if job.rule.startswith("train")]
    shown = ("page", "gallery", "all")
    own = [job for job in jobs if not job.rule.startswith(("tabulate", "plot")) and job.rule not in shown]
    assert sorted(output for job in own for output in job.outputs) == sorted([
        "results/supervised/jets/three_background.h5",
        "results/supervised/jets/three_signal.h5",
        "results/evaluation/jets/three.json",
        "results/events/three.h5",
        "results/events/three/0.h5",
        *(f"results/features/vector/three{chunk}.{part}.h5" for chunk in ("", "/0") for part in ("test", "train")),
        *(f"results/features/image/three/0.{part}.h5" for part in ("test", "train")),
        "results/rates/jets.json",
        "results/scores/jets/three.h5",
        "results/scores/jets/three/0.h5",
        "results/model_selection/jets/three.json",
    ])  # fmt: skip
    drawn = {job.rule for job in jobs} - {job.rule for job in own}
    assert drawn >= {"tabulate", "all", "gallery", "plot_headline", "plot_summary", "plot_seeds", "plot_images"}
    assert "plot_inputs" in drawn
    assert not drawn & SIGNAL_FREE
    headline = [job.outputs for job in jobs if job.rule == "plot_headline"]
    assert headline == [tuple(f"results/figures/jets/headline_three.{kind}" for kind in ("pdf", "png"))]


def test_a_swapped_signal_leaves_the_figures_that_show_none(finished, data, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["samples"]["three"] = sample(data / "three.root")
    config["tasks"]["jets"]["signals"] = ["three"]
    rules = {job.rule for job in planned(finished[0], written(tmp_path / "config.yaml", config))}
    assert not rules & SIGNAL_FREE
    assert {f"plot_{kind}" for kind in UNASKED} - rules == SIGNAL_FREE | {f"plot_{kind}" for kind in NOT_HERE}


def test_what_no_task_names_costs_nothing(finished, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["detectors"]["unused"] = config["detectors"]["ae"] | {"label": "unused"}
    jobs = planned(finished[0], written(tmp_path / "config.yaml", config))
    assert {job.rule for job in jobs} <= {"page", "all"}, "the page shows the configuration"


def test_a_label_costs_the_figures_that_show_it(finished, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["detectors"]["nae"]["label"] = "NAE"
    rules = {job.rule for job in planned(finished[0], written(tmp_path / "config.yaml", config))}
    assert rules >= {"gallery", "plot_trainings", "plot_headline", "plot_seeds", "plot_regret", "tabulate_regret"}
    assert not rules & {"plot_inputs", "plot_images", "plot_data_quality"}
    assert all(rule.startswith(("plot_", "tabulate")) or rule in ("page", "gallery", "all") for rule in rules)


def test_a_folder_of_figures_is_there_when_there_is_nothing_to_draw(copy, finished, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["tasks"]["jets"]["detectors"] = ["mass"]
    kinds = ("training", "reconstructions", "generated", "model_selection", "paths")
    targets = [f"results/figures/jets/{kind}" for kind in kinds]
    result = snakemake(copy, written(tmp_path / "config.yaml", config), *targets)
    assert result.returncode == 0, result.stdout
    assert all((copy / target).is_dir() for target in targets)
    assert not [path for target in targets for path in (copy / target).glob("*.p*")]


def figure_jobs(finished):
    plan = read_json(finished[0] / "results/admitted/plan.json")["plan"]
    return {(kind["name"], *subject.wildcards.values()): (kind, subject) for kind, subject in subjects.figures(plan)}


def test_every_kind_of_figure_is_drawn(finished):
    assert {name for name, *_ in figure_jobs(finished)} == set(KINDS) - NOT_HERE


@pytest.mark.parametrize("name", [name for name in KINDS if name not in NOT_HERE])
def test_a_figure_is_drawn_again_from_its_files(finished, name, tmp_path, monkeypatch):
    """Every kind that is registered: without Snakemake it draws the same from the same files, and small ones."""
    monkeypatch.chdir(finished[0])
    for (of, *_), (kind, subject) in figure_jobs(finished).items():
        if of != name:
            continue
        reads = {key: subject.paths(pattern) for key, pattern in kind["reads"].items()}
        assert reads
        job = subjects.job(subjects.parameters(kind, subject), reads, subject.config["style"])
        paths = registry.draw(name, job, tmp_path)
        assert paths
        for path in paths:
            for suffix in ("pdf", "png"):
                file = path.with_name(f"{path.name}.{suffix}")
                if name in UNASKED:
                    assert file.read_bytes() == Path("results/figures", file.relative_to(tmp_path)).read_bytes()
                assert 3000 < file.stat().st_size < 1_500_000


def test_everything_that_was_drawn_is_published(finished, tmp_path):
    """Of every figure a table with its picture, and a folder in the ROOT file; histograms are whole."""
    results = finished[0] / "results"
    hepad_command(["publish", "--results", str(results), "--to", str(tmp_path / "out")])
    drawn = {path.relative_to(results / "figures").with_suffix("") for path in (results / "figures").rglob("*.png")}
    drawn.remove(Path("jets/seeds"))  # at 1 % none of these few background events resolves a training
    _, *said = yaml.safe_load_all((tmp_path / "out/hepdata/submission.yaml").read_text())
    assert {Path(table["location"]).relative_to("results/figures").with_suffix("") for table in said
            if table["location"].startswith("results/figures")} == drawn  # fmt: skip
    assert {table["location"] for table in said} >= {f"results/{path.name}" for path in results.glob("*.csv")}
    with uproot.open(tmp_path / "out/hepad.root") as file:
        kinds = file.classnames(cycle=False)
        assert {path for path in drawn if f"figures/{path}" in kinds} == drawn
        whole = [file[name].values().sum() for name, kind in kinds.items() if kind == "TH1D"]
    assert len(whole) > 20
    np.testing.assert_allclose(whole, 1)


def test_a_model_of_a_run_scores_events_by_itself(finished):
    for name in DETECTORS:
        model = hepad.load(finished[0] / MODEL.format(name))
        assert (model.window, model.get_params()["seed"]) == (WINDOW, 1)
        for of in ("one", "two"):
            scores, columns = read_scores(finished[0] / f"results/scores/jets/{of}.h5")
            events = hepad.open(finished[0] / "results").events(of)
            np.testing.assert_array_equal(columns["event_id"], events.event_id)
            np.testing.assert_array_equal(model.score(events), scores[f"{name}/1"])


def test_the_report_is_one_page(finished, tmp_path):
    page = tmp_path / "report.html"
    result = snakemake(*finished, "--report", str(page))
    assert result.returncode == 0, result.stdout
    text = page.read_text()
    for part in ("auc.csv", "headline_two.png", "Headline", "Training", "two in one</strong>:"):
        assert part in text
    assert len(text) < 10e6
    unwrapped = " ".join(text.split())
    for kind, subject in figure_jobs(finished).values():
        for caption in kind["captions"] if kind["name"] in UNASKED else ():
            first = caption.format(**subject.wildcards).split(".")[0]
            assert json.dumps(first, ensure_ascii=False)[1:-1] in unwrapped or json.dumps(first)[1:-1] in unwrapped, (
                first
            )


def bad_inputs(data, folder):
    """{name: (configuration file, words of the message)}: one of each kind that the command line has to refuse."""
    whole = (data / "two.root").read_bytes()
    (folder / "cut.root").write_bytes(whole[: len(whole) // 2])

    def changed(change):
        config = configuration(data)
        change(config)
        return config

    configs = {
        "misspelt key": (changed(lambda c: c.update(detector=c.pop("detectors"))), ["'detector'", "'detectors'"]),
        "misspelt argument": (
            changed(lambda c: c["detectors"]["ae"]["training"].update(step=c["detectors"]["ae"]["training"]["steps"])),
            ["detectors.ae", "training: argument of Schedule 'step'", "steps"],
        ),
        "window": (
            changed(lambda c: c["samples"]["two"]["selection"].update(pt=[300, 400])),
            ["tasks.jets", "'two'", "300 < pt < 400", "550 < pt < 650", "any_window"],
        ),
        "truncated file": (
            changed(lambda c: c["samples"].update(two=sample(folder / "cut.root"))),
            ["samples.two", "cut.root", "truncated"],
        ),
        "nothing passes": (
            changed(lambda c: [s["selection"].update(pt=[5000, 6000]) for s in c["samples"].values()]),
            ["samples.one", "nothing passes", "5000", "refused: pt 900"],
        ),
    }
    written_configs = {n: (written(folder / f"{n}.yaml", c), words) for n, (c, words) in configs.items()}
    twice = folder / "twice.yaml"
    twice.write_text((folder / "window.yaml").read_text().replace("  two:\n", "  one:\n", 1))
    return written_configs | {"one name twice": (twice, ["twice.yaml", "line", "'samples.one'", "defined twice"])}


def test_bad_input_ends_before_training_with_one_plain_message_and_touches_nothing(copy, data, tmp_path):
    before, cases = snapshot(copy), bad_inputs(data, tmp_path)
    with ThreadPoolExecutor(2) as pool:
        results = dict(
            zip(cases, pool.map(lambda case: snakemake(copy, case[0], "--nolock"), cases.values()), strict=True)
        )
    for name, (_, words) in cases.items():
        text = results[name].stdout
        assert results[name].returncode != 0, name
        assert "Traceback" not in text, (name, text)
        assert not re.search(r'^ *File "', text, re.MULTILINE), (name, text)
        assert "rule train" not in text, name
        message = text[text.index("ERROR: ") :].strip()
        assert len(message.splitlines()) == 1, (name, message)
        assert [word for word in words if word not in message] == [], (name, message)
    assert snapshot(copy) == before


def test_a_collapsed_detector_stops_its_rule_and_leaves_no_model(copy, finished, tmp_path):
    config = yaml.safe_load(finished[1].read_text())
    config["detectors"]["ae"]["training"] = {"steps": 1, "learning_rate": 1e-9}
    result = snakemake(copy, written(tmp_path / "config.yaml", config), MODEL.format("ae"))
    assert result.returncode != 0
    assert "ERROR: AE: the reconstruction of background is no better than its mean event" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (copy / MODEL.format("ae")).exists()
    assert (copy / MODEL.format("nae")).exists()


def test_a_killed_training_leaves_nothing_that_a_later_run_takes_for_a_result(copy, finished):
    log, model = copy / "results/logs/train/jets/ae/1.log", MODEL.format("ae")
    log.unlink()
    command = [*COMMAND, "--directory", copy, "--configfile", finished[1], "--cores", "1", model]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen([*map(str, command)], env=ENVIRONMENT, start_new_session=True, **streams)
    try:
        deadline = time.monotonic() + 120
        while not log.exists():  # opened when the training begins
            assert run.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.3)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert not list((copy / model).parent.glob("1.*")), "the training was over before it was killed"
    assert snakemake(copy, finished[1], "--unlock").returncode == 0
    result = snakemake(copy, finished[1], model)
    assert result.returncode == 0, result.stdout
    assert (copy / model).read_bytes() == (finished[0] / model).read_bytes()
