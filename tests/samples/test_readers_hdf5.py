"""LHC Olympics, JetNet and ADC2021: files in their layouts, what is read of them, and what is refused."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from hepad.errors import InputError
from hepad.events.kinematics import delta_phi, sum_four_vectors
from hepad.events.padding import sum_pt
from hepad.samples.formats.contents import contents
from hepad.samples.readers.adc2021 import ADC2021
from hepad.samples.readers.jetnet import JetNet
from hepad.samples.readers.lhc_olympics import LHCOlympics
from hepad.samples.readers.top_tagging import TopTagging

READERS = (ADC2021, JetNet, LHCOlympics, TopTagging)


def joined(reader, path, rows: int = 1000) -> dict[str, np.ndarray]:
    blocks = list(reader.blocks(str(path), rows))
    groups = [block.columns | block.facts | block.damaged | {"entry": block.entry} for block in blocks]
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name])


@pytest.fixture
def dijets(make_events):
    """30 events of two jets, back to back in φ: (30, 2, 60, 4) constituents, the second with 0.8 of the first's pt."""
    first = make_events(30, 11).constituents.astype(np.float64)
    first[..., 3] = 0
    second = first * [0.8, -1, 1, 1]
    second[..., 2] = np.where(first[..., 0] > 0, delta_phi(second[..., 2], np.pi), 0)
    return np.stack([first, second], axis=1)


@pytest.fixture
def olympics(dijets, tmp_path):
    """The dijets in the layout of the LHC Olympics, every third event a signal."""
    table = np.zeros((30, 2101))
    table[:, :360] = dijets.reshape(30, 120, 4)[..., :3].reshape(30, 360)
    table[:, 2100] = np.arange(30) % 3 == 0
    path = tmp_path / "events.h5"
    pd.DataFrame(table).to_hdf(path, key="df", mode="w", complib="blosc", complevel=5)
    return path, table


