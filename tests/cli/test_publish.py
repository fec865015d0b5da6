"""``hepad publish``: what it writes holds the numbers of the run, and every reader takes it."""

import csv
import json
import shutil
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import uproot
import yaml
from hepdata_validator.full_submission_validator import FullSubmissionValidator
from PIL import Image

from hepad.cli import shipped
from hepad.cli.main import main
from hepad.config.publication import citation
from hepad.config.publication.hepdata import MISSING
from hepad.config.publication.root_file import tlatex
from hepad.config.results import Results
from hepad.evaluation.efficiency import MIN_COUNT
from hepad.evaluation.scores import read_scores
from hepad.evaluation.tables import COLUMNS, read_records, write_csv
from hepad.storage.files import read_json, write_json, write_rows

FIGURES = ("auc", "correlation", "headline_top", "score_grid", "seeds")
RATES = ("task", "detector", "seed", "signal", "eps_b", "threshold", "threshold_low", "threshold_high", "resolved")


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A finished run with tables and some figures, and with its energy."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("publish") / "results")
    records = read_records([folder / "evaluation/search/top.json"])
    for kind in COLUMNS:
        write_csv(folder / f"{kind}.csv", kind, records)
    points = [(0.1, 0.1 + 0.2, 0.25, 0.35, True), (0.01, 1.5, 1.25, None, False)]
    rows = [("search", "heavy", 1, "top", *point) for point in points]
    write_rows(folder / "rates.csv", RATES, [dict(zip(RATES, row, strict=True)) for row in rows])
    (folder / "figures/search").mkdir(parents=True)
    for name in FIGURES:  # pictures in their place: what is published is drawn anew
        Image.new("RGB", (900, 490), "white").save(folder / f"figures/search/{name}.png")
    return folder


@pytest.fixture(scope="module")
def published(run):
    main(["publish", "--results", str(run), "--to", str(run.parent / "publication")])
    return run.parent / "publication"


@pytest.fixture(scope="module")
def submission(published):
    """The tables of the submission by name: what it says of each, and its data."""
    head, *tables = yaml.safe_load_all((published / "hepdata/submission.yaml").read_text())
    read = {table["name"]: yaml.safe_load((published / "hepdata" / table["data_file"]).read_text()) for table in tables}
    return SimpleNamespace(head=head, said={table["name"]: table for table in tables}, data=read)


def rows(folder, name):
    with open(folder / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["publish", *map(str, arguments)])
    message = str(ended.value)
    assert message.startswith("ERROR: ")
    assert len(message.splitlines()) == 1
    return message


def variable(table, name, **qualifiers):
    """The dependent variable of this name and these qualifiers."""
    (found,) = (v for v in table["dependent_variables"] if v["header"]["name"] == name
                and qualifiers.items() <= {q["name"]: q["value"] for q in v["qualifiers"]}.items())  # fmt: skip
    return found


def interval(cell):
    """Value, lower and upper end of a cell; the value alone without an interval."""
    if "errors" not in cell:
        return [cell["value"]]
    (error,) = cell["errors"]
    both = error.get("asymerror") or {"minus": -error["symerror"], "plus": error["symerror"]}
    return [cell["value"], cell["value"] + both["minus"], cell["value"] + both["plus"]]


def test_hepdata_takes_the_submission(published, submission):
    assert FullSubmissionValidator().validate(archive=str(published / "submission.tar.gz"))
    with tarfile.open(published / "submission.tar.gz") as archive:
        packed = archive.getnames()
    assert sorted(set(packed)) == sorted(path.name for path in (published / "hepdata").iterdir())
    assert {name.split()[0] for name in submission.data} == {
        "auc",
        "efficiency",
        "rejection",
        "seed_spread",
        "rates",
        "regret",
        "search",
    }
    for name, said in submission.said.items():
        pictures = [found["location"] for found in said.get("additional_resources", ())]
        assert all((published / "hepdata" / picture).is_file() for picture in pictures)
        assert len(pictures) == (2 if name.startswith("search") else 0)
    with Image.open(published / "hepdata/thumb_search_headline_top.png") as image:
        assert max(image.size) <= 240


