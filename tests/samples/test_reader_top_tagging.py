"""The reader of the top-tagging reference set: both pandas layouts, damaged and hostile files."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.events.kinematics import to_cartesian
from hepad.samples.sources import check_files, read

SPLIT = (0.6, 0.1, 0.3)
SETTINGS = {"name": "s", "selection": "any", "split": SPLIT}
WINDOW = {"pt": [550, 650], "abs_eta": 2.0}


def load(files, *, name, selection, split, **options):
    source = {"files": files, "reader": "TopTagging", **options}
    return read(source, name=name, selection=selection, split=split)


@pytest.fixture
def reference(make_events):
    """A table in the layout of the top-tagging reference set, and its events."""
    events = make_events(120, 7)
    p = to_cartesian(events.constituents).astype(np.float32)
    present = events.constituents[..., 0] > 0
    columns = {
        f"{x}_{i}": p[:, i, j] * present[:, i]
        for i in range(60)
        for x, j in (("E", 3), ("PX", 0), ("PY", 1), ("PZ", 2))
    }
    extra = {"ttv": np.arange(120) % 3, "is_signal_new": np.arange(120) % 2}
    return events, pd.concat([pd.DataFrame(columns), pd.DataFrame(extra)], axis=1)


@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_top_tagging_layouts(reference, tmp_path, layout):
    events, table = reference
    path = str(tmp_path / "top.h5")
    table.to_hdf(path, key="table", format=layout, complib="blosc", complevel=5)
    check_files({"files": path, "reader": "TopTagging", "is_signal": 1})
    found = load([path], is_signal=1, rows=50, **SETTINGS)
    expected = events[np.arange(120) % 2 == 1]
    np.testing.assert_allclose(found.jet[:, :3], expected.jet[:, :3], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.jet[:, 3], expected.jet[:, 3], rtol=2e-2)
    np.testing.assert_allclose(found.constituents[:, :60, :3], expected.constituents[..., :3], rtol=1e-3, atol=1e-3)
    order = [SPLITS[i] for i in found.split[:3]]
    assert order == ["test", "train", "valid"]  # ttv of rows 1, 3, 5 is 1, 0, 2
    assert found.meta["counts"][path]["refused: is_signal"] == 60
    assert found.meta["counts"][path]["kept"] == 60
    hashed = load([path], is_signal=1, use_ttv=False, **SETTINGS)
    assert (hashed.split != found.split).any()


def test_top_tagging_bad_input(reference, tmp_path):
    _, table = reference
    paths = {name: str(tmp_path / f"{name}.h5") for name in ("nan", "negative", "lacks", "pickle", "cut")}
    bad = table.copy()
    bad.loc[77, "PX_3"] = np.nan
    bad.to_hdf(paths["nan"], key="table", format="fixed")
    counts = load([paths["nan"]], **SETTINGS).meta["counts"][paths["nan"]]
    assert (counts["read"], counts["refused: bad value in 'PX_3'"], counts["kept"]) == (120, 1, 119)
    bad.loc[[78, 90], "PX_3"] = np.inf
    bad.to_hdf(paths["nan"], key="table", format="fixed")
    with pytest.raises(InputError, match=r"nan\.h5: 'PX_3' is not finite.* in 3 of 120 entries, first in entry 77"):
        load([paths["nan"]], rows=50, **SETTINGS)
    bad = table.copy()
    bad.loc[[5, 6], "E_0"] = -3
    bad.to_hdf(paths["negative"], key="table", format="table")
    with pytest.raises(InputError, match=r"negative\.h5: 'E_0' is not finite \(or null\), or negative, in 2"):
        load([paths["negative"]], **SETTINGS)
    table.drop(columns=["PY_1", "is_signal_new"]).to_hdf(paths["lacks"], key="table", format="fixed")
    with pytest.raises(InputError, match="lacks the columns PY_1, is_signal_new"):
        check_files({"files": paths["lacks"], "reader": "TopTagging", "is_signal": 0})
    with pytest.raises(InputError, match="no table 'jets'; present: table"):
        load([paths["lacks"]], key="jets", **SETTINGS)
    content = Path(paths["nan"]).read_bytes()
    Path(paths["cut"]).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.h5"):
        load([paths["cut"]], **SETTINGS)


def test_column_names_are_never_unpickled(reference, tmp_path):
    path = str(tmp_path / "evil.h5")
    reference[1].to_hdf(path, key="table", format="table")
    with h5py.File(path, "a") as file:
        # protocol 0: os.system('touch owned')
        file["table/table"].attrs["values_block_0_kind"] = np.bytes_(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(InputError, match="does not unpickle"):
        load([path], **SETTINGS)
