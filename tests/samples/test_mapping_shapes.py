"""What a mapping makes of arrays of other shapes: nested jets, events without constituents, columns of arrays, truth
values, padding; and what it refuses."""

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepad.errors import InputError
from hepad.events.expressions import evaluate
from hepad.samples.readers.branches import branches_of
from hepad.samples.readers.shapes import shaped
from hepad.samples.sources import read

POLAR = ("pt", "eta", "phi")
MAPPING = {f"constituent_{x}": x for x in POLAR}


@pytest.fixture
def file(tmp_path):
    """``file(suffix, columns)``: the path of a file of columns, beside 300 jets of three particles, padded to five."""
    rng = np.random.default_rng(2)
    p = np.stack([rng.uniform(20, 200, (300, 5)), rng.normal(0, 0.3, (300, 5)), rng.uniform(-1, 1, (300, 5))], axis=-1)
    p[:, 3:] = 0

    def file(suffix: str = ".h5", padding: float = 0.0, **columns) -> str:
        path = tmp_path / f"a{suffix}"
        jets = {x: np.where(np.arange(5) < 3, p[..., i], padding) for i, x in enumerate(POLAR)}
        if suffix == ".parquet":
            pq.write_table(ak.to_arrow_table(ak.zip(jets | columns, depth_limit=1), extensionarray=False), path)
        else:
            with h5py.File(path, "w") as opened:
                for name, values in (jets | columns).items():
                    opened[name] = values
        return str(path)

    return file


def load(path, branches=None, **source):
    branches = MAPPING if branches is None else branches
    return read({"files": path, "branches": branches} | source, name="s", selection="any", split=(0.6, 0.1, 0.3))


def nested(**arrays) -> dict:
    found, missing = shaped("file", {x: ak.Array(v) for x, v in arrays.items()}, {x: x for x in arrays})
    assert not any(rows.any() for rows in missing.values())
    return {name: array.to_list() for name, array in found.items()}


def test_the_hardest_jet_is_that_of_the_highest_sum():
    """Two particles back to back have no pT, whatever theirs; jets may be empty, events may have none."""
    phi = [[[0.0, np.pi], [1.0]], [], [[]], [[], [2.0]], [[0.0], [0.5], [0.1, 0.1]]]
    pt = [[[90.0, 90.0], [20.0]], [], [[]], [[], [7.0]], [[10.0], [12.0], [6.0, 6.5]]]
    expected = [[20], [], [], [7], [6, 6.5]]
    assert nested(constituent_pt=pt, constituent_eta=pt, constituent_phi=phi)["constituent_pt"] == expected
    px, py = (
        [
            [[a * f(b) for a, b in zip(*jet, strict=True)] for jet in zip(*event, strict=True)]
            for event in zip(pt, phi, strict=True)
        ]
        for f in (np.cos, np.sin)
    )
    found = nested(constituent_px=px, constituent_py=py, constituent_pz=px, constituent_energy=pt)
    assert found["constituent_energy"] == expected


def test_a_jet_pt_that_is_mapped_decides():
    pt = [[[90.0], [20.0]], []]
    found = nested(constituent_pt=pt, jet_pt=[[50.0, 60.0], []], jet_eta=[[1.0, 2.0], []])
    assert found == {"constituent_pt": [[20], []], "jet_pt": [60, 0], "jet_eta": [2, 0]}
    for wrong in ({"jet_pt": [[50.0], []]}, {"jet_pt": [[50.0, 60.0], []], "jet_eta": [[1.0], []]}):
        with pytest.raises(InputError, match=r"file: .*differ in length. Check 'branches'"):
            nested(constituent_pt=pt, **wrong)
    with pytest.raises(InputError, match="differ in length"):
        nested(constituent_pt=pt, constituent_eta=pt, constituent_phi=[[[1.0], [2.0, 3.0]], []])


