"""Samples that are sums of processes: what an event counts, that processes stay apart, and what cannot be added."""

from dataclasses import replace

import numpy as np
import pytest
from test_stream import SPLIT, WINDOW

from hepad.errors import InputError
from hepad.events import ARRAYS, Events, acceptance_of, write_blocks
from hepad.representations import EventVector
from hepad.representations.features import Features, represent
from hepad.samples.data_quality import cut_flow, write_cut_flow
from hepad.samples.gather import gather
from hepad.samples.processes import Process, of_process
from hepad.samples.root_output import write_root
from hepad.samples.sources import stream_of
from hepad.trigger.rates import scale_of

PLAIN = {"name": "files", "jet_radius": 0.8}  # of files that know nothing of their generation


def summed(folder, processes, selection="any", apart=True, **options):
    """The index of a sample of (process, groups of files); ``apart`` False: as one that is no sum."""
    paths = []
    for number, (process, groups) in enumerate(processes):
        assert process.chunks == len(groups)
        for files in groups:
            events = stream_of({"files": files} | options, name="s", selection=selection, split=SPLIT, part=True)
            write_blocks(folder / f"s/{len(paths)}.h5", of_process(events, number) if apart else events)
            paths.append(folder / f"s/{len(paths)}.h5")
    gather(paths, folder / "s.h5", selection, [process for process, _ in processes] if apart else ())
    return folder / "s.h5"


def written(folder, events):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{len(list(folder.iterdir()))}.root"
    write_root(events, path)
    return str(path)


@pytest.fixture(scope="module")
def two(make_events, tmp_path_factory):
    """Processes a (weights, two files) and b (one file) whose events have the same numbers, and their files."""
    folder, rng = tmp_path_factory.mktemp("two"), np.random.default_rng(5)
    a, b = (replace(make_events(n, seed), meta=PLAIN, event_id=np.arange(n)) for n, seed in ((60, 1), (40, 2)))
    a, b = replace(a, weight=rng.uniform(0.2, 3, 60)), replace(b, weight=np.full(40, 0.5))
    return a, b, [[written(folder, a[:25])], [written(folder, a[25:])]], [[written(folder, b)]]


def test_an_event_counts_for_its_share_of_the_cross_section(two, tmp_path):
    a, _, files_of_a, files_of_b = two
    processes = [(Process("a", 2, 700.0), files_of_a), (Process("b", 1, 3.0, sum_weights=50.0), files_of_b)]
    events = Events.read(summed(tmp_path, processes))
    assert events.truth["process"].tolist() == [0] * 60 + [1] * 40
    np.testing.assert_allclose(events.weight[:60], a.weight * 700 / a.weight.sum(), rtol=1e-12)
    np.testing.assert_allclose(events.weight[60:], 0.5 * 3 / 50, rtol=1e-12)
    meta = events.meta
    assert list(meta["processes"]) == ["a", "b"]
    assert meta["cross_section_pb"] == 703
    assert meta["cross_section_pb"] * meta["acceptance"] == pytest.approx(events.weight.sum())
    assert events.weight.sum() == pytest.approx(700 + 3 * 20 / 50)
    assert meta["processes"]["b"]["acceptance"] == pytest.approx(20 / 50)
    assert meta["processes"]["a"]["effective"] == pytest.approx(a.weight.sum() ** 2 / (a.weight**2).sum())
    assert meta["rate"] == {"kind": "cross_section"}
    scale = scale_of("s", {"kind": "cross_section", "luminosity": 2e34}, meta)
    assert scale.hz == pytest.approx(2e34 * 1e-36 * events.weight.sum())


