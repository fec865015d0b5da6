"""The workflow on a sum of generated slices: seeds, identifiers, weights, and rates as a count over the events."""

import csv

import numpy as np
import pytest
import yaml
from command_line import ROOT, snakemake

from hepad.evaluation.scores import read_scores
from hepad.events import FIRST_IDS, SPLITS, Events
from hepad.samples.metadata import merge_meta
from hepad.samples.sources import check_files
from hepad.storage.files import read_json

pytestmark = pytest.mark.slow
pytest.importorskip("pythia8mc")

SLICES = {"soft": ["PhaseSpace:pTHatMin = 150", "PhaseSpace:pTHatMax = 300"], "hard": ["PhaseSpace:pTHatMin = 300"]}
MENU = {"seeds": {"Jet300": "jet_pt > 300"}, "budget": "total"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run up to the tables of rates; the sum, and the hard slice as a sample of its own."""
    folder, card = tmp_path_factory.mktemp("sum"), str(ROOT / "config/cards/qcd.cmnd")
    shared = {"card": card, "jets": 60, "chunks": 2, "seed": 7, "response": False}
    processes = {name: {"settings": settings} for name, settings in SLICES.items()}
    processes["given"] = {"settings": SLICES["hard"], "cross_section_pb": 1.0, "jets": 40, "chunks": 1}
    processes = {name: {**shared, **process} for name, process in processes.items()}
    entry = {"selection": {"pt": [200, 2000], "abs_eta": 2.5}, "split": [0.2, 0.2, 0.6]}
    rate = {"rate": {"kind": "cross_section", "luminosity": 2e34}, "menu": MENU}
    config = {
        "device": "cpu",
        "samples": {
            "sum": {"source": {"processes": processes}} | entry | rate,
            "alone": {"source": shared | {"settings": SLICES["hard"], "seed": 9}} | entry,
        },
        "representations": {"event": {"type": "EventVector", "variables": ["jet_pt", "mass"]}},
        "detectors": {"pt": {"type": "Variable", "representation": "event", "variable": "jet_pt"}},
        "tasks": {"hlt": {"background": "sum", "signals": ["alone"], "detectors": ["pt"]}},
        "evaluation": {"supervised": "event", "rates_khz": [0.3]},
        "chunk_events": {"reading": 60},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    targets = ("results/rates.csv", "results/hlt_menu.csv", "results/data_quality.csv")
    result = snakemake(folder / "run", folder / "config.yaml", *targets)
    assert result.returncode == 0, result.stdout
    return folder / "run" / "results"


def test_chunks_of_all_processes_have_seeds_and_identifiers_of_their_own(finished):
    files = [str(finished / f"samples/sum/{chunk}.root") for chunk in range(5)]
    metas = [look.meta for look in check_files({"files": files[:1]}).values()]
    for file in files[1:]:
        metas += [look.meta for look in check_files({"files": [file]}).values()]
    assert [meta["seed"] for meta in metas] == [7000, 7001, 7002, 7003, 7004]
    events = Events.read(finished / "events" / "sum.h5")
    assert len(np.unique(events.row_id)) == len(events) == 160
    soft = events.truth["process"] == 0
    assert set(events.event_id[soft] // FIRST_IDS) == {0, 1}
    assert np.bincount(events.truth["process"].astype(int)).tolist() == [60, 60, 40]
    assert events.truth["hard_pt"][soft].max() < 300 < events.truth["hard_pt"][~soft].min()


def test_weights_are_the_accepted_cross_sections(finished):
    events = Events.read(finished / "events" / "sum.h5")
    for number, (name, chunks) in enumerate({"soft": (0, 1), "hard": (2, 3), "given": (4,)}.items()):
        looks = [check_files({"files": [str(finished / f"samples/sum/{chunk}.root")]}) for chunk in chunks]
        meta = merge_meta([look.meta for found in looks for look in found.values()])
        sigma = meta["cross_section_pb"]
        if name == "given":  # of all events, of which some were given up
            sigma = meta["n_tried"] / (meta["n_tried"] + meta["n_given_up"])
        weights = events.weight[events.truth["process"] == number]
        assert weights.sum() == pytest.approx(sigma * meta["acceptance"], rel=1e-9)
        assert np.ptp(weights) == pytest.approx(0, abs=1e-12 * weights[0])
    total = events.meta["cross_section_pb"] * events.meta["acceptance"]
    assert total == pytest.approx(events.weight.sum(), rel=1e-9)


def test_rates_are_a_count_over_the_events(finished):
    events = Events.read(finished / "events" / "sum.h5")
    hz = 2e34 * 1e-36 * events.weight.sum()
    test = events[events.split == SPLITS.index("test")]
    _, about = read_scores(finished / "scores" / "hlt" / "sum.h5")
    np.testing.assert_array_equal(about["weight"], test.weight)
    with open(finished / "hlt_menu.csv", newline="") as file:
        rows = {(row["sample"], row["seed"], row["process"]): row for row in csv.DictReader(file)}
    fired = test.jet[:, 0] > 300
    for number, name in enumerate(("soft", "hard", "given", "")):
        of = fired & ((test.truth["process"] == number) | (name == ""))
        expected = hz * test.weight[of].sum() / test.weight.sum() / 1000
        assert float(rows["sum", "Jet300", name]["total_khz"]) == pytest.approx(expected, rel=1e-5)
    assert ("alone", "Jet300", "") in rows
    (point,) = read_json(finished / "rates" / "hlt.json")[0]["points"]
    above = test.jet[:, 0] > point["threshold"]
    assert point["total"]["value"] == pytest.approx(test.weight[above].sum() / test.weight.sum(), rel=1e-9)
    assert 1000 * point["budget_khz"] >= point["total"]["value"] * hz
    parts = [test.weight[above & (test.truth["process"] == number)].sum() for number in range(3)]
    assert list(point["processes"].values()) == pytest.approx([part / sum(parts) for part in parts], rel=1e-9)
    assert "process hard,read,60" in (finished / "data_quality.csv").read_text()
