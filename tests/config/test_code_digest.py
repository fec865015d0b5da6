"""What counts as the code of a job: what it needs, not where it lies, how old it is, or what else is in its files."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT

from hepad.figures import KINDS

SCRIPTS = {path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py")}
CLASSES = ("autoencoder", "energy_based/nae", "vae", "baselines", "energy_based/mpdr", "energy_based/igebm")
ENERGY = {"energy_based/nae", "energy_based/mpdr", "energy_based/igebm"}


def digests(clone: Path) -> dict[str, str]:
    """Of every script and of some detectors, as a clone finds them that lies anywhere."""
    spec = importlib.util.spec_from_file_location("code_of_clone", clone / "hepad" / "config" / "code_digest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scripts = {path.stem: path for path in sorted((clone / "workflow" / "scripts").glob("*.py"))}
    classes = {f"detectors/{name}": clone / "hepad" / "detectors" / f"{name}.py" for name in CLASSES}
    figures = {f"figures/{name}": clone / "hepad" / "figures" / f"{name}.py" for name in KINDS}
    return {name: module.digest(path) for name, path in (scripts | classes | figures).items()}


@pytest.fixture(scope="module")
def before():
    return digests(ROOT)


@pytest.fixture
def clone(tmp_path):
    for folder in ("hepad", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / "clone" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "clone"


def changed(clone: Path, before: dict[str, str]) -> set[str]:
    after = digests(clone)
    assert list(after) == list(before)
    return {name for name in after if after[name] != before[name]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_neither_place_nor_time_counts(clone, before, tmp_path):
    assert set(before) > SCRIPTS
    for path in clone.rglob("*.py"):
        os.utime(path, (1, 1))
    clone.rename(tmp_path / "other")
    assert digests(tmp_path / "other") == before


def test_the_order_of_sets_does_not_count():
    """A script and a module of one name, workflow/scripts/supervised.py and hepad/evaluation/supervised.py, are two."""
    command = [
        sys.executable,
        "-c",
        "from hepad.config.code_digest import digest; print(digest('workflow/scripts/supervised.py'))",
    ]
    found = {
        subprocess.check_output(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": str(seed)}) for seed in range(6)
    }
    assert len(found) == 1


def test_comments_docstrings_and_layout_do_not_count(clone, before):
    for path in clone.rglob("*.py"):
        path.write_text("# a comment\n\n" + path.read_text().replace('    """', '    """Said otherwise. ', 1))
    assert not changed(clone, before)


@pytest.mark.slow
def test_an_edit_of_a_chain_concerns_the_energy_trainings(clone, before):
    edit(
        clone / "hepad/detectors/energy_based/langevin.py",
        "    def __post_init__(self)",
        "    more = 1\n\n    def __post_init__(self)",
    )
    of_detectors = {f"detectors/{name}" for name in ENERGY}
    assert {name for name in changed(clone, before) if name.startswith("detectors")} == of_detectors
    assert not changed(clone, before) & {"represent", "read", "generate", "train", "evaluate", "tabulate"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "detectors"),
    [
        ("detectors/networks.py", {"autoencoder", "vae"} | ENERGY),
        ("detectors/flows/planar.py", {"vae"}),
        ("detectors/training/loop.py", set(CLASSES)),
        ("detectors/energy_based/base.py", ENERGY),
        ("detectors/energy_based/wnae.py", set()),
        ("figures/images.py", set()),
        ("samples/readers/nanoaod.py", set()),
    ],
)
def test_an_edit_concerns_those_who_need_it(clone, before, file, detectors):
    path = clone / "hepad" / file
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.append(ast.Pass())
    path.write_text(ast.unparse(tree))
    found = changed(clone, before)
    assert {name for name in found if name.startswith("detectors")} == {f"detectors/{name}" for name in detectors}
    if file.startswith("figures"):
        assert found == {f"figures/{name}" for name in ("images", "reconstructions", "model_samples", "generated")}
    if file.startswith("samples/readers"):
        assert found == {"read"}


def test_an_edit_of_a_template_concerns_the_page_alone(clone, before):
    edit(clone / "hepad/figures/front_page.html", "<h2>Gallery</h2>", "<h2>All figures</h2>")
    assert changed(clone, before) == {"page"}


def test_a_new_class_beside_the_others_concerns_none_of_them(clone, before):
    new = clone / "hepad/detectors/new.py"
    new.write_text("from hepad.detectors.autoencoder import AE\n\n\nclass New(AE):\n    pass\n")
    registry = clone / "hepad/detectors/__init__.py"
    edit(
        registry,
        "from hepad.detectors.energy_based.nae",
        "from hepad.detectors.new import New\nfrom hepad.detectors.energy_based.nae",
    )
    edit(registry, "DETECTORS.add(AE,", "DETECTORS.add(New, AE,")
    assert not changed(clone, before)


def test_a_new_figure_beside_the_others_concerns_none_of_them_and_neither_does_a_caption(clone, before):
    shutil.copy(clone / "hepad/figures/inputs.py", clone / "hepad/figures/new.py")
    edit(clone / "hepad/figures/__init__.py", '"inputs",', '"inputs", "new",')
    edit(clone / "hepad/figures/inputs.py", "Input variables of", "Variables of")
    assert not changed(clone, before)
