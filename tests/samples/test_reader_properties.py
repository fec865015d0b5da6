"""Random jagged events through every reader of tables, against what h5py, pyarrow and uproot read and plain sums.

Events may be empty, of one particle or of several, over several row groups, baskets, chunks and blocks of rows.
"""

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from hepad.samples.readers.jetclass import JetClass
from hepad.samples.readers.jetnet import JetNet
from hepad.samples.readers.lhc_olympics import LHCOlympics
from hepad.samples.readers.ntuple import Mapped
from hepad.samples.readers.top_tagging import TopTagging

POLAR = ("pt", "eta", "phi")
quick = settings(max_examples=12, deadline=None, derandomize=True)
counts_of_events = st.lists(st.integers(0, 5), min_size=1, max_size=11)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("events")


def made(
    counts: list[int], seed: int, spread: float = 1.0, softest: float = 5.0
) -> list[list[tuple[float, float, float]]]:
    """(pt, eta, phi) of massless particles of every event, in no order; float32 numbers."""
    rng = np.random.default_rng(seed)
    found = []
    for count in counts:
        pt, eta, phi = (
            rng.uniform(softest, 200, count),
            rng.normal(0, spread, count),
            rng.uniform(-spread, spread, count),
        )
        found.append([tuple(map(float, p)) for p in np.stack([pt, eta, phi], axis=-1).astype(np.float32)])
    return found


def columns_of(events) -> dict[str, list[list[float]]]:
    return {x: [[p[i] for p in event] for event in events] for i, x in enumerate(POLAR)}


def cartesian(event) -> np.ndarray:
    """(n, 4) of (E, px, py, pz)."""
    p = [(pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)) for pt, eta, phi in event]
    return np.array(p).reshape(-1, 4)


def padded(events, width: int) -> np.ndarray:
    """(N, width, 3)."""
    found = np.zeros((len(events), width, 3), np.float32)
    for row, event in enumerate(events):
        found[row, : len(event)] = np.array(event).reshape(-1, 3)
    return found


def written_root(path, columns: dict, tree: str):
    """A TTree in baskets of four entries."""
    columns = {name: ak.values_astype(ak.Array(values), np.float32) for name, values in columns.items()}
    columns = {x: v if v.ndim == 1 else ak.from_iter([[0.0], *v.to_list()])[1:] for x, v in columns.items()}
    columns = {x: ak.values_astype(v, np.float32) for x, v in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: v.type.content if v.ndim == 1 else "var * float32" for name, v in columns.items()})
        for start in range(0, len(next(iter(columns.values()))), 4):
            file[tree].extend({name: v[start : start + 4] for name, v in columns.items()})
    return path


def written_parquet(path, columns: dict):
    types = {x: pa.list_(pa.float32()) if isinstance(v[0], list) else pa.float32() for x, v in columns.items()}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    pq.write_table(table, path, row_group_size=4)
    return path


def joined(reader, path, rows: int = 3) -> dict[str, np.ndarray]:
    blocks = list(reader.blocks(str(path), rows))
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns}


def agree(found: dict[str, np.ndarray], events, *, constituents: bool = True) -> None:
    """The reader's jets are the sums of the events' particles, its constituents these by falling pt."""
    assert len(found["jet"]) == len(events)
    for jet, of_jet, event in zip(found["jet"], found["constituents"], events, strict=True):
        energy, px, py, pz = cartesian(event).sum(axis=0)
        np.testing.assert_allclose(jet[0], np.hypot(px, py), rtol=1e-4, atol=1e-4)
        if event:
            np.testing.assert_allclose(jet[1], np.arcsinh(pz / np.hypot(px, py)), rtol=1e-4, atol=1e-4)
            assert np.cos(jet[2] - np.arctan2(py, px)) == pytest.approx(1, abs=1e-6)
            mass = np.sqrt(max(energy**2 - px**2 - py**2 - pz**2, 0))
            np.testing.assert_allclose(jet[3], mass, rtol=1e-3, atol=0.02 * len(event) + 1e-3 * energy)
        assert (of_jet[:, 0] > 0).sum() == len(event)
        ordered = np.array(sorted(event, reverse=True)).reshape(-1, 3)
        if constituents:
            np.testing.assert_allclose(of_jet[: len(event), :3], ordered, rtol=2e-4, atol=2e-5)


