"""The reader of Dark Machines files: physics of what is read, damaged lines, wrong units, and the real files."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import ROOT, planned

from hepad.config import preflight
from hepad.errors import InputError
from hepad.events import Events
from hepad.events.kinematics import to_cartesian
from hepad.representations import EventMatrix, build
from hepad.samples.sources import check_files, read

LINE = "7;ttbar;1;150000;0.5;j,300000,250000,0.5,1;"
KINDS = {"jets": ("j", "b"), "electrons": ("e-", "e+"), "muons": ("m-", "m+"), "photons": ("g",)}
REAL = {
    "background_chan1_7.79_reduced": 1000,
    "glgl1400_neutralino1100_chan1": 4096,
    "monojet_Zp2000.0_DM_50.0_chan1": 1130,
    "monotop_200_A_chan1": 1581,
}


def written(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def load(*files, selection="any", **options):
    source = {"files": list(map(str, files)), "reader": "DarkMachines", **options}
    return read(source, name="s", selection=selection, split=(0.6, 0.1, 0.3))


def entry(symbol, p):
    """A four-vector (pt, eta, phi, mass) [GeV] as it stands in a file."""
    energy = to_cartesian(p)[3]
    return f"{symbol},{1000 * energy:.6g},{1000 * p[0]:.6g},{p[1]:.6g},{p[2]:.6g};"


def write_events(path, events, seed):
    """Events as a file: some jets with a tag (returned), objects in arbitrary order, one number for all events."""
    rng = np.random.default_rng(seed)
    tags = ((rng.random(events.jets.shape[:2]) < 0.3) & (events.jets[..., 0] > 0)).astype(np.float32)
    lines = []
    for i in range(len(events)):
        objects = [entry("jb"[int(tags[i, k])], p) for k, p in enumerate(events.jets[i]) if p[0] > 0]
        for name in ("electrons", "muons", "photons"):
            objects += [entry(rng.choice(KINDS[name]), p) for p in getattr(events, name)[i] if p[0] > 0]
        met = f"{1000 * events.met[i, 0]:.6g};{events.met[i, 1]:.6g};"
        lines.append(f"90934;njets;{events.weight[i]:g};{met}{''.join(rng.permutation(objects))}")
    written(path, *lines)
    return tags


@pytest.fixture
def sample(make_events, tmp_path):
    """(events, tags, path)"""
    events, path = make_events(300, 4), tmp_path / "events.csv"
    return events, write_events(path, events, 4), str(path)


def test_what_was_written_is_read(sample):
    events, tags, path = sample
    check_files({"files": path, "reader": "DarkMachines"})
    found = load(path, rows=12)
    for name in KINDS:
        expected = getattr(events, name)
        there = expected[..., 0] > 0
        k = expected.shape[1]
        order = np.argsort(-expected[..., :1], axis=1, kind="stable")
        expected = np.take_along_axis(expected, order, axis=1)
        got = getattr(found, name)
        np.testing.assert_allclose(got[:, :k, :3], expected[..., :3], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal((got[..., 0] > 0).sum(1), there.sum(1))
        if name != "jets":
            np.testing.assert_allclose(got[:, :k, 3], expected[..., 3], rtol=1e-3)
    energy = to_cartesian(events.jets)[..., 3]
    order = np.argsort(-events.jets[..., 0], axis=1, kind="stable")
    np.testing.assert_array_equal(found.b_tag[:, :6], np.take_along_axis(tags, order, axis=1))
    # six digits of E, pt and eta: dm² < 2e-5 E²
    m2 = np.take_along_axis(events.jets[..., 3] ** 2, order, axis=1)
    e2 = np.take_along_axis(energy**2, order, axis=1)
    assert (np.abs(found.jets[:, :6, 3] ** 2 - m2) <= 3e-5 * e2 + 1e-3).all()
    np.testing.assert_array_equal(found.jet, found.jets[:, 0])
    np.testing.assert_allclose(found.met, events.met, rtol=1e-5, atol=1e-5)
    assert found.constituents.shape[1] == 0
    assert found.meta["counts"][path] == {
        "read": 300, "refused: no object": 0, "refused: E < p": 0, "kept": 300, "softest objects cut off": 0,
        "refused: repetition": 0,
    }  # fmt: skip


def test_blocks_order_and_line_ends_do_not_matter(sample, tmp_path):
    _, _, path = sample
    text = Path(path).read_text()
    whole = load(path)
    for rows in (1, 3, 40):
        part = load(path, rows=rows)
        for name in ("event_id", "jets", "b_tag", "met", "split"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
    other = tmp_path / "other.csv"
    other.write_bytes("\r\n".join(reversed(text.splitlines())).encode())
    turned = load(other)
    np.testing.assert_array_equal(turned.event_id[::-1], whole.event_id)
    np.testing.assert_array_equal(turned.split[::-1], whole.split)
    assert len(set(whole.event_id)) == 300
    np.testing.assert_allclose(np.bincount(whole.split) / 300, [0.6, 0.1, 0.3], atol=0.09)


def test_units(sample, tmp_path):
    _, _, path = sample
    rows = [line.split(";")[:-1] for line in Path(path).read_text().splitlines()]

    def smaller(value):
        return f"{float(value) / 1000:.6g}"

    lines = []
    for row in rows:
        objects = [o.split(",") for o in row[5:]]
        objects = [",".join([o[0], smaller(o[1]), smaller(o[2]), *o[3:]]) for o in objects]
        lines.append(";".join([*row[:3], smaller(row[3]), row[4], *objects]) + ";")
    in_gev = written(tmp_path / "gev.csv", *lines)
    np.testing.assert_allclose(load(in_gev, units="GeV").jets, load(path).jets, rtol=1e-5, atol=1e-3)
    for look in (load, lambda file, **o: check_files({"files": file, "reader": "DarkMachines", **o})):
        with pytest.raises(InputError, match=r"gev\.csv: .* This looks like GeV: set 'units: GeV'"):
            look(in_gev)
        with pytest.raises(InputError, match=r"events\.csv: .* This looks like MeV: set 'units: MeV'"):
            look(path, units="GeV")
    with pytest.raises(InputError, match="units 'TeV' is unknown"):
        load(path, units="TeV")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (LINE + "tau,30000,20000,0.1,0.2;", r"line 3: object 'tau' is unknown\. .*Allowed: b, e\+, e-, g, j, m\+, m-"),
        (LINE[:-6], r"line 3: does not end with ';': it is truncated"),
        ("7;ttbar;1;", "line 3: has 3 fields, fewer than eventID; processID; weight; MET; METphi: it is truncated"),
        ("", "line 3: does not end with ';'"),
        (LINE + "j,30000,20000,0.1;", "line 3: field 7 has 4 values instead of obj,E,pt,eta,phi"),
        (LINE + "j,30000,20000,0.1,0.2,9;", "line 3: field 7 has 6 values"),
        (LINE.replace(";1;", ";1,2;"), "line 3: field 3 has 2 values instead of one, weight"),
        (LINE.replace("150000", "1x"), "line 3: '1x' is not a number"),
        (LINE + "j,30000,20000,0.1,;", "line 3: '' is not a number"),
        (LINE.replace("250000", "nan"), "line 3: pt = nan is not finite"),
        (LINE.replace("0.5;j", "inf;j"), "line 3: METphi = inf is not finite"),
        (LINE.replace("250000", "-250000"), "line 3: pt = -250000 is not positive"),
        (LINE.replace("250000", "0"), "line 3: pt = 0 is not positive"),
        (LINE.replace("300000", "-300000"), "line 3: E = -300000 is negative"),
        (LINE.replace("150000", "-1"), "line 3: MET = -1 is negative"),
        (LINE.replace(";1;", ";-0.5;"), r"line 3: weight = -0\.5 is negative, which is not supported"),
        (LINE.replace("0.5,1;", "0.5,57;"), "line 3: phi = 57 is not an angle in radians"),
    ],
)
@pytest.mark.parametrize("rows", [1, 1000])
def test_bad_lines_are_named(tmp_path, bad, message, rows):
    path = written(tmp_path / "bad.csv", LINE, LINE.replace("250000", "251000"), bad, LINE)
    with pytest.raises(InputError, match=r"bad\.csv, " + message):
        load(path, rows=rows)


def test_a_file_cut_anywhere_inside_a_line_is_refused(tmp_path):
    whole = f"{LINE}\n{LINE.replace('250000', '251000')}j,40000,30000,-0.25,-1;\n"
    start = len(LINE) + 1
    for length in range(start + 1, len(whole) - 2):
        complete = whole[:length].endswith(";") and whole[start:length].count(";") >= 5
        if complete:
            continue  # ends after an object: a shorter event, not to be told from a whole one
        path = tmp_path / "cut.csv"
        path.write_text(whole[:length])
        with pytest.raises(InputError, match=r"cut\.csv, line 2: .*truncated"):
            load(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"empty\.csv: the file is empty"):
        load(written(tmp_path / "empty.csv"))
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "binary.csv").write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(InputError, match=r"binary\.csv: neither ROOT, HDF5, Parquet nor text"):
        load(tmp_path / "binary.csv")


def test_what_is_refused_is_counted(tmp_path):
    lepton = "3;w;1;60000;1;m+,30000,29000,0.1,-1;e-,40000,39000,0.2,2;"
    lines = [
        LINE,
        "8;njets;1;150000;0.5;",
        LINE.replace("300000", "281800"),  # p = 281.9 GeV: 4e-4 above E
        lepton,
        LINE.replace("250000", "90000"),
        LINE.replace("7;", "8;"),
    ]
    path, copy = written(tmp_path / "a.csv", *lines), written(tmp_path / "b.csv", LINE, LINE.replace("0.5,1", "0.6,1"))
    events = load(path, copy, rows=1)
    assert len(events) == 4
    assert events.meta["counts"][path] == {
        "read": 6, "refused: no object": 1, "refused: E < p": 1, "kept": 3, "softest objects cut off": 0,
        "refused: repetition": 1,
    }  # fmt: skip
    assert events.meta["counts"][copy]["refused: repetition"] == 1
    assert events.meta["counts"][copy]["kept"] == 1
    assert events.jet[1].tolist() == [0, 0, 0, 0]  # 'any' keeps leptons without a jet
    np.testing.assert_allclose(events.muons[1, 0, 3], 0.1056584, rtol=1e-6)
    window = load(path, selection={"pt": [200, 300], "abs_eta": 2.0})
    assert window.jet[:, 0].tolist() == [250]
    assert window.meta["counts"][path]["refused: pt"] == 2
    with pytest.raises(InputError, match=r"nothing passes .*refused: pt 4.*median jet pt is 250 GeV"):
        load(path, selection={"pt": [400, 500], "abs_eta": 2.0})


def test_rounding_below_the_light_cone_is_no_reason_to_refuse(tmp_path):
    p = 250000 * np.cosh(0.5)
    path = written(tmp_path / "a.csv", LINE.replace("300000", f"{p * (1 - 2e-5):.6g}"))
    assert load(path).jet[0, 3] == 0


def test_the_softest_jets_are_cut_off_and_counted(tmp_path):
    jets = "".join(f"{'jb'[i % 2]},{90 + i}000,{20 + i}000,1,0.{i};" for i in range(23))
    path = written(tmp_path / "a.csv", f"1;njets;1;150000;0.5;{jets}")
    events = load(path)
    assert events.jets[0, :, 0].tolist() == list(range(42, 22, -1))
    assert events.b_tag[0].tolist() == [0, 1] * 10
    assert events.meta["counts"][path]["softest objects cut off"] == 3


@pytest.mark.slow
def test_the_shipped_configuration(make_events, tmp_path, monkeypatch):
    """It is admitted, and its models descend from background training data alone."""
    path = ROOT / "config" / "dark_machines.yaml"
    config = yaml.safe_load(path.read_text())
    directory = tmp_path / "run"
    count = {
        name: 700 if name == "background" else 60 for name in config["samples"]
    }  # its p-values need fifty to be made
    for seed, (name, entry) in enumerate(config["samples"].items()):
        (file,) = entry["source"]["files"]
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        write_events(directory / file, make_events(count[name], seed), seed)
    jobs = planned(directory, path, "--forceall")
    made = {output: job for job in jobs for output in job.outputs}
    models = [output for output in made if output.startswith("results/models/") and output.endswith("/1.safetensors")]
    assert len(models) == len(config["tasks"]["channel1"]["detectors"])
    for model in models:
        seen = config["detectors"][model.split("/")[-2]]["representation"]
        data = {name for name in made[model].inputs if name.endswith(".h5")}
        assert data == {f"results/features/{seen}/background.train.h5"}
    monkeypatch.chdir(directory)
    for name, entry in config["samples"].items():
        preflight.admit_sample(config, name)
        events = read(entry["source"], name=name, selection=entry["selection"], split=entry["split"])
        shapes = {kind: build(entry)(events).shape for kind, entry in config["representations"].items()}
        assert shapes == {"matrix": (count[name], 1, 20, 4), "vector": (count[name], 11)}


@pytest.fixture(scope="module")
def real():
    if "HEPAD_DATA" not in os.environ:
        pytest.skip("HEPAD_DATA is not set")
    folder = Path(os.environ["HEPAD_DATA"]) / "darkmachines"
    return {name: folder / f"{name}.csv" for name in REAL}


def test_the_public_files(real, tmp_path):
    """Counts of lines, the selection of channel 1, unique identifiers, and a round trip through HDF5."""
    for name, path in real.items():
        check_files({"files": str(path), "reader": "DarkMachines"})
        events = load(path)
        assert len(events) == REAL[name]
        assert len(set(events.event_id)) == len(events)
        # of the challenge: MET ≥ 200, one jet above 200, four above 50 [GeV]; six digits of rounding
        assert events.met[:, 0].min() > 199.99
        assert (events.jet[:, 0] > 200).all()
        assert ((events.jets[..., 0] > 50).sum(axis=1) >= 4).all()
        mass = events.jets[..., 3][events.jets[..., 0] > 0]
        assert 5 < np.median(mass) < 30
        events.write(tmp_path / "events.h5")
        again = Events.read(tmp_path / "events.h5")
        x = EventMatrix()(again)
        assert x.isfinite().all()
        np.testing.assert_array_equal(x, EventMatrix()(events))


def test_against_an_independent_reading(real):
    """Line by line with plain Python: jets, tags, MET and weights of every event of the largest file."""
    path = real["glgl1400_neutralino1100_chan1"]
    events = load(path)
    for i, line in enumerate(path.read_text().splitlines()):
        fields = line.strip(";").split(";")
        objects = [o.split(",") for o in fields[5:]]
        jets = sorted(((float(o[2]) / 1000, o[0] == "b", float(o[3])) for o in objects if o[0] in "jb"), reverse=True)
        jets = jets[:20]
        np.testing.assert_allclose(events.jets[i, : len(jets), 0], [j[0] for j in jets], rtol=1e-6)
        np.testing.assert_allclose(events.jets[i, : len(jets), 1], [j[2] for j in jets], rtol=1e-6)
        assert events.b_tag[i, : len(jets)].tolist() == [j[1] for j in jets]
        assert events.jets[i, len(jets) :].max(initial=0) == 0
        assert events.weight[i] == float(fields[2])
        assert events.met[i, 0] == pytest.approx(float(fields[3]) / 1000, rel=1e-6)
        assert (events.photons[i, :, 0] > 0).sum() == sum(o[0] == "g" for o in objects)


def test_a_hundred_thousand_lines_take_seconds(tmp_path):
    rng = np.random.default_rng(0)
    pt = rng.uniform(20_000, 900_000, (2000, 7))
    lines = ["1;njets;1;250000;0.5;" + "".join(f"j,{4 * p:.6g},{p:.6g},1.2,0.3;" for p in row) for row in pt]
    path = tmp_path / "many.csv"
    path.write_text(("\n".join(lines) + "\n") * 10)
    start = time.process_time()
    events = load(path)
    assert time.process_time() - start < 4, "20,000 lines"
    assert len(events) == 2000
