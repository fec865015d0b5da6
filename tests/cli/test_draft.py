"""Foreign ntuples of several habits of naming: the mapping that ``hepad inspect`` drafts, pasted, gives their jets."""

import awkward as ak
import h5py
import numpy as np
import pytest
import yaml
from dialects import write_hdf5, write_ntuple, write_parquet, write_tree

from hepad.cli.main import main
from hepad.events.kinematics import to_cartesian
from hepad.samples.sources import read

SETTINGS = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}
N = 60


def jagged(events, values):
    there = events.constituents[..., 0] > 0
    return ak.unflatten(np.ascontiguousarray(values[there]), there.sum(axis=1))


def polar(events, pattern, *, scale=1.0, names=("pt", "eta", "phi"), lists=jagged):
    scales = dict(zip(names, (scale, 1, 1, scale), strict=False))
    return {pattern.format(x): lists(events, events.constituents[..., i] * scales[x]) for i, x in enumerate(names)}


def cartesian(events, pattern, *, scale=1.0, names=("px", "py", "pz", "E"), lists=jagged):
    p = to_cartesian(events.constituents) * (events.constituents[..., :1] > 0) * scale
    return {pattern.format(x): lists(events, p[..., i]) for i, x in enumerate(names)}


def jets(events, pattern, *, scale=1.0, names=("pt", "eta", "phi", "mass")):
    return {pattern.format(x): events.jet[:, i] * (scale if i in (0, 3) else 1) for i, x in enumerate(names)}


def padded(events, values):
    return values


def nan_padded(events, values):
    return np.where(events.constituents[..., 0] > 0, values, np.nan)


def relative(events):
    """As ParticleNet and weaver write them, beside the jet."""
    p, jet = events.constituents, events.jet[:, None]
    return jets(events, "fj_{}") | {
        "pfcand_ptrel": jagged(events, p[..., 0] / jet[..., 0]),
        "pfcand_etarel": jagged(events, p[..., 1] - jet[..., 1]),
        "pfcand_phirel": jagged(events, (p[..., 2] - jet[..., 2] + np.pi) % (2 * np.pi) - np.pi),
        "fj_label_QCD": np.ones(N, np.int32), "fj_nparticles": np.ones(N, np.int32),
    }  # fmt: skip


def logarithmic(events):
    with np.errstate(divide="ignore"):
        log = np.log(events.constituents[..., 0])
    found = polar(events, "part_{}")
    return {"part_pt_log": jagged(events, log)} | {x: found[x] for x in ("part_eta", "part_phi")}


