"""The house in order: pinned versions, README, continuous integration, and who may import what."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from command_line import ROOT

README = (ROOT / "README.md").read_text()
LIBRARY = sorted((ROOT / "hepad").rglob("*.py"))
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))


def normal(name):
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lines):
    """{name: version} of lines like 'torch==2.13.0'."""
    return {normal(name): version for name, version in (line.split("==") for line in lines if "==" in line)}


def declared():
    """Packages of pyproject.toml: dependencies and extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {normal(re.match(r"[\w.-]+", package)[0]) for group in groups for package in group}


def constraints():
    return pinned((ROOT / "constraints.txt").read_text().splitlines())


def imports(path):
    """Names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_conda_and_pip_users_get_the_same_packages_and_versions():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (by_pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    conda = [entry.replace(" ", "") for entry in dependencies if isinstance(entry, str)]
    conda = [re.sub(r"(?<![=<>])=(?!=)", "==", entry) for entry in conda]
    listed = pinned([*conda, *by_pip])
    assert listed.pop("python").startswith("3.11")
    # HTCondor's plugin warns at every call of Snakemake where there is no HTCondor: who has it installs the extra
    assert set(listed) == declared() - {"snakemake-executor-plugin-htcondor"}
    known = constraints()
    assert {name: (version, known[name]) for name, version in listed.items() if version != known[name]} == {}


def test_every_declared_package_is_pinned():
    known = constraints()
    assert declared() <= set(known)
    assert known["torch"] == "2.13.0"


def code_blocks():
    return re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("block", "last"), [(0, "snakemake --cores all --resources gpu=1"), (1, "pytest")])
def test_readme_begins_with_two_commands_that_install_and_run(block, last):
    command = code_blocks()[block].strip()
    assert command.startswith("pip install -c constraints.txt -e ")
    assert re.split(r"&&|\n", command)[-1].strip() == last
    assert "simulate" in command


def test_continuous_integration_runs_the_second_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    awk = re.search(r"awk '(.+?)' README\.md", script)[1]
    assert "n == 2" in awk
    assert 'eval "$command"' in script
    for needed in ("sphinx-build -q -W", "snakemake --lint", "ruff check", "ruff format --check", "config/test.yaml"):
        assert needed in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100, ".ci/run can be executed"


def test_paths_that_pages_quote_exist():
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    folders = "hepad|config|workflow|notebooks|tests|profiles|benchmarks|docs"
    quoted = [path for page in pages for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())]
    assert len(quoted) > 30
    assert [path for path in quoted if not (ROOT / path).exists()] == []


def test_the_catalogue_of_workflows_finds_what_it_asks_for():
    """https://github.com/snakemake/snakemake-workflow-catalog: standardised usage."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", README.lower()))
    assert all((ROOT / path).is_file() for path in ("workflow/Snakefile", "config/README.md", "LICENSE"))
    assert "include:" in (ROOT / "Snakefile").read_text()


@pytest.mark.slow
def test_it_is_a_module_of_other_workflows(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text((ROOT / "config/test.yaml").read_text())
    module = f'module hepad:\n    snakefile: "{ROOT}/workflow/Snakefile"\n    config: config\n'
    text = f'configfile: "config/config.yaml"\n\n{module}\nuse rule * from hepad as hepad_*\n'
    (tmp_path / "Snakefile").write_text(text)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "results/auc.csv"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hepad_train_detector" in done.stdout + done.stderr


def test_versions_of_python_are_those_that_are_said():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classified = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python ::" in line]
    assert classified == ["3.11", "3.12", "3.13"]
    assert f"Python {classified[0]} to {classified[-1]}" in README
    assert project["requires-python"] == f">={classified[0]}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_short_and_compute_nothing_themselves(path):
    assert len(path.read_text().splitlines()) <= 25
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, defined)]


def test_every_script_has_its_rule():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert sorted(set(re.findall(r"scripts/(\w+)\.py", rules))) == [path.stem for path in SCRIPTS]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_nothing_of_the_workflow(path):
    found = {name.split(".")[0] for name in imports(path)}
    assert "snakemake" not in found
    assert "yaml" not in found or path.name in (
        "plain_yaml.py",
        "draft.py",
        "migration.py",
    )  # drafts and migrations write it, or look at its marks


UNSAFE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
LOADS = {"torch.load", "torch.jit.load", "numpy.load", "np.load", "pandas.read_pickle", "pd.read_pickle"}


def unsafe(source):
    """Imports and calls in ``source`` that could execute what a data file contains."""
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if name.split(".")[0] in UNSAFE or name in LOADS]
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in LOADS:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", [*LIBRARY, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_unpickled(path):
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import joblib as j",
        "from pickle import loads",
        "import torch\nx = torch.load('m.pt')",
        "from torch import load",
        "def f():\n    from dill import load",
        "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    ],
)
def test_an_unpickling_line_would_be_found(source):
    assert unsafe(source)
    assert not unsafe("import pickletools\nfrom hepad.detectors import load\nload('model.safetensors')")


def test_no_machine_paths():
    """Nothing that is shipped names a folder of the machine it was written on."""
    shipped = [
        *LIBRARY,
        *SCRIPTS,
        *(ROOT / "config").rglob("*.*"),
        *(ROOT / "workflow").rglob("*.smk"),
        ROOT / "README.md",
    ]
    places = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|work)/")
    assert [str(path) for path in map(Path, shipped) if path.is_file() and places.search(path.read_text())] == []
