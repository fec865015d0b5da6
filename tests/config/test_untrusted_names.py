"""Names, labels, numbers and addresses of a configuration are data, and the code does nothing with them but that."""

import ast
import copy
import re

import matplotlib as mpl
import pytest
import yaml
from command_line import ROOT, snakemake
from schema import validate
from snakemake.exceptions import WorkflowError

from hepad.config import naming, sweeps, validation
from hepad.errors import InputError
from hepad.evaluation.latex import escape
from hepad.figures import KINDS, registry
from hepad.figures.style import EXPERIMENTS, style
from hepad.samples.formats.paths import find_files
from hepad.storage.hdf5 import open_hdf5


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load((ROOT / "config" / "test.yaml").read_text())


def admit(config):
    """What the workflow does with the text of a configuration when it starts."""
    config = copy.deepcopy(config)
    try:
        validate(config)
    except WorkflowError as error:
        validation.raise_schema_error(error.__context__)
    validation.check(sweeps.expand(config))


# names, labels, paths ------------------------------------------------------------------------------------------------


def renamed(config, kind, new):
    """``config`` with another name for its first sample that is a signal, representation, detector or task."""
    config = copy.deepcopy(config)
    task = next(iter(config["tasks"].values()))
    old = {
        "samples": task["signals"][0],
        "detectors": task["detectors"][0],
        "tasks": next(iter(config["tasks"])),
        "representations": config["detectors"][task["detectors"][0]]["representation"],
    }[kind]
    config[kind][new] = config[kind].pop(old)
    for entry in config["tasks"].values():
        for key in ("signals", "detectors"):
            entry[key] = [new if name == old else name for name in entry[key]]
    for entry in config["detectors"].values():
        if entry["representation"] == old:
            entry["representation"] = new
    return config


NAMES = [
    "../x",
    "a/b",
    "/etc",
    "..",
    "a.b",
    "{task}",
    "a\n",
    "a\nb",
    "top;id",
    "$(id)",
    "`id`",
    "a b",
    "-rf",
    "",
    "töp",
]
NAMES += ["²", "a\u0661", "a\x00", "~", "*", "a" * 101, 7]


@pytest.mark.parametrize("kind", ["samples", "representations", "detectors", "tasks"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:12])
def test_names_that_are_no_names_are_refused(shipped, kind, name):
    with pytest.raises(InputError, match=f"{kind}: .*(letters|too long|is not of type)"):
        admit(renamed(shipped, kind, name))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("samples", "supervised"), ("detectors", "Supervised"), ("tasks", "students"), ("tasks", "STUDENTS")],
)
def test_names_that_hepad_uses_itself_are_refused(shipped, kind, name):
    with pytest.raises(InputError, match=rf"{kind}\.{name}: this name is hepad's own"):
        admit(renamed(shipped, kind, name))


def test_no_task_shares_its_folder_with_figures_that_belong_to_none():
    first = {path.split("/")[0] for name in KINDS for path in registry.kind(name).draws}
    assert first - {"{task}"} == naming.RESERVED["tasks"]


@pytest.mark.parametrize("kind", ["samples", "representations", "detectors", "tasks"])
def test_names_that_differ_by_case_alone_are_refused(shipped, kind):
    config = copy.deepcopy(shipped)
    name = next(iter(config[kind]))
    config[kind][name.upper()] = copy.deepcopy(config[kind][name])
    with pytest.raises(InputError, match=f"{kind}: '{name}' and '{name.upper()}' differ by case alone"):
        admit(config)


def test_names_that_sweeps_make_are_checked_too(shipped):
    config = renamed(shipped, "detectors", "d" * 95)
    config["detectors"]["d" * 95]["sweep"] = {"n_components": [0, 5]}
    with pytest.raises(InputError, match="characters are too long for a file"):
        admit(config)


def test_two_pairs_of_names_do_not_share_a_log():
    """'qcd' and 'low_mass', 'qcd_low' and 'mass' are one name when '_' joins them."""
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        joined = re.findall(r"results/(?:logs|benchmarks)/\S*\}_\S*", path.read_text())
        assert not joined, f"{path.name}: {joined}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tasks", "seeds"), [1.0]),
        (("tasks", "seeds"), [10**300]),
        (("samples", "source", "chunks"), 2.0),
        (("samples", "source", "jets"), 1e3),
    ],
)
def test_numbers_in_paths_are_whole(shipped, path, value):
    config = copy.deepcopy(shipped)
    entry = next(iter(config[path[0]].values()))
    for key in path[1:-1]:
        entry = entry[key]
    entry[path[-1]] = value
    with pytest.raises(InputError, match=rf"{path[-1]}.*(whole number|maximum|0000)"):
        admit(config)


LABELS = ["$", "a $x", r"$\frac{1}{$", r"$\input{/etc/passwd}$", "a\nb", "a\x00", "\x1b[2J", "\u202e", "x" * 201]
LABELS += ["$" + "{" * 90 + "x" + "}" * 90 + "$$"]


@pytest.mark.parametrize("where", ["samples", "detectors", "style"])
@pytest.mark.parametrize("label", LABELS, ids=lambda label: ascii(label)[:16])
def test_labels_that_no_figure_can_show_are_refused_at_the_start(shipped, where, label):
    config = copy.deepcopy(shipped)
    config.setdefault("style", {})
    entry = config["style"] if where == "style" else next(iter(config[where].values()))
    entry["label"] = label
    with pytest.raises(InputError, match=rf"{where}.*label"):
        admit(config)


