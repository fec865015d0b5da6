"""Files with one name per quantity: round trips, mappings, units, damaged and wrong files; the registry of readers."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.events import ARRAYS, FOUR_VECTOR
from hepad.events.kinematics import to_cartesian
from hepad.representations import EventVector, JetImage, Joined
from hepad.samples.metadata import merge_meta
from hepad.samples.readers.shapes import shaped
from hepad.samples.root_output import write_root
from hepad.samples.sources import check_files, read

SPLIT = (0.6, 0.1, 0.3)
SETTINGS = {"name": "s", "selection": "any", "split": SPLIT}
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}


def load(files, *, name, selection, split, **options):
    source = {"files": files, "reader": "Mapped", **options}
    return read(source, name=name, selection=selection, split=split)


@pytest.fixture
def sample(make_events, tmp_path):
    events = make_events(300, 1)
    write_root(events, tmp_path / "sample.root")
    return events, str(tmp_path / "sample.root")


def jagged(events, component):
    present = events.constituents[..., 0] > 0
    return ak.unflatten(component[present], present.sum(axis=1))


def write_tree(path, columns, tree="events"):
    with uproot.recreate(path) as file:
        types = {name: c.type if isinstance(c, ak.Array) else c.dtype for name, c in columns.items()}
        file.mktree(tree, types)
        file[tree].extend(columns)
    return str(path)


@pytest.fixture
def cartesian(make_events, tmp_path):
    """A user's file: other names, (px, py, pz, E) in MeV, nothing but constituents."""
    events = make_events(200, 2)
    p = to_cartesian(events.constituents) * 1000
    columns = {f"pf_{x}": jagged(events, p[..., i]) for i, x in enumerate(("px", "py", "pz", "E"))}
    mapping = {"constituent_px": "pf_px", "constituent_py": "pf_py", "constituent_pz": "pf_pz"}
    mapping["constituent_energy"] = "pf_E"
    return events, write_tree(tmp_path / "user.root", columns, "tree"), mapping


def test_round_trip_is_the_identity(sample):
    events, path = sample
    read_back = load([path], **SETTINGS, rows=70)
    for name in set(ARRAYS) - {"row_id"}:
        expected, found = getattr(events, name), getattr(read_back, name)
        assert found.dtype == expected.dtype, name
        if expected.ndim == 3 or name == "b_tag":
            assert not found[:, expected.shape[1] :].any(), name
            found = found[:, : expected.shape[1]]
        np.testing.assert_array_equal(found, expected, err_msg=name)
    np.testing.assert_array_equal(read_back.truth["hard_pt"], events.truth["hard_pt"])
    assert read_back.meta["cross_section_pb"] == 100.0
    assert read_back.meta["counts"][path]["kept"] == 300


def test_mapped_names_cartesian_components_and_mev(cartesian):
    events, path, mapping = cartesian
    found = load([path], tree="tree", branches=mapping, units="MeV", **SETTINGS | {"selection": WINDOW})
    inside = (events.jet[:, 0] > 550) & (events.jet[:, 0] < 650) & (np.abs(events.jet[:, 1]) < 2)
    np.testing.assert_allclose(found.jet, events.jet[inside], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found.constituents[:, :60, :3], events.constituents[inside][..., :3], rtol=1e-4, atol=1e-4
    )
    counts = found.meta["counts"][path]
    assert counts["kept"] == inside.sum()
    assert counts["read"] - counts["refused: pt"] - counts["refused: abs_eta"] == counts["kept"]
    assert np.all(found.weight == 1)
    assert not found.jets.any()


def test_energy_instead_of_mass(make_events, tmp_path):
    events = make_events(50, 3)
    energy = to_cartesian(events.constituents)[..., 3]
    columns = {
        f"constituent_{x}": jagged(events, events.constituents[..., i]) for i, x in enumerate(("pt", "eta", "phi"))
    }
    with_energy = write_tree(tmp_path / "e.root", columns | {"constituent_energy": jagged(events, energy)})
    massless = write_tree(tmp_path / "m.root", columns)
    np.testing.assert_allclose(load([with_energy], **SETTINGS).jet, events.jet, rtol=1e-4, atol=1e-4)
    found = load([massless], **SETTINGS)
    assert not found.constituents[..., 3].any()
    assert np.all(found.jet[:, 3] < events.jet[:, 3])


