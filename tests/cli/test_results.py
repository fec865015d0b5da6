"""``hepad results`` and ``hepad figure``: the numbers of a finished run, and figures of it."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from encoders import layers, linear_onnx

from hepad.cli.main import main
from hepad.config.results import PLAN, Results
from hepad.figures import registry
from hepad.representations import build
from hepad.storage.files import read_json, write_json


def said(capsys, *arguments) -> str:
    main([str(x) for x in arguments])
    return capsys.readouterr().out


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(x) for x in arguments])
    message = str(ended.value)
    assert message.startswith("ERROR: ")
    assert len(message.splitlines()) == 1
    return message


def test_numbers_are_those_of_the_tables(finished, capsys):
    rows = list(csv.DictReader(io.StringIO(said(capsys, "results", "--results", finished, "--csv"))))
    efficiencies = [float(row["eps_s"]) for row in rows]
    assert efficiencies == sorted(efficiencies, reverse=True)
    with open(finished / "seed_spread.csv") as file:
        spreads = list(csv.DictReader(file))
    compared = 0
    for row in rows:
        for quantity, key in (("eps_s", "eps_s"), ("auc", "auc")):
            for known in spreads:
                at = known["at"] in ("", "0.1")
                if (known["detector"], known["quantity"]) == (row["detector"], quantity) and at:
                    found = [float(f"{float(row[key + end]):.6g}") for end in ("", "_low", "_high")]
                    assert found == [float(known[end]) for end in ("median", "low", "high")]
                    compared += 1
    assert compared == 4
    assert {row["detector"]: row["trainings"] for row in rows} == {"heavy": "2", "wide": "1", "supervised": "1"}
    assert json.loads(said(capsys, "results", "--results", finished, "--json"))[0]["detector"] == rows[0]["detector"]


def test_the_table_for_people(finished, capsys):
    lines = said(capsys, "results", "--results", finished, "--task", "search").splitlines()
    assert lines[0].startswith("top in qcd (task search): signal efficiency where 0.1 of the background passes")
    (wide,) = (line for line in lines if line.startswith("  +girth"))
    assert wide.endswith("simple opponent")
    (trees,) = (line for line in lines if "gradient-boosted" in line)
    assert trees.endswith("supervised, has seen the signal")
    assert not any("unresolved" in line for line in lines)


def test_the_worst_cases_for_people(finished, tmp_path, capsys):
    with open(finished / "regret.csv") as file:
        known = {row["detector"]: row for row in csv.DictReader(file)}
    lines = said(capsys, "results", "--results", finished).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("all tasks: by how much the AUC is below"))
    for name, label in (("heavy", "+mass"), ("wide", "+girth")):
        (line,) = (line for line in lines[start:] if line.startswith(f"  {label}"))
        value, low, high = (f"{float(known[name][key]):.3f}" for key in ("regret", "low", "high"))
        assert f"{value}   {low} to {high}" in line
        assert "top (task search)" in line
    assert line.endswith("simple opponent")
    assert "all tasks" not in said(capsys, "results", "--results", finished, "--task", "search")
    folder = shutil.copytree(finished, tmp_path / "results")
    (folder / "regret.json").unlink()
    assert "all tasks" not in said(capsys, "results", "--results", folder), "a run of some targets"


def test_latex_is_the_table_of_the_run(finished, capsys):
    assert said(capsys, "results", "--results", finished, "--latex") == (finished / "search_efficiency.tex").read_text()


def test_what_is_not_resolved_says_so(finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "results")
    plan = read_json(folder / "admitted/plan.json")
    plan["plan"]["config"]["evaluation"]["working_point"] = 0.01  # four of 400 pass
    write_json(folder / "admitted/plan.json", plan)
    text = said(capsys, "results", "--results", folder)
    assert text.count("  unresolved  ") == 3
    assert "unresolved: 4 independent background events pass, 10 are needed" in text
    rows = json.loads(said(capsys, "results", "--results", folder, "--json"))
    assert all(row["eps_s"] is None for row in rows)
    assert [row["auc"] for row in rows] == sorted((row["auc"] for row in rows), reverse=True)


def test_wrong_input_gives_one_message(finished, tmp_path, capsys):
    assert "no results of hepad" in refused(capsys, "results", "--results", tmp_path)
    assert "Did you mean 'search'" in refused(capsys, "results", "--results", finished, "--task", "serch")
    folder = shutil.copytree(finished, tmp_path / "results")
    (folder / "evaluation/search/top.json").unlink()
    assert "top.json is missing: the run is not finished" in refused(capsys, "results", "--results", folder)
    told = refused(capsys, "figure", "efficiency", "--results", folder, "--to", tmp_path / "f")
    assert "top.json" in told
    assert "hepad run -- results/evaluation/" in told
    assert not (tmp_path / "f").exists()
    where = ("--results", finished, "--to", tmp_path / "g")
    assert "figure 'eficiency' is unknown. Did you mean 'efficiency'" in refused(capsys, "figure", "eficiency", *where)
    assert "signal 'tip' is unknown" in refused(capsys, "figure", "efficiency", "--signal", "tip", *where)
    assert "detector 'broad' is unknown" in refused(capsys, "figure", "efficiency", "--detectors", "broad", *where)
    assert "'CNS' is unknown. Did you mean 'CMS'" in refused(capsys, "figure", "efficiency", "--style", "CNS", *where)
    assert "nothing in this run has one" in refused(capsys, "figure", "training", *where)
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'}" in refused(
        capsys, "figure", "summary", "--results", finished, "--to", tmp_path / "file"
    )


def test_every_kind_of_figure_has_a_line(capsys):
    from hepad.figures import KINDS

    lines = said(capsys, "figure").splitlines()
    assert [line.split()[0] for line in lines] == list(KINDS)
    assert all(len(line) <= 120 and "{" not in line for line in lines)


def test_a_figure_of_the_chosen_detectors(finished, tmp_path, capsys, monkeypatch):
    drawn = []
    save = registry.save
    monkeypatch.setattr(registry, "save", lambda figure, path: (drawn.append(figure), save(figure, path)))
    where = ("--results", finished, "--to", tmp_path)
    text = said(capsys, "figure", "summary", "--task", "search", *where)
    assert text == f"{tmp_path / 'search/auc'}.pdf, .png\n"
    assert (tmp_path / "search/auc.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "search/auc.png").read_bytes().startswith(b"\x89PNG")
    said(capsys, "figure", "summary", "--detectors", "wide", "--style", "CMS", *where)
    names = [{tick.get_text() for tick in figure.axes[0].get_yticklabels()} for figure in drawn]
    assert names == [{"+mass", "+girth", "gradient-boosted trees"}, {"+girth", "gradient-boosted trees"}]
    texts = [[text.get_text() for text in figure.axes[0].texts] for figure in drawn]
    assert "CMS" not in "".join(texts[0])
    assert "CMS" in "".join(texts[1])
    assert Results(finished).config["tasks"]["search"]["detectors"] == ["heavy", "wide"]


@pytest.mark.parametrize("kind", ["overview", "regret"])
def test_a_figure_of_all_tasks(kind, finished, tmp_path, capsys):
    """It ended with a traceback: KeyError of the task None."""
    where = ("--results", finished, "--to", tmp_path)
    path = {"overview": "overview/signal_efficiency", "regret": "overview/regret"}[kind]
    assert said(capsys, "figure", kind, *where) == f"{tmp_path / path}.pdf, .png\n"
    assert (tmp_path / f"{path}.pdf").read_bytes().startswith(b"%PDF")
    said(capsys, "figure", kind, "--detectors", "wide", *where)
    assert "nothing in this run has one" in refused(capsys, "figure", kind, "--task", "search", *where)


def test_a_report_needs_a_run_and_an_ending(finished, tmp_path, capsys):
    assert "--to r.txt: the ending '.txt' stands for no format" in refused(capsys, "report", "--to", "r.txt")
    assert "no results of hepad" in refused(capsys, "report", "--directory", tmp_path)


def test_an_export_is_an_onnx_file(finished, tmp_path, capsys):
    model = finished / "models/search/wide/1.safetensors"
    assert "Give it the ending .onnx" in refused(capsys, "export", model, "--to", tmp_path / "x.txt")
    assert not (tmp_path / "x.txt").exists()


def test_a_missing_file_is_not_to_be_deleted(tmp_path):
    """'Delete it and train again' was said of files that were not there."""
    from hepad import load
    from hepad.detectors.training.candidates import load_candidates
    from hepad.errors import InputError
    from hepad.trigger import student

    for read in (load, load_candidates, student.load, read_json):
        with pytest.raises(InputError, match="there is no such file") as error:
            read(tmp_path / "absent.safetensors")
        assert "Delete" not in str(error.value)


def test_a_pipe_that_closes_is_no_error(finished):
    command = [sys.executable, "-m", "hepad.cli.main", "results", "--json", "--results", str(finished)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()


def test_paths_of_a_representation_count_from_the_folder_of_the_run(finished, tmp_path, monkeypatch):
    """As of all files that a configuration names, wherever the program is started."""
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    shutil.copytree(finished, run / "results")
    elsewhere.mkdir()
    made = json.loads((run / "results" / PLAN).read_text())
    seen = made["plan"]["config"]["representations"]["vector"]
    made["plan"]["config"]["representations"]["encoded"] = {
        "type": "Joined", "parts": [{"type": "Embedding", "input": seen, "encoder": "nets/e.onnx"}, seen]
    }  # fmt: skip
    (run / "results" / PLAN).write_text(json.dumps(made))
    for folder, seed in ((run, 0), (elsewhere, 1)):
        (folder / "nets").mkdir()
        linear_onnx(folder / "nets/e.onnx", *layers(2, 3, seed=seed)[0], (2,))
    [(weight, bias)] = layers(2, 3, seed=0)
    starts = (elsewhere, "../run/results"), (elsewhere, run / "results"), (run, "results"), (run / "results", ".")
    for folder, given in starts:
        monkeypatch.chdir(folder)
        encoded = Results(given).representation("encoded")
        events = Results(given).events("qcd")[:20]
        expected = build(seen)(events).numpy() @ weight.T + bias
        np.testing.assert_allclose(encoded(events)[:, :3], expected, rtol=1e-4, atol=1e-3)
