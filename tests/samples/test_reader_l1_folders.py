"""The CMS Level-1 set in folders: as its makers write them, one file for each of CMS's, and as it is published, cut by
size, each folder differently; and the decisions of the menu that lie beside the set in rows."""

import os
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dialects import write_trees

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.samples.formats.contents import contents
from hepad.samples.readers import READERS
from hepad.samples.readers.cms_l1 import L1Anomaly
from hepad.samples.readers.l1_ntuple import L1Ntuple
from hepad.samples.sources import check_files, read

N = 50


@pytest.fixture
def folders() -> dict[str, dict]:
    """Columns by folder of 50 events in the types of the converter's files: a list of one around all but the score."""
    rng = np.random.default_rng(6)

    def objects(most, limits):
        count = rng.integers(0, most + 1, N)
        return {x: ak.unflatten(rng.integers(low, high, count.sum()).astype(np.int16), count)
                for x, (low, high) in limits.items()}  # fmt: skip

    def sums(*names):
        return {x: ak.unflatten(rng.integers(0, 140, N).astype(np.int16), 1) for x in names}

    info = {"run": np.full(N, 398183, np.uint32), "lumi": np.full(N, 9, np.uint32), "bx": np.arange(N, dtype=np.uint32)}
    info |= {"event": 2**60 + np.arange(N, dtype=np.uint64), "orbit": np.arange(N, dtype=np.uint64)}
    info |= {"nPV_True": rng.uniform(20, 60, N).astype(np.float32)}
    bits = {name: rng.random(N) < 0.4 for name in ("L1_SingleMu22", "L1_HTT360er")}
    bits["L1bit"] = bits["L1_SingleMu22"] | bits["L1_HTT360er"]
    found = {
        "jets": objects(12, {"jetIEt": (1, 900), "jetIEta": (-115, 116), "jetIPhi": (0, 144), "jetHwQual": (0, 2)}),
        "egammas": objects(12, {"egIEt": (1, 511), "egIEta": (-57, 58), "egIPhi": (0, 144)}),
        "muons": objects(8, {"muonIEt": (1, 511), "muonIEtaAtVtx": (-225, 226), "muonIPhiAtVtx": (0, 576)}),
        "taus": objects(12, {"tauIEt": (1, 511), "tauIEta": (-57, 58), "tauIPhi": (0, 144)}),
        "ET": sums("Et", "ETTEM"), "HT": sums("Et"), "MET": sums("Et", "phi"),
        "event_info": {name: ak.singletons(ak.Array(x)) for name, x in info.items()},
        "seeds": {name: ak.singletons(ak.Array(x)) for name, x in bits.items()},
        "cica": {"CICADAScore": (rng.integers(0, 2**16, N) / 256).astype(np.float32)},
    }  # fmt: skip
    energy = ak.to_list(found["ET"]["Et"])
    energy[11] = [4095]
    found["ET"]["Et"] = ak.values_astype(ak.Array(energy), np.int16)
    return found


def write(root: Path, folders: dict, cuts: dict[str, list[int]], names=None) -> list[str]:
    """The files of event_info; ``cuts``: of a folder at these rows, and of all others at those of ''."""
    for folder, columns in folders.items():
        ends = [0, *cuts.get(folder, cuts[""]), N]
        (root / folder).mkdir(parents=True)
        for i, (low, high) in enumerate(pairwise(ends)):
            name = names[i] if names else f"{i:05d}"
            part = {x: values[low:high] for x, values in columns.items()}
            if folder == "event_info" and "split" in columns:
                arrays = {x: ak.to_arrow(v, extensionarray=False) if isinstance(v, ak.Array) else pa.array(v)
                          for x, v in part.items()}  # fmt: skip
                pq.write_table(pa.table(arrays), root / folder / f"{name}.parquet")
            else:
                ak.to_parquet(ak.Array(part), root / folder / f"{name}.parquet", compression="snappy")
    return [str(path) for path in sorted((root / "event_info").glob("*.parquet"))]


def joined(reader: L1Anomaly, paths: list[str], rows: int = 1000) -> dict[str, np.ndarray]:
    blocks = [block for path in paths for block in reader.blocks(path, rows)]
    groups = [b.columns | b.facts | b.triggers | ({} if b.split is None else {"split": b.split}) for b in blocks]
    return {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}