def nested(events):
    """Two jets an entry, the softer one first."""
    lists = {
        f"PFC_{x}": ak.Array([[soft * f, hard] for soft, hard in zip(values[::2], values[1::2], strict=True)])
        for (x, values), f in zip(polar(events, "{}").items(), (0.5, 1, 1), strict=True)
    }
    of_jets = {f"AK8_{x}": ak.Array(values.reshape(N // 2, 2).astype(np.float64)).to_list()
               for x, values in jets(events, "{}").items()}  # fmt: skip
    for x in ("pt", "mass"):
        of_jets[f"AK8_{x}"] = [[soft * 0.5, hard] for soft, hard in of_jets[f"AK8_{x}"]]
    return {x: ak.values_astype(ak.Array(v), np.float32) for x, v in (lists | of_jets).items()}


def hardest_of_nested(events):
    pt = events.jet[:, 0].reshape(N // 2, 2)
    return pt[:, 1]


NTUPLES = {
    "weaver": (".root", relative, write_tree, "GeV"),
    "fj_pt, part_pt": (".root", lambda e: jets(e, "fj_{}") | polar(e, "part_{}") | {"weight": e.weight},
                       write_tree, "GeV"),
    "jet_constit_px": (".root", lambda e: jets(e, "jet_{}", scale=1e3) | cartesian(e, "jet_constit_{}", scale=1e3),
                       write_tree, "MeV"),
    "PF.pt": (".root", lambda e: polar(e, "PF.{}"), write_tree, "GeV"),
    "logarithms": (".root", logarithmic, write_tree, "GeV"),
    "no mass, PFCand_PT": (".root", lambda e: jets(e, "jet{}", names=("Pt", "Eta", "Phi"))
                           | polar(e, "PFCand{}", names=("PT", "Eta", "Phi")), write_tree, "GeV"),
    "pt_jet": (".root", lambda e: jets(e, "{}_jet", names=("pt", "eta", "phi", "m"))
               | polar(e, "{}_constituents"), write_tree, "GeV"),
    "generator's, too": (".root", lambda e: jets(e, "gen_jet_{}", scale=0.9) | jets(e, "jet_{}")
                         | polar(e, "gen_part_{}", scale=0.9) | polar(e, "cand_{}"), write_tree, "GeV"),
    "tracks, too": (".root", lambda e: jets(e, "jet_{}") | polar(e, "a_track_{}", scale=0.6)
                    | polar(e, "particle_{}"), write_tree, "GeV"),
    "parquet, px": (".parquet", lambda e: cartesian(e, "particle_{}", names=("px", "py", "pz", "energy")),
                    write_parquet, "GeV"),
    "parquet, MeV": (".parquet", lambda e: jets(e, "jet_{}", scale=1e3, names=("pt", "eta", "phi", "m"))
                     | polar(e, "jet_clus_{}", scale=1e3), write_parquet, "MeV"),
    "parquet, no energy": (".parquet", lambda e: {x: v for x, v in cartesian(e, "tower_{}").items() if x[-1] != "E"},
                           write_parquet, "GeV"),
    "ATLAS": (".h5", lambda e: jets(e, "fjet_{}", scale=1e3, names=("pt", "eta", "phi", "m"))
              | polar(e, "fjet_clus_{}", scale=1e3, lists=padded)
              | {"fjet_clus_taste": 0 * e.constituents[..., 0], "weights": e.weight}, write_hdf5, "MeV"),
    "nan": (".h5", lambda e: polar(e, "{}", lists=nan_padded), write_hdf5, "GeV"),
    "E": (".h5", lambda e: jets(e, "J{}", names=("pt", "eta", "phi", "mass")) | cartesian(e, "P{}", lists=padded,
          names=("x", "y", "z", "E")) | {"labels": np.ones(N)}, write_hdf5, "GeV"),
}  # fmt: skip


def drafted(capsys, path) -> tuple[str, dict]:
    """What is printed, and the source in it."""
    with pytest.raises(SystemExit, match=r"which no reader takes"):
        main(["inspect", str(path)])
    text = capsys.readouterr().out
    return text, yaml.safe_load("source:" + text.split("source:", 1)[1])["source"]


@pytest.mark.parametrize("name", NTUPLES)
def test_a_pasted_mapping_gives_the_jets(name, make_events, tmp_path, capsys):
    suffix, columns, write, units = NTUPLES[name]
    events = make_events(N, 3)
    columns, path = columns(events), tmp_path / f"mine{suffix}"
    write(path, columns)
    text, source = drafted(capsys, path)
    assert source.get("units", "GeV") == units
    assert all(branch in text for branch in columns)
    if name == "no mass, PFCand_PT":
        assert "jet_pt" not in source["branches"]
    found = read(source, **SETTINGS)
    tolerance = 2e-3 if {"eta", "pt"} & {x[-3:] for x in columns} or "no energy" in name else 1e-4
    np.testing.assert_allclose(np.sort(found.jet[:, 0]), np.sort(events.jet[:, 0]), rtol=tolerance)
    np.testing.assert_array_equal(
        np.sort((found.constituents[..., 0] > 0).sum(axis=1)), np.sort((events.constituents[..., 0] > 0).sum(axis=1))
    )
    assert f"median pT of {np.median(found.jet[:, 0]):.4g} GeV" in text


def test_nested_jets_give_the_hardest(make_events, tmp_path, capsys):
    events = make_events(N, 3)
    write_ntuple(tmp_path / "nested.root", nested(events), "Jets")
    _, source = drafted(capsys, tmp_path / "nested.root")
    assert source["tree"] == "Jets"
    found = read(source, **SETTINGS)
    np.testing.assert_allclose(np.sort(found.jet[:, 0]), np.sort(hardest_of_nested(events)), rtol=1e-4)


def test_trees_in_directories_and_the_largest_is_drafted(make_events, tmp_path, capsys):
    import uproot

    events = make_events(N, 3)
    with uproot.recreate(tmp_path / "two.root") as file:
        for name, columns in {"meta/info": {"x": np.ones(3)}, "jets/nominal": polar(events, "cand_{}")}.items():
            file.mktree(name, {x: v.type.content if isinstance(v, ak.Array) else v.dtype for x, v in columns.items()})
            file[name].extend(columns)
    text, source = drafted(capsys, tmp_path / "two.root")
    assert source["tree"] == "jets/nominal"
    assert "jets/nominal (60 entries, " in text
    assert "meta/info (3 entries, 1 branches)" in text
    np.testing.assert_allclose(np.sort(read(source, **SETTINGS).jet[:, 0]), np.sort(events.jet[:, 0]), rtol=2e-3)


def test_groups_of_datasets(make_events, tmp_path, capsys):
    events = make_events(N, 3)
    with h5py.File(tmp_path / "grouped.h5", "w") as file:
        for name, values in polar(events, "consts/part_{}", lists=padded).items():
            file[name] = values
    _, source = drafted(capsys, tmp_path / "grouped.h5")
    np.testing.assert_allclose(np.sort(read(source, **SETTINGS).jet[:, 0]), np.sort(events.jet[:, 0]), rtol=2e-3)


def test_medians_of_candidates_are_told_in_both_units(make_events, tmp_path, capsys):
    events = make_events(N, 3)
    write_tree(tmp_path / "mev.root", jets(events, "fj_{}", scale=1e3) | polar(events, "part_{}", scale=1e3))
    text, _ = drafted(capsys, tmp_path / "mev.root")
    (line,) = (line for line in text.splitlines() if line.strip().startswith("fj_pt ") and "MeV" in line)
    median = np.median(events.jet[:, 0])
    assert line.endswith(f"value {1e3 * median:.4g} GeV, {median:.4g} GeV if it is in MeV")


def test_what_cannot_be_guessed_is_marked(tmp_path, capsys):
    write_tree(tmp_path / "flat.root", {"lead_pt": np.full(5, 40.0), "x": np.ones(5)})
    text, source = drafted(capsys, tmp_path / "flat.root")
    assert {"constituent_pt", "constituent_eta", "constituent_phi"} <= {
        name for name, text in source["branches"].items() if text == "FILL_IN"
    }
    assert "lead_pt" in text
    assert "value 40 GeV" in text


def test_leptons_are_not_what_jets_are_made_of(make_events, tmp_path, capsys):
    """Although the leading one sums to the leading one, in whatever file."""
    events = make_events(N, 3)
    leptons = polar(events, "good_leptons_{}", lists=lambda e, x: ak.from_regular(x[:, :1]))
    first = {f"lep0_{x}": events.constituents[:, 0, i] for i, x in enumerate(("pt", "eta", "phi", "mass"))}
    write_tree(tmp_path / "a.root", leptons | first | polar(events, "cand_{}") | jets(events, "fatjet_{}"))
    _, source = drafted(capsys, tmp_path / "a.root")
    assert source["branches"]["jet_pt"] == "fatjet_pt"
    assert source["branches"]["constituent_pt"] == "cand_pt"
    write_tree(tmp_path / "b.root", leptons | first)
    _, source = drafted(capsys, tmp_path / "b.root")
    assert source["branches"]["constituent_pt"] == "FILL_IN"


def test_branches_that_cannot_be_read_do_not_hide_the_others(make_events, tmp_path, capsys):
    events = make_events(N, 3)
    with h5py.File(tmp_path / "mixed.h5", "w") as file:
        for name, values in polar(events, "part_{}", lists=padded).items():
            file[name] = values
        file["jet_pt"] = ["a"] * N
        file["other_eta"] = np.ones(7)
    text, source = drafted(capsys, tmp_path / "mixed.h5")
    assert "other_eta" in text
    np.testing.assert_allclose(np.sort(read(source, **SETTINGS).jet[:, 0]), np.sort(events.jet[:, 0]), rtol=2e-3)
