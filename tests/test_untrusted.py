"""What comes from elsewhere is data: names, YAML, expressions, addresses, model files and HDF5 files that attack."""

import ast
import copy
import json
import re
import struct
import time
import zipfile

import awkward as ak
import h5py
import matplotlib as mpl
import numpy as np
import pytest
import torch
import yaml
from command_line import ROOT, snakemake
from safetensors import safe_open
from safetensors.torch import save_file
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from hepad import configuration, detectors, selection, student, sweeps
from hepad.errors import InputError
from hepad.events import Events
from hepad.features import read_scores
from hepad.io import append_array, open_hdf5, read_array
from hepad.readers.expressions import branches_of, evaluate
from hepad.representations import Space
from hepad.samples import find_files
from hepad.style import EXPERIMENTS, style
from hepad.tables import escape


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load((ROOT / "config" / "test.yaml").read_text())


def admit(config):
    """What the workflow does with the text of a configuration when it starts."""
    config = copy.deepcopy(config)
    try:
        validate(config, str(ROOT / "workflow" / "schemas" / "config.schema.yaml"))
    except WorkflowError as error:
        configuration.refuse(error.__context__)
    configuration.check(sweeps.expand(config))


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
    [("samples", "ceiling"), ("detectors", "Ceiling"), ("tasks", "students"), ("tasks", "STUDENTS")],
)
def test_names_that_hepad_uses_itself_are_refused(shipped, kind, name):
    with pytest.raises(InputError, match=rf"{kind}\.{name}: this name is hepad's own"):
        admit(renamed(shipped, kind, name))


@pytest.mark.parametrize("kind", ["samples", "representations", "detectors", "tasks"])
def test_names_that_differ_by_case_alone_are_refused(shipped, kind):
    config = copy.deepcopy(shipped)
    name = next(iter(config[kind]))
    config[kind][name.upper()] = copy.deepcopy(config[kind][name])
    with pytest.raises(InputError, match=f"{kind}: '{name}' and '{name.upper()}' differ by case alone"):
        admit(config)


def test_names_that_sweeps_make_are_checked_too(shipped):
    config = renamed(shipped, "detectors", "d" * 95)
    config["detectors"]["d" * 95]["compress"] = [0, 5]
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
    hostile = "\\input{/etc/passwd}\n\\write18{id} $x$ & % # ^ ~ < > | \u2028 \x00 {}"
    written = escape(hostile)
    assert written.isprintable()
    for found in re.finditer(r"\\([A-Za-z]+|.)", written):
        assert found[1] in ("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
                            *"&%$#_{}"), found[0]  # fmt: skip
    assert not re.search(r"(?<!\\)[&%$#^~]", written)


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


CODE = [*(ROOT / "workflow").rglob("*.smk"), *(ROOT / "workflow").rglob("*.py"), ROOT / "Snakefile"]


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
                assert not names & UNSAFE_MODULES, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in UNSAFE_CALLS, path
                # torchrun takes the place of the running script: a list of arguments, no shell, nothing of a name
                assert not called.startswith(("os.exec", "os.spawn")) or path.name == "distributed.py", path


# YAML -----------------------------------------------------------------------------------------------------------------


def aliases(write, levels):
    return "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {write(f'*a{i - 1}')}\n" for i in range(1, levels))


YAML = {
    "object": ("x: !!python/object/apply:os.system ['touch PWNED']", "tag 'tag:yaml.org,2002:python/object/apply"),
    "name": ("x: !!python/name:os.system", "tag"),
    "tuple": ("x: !!python/tuple [1, 2]", "tag"),
    "foreign tag": ("x: !ENV {a: 1}", "tag '!ENV'"),
    "key with a tag": ("? !!python/tuple [1]\n: 2", "no key"),
    "template": ("__use_yte__: true", "Snakemake runs the Python"),
    "template, spelt otherwise": ('"\\x5f_use_yte__": true', "Snakemake runs the Python"),
    "template, merged": ("<<: {__use_yte__: true}", "Snakemake runs the Python"),
    "many laughs": (aliases(lambda a: f"[{', '.join([a] * 10)}]", 30), "more than 100000 entries"),
    "many mappings": (aliases(lambda a: f"{{l: {a}, r: {a}}}", 60), "more than 100000 entries|more than 30 levels"),
    "many merges": (aliases(lambda a: f"{{<<: [{', '.join([a] * 10)}]}}", 30), "more than"),
    "itself": ("a: &a [*a]", "an alias inside itself"),
    "deep": ("a: " + "[" * 40 + "]" * 40, "more than 30 levels"),
    "very deep": ("a: " + "[" * 500 + "]" * 500, "more than 30 levels"),
    "control": ("a: '\x07'", "not valid YAML"),
    "no key": ("[a]: 1", "no key"),
}


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
def test_yaml_that_is_no_plain_data_is_refused_at_once(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text[0] + "\n" + (ROOT / "config" / "test.yaml").read_text())
    for read in (configuration.refuse_duplicate_keys, configuration.read_configuration):
        start = time.monotonic()
        with pytest.raises(InputError, match=text[1]) as caught:
            read(tmp_path / "c.yaml")
        assert "c.yaml" in str(caught.value)
        assert time.monotonic() - start < 2
    assert not (tmp_path / "PWNED").exists()


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00samples")
    with pytest.raises(InputError, match=r"c\.yaml"):
        configuration.refuse_duplicate_keys(tmp_path / "c.yaml")


