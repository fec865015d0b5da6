"""Unusual tasks, and a clone that is moved: what is asked of the workflow is what there is to make."""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT
from schema import validate
from toy_run import toy_run, written

from hepad.config import preflight, subjects

CHAIN = {"n_steps": 2, "step_size": 0.1, "noise_std": 0.05}
AUTOENCODER = {"hidden_dims": [16], "latent_dim": 2}
IMAGE = {"type": "JetImage", "size": 12, "eta_range": 0.3, "phi_range": 0.9}


def nae(representation: str) -> dict:
    phases = {"pretraining": {"steps": 300}, "training": {"steps": 10, "ema_decay": 0.9}}
    chains = {"latent_chain": CHAIN, "visible_chain": CHAIN}
    return {"type": "NAE", "representation": representation, "autoencoder": AUTOENCODER, **phases, **chains}


@pytest.fixture(scope="module")
def toy(make_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    config = toy_run(make_events, folder, 300, (300, 200)) | {"device": "cpu"}
    config["representations"] |= {
        "image": IMAGE,
        "joined": {"type": "Joined", "parts": [IMAGE, {"type": "EventVector"}]},
    }
    config["detectors"] |= {
        "mass": {"type": "Variable", "representation": "vector", "variable": "mass"},
        "pixels": {"type": "PixelNorm", "representation": "image"},
        "ae_image": {"type": "AE", "representation": "image", "autoencoder": AUTOENCODER, "training": {"steps": 300}},
        "nae": nae("vector"),
        "nae_image": nae("image"),
    }
    return config, folder


def figures_of(toy, *detectors: str) -> set[str]:
    """The figures of a task with these detectors alone, those on request too."""
    config, _ = toy
    config = copy.deepcopy(config) | {"tasks": {"jets": config["tasks"]["jets"] | {"detectors": list(detectors)}}}
    validate(config)
    plan = preflight.make(config, ROOT)
    return {drawn.path.split("/")[1] for kind, _ in subjects.figures(plan) for drawn in subjects.drawn_by(kind)}


@pytest.mark.parametrize(
    ("detectors", "there", "not_there"),
    [
        (
            ["mass"],
            {"scores", "score_grid", "auc", "images"},
            {"training", "trainings", "events", "model_selection", "model_samples", "reconstructions", "generated"},
        ),
        (["pixels", "mass"], {"scores", "images"}, {"training", "model_selection", "reconstructions"}),
        (
            ["nae"],
            {"training", "model_selection", "model_samples", "negatives", "paths"},
            {"reconstructions", "generated"},
        ),
        (["nae_image"], {"training", "model_selection", "model_samples", "reconstructions"}, set()),
        (
            ["ae", "ae_image"],
            {"training", "reconstructions"},
            {"model_selection", "model_samples", "negatives", "paths"},
        ),
    ],
)
def test_a_task_asks_for_the_figures_that_its_detectors_have(toy, detectors, there, not_there):
    found = figures_of(toy, *detectors)
    assert there <= found
    assert not not_there & found


class Clone:
    """A copy of what a run needs of the repository, in which the run is made."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("hepad", "workflow", "config", "profiles"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "environment.yml"):
            shutil.copy(ROOT / name, folder)

    def snakemake(self, *arguments) -> str:
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--configfile", "../config.yaml"]
        environment = {**ENVIRONMENT, "PYTHONPATH": str(self.folder)}
        result = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def left(self, *targets) -> set[str]:
        """The trainings, and the other rules, that a run would still do."""
        text = self.snakemake("--dry-run", *targets)
        trained = set(re.findall(r"results/models/jets/(\w+)/1\.safetensors, results", text))
        return trained | set(re.findall(r"^(?:local)?rule (?!train)(\w+):", text, re.MULTILINE))

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def clone(toy, tmp_path_factory):
    """A finished run, up to the models and one figure, in a clone that was renamed since."""
    config, _ = toy
    folder = tmp_path_factory.mktemp("clones")
    task = config["tasks"]["jets"] | {"detectors": ["ae", "nae", "mass"]}
    written(config | {"tasks": {"jets": task}}, folder)
    found = Clone(folder / "first")
    found.snakemake(*TARGETS)
    found.folder = found.folder.rename(folder / "second")
    return found


MODELS = [f"results/models/jets/{name}/1.safetensors" for name in ("ae", "nae", "mass")]
TARGETS = [*MODELS, "results/figures/jets/training"]


@pytest.mark.slow
def test_a_renamed_clone_has_nothing_to_do_and_an_edit_what_needs_it(clone):
    assert clone.left(*TARGETS) == set()
    for path in (*clone.folder.rglob("*.py"), *clone.folder.rglob("*.smk"), *clone.folder.rglob("Snakefile")):
        os.utime(path)
    assert clone.left(*TARGETS) == set()
    clone.edit("hepad/figures/training.py", "3.8, 3.3", "3.8, 3.4")
    assert clone.left(*TARGETS) == {"plot_training"}
    clone.edit(
        "hepad/detectors/energy_based/langevin.py",
        "    def __post_init__(self)",
        "    more = 1\n\n    def __post_init__(self)",
    )
    assert clone.left(*MODELS) == {"nae"}
    clone.edit("hepad/detectors/networks.py", "class ", "MORE = 1\n\n\nclass ")
    assert clone.left(*MODELS) == {"nae"}, "what nothing needs"
    clone.edit("hepad/detectors/networks.py", "nn.Linear(", "nn.Linear(*(),")
    assert clone.left(*MODELS) == {"ae", "nae"}


@pytest.mark.slow
def test_the_report_of_a_renamed_clone_has_its_figures(clone):
    clone.snakemake(TARGETS[-1], "--report", "../report.html")
    assert "training/ae.png" in (clone.folder.parent / "report.html").read_text()