def test_leading_jet_of_a_collection_and_delphes_like_scalars(tmp_path):
    columns = {
        "FatJet.PT": ak.Array([[100.0, 600.0], [], [580.0]]),
        "FatJet.Eta": ak.Array([[0.0, 0.5], [], [1.0]]),
        "FatJet.Phi": ak.Array([[0.0, 2.0], [], [-1.0]]),
        "FatJet.Mass": ak.Array([[5.0, 50.0], [], [60.0]]),
        "c_pt": ak.Array([[400.0, 200.0], [], [580.0]]),
        "c_eta": ak.Array([[0.5, 0.5], [], [1.0]]),
        "c_phi": ak.Array([[2.0, 2.0], [], [-1.0]]),
        "MET.MET": ak.Array([[10.0], [20.0], [30.0]]),
        "MET.Phi": ak.Array([[1.0], [2.0], [3.0]]),
    }
    path = write_tree(tmp_path / "delphes.root", columns, "Delphes")
    mapping = {f"jet_{x}": f"FatJet.{y}" for x, y in zip(FOUR_VECTOR, ("PT", "Eta", "Phi", "Mass"), strict=True)}
    mapping |= {f"constituent_{x}": f"c_{x}" for x in ("pt", "eta", "phi")}
    mapping |= {"met_pt": "MET.MET", "met_phi": "MET.Phi"}
    found = load([path], tree="Delphes", branches=mapping, **SETTINGS)
    np.testing.assert_allclose(found.jet, [[600, 0.5, 2, 50], [580, 1, -1, 60]], rtol=1e-6)
    np.testing.assert_allclose(found.met, [[10, 1], [30, 3]])
    assert found.meta["counts"][path]["refused: no constituents"] == 1


def test_constituents_of_the_hardest_jet_where_all_jets_have_some():
    arrays = {
        "jet_pt": ak.Array([[100.0, 600.0], [], [580.0]]),
        "constituent_pt": ak.Array([[[60.0, 40.0], [400.0, 200.0]], [], [[580.0]]]),
    }
    found, _ = shaped("file", arrays, {name: name for name in arrays})
    assert ak.to_list(found["constituent_pt"]) == [[400, 200], [], [580]]
    assert ak.to_list(found["jet_pt"]) == [600, 0, 580]


def test_identifiers_do_not_depend_on_files_or_order(make_events, tmp_path):
    a, b = make_events(40, 4), make_events(60, 5)
    write_root(a, tmp_path / "a.root")
    write_root(b, tmp_path / "b.root")
    columns = {f"constituent_{x}": f"constituent_{x}" for x in ("pt", "eta", "phi", "mass")}
    files = [str(tmp_path / "a.root"), str(tmp_path / "b.root")]
    one, other = (load(order, branches=columns, **SETTINGS) for order in (files, files[::-1]))
    np.testing.assert_array_equal(np.roll(one.event_id, 60), other.event_id)
    np.testing.assert_array_equal(np.roll(one.split, 60), other.split)
    assert len(np.unique(one.event_id)) == 100
    assert one.event_id.min() >= 0


@pytest.mark.parametrize("keep", [0, 3, 200, 0.3, 0.6, 0.95])
def test_truncated_root_file(sample, tmp_path, keep):
    content = Path(sample[1]).read_bytes()
    (tmp_path / "cut.root").write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(InputError, match=r"cut\.root: (not a readable ROOT file|the file is empty|a text file)"):
        load([str(tmp_path / "cut.root")], **SETTINGS)