def check(read: dict, folders: dict) -> None:
    """All that is read is of the same event, one by one and in GeV."""
    assert read["event"].tolist() == [2**60 + i for i in range(N)]
    np.testing.assert_array_equal(read["cicada"], folders["cica"]["CICADAScore"])
    np.testing.assert_array_equal(read["pileup"], ak.flatten(folders["event_info"]["nPV_True"]))
    for i in range(N):
        jets = sorted((0.5 * x for x in folders["jets"]["jetIEt"][i]), reverse=True)
        muons = sorted((0.5 * (x - 1) for x in folders["muons"]["muonIEt"][i] if x > 1), reverse=True)
        assert read["jets"][i, : len(jets), 0].tolist() == jets
        assert read["muons"][i, : len(muons), 0].tolist() == muons
        assert (read["muons"][i, :, 0] > 0).sum() == len(muons)
        assert sorted(np.round(read["electrons"][i, :, 1] / 0.0435)[read["electrons"][i, :, 0] > 0]) == sorted(
            folders["egammas"]["egIEta"][i]
        )
        taus = sorted((0.5 * x for x in folders["taus"]["tauIEt"][i]), reverse=True)
        assert read["taus"][i, :, 0].tolist() == taus + [0] * (12 - len(taus))
        assert read["met"][i, 0] == 0.5 * folders["MET"]["Et"][i, 0]
        assert np.cos(read["met"][i, 1]) == pytest.approx(
            np.cos(2 * np.pi * folders["MET"]["phi"][i, 0] / 144), abs=1e-6
        )
    for name in read.keys() & folders["seeds"].keys():
        np.testing.assert_array_equal(read[name], ak.flatten(folders["seeds"][name]))


@pytest.mark.parametrize("rows", [1000, 7])
def test_a_file_for_each_of_cms(tmp_path, folders, rows):
    paths = write(tmp_path, folders, {"": [10, 31]}, ["L1Ntuple_1", "L1Ntuple_10", "L1Ntuple_2"])
    found = [L1Anomaly().look(path) for path in paths]
    assert [look.entries for look in found] == [10, 21, 19]
    assert found[0].triggers == ("L1bit",)
    assert found[0].facts == {"run", "luminosity_block", "event", "pileup", "cicada"}
    assert "taus" in found[0].present
    read = joined(L1Anomaly(triggers=("L1*",), saturated=True), paths, rows)
    assert read.keys() >= {"L1bit", "L1_SingleMu22", "L1_HTT360er"}
    check(read, folders)
    one = joined(L1Anomaly(saturated=True), paths[1:2], rows)
    np.testing.assert_array_equal(one["jets"], read["jets"][10:31])


@pytest.mark.parametrize("rows", [1000, 7])
def test_folders_that_are_cut_differently(tmp_path, folders, rows):
    cuts = {"": [], "event_info": [20, 41], "jets": [3, 5, 33], "seeds": [20, 30], "cica": [49]}
    folders["event_info"] |= {"split": np.array(["train"] * 20 + ["valid"] * 30), "order": np.arange(N)}
    folders["event_info"]["order"][[4, 44]] = -1
    paths = write(tmp_path / "zerobias", folders, cuts)
    read = joined(L1Anomaly(triggers=("L1*",), saturated=True), paths, rows)
    check(read, folders)
    assert [SPLITS[i] for i in read["split"]] == ["train"] * 20 + ["valid"] * 30
    assert L1Anomaly().look(paths[0]).official_split
    assert "split" not in joined(L1Anomaly(use_split=False), paths)
    kept = [i for i in range(N) if i not in (4, 44)]
    np.testing.assert_array_equal(joined(L1Anomaly(), paths, rows)["met"], read["met"][kept])