def test_objects_alone_are_events(file):
    """Of a row without constituents the jet is the event's hardest, in GeV, whatever their order."""
    rng = np.random.default_rng(3)
    pt = ak.unflatten(rng.uniform(3e4, 2e5, 600).astype(np.float32), np.arange(300) % 5)
    columns = {
        "j": pt,
        "e": ak.zeros_like(pt) + 0.5,
        "f": ak.zeros_like(pt) - 1,
        "w": rng.normal(size=300),
        "m": rng.uniform(1e3, 9e4, 300),
    }
    branches = {"jets_pt": "j", "jets_eta": "e", "jets_phi": "f", "weight": "w", "met_pt": "m", "met_phi": "0 * m"}
    events = load(file(".parquet", **columns), branches, units="MeV")
    np.testing.assert_allclose(events.jet[:, 0], ak.fill_none(ak.max(pt, axis=1), 0) / 1000, rtol=1e-6)
    assert (events.jet[events.jet[:, 0] > 0, 1] == 0.5).all()
    np.testing.assert_array_equal(events.weight, columns["w"])
    assert events.meta["present"] == ["jets", "met", "weight"]
    assert events.constituents.shape[1] == 0
    muons = {f"muons_{x}": name for x, name in zip(POLAR, "jef", strict=True)} | {"event_id": "id"}
    events = load(file(".parquet", **columns, id=np.arange(300)), muons, units="MeV")
    assert len(events) == 300
    assert not events.jet.any()


def test_arrays_that_are_no_number(file):
    two = np.stack([np.arange(1.0, 301), np.full(300, 7.0)], axis=1)
    with pytest.raises(InputError, match=r"a\.h5: 'two', read as 'weight', has 2 numbers per entry.*'two\[:, 0\]'"):
        load(file(two=two), MAPPING | {"weight": "two"})
    with pytest.raises(InputError, match=r"Take one of them: '\(2 \* two\)\[:, 0\]'"):
        load(file(two=two), MAPPING | {"met_pt": "2 * two", "met_phi": "two[:, 0]"})
    for place in (0, 1):
        np.testing.assert_array_equal(
            load(file(two=two), MAPPING | {"weight": f"two[:, {place}]"}).weight, two[:, place]
        )
    np.testing.assert_array_equal(load(file(one=two[:, :1]), MAPPING | {"weight": "one"}).weight, two[:, 0])
    some = ak.unflatten(np.arange(600.0), [1, 2, 3] * 100)
    with pytest.raises(InputError, match=r"'some', read as 'weight', has up to 3 numbers.*'some\[0\]'"):
        load(file(".parquet", some=some), MAPPING | {"weight": "some"})
    np.testing.assert_array_equal(load(file(".parquet", some=some), MAPPING | {"weight": "some[0]"}).weight, some[:, 0])


def test_an_event_without_its_number_is_refused_and_counted(file):
    some = ak.unflatten(np.ones(298), [1] * 298 + [0, 0])
    events = load(file(".parquet", some=some), MAPPING | {"weight": "some"})
    (counts,) = events.meta["counts"].values()
    assert (counts["kept"], counts["refused: bad value in 'some'"]) == (298, 2)


def test_two_components_are_not_one_branch(file):
    with pytest.raises(InputError, match=r"constituent_eta and constituent_phi are the same branch 'eta'"):
        load(file(), MAPPING | {"constituent_phi": "eta"})


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float32])
def test_triggers_are_true_false_or_not_known(file, kind):
    bits = np.tile([1, 0, 1, 0, 0], 60).astype(kind)
    path = file(A=bits, B=np.where(np.arange(300) % 3, bits, -1).astype(np.int8 if kind is bool else kind))
    events = load(path, MAPPING | {"trigger_A": "A", "trigger_B": "B", "trigger_not": "~B", "trigger_both": "A & B"})
    known = (np.arange(300) % 3 > 0) & (bits == 1)
    expected = {"A": bits == 1, "B": known, "not": ~known, "both": known}
    for i, name in enumerate(events.meta["triggers"]):
        np.testing.assert_array_equal(events.triggers[:, i], expected[name], err_msg=name)
    assert len(load(path, cuts=["B"])) == known.sum()
    assert len(load(path, cuts=["not B"])) == 300 - known.sum()
    assert len(load(path, cuts=["A or B", "A and not B"])) == (~known & (bits == 1)).sum()


@pytest.mark.parametrize("value", [2, 120, -2, 0.5])
def test_other_numbers_are_no_triggers(file, value):
    path = file(A=np.where(np.arange(300) == 250, value, 1).astype(np.float32))
    message = rf"{value:g} is neither true \(1\) nor false .*Compare it: x > 0"
    with pytest.raises(InputError, match=rf"a\.h5: for 'trigger_A': {message}"):
        load(path, MAPPING | {"trigger_A": "A"})
    with pytest.raises(InputError, match=rf"a\.h5: in 'cuts': {message}"):
        load(path, cuts=["A"])
    assert load(path, MAPPING | {"trigger_A": "A > 0"}).triggers.sum() == 300 - (value < 0)


