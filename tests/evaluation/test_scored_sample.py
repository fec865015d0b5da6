"""The test part of a sample in chunks, and what is counted of it: the same as of all its rows at once."""

from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest
from crossings import SCALE, sample, scores_of

from hepad.errors import InputError
from hepad.evaluation.diagnostics import scored_variables, variables
from hepad.evaluation.roc import threshold_at
from hepad.evaluation.scored_sample import ScoredSample
from hepad.evaluation.scores import read_scores, write_scores
from hepad.evaluation.streaming import GROUPS, threshold_of
from hepad.events import Events, concatenate
from hepad.representations import EventVector
from hepad.representations.features import Features
from hepad.storage.chunks import beginnings
from hepad.storage.table import write_index
from hepad.trigger import rate_tables
from hepad.trigger.stages import stages_of

JETS = 3  # of a crossing
SIZES = (3000, 30, 9000)  # rows of the parts: more than a chunk, and so few that none is of the test part


def crossings(n, seed):
    """Crossings of three probe jets each; the test part has those with even numbers."""
    events = sample("zero_bias", n, 0, seed)
    number, constituents = np.arange(n) // JETS + seed * 10**10, np.ones((n, 2, 4), np.float32)
    split = np.where(number % 2 == 0, 2, 0).astype(np.int8)
    return replace(events, event_id=number, split=split, constituents=constituents)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Indices of scores and of events in parts, the second of which has training events alone."""
    folder = tmp_path_factory.mktemp("tested")
    events = [crossings(n, seed) for seed, n in enumerate(SIZES, 1)]
    events[1] = replace(events[1], split=np.zeros(SIZES[1], np.int8))
    listed, of_scores = [], []
    for number, of_part in enumerate(events):
        of_part.write(folder / f"events/{number}.h5")
        listed.append(folder / f"events/{number}.h5")
        tested = of_part.of_split("test")
        of_scores.append(folder / f"scores/{number}.h5")
        write_scores(of_scores[-1], [(scores_of(tested), Features.of(EventVector(("met",)), tested))])
    kinds = {"truth": {"hardest_pileup": "<f4"}, "facts": {"pileup": "<f4"}}
    write_index(listed, folder / "events.h5", events[0].meta | {"columns": kinds})
    write_index(of_scores, folder / "scores.h5")
    return folder / "scores.h5", folder / "events.h5", concatenate(events).of_split("test")


def test_chunks_have_every_row_once_and_whole_crossings(files):
    chunks = list(ScoredSample("data", *files[:2]))
    assert len(chunks) > 1
    np.testing.assert_array_equal(np.concatenate([e.event_id for e, _ in chunks]), files[2].event_id)
    np.testing.assert_array_equal(np.concatenate([e.jet for e, _ in chunks]), files[2].jet)
    for key, expected in scores_of(files[2]).items():
        np.testing.assert_array_equal(np.concatenate([s[key] for _, s in chunks]), expected)
    seen = [number for e, _ in chunks for number in np.unique(e.event_id).tolist()]
    assert len(seen) == len(set(seen)), "a crossing is in two chunks"
    assert all(e.constituents.shape[1] == 0 for e, _ in chunks)


def test_crossings_at_the_edge_of_a_file_chunk_stay_whole(files, monkeypatch):
    whole = Events.blocks
    monkeypatch.setattr(Events, "blocks", classmethod(lambda _, path, size=100, **how: whole(path, 100, **how)))
    found = [e.event_id for e, _ in ScoredSample("data", *files[:2])]
    np.testing.assert_array_equal(np.concatenate(found), files[2].event_id)
    assert all(a[-1] != b[0] for a, b in pairwise(found))


def test_rates_of_chunks_are_those_of_all_rows_at_once(files):
    stages = stages_of({"bits": ["L1_*"]}, ["L1_Jet"])
    streamed, at_once = (
        rate_tables.rates({"zero_bias": of_sample, "again": of_sample}, SCALE, (10, 1000), stages)
        for of_sample in (ScoredSample("zero_bias", *files[:2]), [(files[2], scores_of(files[2]))])
    )
    assert streamed == at_once
    passing = scores_of(files[2])["ae/1"] > streamed[0]["points"][1]["threshold"]
    crossing = np.unique(files[2].event_id[passing])
    assert streamed[0]["points"][1]["total"]["passed"] == len(crossing) > 10


def test_what_passes_of_a_long_sample_is_counted_exactly():
    rng, n = np.random.default_rng(3), 5 * GROUPS
    events = sample("zero_bias", 1000, 0, 1)
    chunks = []
    for first in range(0, n, 1000):
        numbered = replace(events, event_id=np.arange(first, first + 1000))
        chunks.append((numbered, {"ae/1": rng.normal(0, 1, 1000)}))
    point = rate_tables.rates({"zero_bias": chunks}, None, (1e-3, 0.1))[0]["points"]
    values = np.concatenate([s["ae/1"] for _, s in chunks])
    for found, eps_b in zip(point, (1e-3, 0.1), strict=True):
        assert found["total"]["passed"] == np.count_nonzero(values > found["threshold"])
        assert eps_b * (1 - 0.01) < found["total"]["value"] <= eps_b


def test_a_look_takes_its_share_of_every_part(files):
    looked_at = ScoredSample("data", *files[:2])
    assert looked_at.scores.sizes == [1500, 0, 4500]
    expected = files[2][np.append(np.arange(100), 1500 + np.arange(300))]
    found = scored_variables(looked_at.beginning(400))
    for name, values in variables(expected).items():
        if name != "constituents":  # those are not read
            np.testing.assert_array_equal(found.variables[name], values)
    np.testing.assert_array_equal(found.weight, expected.weight)
    for key, scores in scores_of(expected).items():
        np.testing.assert_array_equal(found.scores[key], scores)
        np.testing.assert_array_equal(read_scores(files[0])[0].beginning(400, [key])[key], scores)
    with_constituents = concatenate([e for e, _ in looked_at.beginning(400, constituents=True)])
    np.testing.assert_array_equal(with_constituents.constituents, expected.constituents)
    everything = [e for e, _ in looked_at.beginning()]
    np.testing.assert_array_equal(np.concatenate([e.event_id for e in everything]), files[2].event_id)
    assert {e.constituents.shape[1] for e in everything} == {0}
    assert beginnings([3, 0, 5], 8) == [3, 0, 5]
    assert beginnings([30, 0, 50], 8) == [3, 0, 5]
    assert beginnings([0, 0], 8) == [0, 0]
    assert sum(beginnings([1] * 1000, 30)) == 30, "of many small parts, too"


def test_thresholds_of_files_are_those_of_the_arrays(files):
    scores, beside = read_scores(files[0])
    assert threshold_of(scores.weighted("ae/1"), 0.01) == threshold_at(scores["ae/1"], 0.01, beside["weight"])


@pytest.mark.parametrize("change", ["order", "fewer events", "fewer scores", "fewer parts"])
def test_scores_of_other_events_are_refused(files, tmp_path, change):
    whole = files[2]
    events = {"order": whole[::-1], "fewer events": whole[:-1]}.get(change, whole)
    replace(events, split=np.full(len(events), 2, np.int8)).write(tmp_path / "events.h5")
    scored = whole[:-1] if change == "fewer scores" else whole
    write_scores(tmp_path / "scores.h5", [(scores_of(scored), Features.of(EventVector(("met",)), scored))])
    scores = files[0] if change == "fewer parts" else tmp_path / "scores.h5"
    with pytest.raises(InputError, match="scores and events of 'data' differ"):
        list(ScoredSample("data", scores, tmp_path / "events.h5"))


@pytest.mark.parametrize("rows", [5, 20])
def test_scores_of_another_length_than_the_events_are_refused(files, tmp_path, rows):
    whole = files[2][:10]
    write_scores(tmp_path / "scores.h5", [(scores_of(whole), Features.of(EventVector(("met",)), whole))])
    with h5py.File(tmp_path / "scores.h5", "a") as file:
        del file["scores/ae/1"]
        file["scores/ae/1"] = np.zeros(rows)
    scores, _ = read_scores(tmp_path / "scores.h5")
    reads = [lambda: scores["ae/1"], lambda: scores.read(["ae/1"], slice(3, 12)), lambda: scores.beginning(8)]
    for read in reads:
        with pytest.raises(InputError, match="different numbers of rows"):
            read()
