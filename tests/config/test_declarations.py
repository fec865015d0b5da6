"""What a configuration says of rates, menus, budgets, beams and pile-up is refused before the first job, by name."""

import copy
import math

import pytest
import yaml
from command_line import ROOT, snakemake
from schema import validate
from test_validation import admit
from toy_run import toy_run, written

from hepad.config import declarations, plain_yaml
from hepad.errors import InputError
from hepad.samples.readers.base import Found
from hepad.samples.simulation import cards

PROCESS = {"kind": "cross_section", "luminosity": 2e34}
MENU = "Index,Name,2p0E34\n0,L1_A,1\n1,L1_B,4\n2,L1_AXO_Tight,1\n3,L1_OFF,0\n"
FACTS = {"cross_section_pb": 1.0, "acceptance": 0.5}


@pytest.fixture(scope="module")
def toy(make_events, tmp_path_factory):
    """Two samples of files without trigger bits, 'one' the background."""
    return toy_run(make_events, tmp_path_factory.mktemp("toy"), 10, (60, 60))


@pytest.fixture
def config(toy, tmp_path, monkeypatch):
    """The samples, and a menu where the run is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "menu.csv").write_text(MENU)
    return copy.deepcopy(toy)


@pytest.fixture
def generated():
    return yaml.safe_load((ROOT / "config" / "test.yaml").read_text())


def looked(config, meta=None, **triggers) -> None:
    """What the start does when the files of the samples say ``meta`` and have these trigger bits."""
    config = copy.deepcopy(config)
    validate(config)
    declarations.check(config)
    looks = {
        name: {f"samples.{name}.source": [Found(60, frozenset(), tuple(bits), meta=meta or {})]}
        for name, bits in triggers.items()
    }
    declarations.check_samples(config, ROOT, looks)


def message(config, start=admit, **files) -> str:
    with pytest.raises(InputError) as caught:
        start(config, **files)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


# the rate of 'one', and words of the message
RATES = {
    "kind": ({"kind": "zero-bias"}, ["samples.one.rate", "'zero-bias'", "Did you mean 'zero_bias'?"]),
    "kind in another case": ({"kind": "Cross_section"}, ["samples.one.rate", "Did you mean 'cross_section'?"]),
    "no kind": ({"bunches": 2544, "kind": ""}, ["samples.one.rate", "kind ''", "zero_bias"]),
    "empty": ({}, ["samples.one.rate", "nothing is in it"]),
    "key": (PROCESS | {"lumi": 2e34}, ["samples.one.rate", "'lumi'", "luminosity"]),
    "key of the other kind": ({"kind": "zero_bias", "acceptance": 1}, ["samples.one.rate", "'acceptance'", "bunches"]),
    "no luminosity": ({"kind": "cross_section"} | FACTS, ["samples.one.rate", "luminosity missing"]),
    "text": (PROCESS | {"luminosity": "2e34"}, ["samples.one.rate", "luminosity: '2e34'", "write 2.0e+34"]),
    "text with a point": (PROCESS | {"luminosity": "2.0e34"}, ["luminosity: '2.0e34'", "write 2.0e+34"]),
    "quoted": (PROCESS | {"cross_section_pb": "3.5"}, ["samples.one.rate: cross_section_pb", "leave the quotes out"]),
    "negative": (PROCESS | {"luminosity": -2e34}, ["samples.one.rate.luminosity", "-2e+34", "above 0"]),
    "zero": (PROCESS | {"cross_section_pb": 0}, ["samples.one.rate.cross_section_pb", "0 must be", "above 0"]),
    "NaN": (PROCESS | {"luminosity": math.nan}, ["samples.one.rate.luminosity", "nan"]),
    "infinite": (PROCESS | {"luminosity": math.inf}, ["samples.one.rate.luminosity", "inf"]),
    "true": (PROCESS | {"luminosity": True}, ["samples.one.rate: luminosity", "True"]),
    "list": (PROCESS | {"luminosity": [2e34]}, ["samples.one.rate: luminosity", "[2e+34]"]),
    "acceptance": (PROCESS | {"acceptance": 1.5}, ["samples.one.rate.acceptance", "1.5", "at most 1"]),
    "bunches": ({"kind": "zero_bias", "bunches": 4000}, ["samples.one.rate.bunches", "4000", "at most 3564"]),
    "half of a ratio": (
        {"kind": "zero_bias", "luminosity": 2e34},
        ["samples.one.rate", "luminosity and sample_luminosity", "both or neither"],
    ),
}


@pytest.mark.parametrize("name", RATES)
def test_a_rate_is_refused_by_its_key(config, name):
    config["samples"]["one"]["rate"], words = RATES[name]
    text = message(config)
    assert [word for word in words if word not in text] == [], text


def test_a_cross_section_is_looked_for_in_the_files(config):
    config["samples"]["one"]["rate"] = dict(PROCESS)
    admit(config)  # hepad's own files know theirs
    text = message(config, looked, one=())
    assert "samples.one.rate: cross_section_pb, acceptance missing" in text
    looked(config, meta=FACTS, one=())
    config["samples"]["one"]["rate"] |= FACTS
    looked(config, one=())


def test_a_kind_that_the_generation_denies_is_refused(generated):
    generated["samples"]["qcd"]["rate"] = {"kind": "zero_bias"}
    text = message(generated)
    assert "samples.qcd.rate: kind 'zero_bias' does not fit" in text
    assert "kind: cross_section" in text
    generated["samples"]["qcd"]["rate"] = {"luminosity": 2e34}
    admit(generated)


@pytest.mark.parametrize(
    ("rate", "budgets", "words"),
    [
        ({"kind": "zero_bias"}, [30_000], ["30000 kHz", "all bunch crossings", "28608.8 kHz"]),
        (PROCESS | FACTS | {"cross_section_pb": 1e12}, [50_000], ["50000 kHz", "all bunch crossings", "28608.8 kHz"]),
        (
            {"kind": "zero_bias", "luminosity": 1.0, "sample_luminosity": 4.0},
            [8000],
            ["8000 kHz", "'one'", "7152.2 kHz"],
        ),
        # 1 pb x 2e34 x 0.5 = 0.01 Hz
        (
            PROCESS | FACTS,
            [0.15],
            ["evaluation.rates_khz", "0.15 kHz", "all of 'one'", "1e-05 kHz", "samples.one.rate"],
        ),
    ],
)
def test_a_budget_above_the_whole_rate_is_refused(config, rate, budgets, words):
    config["samples"]["one"]["rate"] = dict(rate)
    config["evaluation"]["rates_khz"] = budgets
    text = message(config)
    assert [word for word in words if word not in text] == [], text


EVALUATION = {
    "all of the background": ({"eps_b": [1]}, ["evaluation.eps_b.0", "1"]),
    "all of the signal": ({"eps_s": [0.5, 1.0]}, ["evaluation.eps_s.1"]),
    "working point": ({"working_point": 1.0}, ["evaluation.working_point", "1.0"]),
    "no number": ({"eps_b": [math.nan]}, ["evaluation.eps_b.0", "nan", "finite"]),
    "infinite budget": ({"rates_khz": [math.inf]}, ["evaluation.rates_khz.0", "inf", "finite"]),
    "text": ({"eps_b": ["1e-4"]}, ["evaluation.eps_b.0", "'1e-4'", "It is text to YAML; write 1.0e-4."]),
    "text with an exponent": ({"rates_khz": ["1e3"]}, ["evaluation.rates_khz.0", "write 1.0e+3"]),
    "twice": ({"eps_b": [0.1, 0.10]}, ["evaluation.eps_b", "non-unique"]),
    "budget twice": ({"rates_khz": [1, 1.0]}, ["evaluation.rates_khz", "non-unique"]),
    "contamination": ({"contamination": [1.0]}, ["evaluation.contamination.0"]),
    "supervised": ({"supervised": "vektor"}, ["evaluation.supervised", "'vektor'", "Did you mean 'vector'?"]),
    "key": ({"eps": [0.1]}, ["evaluation: key 'eps'", "eps_b"]),
}


@pytest.mark.parametrize("name", EVALUATION)
def test_what_the_evaluation_asks_for_is_refused_by_its_key(config, name):
    change, words = EVALUATION[name]
    config["evaluation"] |= change
    text = message(config)
    assert [word for word in words if word not in text] == [], text


MENUS = {
    "no such file": ({"table": "none.csv", "column": "2p0E34"}, ["none.csv", "not readable as a prescale table"]),
    "column": ({"table": "menu.csv", "column": "2p0E33"}, ["menu.csv: column '2p0E33'", "Did you mean '2p0E34'?"]),
    "no column": ({"table": "menu.csv"}, ["samples.one.menu", "'table' and 'column'"]),
    "column alone": ({"column": "2p0E34"}, ["samples.one.menu", "'table' and 'column'"]),
    "both": ({"table": "menu.csv", "column": "2p0E34", "bits": ["L1_*"]}, ["samples.one.menu", "or 'bits'"]),
    "neither": ({"budget": "pure"}, ["samples.one.menu", "or 'bits'"]),
    "nothing": ({}, ["samples.one.menu: nothing is in it"]),
    "key": ({"tabel": "menu.csv", "column": "2p0E34"}, ["samples.one.menu: key 'tabel'", "Did you mean 'table'?"]),
    "budget": ({"bits": ["L1_*"], "budget": "pur"}, ["samples.one.menu.budget", "'pur'", "'pure'"]),
    "no bits in the file": ({"bits": ["L1_*"]}, ["samples.one.menu.bits: 'L1_*'", "trigger bits of 'one'"]),
    "no seed in the file": ({"table": "menu.csv", "column": "2p0E34"}, ["samples.one.menu", "none of the 3 seeds"]),
}


@pytest.mark.parametrize("name", MENUS)
def test_a_menu_is_refused_by_its_key(config, name):
    config["samples"]["one"]["menu"], words = MENUS[name]
    text = message(config)
    assert [word for word in words if word not in text] == [], text


BITS = {"one": ("L1_A", "L1_B", "L1_C"), "two": ("L1_A", "L1_C")}


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        ({"bits": ["L1_*", "HLT_*"]}, ["menu.bits: 'HLT_*' matches none", "There are 3: L1_A, L1_B, L1_C."]),
        ({"bits": ["L1_a"]}, ["menu.bits: 'L1_a'", "Did you mean 'L1_A'?"]),
        ({"bits": ["L1_B"]}, ["sample 'two'", "none of the 1 seeds that are on"]),
        ({"bits": ["L1_*"], "without": ["L1_AXO_*"]}, ["menu.without: 'L1_AXO_*' matches none of the seeds"]),
        ({"bits": ["L1_*"], "without": ["L1_*"]}, ["sample 'one'", "none of the 0 seeds"]),
        ({"table": "menu.csv", "column": "2p0E34", "without": ["L1_AXOL*"]}, ["'L1_AXOL*'", "There are 4: L1_A"]),
    ],
)
def test_patterns_and_seeds_must_be_in_the_files(config, menu, words):
    config["samples"]["one"]["menu"] = menu
    text = message(config, looked, **BITS)
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize(
    "menu",
    [
        {"bits": ["L1_?"], "without": ["L1_C"]},
        {"table": "menu.csv", "column": "2p0E34", "without": ["L1_AXO_*"], "budget": "total"},
    ],
)
def test_a_menu_that_fits_is_admitted(config, menu):
    config["samples"]["one"] |= {"menu": menu, "rate": {"kind": "zero_bias"}}
    looked(config, **BITS)


def test_generated_events_have_no_bits_for_a_menu(generated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "menu.csv").write_text(MENU)
    generated["samples"]["qcd"]["menu"] = {"table": "menu.csv", "column": "2p0E34"}
    assert "samples.qcd.menu: sample 'qcd': " in message(generated)


@pytest.mark.parametrize(
    ("text", "tev"),
    [
        ("", 14),
        ("Beams:eCM = 13600.  ! GeV\n", 13.6),
        ("beams:ecm 13000\n", 13),
        ("! Beams:eCM = 8000.\n# Beams:eCM = 8000.\nBeams:eCM=7000\n", 7),
        ("Beams:eCM = 13000.\nBeams:eCM = 5020.\n", 5.02),
        ("/*\nBeams:eCM = 900.\n*/\n", 14),
        ("Beams:frameType = 2\nBeams:eA = 6500\nBeams:eB = 6500\nBeams:eCM = 100\n", 13),
        ("Beams:frameType = 4\n", None),
        ("Beams:eCM = fast\n", None),
    ],
)
def test_the_energy_of_a_card(tmp_path, text, tev):
    (tmp_path / "a.cmnd").write_text(text)
    found = cards.sqrt_s_tev(tmp_path / "a.cmnd")
    assert found == (tev if tev is None else pytest.approx(tev))


def test_the_energy_of_the_beams_is_that_of_the_figures_and_of_all_samples(generated, tmp_path):
    def card(name: str, energy: str) -> str:
        text = (
            (ROOT / "config/cards" / f"{name}.cmnd").read_text().replace("Beams:eCM = 14000.", f"Beams:eCM = {energy}")
        )
        (tmp_path / f"{name}.cmnd").write_text(text)
        return str(tmp_path / f"{name}.cmnd")

    generated["samples"]["qcd"]["source"]["card"] = card("qcd", "13000.")
    text = message(generated)
    for word in ("tasks.qcd", "'qcd' have 13 TeV", "'top' 14 TeV", "tasks.qcd.any_window: true"):
        assert word in text
    generated["samples"]["top"]["source"]["card"] = card("top", "13000.")
    admit(generated)
    generated["style"] = {"sqrt_s_tev": 14}
    text = message(generated)
    for word in ("style.sqrt_s_tev", "14 TeV", "'qcd' have 13 TeV", "Leave the key out"):
        assert word in text
    generated["style"] = {"sqrt_s_tev": 13}
    admit(generated)
    generated["style"] = {"sqrt_s_tev": None}
    admit(generated)
    generated["samples"]["top"]["source"]["pileup"] = {
        "card": "config/cards/minimum_bias.cmnd",
        "mean": 20,
        "pool": 100,
    }
    assert "samples.top.source.pileup.card: its collisions have 14 TeV" in message(generated)


def test_the_energy_of_files_is_that_of_the_figures(config):
    config["style"] = {"sqrt_s_tev": 13.6}
    assert "the collisions of 'one' have 14 TeV" in message(config)


PILEUP = {"card": "config/cards/minimum_bias.cmnd", "mean": 20, "pool": 100}
SOURCES = {
    "range": ({"pileup": {"card": "config/cards/minimum_bias.cmnd", "mean": [80, 20], "pool": 100}}, "mean [80, 20]"),
    "text": ({"pileup": {"card": "config/cards/minimum_bias.cmnd", "mean": ["a"], "pool": 100}}, "pileup.mean"),
    "card of the pile-up": ({"pileup": {"card": "none.cmnd", "mean": 20, "pool": 100}}, "file 'none.cmnd' is neither"),
    "crossings with pile-up": (
        {
            "pileup": {"card": "config/cards/minimum_bias.cmnd", "mean": 20, "pool": 9},
            "zero_bias": {"mean": 2, "pool": 9},
        },
        "leave out 'pileup'",
    ),
    "crossings with jets": ({"zero_bias": {"mean": 20, "pool": 100}}, "set 'level1: true'"),
    "first level in a window": ({"level1": True, "leading": 1}, "selection 'any'"),
    "a profile of no pile-up": (
        {"pileup_profile": 50},
        "samples.qcd.source.pileup_profile: the events have no pile-up",
    ),
    "a profile beyond the sample's": ({"pileup": PILEUP, "pileup_profile": 60}, "of the wanted pile-up"),
    "a profile and the crossing before": (
        {"pileup": PILEUP | {"out_of_time": 0.1}, "pileup_profile": 20},
        "of 'out_of_time', has the profile of the generation",
    ),
    "a profile that is not there": ({"pileup": PILEUP, "pileup_profile": "none.txt"}, "file 'none.txt' is neither"),
    "NaN": ({"matching": {"particle": 6, "radius": math.nan}}, "matching.radius: nan is no finite number"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_generation_that_means_nothing_is_refused(generated, name):
    change, words = SOURCES[name]
    generated["samples"]["qcd"]["source"] |= change
    text = message(generated)
    assert "samples.qcd" in text
    assert words in text


def test_a_contamination_that_the_signal_cannot_supply_is_refused(generated):
    generated["evaluation"]["contamination"] = [0.1, 0.5]
    text = message(generated)
    for word in ("evaluation.contamination", "0.5 of the 1120", "'qcd'", "400 of 'top'", "samples.top.source.jets"):
        assert word in text


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ({"colors": {"QCD": "blu"}}, ["'blu' of 'QCD' is no colour"]),
        ({"colors": {"qdc": "blue"}}, ["style.colors", "'qdc'"]),
        ({"sqrt_s_tev": 0}, ["style.sqrt_s_tev"]),
        ({"sqrt_s_tev": "13"}, ["style.sqrt_s_tev", "leave the quotes out"]),
    ],
)
def test_a_style_is_refused_by_its_key(generated, style, words):
    generated["style"] = style
    text = message(generated)
    assert [word for word in words if word not in text] == [], text


def test_numbers_of_configurations_are_those_of_yaml_1_2(tmp_path):
    text = "a: [2e34, 1E-4, +3e2, .5e1, 2., '2e34', e3, 1e, 0x1e3, L1e4]\nb: &b {c: 1e3}\nd: {<<: *b, 'e': \"1e3\"}\n"
    (tmp_path / "c.yaml").write_text(text)
    read = plain_yaml.load(tmp_path / "c.yaml")
    assert read["a"] == [2e34, 1e-4, 300.0, 5.0, 2.0, "2e34", "e3", "1e", 0x1E3, "L1e4"]
    as_snakemake_has_it = yaml.safe_load(text)
    assert as_snakemake_has_it["a"][0] == "2e34"
    assert plain_yaml.with_numbers(as_snakemake_has_it, read) == read
    assert read["d"] == {"c": 1000.0, "e": "1e3"}
    assert plain_yaml.with_numbers({"a": [1], "x": "1e3"}, read) == {"a": [1], "x": "1e3"}


@pytest.mark.slow
def test_the_example_of_the_reference_is_admitted_by_a_dry_run(config, tmp_path):
    config["samples"]["one"]["rate"] = dict(PROCESS)
    path = written(config, tmp_path)
    path.write_text(path.read_text().replace("luminosity: 2.0e+34", "luminosity: 2e34"))
    assert "luminosity: 2e34" in path.read_text()
    result = snakemake(tmp_path / "run", path, "--dry-run")
    assert result.returncode == 0, result.stdout
    path.write_text(path.read_text().replace("luminosity: 2e34", "luminosity: '2e34'"))
    result = snakemake(tmp_path / "run", path, "--dry-run")
    assert result.returncode != 0
    assert "ERROR: samples.one.rate: luminosity: '2e34'" in result.stdout
    assert "Traceback" not in result.stdout