def test_a_trigger_of_nan_is_a_bad_value(file):
    path = file(A=np.where(np.arange(300) < 2, np.nan, 1))
    (counts,) = load(path, MAPPING | {"trigger_A": "A"}).meta["counts"].values()
    assert counts["refused: bad value in 'A'"] == 2
    with pytest.raises(InputError, match="nan is neither true"):
        load(path, cuts=["A"])


@pytest.mark.parametrize("padding", [0.0, np.nan, -999.0])
def test_padding(file, padding):
    """Zeros are places without a particle; the remedy that is told turns others into them."""
    expected, path = load(file()), file(padding=padding)
    if padding != 0:
        with pytest.raises(InputError, match=r"'pt' .*map 'constituent_pt: where\(pt > 0, pt, 0\)'"):
            load(path)
        found = load(path, MAPPING | {"constituent_pt": "where(pt > 0, pt, 0)"})
        np.testing.assert_array_equal(found.constituents, expected.constituents)
    found = load(path, {name: f"where(pt > 0, {x}, 0)" for name, x in MAPPING.items()})
    np.testing.assert_array_equal(found.constituents, expected.constituents)
    np.testing.assert_array_equal(found.jet, expected.jet)


def test_infinite_padding(file):
    """The remedy that is told for it works, and is told once."""
    expected, path = load(file()), file(padding=np.inf)
    with pytest.raises(InputError, match=r"where they are infinite, 'constituent_pt: where\(pt < 1e9, pt, 0\)'"):
        load(path)
    found = load(path, MAPPING | {"constituent_pt": "where(pt < 1e9, pt, 0)"})
    np.testing.assert_array_equal(found.constituents, expected.constituents)
    with pytest.raises(InputError, match=r"'where\(pt > 0, pt, 0\)' is not finite.* Repair the file\.$"):
        load(path, MAPPING | {"constituent_pt": "where(pt > 0, pt, 0)"})
    bad = MAPPING | {"constituent_pt": "where(pt > 0, pt, 0)", "constituent_eta": "bad"}
    with pytest.raises(InputError, match=r"'bad' is not finite.* Repair the file\.$"):
        load(file(bad=np.full((300, 5), np.nan)), bad)


@pytest.mark.parametrize("padding", [np.nan, -999.0])
def test_padding_of_cartesian_components(file, padding):
    with h5py.File(file()) as opened:
        pt, eta, phi = (opened[x][()] for x in POLAR)
    p = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}
    names = {f"constituent_{x}": x for x in p}
    expected = load(file(**p), names)
    path = file(**{x: np.where(pt > 0, values, padding) for x, values in p.items()})
    with pytest.raises(
        InputError, match=r"map 'constituent_px: where\(energy > 0, px, 0\), constituent_py: where\(energ"
    ):
        load(path, names)
    found = load(path, names | {f"constituent_{x}": f"where(energy > 0, {x}, 0)" for x in ("px", "py")})
    np.testing.assert_array_equal(found.constituents, expected.constituents)


def test_a_particle_with_a_bad_direction_is_still_refused(file):
    eta = np.zeros((300, 5))
    eta[:9, 1] = np.nan
    with pytest.raises(InputError, match=r"'bad' is not finite.* in 9 of 300"):
        load(file(bad=eta), MAPPING | {"constituent_eta": "bad"})


def test_tags_of_padded_jets(file):
    """Zero padding among the jets moves no tag to another jet."""
    pt = np.tile([[30.0, 0, 90, 0], [0, 0, 40, 50]], (150, 1))
    tag = np.tile([[1.0, 0, 0, 0], [0, 0, 0, 1]], (150, 1))
    path = file(j=pt, b=tag, e=pt * 0 + 0.1, f=pt * 0 + 0.2, id=np.arange(300))
    jets = {"jets_pt": "j", "jets_eta": "e", "jets_phi": "f", "jets_b_tag": "b", "event_id": "id"}
    events = load(path, jets)
    np.testing.assert_array_equal(events.jets[:2, :3, 0], [[90, 30, 0], [50, 40, 0]])
    np.testing.assert_array_equal(events.b_tag[:2, :3], [[0, 1, 0], [1, 0, 0]])