def test_one_event_is_the_same_in_all_forms(tmp_path, folders):
    """In folders, in rows, and in the ntuple that both are made from."""
    names = ("jets", "egammas", "muons", "taus", "ET", "MET")
    rows = {f"{name}_{x}": v for name in names for x, v in folders[name].items()}
    rows |= {**folders["event_info"], "CICADAScore": folders["cica"]["CICADAScore"]}
    ak.to_parquet(ak.Array(rows), tmp_path / "rows.parquet")
    tree, found = "l1UpgradeTree/L1UpgradeTree", {}
    for name, prefix in (("jets", "jet"), ("egammas", "eg"), ("muons", "muon"), ("taus", "tau")):
        found |= {f"{tree}:{x}": v for x, v in folders[name].items()}
        found[f"{tree}:{prefix}Bx"] = ak.zeros_like(next(iter(folders[name].values())))
    kinds = np.tile(np.array([0, 2], np.int16), (N, 1))
    total, missing, phi = (ak.from_regular(x) for x in (folders["ET"]["Et"], *folders["MET"].values()))
    energies, angles = ak.concatenate([total, missing], axis=1), ak.concatenate([phi * 0, phi], axis=1)
    found |= {f"{tree}:sumIEt": energies, f"{tree}:sumIPhi": angles, f"{tree}:sumType": ak.from_regular(kinds)}
    found[f"{tree}:sumBx"] = ak.from_regular(np.zeros((N, 2), np.float32))
    info = {x: ak.to_numpy(ak.flatten(v)) for x, v in folders["event_info"].items()}
    found |= {f"l1EventTree/L1EventTree:{x}": v for x, v in info.items()}
    found["l1CaloSummaryTree/L1CaloSummaryTree:CICADAScore"] = folders["cica"]["CICADAScore"]
    write_trees(tmp_path / "ntuple.root", found)
    one = joined(L1Anomaly(triggers=()), write(tmp_path / "set", folders, {"": [20], "muons": []}))
    assert len(one["run"]) == N - 1
    assert (one["taus"][..., 0] > 0).any()
    for reader, name in ((L1Anomaly(triggers=()), "rows.parquet"), (L1Ntuple(), "ntuple.root")):
        other = joined(reader, [str(tmp_path / name)])
        assert other.keys() == one.keys()
        for column, values in one.items():
            np.testing.assert_array_equal(other[column], values)


def test_without_an_order_the_total_energy_says_what_is_saturated(tmp_path, folders):
    paths = write(tmp_path / "a", folders, {"": []})
    (block,) = L1Anomaly().blocks(paths[0], 100)
    assert block.refused == {"saturated": 1}
    assert 11 not in block.entry
    del folders["ET"]
    paths = write(tmp_path / "b", folders, {"": []})
    assert len(joined(L1Anomaly(), paths)["run"]) == N


def test_whatever_the_files_are_called(tmp_path, folders):
    """Brackets and dots in names, another suffix, a path with a step back."""
    paths = write(tmp_path / "a[1]", folders, {"": [25], "jets": [7]})
    for path in sorted((tmp_path / "a[1]").glob("*/*.parquet")):
        path.rename(path.with_name(f".x[{path.stem}].pq"))
    names = [str(Path(path).with_name(f".x[{Path(path).stem}].pq")) for path in paths]
    stepped = [name.replace("a[1]/", "a[1]/jets/../") for name in names]
    check(joined(L1Anomaly(saturated=True), stepped), folders)


def test_without_scores_and_seeds(tmp_path, folders):
    left = {name: x for name, x in folders.items() if name not in ("cica", "seeds", "taus", "HT")}
    paths = write(tmp_path, left, {"": [25]})
    found = L1Anomaly().look(paths[1])
    assert found.triggers == ()
    assert found.facts == {"run", "luminosity_block", "event", "pileup"}
    assert found.present == {"jets", "electrons", "muons", "met", "event_id", "pileup"}
    assert "taus" not in joined(L1Anomaly(), paths)
    with pytest.raises(InputError, match=r"00001\.parquet: triggers: no bit is called L1_\*"):
        L1Anomaly(triggers=("L1_*",)).look(paths[1])


def test_recognised_and_checked_before_a_run(tmp_path, folders):
    paths = write(tmp_path, folders, {"": [25], "jets": []})
    for path in paths:
        assert [name for name, cls in READERS.items() if cls.recognises(contents(path))] == ["L1Anomaly"]
    source = {"files": str(tmp_path / "event_info" / "*.parquet"), "triggers": ["L1*"]}
    assert [look.entries for look in check_files(source).values()] == [25, 25]
    events = read(source, name="zb", selection="any", split=(0.5, 0.2, 0.3))
    assert len(events) == N - 1
    np.testing.assert_array_equal(events.facts["cicada"], np.delete(folders["cica"]["CICADAScore"], 11))


