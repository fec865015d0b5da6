"""A split in the order of time: whole sections, early before late, the same in whatever files and blocks."""

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.events.splits import split_in_time
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of

UNTIL = {"train_until": [7, 3], "valid_until": [8, 1]}


def facts(run, block):
    return {"run": np.array(run), "luminosity_block": np.array(block)}


def test_whole_sections_in_the_order_of_time():
    """Against tuples, which Python orders as time is; a section is in one part."""
    rng = np.random.default_rng(0)
    run, block = rng.integers(5, 11, 2000), rng.integers(0, 6, 2000)
    found = split_in_time(facts(run, block), UNTIL)
    expected = [0 if x <= (7, 3) else 1 if x <= (8, 1) else 2 for x in zip(run, block, strict=True)]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int8


def test_no_validation_between_equal_boundaries():
    assert split_in_time(facts([1, 1, 1], [1, 2, 3]), {"train_until": [1, 2], "valid_until": [1, 2]}).tolist() == [
        0,
        0,
        2,
    ]


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ({"train_until": [8, 2], "valid_until": [8, 1]}, r"train_until \[8, 2\] is after valid_until"),
        ({"train_until": [8, 2]}, "is not {train_until"),
        ({"train_until": [8, 2], "valid_until": [9]}, "is not {train_until"),
    ],
)
def test_boundaries_that_are_none(until, message):
    with pytest.raises(InputError, match=message):
        split_in_time(facts([1], [1]), until)


def test_events_without_a_section_are_refused():
    with pytest.raises(InputError, match="without run and luminosity section"):
        split_in_time(facts([1, -1], [1, 2]), UNTIL)
    with pytest.raises(InputError, match="without run and luminosity section"):
        split_in_time({"run": np.array([1])}, UNTIL)


@pytest.fixture
def files(make_events, tmp_path):
    """Three files of 200 events each with sections in no order."""
    events, rng = make_events(600, 4), np.random.default_rng(2)
    known = {"run": rng.integers(6, 10, 600), "luminosity_block": rng.integers(0, 5, 600), "event": np.arange(600)}
    events.facts.update({name: values.astype(np.int64) for name, values in known.items()})
    paths = [str(tmp_path / f"{i}.root") for i in range(3)]
    for i, path in enumerate(paths):
        write_root(events[200 * i : 200 * i + 200], path)
    return paths


def parts(files, **options):
    """{event number: part} as it is read."""
    found = {}
    for events in stream_of({"files": files, **options}, name="data", selection="any", split=UNTIL, part=True):
        sections = zip(events.facts["run"], events.facts["luminosity_block"], strict=True)
        expected = [0 if x <= (7, 3) else 1 if x <= (8, 1) else 2 for x in sections]
        np.testing.assert_array_equal(events.split, expected)
        found |= dict(zip(events.facts["event"].tolist(), events.split.tolist(), strict=True))
    return found


def test_every_job_divides_its_files_alike(files):
    together = parts(files)
    assert len(together) == 600
    assert set(together.values()) == set(range(len(SPLITS)))
    apart = [parts([path], rows=70) for path in reversed(files)]
    assert {event: part for of_file in apart for event, part in of_file.items()} == together


def test_files_that_cannot_be_split_in_time_are_named(files, make_events, tmp_path):
    write_root(make_events(20, 1), tmp_path / "untimed.root")
    with pytest.raises(InputError, match=r"untimed.root: events without run and luminosity section"):
        parts([str(tmp_path / "untimed.root")])