@pytest.mark.parametrize(("name", "key", "value", "axes"), [
    ("auc", (), "auc", ("AUC",)),
    ("efficiency", ("eps_b",), "eps_s", (r"$\epsilon_S$", r"$\epsilon_B$")),
    ("rejection", ("eps_s",), "inverse_eps_b", (r"$1/\epsilon_B$", r"$\epsilon_S$")),
])  # fmt: skip
def test_tables_have_the_numbers_of_the_run(run, submission, name, key, value, axes):
    table, known = submission.data[f"{name} search top"], rows(run, name)
    keys = {v["header"]["name"]: [cell["value"] for cell in v["values"]] for v in table["independent_variables"]}
    assert keys["detector"] == [row["detector"] for row in known]
    assert keys["seed"] == [int(row["seed"]) for row in known]
    for axis, column in zip(axes[1:], key, strict=True):
        one = {q["name"]: q["value"] for q in variable(table, axes[0])["qualifiers"]}
        assert keys.get(axis, [one.get(axis)] * len(known)) == [float(row[column]) for row in known]
    ends = ("low", "high") if name == "rejection" else (f"{value}_low", f"{value}_high")
    cells = variable(table, axes[0])["values"]
    assert len(cells) == len(known)
    for cell, row in zip(cells, known, strict=True):
        if row[value]:
            np.testing.assert_allclose(interval(cell), [float(row[k]) for k in (value, *ends)], rtol=2e-5)
            assert all(error["label"] == "68.3 % interval" for error in cell["errors"])
        else:
            assert cell == {"value": MISSING}
    assert any(row[value] for row in known) == (name != "rejection")
    assert all(row[value] for row in known) == (name == "auc")
    if name == "rejection":  # a bound is known all the same
        alone = variable(table, r"$1/\epsilon_B$, lower end alone")["values"]
        assert [cell["value"] for cell in alone] == [float(row["low"]) for row in known]


def test_what_is_the_same_everywhere_is_said_once(run, submission):
    found = variable(submission.data["auc search top"], "AUC")["qualifiers"]
    known = {q["name"]: q["value"] for q in found}
    assert (known["Task"], known["Background"], known["Signal"]) == ("search", "QCD", "top")
    said = submission.said["auc search top"]
    assert said["description"].startswith("Area under the efficiency curve with its 68.3 % interval")
    assert said["location"] == "results/auc.csv"
    (trainings,) = (
        v for v in submission.data["rates search top"]["dependent_variables"] if v["header"]["name"] == "resolved"
    )
    assert {"name": "seed", "value": 1} in trainings["qualifiers"]


def test_what_is_not_resolved_is_missing_and_thresholds_have_all_digits(submission):
    table = submission.data["rates search top"]
    first, second = variable(table, "threshold")["values"]
    assert first["value"] == 0.1 + 0.2
    assert first["errors"] == [{"symerror": 0.05, "label": "68.3 % interval"}]
    assert second == {"value": MISSING}
    assert [v["header"]["name"] for v in table["dependent_variables"]] == ["threshold", "resolved"]


def test_figures_have_the_numbers_behind_them(run, submission):
    """The curve of a single training is that of the evaluation, where enough background passes."""
    (record,) = (r for r in read_json(run / "evaluation/search/top.json") if r["detector"] == "wide")
    curve = {key: np.array(values) for key, values in record["evaluation"]["curve"].items()}
    good = curve["independent"] >= MIN_COUNT
    panel = [table for name, table in submission.data.items() if "headline_top panel 2" in name]
    of = {q["value"]: table for table in panel for v in table["dependent_variables"] for q in v["qualifiers"]}
    table = of["opponent: +girth"]
    at = np.array([cell["value"] for cell in table["independent_variables"][0]["values"]])
    values = variable(table, r"signal efficiency $\epsilon_S$", Curve="opponent: +girth")["values"]
    known = dict(zip(at.tolist(), values, strict=True))
    shown = [known[float(f"{x:.6g}")] for x in curve["eps_b"][good]]
    expected = [curve[key][good] for key in ("eps_s", "low", "high")]
    for cell, *numbers in zip(shown, *expected, strict=True):
        found = interval(cell)
        np.testing.assert_allclose(found, numbers[: len(found)], rtol=1e-5, atol=1e-7)
    others = [cell for x, cell in known.items() if x not in {float(f"{x:.6g}") for x in curve["eps_b"][good]}]
    assert all(cell == {"value": MISSING} for cell in others)


