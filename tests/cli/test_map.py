"""The map of a run, and of files beside its background: its numbers are those of the scores."""

import csv
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import poisson

from hepad.cli.main import main
from hepad.config import anomaly_map, described, map_events
from hepad.config.results import Results
from hepad.errors import InputError
from hepad.figures.anomaly_map import letters
from hepad.samples.root_output import write_root

pytest.importorskip("umap")
pytestmark = pytest.mark.slow  # numba compiles for seconds


def by_hand(finished, sample, sigmas):
    """Scores of 'heavy/1' that are beyond, and the threshold."""
    results = Results(finished)
    background = np.asarray(results.scores("search", "qcd")["heavy/1"], float)
    threshold = background.mean() + sigmas * background.std()
    scores = np.asarray(results.scores("search", sample)["heavy/1"], float)
    return scores > threshold, threshold


@pytest.fixture(scope="module")
def found(finished):
    return anomaly_map.map_of(Results(finished), "search", sigmas=0.5, seeds=2)


def test_events_are_those_beyond(finished, found):
    assert (found["by"], found["detector"]) == ("inputs", 0)  # of an observable there are neither residuals nor codes
    ids = {}
    for place, sample in enumerate(("qcd", "top")):
        beyond, threshold = by_hand(finished, sample, 0.5)
        assert found["beyond"][place] == beyond.sum() == found["on_map"][place]
        ids[place] = {str(x) for x in Results(finished).columns("search", sample)["event_id"][beyond]}
    assert found["threshold"] == pytest.approx(threshold, rel=1e-3)
    assert found["eps_b"] == pytest.approx(found["beyond"][0] / 400, rel=1e-3)
    assert found["shares"][0] == pytest.approx([found["beyond"][0] / 400, found["beyond"][1] / 300], rel=1e-3)
    wide = np.asarray(Results(finished).scores("search", "qcd")["wide/1"], float)
    assert found["shares"][1][0] == pytest.approx((wide > wide.mean() + 0.5 * wide.std()).mean(), rel=1e-3)
    for place, of in ids.items():
        assert {event["id"] for event in found["events"] if event["sample"] == place} == of


def test_summaries_are_counts_of_the_map(found):
    clusters = np.array(found["clusters"])
    sample = np.array([event["sample"] for event in found["events"]])
    assert len(found["summaries"]) == clusters.max() + 1 > 0
    purity = 0
    for number, summary in enumerate(found["summaries"]):
        inside = clusters == number
        counts = np.bincount(sample[inside], minlength=2)
        assert (summary["events"], summary["counts"]) == (inside.sum(), counts.tolist())
        purity += counts.max()
        assert summary["purity"] == pytest.approx(counts.max() / inside.sum())
        assert set(clusters[summary["middle"]]) == {number}
        for label, of_background, of_others, median in summary["different"]:
            column = found["variables"].index(label)
            values = np.array([event["values"][column] for event in found["events"]])
            assert median == pytest.approx(np.median(values[inside]), rel=1e-3)
            less = values[inside][:, None] > values[~inside]
            equal = values[inside][:, None] == values[~inside]
            if (~inside).any():
                assert of_others == pytest.approx((less + equal / 2).mean(), abs=2e-3)  # four digits of the values
            assert 0 <= of_background <= 1
    assert found["purity"] == pytest.approx(purity / (clusters >= 0).sum())
    assert found["largest"] == pytest.approx(max(found["on_map"]) / len(sample))


def test_events_in_the_middle_are_explained(found):
    middle = {place for summary in found["summaries"] for place in summary["middle"]}
    for place, event in enumerate(found["events"]):
        assert ("0" in event["why"]) == (place in middle)


