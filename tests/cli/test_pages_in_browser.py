"""The pages of events in a real Chromium: what they show is what stands in them, and pointing and clicking work."""

import json
import re

import numpy as np
import pytest
from browser import CHROMIUM, browser

from hepad.config import anomaly_map, gallery
from hepad.config.results import Results

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def text_of(tab, selector):
    return tab.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")


def test_a_gallery_shows_the_scores_of_the_run(finished, tab, tmp_path):
    found = gallery.gallery(Results(finished), "search")
    gallery.write(found, tmp_path / "gallery.html")
    tab.open(f"file://{tmp_path}/gallery.html")
    tab.wait("document.querySelectorAll('#grid button').length")
    for sample, detector in ((0, 0), (1, 1)):
        for name, value in (("sample", sample), ("detector", detector)):
            tab.evaluate(f"at('{name}').value = '{value}'; at('{name}').onchange()")
        shown = tab.evaluate("[...document.querySelectorAll('#grid button')].map(b => b.innerText)")
        events = [found["events"][place] for place in found["top"][sample][detector]]
        assert len(shown) == len(events)
        for text, event in zip(shown, events, strict=True):
            score = float(re.search(r"score (\S+),", text)[1].replace("−", "-"))
            assert score == pytest.approx(event["scores"][detector], rel=1e-3)
            assert event["id"] in text
    wanted = found["events"][found["top"][1][0][3]]
    tab.evaluate(f"at('search').value = '{wanted['id']}'; at('search').oninput()")
    assert wanted["id"] in text_of(tab, "#event h2")
    assert len([url for url in tab.requests if not url.startswith(("file:", "about:"))]) == 0


def test_what_is_no_number_is_a_dash_and_hides_no_other(finished, tab, tmp_path):
    """Infinity among the reasons leaves the bars of the others, and NaN is above no share of background."""
    found = json.loads(json.dumps(gallery.gallery(Results(finished), "search")))
    event = found["events"][found["top"][1][0][0]]
    event["values"][0] = event["below"][0] = None
    event["why"]["0"]["variables"] = [["$m$ [GeV]", "∞"], ["girth", 2.0], ["jets", -1.0]]
    gallery.write(found, tmp_path / "gallery.html")
    tab.open(f"file://{tmp_path}/gallery.html")
    tab.wait("document.querySelectorAll('#event table').length")
    bars = "[...document.querySelectorAll('#event table')[0].querySelectorAll('td span')].map(b => b.style.width)"
    assert tab.evaluate(bars) == ["0rem", "5rem", "2.5rem"]
    row = "[...document.querySelectorAll('#event table')[1].rows[1].cells].map(c => c.innerText)"
    assert tab.evaluate(row)[1:3] == ["–", "–"]


@pytest.mark.slow
def test_a_map_shows_the_event_that_is_pointed_at(finished, tab, tmp_path):
    found = anomaly_map.map_of(Results(finished), "search", sigmas=0.5, seeds=1)
    anomaly_map.write(found, tmp_path / "map.html")
    tab.open(f"file://{tmp_path}/map.html")
    tab.wait("document.querySelectorAll('#near h3').length")
    lonely = loneliest(np.array(found["places"]))
    box = tab.evaluate("(r => [r.left, r.top, r.width])(at('map').getBoundingClientRect())")
    x, y = tab.evaluate(f"[X({lonely}) / SIZE, Y({lonely}) / SIZE]")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        tab.mouse(kind, box[0] + x * box[2], box[1] + y * box[2])
        assert found["events"][lonely]["id"] in text_of(tab, "#near h3")
    assert found["events"][lonely]["id"] in text_of(tab, "#event h2")
    rows = tab.evaluate("[...document.querySelectorAll('#clusters tr')].slice(1).map(r => r.cells[1].innerText)")
    counts = [[int(n) for n in re.findall(r"(\d+)(?=\n|$)", row)] for row in rows]
    assert counts == [[of["events"], *filter(None, of["counts"])] for of in found["summaries"]]
    tab.evaluate("at('by').value = 'sample'; at('by').onchange()")
    assert "QCD" in text_of(tab, "#legend")


def loneliest(places):
    away = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(away, np.inf)
    return int(away.min(1).argmax())
