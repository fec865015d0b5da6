"""YAML, expressions of branches and generator cards that attack."""

import copy
import time

import awkward as ak
import pytest
from command_line import ROOT

from hepad.config import loading, plain_yaml
from hepad.errors import InputError
from hepad.events.expressions import evaluate
from hepad.samples.readers.branches import branches_of

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
    for read in (plain_yaml.check_duplicate_keys, loading.read_configuration):
        start = time.process_time()
        with pytest.raises(InputError, match=text[1]) as caught:
            read(tmp_path / "c.yaml")
        assert "c.yaml" in str(caught.value)
        assert time.process_time() - start < 2
    assert not (tmp_path / "PWNED").exists()


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00samples")
    with pytest.raises(InputError, match=r"c\.yaml"):
        plain_yaml.check_duplicate_keys(tmp_path / "c.yaml")


def test_aliases_in_measure_are_of_use(tmp_path):
    (tmp_path / "c.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: [*a, *a]}\n")
    plain_yaml.check_duplicate_keys(tmp_path / "c.yaml")


# expressions ----------------------------------------------------------------------------------------------------------

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
    before, start = copy.deepcopy(ARRAYS), time.process_time()
    with pytest.raises(InputError) as caught:
        branches_of(text, frozenset(ARRAYS)) and evaluate(text, ARRAYS)
    assert time.process_time() - start < 1
    assert len(str(caught.value)) < 12_000
    with pytest.raises(InputError):  # evaluation stands alone, too
        evaluate(text, ARRAYS)
    assert all(ak.all(ARRAYS[name] == before[name]) for name in ARRAYS), "a ufunc wrote into a branch"


def test_powers_are_those_of_numbers():
    assert evaluate("2**-1", ARRAYS) == 0.5
    assert evaluate("n**2 + 2**n", ARRAYS).tolist() == [3, 8]


def test_a_card_is_code(tmp_path):
    """docs/security.md says so: a card reads other files."""
    pythia8 = pytest.importorskip("pythia8mc")
    (tmp_path / "other.cmnd").write_text("Beams:eCM = 1234.\n")
    (tmp_path / "card.cmnd").write_text(f"include = {tmp_path / 'other.cmnd'}\n")
    pythia = pythia8.Pythia("", False)
    assert pythia.readFile(str(tmp_path / "card.cmnd"), False)
    assert pythia.settings.parm("Beams:eCM") == 1234
    assert pythia.settings.isWVec("Init:plugins"), "names shared libraries to load"