def test_auc_of_a_figure_is_that_of_the_table(run, submission):
    table = submission.data["search auc"]
    (names,) = table["independent_variables"]
    (found,) = (v for v in table["dependent_variables"] if v["header"]["name"] == "AUC, task search")
    of = {}
    for name, cell in zip(names["values"], found["values"], strict=True):
        of.setdefault(name["value"], []).append(interval(cell))
    for row in rows(run, "auc"):
        label = {"heavy": "+mass", "wide": "+girth"}.get(row["detector"], "gradient-boosted trees")
        expected = [float(row[key]) for key in ("auc", "auc_low", "auc_high")]
        assert any(np.allclose(values, expected, rtol=2e-5) for values in of[label])
    assert sum(map(len, of.values())) == len(rows(run, "auc"))


def test_root_has_trees_graphs_and_histograms(run, published):
    with uproot.open(published / "hepad.root") as file:
        for name in ("auc", "efficiency", "rejection", "seed_spread", "rates", "regret"):
            arrays, known = file[f"tables/{name}"].arrays(library="np"), rows(run, name)
            for key in known[0]:
                texts = [row[key] for row in known]
                if arrays[key].dtype == object:
                    assert arrays[key].tolist() == texts
                else:
                    np.testing.assert_array_equal(arrays[key], [float(text or "nan") for text in texts])
        (record,) = (r for r in read_json(run / "evaluation/search/top.json") if r["detector"] == "wide")
        curve = {key: np.array(values) for key, values in record["evaluation"]["curve"].items()}
        good = curve["independent"] >= MIN_COUNT
        for panel, places in ((2, "xy"), (1, "yx")):
            graph = file[f"figures/search/headline_top/{panel}/opponent_+girth"]
            assert graph.classname == "TGraphAsymmErrors"
            x, y = (graph.values(axis) for axis in places)
            np.testing.assert_allclose(x if panel == 2 else 1 / x, curve["eps_b"][good], rtol=1e-12)
            np.testing.assert_array_equal(y, curve["eps_s"][good])
            down, up = (graph.member(f"fE{places[1].upper()}{side}") for side in ("low", "high"))
            np.testing.assert_allclose([y - down, y + up], [curve["low"][good], curve["high"][good]], rtol=1e-12)
            assert not graph.member(f"fE{places[0].upper()}low").any()
        assert "background efficiency #epsilon_{B}" in file["figures/search/headline_top/2/opponent_+girth"].member(
            "fTitle"
        )
        histogram = file["figures/search/score_grid/2/top"]
        scores = read_scores(run / "scores/search/top.h5")[0]["wide/1"]
        edges = histogram.axis().edges()
        counts = np.histogram(np.clip(scores, edges[0], edges[-1] - 1e-9), edges)[0]
        np.testing.assert_allclose(histogram.values(), counts / len(scores))
        np.testing.assert_allclose(histogram.errors(), np.sqrt(counts) / len(scores), atol=1e-12)
        mesh = file["figures/search/correlation/1/mesh"]
        assert (mesh.classname, mesh.axis(0).labels()) == ("TH2D", ["+mass", "+girth"])
        np.testing.assert_allclose(mesh.values().diagonal(), 1)
        assert file["CITATION"] == (published / "CITATION.cff").read_text()


def test_labels_as_root_writes_them():
    assert tlatex(r"$1/\epsilon_B$; $p_T^D$, p_T") == "1/#epsilon_{B}, p_{T}^{D}, p_T"