def test_another_folder_is_told_from_that_of_the_events(tmp_path, folders):
    write(tmp_path, folders, {"": []})
    for name in ("jets", "taus", "seeds", "cica"):
        with pytest.raises(InputError, match=rf"{name}.*without the events' numbers. Give the files of '.*event_info'"):
            check_files({"files": [str(tmp_path / name / "00000.parquet")]})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda root: [path.unlink() for path in (root / "muons").iterdir()], "there are no files in .*/muons. Each"),
        (lambda root: (root / "jets" / "00001.parquet").unlink(),
         r"jets: 25 rows in 1 files, but .*event_info has 50 in 2: row i is to be the same event in both"),
        (lambda root: pq.write_table(pa.table({"egIEt": [[1]] * 25}), root / "egammas" / "00000.parquet"),
         r"egammas/00000.parquet: missing columns: egIEta, egIPhi; present: egIEt"),
        (lambda root: pq.write_table(pa.table({"Et": [1.0] * 25, "phi": [[1]] * 25}), root / "MET" / "00000.parquet"),
         r"MET/00000.parquet: column 'Et' holds number per row, expected numbers"),
        (lambda root: pq.write_table(pa.table({"L1bit": [[True, False]] * 25}), root / "seeds" / "00000.parquet"),
         r"event_info/00000.parquet: 'L1bit' has 2 numbers in row 0, not one"),
        (lambda root: pq.write_table(pa.table({"tauIEt": [[1]] * 25}), root / "taus" / "00000.parquet"),
         r"taus/00000.parquet: missing columns: tauIEta, tauIPhi; present: tauIEt"),
        (lambda root: (root / "cica" / "00000.parquet").write_bytes(b"PAR1" + b"x" * 99), r"cica/00000.parquet: not a"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, folders, edit, message):
    paths = write(tmp_path, folders, {"": [25]})
    edit(tmp_path)
    with pytest.raises(InputError, match=message):
        joined(L1Anomaly(), paths)


def test_damage_in_the_middle_of_a_folder_is_named(tmp_path, folders):
    paths = write(tmp_path, folders, {"": [25]})
    path = tmp_path / "jets" / "00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(255 - x for x in whole[4:60]) + whole[60:])
    with pytest.raises(InputError, match=r"jets/00001\.parquet"):
        joined(L1Anomaly(), paths)


def test_a_folder_that_changes_while_it_is_read_is_named(tmp_path, folders):
    paths = write(tmp_path, folders, {"": [25]})
    L1Anomaly().look(paths[0])
    time = (tmp_path / "jets").stat()
    ak.to_parquet(ak.Array({x: v[25:40] for x, v in folders["jets"].items()}), tmp_path / "jets" / "00001.parquet")
    os.utime(tmp_path / "jets", ns=(time.st_atime_ns, time.st_mtime_ns))
    with pytest.raises(InputError, match=r"jets/00001\.parquet: it has changed since its folder was looked at"):
        joined(L1Anomaly(), paths)


def test_decisions_beside_a_set_in_rows(tmp_path, folders):
    """As the mirror at Hugging Face: the columns of all folders in one file, the seeds in others, cut differently."""
    rows = {f"{name}_{x}": v for name in ("jets", "egammas", "muons", "ET", "MET") for x, v in folders[name].items()}
    rows |= {**folders["event_info"], "L1bit": folders["seeds"]["L1bit"]}
    seeds = folders["seeds"]
    (tmp_path / "seeds").mkdir()
    for folder, columns, ends in (("", rows, (0, 20, 50)), ("seeds", seeds, (0, 15, 33, 50))):
        for i, (low, high) in enumerate(pairwise(ends)):
            path = tmp_path / folder / f"train-{i:05d}-of-{len(ends) - 1:05d}.parquet"
            ak.to_parquet(ak.Array({x: v[low:high] for x, v in columns.items()}), path)
            ak.to_parquet(
                ak.Array({x: v[:1] for x, v in columns.items()}), tmp_path / folder / "test-00000-of-00001.parquet"
            )
    paths = sorted(str(path) for path in tmp_path.glob("train-*"))
    assert L1Anomaly().look(paths[1]).triggers == ("L1bit",)
    reader = L1Anomaly(triggers=("L1*",), saturated=True)
    assert reader.look(paths[1]).triggers == ("L1_HTT360er", "L1_SingleMu22", "L1bit")
    read = joined(reader, paths, 8)
    for name in ("L1bit", "L1_SingleMu22", "L1_HTT360er"):
        np.testing.assert_array_equal(read[name], ak.flatten(seeds[name]))
    (tmp_path / "seeds" / "train-00002-of-00003.parquet").unlink()
    with pytest.raises(InputError, match=r"seeds: 33 rows in 2 files, but .* has 50 in 2"):
        reader.look(paths[0])
    assert len(joined(L1Anomaly(saturated=True), paths)["run"]) == N  # whose bit is in the rows
