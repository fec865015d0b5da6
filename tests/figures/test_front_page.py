"""The front page of a run: its numbers against the tables, its size, what it needs, what labels and damage can do."""

import csv
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from hepad.config import front_page, plan
from hepad.errors import InputError
from hepad.evaluation import regret, seed_spread, tables
from hepad.evaluation.areas import Areas
from hepad.evaluation.roc import evaluate, to_json
from hepad.figures import KINDS, html_labels, registry
from hepad.figures import front_page as page
from hepad.figures.style import save
from hepad.storage.files import write_json

LABELS = {"ae": "AE, images", "nae": r'NAE <b>"x"</b> & $\tau_{21}$', "mass": "−log p(mass)", "met": "+MET"}
GROUPS = {"ae": "detector", "nae": "detector", "mass": "baseline", "met": "baseline"}
SEEDS = {"ae": [1, 2, 3], "nae": [1], "mass": [1], "met": [1]}
SIGNALS = {"top": 1.5, "svj": 0.8}
SAMPLES = {"qcd": "QCD", "top": "top", "svj": "<svj>"}
SOURCES = {"qcd": {"card": "qcd.cmnd"}, "top": {"card": "top.cmnd"}, "svj": {"files": ["svj.root"]}}
DIVERGED = {"phase": "NAE", "step": 40, "diverged": "the energy ran away"}
FAR = "visible_chain: the negative samples end far from background."


def records_of(signal):
    rng, found = np.random.default_rng(3), []
    background = rng.normal(size=3000)
    shifts = {"ae": 0.3, "nae": 0.1, "mass": 0.2, "met": -0.4, "supervised": 1.5}
    for name, shift in shifts.items():
        for seed in SEEDS.get(name, [1]):
            evaluation = evaluate(background, rng.normal(SIGNALS[signal] + shift, 1, 1500))
            group = GROUPS.get(name, "supervised")
            found.append({"task": "jets", "detector": name, "signal": signal, "seed": seed, "group": group,
                          "evaluation": evaluation})  # fmt: skip
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of a task with two signals, without most of its figures; nobody writes there."""
    folder = tmp_path_factory.mktemp("finished")
    window = {"pt": [550, 650], "abs_eta": 2.0}
    samples = {name: {"label": label, "selection": window, "source": SOURCES[name]} for name, label in SAMPLES.items()}
    detectors = {
        name: {"label": label, "representation": "vector", "seeds": SEEDS[name]} for name, label in LABELS.items()
    }
    config = {
        "samples": samples, "detectors": detectors, "students": {},
        "representations": {"vector": {"type": "EventVector"}},
        "tasks": {"jets": {"background": "qcd", "signals": list(SIGNALS), "detectors": list(LABELS), "seeds": [1]}},
        "evaluation": {"eps_b": [0.1, 0.01, 0.001], "working_point": 0.012, "supervised": "vector",
                       "contamination": []},
    }  # fmt: skip
    found = {name: {"group": group, "generating": False, "energy": False} for name, group in GROUPS.items()}
    kinds = {name: registry.kind(name).declared() for name in KINDS}
    kinds = {name: kind for name, kind in kinds.items() if kind["detectors"] == "all" and kind["only"] == "detectors"}
    write_json(folder / front_page.PLAN, {"plan": {"config": config, "detectors": found, "figures": kinds}})
    records = [record for signal in SIGNALS for record in records_of(signal)]
    for signal in SIGNALS:
        entries = [{**r, "evaluation": to_json(r["evaluation"])} for r in records if r["signal"] == signal]
        write_json(folder / f"evaluation/jets/{signal}.json", entries)
    blind = [record for record in records if record["group"] != "supervised"]
    seed_spread.write_seed_spread(folder / "seed_spread.csv", blind)
    tables.write_csv(folder / "efficiency.csv", "efficiency", blind)
    medians = {(r["task"], r["signal"], r["detector"]): r["median"] for r in seed_spread.rows(blind)
               if r["quantity"] == "auc"}  # fmt: skip
    found = Areas(list(medians), np.array([*medians.values()]), np.eye(len(medians)) * 1e-4, np.ones(len(medians)))
    rows = regret.regrets(blind, found, 0.01)
    write_json(folder / "regret.json", rows)
    regret.write_regret(folder / "regret.csv", rows)
    for name, seeds in SEEDS.items():
        for seed in seeds:
            history = [DIVERGED] if name == "nae" else []
            facts = {"far": FAR} if (name, seed) == ("ae", 2) else {}
            write_json(folder / f"models/jets/{name}/{seed}.json", {"history": history, "facts": facts})
    figure = Figure(figsize=(6, 4))
    figure.subplots().plot(np.arange(9))
    for name in ("headline_top", "headline_svj", "auc", "scores/ae", "scores/nae"):
        save(figure, folder / "figures/jets" / name)
    front_page.write(folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it, without its page."""
    shutil.copytree(finished, tmp_path / "results", ignore=shutil.ignore_patterns("*.html"))
    return tmp_path / "results"


