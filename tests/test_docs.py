"""README and pages: links lead somewhere, code compiles, examples run, entries are admitted, tables are in step."""

import copy
import re
import sys
from pathlib import Path

import pytest
import yaml
from command_line import ROOT
from encoders import layers, linear_onnx
from schema import SCHEMA, validate
from snakemake.exceptions import WorkflowError

from hepad.config import sweeps, validation
from hepad.detectors import DETECTORS, defaults
from hepad.figures import KINDS
from hepad.samples.root_output import write_root

sys.path.insert(0, str(ROOT / "docs"))
import from_run
import made

READMES = [ROOT / f"{folder}README.md" for folder in ("", "config/", "benchmarks/")]
PAGES = [*READMES, *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^(<!-- runs -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_page = pytest.mark.parametrize("path", PAGES, ids=name_of)


def blocks(path: Path, language: str) -> list[tuple[bool, str]]:
    """(whether it is marked to run, text) of the fenced blocks in a language."""
    return [(bool(runs), text) for runs, lang, text in FENCE.findall(path.read_text()) if lang == language]


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def made_anchors(path: Path) -> set[str]:
    """Those of what a script makes into the page."""
    names = re.findall(r"```\{made\} (\w+)(?: (\w+))?", path.read_text())
    texts = [getattr(made, name)(*filter(None, [argument])) for name, argument in names]
    return {heading.lower() for text in texts for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def broken(path: Path, text: str) -> list[str]:
    """Internal links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target) | made_anchors(target)):
            found.append(link)
    return found


@each_page
def test_internal_links_lead_somewhere(path):
    assert broken(path, path.read_text()) == []


def test_links_that_lead_nowhere_would_be_found():
    text = "[a](no.md) [](slurm.md#no-such-heading) [](slurm.md#small-jobs)"
    assert broken(ROOT / "docs/start.md", text) == ["no.md", "slurm.md#no-such-heading"]


def test_what_is_made_has_links_that_lead_somewhere():
    page = ROOT / "docs/detectors/index.md"
    assert broken(page, "".join(map(made.settings, DETECTORS))) == []


def test_the_navigation_has_every_page():
    listed = {
        str(path.relative_to(ROOT / "docs").with_suffix(""))
        for block in re.findall(r"```\{toctree\}\n(.*?)```", (ROOT / "docs/index.md").read_text(), re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith(":")
        for path in (ROOT / "docs").glob(f"{line}.md")
    }
    pages = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in ROOT.glob("docs/**/*.md")}
    assert listed == pages - {"index"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


@each_page
def test_python_compiles(path):
    for _, text in blocks(path, "python"):
        compile(text, name_of(path), "exec")


def few_steps(value):
    """A table of defaults with trainings of a second."""
    if not isinstance(value, dict):
        return value
    return {key: min(inner, 400) if key == "steps" else few_steps(inner) for key, inner in value.items()}


@pytest.fixture
def two_files(make_events, tmp_path, monkeypatch):
    """A folder with qcd.root and top.root, also where a run has them, in which defaults train for a second."""
    for name, seed, prongs, count in (("qcd", 1, 1, 900), ("top", 2, 3, 300)):
        write_root(make_events(count, seed, prongs=prongs), tmp_path / f"{name}.root")
        (tmp_path / f"results/samples/{name}").mkdir(parents=True)
        (tmp_path / f"results/samples/{name}/0.root").symlink_to(tmp_path / f"{name}.root")
    monkeypatch.setattr(defaults, "IMAGES", few_steps(defaults.IMAGES))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    DETECTORS.pop("Distance", None)


@pytest.mark.parametrize(
    "path", [path for path in PAGES if any(runs for runs, _ in blocks(path, "python"))], ids=name_of
)
def test_examples_run(path, two_files):
    known = {}
    for runs, text in blocks(path, "python"):
        if runs:
            exec(compile(text, name_of(path), "exec"), known)


def whole_entries(text: str) -> dict:
    """A block of YAML as parts of a configuration; empty if it is less than an entry."""
    found, keys = yaml.safe_load(text), set(yaml.safe_load(SCHEMA.read_text())["properties"])
    if isinstance(found, dict) and set(found) <= keys:
        return found
    if isinstance(found, dict) and set(found) == {"source"}:
        return {"samples": {"read": {**found, "selection": "any"}}}
    entries = found.values() if isinstance(found, dict) else [None]
    whole = all(isinstance(entry, dict) and {"type", "representation"} <= set(entry) for entry in entries)
    return {"detectors": found} if whole else {}


YAML = [(path, text) for path in PAGES for _, text in blocks(path, "yaml") if whole_entries(text)]


@pytest.mark.parametrize(("path", "text"), YAML, ids=[f"{name_of(path)}-{k}" for k, (path, _) in enumerate(YAML)])
def test_entries_are_admitted(path, text, tmp_path, monkeypatch):
    if "encoder.onnx" in text:
        linear_onnx(tmp_path / "encoder.onnx", *layers(150, 8)[0], (1, 50, 3))
        monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for key, value in copy.deepcopy(whole_entries(text)).items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    try:
        validate(config)
    except WorkflowError as error:
        validation.raise_schema_error(error.__context__)
    validation.check(sweeps.expand(config))


def test_entries_of_most_pages_are_looked_at():
    assert len(YAML) > 15
    assert {"README.md", "docs/fpga.md", "docs/readers.md", "docs/detectors/mpdr.md"} <= {name_of(p) for p, _ in YAML}


def test_the_keys_are_those_of_the_schema():
    text = (ROOT / "config/README.md").read_text()
    assert text.partition(made.MARKS[0])[2].partition(made.MARKS[1])[0] == made.configuration()
    rows = [line.split(" | ") for line in made.configuration().splitlines()[2:]]
    assert [row[0] for row in rows if not row[1].strip()] in ([], ["| **`evaluation`**"])


def test_every_detector_has_its_settings_on_a_page():
    assert made.detectors_reached() == set(DETECTORS)
    for name in DETECTORS:
        assert made.settings(name).startswith(("| argument", "It has none"))


def test_numbers_of_the_readme_are_medians_and_half_of_their_interval(tmp_path):
    rows = [("jets", "ae", "two", 1, 0.01, 0.2, 0.15, 0.25), ("jets", "ae", "two", 2, 0.01, 0.4, 0.3, 0.5)]
    rows += [("jets", "ae", "two", 1, 0.1, 0.7, 0.6, 0.8), ("jets", "met", "two", 1, 0.01, 0.5, 0.48, 0.54)]
    rows += [("jets", "gmm", "two", 1, 0.01, "", "", "")]
    head = "task,detector,signal,seed,eps_b,eps_s,eps_s_low,eps_s_high"
    (tmp_path / "efficiency.csv").write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    spread = "task,detector,signal,trainings,quantity,at,median,low,high\njets,ae,two,2,eps_s,0.01,0.3,0.1,0.5\n"
    (tmp_path / "seed_spread.csv").write_text(spread)
    expected = {("jets", "two", "ae"): "0.300 ± 0.200", ("jets", "two", "met"): "0.500 ± 0.030"}
    assert from_run.efficiencies(tmp_path) == expected


def test_every_kind_of_figures_is_in_the_gallery():
    assert re.findall(r"^## (\w+)$", made.gallery(), re.MULTILINE) == list(KINDS)