def test_damaged_basket(sample, tmp_path):
    content = bytearray(Path(sample[1]).read_bytes())
    with uproot.open(sample[1]) as file:
        basket = file["events"]["constituent_pt"].basket_chunk_cursor(0)[0]
        middle = (basket.start + basket.stop) // 2
    content[middle : middle + 400] = b"\xff" * 400
    (tmp_path / "bad.root").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.root"):
        load([str(tmp_path / "bad.root")], **SETTINGS)


def test_branches_that_lead_into_each_other_are_damage(sample, monkeypatch):
    """A flipped byte can make uproot follow them for ever."""

    def follow(tree):  # without **options: calls with them are not counted as a recursion by Python 3.13.0
        return follow(tree)

    monkeypatch.setattr(uproot.behaviors.TBranch.HasBranches, "keys", lambda tree, **_options: follow(tree))
    with pytest.raises(InputError, match=r"sample\.root: not a readable ROOT file \(RecursionError"):
        load([sample[1]], **SETTINGS)


def test_what_is_missing_is_named_with_what_is_there(sample, tmp_path):
    _, path = sample
    with pytest.raises(InputError, match=r"sample\.root: there is no TTree or RNTuple 'Delphes'; present: events"):
        load([path], tree="Delphes", **SETTINGS)
    with pytest.raises(InputError, match=r"for 'constituent_pt': .*branch 'pfcand_pt' is missing; present: .*met_pt"):
        load([path], branches={"constituent_pt": "pfcand_pt"}, **SETTINGS)
    with pytest.raises(InputError, match="jet_pt cannot be used without jet_eta, jet_phi, jet_mass"):
        load([path], branches={"jet_pt": "jet_pt"}, **SETTINGS)
    with pytest.raises(InputError, match=r"there is nothing to read: 'branches' must give .*Mapped: weight; present: "):
        load([path], branches={"weight": "weight"}, **SETTINGS)
    with pytest.raises(InputError, match="Did you mean 'constituent_pt'"):
        load([path], branches={"constituents_pt": "x"}, **SETTINGS)
    with pytest.raises(InputError, match=r"gone\.root' matches no file"):
        load([str(tmp_path / "gone.root")], **SETTINGS)
    with pytest.raises(InputError, match="unknown"):
        load([path], units="TeV", **SETTINGS)
    bad = {"constituent_pt": "constituent_pt", "constituent_eta": "jets_eta", "constituent_phi": "constituent_phi"}
    with pytest.raises(InputError, match="differ in length"):
        load([path], branches=bad, **SETTINGS)
    flat = {"constituent_pt": "jet_pt", "constituent_eta": "jet_eta", "constituent_phi": "jet_phi"}
    with pytest.raises(InputError, match="not a list of numbers"):
        load([path], branches=flat, **SETTINGS)


def test_tree_ntuple_parquet_and_hdf5_give_the_same(make_events, tmp_path):
    events = make_events(80, 8)
    p = events.constituents
    jagged_columns = {f"constituent_{x}": jagged(events, p[..., i]) for i, x in enumerate(FOUR_VECTOR)}
    tree = write_tree(tmp_path / "tree.root", jagged_columns | {"weight": events.weight})
    with uproot.recreate(tmp_path / "ntuple.root") as file:
        file.mkrntuple("events", ak.Array(jagged_columns | {"weight": events.weight}))
    ak.to_parquet(ak.Array(jagged_columns | {"weight": events.weight}), tmp_path / "table.parquet")
    with h5py.File(tmp_path / "padded.h5", "w") as file:
        for i, x in enumerate(FOUR_VECTOR):
            file[f"jets/constituent_{x}"] = p[..., i]
        file["jets/weight"] = events.weight
    mapping = {f"constituent_{x}": f"constituent_{x}" for x in FOUR_VECTOR} | {"weight": "weight"}
    expected = load([tree], branches=mapping, rows=30, **SETTINGS)
    for name, options in {"ntuple.root": {}, "table.parquet": {}, "padded.h5": {"tree": "jets"}}.items():
        found = load([str(tmp_path / name)], branches=mapping, **options, **SETTINGS)
        for array in ARRAYS:
            np.testing.assert_array_equal(getattr(found, array), getattr(expected, array), err_msg=f"{name}: {array}")