def test_all_entries_count_before_the_window(make_events, tmp_path):
    events = replace(make_events(30, 3), meta=PLAIN)
    jet = events.jet.copy()
    jet[:10, 0] /= 10
    soft = replace(events, jet=jet, weight=np.arange(1.0, 31))
    index = summed(tmp_path, [(Process("p", 1, 10.0), [[written(tmp_path / "f", soft)]])], WINDOW, tolerance=100)
    found = Events.read(index)
    assert len(found) == 20
    assert found.weight.sum() == pytest.approx(10 * np.arange(11, 31).sum() / np.arange(1, 31).sum())


def test_events_of_one_number_stay_apart_and_keep_their_splits(two, tmp_path):
    a, _, files_of_a, files_of_b = two
    processes = [(Process("a", 2, 1.0), files_of_a), (Process("b", 1, 1.0), files_of_b)]
    events = Events.read(summed(tmp_path, processes))
    assert len(np.unique(events.event_id)) == len(np.unique(events.row_id)) == 100
    plain = Events.read(summed(tmp_path / "plain", processes, apart=False))
    np.testing.assert_array_equal(events.split, plain.split)
    assert len(np.unique(plain.event_id)) == 60, "as one sample they are events of the same numbers"
    np.testing.assert_array_equal(events.event_id[:60], a.event_id)


def test_one_process_is_the_sample(two, tmp_path):
    _, _, files, _ = two
    alone = summed(tmp_path / "one", [(Process("a", 2, 700.0), files)])
    plain = summed(tmp_path / "plain", [(Process("a", 2, 700.0), files)], apart=False)
    one, other = Events.read(alone), Events.read(plain)
    for name in set(ARRAYS) - {"weight"}:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.weight / one.weight.sum(), other.weight / other.weight.sum(), rtol=1e-12)
    assert cut_flow(one.meta, one.split)[: len(one.meta["counts"])] == cut_flow(other.meta, other.split)[:2]


def test_a_generation_knows_its_sum(make_events, tmp_path):
    """Events are cut off when there are enough of them: the acceptance is of all that were tried."""
    events = make_events(50, 7)  # of 100 pb with an acceptance of 0.25
    path = written(tmp_path / "f", events)
    index = summed(tmp_path, [(Process("p", 1), [[path]])])
    assert Events.read(index).weight.sum() == pytest.approx(25)
    given = summed(tmp_path / "given", [(Process("p", 1, 200.0), [[path]])])
    assert Events.read(given).weight.sum() == pytest.approx(50)
    half = replace(events, meta=events.meta | {"n_tried": 200, "n_given_up": 200})
    given = summed(tmp_path / "veto", [(Process("p", 1, 200.0), [[written(tmp_path / "f", half)]])])
    assert Events.read(given).weight.sum() == pytest.approx(25), "half of the events of 200 pb were given up"
    own = summed(tmp_path / "own", [(Process("p", 1), [[written(tmp_path / "f", half)]])])
    assert Events.read(own).weight.sum() == pytest.approx(25)
    assert acceptance_of(half.meta, False) == 0.25
    assert acceptance_of(half.meta, True) == 0.125
    meta = half.meta | {"rate": {"kind": "cross_section"}}
    declared = {"kind": "cross_section", "luminosity": 1e36}
    assert scale_of("s", declared, meta).hz == pytest.approx(25)
    assert scale_of("s", declared | {"cross_section_pb": 200.0}, meta).hz == pytest.approx(25)


def test_every_way_to_read_a_sum_has_its_weights(two, tmp_path):
    _, _, files_of_a, files_of_b = two
    index = summed(tmp_path, [(Process("a", 2, 700.0), files_of_a), (Process("b", 1, 3.0), files_of_b)])
    whole, table = Events.read(index), Events.table(index)
    np.testing.assert_array_equal(table["weight"], whole.weight)
    parts = [events for chunk in range(3) for events in Events.blocks(index, 7, chunk)]
    np.testing.assert_array_equal(np.concatenate([events.weight for events in parts]), whole.weight)
    mask = np.arange(100) % 3 == 0
    np.testing.assert_array_equal(table.read(["weight"], mask)["weight"], whole.weight[mask])
    first = table.beginning(50, ["weight", "event_id"])
    of_id = dict(zip(whole.event_id.tolist(), whole.weight.tolist(), strict=True))
    assert [of_id[i] for i in first["event_id"].tolist()] == first["weight"].tolist()
    vector = EventVector(("mass", "multiplicity"))
    represent(vector, Events.blocks(index, 11), {tmp_path / "f.h5": ("train", "valid", "test")})
    np.testing.assert_array_equal(Features.read(tmp_path / "f.h5").weight, whole.weight)
    assert whole.weight.dtype == np.float64


