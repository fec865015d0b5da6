"""What holds of every sample whatever the files: reading what was written, chunks, order, padding, splits, duplicates,
weights, sums, units, limits, comparisons that would be unfair."""

import shutil
from dataclasses import replace

import awkward as ak
import numpy as np
import pandas as pd
import pytest
from dialects import DIALECTS

from hepad.errors import InputError
from hepad.events import ARRAYS, GROUPS, MEASURES, NUMBERS, SPLITS, Events, concatenate
from hepad.events.completion import complete
from hepad.events.identifiers import event_id
from hepad.events.kinematics import delta_phi, sum_four_vectors
from hepad.events.padding import WIDTHS
from hepad.representations import EventVector, JetImage
from hepad.samples import data_quality
from hepad.samples.root_output import write_root
from hepad.samples.sources import read, stream_of

SPLIT = (0.6, 0.1, 0.3)
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}
SEEDS = (1, 2, 3)


def load(files, selection="any", split=SPLIT, name="s", **source) -> Events:
    return read({"files": files} | source, name=name, selection=selection, split=split)


def counts(events: Events) -> dict[str, int]:
    """Of all files together, what is not zero."""
    total: dict[str, int] = {}
    for of_file in events.meta["counts"].values():
        for what, number in of_file.items():
            total[what] = total.get(what, 0) + number
    return {what: number for what, number in total.items() if number}


def same(a: Events, b: Events) -> None:
    """Equal but for padding, ``meta``, and what tells rows apart, which a file does not keep."""
    for name in set(ARRAYS) - {"row_id"}:
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype, name
        if x.ndim > 1 and name != "triggers":
            width = max(x.shape[1], y.shape[1])
            rest = ((0, 0),) * (x.ndim - 2)
            x, y = (np.pad(v, ((0, 0), (0, width - v.shape[1]), *rest)) for v in (x, y))
        np.testing.assert_array_equal(x, y, err_msg=name)
    for group in GROUPS:
        assert set(getattr(a, group)) == set(getattr(b, group))
        for key, values in getattr(a, group).items():
            assert values.dtype == getattr(b, group)[key].dtype, key
            np.testing.assert_array_equal(values, getattr(b, group)[key], err_msg=key)


def rich(events: Events, seed: int, bits: int = 3) -> Events:
    """Events with everything that Events can carry, and some empty collections."""
    rng, n = np.random.default_rng(seed), len(events)
    tags = ((rng.random(events.jets.shape[:2]) < 0.4) & (events.jets[..., 0] > 0)).astype(np.float32)
    facts = {name: rng.integers(0, 2**40, n) for name in NUMBERS}
    facts |= {name: rng.uniform(1, 80, n).astype(np.float32) for name in MEASURES}
    photons = events.photons * (seed % 2)
    return replace(
        events, b_tag=tags, triggers=rng.random((n, bits)) < 0.3, facts=facts, photons=photons.astype(np.float32),
        weight=rng.uniform(0.1, 3, n), truth=events.truth | {"mass": rng.normal(80, 9, n).astype(np.float32)},
        meta=events.meta | {"triggers": [f"L1_{i}" for i in range(bits)], "jet_radius": 0.8},
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 37, 200])
def test_reading_undoes_writing(make_events, tmp_path, seed, count):
    events = rich(make_events(count, seed), seed, bits=seed - 1)
    events.write(tmp_path / "events.h5")
    found = Events.read(tmp_path / "events.h5")
    same(found, events)
    assert found.meta == events.meta
    same(concatenate(list(Events.blocks(tmp_path / "events.h5", 11))), events)
    same(Events.read(tmp_path / "events.h5", slice(5, 9)), events[5:9])
    write_root(events, tmp_path / "events.root")
    read_back = load(str(tmp_path / "events.root"), rows=23)
    order = np.argsort(-events.jets[..., 0], axis=1, kind="stable")
    by_pt = {
        "jets": np.take_along_axis(events.jets, order[..., None], 1),
        "b_tag": np.take_along_axis(events.b_tag, order, 1),
    }
    same(read_back, replace(events, **by_pt))
    assert read_back.meta["triggers"] == events.meta["triggers"]
    assert {key: read_back.meta[key] for key in ("jet_radius", "sqrt_s_tev")} == {"jet_radius": 0.8, "sqrt_s_tev": 14.0}
    write_root(read_back, tmp_path / "again.root")
    same(load(str(tmp_path / "again.root")), read_back)


