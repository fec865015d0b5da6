"""Objects and constituents beyond the places that an event has: counted by every reader, and rarely any."""

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot

from hepad.events.padding import WIDTHS
from hepad.representations import EventMatrix, EventVector
from hepad.samples.data_quality import cut_flow
from hepad.samples.sources import read

N = 6


def jagged(rng, number, low, high):
    return ak.unflatten(rng.uniform(low, high, number * N).astype(np.float32), np.full(N, number))


def write(path, columns, tree="Events"):
    with uproot.recreate(path) as file:
        kinds = {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in columns.items()}
        file.mktree(tree, kinds)
        file[tree].extend(columns)
    return str(path)


def nano(path, **numbers):
    """Events of as many objects of each kind."""
    rng, columns = np.random.default_rng(3), {"MET_pt": np.full(N, 9, np.float32), "MET_phi": np.zeros(N, np.float32)}
    columns |= {x: np.full(N, 2, np.uint32) for x in ("run", "luminosityBlock")} | {"event": np.arange(N, dtype="u8")}
    for name, number in numbers.items():
        limits = {"pt": (31, 200), "eta": (-2, 2), "phi": (-3, 3), "mass": (1, 9)}
        columns |= {f"{name}_{x}": jagged(rng, number, *limits[x]) for x in limits}
    return write(path, columns), columns


def load(path, **options):
    events = read({"files": path, **options}, name="s", selection="any", split=(0.6, 0.1, 0.3))
    return events, events.meta["counts"][path]


def test_ordinary_events_have_room(tmp_path):
    path, columns = nano(tmp_path / "many.root", Jet=18, Electron=9, Muon=8, Photon=11)
    events, counts = load(path)
    found = EventVector(["n_jets", "ht", "n_electrons", "n_muons", "n_photons"])(events).numpy()
    np.testing.assert_array_equal(found[:, [0, 2, 3, 4]], [[18, 9, 8, 11]] * N)
    np.testing.assert_allclose(found[:, 1], ak.sum(columns["Jet_pt"], axis=1), rtol=1e-6)
    assert counts["softest objects cut off"] == 0
    assert EventMatrix(b_jets=0)(events).shape == (N, 1, 10 + 4 + 4 + 3 + 1, 4)


def test_what_is_beyond_is_counted_and_told(tmp_path):
    path, columns = nano(tmp_path / "more.root", Jet=23, Electron=13, Muon=8, Photon=14)
    events, counts = load(path)
    assert counts["softest objects cut off"] == N * (3 + 1 + 2)
    kept = np.sort(ak.to_numpy(columns["Jet_pt"]), axis=1)[:, ::-1][:, :20]
    np.testing.assert_array_equal(events.jets[..., 0], kept)
    (row,) = (row for row in cut_flow(events.meta, events.split) if "cut off" in row["what"])
    assert (row["what"], row["count"]) == ("softest objects cut off", N * 6)


def test_constituents_beyond_are_counted(tmp_path):
    """By NanoAOD, JetClass and a mapping; 210 for 200 places."""
    rng = np.random.default_rng(8)
    p = {x: jagged(rng, 210, *limits) for x, limits in {"pt": (1, 3), "eta": (-0.3, 0.3), "phi": (-0.3, 0.3)}.items()}
    px, py, pz = p["pt"] * np.cos(p["phi"]), p["pt"] * np.sin(p["phi"]), p["pt"] * np.sinh(p["eta"])
    energy = np.sqrt(px**2 + py**2 + pz**2)
    pt = np.hypot(ak.to_numpy(ak.sum(px, axis=1)), ak.to_numpy(ak.sum(py, axis=1))).astype(np.float32)
    parts = {"part_px": px, "part_py": py, "part_pz": pz, "part_energy": energy}
    jetclass = write(tmp_path / "jetclass.root", parts | {"jet_pt": pt, "label_QCD": np.ones(N, bool)}, "tree")
    mapped = write(tmp_path / "mapped.root", {f"constituent_{x}": v for x, v in p.items()}, "events")
    jet = {"pt": pt, "eta": np.zeros(N), "phi": np.zeros(N), "mass": np.full(N, 50.0)}
    columns = {f"FatJet_{x}": ak.unflatten(np.asarray(v, np.float32), np.ones(N, int)) for x, v in jet.items()}
    columns |= {f"PFCands_{x}": v for x, v in p.items()} | {"PFCands_mass": ak.zeros_like(p["pt"])}
    index = ak.values_astype(ak.local_index(p["pt"]), np.int16)
    columns |= {"FatJetPFCands_pFCandsIdx": index, "FatJetPFCands_jetIdx": ak.zeros_like(index)}
    columns |= {x: np.full(N, 2, np.uint32) for x in ("run", "luminosityBlock")} | {"event": np.arange(N, dtype="u8")}
    for path in (jetclass, mapped, write(tmp_path / "nano.root", columns)):
        events, counts = load(path)
        assert len(events) == N
        assert counts["softest constituents cut off"] == 10 * N
        assert events.constituents.shape[1] == WIDTHS["constituents"]


@pytest.mark.parametrize("reader", ["own", "olympics"])
def test_jets_beyond_are_counted(tmp_path, reader):
    """25 lone particles in as many directions: as jets of a mapping, and clustered."""
    eta, phi = (x.reshape(-1) for x in np.meshgrid([-4, -2, 0, 2, 4], np.arange(-2.4, 3, 1.2)))
    pt = 100.0 + np.arange(25) + np.arange(N)[:, None]
    if reader == "own":
        columns = {f"jets_{x}": ak.values_astype(ak.from_regular(np.broadcast_to(v, (N, 25))), np.float32)
                   for x, v in {"pt": pt, "eta": eta, "phi": phi, "mass": 1.0}.items()}  # fmt: skip
        columns |= {f"jet_{x}": ak.to_numpy(v[:, -1]) for x, v in ((k[5:], v) for k, v in columns.items())}
        columns |= {"met_pt": np.ones(N), "met_phi": np.ones(N), "event_id": np.arange(N)}
        path = write(tmp_path / "own.root", columns, "events")
    else:
        table = np.zeros((N, 2100))
        table[:, :75] = np.stack([pt, *np.broadcast_arrays(eta, phi, pt)[:2]], axis=-1).reshape(N, 75)
        path = str(tmp_path / "olympics.h5")
        pd.DataFrame(table).to_hdf(path, key="df", format="fixed")
    events, counts = load(path)
    assert len(events) == N
    assert counts["softest objects cut off"] == 5 * N
    np.testing.assert_allclose(events.jets[..., 0], pt[:, :4:-1], rtol=1e-6)