def test_aliases_in_measure_are_of_use(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}\n")
    configuration.refuse_duplicate_keys(tmp_path / "c.yaml")


# expressions, addresses -----------------------------------------------------------------------------------------------

ARRAYS = {"x": ak.Array([1.0, 2.0]), "n": ak.Array([1, 2]), "j": ak.Array([[1.0, 2.0], [3.0]])}
EXPRESSIONS = ["__import__('os').system('id')", "x.__class__", "x.__class__()", "().__class__.__base__", "open('f')"]
EXPRESSIONS += ["[y for y in x]", "lambda: x", "f'{x}'", "(y := 1)", "x if n else x", "sqrt(*x)", "max(j, axis=0)"]
EXPRESSIONS += ["9**9**9**9", "9.0**9.0**9.0", "10**400", "1 << 99999999", "x * " + "9" * 400, "9" * 5000, "'a' * 9**9"]
EXPRESSIONS += ["(" * 300 + "x" + ")" * 300, "-" * 5000 + "x", "x" + "+x" * 4900, "x" + ".a" * 4900, "x" * 20_000]
EXPRESSIONS += [
    "x\0",
    "1 / 0",
    "1 % 0",
    "sum(1)",
    "sqrt(x, n)",
    "hypot(x, x, x)",
    "where(x)",
    "yield x",
    "await x",
    "...",
]


@pytest.mark.parametrize("text", EXPRESSIONS, ids=lambda text: ascii(text)[:24])
def test_an_expression_reaches_numbers_and_branches_alone(text):
    before, start = copy.deepcopy(ARRAYS), time.monotonic()
    with pytest.raises(InputError) as caught:
        branches_of(text, frozenset(ARRAYS)) and evaluate(text, ARRAYS)
    assert time.monotonic() - start < 1
    assert len(str(caught.value)) < 12_000
    with pytest.raises(InputError):  # evaluation stands alone, too
        evaluate(text, ARRAYS)
    assert all(ak.all(ARRAYS[name] == before[name]) for name in ARRAYS), "a ufunc wrote into a branch"


def test_powers_are_those_of_numbers():
    assert evaluate("2**-1", ARRAYS) == 0.5
    assert evaluate("n**2 + 2**n", ARRAYS).tolist() == [3, 8]


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


def test_a_card_is_code(tmp_path):
    """docs/security.md says so: a card reads other files."""
    pythia8 = pytest.importorskip("pythia8mc")
    (tmp_path / "other.cmnd").write_text("Beams:eCM = 1234.\n")
    (tmp_path / "card.cmnd").write_text(f"include = {tmp_path / 'other.cmnd'}\n")
    pythia = pythia8.Pythia("", False)
    assert pythia.readFile(str(tmp_path / "card.cmnd"), False)
    assert pythia.settings.parm("Beams:eCM") == 1234
    assert pythia.settings.isWVec("Init:plugins"), "names shared libraries to load"


# models ---------------------------------------------------------------------------------------------------------------

