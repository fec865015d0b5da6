"""Files of others, in tables and mappings: each gives the value that an independent read gives, or a message that says
what to do. Made-up ones hold 60 jets, of 1165 constituents."""

import os
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepad.errors import InputError
from hepad.samples.sources import check_files, read

FOLDER = Path(os.environ.get("HEPAD_DATA", "")) / "foreign"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="HEPAD_DATA has no folder 'foreign'")
POLAR = ("pt", "eta", "phi")


def load(*names, **source):
    files = [str(FOLDER / name) for name in names]
    return read({"files": files} | source, name="s", selection="any", split=(0.6, 0.1, 0.3))


def particles(pattern: str) -> dict[str, str]:
    """Branches of the constituents, ``x`` in the pattern standing for pt, eta and phi."""
    return {f"constituent_{x}": pattern.replace("x", x) for x in POLAR}


def is_the_sample(events, constituents: int = 1165) -> None:
    """The 60 jets that the files were made of."""
    assert len(events) == 60
    np.testing.assert_allclose(events.jet[:2, 0], [499.590, 344.395], rtol=1e-5)
    assert (events.constituents[..., 0] > 0).sum() == constituents


def test_the_hardest_of_nested_jets():
    events = load("nested_first_is_soft.root", branches=particles("cx"))
    np.testing.assert_allclose(events.jet[:4, 0], [500, 502, 504, 506], rtol=1e-5)
    with uproot.open(FOLDER / "nested_first_is_soft.root") as file:
        pt, phi = (file["Events"][name].array().to_list() for name in ("cpt", "cphi"))
    sums = [
        [abs(sum(a * np.exp(1j * b) for a, b in zip(*of_jet, strict=True))) for of_jet in zip(*of_event, strict=True)]
        for of_event in zip(pt, phi, strict=True)
    ]
    np.testing.assert_allclose(events.jet[:, 0], [max(of_event) for of_event in sums], rtol=1e-5)


def test_columns_of_awkward_extension_types():
    is_the_sample(load("jetclass_awkward2.4.parquet"))


def test_big_endian_arrays():
    is_the_sample(load("big_endian_f4.h5", branches=particles("x")))


def test_bool_columns_as_triggers_and_cuts():
    options = {"branches": particles("part_x") | {"trigger_A": "HLT_A", "weight": "w"}}
    events = load("bool_trigger.parquet", **options)
    is_the_sample(events)
    assert events.triggers.sum() == 30
    kept = load("bool_trigger.parquet", cuts=["HLT_A"], **options)
    assert len(kept) == 30
    assert kept.triggers.all()


def test_events_without_constituents():
    pt = "hypot(Jet_Px, Jet_Py)"
    branches = {
        "jets_pt": pt, "jets_eta": f"arcsinh(Jet_Pz / {pt})", "jets_phi": "arctan2(Jet_Py, Jet_Px)",
        "jets_energy": "Jet_E", "met_pt": "hypot(MET_px, MET_py)", "met_phi": "arctan2(MET_py, MET_px)",
        "weight": "EventWeight",
    }  # fmt: skip
    events = load("mapped_without_constituents_HZZ.root", branches=branches)
    assert len(events) == 2421
    assert events.weight.sum() == pytest.approx(16.9225, abs=1e-4)
    np.testing.assert_allclose(events.jet[events.jet[:, 0] > 0, 0][:3], [43.66, 117.88, 75.33], atol=0.01)
    assert events.meta["present"] == ["jets", "met", "weight"]
    with uproot.open(FOLDER / "mapped_without_constituents_HZZ.root") as file:
        px, py = (file["events"][name].array().to_list() for name in ("Jet_Px", "Jet_Py"))
    hardest = [max(map(np.hypot, *of_event), default=0) for of_event in zip(px, py, strict=True)]
    np.testing.assert_allclose(events.jet[:, 0], hardest, rtol=1e-5)


def test_three_axes_are_told_and_sliced():
    names = ("constituent_px", "constituent_py", "constituent_pz", "constituent_energy")
    with pytest.raises(InputError, match=r"cube_hls4ml\.h5: .* has three axes.*'jetConstituentList\[:, :, 0\]'"):
        load("cube_hls4ml.h5", branches=dict.fromkeys(names, "jetConstituentList"))
    branches = {name: f"jetConstituentList[:, :, {i}]" for i, name in enumerate(names)}
    is_the_sample(load("cube_hls4ml.h5", branches=branches))
    with pytest.raises(InputError, match=r"'jets', read as 'weight', has 59 numbers per entry.*'jets\[:, 0\]'"):
        load("cube_hls4ml.h5", branches=branches | {"weight": "jets"})


def test_pandas_tables_with_data_columns():
    is_the_sample(load("top_data_columns.h5"), constituents=1024)  # 20 of each jet were written


@pytest.mark.parametrize("names", [("mixed_no_genweight.root", "ok_nano_v9.root")])
def test_files_with_and_without_weights(names):
    both = r"differ in whether they have weights: .*with: \S*ok_nano_v9\.root.*'unit_weights: true'"
    for order in (names, names[::-1]):
        with pytest.raises(InputError, match=both) as error:
            load(*order)
        assert "without: " in str(error.value)
        events = load(*order, unit_weights=True)
        assert (events.weight == 1).all()
        assert len(events) == 90
        assert sorted(events.facts) == ["event", "luminosity_block", "n_pv", "pileup", "run"]
        assert np.isnan(events.facts["n_pv"]).sum() == 30


def test_the_remedy_for_padding_with_nan_works():
    with pytest.raises(InputError, match=r"message_nan_padding\.h5: 'pt' .* in 60 of 60 .*where\(pt > 0, pt, 0\)"):
        load("message_nan_padding.h5", branches=particles("x"))
    is_the_sample(load("message_nan_padding.h5", branches=particles("x") | {"constituent_pt": "where(pt > 0, pt, 0)"}))
    is_the_sample(load("message_nan_padding.h5", branches=particles("where(pt > 0, x, 0)")))


def test_tables_that_need_a_mapping():
    """They are named as what they are; with branches that are there they can be looked at."""
    for name in ("message_plain.parquet", "message_jets.csv"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            check_files({"files": str(FOLDER / name)})
    (found,) = check_files(
        {
            "files": str(FOLDER / "message_plain.parquet"), "reader": "Mapped",
            "branches": {"jet_pt": "lead_pt", "jet_eta": "eta1", "jet_phi": "0 * eta1", "jet_mass": "0 * eta1"},
        }
    ).values()  # fmt: skip
    assert found.entries == 10_000
    with pytest.raises(InputError, match=r"message_jets\.csv: a text file has no branches|CSV"):
        check_files({"files": str(FOLDER / "message_jets.csv"), "branches": {"jet_pt": "pt"}})
