"""Two files of scores event by event: what was changed is found, and nothing else, wherever it stands."""

import csv
import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepad.cli.main import main
from hepad.errors import InputError
from hepad.evaluation.efficiency import clopper_pearson
from hepad.storage.files import write_json
from hepad.trigger import event_by_event
from hepad.trigger.event_by_event import Column, compare, score_column
from hepad.trigger.score_columns import ENDINGS, ScoreFile


def write(path, head=None, **columns):
    columns = {name: np.asarray(values) for name, values in columns.items()}
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            file["scores"] = columns
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        with open(path, "w", newline="") as file:
            file.write(f"# {json.dumps(head)}\n" if head is not None else "")
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return path


def compared(a, b, *args, **options):
    a, b = ScoreFile(a), ScoreFile(b)
    return compare(Column(a, score_column(a, None, b)), Column(b, score_column(b, None, a)), *args, **options)


def numbered(n, seed=0):
    """Numbers of n events of two runs, in a random order, and their scores."""
    rng = np.random.default_rng(seed)
    event = rng.permutation(n).astype(np.int64)
    ids = {"run": 400_000 + event % 2, "luminosity_block": event // 100 + 1, "event": 2**40 + event // 2}
    return {name: values.astype(np.int64) for name, values in ids.items()} | {"score": rng.normal(size=n).astype("f4")}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_changed_bit_is_found_wherever_the_event_stands(ending, tmp_path):
    columns, order = numbered(1000), np.random.default_rng(1).permutation(1000)
    other = {name: values.copy() for name, values in columns.items()}
    other["score"][137] = np.nextafter(other["score"][137], np.float32(np.inf))
    a = write(tmp_path / "a.root", **columns)
    b = write(tmp_path / f"b{ending}", **{name: values[order] for name, values in other.items()})
    found = compared(a, b, 0, 0)
    assert (found.both, found.only_a, found.only_b, found.differ, found.equal) == (1000, 0, 0, 1, False)
    (event,) = found.first
    assert event.row == 137
    assert event.key == tuple(columns[name][137] for name in found.key)
    assert (np.float32(event.a), np.float32(event.b)) == (columns["score"][137], other["score"][137])
    assert found.largest == float(other["score"][137]) - float(columns["score"][137])
    assert compared(a, b).equal  # one part in 10⁷, within the tolerance of an export
    same = write(tmp_path / f"c{ending}", **{name: values[order] for name, values in columns.items()})
    assert compared(a, same, 0, 0).equal


def test_parts_find_what_the_whole_finds(tmp_path, monkeypatch):
    columns, other = numbered(3000), numbered(3000)
    changed = np.random.default_rng(2).choice(3000, 40, replace=False)
    other["score"][changed] += 1
    kept = np.delete(np.arange(3000), [5, 1500])
    a = write(tmp_path / "a.h5", **columns)
    b = write(tmp_path / "b.h5", **{name: values[kept] for name, values in other.items()})
    whole = compared(a, b, thresholds={"t": 0.5}, to=tmp_path / "whole.csv")
    monkeypatch.setattr(event_by_event, "ROWS", 400)
    monkeypatch.setattr("hepad.trigger.score_columns.ROWS", 170)
    parts = compared(a, b, thresholds={"t": 0.5}, to=tmp_path / "parts.csv")
    assert parts == whole
    assert (whole.both, whole.only_a, whole.only_b) == (2998, 2, 0)
    assert whole.differ == len(set(changed) - {5, 1500})
    assert [event.row for event in whole.first] == sorted({*changed.tolist()} - {5, 1500})[:10]
    lines = [(tmp_path / f"{name}.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert sorted(lines[0]) == sorted(lines[1])
    assert lines[0][0] == "run,luminosity_block,event,a,b,difference"
    assert len(lines[0]) == 1 + whole.differ


def test_flips_at_a_threshold_are_counted_with_their_interval(tmp_path):
    """Of ten events two fall from above 3 and one rises; one that lies on the threshold does not pass."""
    a = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, np.nan])
    b = np.array([1, 2, 3.5, 3, 2, 6, 7, 8, 9, 1])
    ids = {"event_id": np.arange(10)}
    files = (write(tmp_path / f"{name}.parquet", **ids, score=x) for name, x in (("a", a), ("b", b)))
    found = compared(*files, thresholds={"three": 3.0})
    flips = found.flips["three"]
    assert (flips.only_a, flips.only_b, flips.rate.passed, flips.rate.total) == (2, 1, 3, 10)
    low, high = clopper_pearson(3, 10)
    assert (flips.rate.low, flips.rate.value, flips.rate.high) == (low, 0.3, high)
    assert found.nan == [1, 0]
    assert found.differ == 4  # the one without a score among them
    assert found.largest == 3


def test_a_threshold_is_not_rounded_to_the_precision_of_the_scores(tmp_path):
    score = np.array([0.1], "f4")  # 0.100000001490
    a = write(tmp_path / "a.h5", event_id=[1], score=score)
    b = write(tmp_path / "b.h5", event_id=[1], score=np.nextafter(score, np.float32(0)))
    assert compared(a, b, thresholds={"t": 0.1}).flips["t"].only_a == 1


@pytest.mark.parametrize("kind", ["int16", "int64"])
def test_integers_are_exact_unless_a_tolerance_is_given(kind, tmp_path):
    a = write(tmp_path / "a.root", event_id=np.arange(3), score=np.array([10_000, 20_000, 30_000], kind))
    b = write(tmp_path / "b.csv", event_id=np.arange(3), score=np.array([10_000, 20_000, 30_001], kind))
    found = compared(a, b)
    assert (found.rtol, found.differ, found.largest) == (0, 1, 1)
    assert found.first[0][2:] == (30_000, 30_001)
    assert compared(a, b, atol=1).equal
    assert compared(a, b, rtol=1e-3).equal


def test_infinite_scores_are_no_small_difference(tmp_path):
    scores = {"a": [np.inf, -np.inf, np.inf, np.nan, 1e30], "b": [np.inf, np.inf, 3, np.nan, np.inf]}
    a, b = (write(tmp_path / f"{x}.h5", event_id=np.arange(5), score=np.array(s)) for x, s in scores.items())
    found = compared(a, b)
    assert [event.key for event in found.first] == [(1,), (2,), (4,)]
    assert found.largest == 0
    assert found.nan == [1, 1]


def test_several_jets_are_one_event_with_their_highest_score(tmp_path):
    jets = {"event_id": [7, 7, 8], "jet_pt": [600.0, 580.0, 700.0], "score": [1.0, 5.0, 2.0]}
    a = write(tmp_path / "a.h5", **jets)
    b = write(tmp_path / "b.h5", **{name: values[::-1] for name, values in jets.items()})
    found = compared(a, b, thresholds={"4": 4.0})
    assert (found.both, found.equal) == (2, True)
    jets["score"] = [np.nan, 5.0, 2.0]  # the other jet has one
    found = compared(a, write(tmp_path / "c.h5", **jets))
    assert (found.equal, found.nan) == (True, [0, 1])
    jets["jet_pt"] = [600.0, 600.0, 700.0]
    with pytest.raises(InputError, match=r"d\.h5: 1 rows are of an event that is there already, first event_id 7 \(ro"):
        compared(a, write(tmp_path / "d.h5", **jets))


def test_numbers_of_the_file_come_before_hashes_unless_there_are_none(tmp_path):
    columns = numbered(10)
    a = write(tmp_path / "a.root", **columns, event_id=np.arange(10))
    b = write(tmp_path / "b.root", **columns, event_id=np.arange(10)[::-1].copy())
    assert compared(a, b).key == ("run", "luminosity_block", "event")
    assert compared(a, b).equal
    columns["event"][3] = -1
    found = compared(a, write(tmp_path / "c.root", **columns, event_id=np.arange(10)))
    assert (found.key, found.equal) == (("event_id",), True)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"event_id": [5, 6], "score": [1.0, 2.0]}, "none of 2 and 2 events is in both, by event_id"),
        ({"event_id": [1, 1], "score": [1.0, 2.0]}, r"first event_id 1 \(rows 0 and 1"),
        ({"event": [1, 2], "score": [1.0, 2.0]}, "nothing tells which events are the same"),
        ({"event_id": [1.0, 2.0], "score": [1.0, 2.0]}, "'event_id' has numbers that are not whole"),
        ({"event_id": [1, 2], "other": [1.0, 2.0]}, "which column has the scores"),
        ({"event_id": [1, 2], "score_a": [1.0, 2.0], "score_b": [1.0, 2.0]}, r"\(score_a, score_b\)\? Choose it"),
    ],
)
def test_files_that_cannot_be_compared_are_named(columns, said, tmp_path):
    a = write(tmp_path / "a.root", event_id=np.array([1, 2]), score=np.array([1.0, 2.0]))
    b = write(tmp_path / "b.root", **columns)
    with pytest.raises(InputError, match=said):
        compared(a, b)


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_a_message(ending, tmp_path):
    a = write(tmp_path / "a.h5", **numbered(300))
    path = write(tmp_path / f"b{ending}", **numbered(300))
    whole = path.read_bytes()
    for kept in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:kept])
        if ending == ".csv" and kept == len(whole) // 2:  # the lines before the cut are as they were
            path.write_bytes(whole[: whole.rindex(b"\n", 0, kept) + 1])
            assert compared(a, path).only_a > 100
            continue
        with pytest.raises(InputError, match=path.name) as caught:
            compared(a, path)
        assert "\n" not in str(caught.value)
    path.write_text("# no json\n")
    with pytest.raises(InputError, match=path.name):
        compared(a, path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="stands for no file of scores"):
        ScoreFile(tmp_path / "a.pkl")
    with pytest.raises(InputError, match="there is no such file"):
        ScoreFile(tmp_path / "a.csv")