def test_the_command_writes_page_and_table(finished, make_events, tmp_path, capsys):
    """A file of three times as many events: what is expected of it is three times the background."""
    data = replace(make_events(1200, 31), facts={"event": np.arange(1200)})
    write_root(data, tmp_path / "data.root")
    main(["map", str(tmp_path / "data.root"), "--task", "search", "--sigmas", "0.5", "--seeds", "2", "--results",
          str(finished), "--to", str(tmp_path / "map.html")])  # fmt: skip
    said = capsys.readouterr().out
    assert "maps of 2 seeds agree by" in said
    page = (tmp_path / "map.html").read_text()
    numbers = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert numbers["samples"] == ["QCD", "data.root"]
    assert not re.search(r'(src|href)="', page)
    with (
        open(tmp_path / "map_clusters.csv", newline="") as file,
        open(tmp_path / "map_events.csv", newline="") as other,
    ):
        rows, events = list(csv.DictReader(file)), list(csv.DictReader(other))
    assert [event["event"] for event in events] == [event["id"] for event in numbers["events"]]
    names = [letters(k) if k >= 0 else "" for k in numbers["clusters"]]
    assert [event["cluster"] for event in events] == names
    assert [row["cluster"] for row in rows] == [chr(65 + k) for k in range(len(numbers["summaries"]))]
    for row, summary in zip(rows, numbers["summaries"], strict=True):
        assert [int(row["events of QCD"]), int(row["events of data.root"])] == summary["counts"]
        drawn = float(row["expected of data.root"]) / max(summary["counts"][0], 1)
        on_map = sum(event["sample"] == 1 for event in numbers["events"])
        beyond = int(re.search(r"data\.root: \d+ of (\d+) events", said)[1])
        assert drawn == pytest.approx(3 * on_map / beyond if summary["counts"][0] else 0, rel=2e-3)


def test_the_largest_excess_over_background_comes_first(finished, make_events, tmp_path):
    """Two kinds of heavy jets: what there is more of in the file than in background is the first cluster."""
    write_root(make_events(400, 1), tmp_path / "same.root")
    write_root(make_events(300, 8, prongs=2), tmp_path / "more.root")
    found = anomaly_map.map_of(Results(finished), "search", [str(tmp_path / "more.root")], sigmas=0.5, seeds=1)
    ratio = found["on_map"][1] / found["beyond"][1] * 300 / 400 * found["beyond"][0] / found["on_map"][0]
    excess = [of["counts"][1] - of["expected"][1][0] for of in found["summaries"]]
    spread = [np.sqrt(of["counts"][1] + ratio**2 * (of["counts"][0] + 1)) for of in found["summaries"]]
    pulls = np.array(excess) / spread
    assert (np.diff(pulls) <= 1e-9).all()
    assert pulls[0] > 3
    alike = anomaly_map.map_of(Results(finished), "search", [str(tmp_path / "same.root")], sigmas=0.5, seeds=1)
    for of in alike["summaries"]:
        expected, low, high, ratio = of["expected"][1]
        assert ratio == 1  # as many jets as background has
        assert expected == of["counts"][0]
        # P(n or more | low) = P(n or fewer | high) = 15.85 %
        assert poisson.cdf(of["counts"][0], high) == pytest.approx(0.1585, rel=1e-2)
        assert poisson.sf(of["counts"][0] - 1, low) == pytest.approx(0.1585 if of["counts"][0] else 1, rel=1e-2)
        assert abs(of["counts"][1] - expected) < 4 * np.sqrt(expected + 1)


def test_a_detector_without_spread_is_named(finished):
    scores = {"a": np.array([0.0, 1.0, np.inf]), "b": np.array([0.0, 1.0, 2.0])}

    class Block:
        weight = np.ones(3)

    found = map_events.thresholds_beyond([(Block, scores), (Block, scores)], scores, 2.0)
    assert found == {"b": pytest.approx(1 + 2 * np.sqrt(2 / 3))}


def test_labels_cannot_leave_their_place(found):
    strange = json.loads(json.dumps(found))
    strange["samples"][0] = "</script><script>alert(1)</script>"
    assert "<script>alert" not in anomaly_map.render(strange)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detector": "heavi"}, "map: detector 'heavi'"),
        ({"by": "residuals"}, "map: Variable does not reconstruct events"),
        ({"by": "latents", "detector": "wide"}, "map: Variable has no code that a map is made of"),
        ({"sigmas": 40}, "0 events are too few for a map; 50 are needed"),
        ({"sigmas": -1}, "sigmas = -1 must be greater than 0"),
        ({"most": 10}, "10 events are too few for a map; 50 are needed"),
        ({"files": ["nothing.root"]}, r"nothing\.root"),
        ({"reader": "Mapped"}, "'reader' is of files, and none are given"),
    ],
)
def test_what_cannot_be_mapped_is_said(finished, arguments, message):
    with pytest.raises(InputError, match=message):
        anomaly_map.map_of(Results(finished), "search", **arguments)


