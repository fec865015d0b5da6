"""The gallery of a run, and single events of files: the numbers are those of the run, and what stands out is named."""

import json
import re
import shutil
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
import torch

from hepad import detectors
from hepad.cli.main import main
from hepad.config import described, gallery
from hepad.config.results import PLAN, Results
from hepad.errors import InputError
from hepad.evaluation.anomalous import most_anomalous
from hepad.figures.gallery import render
from hepad.representations import EventVector
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of


@pytest.fixture(scope="module")
def found(finished):
    return gallery.gallery(Results(finished), "search")


def test_the_lists_are_those_of_the_scores(finished, found):
    results = Results(finished)
    keys = list(dict.fromkeys(key.split("/")[0] for key in results.scores("search", "qcd")))
    for sample, (top, random) in zip(("qcd", "top"), zip(found["top"], found["random"], strict=True), strict=True):
        ids = results.columns("search", sample)["event_id"]
        for key, places in zip(keys, top, strict=True):
            scores = np.asarray(results.scores("search", sample)[f"{key}/1"])
            shown = [found["events"][i] for i in places]
            best = np.argsort(-scores, kind="stable")[:8]
            assert [event["id"] for event in shown] == [str(ids[i]) for i in best]
            number = keys.index(key)
            np.testing.assert_allclose([event["scores"][number] for event in shown], scores[best], rtol=1e-3)
        assert len(set(random)) == 8


def test_p_values_and_shares_are_counts_of_background(finished, found):
    results = Results(finished)
    scores = np.asarray(results.scores("search", "qcd")["wide/1"])
    number = [*dict.fromkeys(key.split("/")[0] for key in results.scores("search", "qcd"))].index("wide")
    background = results.events("qcd")
    mass = found["variables"].index("$m$ [GeV]")
    masses = np.array([event["values"][mass] for event in found["events"]])
    assert (masses > 0).all()
    for event in found["events"]:
        above = (scores >= event["scores"][number] * (1 - 1e-6)).sum()
        assert event["p"][number] == pytest.approx((1 + above) / 401, rel=0.02, abs=0.003)
    pt = found["variables"].index("jet $p_T$ [GeV]")
    for event in found["events"]:
        assert event["below"][pt] == pytest.approx((background.jet[:, 0] < event["jet"][0]).mean(), abs=0.01)


def test_reasons_add_up_to_the_score(found):
    """The detector of one observable has one reason."""
    for event in found["events"]:
        for number, why in event["why"].items():
            whole = sum(value for _, value in why["variables"]) + sum(why["pixels"])
            assert whole == pytest.approx(event["scores"][int(number)] - why["reference"], rel=0.02, abs=1e-3)


def test_the_page_holds_the_numbers_and_nothing_that_runs(found):
    strange = json.loads(json.dumps(found))
    strange["samples"][0] = "</script><script>alert(1)</script>"
    page = render(strange)
    assert "<script>alert" not in page
    data = json.loads(unescape(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]))
    assert data["top"] == found["top"]
    assert [event["p"] for event in data["events"]] == [event["p"] for event in found["events"]]
    assert not re.search(r'(src|href)="(?!\.\./index\.html)', page)


def test_an_event_of_a_file_is_shown(finished, make_events, tmp_path, capsys):
    numbers = {"run": np.full(30, 7), "luminosity_block": np.full(30, 3), "event": np.arange(30)}
    events = replace(make_events(30, 9, prongs=2), facts=numbers)
    write_root(events, tmp_path / "$my$some.root")
    wanted = str(events.event_id[4])
    main(["show", str(tmp_path / "$my$some.root"), "--task", "search", "--event", wanted, "--results", str(finished),
          "--to", str(tmp_path / "page.html")])  # fmt: skip
    said = capsys.readouterr().out
    assert f"event {wanted} (7:3:4)" in said
    assert said.count("p = ") == 2
    assert wanted in (tmp_path / "page.html").read_text()
    page = (tmp_path / "page.html").read_text()
    assert "Events that were asked for" in page
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])["samples"] == ["$my$some.root"]
    assert "../index.html" not in page
    assert "$" not in said
    with pytest.raises(InputError, match="an event without a name"):
        gallery.events_of(Results(finished), "search", [str(tmp_path / "$my$some.root")], [""])
    with pytest.raises(InputError, match=r"some\.root: there is no event 12\. Give its identifier"):
        gallery.events_of(Results(finished), "search", [str(tmp_path / "$my$some.root")], ["12"])