SPACE = Space(shape=(6,), columns=tuple("abcdef"))
SPEC = {"type": "AE", "arguments": {"autoencoder": {"hidden": [8], "latent": 2}, "training": {"steps": 10}}}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """(tensors, description) of a small model in a file."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    detectors.save(detectors.build(SPEC, SPACE, seed=1), path, SPEC)
    detectors.load(path)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["hepad"])


def described(parts, change):
    about = copy.deepcopy(parts[1])
    change(about)
    return dict(parts[0]), {"hepad": json.dumps(about)}


def with_tensors(parts, change):
    tensors = dict(parts[0])
    change(tensors, max(tensors, key=lambda name: tensors[name].numel()))
    return tensors, {"hepad": json.dumps(parts[1])}


def arguments(about):
    return about["spec"]["arguments"]


CONTENTS = {
    "shape": (lambda p: with_tensors(p, lambda t, k: t.update({k: torch.zeros(3)})), "has shape"),
    "transposed": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].T.contiguous()})), "has shape"),
    "type": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].double()})), "float64"),
    "integers": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k].to(torch.int8)})), "int8"),
    "missing": (lambda p: with_tensors(p, lambda t, k: t.pop(k)), "missing or too many"),
    "extra": (lambda p: with_tensors(p, lambda t, k: t.update(extra=torch.zeros(1))), "too many: extra"),
    "nan": (lambda p: with_tensors(p, lambda t, k: t.update({k: t[k] * float("nan")})), "NaN"),
    "wide": (lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden=[10**9])), "larger than any"),
    "wide for the file": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden=[10**7])),
        "more numbers than the file",
    ),
    "square": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden=[40_000, 40_000])),
        "more numbers than the file",
    ),
    "long": (
        lambda p: described(p, lambda a: arguments(a)["autoencoder"].update(hidden=[8] * 10_000)),
        "more numbers than the file",
    ),
    "space": (lambda p: described(p, lambda a: a["space"].update(shape=[10**7], columns=[])), "hepad model"),
    "foreign class": (lambda p: described(p, lambda a: a["spec"].update(type="os.system")), "'os.system' is unknown"),
    "another class": (lambda p: described(p, lambda a: a.update(spec={"type": "Variable"})), "hepad model"),
    "class that is a list": (lambda p: described(p, lambda a: a["spec"].update(type=[])), "hepad model"),
    "argument": (lambda p: described(p, lambda a: arguments(a).update(__class__=1)), "'__class__' is unknown"),
    "spec": (lambda p: described(p, lambda a: a.update(spec=[1])), "hepad model"),
    "space that is a word": (lambda p: described(p, lambda a: a.update(space="x")), "hepad model"),
    "nothing described": (lambda p: (dict(p[0]), None), "hepad model"),
    "deep": (lambda p: (dict(p[0]), {"hepad": "[" * 100_000 + "]" * 100_000}), "recursion"),
    "not JSON": (lambda p: (dict(p[0]), {"hepad": "import os"}), "hepad model"),
    "list": (lambda p: (dict(p[0]), {"hepad": "[]"}), "hepad model"),
    "huge number": (lambda p: (dict(p[0]), {"hepad": "9" * 10_000}), "larger than any"),
}


def refused_quickly(load, path, message):
    start = time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("case", CONTENTS.values(), ids=CONTENTS)
def test_models_with_other_contents_are_refused(case, parts, tmp_path):
    tensors, metadata = case[0](parts)
    path = tmp_path / "m.safetensors"
    save_file(tensors, path, metadata=metadata)
    refused_quickly(detectors.load, path, case[1])


def header(entries, size=None, data=b""):
    text = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def pickled(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch PWNED'\ntR.")


BYTES = {
    "empty": b"",
    "truncated size": b"\x10\x00",
    "huge header": header({}, size=100 * 10**9),
    "largest header": header({}, size=2**64 - 1),
    "header longer than the file": header({}, size=1000),
    "claims 100 GB": header({"a": tensor([25 * 10**9], 0, 100 * 10**9)}),
    "overlap": header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, data=bytes(12)),
    "hole": header({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, data=bytes(12)),
    "backwards": header({"a": tensor([1], 4, 0)}, data=bytes(4)),
    "shape overflows": header({"a": tensor([2**63, 2**63], 0, 4)}, data=bytes(4)),
    "negative": header({"a": tensor([-1], 0, 4)}, data=bytes(4)),
    "unknown type": header({"a": tensor([1], 0, 4, "OBJECT")}, data=bytes(4)),
    "deep": header(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "metadata of numbers": header({"__metadata__": {"hepad": 1}}),
    "no JSON": header(b"\x80\x04cos\nsystem\n(S'id'\ntR."),
    "pickle": b"\x80\x04cos\nsystem\n(S'touch PWNED'\ntR.",
    "more data": header({"a": tensor([1], 0, 4)}, data=bytes(400)),
}
LOADS = (detectors.load, student.load, selection.load_trail)


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES)
def test_model_files_with_other_bytes_are_refused(content, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    for load in LOADS:
        refused_quickly(load, path, "not a usable|not the candidates")


def test_pickles_folders_and_cut_files_are_refused(parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.safetensors"
    save_file(parts[0], path, metadata={"hepad": json.dumps(parts[1])})
    whole = path.read_bytes()
    for load in LOADS:
        for length in (7, 8, 100, len(whole) - 1):
            path.write_bytes(whole[:length])
            refused_quickly(load, path, "not a usable|not the candidates")
        pickled(tmp_path / "z.safetensors")
        refused_quickly(load, tmp_path / "z.safetensors", "not a usable|not the candidates")
        refused_quickly(load, tmp_path, "there is no such file")
        refused_quickly(load, tmp_path / "none.safetensors", "there is no such file")
    assert not (tmp_path / "PWNED").exists()


def test_a_model_that_fits_is_loaded_as_it_was(parts, tmp_path):
    save_file(parts[0], tmp_path / "m.safetensors", metadata={"hepad": json.dumps(parts[1])})
    state = detectors.load(tmp_path / "m.safetensors").state_dict()
    assert state.keys() == parts[0].keys()
    assert all(torch.equal(state[name], parts[0][name]) for name in state)


@pytest.mark.parametrize(
    "tensors",
    [{"a": 1}, {"x/a": 1}, {"1/a": 1, "2/b": 1}, {"1/a": 1, "2/a": 2}],
    ids=["no step", "no number", "other names", "other shapes"],
)
def test_trails_of_another_form_are_refused(tensors, tmp_path):
    save_file({name: torch.zeros(size) for name, size in tensors.items()}, tmp_path / "t.safetensors")
    refused_quickly(selection.load_trail, tmp_path / "t.safetensors", "not the candidates")


# HDF5 -----------------------------------------------------------------------------------------------------------------


def scores_file(path, change):
    """A file of scores, changed."""
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "hepad scores"
        group = file.create_group("scores")
        append_array(group, "ae/1", np.arange(5.0))
        for name in ("weight", "event_id"):
            append_array(file, name, np.ones(5))
        append_array(file, "jet", np.ones((5, 4), np.float32))
        del file["weight"]
        change(file)
    return path


def virtual(file):
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (5,))
    file.create_virtual_dataset("weight", layout)


HDF5 = {
    "external link": (lambda f: f.update({"weight": h5py.ExternalLink("secret.h5", "x")}), "from another file"),
    "external link, nested": (
        lambda f: f["scores"].update({"b/c": h5py.ExternalLink("/etc/passwd", "x")}),
        "from another file",
    ),
    "virtual": (virtual, "from another file"),
    "external storage": (
        lambda f: f.create_dataset("weight", (5,), "u1", external=[("/etc/passwd", 0, 5)]),
        "from another file",
    ),
    "soft link": (lambda f: f.update({"weight": h5py.SoftLink("/event_id")}), "no dataset of its own"),
    "group": (lambda f: f.create_group("weight"), "no dataset of its own"),
    "text": (lambda f: f.create_dataset("weight", data=["a"] * 5), "not of numbers"),
    "lists": (lambda f: f.create_dataset("weight", (5,), h5py.vlen_dtype(np.float64)), "not of numbers"),
    "references": (lambda f: f.create_dataset("weight", (5,), h5py.ref_dtype), "not of numbers"),
    "records": (lambda f: f.create_dataset("weight", (5,), [("a", "f8")]), "not of numbers"),
    "huge, empty": (lambda f: f.create_dataset("weight", (10**13,), "f8", chunks=(1000,)), "incomplete"),
    "huge, not chunked": (lambda f: f.create_dataset("weight", (10**13,), "f8"), "incomplete"),
    "huge chunks": (lambda f: f.create_dataset("weight", (5,), "f8", maxshape=(None,), chunks=(10**8,)), "in chunks"),
}


@pytest.mark.parametrize("case", HDF5.values(), ids=HDF5)
def test_hdf5_files_hold_their_own_numbers(case, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.full(5, 42.0)
    refused_quickly(lambda path: read_scores(path)[1]["weight"], scores_file(tmp_path / "s.h5", case[0]), case[1])


def test_an_event_file_is_read_by_the_same_checks(make_events, tmp_path):
    make_events(20, 1).write(tmp_path / "e.h5")
    assert len(Events.read(tmp_path / "e.h5")) == 20
    with h5py.File(tmp_path / "e.h5", "a") as file:
        del file["weight"]
        file["weight"] = h5py.ExternalLink("secret.h5", "x")
    refused_quickly(Events.read, tmp_path / "e.h5", "from another file")


def test_rows_are_read_as_before(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        append_array(file, "x", np.arange(12.0).reshape(6, 2))
    with open_hdf5(tmp_path / "a.h5") as file:
        assert read_array(file, "x", slice(1, 3)).tolist() == [[2, 3], [4, 5]]
        assert read_array(file, "x", np.array([0, 5])).tolist() == [[0, 1], [10, 11]]
