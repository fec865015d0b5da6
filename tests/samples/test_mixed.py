"""Files of one sample that do not have the same columns: refused where a number would be wrong, otherwise the same
whatever their order."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
from dialects import DIALECTS
from test_chunks import read_parts
from test_stream import load, rich, same

from hepad.errors import InputError
from hepad.events import FACTS, Events
from hepad.events.observables import measure
from hepad.samples.readers import READERS
from hepad.samples.root_output import write_root
from hepad.samples.sources import check_files
from hepad.trigger.menu import Menu, acceptance


def without(events: Events, *, facts=(), truth=(), bits=()) -> Events:
    names = [name for name in events.meta["triggers"] if name not in bits]
    kept = [events.meta["triggers"].index(name) for name in names]
    return replace(
        events, facts={x: v for x, v in events.facts.items() if x not in facts},
        truth={x: v for x, v in events.truth.items() if x not in truth},
        triggers=events.triggers[:, kept], meta=events.meta | {"triggers": names},
    )  # fmt: skip


@pytest.fixture
def eras(make_events, tmp_path):
    """Two files: the first lacks n_pv, p̂_T and L1_2, the second the run and L1_0."""
    first, second = rich(make_events(20, 1), 1), rich(make_events(30, 2), 2)
    first = without(first, facts=["n_pv"], truth=["hard_pt"], bits=["L1_2"])
    second = without(second, facts=["run"], bits=["L1_0"])
    paths = [str(tmp_path / name) for name in ("a.root", "b.root")]
    for events, path in zip((first, second), paths, strict=True):
        write_root(events, path)
    return first, second, paths


def test_columns_do_not_depend_on_the_order_of_files(eras, tmp_path):
    first, second, paths = eras
    found, turned = load(paths), load(paths[::-1])
    same(found, turned[np.r_[30:50, 0:30]])
    for events in (found, turned):
        assert list(events.facts) == sorted(FACTS)
        assert list(events.truth) == ["hard_pt", "mass"]
        assert events.meta["triggers"] == ["L1_0", "L1_1", "L1_2"]
        assert events.meta["partial"] == ["L1_0", "L1_2", "hard_pt", "n_pv", "run"]
    np.testing.assert_array_equal(found.facts["run"], [*first.facts["run"], *[-1] * 30])
    np.testing.assert_array_equal(found.facts["n_pv"], [*[np.nan] * 20, *second.facts["n_pv"]])
    assert np.isnan(found.truth["hard_pt"][:20]).all()
    np.testing.assert_array_equal(found.triggers[:20, :2], first.triggers)
    np.testing.assert_array_equal(found.triggers[20:, 1:], second.triggers)
    for number, order in enumerate((paths, paths[::-1])):
        parts = Events.read(read_parts(tmp_path / str(number), [[path] for path in order]))
        same(parts, load(order))
        assert parts.meta["partial"] == found.meta["partial"]


def test_what_only_some_files_have_is_neither_drawn_nor_trusted(eras):
    events = load(eras[2])
    assert "primary vertices" not in measure(events)
    assert "true interactions" in measure(events)
    menu = Menu({"L1_0": 1.0, "L1_1": 1.0, "L1_9": 1.0}, "menu")
    accepted = acceptance(menu, events.triggers, events.meta["triggers"], events.meta["partial"])
    assert (accepted.missing, accepted.partial) == (("L1_9",), ("L1_0",))
    assert accepted.remark == (
        "1 of 3 seeds of the menu have no bit in the events (L1_9): pure rates and gains are upper bounds. "
        "1 of 3 seeds of the menu have no bit in some of the files (L1_0): pure rates and gains are upper bounds."
    )
    np.testing.assert_array_equal(accepted.probability, events.triggers[:, :2].any(axis=1))


@pytest.mark.parametrize("name", ["own", "nanoaod", "delphes", "physlite"])
def test_weights_in_some_files_alone_are_refused(name, make_events, tmp_path):
    weights = {"own": "weight", "nanoaod": "genWeight", "physlite": "EventInfoAuxDyn:mcEventWeights"}
    dialect = DIALECTS[name]
    columns = [dialect.columns(replace(make_events(40, seed), weight=np.full(40, 2.0))) for seed in (1, 2)]
    if name in weights:
        del columns[1][weights[name]]
    else:
        columns[0]["Event.Weight"] = ak.Array([[2.0]] * 40)
    paths = [str(dialect.file(tmp_path / x, of)) for x, of in zip("ab", columns, strict=True)]
    for order in (paths, paths[::-1]):
        with pytest.raises(InputError, match=r"sample 's': its files differ in whether they have weights: ") as error:
            load(order, **dialect.options)
        for said in (f"with: {paths[0]}", f"without: {paths[1]}", "'unit_weights: true'"):
            assert said in str(error.value)
    events = load(paths, unit_weights=True, **dialect.options)
    assert (events.weight == 1).all()
    assert "weight" not in events.meta["present"]
    assert len(load(paths[:1], **dialect.options)) == len(load(paths[1:], **dialect.options)) == 40


@pytest.mark.parametrize("name", DIALECTS)
def test_readers_say_which_facts_their_blocks_have(name, make_events, tmp_path):
    dialect = DIALECTS[name]
    path = str(dialect.file(tmp_path / "a", dialect.columns(make_events(12, 3))))
    (found,) = check_files({"files": path} | dialect.options).values()
    options = {key: value for key, value in dialect.options.items() if key != "reader"}
    reader = READERS[dialect.reader](**options)
    for block in reader.blocks(path, 5):
        assert set(block.facts) == found.facts
        assert set(block.truth) == found.truth
        assert ("weight" in block.columns) == ("weight" in found.present)
