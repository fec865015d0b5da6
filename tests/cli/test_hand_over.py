"""Exports out of a finished run: its background is found, and its menu is checked against it."""

import csv
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from hepad.cli.main import main
from hepad.config.results import background_features
from hepad.evaluation.scores import read_scores
from hepad.events import Events
from hepad.representations import EventVector
from hepad.representations.features import Features
from hepad.samples.root_output import write_root
from hepad.storage.files import write_json
from hepad.trigger.export.inference import about
from hepad.trigger.rate_tables import digests, rates

MENU = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<tmxsd:menu xmlns:tmxsd="http://www.cern.ch/tmxsd/1.0.0"><name>L1Menu_test</name>{}</tmxsd:menu>
"""
ALGORITHM = """
  <algorithm>
    <name>{name}</name>
    <expression>AXO[AXO-MODEL_{model},AXO-SCORE_{cut}]</expression>
    <index>1</index>
    <cut><name>AXO-MODEL_{model}</name><object>AXO</object><type>MODEL</type><minimum>+0.0000000000000000E+00</minimum>
      <maximum>+0.0000000000000000E+00</maximum><data>{model}</data></cut>
    <cut><name>AXO-SCORE_{cut}</name><object>AXO</object><type>SCORE</type><minimum>{value:+.16E}</minimum>
      <maximum>+0.0000000000000000E+00</maximum><data/></cut>
    <object_requirement><name>AXO</name><type>AXO</type><comparison_operator>.ge.</comparison_operator>
      <threshold>+0.0000000000000000E+00</threshold><bx_offset>0</bx_offset></object_requirement>
  </algorithm>"""
OTHER = """
  <algorithm><name>L1_SingleMu3</name><expression>MU3</expression>
    <cut><name>MU-QLTY_SNGL</name><object>MU</object><type>QLTY</type><minimum>+0.0E+00</minimum>
      <maximum>+0.0E+00</maximum><data>12,13</data></cut></algorithm>"""

NESTED = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
BOMB = f'<!DOCTYPE m [<!ENTITY e0 "laughter">{NESTED}]><m>&e9;</m>'  # eight gigabytes of text


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A copy of the finished run with the features and the rates of its background."""
    folder = tmp_path_factory.mktemp("run") / "results"
    shutil.copytree(finished, folder)
    events = Events.read(folder / "events/qcd.h5")
    Features.of(EventVector(("mass", "girth")), events).write(folder / "features/vector/qcd.test.h5")
    scores, _ = read_scores(folder / "scores/search/qcd.h5")
    of_models = digests(sorted((folder / "models/search").glob("*/*.safetensors")))
    records = rates({"qcd": [(events, {key: scores[key] for key in scores})]}, None, [0.1, 0.03], models=of_models)
    write_json(folder / "rates/search.json", records)
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "heavy.onnx"
    model, table = run / "models/search/heavy/1.safetensors", run / "rates/search.json"
    main(["export", str(model), "--to", str(path), "--rates", str(table)])
    return path


def test_the_events_are_the_test_background_of_the_run(run, exported):
    model, path = run / "models/search/heavy/1.safetensors", run / "features/vector/qcd.test.h5"
    assert background_features(model) == path
    assert background_features("1.safetensors") is None
    assert background_features(run / "models/search/none/1.safetensors") is None
    with open(exported.with_suffix(".vectors.csv"), newline="") as file:
        file.readline()
        rows = list(csv.DictReader(file))
    own = np.array([[row["mass"], row["girth"]] for row in rows if row["kind"] == "background"], np.float32)
    assert {tuple(event) for event in own.tolist()} <= {tuple(event) for event in Features.read(path).x.tolist()}
    assert len(own) == 300
    assert {f"{side} eps_b_{e}" for side in ("above", "below") for e in (0.1, 0.03)} <= {row["kind"] for row in rows}
    copy = shutil.copytree(run, exported.parent / "bare")
    (copy / "features/vector/qcd.test.h5").unlink()
    assert background_features(copy / "models/search/heavy/1.safetensors") is None