def show(finished, path, *wanted, to, more=()):
    of = ("--task", "search", "--results", str(finished))
    main(["show", str(path), *of, "--event", *wanted, "--to", str(to), *more])


def test_events_are_read_in_the_dialect_that_is_given(finished, make_events, tmp_path, capsys):
    events, path = make_events(5, 9), tmp_path / "data.root"
    write_root(events, path)
    wanted = str(events.event_id[3])
    show(finished, path, wanted, to=tmp_path / "page.html", more=("--reader", "Mapped"))
    assert f"event {wanted}" in capsys.readouterr().out
    for command, options in {"show": ("--event", wanted), "map": ()}.items():
        of = ("--task", "search", "--results", str(finished))
        with pytest.raises(SystemExit, match=r"data\.root: .*Delphes"):
            main([command, str(path), *of, *options, "--reader", "Delphes"])


def test_a_page_is_written_over_no_file_of_data(finished, make_events, tmp_path):
    write_root(make_events(5, 9), tmp_path / "data.root")
    before = (tmp_path / "data.root").read_bytes()
    (tmp_path / "folder.html").mkdir()
    for to in ("data.root", "folder.html", "page"):
        with pytest.raises(SystemExit, match=rf"{to}: a page is written, a file that ends in \.html"):
            show(finished, tmp_path / "data.root", "9000001", to=tmp_path / to)
    assert (tmp_path / "data.root").read_bytes() == before


def test_an_event_is_shown_whatever_its_weight(finished, make_events, tmp_path, capsys):
    """As `hepad score` scores it."""
    events, said = make_events(8, 9), []
    for name, weight in (("ones", np.ones(8)), ("bad", np.where(np.arange(8) % 2, np.nan, -2.0))):
        write_root(replace(events, weight=weight), tmp_path / f"{name}.root")
        show(finished, tmp_path / f"{name}.root", str(events.event_id[3]), to=tmp_path / "page.html")
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert f"event {events.event_id[3]}" in said[0]


def test_equal_identifiers_in_two_files_are_two_events(finished, make_events, tmp_path, capsys):
    """As those of two generated samples are; each is said to be of its file."""
    one, two = (replace(make_events(5, seed, prongs=2), event_id=np.arange(5) + 100) for seed in (8, 9))
    files = [str(tmp_path / name) for name in ("one_$.root", "two.root")]
    for events, path in zip((one, two), files, strict=True):
        write_root(events, path)
    found = gallery.events_of(Results(finished), "search", files, ["102"])
    assert found["samples"] == found["files"] == ["one_$.root", "two.root"]
    assert [(event["id"], event["sample"]) for event in found["events"]] == [("102", 0), ("102", 1)]
    pt = found["variables"].index("jet $p_T$ [GeV]")
    for event, events in zip(found["events"], (one, two), strict=True):
        assert event["values"][pt] == pytest.approx(events.jet[2, 0], rel=1e-3)
    main(["show", *files, "--task", "search", "--event", "102", "--results", str(finished),
          "--to", str(tmp_path / "page.html")])  # fmt: skip
    said = capsys.readouterr().out
    assert re.findall(r"^event (102), (\S+)$", said, re.M) == [("102", "one_$.root"), ("102", "two.root")], said