def test_events_without_anything_but_the_jet(make_events, tmp_path):
    events = make_events(30, 4)
    nothing = {name: np.zeros((30, width, 4), np.float32) for name, width in WIDTHS.items() if name != "constituents"}
    bare = replace(events, **nothing, b_tag=None, met=0 * events.met, truth={})
    write_root(bare, tmp_path / "bare.root")
    same(load(str(tmp_path / "bare.root")), bare)
    empty = events[:0]
    empty.write(tmp_path / "empty.h5")
    same(Events.read(tmp_path / "empty.h5"), empty)
    (chunk,) = Events.blocks(tmp_path / "empty.h5")
    same(chunk, empty)


@pytest.fixture(scope="module")
def files(make_events, tmp_path_factory):
    """{dialect: two paths} of 60 and 40 events."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name, dialect in DIALECTS.items():
        parts = ((make_events(60, 31), "a"), (make_events(40, 32), "b"))
        found[name] = [str(dialect.file(folder / f"{name}_{x}", dialect.columns(events))) for events, x in parts]
    return found


@pytest.mark.parametrize("name", DIALECTS)
def test_chunks_order_and_number_of_files_change_nothing(name, files, tmp_path):
    options = DIALECTS[name].options
    whole = load(files[name], **options)
    assert len(whole) == 100
    assert counts(whole) == {"read": 100, "kept": 100}
    for rows in (17, 60):
        part = load(files[name], rows=rows, **options)
        same(part, whole)
        assert part.meta["counts"] == whole.meta["counts"]
    turned = load(files[name][::-1], rows=25, **options)
    same(turned, whole[np.r_[60:100, 0:60]])
    assert turned.meta["counts"] == whole.meta["counts"]
    alone = [load(path, **options) for path in files[name]]
    same(concatenate(alone), whole)
    listed = tmp_path / "files.txt"
    listed.write_text("# both\n" + "\n".join(files[name]) + "\n")
    same(load(str(listed), **options), whole)
    same(load(files[name][0][: -len(DIALECTS[name].suffix) - 1] + "*" + DIALECTS[name].suffix, **options), whole)


@pytest.mark.parametrize("name", DIALECTS)
def test_splits_are_disjoint_stable_and_of_the_fractions_that_were_asked(name, files):
    options = {"tagging": {"use_ttv": False}, "tagging_table": {"use_ttv": False}, "l1": {"use_split": False}}
    options = options.get(name, {}) | DIALECTS[name].options
    first, again = (load(files[name], rows=rows, **options) for rows in (40, 1000))
    np.testing.assert_array_equal(first.split, again.split)
    ids = [set(first.of_split(split).event_id.tolist()) for split in SPLITS]
    assert not ids[0] & ids[1] | ids[0] & ids[2] | ids[1] & ids[2]
    assert sum(map(len, ids)) == 100
    # a third is not that of 0.6, 0.1, 0.3: five standard deviations of a binomial
    thirds = np.bincount(load(files[name], split=(0.34, 0.33, 0.33), **options).split, minlength=3)
    assert np.abs(thirds - 33).max() < 5 * np.sqrt(100 * 2 / 9)
    assert np.all(load(files[name], split=(0.0, 0.0, 1.0), **options).split == 2)


def test_official_splits_are_kept(files):
    place = np.arange(60)
    ttv = load(files["tagging"][0])
    np.testing.assert_array_equal(ttv.split, np.array([0, 2, 1])[place % 3])
    official = load(files["l1"][0], split=(1.0, 0.0, 0.0))
    np.testing.assert_array_equal(official.split, np.array([0, 1, 2, 2])[place % 4])


@pytest.mark.parametrize("name", DIALECTS)
def test_events_that_come_twice_are_counted(name, files, tmp_path):
    path, options = files[name][0], DIALECTS[name].options
    again = tmp_path / f"again{DIALECTS[name].suffix}"
    shutil.copy(path, again)
    once, twice = load(path, **options), load([path, str(again)], rows=17, **options)
    same(twice, once)
    assert twice.meta["counts"][str(again)] == once.meta["counts"][path] | {"kept": 0, "refused: repetition": 60}


def test_an_event_in_two_official_splits_is_kept_once(make_events, tmp_path):
    """The training set's jet in the test set, too: the first is kept, in its split."""
    dialect, events = DIALECTS["tagging"], make_events(30, 6)
    columns = {x: np.concatenate([v, v[:10]]) for x, v in dialect.columns(events).items()}
    columns["ttv"] = np.repeat([0, 1], [30, 10])
    found = load(str(dialect.file(tmp_path / "leak", columns)))
    assert counts(found) == {"read": 40, "refused: repetition": 10, "kept": 30}
    assert np.all(found.split == 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_and_the_order_of_particles_change_no_image_and_no_vector(make_events, tmp_path, seed):
    events, rng = make_events(60, seed, prongs=1 + seed % 2), np.random.default_rng(seed)
    whole = load(str(_written(tmp_path / "a.root", events)))
    order = rng.permuted(np.tile(np.arange(60), (60, 1)), axis=1)[..., None]
    shuffled = replace(events, constituents=np.take_along_axis(events.constituents, order, axis=1))
    longer = replace(events, constituents=np.pad(events.constituents, ((0, 0), (0, 77), (0, 0))))
    vector = EventVector(["mass", "multiplicity", "girth", "pt_dispersion", "tau1", "tau2"])
    for representation in (JetImage(), vector):
        expected = representation(whole).numpy()
        assert np.isfinite(expected).all()
        for other in (shuffled, longer, events):
            read_back = load(str(_written(tmp_path / "b.root", other)))
            np.testing.assert_array_equal(representation(read_back).numpy(), expected)
            np.testing.assert_allclose(representation(other).numpy(), expected, rtol=1e-3, atol=1e-4)


def _written(path, events: Events):
    write_root(events, path)
    return path


@pytest.fixture
def own(make_events, tmp_path):
    """``own(change, count)``: the path of a file in hepad's names, ``change(columns)`` having been made."""

    def own(change=lambda columns: {}, count=300, seed=8, name="own") -> str:
        columns = DIALECTS["own"].columns(make_events(count, seed))
        return str(DIALECTS["own"].file(tmp_path / name, columns | change(columns)))

    return own


def _scaled(values, rows, factor):
    factors = np.ones(len(values), np.float32)
    factors[rows] = factor
    return values * factors


def test_constituents_that_do_not_sum_to_their_jet(own):
    few = load(own(lambda c: {"jet_pt": _scaled(c["jet_pt"], [3, 50, 51], 1.5)}))
    assert counts(few) == {"read": 300, "refused: constituents do not sum": 3, "kept": 297}
    within = own(lambda c: {"jet_pt": c["jet_pt"] * np.float32(1.1)}, name="within")
    assert counts(load(within)) == {"read": 300, "kept": 300}
    off = (
        r"constituents do not sum to their jets: half of the pT sums are off by more than 9% .tolerance 5%.*'tolerance'"
    )
    with pytest.raises(InputError, match=off):
        load(within, tolerance=0.05)
    # without a jet of its own, a file has nothing to compare
    columns = {f"constituent_{x}": f"constituent_{x}" for x in ("pt", "eta", "phi", "mass")}
    assert len(load(within, tolerance=0.05, branches=columns)) == 300


@pytest.mark.parametrize("edit", [
    lambda c, x: {"jet_eta": c["jet_eta"] + x}, lambda c, x: {"jet_phi": c["jet_phi"] + x},
])  # fmt: skip
def test_constituents_that_point_elsewhere_than_their_jet(own, edit):
    few = load(own(lambda c: edit(c, np.where(np.isin(np.arange(300), [3, 50, 51]), 0.15, 0).astype(np.float32))))
    assert counts(few) == {"read": 300, "refused: constituents point elsewhere": 3, "kept": 297}
    elsewhere = own(lambda c: edit(c, np.float32(0.15)), name="elsewhere")
    with pytest.raises(InputError, match=r"elsewhere\.root: the constituents point elsewhere .* more than 0\.15 in ΔR"):
        load(elsewhere)
    assert counts(load(elsewhere, tolerance=0.5)) == {"read": 300, "kept": 300}
    # a full turn is no difference
    turned = load(own(lambda c: {"jet_phi": c["jet_phi"] + np.float32(2 * np.pi)}, name="turned"))
    assert counts(turned) == {"read": 300, "kept": 300}


def test_units(own):
    mev = own(lambda c: {x: v * 1000 for x, v in c.items() if x.endswith(("_pt", "_mass"))})
    with pytest.raises(
        InputError, match=r"own\.root: read in GeV, the median pt is .* looks like MeV: set 'units: MeV'"
    ):
        load(mev)
    found, gev = load(mev, units="MeV", reader="Mapped"), load(own(name="gev"))
    np.testing.assert_allclose(found.jet, gev.jet, rtol=1e-5)
    np.testing.assert_allclose(found.constituents, gev.constituents, rtol=1e-5)
    with pytest.raises(InputError, match=r"read in MeV.* looks like GeV: set 'units: GeV'"):
        load(own(name="gev"), units="MeV", reader="Mapped")


def test_weights_of_mixed_sign(own):
    mixed = own(lambda c: {"weight": _scaled(c["weight"], slice(0, 60), -1)})
    events = load(mixed)
    assert np.flatnonzero(events.weight < 0).tolist() == list(range(60))
    assert counts(events)["of negative weight"] == 60
    assert np.all(load(mixed, unit_weights=True).weight == 1)


def test_up_to_a_percent_of_bad_values_is_refused_and_counted(own):
    def nan(number):
        return lambda c: {"jet_eta": _scaled(c["jet_eta"], slice(0, number), np.nan)}

    found = load(own(nan(3)), rows=50)
    assert counts(found) == {"read": 300, "refused: bad value in 'jet_eta'": 3, "kept": 297}
    assert np.isfinite(found.jet).all()
    with pytest.raises(
        InputError, match=r"own\.root: 'jet_eta' is not finite \(or null\), or negative, in 4 of 300 entries, first in"
    ):
        load(own(nan(4)), rows=50)


def test_the_window_is_counted_and_a_tighter_one_has_a_smaller_acceptance(make_events, tmp_path):
    events = make_events(400, 12)
    write_root(events, tmp_path / "a.root")
    narrow = {"pt": [580, 620], "abs_eta": 1.0}
    found = load(str(tmp_path / "a.root"), narrow)
    pt, eta = events.jet[:, 0], np.abs(events.jet[:, 1])
    inside = (pt > 580) & (pt < 620)
    expected = {"refused: pt": (~inside).sum(), "refused: abs_eta": (inside & (eta >= 1)).sum()}
    kept = (inside & (eta < 1)).sum()
    assert counts(found) == {"read": 400, "kept": kept} | expected
    assert found.meta["window"] == narrow


def test_nothing_passes(own):
    with pytest.raises(
        InputError, match=r"sample 's': nothing passes .*read 300.*refused: pt 300.*median jet pt is (5\d\d|6\d\d)"
    ):
        load(own(), {"pt": [2000, 3000]})


def test_files_that_do_not_belong_together(files, own, make_events, tmp_path):
    with pytest.raises(InputError, match=r"files differ in the radius of their jets: .*Make two samples"):
        load(
            [
                files["jetclass"][0],
                str(_written(tmp_path / "r.root", replace(make_events(9, 2), meta={"jet_radius": 1.0}))),
            ]
        )
    with pytest.raises(InputError, match=r"files differ in whether they have constituents: .*Make two samples"):
        load([files["own"][0], files["physlite"][0]])
    settings = {"card": "a", "seeds": [1], "cross_section_error_pb": 1.0} | dict.fromkeys(
        ("n_events_accepted", "n_jets", "sum_weights_tried", "sum_weights_accepted"), 9
    )
    parts = [
        replace(e, meta=e.meta | settings | {"card": card})
        for e, card in ((make_events(9, 2), "a"), (make_events(9, 3), "b"))
    ]
    paths = [str(_written(tmp_path / f"{part.meta['card']}.root", part)) for part in parts]
    with pytest.raises(InputError, match=r"its files were generated with different settings .card"):
        load(paths)


def test_a_sample_of_two_dialects_of_one_layout(files):
    """The same jets as ROOT and as Parquet: the second time they are repetitions, whoever wrote them."""
    both = load([files["jetclass"][0], files["jetclass2"][0]])
    assert counts(both) == {"read": 120, "refused: repetition": 60, "kept": 60}
    assert both.meta["readers"] == ["JetClass"]


def test_a_stream_holds_a_few_rows_at_a_time(files):
    chunks = list(stream_of({"files": files["own"], "rows": 9}, name="s", selection="any", split=SPLIT))
    assert max(map(len, chunks)) <= 9
    assert sum(map(len, chunks)) == 100
    # one meta, complete at the end
    assert all(chunk.meta is chunks[0].meta for chunk in chunks)
    assert sum(of_file["kept"] for of_file in chunks[0].meta["counts"].values()) == 100


@pytest.fixture
def pair(make_events):
    """A background and a signal that may be compared."""
    return {"qcd": make_events(200, 21), "top": make_events(150, 22, prongs=3)}


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [("jet_radius", 1.0, "radius of their jets"), ("sqrt_s_tev", 13.0, "energy of the collisions")],
)
def test_unfair_comparisons_are_refused(pair, key, value, what):
    data_quality.check_comparable(pair)
    pair["top"] = replace(pair["top"], meta=pair["top"].meta | {key: value})
    with pytest.raises(InputError, match=rf"'qcd' .*and signal 'top' .*differ in the {what}.*any_window"):
        data_quality.check_comparable(pair)
    pair["top"] = replace(pair["top"], meta={name: x for name, x in pair["top"].meta.items() if name != key})
    data_quality.check_comparable(pair)  # what is not told is not compared


