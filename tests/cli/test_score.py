"""Files scored with the models of a finished run, and the files of scores, read by others' means."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import uproot

from hepad import load
from hepad.cli.main import main
from hepad.config.results import Results
from hepad.config.scoring import Models, models, report, score_files
from hepad.detectors import build, save
from hepad.errors import InputError
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import distribution
from hepad.representations import EventVector
from hepad.samples.root_output import write_root

COLUMNS = ["file", "event_id", "run", "luminosity_block", "event", "jet_pt", "jet_eta", "jet_phi", "jet_mass",
           "score_heavy_1", "score_heavy_2", "score_wide_1"]  # fmt: skip


@pytest.fixture(scope="module")
def signal(make_events, tmp_path_factory):
    """Two files, of 80 and 30 events, and all of their events."""
    folder, parts = tmp_path_factory.mktemp("signal"), [make_events(80, 2), make_events(30, 9)]
    numbers = {name: np.arange(80, dtype=np.int64) + 5 for name in ("run", "luminosity_block", "event")}
    parts[0] = replace(parts[0], facts=numbers)
    for number, events in enumerate(parts):
        events.weight[::3] = -1  # counted once, all the same
        write_root(events, folder / f"{number}.root")
    return folder, parts


def test_scores_and_counts_are_those_of_the_model(finished, signal):
    folder, parts = signal
    found, _ = score_files([str(folder / "*.root")], models(Results(finished), "search"), 0.1)
    vector = EventVector(("mass", "girth"))(parts[0]).numpy()
    np.testing.assert_allclose(found.columns["score_heavy_1"], vector[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.columns["score_wide_1"], vector[:, 1], rtol=1e-4)
    background = np.sort(read_scores(finished / "scores/search/qcd.h5")[0]["heavy/1"])
    threshold = background[-41]  # forty of four hundred are above
    passing = found.passing["heavy/1"]
    assert (passing.passed, passing.total) == ((found.columns["score_heavy_1"] > threshold).sum(), 80)
    assert passing.low < passing.value < passing.high
    assert found.counts["read"] == found.counts["kept"] == 80
    assert any(f"{passing.passed} of 80" in line for line in report(found, 0.1))


def root(path):
    with uproot.open(path) as file:
        tables = [file[name].arrays(library="np") for name in ("scores", "thresholds")]
        return *tables, json.loads(str(file["meta"]))


def parquet(path):
    with pq.ParquetFile(path) as file:
        table, about = file.read(), file.metadata.metadata
    thresholds = {k: np.array(v, float) for k, v in json.loads(about[b"thresholds"]).items()}
    return {x: table[x].to_numpy() for x in table.column_names}, thresholds, json.loads(about[b"meta"])


def hdf5(path):
    with h5py.File(path) as file:
        columns = {name: item[:] for name, item in file.items() if name not in ("thresholds", "meta")}
        return columns, {k: v[:] for k, v in file["thresholds"].items()}, json.loads(file["meta"][()])


@pytest.mark.parametrize(("ending", "read"), [(".root", root), (".parquet", parquet), (".h5", hdf5)])
def test_files_of_scores_are_read_back(ending, read, finished, signal, tmp_path, capsys):
    folder, parts = signal
    path = tmp_path / f"scores{ending}"
    main(["score", str(folder / "*.root"), "--task", "search", "--results", str(finished), "--to", str(path)])
    assert f"written: {path}" in capsys.readouterr().out
    assert [x.name for x in tmp_path.iterdir()] == [path.name]
    columns, thresholds, meta = read(path)
    assert sorted(columns) == sorted(COLUMNS)
    jets = np.concatenate([events.jet for events in parts])
    for i, name in enumerate(("pt", "eta", "phi", "mass")):
        np.testing.assert_allclose(columns[f"jet_{name}"], jets[:, i], rtol=1e-6)
    assert columns["file"].tolist() == [0] * 80 + [1] * 30
    assert [meta["files"][i] for i in (0, 1)] == [str(folder / "0.root"), str(folder / "1.root")]
    assert columns["event_id"].tolist() == [*parts[0].event_id, *parts[1].event_id]
    for name in ("run", "luminosity_block", "event"):
        assert columns[name].tolist() == [*range(5, 85), *[-1] * 30]
    vector = np.concatenate([EventVector(("mass", "girth"))(events).numpy() for events in parts])
    np.testing.assert_allclose(columns["score_heavy_1"], vector[:, 0], rtol=1e-4)
    np.testing.assert_allclose(columns["score_wide_1"], vector[:, 1], rtol=1e-4)
    background = np.sort(read_scores(finished / "scores/search/qcd.h5")[0]["wide/1"])
    assert thresholds["eps_b"].tolist() == [0.1, 0.01]
    assert background[-41] <= thresholds["score_wide_1"][0] < background[-40]
    assert np.isnan(thresholds["score_wide_1"][1])  # four events do not fix one


def test_p_values_are_those_of_the_test_background(finished, signal, tmp_path):
    path, files = tmp_path / "s.h5", str(signal[0] / "*.root")
    main(["score", files, "--task", "search", "--results", str(finished), "--p-values", "--to", str(path)])
    columns, *_ = hdf5(path)
    assert sorted(columns) == sorted([*COLUMNS, "p_heavy_1", "p_heavy_2", "p_wide_1"])
    for key in ("heavy/1", "wide/1"):
        background = read_scores(finished / "scores/search/qcd.h5")[0][key]
        scores, name = columns[f"score_{key.replace('/', '_')}"], key.replace("/", "_")
        counted = [(1 + (background >= s).sum()) / (len(background) + 1) for s in scores]
        np.testing.assert_allclose(columns[f"p_{name}"], counted)


def test_p_values_that_the_background_does_not_resolve_are_refused_with_both(finished, signal, tmp_path, capsys):
    which = ["score", str(signal[0] / "1.root"), "--task", "search", "--results", str(finished), "--p-values"]
    with pytest.raises(
        SystemExit, match=r"--eps-b: heavy/1: p-values: 400 calibration events give none below 0.00249, and 0"
    ):
        main([*which, "--to", str(tmp_path / "s.h5"), "--eps-b", "0.001"])
    with pytest.raises(SystemExit, match=r"--p-values: .* Give one with --to"):
        main(which)
    assert not list(tmp_path.iterdir())


def test_a_combination_is_told_by_its_parts(finished, signal, make_events, tmp_path):
    config = {**Results(finished).config}
    members = [
        {"name": name, "type": "Variable", "arguments": {"variable": variable}}
        for name, variable in (("heavy", "mass"), ("wide", "girth"))
    ]
    spec = {"type": "Combination", "arguments": {"members": members}}
    x, vector = EventVector(("mass", "girth"))(make_events(400, 1)), EventVector(("mass", "girth"))
    detector = build(spec, vector.space, 0)
    detector.fit(x, x, generator=torch.Generator())
    save(detector, tmp_path / "c.safetensors", spec)
    found = Models(
        {"both/1": load(tmp_path / "c.safetensors")}, {"both/1": "vector"}, {"vector": vector},
        {"both/1": distribution("background", detector.score(x))}, config["samples"]["qcd"]["selection"],
    )  # fmt: skip
    (columns,) = [of.columns for of in score_files([str(signal[0] / "1.root")], found, 0.1, True)]
    assert [name for name in columns if name[:2] == "p_"] == ["p_both_1", "p_both_1_heavy", "p_both_1_wide"]
    mass = vector(signal[1][1])[:, 0].numpy()
    background = x[:, 0].numpy()
    np.testing.assert_allclose(
        columns["p_both_1_heavy"], [(1 + (background >= m).sum()) / 401 for m in mass], atol=0.03
    )


def test_chosen_detectors_alone(finished, signal, tmp_path):
    path = tmp_path / "s.parquet"
    which = ("--task", "search", "--results", str(finished), "--detectors", "wide")
    main(["score", str(signal[0] / "1.root"), *which, "--to", str(path)])
    assert [x for x in parquet(path)[0] if x.startswith("score")] == ["score_wide_1"]


def test_events_outside_of_the_window_are_told_with_both(finished, make_events, tmp_path, capsys):
    """Ten jets of 1.4 TeV passed as '9 of 10 above the threshold', without a remark."""
    events = make_events(10, 7)
    hard = {"jet": events.jet.copy(), "constituents": events.constituents.copy()}
    for momenta in hard.values():
        momenta[..., 0] *= 2.4
    hard["jet"][:, 3] *= 2.4
    write_root(replace(events, **hard), tmp_path / "hard.root")
    write_root(events, tmp_path / "usual.root")
    where = ("--task", "search", "--results", str(finished), "--to")
    main(["score", str(tmp_path / "hard.root"), *where, str(tmp_path / "s.h5")])
    text = capsys.readouterr().out
    low, high = hard["jet"][:, 0].min(), hard["jet"][:, 0].max()
    warning = (
        "10 of 10 events lie outside the window of the training, pt 550 to 650 GeV, |eta| < 2: "
        f"theirs have pt {low:.4g} to {high:.4g} GeV"
    )
    assert f"WARNING: {warning}" in text
    assert hdf5(tmp_path / "s.h5")[2]["warnings"][str(tmp_path / "hard.root")].startswith(warning)
    inside = ((events.jet[:, 0] > 550) & (events.jet[:, 0] < 650)).sum()
    main(["score", str(tmp_path / "usual.root"), *where, str(tmp_path / "usual.h5")])
    text = capsys.readouterr().out
    assert ("WARNING" in text) == (inside < 10)
    assert not hdf5(tmp_path / "usual.h5")[2]["warnings"] or inside < 10


def test_what_a_file_lacks_gives_no_score(finished, make_events, tmp_path, capsys):
    events = make_events(6, 3)
    bare = replace(events, constituents=np.zeros((6, 0, 4), np.float32))
    write_root(bare, tmp_path / "bare.root")
    write_root(events, tmp_path / "full.root")
    files = [str(tmp_path / "bare.root"), str(tmp_path / "full.root")]
    main(["score", *files, "--task", "search", "--results", str(finished), "--to", str(tmp_path / "s.root")])
    assert "not represented as 'vector'" in capsys.readouterr().out
    columns, *_ = root(tmp_path / "s.root")
    assert np.isnan(columns["score_wide_1"][:6]).all()
    assert np.isfinite(columns["score_wide_1"][6:]).all()


def test_what_cannot_be_scored_is_said(finished, signal, tmp_path):
    run = Results(shutil.copytree(finished, tmp_path / "results"))
    files = [str(signal[0] / "0.root")]
    with pytest.raises(InputError, match=r"task 'serch' is unknown.*Did you mean 'search'"):
        models(run, "serch")
    with pytest.raises(InputError, match=r"detector of task 'search' 'hevy' is unknown.*Did you mean 'heavy'"):
        models(run, "search", ["hevy"])
    with pytest.raises(InputError, match="matches no file"):
        next(score_files([str(tmp_path / "none.root")], models(run, "search")))
    (run.folder / "models/search/wide/1.safetensors").unlink()
    with pytest.raises(InputError, match=r"wide/1\.safetensors is missing: the run is not finished\.") as error:
        models(run, "search")
    assert "Delete" not in str(error.value)
    (run.folder / "scores/search/qcd.h5").unlink()
    with pytest.raises(InputError, match=r"qcd\.h5 is missing: the run is not finished"):
        models(run, "search", ["heavy"])
    for wrong, words in (
        (
            ("--to", "scores.txt"),
            "--to scores.txt: the ending '.txt' stands for no format. Allowed: .root, .parquet, .h5",
        ),
        (("--eps-b", "3"), "--eps-b 3: a fraction of the background is needed"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["score", *files, "--task", "search", "--results", str(finished), *wrong])
        assert words in str(ended.value)


def test_scores_that_are_there_are_not_written_over(finished, signal, tmp_path):
    (tmp_path / "scores.root").write_text("of another time")
    with pytest.raises(SystemExit, match=r"scores\.root: it is there already\. Delete it, or give another file"):
        main(["score", str(signal[0] / "0.root"), "--task", "search", "--results", str(finished), "--to",
              str(tmp_path / "scores.root")])  # fmt: skip
    assert (tmp_path / "scores.root").read_text() == "of another time"


def test_a_bad_file_leaves_no_scores(finished, signal, tmp_path):
    (tmp_path / "bad.root").write_bytes((signal[0] / "0.root").read_bytes()[:3000])
    with pytest.raises(SystemExit):
        main(["score", str(signal[0] / "0.root"), str(tmp_path / "bad.root"), "--task", "search", "--results",
              str(finished), "--to", str(tmp_path / "s.root")])  # fmt: skip
    assert [x.name for x in tmp_path.iterdir()] == ["bad.root"]


@pytest.mark.parametrize("module", ["hepad.samples.clustering", "hepad.representations.declustering"])
def test_fastjet_writes_nothing_of_itself(module):
    code = f"import {module}; from fastjet import _swig; print(_swig.ClusterSequence.fastjet_banner_stream())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "None\n"