def test_what_a_file_lacks_for_one_detector_leaves_the_others(finished, make_events, tmp_path, capsys):
    """'heavy' sees the momentum of the jet alone here, and one of two files has no constituents."""
    folder, vector = tmp_path / "results", EventVector(["jet_pt", "n_jets"])
    shutil.copytree(finished, folder)
    made = json.loads((folder / PLAN).read_text())
    made["plan"]["config"]["representations"]["outside"] = vector.entry
    made["plan"]["config"]["detectors"]["heavy"]["representation"] = "outside"
    (folder / PLAN).write_text(json.dumps(made))
    x, spec = vector(Results(finished).events("qcd")), {"type": "Variable", "arguments": {"variable": "jet_pt"}}
    detector = detectors.build(spec, vector.space, 0)
    detector.fit(x, x, generator=torch.Generator())
    detectors.save(detector, folder / "models/search/heavy/1.safetensors", spec)
    events = make_events(6, 9)
    write_root(events, tmp_path / "whole.root")
    write_root(replace(events, constituents=np.zeros((6, 0, 4), np.float32)), tmp_path / "bare.root")
    ids = {"whole": str(events.event_id[2])}
    ids["bare"] = _identifiers(tmp_path / "bare.root")[2]
    for names in (["bare"], ["whole", "bare"]):
        files = [str(tmp_path / f"{name}.root") for name in names]
        found = gallery.events_of(Results(folder), "search", files, [ids[name] for name in names])
        of_bare = found["events"][-1]
        assert of_bare["scores"] == [pytest.approx(events.jet[2, 0], rel=1e-3), None]
        assert of_bare["p"][1] is None
        assert list(of_bare["why"]) == ["0"]
        assert list(found["unexplained"]) == ["+girth"]
    assert set(found["events"][0]["why"]) == {"0", "1"}
    assert "$m$ [GeV]" not in found["variables"]
    show(folder, tmp_path / "bare.root", ids["bare"], to=tmp_path / "page.html")
    assert "not explained: +girth: sample 'bare.root' has no constituents" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"bare\.root: sample 'bare\.root' has no constituents"):
        gallery.events_of(Results(finished), "search", files[1:], [ids["bare"]])


def _identifiers(path):
    source = {"files": [str(path)]}
    return [str(i) for events in stream_of(source, name="x", selection="any", split=(0, 0, 1)) for i in events.event_id]


def test_what_is_no_number_is_above_no_share_of_background():
    """0 / 0, as the missing momentum over a jet that is not there."""
    values = np.array([[1.0], [2.0], [np.nan], [np.inf]])
    known = described.below(np.array([1.0, 1.0, 2.0]), values[[0, 1, 3]])
    np.testing.assert_array_equal(described.shares(known, values)[:, 0], [0.125, 0.375, np.nan, 0.75])
    assert described.rounded(described.shares(known, values))[2] == [None]


def test_events_of_another_window_are_said_to_be(finished, make_events, tmp_path, capsys):
    events = make_events(30, 9)
    half = np.float32([0.5, 1, 1, 0.5])
    soft = replace(events, jet=events.jet * half, jets=events.jets * half, constituents=events.constituents * half)
    write_root(soft, tmp_path / "soft.root")
    wanted = [str(soft.event_id[i]) for i in (2, 7)]
    main(["show", str(tmp_path / "soft.root"), "--task", "search", "--event", *wanted, "--results", str(finished),
          "--to", str(tmp_path / "page.html")])  # fmt: skip
    said = capsys.readouterr().out
    assert "WARNING: 2 of 2 events lie outside the window of the training" in said
    assert "outside the window of the training" in (tmp_path / "page.html").read_text()


def test_strange_numbers_are_shown_as_they_are(found):
    assert described.number(np.inf) == "∞"
    assert described.number(np.nan) is None
    strange = json.loads(json.dumps(found))
    strange["events"][0] |= {"scores": ["∞", None], "p": [0.01, None]}
    assert json.loads(re.search(r'id="data">(.*?)</script>', render(strange), re.S)[1])["events"][0]["p"] == [
        0.01,
        None,
    ]


def test_random_events_and_shares_of_background_are_by_weight(make_events):
    """Three events in a thousand have half of the weight: about half of those that are drawn are theirs."""
    events = make_events(1000, 3)
    weight = np.ones(1000)
    weight[[5, 500, 900]] = 997 / 3
    events = replace(events, weight=weight)
    drawn = [
        most_anomalous([(events[:600], {"a/1": np.zeros(600)}), (events[600:], {"a/1": np.zeros(400)})], ["a/1"],
                       np.random.default_rng(seed)) for seed in range(40)
    ]  # fmt: skip
    heavy = [(picked.events.weight[picked.random] > 1).sum() for picked in drawn]
    assert np.mean(heavy) > 2.3  # of three; without weights 0.02
    vector = EventVector(["mass"])
    ((values, share),) = described.below(weight, vector(events).numpy())
    at = float(np.median(vector(events).numpy()))
    below = vector(events).numpy()[:, 0] < at
    assert share[np.searchsorted(values, at)] == pytest.approx(weight[below].sum() / weight.sum())
