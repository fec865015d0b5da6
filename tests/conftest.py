"""Synthetic events for tests: no generator, seeded, a few milliseconds."""

import pytest
import torch
from toy_jets import toy_jets

torch.set_num_threads(1)  # tests run in one process per core


def pytest_collection_modifyitems(items):
    """The modules that run the workflow come first: they are the longest, and no process is left alone with one."""
    items.sort(key=lambda item: "workflow" not in item.path.parent.name)


@pytest.fixture(autouse=True)
def one_thread():
    """A library that sets the number of threads for the whole process makes all later tests slow."""
    yield
    assert torch.get_num_threads() == 1


@pytest.fixture(scope="session")
def make_events():
    """``make_events(n, seed, prongs=1)``: n jets of 550-650 GeV with 20-60 constituents around ``prongs`` axes."""

    return toy_jets