def status(*arguments):
    """The exit status, or the message."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


verify = partial(status, "verify")


def test_files_of_scores_are_compared_whatever_their_format(run, make_events, tmp_path, capsys):
    """Of events with and without numbers of their own."""
    events = make_events(60, 4)
    numbers = {name: np.arange(60, dtype=np.int64) + 5 for name in ("run", "luminosity_block", "event")}
    for facts, key in ((numbers, "run, luminosity_block, event"), ({}, "event_id")):
        write_root(replace(events, facts=facts), tmp_path / "in.root")
        for ending in ("root", "parquet", "h5"):
            (tmp_path / f"out.{ending}").unlink(missing_ok=True)
            to = ("--results", run, "--to", tmp_path / f"out.{ending}")
            assert status("score", tmp_path / "in.root", "--task", "search", *to) == 0
        files = [tmp_path / f"out.{ending}" for ending in ("root", "parquet", "h5")]
        assert "which column has the scores (score_heavy_1, score_heavy_2, score_wide_1)" in status(
            "compare", *files[:2]
        )
        capsys.readouterr()
        for other in files[1:]:
            assert status("compare", files[0], other, "--score", "score_wide_1", "--rtol", 0) == 0
            assert f"events by {key}: 60 in both" in capsys.readouterr().out
        rates = ("--rates", run / "rates/search.json")
        assert status("compare", *files[:2], "--score", "score_heavy_1", "score_wide_1", *rates) == 3
        assert "threshold eps_b_0.03 (> " in capsys.readouterr().out


def test_thresholds_are_those_of_the_rates(run, exported, tmp_path, capsys):
    table = run / "rates/search.json"
    assert verify(exported, "--rates", table) == 0
    assert capsys.readouterr().out.count("rates: equal") == 2
    text = table.read_text()
    (value,) = [value for name, value in about(exported)["given"].items() if name == "eps_b_0.1"]
    changed = tmp_path / "search.json"
    changed.write_text(text.replace(repr(value), repr(float(np.nextafter(value, np.inf)))))
    assert changed.read_text() != text
    assert verify(exported, "--rates", changed) == 3  # one bit
    assert f"rates: DIFFERENT: {float(np.nextafter(value, np.inf))!r}" in capsys.readouterr().out
    digest = digests([run / "models/search/heavy/1.safetensors"])["heavy/1"]
    changed.write_text(text.replace(digest, "0" * 64))
    assert f"made with other models: none of its 3 trainings has the hash of the exported one, {digest}" in verify(
        exported, "--rates", changed
    )


@pytest.fixture
def menu(exported, tmp_path):
    """A function that writes a menu of seeds {name: (threshold, model)} and what stands in its way."""

    def write(seeds, name="menu.xml"):
        algorithms = [
            ALGORITHM.format(name=seed, value=value, model=model, cut=seed.rpartition("_")[2])
            for seed, (value, model) in seeds.items()
        ]
        path = tmp_path / name
        path.write_text(MENU.format("".join([OTHER, *algorithms])))
        return path

    return write


def test_seeds_of_a_menu_have_the_thresholds(exported, menu, capsys):
    loose, tight = (about(exported)["thresholds"][name] for name in ("eps_b_0.1", "eps_b_0.03"))
    pairs = ["--seed", "L1_AD_Loose=eps_b_0.1", "--seed", "L1_AD_Tight=eps_b_0.03"]
    seeds = {"L1_AD_Loose": (loose, "v1"), "L1_AD_Tight": (tight, "v1"), "L1_AD_VTight": (tight, "v1")}
    assert verify(exported, "--menu", menu(seeds), *pairs) == 0
    said = capsys.readouterr().out
    assert said.count("; equal") == 2
    assert "not compared, of the same model: L1_AD_VTight" in said
    assert verify(exported, "--menu", menu(seeds | {"L1_AD_Tight": (loose, "v1")}), *pairs) == 3
    assert f"DIFFERENT: {tight!r} is expected" in capsys.readouterr().out
    assert verify(exported, "--menu", menu(seeds | {"L1_AD_Tight": (tight, "v2")}), *pairs) == 3
    assert "the seeds name 2 models: v1, v2" in capsys.readouterr().out
    close = {"L1_AD_Loose": (float(np.nextafter(np.float32(loose), np.float32(0))), "v1")}
    assert verify(exported, "--menu", menu(seeds | close), *pairs) == 3  # the next single-precision number


@pytest.mark.parametrize("step", ["1", "1/256"])
def test_a_menu_in_steps_decides_as_the_file_does(step, exported, menu):
    """Of all m = k s in whole steps around the threshold m >= T passes those that s > t passes."""
    threshold, size = about(exported)["thresholds"]["eps_b_0.1"], 1.0 if step == "1" else 1 / 256
    right = (np.floor(16 * threshold / size) + 1) * size
    m = size * (np.floor(16 * threshold / size) + np.arange(-5, 6))
    assert np.array_equal(m >= right, m / 16 > threshold)
    pairs = ("--seed", "L1_AD_Loose=eps_b_0.1", "--scale", "16", "--step", step)
    for off, ends in ((0, 0), (size, 3), (-size, 3)):
        assert verify(exported, "--menu", menu({"L1_AD_Loose": (right + off, "v1")}), *pairs) == ends


def test_a_menu_as_a_table(exported, tmp_path):
    value, path = about(exported)["thresholds"]["eps_b_0.1"], tmp_path / "menu.csv"
    for text, ends in ((repr(value), 0), (f"{value:.9g}", 0), (f"{value:.4g}", 3)):
        path.write_text(f"seed,threshold\nad_loose,{text}\n")
        assert verify(exported, "--menu", path, "--seed", "ad_loose=eps_b_0.1") == ends


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("<menu", (), "not a menu"),
        (BOMB, (), "not a menu"),
        ('<!DOCTYPE m [<!ENTITY e SYSTEM "file:///etc/hostname">]><m>&e;</m>', (), "not a menu"),
        ("<menu></menu>", (), "no seed has a threshold on a score"),
        (None, ("--seed", "L1_AD_Lose=eps_b_0.1"), "Did you mean 'L1_AD_Loose'"),
        (None, ("--seed", "L1_AD_Loose=eps_b_0.2"), "threshold 'eps_b_0.2' is unknown"),
        (None, ("--seed", "L1_AD_Loose"), "NAME=VALUE is needed"),
        (None, (), "--menu and --seed: give both"),
        (None, ("--seed", "L1_AD_Loose=eps_b_0.1", "--scale", "-1"), "scale: '-1' is not a number above 0"),
        (None, ("--seed", "L1_AD_Loose=eps_b_0.1", "--step", "a"), "step: 'a' is not a number above 0"),
    ],
)
def test_menus_that_cannot_be_checked(text, options, said, exported, menu):
    path = menu({"L1_AD_Loose": (1.0, "v1")})
    if text is not None:
        path.write_text(text)
        options = ("--seed", "L1_AD_Loose=eps_b_0.1")
    assert said in verify(exported, "--menu", path, *options)


def test_a_seed_with_two_scores_is_named(exported, menu):
    path = menu({"L1_AD_Loose": (1.0, "v1")})
    path.write_text(path.read_text().replace("</algorithm>\n</tm", "</algorithm></tm").replace(
        "</tmxsd:menu>", ALGORITHM.format(name="L1_AD_Loose", value=2.0, model="v1", cut="x") + "</tmxsd:menu>"
    ))  # fmt: skip
    said = verify(exported, "--menu", path, "--seed", "L1_AD_Loose=eps_b_0.1")
    assert "the seed L1_AD_Loose has two thresholds" in said
