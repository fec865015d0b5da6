"""Students through the whole workflow: distilled, compiled, compared and drawn."""

import csv
import json
import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import yaml
from command_line import planned, snakemake
from toy_run import toy_run, written

from hepad.evaluation.scores import read_scores
from hepad.storage.files import read_json
from hepad.trigger.fixed_point import COLUMNS, agreement

TRAINING = {"steps": 600, "batch": 128, "learning_rate": 0.003, "ema_decay": 0.9}
CONVOLUTION = {"network": "convolutional", "pool": 4, "channels": 2, "kernel": 2, "hidden_dims": [8]}
STUDENTS = {
    "of_vectors": {"detector": "ae", "network": {"hidden_dims": [16]}, "formats": ["16,6", 8]},
    "of_images": {"detector": "ae_image", "network": CONVOLUTION, "formats": [12]},
}

pytestmark = [
    pytest.mark.fpga,
    pytest.mark.skipif(find_spec("hls4ml") is None or shutil.which("g++") is None, reason="needs hls4ml and g++"),
]


@pytest.fixture(scope="module")
def finished(make_events, tmp_path_factory):
    """(directory, configuration) of a finished run."""
    folder = tmp_path_factory.mktemp("students")
    config = toy_run(make_events, folder, steps=1500, events=(3000, 900))
    config["representations"]["vector"]["variables"].append("pt_dispersion")
    config["representations"]["image"] = {"type": "JetImage", "sigma": 2}
    config["detectors"]["ae_image"] = {
        "type": "AE", "representation": "image", "autoencoder": {"hidden_dims": [64], "latent_dim": 8},
        "training": {"steps": 600},
    }  # fmt: skip
    config["tasks"]["jets"]["detectors"].append("ae_image")
    config["students"] = {name: entry | {"task": "jets", "training": TRAINING} for name, entry in STUDENTS.items()}
    config["evaluation"]["eps_b"] = [0.1, 0.02]
    path = written(config | {"device": "cpu"}, folder)
    targets = [f"results/figures/students/{name}.pdf" for name in STUDENTS]
    result = snakemake(folder / "run", path, *targets)
    assert result.returncode == 0, result.stdout
    return folder / "run" / "results", path


@pytest.mark.parametrize("name", STUDENTS)
def test_students_are_compared_with_their_detector(finished, name):
    results, _ = finished
    scores, _ = read_scores(results / "students" / name / "one.h5")
    engines = ["detector/teacher", "student/float"]
    engines += {"of_vectors": ["student/fixed<16,6>", "student/fixed<8,*>"], "of_images": ["student/fixed<12,*>"]}[name]
    assert set(scores) == set(engines)
    assert read_json(results / "students" / f"{name}.json")["facts"]["rank"] > 0.2
    widest = agreement(scores["student/float"], scores[engines[2]])
    assert widest["rank"] > 0.98
    with open(results / "students" / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["engine"] for row in rows] == [engine for engine in engines for _ in range(2)]
    assert {row["khz"] for row in rows} == {""}  # no rate is declared
    own = {(row["engine"], row["eps_b"]): row for row in rows}
    for project, engine in {"of_vectors": [("16_6", 2), ("8_by_layer", 3)], "of_images": [("12_by_layer", 2)]}[name]:
        with open(results / "students" / name / f"{project}.vectors.csv", newline="") as file:
            head = json.loads(file.readline().removeprefix("# "))
            kinds = [row["kind"] for row in csv.DictReader(file)]
        assert kinds.count("background") == 300
        assert kinds.count("above eps_b_0.1") == 5
        width, integer = map(int, re.findall(r"-?\d+", head["output"])[:2])
        for eps_b, threshold in head["thresholds"].items():
            exact = float(own[engines[engine], eps_b.removeprefix("eps_b_")]["threshold"])
            assert threshold == np.floor(exact * 2.0 ** (width - integer))
    for eps_b in ("0.1", "0.02"):
        of_float, of_fixed = (own[engine, eps_b] for engine in engines[1:3])
        assert float(of_fixed["eps_s_low"]) < float(of_float["eps_s"]) < float(of_fixed["eps_s_high"])
    assert (results / "figures" / "students" / f"{name}.png").stat().st_size > 10_000


def test_students_see_no_signal(finished):
    results, config = finished
    for job in planned(results.parent, config, "--forceall", "results/students/of_vectors.safetensors"):
        assert not any("two" in path for path in job.inputs)


def test_students_are_judged_at_the_configured_rates(finished, tmp_path):
    results, path = finished
    config = yaml.safe_load(path.read_text())
    config["samples"]["one"]["rate"] = {"kind": "zero_bias"}
    config["evaluation"]["rates_khz"] = [700, 2000]
    shutil.copytree(results.parent, tmp_path / "run")
    table, how = "results/students/of_vectors.csv", ["--rerun-triggers", "mtime", "--forcerun", "compare_student"]
    result = snakemake(tmp_path / "run", written(config, tmp_path), table, *how)
    assert result.returncode == 0, result.stdout
    with open(tmp_path / "run" / table, newline="") as file:
        assert [float(row["khz"]) for row in csv.DictReader(file)][:2] == [700, 2000]