def test_olympic_particles_become_their_jets(olympics, dijets):
    path, _ = olympics
    found = LHCOlympics().look(str(path))
    assert (found.entries, found.jet_radius) == (30, 1.0)
    assert found.present == {"constituents", "jets", "met"}
    read, expected = joined(LHCOlympics(leading=2), path), sum_four_vectors(dijets)
    assert read["entry"].tolist() == np.repeat(np.arange(30), 2).tolist()
    np.testing.assert_allclose(read["jet"].reshape(30, 2, 4), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(read["jets"][::2, :2], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(read["constituents"][::2, :60, :3], dijets[:, 0, :, :3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sum_pt(read["constituents"]), read["jet"][:, 0], rtol=1e-5)
    assert read["constituents"].shape == (60, 200, 4)
    # what is missing opposes the harder jet
    np.testing.assert_allclose(read["met"][::2, 0], 0.2 * expected[:, 0, 0], rtol=1e-3)
    np.testing.assert_allclose(np.abs(delta_phi(read["met"][::2, 1], expected[:, 0, 2])), np.pi, atol=1e-3)
    assert (read["event_id"][::2] == read["event_id"][1::2]).all()
    assert len(np.unique(read["event_id"])) == 30
    same(read, joined(LHCOlympics(leading=2), path, rows=7))
    same({"jet": read["jet"][::2]}, joined(LHCOlympics(), path))


def test_olympic_classes_and_black_boxes(olympics, tmp_path):
    path, table = olympics
    (block,) = LHCOlympics(is_signal=1).blocks(str(path), 100)
    assert block.entry.tolist() == list(range(0, 30, 3))
    assert block.refused == {"is_signal": 20, "no jet": 0}
    box = tmp_path / "box.h5"
    pd.DataFrame(table[:, :2100]).to_hdf(box, key="events", mode="w", complib="blosc", complevel=5)
    assert LHCOlympics.recognises(contents(str(box)))
    assert len(joined(LHCOlympics(), box)["entry"]) == 30
    with pytest.raises(InputError, match="no column 2100"):
        LHCOlympics(is_signal=0).look(str(box))


def test_olympic_events_that_cannot_be_clustered(olympics, tmp_path):
    _, table = olympics
    table[2, 0], table[4, 4], table[6, 3], table[8, 1], table[10, 2100], table[12, :2100] = (
        np.nan,
        1e5,
        -5,
        np.inf,
        2,
        0,
    )
    path = tmp_path / "bad.h5"
    pd.DataFrame(table).to_hdf(path, key="df", mode="w")
    (block,) = LHCOlympics().blocks(str(path), 100)
    assert np.flatnonzero(block.damaged["particles"]).tolist() == [2, 4, 6, 8]
    assert np.flatnonzero(block.damaged["label"]).tolist() == [10]
    assert block.refused == {"no jet": 1}
    assert block.entry.tolist() == [i for i in range(30) if i != 12]
    for values in block.columns.values():
        assert np.isfinite(values).all()
    good = joined(LHCOlympics(), olympics[0])
    kept = np.isin(good["entry"], block.entry[~block.damaged["particles"]])
    np.testing.assert_array_equal(block.columns["jet"][~block.damaged["particles"]], good["jet"][kept])


@pytest.fixture
def jetnet(make_events, tmp_path):
    """Jets in the layout of JetNet, their 30 hardest constituents in any order, and the events."""
    events = make_events(40, 5)
    jet, p = events.jet.astype(np.float64), events.constituents[:, :30].astype(np.float64)
    there = p[..., 0] > 0
    relative = np.stack(
        [p[..., 1] - jet[:, None, 1], delta_phi(p[..., 2], jet[:, None, 2]), p[..., 0] / jet[:, None, 0], there],
        axis=-1,
    )
    order = np.random.default_rng(2).permuted(np.tile(np.arange(30), (40, 1)), axis=1)
    relative = np.take_along_axis(relative * there[..., None], order[..., None], axis=1)
    return events, relative, tmp_path / "g.hdf5"


def write_jetnet(path: Path, particles: np.ndarray, jets: np.ndarray, second: str = "jet_features") -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("particle_features", data=particles, chunks=True, compression="lzf")
        file.create_dataset(second, data=jets)
    return str(path)


def jet_features(events) -> np.ndarray:
    return np.stack([*events.jet[:, :2].T, events.jet[:, 3], (events.constituents[..., 0] > 0).sum(axis=1)], axis=-1)


def test_jetnet(jetnet):
    events, particles, path = jetnet
    write_jetnet(path, particles, jet_features(events))
    found = JetNet().look(str(path))
    assert (found.entries, found.present, found.jet_radius) == (40, {"constituents"}, None)
    assert "hardest 30" in found.remarks[1]
    read = joined(JetNet(), path)
    np.testing.assert_array_equal(read["jet"][:, [0, 1, 3]], events.jet[:, [0, 1, 3]])
    np.testing.assert_allclose(read["constituents"][:, :30, :2], events.constituents[:, :30, :2], rtol=1e-3, atol=1e-5)
    phi = np.where(read["constituents"][:, :30, 0] > 0, events.constituents[:, :30, 2] - events.jet[:, None, 2], 0)
    np.testing.assert_allclose(delta_phi(read["constituents"][:, :30, 2], phi), 0, atol=1e-5)
    assert not read["constituents"][:, 30:].any()
    # the 30 hardest hold most of the jet
    share = sum_pt(read["constituents"]) / read["jet"][:, 0]
    assert share.min() > 0.8
    assert share.max() <= 1.001
    same(read, joined(JetNet(), path, rows=7))


def test_jetnet_bad_values(jetnet):
    events, particles, path = jetnet
    jets = jet_features(events)
    filled = int(np.argmax(particles[3, :, 3] > 0))
    particles[3, filled, 2], particles[5, 0, 0], jets[6, 0], jets[8, 2] = -0.1, np.nan, np.inf, -3
    (block,) = JetNet().blocks(write_jetnet(path, particles, jets), 100)
    bad = {name: np.flatnonzero(rows).tolist() for name, rows in block.damaged.items()}
    assert bad == {"particle_features": [3, 5], "jet_features": [6, 8]}


@pytest.fixture
def challenge(make_events, tmp_path):
    """Events in the layout of ADC2021, two of them without a jet."""
    events = make_events(50, 9)
    table = np.zeros((50, 19, 4))
    table[:, 0] = np.stack([events.met[:, 0], np.zeros(50), events.met[:, 1], np.ones(50)], axis=-1)
    for code, (first, objects) in {2: (1, events.electrons), 3: (5, events.muons), 4: (9, events.jets)}.items():
        rows = slice(first, first + objects.shape[1])
        table[:, rows, :3] = objects[..., :3]
        table[:, rows, 3] = np.where(objects[..., 0] > 0, code, 0)
    table[:2, 9:] = 0
    return events, table, tmp_path / "background.h5"


def write_challenge(path: Path, table: np.ndarray, **more) -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("Particles", data=table, compression="gzip", fletcher32=True)
        file["Particles_Classes"] = [b"MET_class_1", b"Four_Ele_class_2", b"Four_Mu_class_3", b"Ten_Jet_class_4"]
        file["Particles_Names"] = [b"Pt", b"Eta", b"Phi", b"Class"]
        for name, values in more.items():
            file[name] = values
    return str(path)


def test_adc2021(challenge):
    events, table, path = challenge
    write_challenge(path, table)
    assert ADC2021().look(str(path)).present == {"met", "electrons", "muons", "jets"}
    read = joined(ADC2021(), path)
    np.testing.assert_array_equal(read["met"], events.met)
    for name, mass in {"electrons": 0.000511, "muons": 0.10566}.items():
        expected = getattr(events, name)
        np.testing.assert_array_equal(read[name][:, :2, :3], expected[..., :3])
        np.testing.assert_allclose(read[name][:, :2, 3], mass * (expected[..., 0] > 0), rtol=1e-3)
    pt = -np.sort(-events.jets[..., 0], axis=1)
    np.testing.assert_array_equal(read["jets"][2:, :6, 0], pt[2:])
    np.testing.assert_array_equal(read["jet"], read["jets"][:, 0])
    assert not read["jet"][:2].any()
    assert read["constituents"].shape == (50, 0, 4)
    assert "event_id" not in read
    assert not read["Particles"].any()
    assert not read["Particles, class"].any()
    same(read, joined(ADC2021(), path, rows=7))


def test_adc2021_black_box_and_bad_values(challenge):
    _, table, path = challenge
    table[4, 2, 0], table[5, 0, 0], table[6, 9, 3] = np.nan, -1, 3
    write_challenge(path, table, EvtId=np.arange(50) + 10**12)
    read = joined(ADC2021(), path, rows=20)
    assert read["event_id"].tolist() == read["event"].tolist() == [10**12 + i for i in range(50)]
    assert np.flatnonzero(read["Particles"]).tolist() == [4, 5]
    assert np.flatnonzero(read["Particles, class"]).tolist() == [6]
    assert "event_id" in ADC2021().look(str(path)).present


def test_each_file_has_one_reader(olympics, jetnet, challenge, tmp_path):
    events, particles, path = jetnet
    tagging = tmp_path / "tagging.h5"
    columns = [f"{x}_{i}" for i in range(3) for x in ("E", "PX", "PY", "PZ")] + ["is_signal_new"]
    pd.DataFrame(np.ones((4, 13)), columns=columns).to_hdf(tagging, key="table", mode="w")
    files = {
        LHCOlympics: olympics[0],
        JetNet: write_jetnet(path, particles, jet_features(events)),
        ADC2021: write_challenge(challenge[2], challenge[1]),
        TopTagging: tagging,
    }
    for reader, file in files.items():
        found = contents(str(file))
        assert [other for other in READERS if other.recognises(found)] == [reader]


def test_what_is_wrong_is_named(olympics, jetnet, challenge, tmp_path):
    events, particles, _ = jetnet
    jets, (_, table, box) = jet_features(events), challenge
    odd = tmp_path / "odd.h5"
    pd.DataFrame(np.ones((3, 20))).to_hdf(odd, key="df", mode="w")
    pd.DataFrame(np.ones((3, 2))).to_hdf(odd, key="other", mode="a")
    cases = [
        (JetNet(), write_jetnet(tmp_path / "1", particles, jets, "jets"), "no dataset 'jet_features'; present: jets"),
        (JetNet(), write_jetnet(tmp_path / "2", particles[..., :3], jets), r"expected \(any, any, 4\)"),
        (JetNet(), write_jetnet(tmp_path / "3", particles, jets[:30]), "differ in length: 'particle_features' 40"),
        (JetNet(), write_jetnet(tmp_path / "4", particles.astype("S8"), jets), "holds .S8, not numbers"),
        (ADC2021(), write_challenge(box, table[:, :18]), r"expected \(any, 19, 4\)"),
        (LHCOlympics(), str(odd), "2 pandas tables .df, other.. Set 'key' to one"),
        (LHCOlympics(key="df"), str(odd), "has 20 columns"),
        (LHCOlympics(key="of"), str(odd), "no table 'of'; present: df, other"),
        (LHCOlympics(radius=-1), str(olympics[0]), "'radius' is positive"),
        (LHCOlympics(), str(tmp_path / "none.h5"), "no such file"),
    ]
    for reader, file, message in cases:
        with pytest.raises(InputError, match=message):
            list(reader.blocks(file, 10))


def test_files_without_rows(olympics, jetnet, challenge, tmp_path):
    events, particles, path = jetnet
    empty = tmp_path / "empty.h5"
    pd.DataFrame(olympics[1][:0]).to_hdf(empty, key="df", mode="w")
    with h5py.File(path, "w") as file:
        file["particle_features"], file["jet_features"] = particles[:0], jet_features(events)[:0]
    with h5py.File(challenge[2], "w") as file:
        file["Particles"] = challenge[1][:0]
    for reader, name in ((LHCOlympics(), empty), (JetNet(), path), (ADC2021(), challenge[2])):
        assert reader.look(str(name)).entries == 0
        assert list(reader.blocks(str(name), 10)) == []


def test_damaged_files(olympics, jetnet, challenge):
    events, particles, path = jetnet
    write_jetnet(path, particles, jet_features(events))
    write_challenge(challenge[2], challenge[1])
    rng, messages = np.random.default_rng(3), []
    for reader, file in ((LHCOlympics(), olympics[0]), (JetNet(), path), (ADC2021(), challenge[2])):
        whole = file.read_bytes()
        damaged = [whole[: int(size)] for size in np.linspace(0, len(whole) - 1, 12)]
        for place in rng.integers(0, min(len(whole), 4000), 40):
            damaged.append(whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :])
        for content in damaged:
            file.write_bytes(content)
            try:
                list(reader.blocks(str(file), 1000))
            except InputError as error:
                messages.append(str(error).startswith(str(file)))
    assert all(messages)
    assert len(messages) >= 36  # all that are cut, at the least