def test_expressions_and_cuts(make_events, tmp_path):
    events = make_events(90, 9)
    write_root(events, tmp_path / "a.root")
    mapping = {f"constituent_{x}": f"constituent_{x}" for x in FOUR_VECTOR} | {
        "constituent_pt": "constituent_pt * 2", "constituent_mass": "2 * constituent_mass",
        "weight": "where(met_pt > 30, 3, 1)", "met_pt": "hypot(met_pt * cos(met_phi), met_pt * sin(met_phi))",
        "met_phi": "met_phi", "pileup": "count(jets_pt)",
    }  # fmt: skip
    cuts = ["jet_pt > 590", "(any(electrons_pt > 20) or count(muons_pt) == 0) & ~(met_phi < 0)"]
    found = load([str(tmp_path / "a.root")], branches=mapping, cuts=cuts, **SETTINGS)
    none, hard = (events.muons[..., 0] > 0).sum(1) == 0, (events.electrons[..., 0] > 20).any(1)
    wanted = (events.jet[:, 0] > 590) & (hard | none) & (events.met[:, 1] >= 0)
    assert 0 < wanted.sum() < 60
    np.testing.assert_allclose(found.jet[:, 0], 2 * events.jet[wanted, 0], rtol=1e-5)
    np.testing.assert_allclose(found.jet[:, 3], 2 * events.jet[wanted, 3], rtol=1e-3)
    np.testing.assert_allclose(found.met, events.met[wanted], rtol=1e-5)
    np.testing.assert_array_equal(found.weight, np.where(events.met[wanted, 0] > 30, 3, 1))
    np.testing.assert_array_equal(found.facts["pileup"], (events.jets[wanted, :, 0] > 0).sum(1))
    assert found.meta["counts"][str(tmp_path / "a.root")]["refused: cuts"] == (~wanted).sum()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("__import__('os').system('touch owned')", "not the name of a branch|not allowed"),
        ("jet_pt.__class__", "branch 'jet_pt.__class__' is missing"),
        ("[x for x in jet_pt]", "not allowed"),
        ("lambda: jet_pt", "not allowed"),
        ("open(jet_pt)", "not allowed"),
        ("jet_pt +", "neither a name nor an expression"),
        ("1 < jet_pt < 2", "not allowed"),
        ("jet_pt ** 'a'", "not allowed"),
        ("constituent_pt + jets_pt", "cannot be computed"),
    ],
)
def test_what_an_expression_may_not_be(sample, expression, message):
    mapping = {f"constituent_{x}": f"constituent_{x}" for x in FOUR_VECTOR} | {"weight": expression}
    with pytest.raises(InputError, match=rf"sample\.root: for 'weight': .*({message})"):
        load([sample[1]], branches=mapping, **SETTINGS)


@pytest.mark.parametrize(("value", "problem"), [(np.nan, "not finite"), (np.inf, "not finite"), (-1.0, "negative")])
def test_bad_values_name_file_branch_and_entry(make_events, tmp_path, value, problem):
    events = make_events(50, 6)
    events.constituents[33, 2, 0] = 1.0
    columns = {
        f"constituent_{x}": jagged(events, events.constituents[..., i]) for i, x in enumerate(("pt", "eta", "phi"))
    }
    pt = ak.to_list(columns["constituent_pt"])
    pt[33][2] = value
    path = write_tree(tmp_path / "bad.root", columns | {"constituent_pt": ak.Array(pt)})
    with pytest.raises(InputError, match=rf"bad\.root: 'constituent_pt' .*{problem}.* in entry 33"):
        load([path], **SETTINGS)