def test_events_that_background_and_signal_share(pair):
    one = concatenate([pair["top"], pair["qcd"][:1]])
    data_quality.check_comparable(pair | {"top": one})
    many = concatenate([pair["top"], pair["qcd"][:50]])
    with pytest.raises(InputError, match=r"25\.0% of the events of signal 'top' are in background 'qcd'"):
        data_quality.check_comparable(pair | {"top": many})
    bare = {name: replace(e, constituents=e.constituents[:, :0]) for name, e in (pair | {"top": many}).items()}
    with pytest.raises(InputError, match=r"25\.0%"):
        data_quality.check_comparable(bare)
    with pytest.raises(InputError, match=r"100\.0%"):
        data_quality.check_comparable({"qcd": pair["qcd"], "again": pair["qcd"][::-1]})


def test_cut_flow_accounts_for_every_row(own, tmp_path):
    paths = [own(lambda c: {"jet_eta": _scaled(c["jet_eta"], [4], np.nan)}), own(count=100, seed=9, name="b")]
    found = load([*paths, paths[1]], {"pt": [590, 610]}, name="mine")
    found.write(tmp_path / "mine.h5")
    data_quality.write_cut_flow(tmp_path / "flow.csv", [tmp_path / "mine.h5"])
    table = pd.read_csv(tmp_path / "flow.csv")
    assert list(table.columns) == list(data_quality.COLUMNS)
    assert set(table["sample"]) == {"mine"}
    for name in ("own.root", "b.root"):
        of_file = table[table["file"] == name].set_index("what")["count"]
        assert of_file.index[0] == "read"
        assert of_file["read"] == of_file.drop(["read"]).sum()
    assert (
        table.loc[table["what"].str.contains("bad value in 'jet_eta'") & (table["file"] == "own.root"), "count"].item()
        == 1
    )
    splits = table[table["file"] == "all"]
    assert splits["count"].sum() == len(found)
    assert splits["fraction"].sum() == pytest.approx(1)