ARRAYS = {
    "cube": ak.from_regular(ak.Array(np.arange(24.0).reshape(2, 3, 4))), "jagged": ak.Array([[1.0, 2.0], [3.0]]),
    "flags": ak.Array([5, 2]), "bit": ak.Array([-1, 1]), "yes": ak.Array([True, False]), "a/b.c": ak.Array([4, 6]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("cube[:, :, 0]", [[0, 4, 8], [12, 16, 20]]),
        ("cube[:, 1, -1]", [7, 19]),
        ("cube[:, ::2, 3]", [[3, 11], [15, 23]]),
        ("cube[:, 1:, 2:4]", [[[6, 7], [10, 11]], [[18, 19], [22, 23]]]),
        ("jagged[:, :1]", [[1], [3]]),
        ("jagged[:, 0] * 2", [2, 6]),
        ("flags & 4", [4, 0]),
        ("(flags & 2) > 0 | yes", [True, True]),
        ("~bit", [True, False]),
        ("bit and not yes", [False, True]),
        ("where(bit, 1, 2)", [2, 1]),
        ("any(jagged > 2)", [False, True]),
        ("a/b.c / flags", [0.8, 3]),
    ],
)
def test_places_and_truth_in_expressions(expression, value):
    if "yes" in expression and "flags" in expression:
        expression = "((flags & 2) > 0) | yes"
    assert branches_of(expression, frozenset(ARRAYS)) <= set(ARRAYS)
    assert evaluate(expression, ARRAYS).to_list() == value


@pytest.mark.parametrize(
    "expression",
    ["cube[:, True]", "cube[:, 'x']", "cube[0, 0]", "cube[:]", "cube[1]", "cube[:, flags]", "cube[:, 9, 0]",
     "cube[:, 0:1.5]", "cube[:, __import__('os')]", "cube[yes, 0]", "jagged[:, 1]", "~flags", "flags or bit",
     "any(jagged)", "cube[:, None]"],
)  # fmt: skip
def test_what_is_no_place_and_no_truth(expression):
    with pytest.raises(InputError, match=r"not allowed|not a place|cannot be computed|neither true"):
        evaluate(expression, ARRAYS)


@pytest.mark.parametrize(("name", "value"), [("pt", np.nan), ("pt", np.inf), ("pt", -999.0), ("eta", np.nan)])
def test_a_bad_value_among_the_constituents_of_many_jets(tmp_path, name, value):
    """Jets in lists, each with a list of constituents: the event with the value is refused and counted."""
    rng = np.random.default_rng(3)
    p = {x: rng.uniform(10, 90, (200, 2, 3)) / (1 if x == "pt" else 90) for x in POLAR}

    def written(rows) -> str:
        p[name][rows, 1, 2] = value
        columns = {x: ak.from_regular(ak.Array(v), axis=None) for x, v in p.items()}
        table = ak.to_arrow_table(ak.zip(columns, depth_limit=1), extensionarray=False)
        pq.write_table(table, tmp_path / "nested.parquet")
        return str(tmp_path / "nested.parquet")

    events = load(written(7))
    (counts,) = events.meta["counts"].values()
    assert (counts["read"], counts[f"refused: bad value in '{name}'"], counts["kept"]) == (200, 1, 199)
    with pytest.raises(InputError, match=rf"'{name}' is not finite \(or null\), or negative, in 200 of 200 entries"):
        load(written(slice(None)))


def test_unknown_numbers_of_vertices_and_collisions(file):
    """As in other readers, a negative one is unknown."""
    number = np.arange(300) - 2
    path = file(n=number, mu=number.astype(np.float32))
    events = load(path, MAPPING | {"n_pv": "n", "pileup": "mu"})
    for fact in ("n_pv", "pileup"):
        np.testing.assert_array_equal(events.facts[fact], np.where(number < 0, np.nan, number))


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
@pytest.mark.parametrize("form", [np.asarray, ak.Array])
def test_whole_numbers_do_not_wrap(kind, form):
    """Of any stored length, they are computed with as Python does."""
    n = list(range(60))
    arrays = {"n": form(np.array(n).astype(kind)), "even": form(np.array(n) % 2 == 0)}
    for expression in (
        "n - 30 > 0", "-n < -30", "n * 10 > 300", "n + 250 > 280", "n < 1000", "n > -1", "n == 300", "n * 1000000",
        "abs(n - 30) < 2", "n % 300", "-n", "n & 256", "n ** 5 > 30 ** 5", "even + even", "even * 2 - 1", "-even",
        "(n > 10) + (n > 20) == 2",
    ):  # fmt: skip
        expected = [eval(expression, {"n": x, "even": x % 2 == 0, "abs": abs}) for x in n]
        assert evaluate(expression, arrays).tolist() == expected, expression
    np.testing.assert_allclose(evaluate("hypot(n, 2 * n)", arrays), np.hypot(n, np.multiply(2, n)), rtol=1e-12)
    assert evaluate("~even & (n > -1)", arrays).tolist() == [x % 2 == 1 for x in n]
    assert evaluate("n", arrays) is arrays["n"]