MAPPING = {f"constituent_{x}": x for x in POLAR}


@quick
@given(counts_of_events, seeds)
def test_mapped_trees(folder, counts, seed):
    path = written_root(folder() / "a.root", columns_of(made(counts, seed)), "t")
    with uproot.open(path) as file:
        read = {x: file["t"][x].array(library="ak").to_list() for x in POLAR}
    events = [list(zip(*of_event, strict=True)) for of_event in zip(*read.values(), strict=True)]
    assert list(map(len, events)) == counts
    agree(joined(Mapped(branches=MAPPING), path), events)


@quick
@given(counts_of_events, seeds)
def test_mapped_parquet(folder, counts, seed):
    path = written_parquet(folder() / "a.parquet", columns_of(made(counts, seed)))
    events = [list(zip(*(row[x] for x in POLAR), strict=True)) for row in pq.read_table(path).to_pylist()]
    assert list(map(len, events)) == counts
    agree(joined(Mapped(branches=MAPPING), path), events)


@quick
@given(counts_of_events, seeds, st.sampled_from(["<f4", ">f4", "<f8", ">f8"]), st.booleans())
def test_mapped_hdf5(folder, counts, seed, kind, compound):
    path, p = folder() / "a.h5", padded(made(counts, seed), 5)
    with h5py.File(path, "w") as file:
        if compound:
            table = np.zeros(p.shape[:2], [(x, kind) for x in POLAR])
            for i, x in enumerate(POLAR):
                table[x] = p[..., i]
            file.create_dataset("set/particles", data=table, chunks=(2, 5), maxshape=(None, 5))
        else:
            file.create_dataset("cube", data=p.astype(kind), chunks=(2, 5, 3), maxshape=(None, 5, 3))
    with h5py.File(path) as file:
        read = np.stack([file["set/particles"][x] for x in POLAR], axis=-1) if compound else file["cube"][()]
    events = [[tuple(map(float, particle)) for particle in event if particle[0] > 0] for event in read]
    assert list(map(len, events)) == counts
    places = {x: f"set/particles.{x}" if compound else f"cube[:, :, {i}]" for i, x in enumerate(POLAR)}
    agree(joined(Mapped(branches={f"constituent_{x}": place for x, place in places.items()}), path), events)


@quick
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=9), seeds, st.booleans())
def test_mapped_nested_jets(folder, jets, seed, cartesian_names):
    """The jet of the highest pT of the vector sum, also of events without jets and jets without constituents."""
    rng, events = np.random.default_rng(seed), []
    for counts in jets:
        events.append(made(counts, int(rng.integers(2**32))))
    names, write = POLAR, [[[p for p in jet] for jet in event] for event in events]
    if cartesian_names:
        names = ("energy", "px", "py", "pz")
        write = [[cartesian(jet).tolist() for jet in event] for event in events]
    kind, path = pa.list_(pa.list_(pa.float64())), folder() / "a.parquet"
    columns = {
        x: pa.array([[[p[i] for p in jet] for jet in event] for event in write], kind) for i, x in enumerate(names)
    }
    pq.write_table(pa.table(columns), path, row_group_size=4)
    hardest = [max(event, key=lambda jet: np.hypot(*cartesian(jet).sum(axis=0)[1:3]), default=[]) for event in events]
    found = joined(Mapped(branches={f"constituent_{x}": x for x in names}), path)
    agree(found, hardest)


