"""Tables: exact columns, unresolved values that say so, an order that does not depend on the input's."""

import csv

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.evaluation import tables
from hepad.evaluation.roc import evaluate, to_json
from hepad.storage.files import write_json


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(1)
    background = rng.normal(size=3000)
    found = []
    for task, signal, shift in (("qcd", "top", 2.0), ("qcd", "svj_10%", 0.5), ("top", "qcd", 1.0)):
        for k, (name, group) in enumerate([("nae", "detector"), ("ae_x", "detector"), ("mass", "baseline"),
                                           ("trees", "supervised")]):  # fmt: skip
            evaluation = evaluate(background, rng.normal(shift + k / 4, 1, 2000))
            record = {"task": task, "detector": name, "signal": signal, "seed": 1, "group": group}
            found.append(record | {"evaluation": evaluation})
    return found


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_columns_are_exactly_the_published_ones(records, tmp_path):
    headers = {
        "auc": "task,detector,signal,seed,n_background,n_signal,auc,auc_low,auc_high,remark",
        "efficiency": "task,detector,signal,seed,eps_b,n_background_passed,independent,"
        "eps_s,eps_s_low,eps_s_high,remark",
        "rejection": "task,detector,signal,seed,eps_s,n_background_passed,independent,inverse_eps_b,low,high,remark",
    }
    for kind, header in headers.items():
        tables.write_csv(tmp_path / f"{kind}.csv", kind, records)
        assert (tmp_path / f"{kind}.csv").read_text().splitlines()[0] == header
        assert len(read(tmp_path / f"{kind}.csv")) == len(records) * {"auc": 1, "efficiency": 4, "rejection": 3}[kind]


def test_values_are_those_of_the_evaluations(records, tmp_path):
    tables.write_csv(tmp_path / "a.csv", "auc", records)
    by_key = {(r["task"], r["detector"], r["signal"]): r["evaluation"] for r in records}
    for row in read(tmp_path / "a.csv"):
        auc = by_key[row["task"], row["detector"], row["signal"]].auc
        assert [float(row[c]) for c in ("auc", "auc_low", "auc_high")] == pytest.approx(list(auc), rel=1e-5)
        assert (row["n_background"], row["n_signal"]) == ("3000", "2000")


def test_unresolved_cells_are_empty_and_the_count_says_why(records, tmp_path):
    tables.write_csv(tmp_path / "e.csv", "efficiency", records)
    for row in read(tmp_path / "e.csv"):
        known = [row[c] != "" for c in ("eps_s", "eps_s_low", "eps_s_high")]
        assert known == [int(row["n_background_passed"]) >= 10] * 3
    assert {row["n_background_passed"] for row in read(tmp_path / "e.csv")} == {"300", "30", "3", "0"}
    far = [records[0] | {"evaluation": evaluate(np.linspace(0, 1, 500), np.linspace(2, 3, 500))}]
    tables.write_csv(tmp_path / "r.csv", "rejection", far)
    for row in read(tmp_path / "r.csv"):
        assert (row["inverse_eps_b"], row["high"]) == ("", "")
        assert 100 < float(row["low"]) < 500


def test_the_layout_of_the_dark_machines_challenge(records, tmp_path):
    named = [r | {"name": f"{r['detector']} (seed 1)"} for r in records]
    tables.write_dark_machines(tmp_path / "d.csv", named)
    assert (tmp_path / "d.csv").read_text().splitlines()[0] == "Signal,Model,Chan,AUC,1e-2,1e-3,1e-4"
    by_key = {(r["signal"], r["name"], r["task"]): r["evaluation"] for r in named}
    rows = read(tmp_path / "d.csv")
    assert len(rows) == len(by_key)
    for row in rows:
        evaluation = by_key[row["Signal"], row["Model"], row["Chan"]]
        point = next(p for p in evaluation.working_points if p.eps_b == 1e-2)
        assert float(row["AUC"]) == pytest.approx(evaluation.auc[0], rel=1e-5)
        assert float(row["1e-2"]) == pytest.approx(point.eps_s[0], rel=1e-5)
        assert (row["1e-3"], row["1e-4"]) == ("", "")  # 3 of 3000 background events, and none


def test_order_of_the_input_does_not_matter(records, tmp_path):
    for kind in tables.COLUMNS:
        tables.write_csv(tmp_path / "one.csv", kind, records)
        tables.write_csv(tmp_path / "two.csv", kind, records[::-1])
        assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_records_are_read_back(records, tmp_path):
    for i, part in enumerate((records[:4], records[4:])):
        write_json(tmp_path / f"{i}.json", [r | {"evaluation": to_json(r["evaluation"])} for r in part])
    paths = [tmp_path / "0.json", tmp_path / "1.json"]
    found = tables.read_records(paths, {"nae": "NAE image"})
    assert tables.rows("rejection", found) == tables.rows("rejection", records)
    assert [r["label"] for r in found[:2]] == [r["name"] for r in found[:2]] == ["NAE image", "ae_x"]
    write_json(paths[1], [r | {"evaluation": to_json(r["evaluation"]), "seed": 2} for r in records[:1]])
    again = tables.read_records(paths)
    assert [r["name"] for r in again] == ["nae (seed 1)", "ae_x", "mass", "trees", "nae (seed 2)"]
    write_json(paths[1], {"auc": 1})
    with pytest.raises(InputError, match=r"1\.json"):
        tables.read_records(paths)


def test_evaluations_of_an_earlier_version_are_refused(records, tmp_path):
    entry = {**records[0], "group": "ceiling", "evaluation": to_json(records[0]["evaluation"])}
    write_json(tmp_path / "old.json", [entry])
    with pytest.raises(InputError, match=r"old\.json: evaluations of an earlier version of hepad"):
        tables.read_records([tmp_path / "old.json"])


def test_bad_records_are_refused(records, tmp_path):
    with pytest.raises(InputError, match="there twice"):
        tables.rows("auc", [*records, records[0]])
    with pytest.raises(InputError, match="baseline"):
        tables.rows("auc", [records[0] | {"group": "baselines"}])
    with pytest.raises(InputError, match="efficiency"):
        tables.write_csv(tmp_path / "x.csv", "efficencies", records)
    assert list(tmp_path.iterdir()) == []