def test_quantities_of_the_quality_page_are_finite_and_shared(pair):
    columns, values = data_quality.shared_quantities(pair)
    assert "jet $p_T$ [GeV]" in columns
    for name, events in pair.items():
        assert values[name].shape == (len(events), len(columns))
        assert np.isfinite(values[name]).all()
        ratio = values[name][:, columns.index(r"$|\Sigma p_T|$ of constituents / jet")]
        np.testing.assert_allclose(ratio, 1, atol=2e-3)


def test_rotating_an_event_changes_no_window_and_no_check(make_events, tmp_path):
    """φ → φ + α of all there is: the same rows are kept, whatever α."""
    events = make_events(120, 14)
    kept = []
    for angle in (0, 1.0, 3.1):
        turned = {name: getattr(events, name).copy() for name in ("jet", "constituents", "jets")}
        for p in turned.values():
            p[..., 2] = np.where(p[..., 0] > 0, delta_phi(p[..., 2] + angle, 0), 0)
        rotated = replace(events, **turned)
        np.testing.assert_allclose(sum_four_vectors(rotated.constituents)[:, 0], rotated.jet[:, 0], rtol=1e-3)
        kept.append(load(str(_written(tmp_path / "turned.root", rotated)), WINDOW).event_id.tolist())
    assert kept[0] == kept[1] == kept[2]