def test_a_first_line_states_tolerance_and_thresholds(tmp_path):
    head = {"rtol": 0.0, "atol": 0.2, "thresholds": {"loose": 1.05}}
    a = write(tmp_path / "a.csv", head, vector=np.arange(2), score=np.array([1.0, 2.0]))
    b = write(tmp_path / "b.csv", vector=np.arange(2), score=np.array([1.1, 2.1]))
    found = compared(a, b)
    assert (found.atol, found.differ) == (0.2, 0)
    assert found.flips["loose"].only_b == 1
    assert not found.equal  # the decision differs, though the score is near
    assert compared(a, b, atol=0.05).differ == 2
    head["thresholds"] = {"loose": "1"}
    with pytest.raises(InputError, match="the 'thresholds' of its first line"):
        compared(write(tmp_path / "c.csv", head, vector=[0], score=[1.0]), b)


def run(*arguments):
    try:
        main(["compare", *map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


def test_command(tmp_path, capsys):
    columns = numbered(50)
    scores = columns.pop("score")
    a = write(tmp_path / "a.root", **columns, score_ae_1=scores)
    b = write(tmp_path / "b.csv", **columns, emulated=scores)
    assert run(a, b, "--score", "score_ae_1", "emulated", "--rtol", 0) == 0
    assert "50 in both, 0 in A alone, 0 in B alone" in capsys.readouterr().out
    scores[4] += 2
    write(b, **columns, emulated=scores)
    point = {"threshold": float(scores[4]) - 1, "budget_khz": 100, "eps_b": 0.01, "resolved": True, "remark": ""}
    record = {"detector": "ae", "seed": 1, "model_sha256": "0" * 64, "points": [point], "of": "total", "remarks": {}}
    write_json(tmp_path / "rates.json", [record | {"scale_khz": 28608.8}])
    options = ("--score", "score_ae_1", "emulated", "--rates", tmp_path / "rates.json", "--to", tmp_path / "differ.csv")
    assert run(a, b, *options) == 3
    said = capsys.readouterr().out
    assert "scores differ (|a - b| <= 0 + 1e-05 |a| does not hold): 1 of 50" in said
    assert f"threshold 100kHz (> {point['threshold']!r}): 1 decisions flip of 50, 0.02 [" in said
    assert " ".join(str(columns[name][4]) for name in columns) in " ".join(said.split())
    assert len((tmp_path / "differ.csv").read_text().splitlines()) == 2
    for wrong, message in (
        (("--rtol", "-1"), "--rtol -1.0"),
        (("--score", "nothing"), "column 'nothing' is unknown"),
        (("--score", "a", "b", "c"), "one column of A"),
        (("--score", "score_ae_1", "emulated", "--rates", a), "not readable as JSON"),
    ):
        assert message in run(a, b, *wrong)
    write_json(tmp_path / "rates.json", [record | {"scale_khz": 28608.8, "seed": 2}])
    assert "none of its 1 trainings is 'ae', seed 1" in run(a, b, *options)