def test_nothing_passes_says_what_was_seen(cartesian, sample):
    _, path, mapping = cartesian
    with pytest.raises(InputError, match=r"the median pt is 6.*units: MeV"):
        load([path], tree="tree", branches=mapping, **SETTINGS | {"selection": WINDOW})
    with pytest.raises(InputError, match=r"nothing passes.*refused: pt 300"):
        load([sample[1]], **SETTINGS | {"selection": {"pt": [1000, 1200]}})


@pytest.mark.parametrize("selection", [{"pt": [650, 550]}, {"pt": 550}, {"eta": 2}, "all", {"abs_eta": -1}])
def test_wrong_selection_is_refused(sample, selection):
    with pytest.raises(InputError, match="selection"):
        load([sample[1]], **SETTINGS | {"selection": selection})


def test_registry(sample, tmp_path):
    events, path = sample
    source = {"files": [str(tmp_path / "*.root")], "reader": "Mapped"}
    check_files(source)
    found = read(source, name="qcd", selection="any", split=SPLIT)
    np.testing.assert_array_equal(found.jet, events.jet)
    assert found.meta["name"] == "qcd"
    with pytest.raises(InputError, match="matches no file"):
        check_files({"files": str(tmp_path / "*.h5"), "reader": "Mapped"})
    with pytest.raises(InputError, match="Did you mean 'Mapped'"):
        check_files({"files": path, "reader": "Maped"})
    with pytest.raises(InputError, match="Did you mean 'branches'"):
        check_files({"files": path, "reader": "Mapped", "branch": {}})


def test_merge_meta():
    def chunk(**changed):
        return {
            "name": "qcd", "card": "x", "seed": 1, "seeds": [1], "n_tried": 100,
            "n_given_up": 10, "n_events_accepted": 20, "n_jets": 25,
            "sum_weights_tried": 100.0, "sum_weights_accepted": 20.0, "acceptance": 0.2,
            "cross_section_pb": 10.0, "cross_section_error_pb": 0.3,
        } | changed  # fmt: skip

    merged = merge_meta(
        [chunk(), chunk(seed=2, seeds=[2], n_tried=300, cross_section_pb=14.0, sum_weights_tried=300.0)]
    )
    assert merged["cross_section_pb"] == pytest.approx(13.0)
    assert merged["cross_section_error_pb"] == pytest.approx(np.hypot(0.25 * 0.3, 0.75 * 0.3))
    assert merged["acceptance"] == pytest.approx(40 / 400)
    assert (merged["n_tried"], merged["n_given_up"], merged["n_jets"], merged["seeds"]) == (400, 20, 50, [1, 2])
    with pytest.raises(InputError, match="different settings \\(card\\)"):
        merge_meta([chunk(), chunk(card="y")])


def test_a_half_mapped_group_is_refused(cartesian):
    _, path, mapping = cartesian
    with pytest.raises(InputError, match=r"met_pt cannot be used without met_phi"):
        load([path], tree="tree", branches=mapping | {"met_pt": "pf_E"}, units="MeV", **SETTINGS)


def test_what_a_representation_needs_must_be_in_the_file(cartesian):
    _, path, mapping = cartesian
    events = load([path], tree="tree", branches=mapping, units="MeV", **SETTINGS)
    assert events.meta["present"] == ["constituents"]
    EventVector(variables=["mass"])(events)
    with pytest.raises(InputError, match=r"sample 's' has no met, which the representation needs"):
        EventVector(variables=["mass", "met"])(events)
    with pytest.raises(InputError, match=r"has no jets"):
        Joined([JetImage(), EventVector(variables=["n_jets"])])(events)


def test_negative_weights_are_kept_and_counted(make_events, tmp_path):
    events = make_events(20, 3)
    events.weight[7] = -1
    write_root(events, tmp_path / "nlo.root")
    found = load([str(tmp_path / "nlo.root")], **SETTINGS)
    np.testing.assert_array_equal(found.weight, events.weight)
    assert found.meta["counts"][str(tmp_path / "nlo.root")]["of negative weight"] == 1
    assert (load([str(tmp_path / "nlo.root")], unit_weights=True, **SETTINGS).weight == 1).all()
