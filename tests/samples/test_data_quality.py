"""Which samples may be compared: crossings without objects are no shared events."""

from dataclasses import replace

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.samples.data_quality import check_comparable


def emptied(events, rows):
    """The events without constituents, ``rows`` of them without any object."""
    hollow = {name: getattr(events, name).copy() for name in ("jets", "electrons", "muons", "photons")}
    for objects in hollow.values():
        objects[rows] = 0
    return replace(events, constituents=events.constituents[:, :0], **hollow)


def test_crossings_without_objects_are_not_shared_events(make_events):
    background, signal = (emptied(make_events(100, seed), np.arange(0, 100, 2)) for seed in (1, 2))
    check_comparable({"zero_bias": background, "soft": signal})
    same = background[np.r_[0:50]]  # among them 25 that have objects
    with pytest.raises(InputError, match=r"100\.0% of the events of signal 'copy' are in background 'zero_bias'"):
        check_comparable({"zero_bias": background, "copy": same})
    nothing = emptied(make_events(100, 3), np.arange(100))
    check_comparable({"zero_bias": background, "nothing": nothing})


def test_jets_alone_are_shared(make_events):
    """Without constituents and other objects, the probe jet tells events apart."""
    background, signal = (emptied(make_events(50, seed), np.arange(50)) for seed in (1, 2))
    check_comparable({"qcd": background, "top": signal})
    with pytest.raises(InputError, match=r"100\.0% of the events of signal 'copy'"):
        check_comparable({"qcd": background, "copy": background[:20]})
