"""The results of a run, as far as ``hepad`` reads them, without a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hepad import detectors, evaluate
from hepad.config import plan
from hepad.evaluation.areas import areas
from hepad.evaluation.latex import write_latex
from hepad.evaluation.regret import regrets, write_regret
from hepad.evaluation.roc import to_json
from hepad.evaluation.scores import read_scores, write_scores
from hepad.evaluation.seed_spread import write_seed_spread
from hepad.evaluation.tables import read_records
from hepad.representations import EventVector
from hepad.representations.features import Features
from hepad.storage.files import write_json

VECTOR = {"type": "EventVector", "variables": ["mass", "girth"]}
VARIABLES = {"heavy": "mass", "wide": "girth"}  # detectors of the run, each with two trainings but for the second
SPEC = {name: {"type": "Variable", "arguments": {"variable": variable}} for name, variable in VARIABLES.items()}
CONFIG = {
    "samples": {
        "qcd": {"label": "QCD", "selection": {"pt": [550, 650], "abs_eta": 2.0}},
        "top": {"selection": {"pt": [550, 650], "abs_eta": 2.0}},
    },
    "representations": {"vector": VECTOR},
    "detectors": {
        "heavy": {"label": "+mass", "type": "Variable", "representation": "vector", "seeds": [1, 2]},
        "wide": {"label": "+girth", "type": "Variable", "representation": "vector"},
    },
    "tasks": {
        "search": {
            "background": "qcd",
            "signals": ["top"],
            "detectors": ["heavy", "wide"],
            "any_window": False,
            "seeds": [1],
        }
    },
    "evaluation": {"eps_b": [0.1, 0.01], "eps_s": [0.3], "working_point": 0.1, "supervised": "vector"},
    "style": {},
    "students": {},
}
FOUND = {"group": "baseline", "score_name": "score", "energy": False, "generating": False, "reconstructing": False}


@pytest.fixture(scope="session")
def finished(make_events, tmp_path_factory):
    """The folder of a run of two observables, whose scores are those of 400 background and 300 signal events.

    The supervised line, and the second training of 'heavy', are numbers that were drawn.
    """
    folder = tmp_path_factory.mktemp("finished") / "results"
    made = {"qcd": make_events(400, 1), "top": make_events(300, 2, prongs=2)}
    samples = {name: replace(events, split=np.full_like(events.split, 2)) for name, events in made.items()}  # of test
    features = {name: Features.of(EventVector(("mass", "girth")), events) for name, events in samples.items()}
    for name, events in samples.items():
        events.write(folder / f"events/{name}.h5")
    scores = {name: {} for name in samples}
    for name, spec in SPEC.items():
        for seed in CONFIG["detectors"][name].get("seeds", [1]):
            detector = detectors.build(spec, EventVector(("mass", "girth")).space, 0)
            detector.fit(features["qcd"].x, features["qcd"].x, generator=torch.Generator())
            detectors.save(detector, folder / f"models/search/{name}/{seed}.safetensors", spec)
            for sample, of in features.items():
                scores[sample][f"{name}/{seed}"] = detector.score(of.x).numpy()
    rng = np.random.default_rng(5)
    for sample, of in scores.items():
        of["heavy/2"] = of["heavy/2"] + rng.normal(0, 20, len(of["heavy/2"])).astype(np.float32)
        write_scores(folder / f"scores/search/{sample}.h5", [(of, features[sample])])
    records = [
        {"task": "search", "signal": "top", "detector": key.split("/")[0], "seed": int(key.split("/")[1]),
         "group": "baseline" if key.startswith("wide") else "detector",
         "evaluation": to_json(evaluate(scores["qcd"][key], scores["top"][key], eps_b=[0.1, 0.01], eps_s=[0.3]))}
        for key in scores["qcd"]
    ]  # fmt: skip
    trees = evaluate(rng.normal(0, 1, 400), rng.normal(3, 1, 300), eps_b=[0.1, 0.01], eps_s=[0.3])
    records += [{**records[0], "detector": "supervised", "group": "supervised", "evaluation": to_json(trees)}]
    write_json(folder / "evaluation/search/top.json", records)
    read = read_records([folder / "evaluation/search/top.json"])
    write_seed_spread(folder / "seed_spread.csv", [r for r in read if r["group"] != "supervised"])
    write_latex(folder / "search_efficiency.tex", "efficiency", read, task="search", at=0.1)
    stored = {("search", sample): read_scores(folder / f"scores/search/{sample}.h5")[0] for sample in samples}
    rows = regrets(read, areas(read, stored, {"search": "qcd"}), 0.1)
    write_json(folder / "regret.json", rows)
    write_regret(folder / "regret.csv", rows)
    made = {"config": CONFIG, "detectors": dict.fromkeys(VARIABLES, FOUND)}
    write_json(folder / plan.PATH.relative_to("results"), {"of": {}, "plan": made})
    return folder
