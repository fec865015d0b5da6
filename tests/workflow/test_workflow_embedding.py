"""The encoder of one run as the input of detectors of another: exported, used, and made anew when its file changes."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import ROOT, planned, snakemake
from encoders import layers, linear_onnx
from toy_run import toy_run, written

import hepad
from hepad import detectors
from hepad.cli.main import main as hepad_command
from hepad.config.results import Results
from hepad.config.scoring import models
from hepad.errors import EncoderError
from hepad.evaluation.scores import read_scores, score
from hepad.representations.features import Features

pytestmark = pytest.mark.slow  # two runs of a minute

SCORES = ("results/scores/jets/one.h5", "results/scores/jets/two.h5")
INPUTS = "results/figures/jets/inputs.png"
CONTRASTIVE = {"type": "Contrastive", "representation": "vector", "embedding": 3, "training": {"steps": 400}}


@pytest.fixture(scope="module")
def config(make_events, tmp_path_factory):
    """The configuration of both runs, by what their folders are called."""
    data = tmp_path_factory.mktemp("data")
    first = toy_run(make_events, data, steps=100)
    first["detectors"] = {"contrastive": CONTRASTIVE}
    first["tasks"]["jets"]["detectors"] = ["contrastive"]
    embedding = {"type": "Embedding", "input": first["representations"]["vector"], "encoder": "encoder.onnx"}
    second = first | {
        "representations": first["representations"] | {"embedding": embedding},
        "detectors": {
            "mixture": {"type": "Mixture", "representation": "embedding", "n_gaussians": 1},
            "knn": {"type": "NearestNeighbours", "representation": "embedding"},
            "plain": {"type": "NearestNeighbours", "representation": "vector"},
        },
        "tasks": {"jets": {"background": "one", "signals": ["two"], "detectors": ["mixture", "knn", "plain"]}},
        "evaluation": {"supervised": "embedding"},
    }
    return {"first": first, "second": second}


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """The folder of the second run, whose encoder is that of the contrastive detector of the first."""
    folders = {}
    for name, of_run in config.items():
        folder = folders[name] = tmp_path_factory.mktemp(name)
        if name == "second":
            model = folders["first"] / "results/models/jets/contrastive/1.safetensors"
            hepad_command(["export", str(model), "--to", str(folder / "encoder.onnx"), "--encoder"])
        wanted = [*SCORES, INPUTS] if name == "second" else ["results/models/jets/contrastive/1.safetensors"]
        result = snakemake(folder, written(of_run, folder), *wanted)
        assert result.returncode == 0, result.stdout
    return folders["second"]


def of_model(folder, name):
    return Results(folder / "results").model("jets", name)


def test_features_are_what_the_contrastive_detector_encodes(run, monkeypatch):
    monkeypatch.chdir(run)
    seen, found = (Features.read(f"results/features/{of}/one/0.test.h5") for of in ("vector", "embedding"))
    first = next(run.parent.glob("first*")) / "results/models/jets/contrastive/1.safetensors"
    contrastive = hepad.load(first).module
    expected = contrastive.embed(contrastive.normalise(seen.x)).detach()
    np.testing.assert_allclose(found.x, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())
    assert Path(INPUTS).is_file()
    assert found.space.columns == ("encoder_1", "encoder_2", "encoder_3")
    # one Gaussian on the embedding is what the contrastive detector itself scores with
    scores, _ = read_scores("results/scores/jets/one.h5")
    own = contrastive.score(seen.x).numpy()
    assert np.corrcoef(scores["mixture/1"], own)[0, 1] > 0.999


def test_a_finished_run_has_nothing_to_do(run, config):
    assert planned(run, run / "config.yaml", *SCORES) == []
    (run / "encoder.onnx").touch()  # not what is in it
    assert planned(run, run / "config.yaml", *SCORES) == []


def test_models_score_files_and_know_their_encoder(run, config, monkeypatch, capsys):
    monkeypatch.chdir(run)
    [path] = config["second"]["samples"]["two"]["source"]["files"]
    events = hepad.read(path, selection={"pt": [550, 650], "abs_eta": 2.0})
    assert len(of_model(run, "knn").score(events)) == len(events)
    hepad_command(["export", "results/models/jets/mixture/1.safetensors", "--to", "mixture.onnx"])
    said = capsys.readouterr().out
    assert "input, in this order: encoder_1, encoder_2, encoder_3" in said
    digest = of_model(run, "knn").module.space.encoders[0]
    assert f"run the encoder of SHA-256 {digest} before it" in said


def test_a_file_that_is_exchanged_while_the_run_goes_on_is_refused(run, config, tmp_path, monkeypatch):
    """The job finds another digest than the plan that it was started by."""
    monkeypatch.chdir(run)
    outputs = {part: str(tmp_path / f"{part}.h5") for part in ("train", "test")}
    job = SimpleNamespace(
        log=[str(tmp_path / "log")], wildcards=SimpleNamespace(chunk="0"), output=SimpleNamespace(**outputs),
        input=SimpleNamespace(events="results/events/one.h5"),
        params=SimpleNamespace(spec=config["second"]["representations"]["embedding"], encoders=[]),
    )  # fmt: skip
    for job.params.encoders in (["0" * 64], []):
        with pytest.raises(SystemExit, match="the plan of this run: the events come from an encoder of SHA-256"):
            exec((ROOT / "workflow/scripts/represent.py").read_text(), {"snakemake": job})
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_another_encoder_makes_features_models_and_scores_anew(run, config, monkeypatch):
    monkeypatch.chdir(run)
    kept = Path("encoder.onnx").read_bytes()
    [(weight, bias)] = layers(3, 3)
    linear_onnx("encoder.onnx", weight, bias, (3,))
    with pytest.raises(EncoderError, match="Put the file of the encoder back"):
        models(Results("results"), "jets")
    assert models(Results("results"), "jets", ["plain"])
    jobs = planned(run, run / "config.yaml", *SCORES)
    made = {path for job in jobs for path in job.outputs}
    assert {"results/features/embedding/one/0.train.h5", "results/models/jets/knn/1.safetensors", *SCORES} <= made
    assert not [path for path in made if "/vector/" in path or "/events/" in path]
    shutil.copytree("results", "kept")
    result = snakemake(run, run / "config.yaml", *SCORES)
    assert result.returncode == 0, result.stdout
    x = [Features.read(f"results/features/{of}/one/0.test.h5").x.numpy() for of in ("vector", "embedding")]
    np.testing.assert_allclose(x[1], x[0] @ weight.T + bias, rtol=1e-4)
    Path("encoder.onnx").write_bytes(kept)
    # features of one file do not go with a model of another, however both came there
    shutil.copy("kept/models/jets/knn/1.safetensors", "results/models/jets/knn/1.safetensors")
    knn = detectors.load("results/models/jets/knn/1.safetensors")
    features = {"embedding": Features.blocks("results/features/embedding/one/0.test.h5")}
    with pytest.raises(EncoderError, match="knn/1: the events come from an encoder"):
        next(score({"knn/1": ("embedding", knn)}, features))


@pytest.mark.parametrize(("break_it", "said"), [
    (lambda path: path.unlink(), "there is no such file"), (lambda path: path.write_text("x"), "not"),
    (lambda path: linear_onnx(path, *layers(4, 2)[0], (4,)), "it takes events"),
])  # fmt: skip
def test_a_bad_encoder_is_refused_before_any_job(config, tmp_path, break_it, said):
    [(weight, bias)] = layers(3, 3)
    break_it(linear_onnx(tmp_path / "encoder.onnx", weight, bias, (3,)))
    result = snakemake(tmp_path, written(config["second"], tmp_path), "--dry-run", *SCORES)
    assert result.returncode != 0
    assert f"representations.embedding: encoder.onnx: {said}" in result.stdout
