"""Synthetic events for tests: no generator, seeded, a few milliseconds."""

import pytest
import torch
from toy_jets import toy_jets

torch.set_num_threads(1)  # tests run in one process per core


@pytest.fixture(scope="session")
def make_events():
    """``make_events(n, seed, prongs=1)``: n jets of 550-650 GeV with 20-60 constituents around ``prongs`` axes."""

    return toy_jets