@pytest.mark.parametrize(
    "label", [r"$t\bar{t}$", r"5 \$", "QCD, {task} {0} %s", "γ = 0.1", r"\write18{id}", "a_b^c & d"]
)
def test_labels_of_use_are_admitted_and_drawn_without_latex(shipped, label):
    config = copy.deepcopy(shipped)
    config["samples"]["qcd"]["label"] = label
    admit(config)
    with mpl.rc_context({"text.usetex": True}):
        for experiment in (None, *EXPERIMENTS):
            with style({"experiment": experiment}):
                assert not mpl.rcParams["text.usetex"], "a label would reach LaTeX, which reads files"
                figure = mpl.figure.Figure()
                figure.text(0, 0, label)
                figure.draw_without_rendering()


def test_latex_of_any_text_is_text_on_one_line():
    hostile = "\\input{/etc/passwd}\n\\write18{id} $\\input{x}$ & % # ^ ~ < > | \u2028 \x00 {}"
    written = escape(hostile)
    assert written.isprintable()
    for found in re.finditer(r"\\([A-Za-z]+|.)", written):
        assert found[1] in ("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
                            *"&%$#_{}"), found[0]  # fmt: skip
    assert not re.search(r"(?<!\\)[&%$#^~]", written)


@pytest.mark.parametrize(
    ("label", "written"),
    [
        (r"$t\bar{t}$", r"$t\bar{t}$"),
        (r"$\rho^{+}$, 5 \$", r"$\rho^{+}$, 5 \$"),
        (r"$\input{a}$", r"\$\textbackslash{}input\{a\}\$"),
        ("$a}{b$", r"\$a\}\{b\$"),
        (r"$x\\y$", r"\$x\textbackslash{}\textbackslash{}y\$"),
        ("$x%y$", r"\$x\%y\$"),
    ],
)
def test_mathematics_in_labels_has_commands_that_read_nothing(label, written):
    assert escape(label) == written


@pytest.mark.slow
def test_the_workflow_refuses_in_one_plain_message(shipped, tmp_path):
    """What the checks above see is what a run sees; and nothing is left in its folder or beside it."""
    config = renamed(shipped, "samples", "../../escaped\n")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(tmp_path / "run", tmp_path / "c.yaml", "--dry-run")
    errors = [line for line in result.stdout.splitlines() if line.startswith("ERROR: ")]
    assert result.returncode == 1
    assert len(errors) == 1
    assert "ERROR: samples: " in errors[0]
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "run" / "results").exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"run", "c.yaml"}


# addresses ------------------------------------------------------------------------------------------------------------

ADDRESSES = ["reference://x.json", "simplecache::https://h/x.root", "zip://x.h5::https://h/a.zip", "ssh://h/x.root"]
ADDRESSES += ["file:///etc/passwd", "local:///x", "ftp://h/x.h5", "github://o:r@main/x", "memory://x", "s3://b/x.root"]
ADDRESSES += ["filecache::root://h//x.root", "gopher://h/x", "://x", "HTTP+unix://x", "reference://*.root"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_in_lists_are_checked(address, tmp_path):
    (tmp_path / "l.txt").write_text(address)
    with pytest.raises(InputError, match="addresses may begin with"):
        find_files(str(tmp_path / "l.txt"))


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_of_three_protocols(shipped, address):
    config = copy.deepcopy(shipped)
    config["samples"]["qcd"]["source"] = {"files": [address]}
    with pytest.raises(InputError, match=r"addresses may begin with root://, https://, http://") as caught:
        admit(config)
    assert "samples.qcd.source.files" in str(caught.value)
    with pytest.raises(InputError, match="addresses may begin with"), open_hdf5(address):
        pass


# the code -------------------------------------------------------------------------------------------------------------

CODE = [*(ROOT / "workflow").rglob("*.smk"), *(ROOT / "workflow").rglob("*.py"), ROOT / "Snakefile"]
CODE += (ROOT / "workflow").rglob("Snakefile")


def test_no_rule_has_a_shell_command():
    for path in CODE:
        found = re.search(r"^\s*(shell|run|wrapper|cwl|notebook):|\bshell\(", path.read_text(), re.MULTILINE)
        assert not found, f"{path}: {found[0]}"


UNSAFE_MODULES = {"subprocess", "pickle", "shelve", "marshal", "dill", "joblib", "pty"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "yaml.load", "os.system", "os.popen", "torch.load"}


def test_the_package_starts_no_program_and_evaluates_no_text():
    for path in [*(ROOT / "hepad").rglob("*.py"), *(p for p in CODE if p.suffix == ".py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", "")}
                # this Python with a list of arguments, no shell: a graph is tried in a child, and two commands start
                # Snakemake with the arguments that the user has given
                starting = ("trigger/export/sessions.py", "cli/run.py", "cli/report.py")
                allowed = {"subprocess"} if path in [ROOT / "hepad" / name for name in starting] else set()
                assert not names & UNSAFE_MODULES - allowed, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in UNSAFE_CALLS, path
                # torchrun takes the place of the running script: a list of arguments, no shell, nothing of a name
                assert not called.startswith(("os.exec", "os.spawn")) or path.name == "distributed.py", path