JET = tuple(f"jet_{x}" for x in ("pt", "eta", "phi", "mass"))


@pytest.mark.parametrize("more", [(), ("event",), ("muons",), ("run", "event", "muons"), ("event", "restarting")])
def test_jets_alone_are_different_events(make_events, tmp_path, more):
    """Jets without constituents and other jets: a copy is a repetition, they are not. All splits are filled."""
    events, mapping = make_events(60, 4), {x: x for x in JET}
    columns = dict(zip(JET, events.jet.T.copy(), strict=True))
    if "muons" in more:
        muons = {f"muons_{x}": events.muons[..., i].tolist() for i, x in enumerate(("pt", "eta", "phi"))}
        columns, mapping = columns | muons, mapping | {x: x for x in muons}
    for name in {"run", "event"} & set(more):
        number = np.arange(60) % (30 if "restarting" in more else 60)
        columns[name], mapping[name] = number if name == "event" else np.full(60, 3), name
    path = str(tmp_path / "jets.parquet")
    pd.DataFrame(columns).iloc[[*range(60), 3]].to_parquet(path)
    found = load(path, branches=mapping)
    assert counts(found) == {"read": 61, "refused: repetition": 1, "kept": 60}
    np.testing.assert_array_equal(found.jet, events.jet)
    assert set(found.split) == {0, 1, 2}
    assert len(set(found.event_id)) == (30 if "restarting" in more else 60)
    if "event" in more:
        number, run = np.asarray(columns["event"]), np.asarray(columns.get("run", np.zeros(60, int)))
        np.testing.assert_array_equal(found.event_id, event_id(run, 0 * run, number))