def test_events_drawn_of_many_stand_for_all(finished):
    found = anomaly_map.map_of(Results(finished), "search", sigmas=0.2, seeds=1, most=120)
    assert found["on_map"] == [min(60, of) for of in found["beyond"]]
    assert max(found["beyond"]) > 60


def test_what_a_detector_of_the_task_cannot_see_is_left_out(finished, make_events, tmp_path, monkeypatch):
    """A file without what another detector needs: that one has no share, the map goes on."""
    write_root(make_events(300, 8, prongs=2), tmp_path / "some.root")
    whole = map_events.Models.score

    def partly(self, events, lacking, with_p=False):
        columns = whole(self, events, lacking, with_p)
        lacking["other"] = "no such branch"
        return columns | {"score_wide_1": np.full(len(events), np.nan, np.float32)}

    monkeypatch.setattr(map_events.Models, "score", partly)
    found = anomaly_map.map_of(Results(finished), "search", [str(tmp_path / "some.root")], sigmas=0.5, seeds=1)
    assert found["shares"][1][1] is None
    assert found["shares"][0][1] > 0
    assert {event["p"][1] for event in found["events"] if event["sample"] == 1} == {None}
    assert "not seen" in anomaly_map.render(found)


def test_files_have_their_own_names_and_many_are_one_sample(finished, make_events, tmp_path):
    paths = []
    for k in range(7):
        (tmp_path / str(k)).mkdir()
        paths.append(tmp_path / str(k) / "$a$.root")
        write_root(make_events(60, 40 + k), paths[-1])
    some = anomaly_map.map_of(Results(finished), "search", map(str, paths[:2]), sigmas=0.2, seeds=1)
    assert some["samples"] == ["QCD", *map(str, paths[:2])]
    anomaly_map.write(some, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()  # mathematics between the signs would be drawn
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])["samples"] == some["samples"]
    assert str(paths[1]) in (tmp_path / "map_events.csv").read_text()
    many = anomaly_map.map_of(Results(finished), "search", map(str, paths), sigmas=0.2, seeds=1)
    assert many["samples"] == ["QCD", "7 files"]


def test_a_file_outside_of_the_window_is_named(finished, make_events, tmp_path):
    events = make_events(600, 9)
    half = np.float32([0.5, 1, 1, 0.5])
    soft = replace(events, jet=events.jet * half, jets=events.jets * half, constituents=events.constituents * half)
    write_root(soft, tmp_path / "soft.root")
    found = anomaly_map.map_of(Results(finished), "search", [str(tmp_path / "soft.root")], sigmas=0.2, seeds=1)
    assert re.match(r".*soft\.root: 600 of 600 events lie outside", found["warning"])


@pytest.mark.parametrize("name", ["map.csv", "map", ""])
def test_a_page_is_html(finished, tmp_path, name):
    with pytest.raises(InputError, match=r"a file that ends in \.html"):
        anomaly_map.write({}, tmp_path / name)


def test_a_sample_without_events_on_the_map_takes_no_observables(finished, make_events, tmp_path):
    events = make_events(100, 9)
    light = np.argsort(events.jet[:, 3])[:5]
    write_root(events[np.sort(light)], tmp_path / "light.root")
    found = anomaly_map.map_of(Results(finished), "search", [str(tmp_path / "light.root")], sigmas=0.5, seeds=1)
    assert found["on_map"][1] == 0
    assert "$\\tau_{21}$" in found["variables"]


def test_observables_that_some_events_lack_are_compared_by_the_others():
    """0 / 0, as the missing momentum over a jet that is not there: such an event has no share, and a cluster of them
    alone no such observable."""
    rng = np.random.default_rng(1)
    background = rng.normal(size=(500, 3))
    values = np.concatenate([background[:40] + np.array([9, 0, 0]), background[40:100]])
    values[:5, 0] = values[:40, 2] = np.nan
    describing = SimpleNamespace(variables=["a", "b", "c"], background=described.below(np.ones(500), background))
    found = anomaly_map._different(describing, values, np.arange(100) < 40)
    assert [name for name, *_ in found] == ["a", "b"]
    assert found[0][1:3] == [1.0, 1.0]
    assert found[0][3] == pytest.approx(np.median(background[5:40, 0]) + 9, rel=1e-3)
