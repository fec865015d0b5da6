"""Files scored with the models of a finished run, outside the workflow."""

import numpy as np
import pytest
import torch
import yaml

from hepad import detectors
from hepad.cli.score import report, score_files
from hepad.errors import InputError
from hepad.evaluation.scores import write_scores
from hepad.representations import EventVector, build
from hepad.representations.features import Features
from hepad.samples.root_output import write_root

SPEC = {"type": "Variable", "arguments": {"variable": "mass"}}
CONFIG = {
    "samples": {"qcd": {}, "top": {}},
    "representations": {"vector": {"type": "EventVector", "variables": ["mass", "girth"]}},
    "detectors": {"mass": {"type": "Variable", "representation": "vector", "variable": "mass"}},
    "tasks": {"qcd": {"background": "qcd", "signals": ["top"], "detectors": ["mass"]}},
}


@pytest.fixture
def run(make_events, tmp_path):
    """A finished run of one detector, the jet mass."""
    representation = EventVector(variables=("mass", "girth"))
    background = Features.of(representation, make_events(400, 1))
    detector = detectors.build(SPEC, representation.space, 0)
    detector.fit(background.x, background.x, generator=torch.Generator())
    detectors.save(detector, tmp_path / "results/models/qcd/mass/1.safetensors", SPEC)
    scores = {"mass/1": detector.score(background.x).numpy()}
    write_scores(tmp_path / "results/scores/qcd/qcd.h5", [(scores, background)])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path, np.sort(scores["mass/1"])


def test_scores_and_counts_are_those_of_the_model(run, make_events):
    folder, background = run
    signal = make_events(80, 2)
    signal.weight[::3] = -1  # counted once, all the same
    write_root(signal, folder / "signal.root")
    (found,) = score_files(str(folder / "*.root"), folder / "config.yaml", folder / "results", "qcd", eps_b=0.1)
    mass = build(CONFIG["representations"]["vector"])(signal)[:, 0].numpy()
    np.testing.assert_allclose(found.scores["mass/1"], mass, rtol=1e-4)
    threshold = background[-41]  # forty of four hundred are above
    passing = found.passing["mass/1"]
    assert (passing.passed, passing.total) == ((found.scores["mass/1"] > threshold).sum(), 80)
    assert passing.low < passing.value < passing.high
    assert found.counts["read"] == found.counts["kept"] == 80
    assert any(f"{passing.passed} of 80" in line for line in report(found, 0.1))


def test_what_cannot_be_scored_is_said(run, make_events):
    folder, _ = run
    write_root(make_events(5, 3), folder / "signal.root")
    where = (folder / "config.yaml", folder / "results")
    with pytest.raises(InputError, match=r"task 'qdc' is unknown.*Did you mean 'qcd'"):
        next(score_files(str(folder / "signal.root"), *where, "qdc"))
    with pytest.raises(InputError, match="matches no file"):
        next(score_files(str(folder / "none.root"), *where, "qcd"))
    (folder / "results/scores/qcd/qcd.h5").unlink()
    with pytest.raises(InputError, match=r"qcd\.h5"):
        next(score_files(str(folder / "signal.root"), *where, "qcd"))