def test_muons_of_restarting_event_numbers_are_different_events(make_events, tmp_path):
    events = make_events(60, 4)
    muons = {f"muons_{x}": events.muons[..., i].tolist() for i, x in enumerate(("pt", "eta", "phi"))}
    there = events.muons[:, 0, 0] > 0
    pd.DataFrame(muons | {"event": np.arange(60) // 30})[there].to_parquet(tmp_path / "muons.parquet")
    found = load(str(tmp_path / "muons.parquet"), branches={x: x for x in (*muons, "event")})
    assert counts(found)["kept"] == there.sum()


def test_jets_among_objects_keep_their_identifiers(make_events):
    """The probe jet counts only where an event has no other."""
    events = make_events(20, 4)
    columns = {name: getattr(events, name) for name in ("jet", "jets", "muons", "met")}
    found = [complete(columns | {"jet": jet}, split=SPLIT).event_id for jet in (events.jet, 2 * events.jet)]
    np.testing.assert_array_equal(*found)


def test_weights_that_are_not_used_refuse_nothing(own):
    bad = own(lambda c: {"weight": _scaled(c["weight"], slice(0, 60), np.nan)})
    with pytest.raises(InputError, match=r"'weight' is not finite, or missing, .*set 'unit_weights: true'"):
        load(bad)
    found = load(bad, unit_weights=True)
    assert counts(found) == {"read": 300, "kept": 300}
    assert (found.weight == 1).all()


@pytest.mark.parametrize(("name", "branch"), [("nanoaod", "genWeight"), ("physlite", "EventInfoAuxDyn:mcEventWeights")])
def test_weights_of_other_readers_that_are_not_used(make_events, tmp_path, name, branch):
    dialect = DIALECTS[name]
    columns = dialect.columns(make_events(60, 31))
    lists = ak.Array([[] if i % 2 else [2.0] for i in range(60)])
    columns[branch] = lists if name == "physlite" else np.where(np.arange(60) < 30, np.nan, 1).astype(np.float32)
    path = str(dialect.file(tmp_path / "weights", columns))
    with pytest.raises(InputError, match=r"is not finite, or missing, in 30 of 60 entries.*set 'unit_weights: true'"):
        load(path)
    assert counts(load(path, unit_weights=True))["kept"] == 60


def test_units_are_blamed_only_for_what_they_explain(own):
    with pytest.raises(InputError, match="Check the selection, the units"):
        load(own(), {"pt": [0, 10]})
    with pytest.raises(InputError, match="Check the selection, the units"):
        load(own(lambda c: {"constituent_pt": c["constituent_pt"] * 0}, name="none"))
    soft = own(lambda c: {x: v * 10 for x, v in c.items() if x.endswith(("_pt", "_mass"))}, name="soft")
    with pytest.raises(InputError, match="looks like MeV"):  # 6 GeV
        load(soft, {"pt": [5, 10]})
