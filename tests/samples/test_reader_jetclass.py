"""JetClass as ROOT, JetClass-II as Parquet: classes, sums, blocks, damaged files; and how Parquet files are read."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepad.errors import InputError
from hepad.events.kinematics import to_cartesian
from hepad.events.padding import sum_pt
from hepad.samples.formats import parquet
from hepad.samples.readers.base import Contents
from hepad.samples.readers.jetclass import JetClass

COMPONENTS = ("part_px", "part_py", "part_pz", "part_energy")


@pytest.fixture
def jets(make_events):
    """Jets, and their columns in the layout of JetClass: a third each of three classes, constituents in any order."""
    events = make_events(90, 3)
    rng = np.random.default_rng(1)
    order = rng.permuted(np.tile(np.arange(60), (90, 1)), axis=1)
    shuffled = np.take_along_axis(events.constituents, order[..., None], axis=1)
    p, there = to_cartesian(shuffled).astype(np.float32), shuffled[..., 0] > 0
    columns = {name: ak.unflatten(p[..., i][there], there.sum(axis=1)) for i, name in enumerate(COMPONENTS)}
    columns |= {"part_charge": ak.ones_like(columns["part_px"]), "jet_pt": events.jet[:, 0].copy()}
    return events, columns


def write(path: Path, columns: dict, **options) -> str:
    if path.suffix == ".root":
        classes = np.arange(len(columns["jet_pt"])) % 3
        with uproot.recreate(path) as file:
            file["tree"] = columns | {f"label_{x}": classes == i for i, x in enumerate(("QCD", "Hbb", "Tbqq"))}
    else:
        classes = np.arange(len(columns["jet_pt"])) % 3
        arrays = {name: ak.to_arrow(x, extensionarray=False) for name, x in columns.items()}
        pq.write_table(pa.table(arrays | {"jet_label": classes}), path, **options)
    return str(path)


def joined(reader: JetClass, path: str, rows: int = 1000) -> dict[str, np.ndarray]:
    blocks = list(reader.blocks(path, rows))
    together = {name: np.concatenate([b.columns[name] for b in blocks]) for name in blocks[0].columns}
    return together | {"entry": np.concatenate([b.entry for b in blocks])}


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_what_was_written_is_read(jets, tmp_path, suffix):
    events, columns = jets
    path = write(tmp_path / f"jets{suffix}", columns)
    found = JetClass().look(path)
    assert (found.entries, found.jet_radius, found.present) == (90, 0.8, {"constituents"})
    read = joined(JetClass(), path)
    assert read["constituents"].shape == (90, 200, 4)
    assert read["constituents"].dtype == np.float32
    np.testing.assert_allclose(read["constituents"][:, :60, :3], events.constituents[..., :3], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(read["jet"], events.jet, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(sum_pt(read["constituents"]), read["jet"][:, 0], rtol=1e-5)
    in_small_blocks = joined(JetClass(), path, rows=7)
    for name, values in read.items():
        np.testing.assert_array_equal(in_small_blocks[name], values)


@pytest.mark.parametrize(
    ("suffix", "label", "first"),
    [
        (".root", "label_Hbb", [1, 4, 7]),
        (".root", ("label_QCD", "label_Tbqq"), [0, 2, 3]),
        (".parquet", 2, [2, 5, 8]),
        (".parquet", (0, 2), [0, 2, 3]),
    ],
)
def test_classes(jets, tmp_path, suffix, label, first):
    path = write(tmp_path / f"jets{suffix}", jets[1])
    blocks = list(JetClass(label=label).blocks(path, 40))
    assert np.concatenate([b.entry for b in blocks])[:3].tolist() == first
    assert sum(b.refused["label"] for b in blocks) == (30 if isinstance(label, tuple) else 60)


def test_another_column_may_hold_the_class(jets, tmp_path):
    path = write(tmp_path / "jets.parquet", jets[1])
    table = pq.read_table(path)
    names = ["label" if name == "jet_label" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), path)
    assert joined(JetClass(label=1), path)["entry"].tolist() == list(range(1, 90, 3))


def test_recognised_by_names(jets):
    names = frozenset(jets[1])
    assert JetClass.recognises(Contents("x", "ROOT", {"tree": names | {"label_QCD"}}))
    assert JetClass.recognises(Contents("x", "Parquet", {"": names | {"jet_label"}}))
    assert not JetClass.recognises(Contents("x", "ROOT", {"tree": names}))
    assert not JetClass.recognises(Contents("x", "ROOT", {"Events": names | {"label_QCD"}}))
    assert not JetClass.recognises(Contents("x", "Parquet", {"": names - {"part_px"} | {"jet_label"}}))


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_bad_values_mark_their_rows(jets, tmp_path, suffix):
    _, columns = jets
    px, energy = ak.to_list(columns["part_px"]), ak.to_list(columns["part_energy"])
    px[4][2], energy[7][0] = np.nan, -1.0
    changed = columns | {"part_px": ak.Array(px), "part_energy": ak.Array(energy), "jet_pt": columns["jet_pt"].copy()}
    changed["jet_pt"][9] = np.inf
    path = write(tmp_path / f"jets{suffix}", changed)
    (block,) = JetClass().blocks(path, 1000)
    bad = {name: np.flatnonzero(rows).tolist() for name, rows in block.damaged.items() if rows.any()}
    assert bad == {"part_px": [4], "part_energy": [7], "jet_pt": [9]}
    shorter = columns | {"part_py": columns["part_py"][:, 1:]}
    path = write(tmp_path / f"other{suffix}", shorter)
    with pytest.raises(InputError, match="part_py"):
        list(JetClass().blocks(path, 1000))


def test_a_missing_number_is_a_bad_value(jets, tmp_path):
    columns = {name: ak.to_arrow(x, extensionarray=False) for name, x in jets[1].items()}
    pt = columns["jet_pt"].to_pylist()
    columns |= {"jet_pt": pa.array([None, *pt[1:]], pa.float32()), "jet_label": pa.array(np.zeros(90, int))}
    pq.write_table(pa.table(columns), tmp_path / "jets.parquet")
    (block,) = JetClass().blocks(str(tmp_path / "jets.parquet"), 1000)
    assert np.flatnonzero(block.damaged["jet_pt"]).tolist() == [0]


def test_files_without_jets(jets, tmp_path):
    for suffix in (".root", ".parquet"):
        path = write(tmp_path / f"jets{suffix}", {name: values[:0] for name, values in jets[1].items()})
        assert JetClass().look(path).entries == 0
        assert list(JetClass().blocks(path, 10)) == []


@pytest.mark.parametrize(
    ("suffix", "change", "options", "message"),
    [
        (".parquet", {"part_pz": None}, {}, "missing columns: part_pz; present: .*part_px"),
        (".parquet", {"jet_pt": "part_px"}, {}, "'jet_pt' holds numbers per row, expected number"),
        (".parquet", {"part_px": "jet_pt"}, {}, "'part_px' holds number per row, expected numbers"),
        (".parquet", {}, {"label": "label_QCD"}, "is not a number"),
        (".root", {"part_pz": None}, {}, "missing branches: part_pz"),
        (".root", {"jet_pt": "part_px"}, {}, "'jet_pt' is of type"),
        (".root", {"part_px": "jet_pt"}, {}, "'part_px' is of type"),
        (".root", {}, {"label": "label_QDC"}, "Did you mean 'label_QCD'"),
        (".root", {}, {"label": 3}, "Allowed: label_Hbb, label_QCD, label_Tbqq"),
        (".root", {}, {"tree": "Events"}, "no TTree or RNTuple 'Events'; present: tree"),
    ],
)
def test_what_is_wrong_is_named(jets, tmp_path, suffix, change, options, message):
    columns = dict(jets[1])
    for name, other in change.items():
        columns[name] = columns[other] if other else None
    path = write(tmp_path / f"jets{suffix}", {name: values for name, values in columns.items() if values is not None})
    with pytest.raises(InputError, match=message) as error:
        list(JetClass(**options).blocks(path, 100))
    assert path in str(error.value)


def test_damaged_parquet_files(jets, tmp_path):
    path = tmp_path / "jets.parquet"
    write(path, jets[1], write_page_checksum=True, row_group_size=30)
    whole, rng, messages = path.read_bytes(), np.random.default_rng(5), []
    expected = joined(JetClass(), str(path))["constituents"]
    damaged = [whole[: int(size)] for size in np.linspace(0, len(whole) - 1, 25)]
    for place in rng.integers(4, len(whole), 75):
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        try:
            read = joined(JetClass(), str(path))["constituents"]
        except InputError as error:
            messages.append(str(error).startswith(str(path)))
        else:  # a byte that carries no data, as those of statistics
            np.testing.assert_array_equal(read, expected)
    assert all(messages)
    assert len(messages) >= 75


def test_blocks_of_a_parquet_file_do_not_grow_with_its_row_groups(tmp_path):
    path = tmp_path / "wide.parquet"
    pq.write_table(pa.table({"x": np.arange(100_000.0)}), path, row_group_size=100_000)
    with parquet.open_parquet(path) as file:
        blocks = [(start, len(arrays["x"])) for start, arrays in parquet.blocks(path, file, ["x"], 7_000)]
    assert max(length for _, length in blocks) <= 7_000
    assert [start for start, _ in blocks] == np.cumsum([0] + [length for _, length in blocks[:-1]]).tolist()


def test_no_such_file():
    with pytest.raises(InputError, match=r"no such file|cannot be opened"):
        JetClass().look("nowhere.parquet")


@pytest.mark.skipif("HEPAD_DATA" not in os.environ, reason="needs the folder of real files")
def test_jetclass_2_example():
    path = str(Path(os.environ["HEPAD_DATA"]) / "hep" / "JetClassII_example.parquet")
    with parquet.open_parquet(path) as file:
        assert JetClass.recognises(Contents(path, "Parquet", {"": frozenset(parquet.kinds(path, file))}))
    assert JetClass().look(path).entries == 100
    read = joined(JetClass(), path, rows=30)
    stored = pq.read_table(path, columns=["jet_pt", "jet_phi", "jet_label"]).to_pydict()
    np.testing.assert_allclose(sum_pt(read["constituents"]), stored["jet_pt"], rtol=1e-6)
    np.testing.assert_allclose(read["jet"][:, 2], stored["jet_phi"], atol=1e-5)
    several = joined(JetClass(label=(0, 187)), path)
    assert several["entry"].tolist() == [i for i, label in enumerate(stored["jet_label"]) if label in (0, 187)]