def test_rows_that_two_chunks_have_count_once(two, tmp_path):
    _, b, files_of_a, files_of_b = two
    again = [*files_of_b, [written(tmp_path / "again", b[:10])]]
    index = summed(tmp_path, [(Process("a", 2, 1.0), files_of_a), (Process("b", 2, 3.0), again)])
    events = Events.read(index)
    assert len(events) == 100
    of_b = events.meta["processes"]["b"]
    assert of_b["events"] == 40
    assert of_b["acceptance"] == pytest.approx(20 / 25), "the entries that came twice were entries"


def test_counts_of_each_process_are_those_of_its_files(two, tmp_path):
    _, _, files_of_a, files_of_b = two
    window = {"pt": [550, 600], "abs_eta": 2.0}
    processes = [(Process("a", 2, 700.0), files_of_a), (Process("b", 1, 3.0), files_of_b)]
    index = summed(tmp_path, processes, window)
    rows = cut_flow(Events.table(index).meta, Events.table(index)["split"])
    for name, number in (("a", 60), ("b", 40)):
        found = {row["what"]: row["count"] for row in rows if row["file"] == f"process {name}"}
        assert found["read"] == number == found["kept"] + sum(v for k, v in found.items() if k.startswith("refused"))
        assert found["kept"] == Events.table(index).meta["processes"][name]["events"] < number
    write_cut_flow(tmp_path / "quality.csv", [index])
    assert "process a,read,60" in (tmp_path / "quality.csv").read_text()


def test_a_process_of_which_nothing_passes_adds_nothing(two, make_events, tmp_path):
    _, _, files_of_a, _ = two
    soft = replace(make_events(10, 9), meta=PLAIN)
    soft = replace(soft, jet=soft.jet * np.float32([0.1, 1, 1, 1]))
    processes = [(Process("a", 2, 700.0), files_of_a), (Process("low", 1, 1e6), [[written(tmp_path / "f", soft)]])]
    events = Events.read(summed(tmp_path, processes, WINDOW, tolerance=100))
    assert events.meta["processes"]["low"]["acceptance"] == 0
    assert events.meta["cross_section_pb"] * events.meta["acceptance"] == pytest.approx(events.weight.sum())
    with pytest.raises(InputError, match="nothing passes"):
        summed(tmp_path / "none", [processes[1]], WINDOW, tolerance=100)


@pytest.mark.parametrize(("process", "weights", "message"), [
    (Process("b", 1), 1.0, r"samples\.s\.source\.processes\.b: its files do not say .* Add 'cross_section_pb'"),
    (Process("b", 1, 3.0, 10.0), 1.0, r"processes\.b\.sum_weights: 10 is less than .* 40 events .* sum to 40"),
    (Process("b", 1, 3.0), -1.0, r"processes\.b: the weights of its events sum to -40"),
])  # fmt: skip
def test_a_process_that_has_no_rate_is_refused(two, tmp_path, process, weights, message):
    _, b, files_of_a, _ = two
    path = written(tmp_path / "f", replace(b, weight=np.full(40, weights)))
    with pytest.raises(InputError, match=message):
        summed(tmp_path, [(Process("a", 2, 700.0), files_of_a), (process, [[path]])])
    assert not (tmp_path / "s.h5").exists()