def test_papers_are_those_of_the_methods_that_were_used(published, submission):
    vae = {"type": "ConvVAE", "flow": {"type": "Convolutional"}}
    config = {
        "detectors": {
            "nae": {"type": "NAE", "representation": "image"},
            "drl": {"type": "DRL", "representation": "vector"},
            "codes": {"type": "LatentMixture", "representation": "vector", "of": vae},
        },
        "representations": {
            "image": {"type": "Joined", "parts": [{"type": "JetImage"}]},
            "vector": {"type": "EventVector"},
        },
    }
    results = SimpleNamespace(config=config, detectors=list(config["detectors"]), samples=[])
    found = citation.papers(results)
    numbers = {address.rpartition("/")[2]: text.partition(", of ")[2] for address, text in found.items()}
    assert numbers["2206.14225"] == "NAE, JetImage"
    assert numbers["2012.08125"] == "DRL"
    assert numbers["1711.02255"] == "Convolutional"
    assert "1505.05770" in numbers
    assert "1903.08689" not in numbers, "of IGEBM"
    text = (published / "CITATION.cff").read_text()
    assert text.startswith(shipped.citation())
    assert yaml.safe_load(text) == yaml.safe_load(shipped.citation())
    assert (published / "hepdata/CITATION.cff").read_text() == text
    assert {"description": "How to cite", "location": "CITATION.cff"} in submission.head["additional_resources"]


def test_every_detector_of_a_paper_names_it():
    from hepad.detectors import DETECTORS

    without = {"DAGMM", "LatentMixture", "Mixture", "PCAReconstruction", "PixelNorm", "Variable"}
    for name, cls in DETECTORS.items():
        results = SimpleNamespace(
            config={"detectors": {"d": {"type": name, "representation": "r"}}, "representations": {"r": {}}},
            detectors=["d"], samples=[],
        )  # fmt: skip
        assert bool(citation.papers(results)) == (name not in without and cls.__module__.startswith("hepad."))


def test_wrong_input_gives_one_message_and_leaves_nothing(run, published, tmp_path, capsys, monkeypatch):
    assert "no results of hepad" in refused(capsys, "--results", tmp_path)
    assert f"--to {published}: it is there already" in refused(capsys, "--results", run, "--to", published)
    folder, to = shutil.copytree(run, tmp_path / "results"), tmp_path / "out"
    for name in set(FIGURES) - {"auc"}:
        (folder / f"figures/search/{name}.png").unlink()
    model = folder / "models/search/heavy/2.safetensors"
    model.rename(tmp_path / "model")
    assert "heavy/2.safetensors is missing: the run is not finished" in refused(capsys, "--results", folder, "--to", to)
    (tmp_path / "model").rename(model)
    (folder / "auc.csv").unlink()
    assert "auc.csv is missing: the run is not finished" in refused(capsys, "--results", folder, "--to", to)
    (folder / "auc.csv").write_text("a,b\n1\n")
    assert "auc.csv: not a table" in refused(capsys, "--results", folder, "--to", to)
    shutil.copy(run / "auc.csv", folder)
    (folder / "figures/search/auc.png").write_bytes(b"no picture")
    assert "auc.png: not a picture" in refused(capsys, "--results", folder, "--to", to)
    monkeypatch.setattr("hepad.config.publication.publish.find_spec", lambda name: None)
    message = refused(capsys, "--results", run, "--to", to)
    assert "pip install 'hepad[publish]'" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def test_names_that_are_long_or_alike(run, tmp_path, capsys):
    """HEPData takes 64 characters, and its files do not tell capitals apart."""
    folder = shutil.copytree(run, tmp_path / "results", ignore=shutil.ignore_patterns("figures"))
    for name in ("efficiency", "rejection", "rates", "seed_spread", "regret"):
        (folder / f"{name}.csv").unlink()
    for name in ("a" * 80, "a" * 81, "B", "b"):
        shutil.copy(folder / "auc.csv", folder / f"{name}.csv")
    plan = read_json(folder / "admitted/plan.json")
    write_json(folder / "admitted/plan.json", json.loads(json.dumps(plan).replace('"QCD"', '"Q; C, D"')))
    main(["publish", "--results", str(folder), "--to", str(tmp_path / "out")])
    assert "5 tables, valid" in capsys.readouterr().out
    said = list(yaml.safe_load_all((tmp_path / "out/hepdata/submission.yaml").read_text()))[1:]
    files = [table["data_file"] for table in said]
    assert len({file.lower() for file in files}) == len(files) == 5
    assert Results(folder).tables == sorted(("a" * 80, "a" * 81, "B", "b", "auc"))
