"""Synthetic events for tests: no generator, seeded, a few milliseconds."""

import pytest
import torch
from toy_jets import toy_jets

LONGEST = {"workflow", "test_run", "test_detectors", "test_export"}

torch.set_num_threads(1)  # tests run in one process per core


def pytest_collection_modifyitems(items):
    """The longest modules come first, so that no process is left alone with one."""
    items.sort(key=lambda item: not {item.path.parent.name, item.path.stem} & LONGEST)


@pytest.fixture(autouse=True)
def one_thread():
    """A library that sets the number of threads for the whole process makes all later tests slow."""
    yield
    assert torch.get_num_threads() == 1


@pytest.fixture(scope="session")
def make_events():
    """``make_events(n, seed, prongs=1)``: n jets of 550-650 GeV with 20-60 constituents around ``prongs`` axes."""

    return toy_jets
