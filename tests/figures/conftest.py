"""Crossings, signal events, and the records of their rates."""

import pytest
from crossings import SCALE, N, sample, scores_of

from hepad.trigger import rate_tables
from hepad.trigger.stages import stages_of


@pytest.fixture(scope="module")
def events():
    return {"zero_bias": sample("zero_bias", N, 0, 1), "top": sample("top", 500, 60, 2)}


@pytest.fixture(scope="module")
def samples(events):
    """Of every sample two chunks of events and their scores."""
    cut = {name: (e[: len(e) // 3], e[len(e) // 3 :]) for name, e in events.items()}
    return {name: [(e, scores_of(e)) for e in chunks] for name, chunks in cut.items()}


@pytest.fixture(scope="module")
def records(samples):
    stages = stages_of({"bits": ["L1_*"]}, ["L1_Jet"])
    return rate_tables.rates(samples, SCALE, (10, 1000), stages, {"ae/1": "5eed"})
