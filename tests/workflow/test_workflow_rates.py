"""The workflow on real CMS data with its 524 first-level bits: what rates.csv says is what a direct count finds."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import snakemake

from hepad.evaluation.scores import read_scores
from hepad.events import Events

FILE = Path(os.environ.get("HEPAD_DATA", "")) / "hep" / "nano_dimuon.root"
PRESCALES = (1, 0, 2, 5)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILE.is_file(), reason="HEPAD_DATA has no nano_dimuon.root"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run up to rates.csv, with a menu of half of the bits.

    Events that fired a muon trigger are neither unbiased crossings nor a process with a cross-section: no rate is
    declared, and budgets are background efficiencies. The data also stand in for a signal.
    """
    uproot = pytest.importorskip("uproot")
    folder = tmp_path_factory.mktemp("rates")
    with uproot.open(FILE) as file:
        seeds = sorted(name for name in file["Events"].keys() if name.startswith("L1_"))  # noqa: SIM118  a TTree
    lines = [f"{i},{name},{PRESCALES[i % 4]}" for i, name in enumerate(seeds)]
    (folder / "menu.csv").write_text("\n".join(["Index,Name,2p0E34", *lines, "600,L1_AXO_Medium,1"]))
    sample = {"source": {"files": [str(FILE)], "triggers": ["L1_*"]}, "selection": "any", "split": [0.2, 0.2, 0.6]}
    menu = {"table": str(folder / "menu.csv"), "column": "2p0E34", "budget": "total"}
    config = {
        "device": "cpu",
        "samples": {"data": sample | {"menu": menu}, "again": sample},
        "representations": {"event": {"type": "EventVector", "variables": ["met"]}},
        "detectors": {"met": {"type": "Variable", "representation": "event", "variable": "met"}},
        "tasks": {"l1": {"background": "data", "signals": ["again"], "detectors": ["met"], "any_window": True}},
        "evaluation": {"supervised": "event", "eps_b": [0.5, 0.1]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(folder / "run", folder / "config.yaml", "results/rates.csv")
    assert result.returncode == 0, result.stdout
    return folder / "run" / "results", dict(zip(seeds, PRESCALES * 131, strict=True))


def test_rates_of_real_data_are_a_direct_count(finished):
    import uproot

    results, prescales = finished
    with open(results / "rates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    events = Events.read(results / "events" / "data.h5").of_split("test")
    scores, about = read_scores(results / "scores" / "l1" / "data.h5")
    np.testing.assert_array_equal(about["event_id"], events.event_id)
    with uproot.open(FILE) as file:
        tree = file["Events"]
        numbers = tree.arrays(["run", "luminosityBlock", "event"], library="np")
        fired = {name: tree[name].array(library="np").astype(bool) for name in prescales}
    where = {key: i for i, key in enumerate(zip(*(x.tolist() for x in numbers.values()), strict=True))}
    facts = [events.facts[name].tolist() for name in ("run", "luminosity_block", "event")]
    entry = [where[key] for key in zip(*facts, strict=True)]
    assert len(prescales) == 524
    assert len(set(entry)) == len(entry) > 15
    refused = np.ones(len(entry))
    for name, prescale in prescales.items():
        if prescale:
            refused *= np.where(fired[name][entry], 1 - 1 / prescale, 1)
    assert [row["eps_b"] for row in rows] == ["0.5", "0.1"]
    for row in rows:
        passes = scores["met/1"] > float(row["threshold"])
        assert 0 < passes.sum() <= float(row["eps_b"]) * len(entry)
        assert int(row["passed"]) == passes.sum()
        for of, counted in (("total", 1), ("pure", refused), ("overlap", 1 - refused)):
            assert float(row[of]) == pytest.approx((passes * counted).mean(), rel=1e-5, abs=1e-12)
        assert float(row["menu"]) == pytest.approx((1 - refused).mean(), rel=1e-5)
        assert float(row["gain"]) == pytest.approx((passes * refused).mean(), rel=1e-5, abs=1e-12)
        # nothing is in Hz that does not say what its rate is made of
        assert row["budget_khz"] == row["total_khz"] == row["pure_khz"] == row["overlap_khz"] == ""
        assert "L1_AXO_Medium" in row["remark"]
