"""Blindness: in the job graph of every shipped configuration, models descend from background training data alone."""

import re

import pytest
import yaml
from command_line import GENERATED, planned


def ancestors(jobs, files):
    """All files that ``files`` are made from, by any number of jobs."""
    parents = {output: job.inputs for job in jobs for output in job.outputs}
    found, new = set(), set(files)
    while new:
        new = {parent for file in new for parent in parents.get(file, ())} - found
        found |= new
    return found


def models(jobs, task):
    return {output for job in jobs for output in job.outputs if output.startswith(f"results/models/{task}/")}


def not_blind(jobs, config, task):
    """Ancestors of a task's models other than its background's training features and what these are made of."""
    background = config["tasks"][task]["background"]
    allowed = (
        rf"results/samples/{background}/\d+\.root",
        rf"results/(events/{background}(/\d+)?\.h5|features/\w+/{background}(/\d+)?\.train\.h5)",
        rf"results/models/{task}/\w+/\d+\.safetensors",  # members of a combination, whose own ancestors are among these
    )
    found = ancestors(jobs, models(jobs, task))
    return {path for path in found if not any(re.fullmatch(pattern, path) for pattern in allowed)}


# the graph of the default configuration, and where there is time those of the others
PARAMS = [pytest.param(x, id=x.stem, marks=[pytest.mark.slow] * (x.stem != "config")) for x in GENERATED]


@pytest.fixture(scope="module", params=PARAMS)
def graph(request, tmp_path_factory):
    """(configuration as written, all jobs)"""
    directory = tmp_path_factory.mktemp("graph") / "run"
    return yaml.safe_load(request.param.read_text()), planned(directory, request.param, "--forceall")


def test_models_see_the_training_part_of_the_background_alone(graph):
    config, jobs = graph
    for task, entry in config["tasks"].items():
        made = models(jobs, task)
        for detector in entry["detectors"]:
            for seed in config["detectors"][detector].get("seeds", entry.get("seeds", [1])):
                assert f"results/models/{task}/{detector}/{seed}.safetensors" in made
        assert not not_blind(jobs, config, task)
        for signal in entry["signals"]:
            of_signal = re.compile(rf"/{signal}(/|\.)")
            assert not [path for path in ancestors(jobs, made) if of_signal.search(path)]


def test_models_are_made_by_rules_named_train_and_these_make_nothing_else(graph):
    for job in graph[1]:
        for output in job.outputs:
            assert job.rule.startswith("train") == output.startswith("results/models/"), (job.rule, output)


def test_nothing_blind_descends_from_the_supervised_trees(graph):
    config, jobs = graph
    blind = {o for job in jobs for o in job.outputs if re.match(r"results/(models|scores|features|events)/", o)}
    assert not [path for path in ancestors(jobs, blind) if path.startswith("results/supervised/")]
    for task, entry in config["tasks"].items():
        for sample in (entry["background"], *entry["signals"]):
            assert f"results/scores/{task}/{sample}.h5" in blind
    assert [job for job in jobs if job.rule == "supervised_trees"]


@pytest.mark.parametrize(
    "forbidden",
    [
        "results/features/{representation}/{signal}/0.train.h5",
        "results/features/{representation}/{background}/0.test.h5",
        "results/events/{signal}.h5",
        "results/samples/{signal}/0.root",
        "results/scores/{task}/{signal}.h5",
        "results/supervised/{task}/{signal}_background.h5",
    ],
)
@pytest.mark.parametrize("into", ["train_detector", "represent"])
def test_a_forbidden_edge_is_found(graph, forbidden, into):
    """The walk is not blind itself: one wrong input, of a training or further up, is reported."""
    config, jobs = graph
    for task, entry in config["tasks"].items():
        names = {"task": task, "background": entry["background"], "signal": entry["signals"][0]}
        names["representation"] = config["detectors"][entry["detectors"][0]]["representation"]
        path = forbidden.format(**names)
        assert any(path in job.outputs for job in jobs), "the edge begins at a file that exists"
        ends = {
            "train_detector": f"results/models/{task}/{entry['detectors'][0]}/{entry.get('seeds', [1])[0]}.safetensors",
            "represent": "results/features/{representation}/{background}/0.train.h5".format(**names),
        }
        altered = [j._replace(inputs=(*j.inputs, path)) if ends[into] in j.outputs else j for j in jobs]
        assert not_blind(jobs, config, task) == set()
        assert path in not_blind(altered, config, task)