class Reader(HTMLParser):
    """Texts, links, pictures and rows of a page; an element that is not closed is an error."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.images, self.rows, self.items, self.tags = [], [], [], [], [], set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.links += [attributes["href"]] if "href" in attributes else []
        self.images += [attributes] if tag == "img" else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append([attributes, ""])
        if tag == "li":
            self.items.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_data(self, data):
        if "style" in self.open or "script" in self.open:
            return
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1][1] += data
        if "li" in self.open:
            self.items[-1] += data

    def sentences(self):
        return [" ".join(item.split()) for item in self.items]


@pytest.fixture(scope="module")
def written(finished):
    return (finished / "index.html").read_text()


def medians(folder, quantity="eps_s", at="0.01"):
    """{(detector, signal): (median, low, high)} of the table, read without the package."""
    with open(folder / "seed_spread.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["quantity"] == quantity and row["at"] == at]
    return {(r["detector"], r["signal"]): [float(r[x]) for x in ("median", "low", "high")] for r in rows}


def close(text, value):
    """Whether a text with so many digits is the value."""
    return float(text) == pytest.approx(value, abs=0.6 * 10 ** -len(text.split(".")[1]))


def test_sentences_have_the_numbers_of_the_tables(finished, written):
    known = medians(finished)
    number = r"(\d\.\d+) (?:± [\d.]+|\+[\d.]+ −[\d.]+)"
    words = rf"(.+) in QCD: (.+) finds {number} at 1 % background; best simple opponent, (.+): {number}; "
    words += rf"supervised {number}"
    for signal, sentence in zip(SIGNALS, Reader(written).sentences(), strict=False):
        searched, name, value, opponent, level, supervised = re.fullmatch(words, sentence).groups()
        best = {group: max((known[d, signal][0], d) for d in LABELS if GROUPS[d] == group) for group in GROUPS.values()}
        assert searched == SAMPLES[signal]
        assert (name, opponent) == tuple(LABELS[best[group][1]] for group in ("detector", "baseline"))
        assert close(value, best["detector"][0])
        assert close(level, best["baseline"][0])
        entries = json.loads((finished / f"evaluation/jets/{signal}.json").read_text())
        (trees,) = [e["evaluation"] for e in entries if e["group"] == "supervised"]
        (point,) = [p for p in trees["working_points"] if p["eps_b"] == 0.01]
        assert close(supervised, point["eps_s"]["value"])
    assert "with an eye on the signal" in written


def test_the_table_has_every_median(finished, written):
    known = {"eps_s": medians(finished), "auc": medians(finished, "auc", "")}
    rows = [row for row in Reader(written).rows if "data-value" in row[0][0] and len(row) == 1 + 2 * len(SIGNALS)]
    assert len(rows) == len(LABELS) + 1
    by_label = {row[0][0]["data-value"]: row for row in rows}
    for name, label in LABELS.items():
        shown = [float(cell["data-value"]) for cell, _ in by_label[label][1:]]
        assert shown == pytest.approx([known[q][name, signal][0] for signal in SIGNALS for q in ("eps_s", "auc")], 1e-5)
        assert ("simple" in by_label[label][0][1]) == (GROUPS[name] == "baseline")
    means = {name: np.mean([known["eps_s"][name, signal][0] for signal in SIGNALS]) for name in LABELS}
    order = [LABELS[name] for name in sorted(means, key=means.get, reverse=True)]
    assert [row[0][0]["data-value"] for row in rows] == [*order, "gradient-boosted trees"]
    for column in range(1, 5):
        values = {label: float(row[column][0]["data-value"]) for label, row in by_label.items() if label in order}
        bold = [label for label, row in by_label.items() if row[column][0].get("class") == "best"]
        assert bold == [max(values, key=values.get)]
    assert "× 3" in by_label["AE, images"][0][1]


def test_the_worst_cases_are_those_of_their_table(finished, written):
    with open(finished / "regret.csv", newline="") as file:
        known = list(csv.DictReader(file))
    rows = [row for row in Reader(written).rows if "data-value" in row[0][0] and len(row) == 7]
    assert len(rows) == len(known) == len(LABELS)
    for row, of in zip(rows, known, strict=True):
        assert row[0][0]["data-value"] == LABELS[of["detector"]]
        assert float(row[1][0]["data-value"]) == pytest.approx(float(of["regret"]), rel=1e-5)
        assert row[2][1] == f"{SAMPLES[of['signal']]} in QCD"
        assert row[3][1] == LABELS[of["opponent"]]
        assert close(row[4][1], float(of["eps_s_ratio"]))
        assert row[6][1] == of["n_signals"] == "2"
    best = {group: next(of for of in known if of["group"] == group) for group in ("detector", "baseline")}
    sentence = Reader(written).sentences()[len(SIGNALS)]
    name, value = LABELS[best["detector"]["detector"]], float(best["detector"]["regret"])
    assert value < 0
    assert sentence.startswith(
        f"Whichever of these signals it is: {name} is ahead of every simple opponent: its AUC is above"
    )
    assert f"by at least {-value:.3f} " in sentence
    opponent = best["baseline"]
    assert float(opponent["regret"]) == 0
    assert sentence.endswith(f"; one simple opponent for all, {LABELS[opponent['detector']]}: none is better for any")


def test_who_loses_least_is_said(folder):
    rows = json.loads((folder / "regret.json").read_text())
    rows = [row for row in rows if row["detector"] != "nae"]
    first = next(row for row in rows if row["detector"] == "ae")
    first |= {"regret": 0.017, "low": 0.009, "high": 0.022}
    write_json(folder / "regret.json", rows)
    front_page.write(folder)
    sentence = Reader((folder / "index.html").read_text()).sentences()[len(SIGNALS)]
    label = LABELS[first["detector"]]
    words = f"{label} loses least: its AUC is below that of the best simple opponent by at most 0.0170 +0.0050 −0.0080"
    assert words in sentence


def test_warnings(finished, written):
    warnings = Reader(written).sentences()[len(SIGNALS) + 1 :]
    known, names = medians(finished), []
    for signal, label in SAMPLES.items():
        if signal in SIGNALS:
            level = max(known[d, signal][0] for d in ("mass", "met"))
            losers = [LABELS[d] for d in ("ae", "nae") if known[d, signal][0] < level]
            names += [f"{label} in QCD: {len(losers)} of 2 detectors find less than"] if losers else []
    assert sum(any(text.startswith(name) for text in warnings) for name in names) == len(names) > 0
    # 3 of 3000 jets pass at 0.1 %, 10 have to
    shortage, other = [text for text in warnings if text.startswith("Task jets: at εB")]
    assert "εB = 0.01 %" in other
    assert "needs 34 times as many" in other
    assert "εB = 0.1 % the test sample resolves none of 6 trainings" in shortage
    assert "3000 background jets and needs 3.4 times as many" in shortage
    (diverged,) = [text for text in warnings if "diverged" in text]
    assert "seed 1: diverged at step 40 (the energy ran away); the last good state is used." in diverged
    assert f"Task jets: the training of AE, images, seed 2: {FAR}" in warnings
    (mixed,) = [text for text in warnings if "two simulations" in text]
    assert mixed.startswith("<svj> in QCD: <svj> is read from files and QCD generated by Pythia")
    assert len(warnings) == len(names) + 5


def test_the_page_needs_nothing_but_itself_and_its_links_lead_somewhere(finished, written):
    assert len(written.encode()) < page.LARGEST
    found = Reader(written)
    assert found.tags.isdisjoint({"link", "iframe", "object", "base"})
    code = re.sub(r"data:image/png;base64,[^\"]*|<pre>.*?</pre>|^ *//.*$", "", written, flags=re.S | re.M)
    assert "//" not in code
    assert "http" not in code
    assert "url(" not in written
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.images)
    for link in found.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in written
        else:
            assert (finished / link).is_file(), link
    assert {link for link in found.links if link.endswith(".png")} == {
        str(path.relative_to(finished)) for path in (finished / "figures").rglob("*.png")
    }
    assert all(image["alt"] and "jets" in image["alt"] for image in found.images)
    widths = [int(image["width"]) for image in found.images]
    assert widths == [600, 600, 240, 240, 240], "headline figures whole, the others as thumbnails"


def test_labels_are_text_and_their_mathematics_is_drawn(written):
    assert "<svj>" not in written
    assert "<b>" not in written
    assert "&lt;svj&gt; in QCD" in written
    assert 'aria-label="\\tau_{21}"' in written
    assert html_labels.label(r"5 \$") == "5 $"
    assert html_labels.label("5 $ <") == "5 $ &lt;"
    assert html_labels.label('a"b') == "a&#34;b"


def test_equal_results_are_equal_pages(folder, written):
    front_page.write(folder)
    assert (folder / "index.html").read_text() == written
    config = json.loads((folder / front_page.PLAN).read_text())["plan"]["config"]
    assert plan.digest(config) in written
    reordered = dict(reversed(config.items()))
    assert plan.digest(reordered) == plan.digest(config) != plan.digest(config | {"students": {"a": {}}})


def test_a_large_page_gives_up_pixels_and_then_pictures(folder, written, monkeypatch):
    full = len(written.encode())
    bare = len(re.sub(r"<img[^>]*>", "", written).encode())
    for limit, pictures in ((full, 5), (bare + (full - bare) * 2 // 3, 5), (bare + 2000, 0), (100, 0)):
        monkeypatch.setattr(page, "LARGEST", limit)
        front_page.write(folder)
        text = (folder / "index.html").read_text()
        assert len(text.encode()) <= max(limit, bare + 2000)
        assert len(Reader(text).images) == pictures


def test_a_run_without_figures_supervised_lines_or_detectors(folder):
    for path in (folder / "figures/jets").glob("*.p*"):
        path.unlink()
    for signal in SIGNALS:
        path = folder / f"evaluation/jets/{signal}.json"
        write_json(path, [e for e in json.loads(path.read_text()) if e["group"] == "baseline"])
    rows = [row for row in json.loads((folder / "regret.json").read_text()) if row["group"] == "baseline"]
    write_json(folder / "regret.json", rows)
    front_page.write(folder)
    text = (folder / "index.html").read_text()
    first = Reader(text).sentences()[0]
    assert re.fullmatch(
        r"top in QCD: best simple opponent, −log p\(mass\): .* at 1 % background; no supervised line", first
    )
    assert "This run has no figure of this kind" in text
    assert "Whichever of these signals it is: one simple opponent for all" in Reader(text).sentences()[len(SIGNALS)]
    write_json(folder / "regret.json", [])
    front_page.write(folder)
    assert "Whichever of these signals it is" not in (folder / "index.html").read_text()


def test_where_nothing_is_resolved_the_area_is_said(folder):
    path = folder / front_page.PLAN
    told = json.loads(path.read_text())
    told["plan"]["config"]["evaluation"]["working_point"] = 0.001
    write_json(path, told)
    front_page.write(folder)
    found = Reader((folder / "index.html").read_text())
    assert "finds AUC 0." in found.sentences()[0]
    assert "(at 0.1 % background nothing is resolved)" in found.sentences()[0]
    cells = [row[1] for row in found.rows if "data-value" in row[0][0] and len(row) == 1 + 2 * len(SIGNALS)]
    assert {(cell["data-value"], text) for cell, text in cells} == {("", "not resolved")}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation/jets/top.json", None, r"top\.json: there is no such file"),
        ("evaluation/jets/top.json", "[{", r"top\.json: not readable"),
        ("evaluation/jets/top.json", "[]", "no results"),
        ("evaluation/jets/top.json", '{"auc": 1}', "not a list of evaluations"),
        ("regret.json", None, r"regret\.json: there is no such file"),
        ("regret.json", "[1]", r"regret\.json: not a list of regrets"),
        ("models/jets/nae/1.json", None, r"nae/1\.json: there is no such file"),
        ("models/jets/nae/1.json", "[]", r"nae/1\.json: not the history"),
        ("figures/jets/auc.png", "no picture", r"auc\.png: not a picture"),
        ("admitted/plan.json", None, "no results of hepad"),
        ("admitted/plan.json", '{"plan": {"config": {}}}', "not the plan of a run"),
    ],
)
def test_what_is_damaged_or_missing_has_one_message(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(InputError, match=message):
        front_page.write(folder)
    assert not (folder / "index.html").exists()


def test_half_a_picture_is_refused(folder):
    path = folder / "figures/jets/auc.png"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"auc\.png: not a picture"):
        front_page.write(folder)


PROBE = """<script>addEventListener("load", () => {
  const seen = [performance.now()], table = document.querySelector(".sortable");
  for (const column of [2, 2, 0]) {
    table.querySelectorAll("[role=button]")[column].click();
    seen.push([...table.tBodies[0].rows].map((row) => row.cells[0].dataset.value));
  }
  document.body.textContent = "PROBE" + JSON.stringify(seen) + "END";
})</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no Chromium")
def test_a_browser_shows_it_at_once_and_sorts_by_a_click(folder, written):
    (folder / "probe.html").write_text(written.replace("</body>", f"{PROBE}</body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
    shown = subprocess.run([*command, "--dump-dom", (folder / "probe.html").as_uri()], capture_output=True, text=True)
    text = html.unescape(re.search("PROBE(.*)END", shown.stdout)[1])
    milliseconds, falling, rising, names = json.loads(text)
    assert milliseconds < 2000
    known = {LABELS[d]: value[0] for (d, signal), value in medians(folder, "auc", "").items() if signal == "top"}
    assert falling == sorted(known, key=known.get, reverse=True)
    assert rising == falling[::-1]
    assert set(names) == set(known)
    assert [name for name in names if name[0].isalpha()] == ["AE, images", LABELS["nae"]]