@quick
@given(counts_of_events, seeds, st.sampled_from([".root", ".parquet"]))
def test_jetclass(folder, counts, seed, suffix):
    events = made(counts, seed)
    names = ("part_energy", "part_px", "part_py", "part_pz")
    columns = {x: [cartesian(event)[:, i].tolist() for event in events] for i, x in enumerate(names)}
    columns["jet_pt"] = [float(np.hypot(*cartesian(event).sum(axis=0)[1:3])) for event in events]
    path = folder() / f"a{suffix}"
    written_root(path, columns, "tree") if suffix == ".root" else written_parquet(path, columns)
    found = joined(JetClass(), path)
    agree(found, events)
    if suffix == ".root":
        with uproot.open(path) as file:
            np.testing.assert_array_equal(found["jet"][:, 0], file["tree"]["jet_pt"].array(library="np"))
    else:
        np.testing.assert_array_equal(found["jet"][:, 0], pq.read_table(path)["jet_pt"].to_numpy())


@quick
@given(counts_of_events, seeds, st.sampled_from(["fixed", "table", "data columns"]), st.sampled_from(["table", "a/b"]))
def test_top_tagging(folder, counts, seed, form, key):
    events, path = made(counts, seed), folder() / "a.h5"
    table = np.zeros((len(events), 5, 4), np.float32)
    for row, event in enumerate(events):
        table[row, : len(event)] = cartesian(event)
    frame = pd.DataFrame({f"{x}_{i}": table[:, i, j] for i in range(5) for j, x in enumerate(("E", "PX", "PY", "PZ"))})
    frame["is_signal_new"] = np.arange(len(events)) % 2
    options = {"format": "fixed"} if form == "fixed" else {"format": "table", "data_columns": form != "table" or None}
    frame.to_hdf(path, key=key, mode="w", **options)
    agree(joined(TopTagging(), path), events)
    labels = pd.read_hdf(path, key)["is_signal_new"].to_numpy()
    agree(joined(TopTagging(is_signal=1), path), [event for event, label in zip(events, labels, strict=True) if label])


@quick
@given(counts_of_events, seeds)
def test_jetnet(folder, counts, seed):
    events, path = made(counts, seed, spread=0.2), folder() / "a.h5"
    p, mask = padded(events, 30), padded(events, 30)[..., :1] > 0
    jets = np.array([[400, 0.5, 30, len(event)] for event in events], np.float32)
    relative = np.concatenate([p[..., 1:2] - 0.5 * mask, p[..., 2:], p[..., :1] / 400, mask], axis=-1)
    with h5py.File(path, "w") as file:
        chunked = {"chunks": (2, 30, 4), "maxshape": (None, 30, 4)}
        file.create_dataset("particle_features", data=relative.astype(np.float32), **chunked)
        file["jet_features"] = jets
    found = joined(JetNet(), path)
    with h5py.File(path) as file:
        stored, of_jets = file["particle_features"][()].astype(float), file["jet_features"][()].astype(float)
    np.testing.assert_allclose(found["jet"][:, [0, 1, 3]], of_jets[:, :3], rtol=1e-6)
    for of_jet, particles, (pt, eta, *_) in zip(found["constituents"], stored, of_jets, strict=True):
        expected = sorted(((z * pt, deta + eta, dphi) for deta, dphi, z, there in particles if there), reverse=True)
        assert (of_jet[:, 0] > 0).sum() == len(expected)
        np.testing.assert_allclose(of_jet[: len(expected), :3], np.array(expected).reshape(-1, 3), rtol=1e-5, atol=1e-6)


@settings(quick, max_examples=6)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=7), seeds)
def test_olympics(folder, counts, seed):
    """Particles close to each other are one jet, their sum, whose pT is missing on the other side."""
    events, path = made(counts, seed, spread=0.05, softest=30), folder() / "a.h5"
    table = np.zeros((len(events), 2101))
    table[:, :15] = padded(events, 5).reshape(len(events), 15)
    pd.DataFrame(table).to_hdf(path, key="df", mode="w")
    found = joined(LHCOlympics(), path)
    agree(found, events)
    px, py = np.array([cartesian(event).sum(axis=0)[1:3] for event in events]).T
    np.testing.assert_allclose(found["met"][:, 0], np.hypot(px, py), rtol=1e-4)