def test_whole_numbers_in_lists_do_not_wrap():
    arrays = {"l": ak.values_astype(ak.Array([[100, 100, 100], []]), "uint8")}
    arrays["d"] = ak.values_astype(ak.Array([[[100, 100], []], []]), "int8")
    assert evaluate("sum(l * 3)", arrays).tolist() == [900, 0]
    assert evaluate("max(-d[:, :, 0:1] * 2)", arrays | {"d": arrays["d"][:1, :1]}).tolist() == [[-200]]
    assert evaluate("d * 4", arrays).tolist() == [[[400, 400], []], []]
    assert evaluate("where(l > 200, l, -1)", arrays).tolist() == [[-1, -1, -1], []]


def test_what_does_not_fit_into_64_bits_is_refused():
    arrays = {"run": np.full(2, 300_000, "u4"), "far": np.array([3, 2**63 + 1], "u8")}
    assert evaluate("far % 2", arrays).tolist() == [1, 1]
    assert evaluate("run * run * run * 1.0 * run", arrays).tolist() == [8.1e21] * 2
    for expression in ("run * run * run * run", "-far", "far * 2", "far + far"):
        with pytest.raises(InputError, match="do not fit into 64 bits"):
            evaluate(expression, arrays)


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
@pytest.mark.parametrize("padding", [0.0, np.nan])
def test_padded_arrays_of_jets_are_nested_jets(tmp_path, suffix, padding):
    """(N, jets, places): the hardest jet is that of the highest vector sum, not made of the first of each jet."""
    rng = np.random.default_rng(3)
    p = np.stack([rng.uniform(20, 200, (50, 3, 6)), rng.normal(0, 0.3, (50, 3, 6)), rng.uniform(-1, 1, (50, 3, 6))], -1)
    there = np.arange(6) < rng.integers(0, 7, (50, 3, 1))
    there[:, 0, :2] = True
    columns = {x: np.where(there, p[..., i], padding) for i, x in enumerate(POLAR)}
    columns["p"] = np.stack(list(columns.values()), axis=-1)
    path = str(tmp_path / f"a{suffix}")
    if suffix == ".parquet":
        lists = {x: ak.to_arrow(ak.Array(v), extensionarray=False) for x, v in columns.items() if x != "p"}
        pq.write_table(pa.table(lists), path)
    else:
        with h5py.File(path, "w") as file:
            for x, values in columns.items():
                file[x] = values
    phases = p[..., 0] * np.exp(1j * p[..., 2]) * there
    hardest = np.abs(phases.sum(axis=-1)).max(axis=-1)
    pt = "where(pt > 0, pt, 0)" if np.isnan(padding) else "pt"
    np.testing.assert_allclose(load(path, MAPPING | {"constituent_pt": pt}).jet[:, 0], hardest, rtol=1e-5)
    first = {name: f"{x}[:, 0, :]" for name, x in MAPPING.items()} | {"constituent_pt": f"({pt})[:, 0, :]"}
    np.testing.assert_allclose(load(path, first).jet[:, 0], np.abs(phases[:, 0].sum(axis=-1)), rtol=1e-5)
    if suffix == ".h5" and padding == 0:
        sliced = {name: f"p[:, :, :, {i}] * 1.0" for i, name in enumerate(MAPPING)}
        np.testing.assert_allclose(load(path, sliced).jet[:, 0], hardest, rtol=1e-5)


def test_columns_are_no_jets(file):
    """Arrays (N, particles, columns) are still to be sliced, and not read as jets of which each has some columns."""
    cube = np.ones((300, 5, 3))
    for of_three in (["cube"] * 3, ["cube[:, :, 0:2]", "cube[:, :, 1:3]", "cube[:, :, 0:2]"], ["cube * 2"] * 3):
        with pytest.raises(InputError, match=r"three axes. Take one place along the last: '.*\[:, :, 0\]'\."):
            load(file(cube=cube), dict(zip(MAPPING, of_three, strict=True)))
    for of_three in (["cube", "eta", "phi"], ["cube", "other", "cube"]):
        with pytest.raises(InputError, match=r"three axes. Take one place along the last: 'cube\[:, :, 0\]'"):
            load(file(cube=cube, other=cube[..., :2]), dict(zip(MAPPING, of_three, strict=True)))
    one = {x + "1": cube[..., :1] for x in POLAR}
    with pytest.raises(InputError, match="three axes"):
        load(file(**one), {name: x + "1" for name, x in MAPPING.items()})
