"""Makes Events from the columns that a reader has, and fills in the missing ones."""

import numpy as np

from hepad.events.events import Events
from hepad.events.identifiers import IDENTIFIERS, content_id, jets_of, objects_id
from hepad.events.padding import WIDTHS, filled
from hepad.events.splits import divide


def complete(columns: dict[str, np.ndarray], *, split, split_rows=None, **arguments) -> Events:
    """Events from at least ``jet``: missing objects are zero, weights 1, identifiers hashed from the content.

    ``split`` is that of :func:`hepad.events.splits.divide`, ``split_rows`` (N,) overrides it; ``arguments`` are further
    arguments of Events.
    """
    n = len(columns["jet"])
    columns = {name: np.asarray(array, np.float32) for name, array in columns.items()} | {
        name: columns[name] for name in ("event_id", "weight") if name in columns
    }
    columns.setdefault("constituents", np.zeros((n, 0, 4), np.float32))
    for name, width in WIDTHS.items():
        columns.setdefault(name, np.zeros((n, width, 4), np.float32))
    columns.setdefault("met", np.zeros((n, 2), np.float32))
    columns.setdefault("weight", np.ones(n))
    if "event_id" not in columns:
        columns["event_id"] = _content(columns)
    facts = arguments.get("facts", {})
    columns["split"] = divide(columns["event_id"], facts, split) if split_rows is None else split_rows.astype(np.int8)
    return Events(**columns, **arguments)


def _content(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Identifiers from the constituents, or, where there are none, from all objects and the missing momentum."""
    if columns["constituents"].shape[1]:
        return content_id(filled(columns["constituents"]))
    objects = {name: columns[name] for name in IDENTIFIERS}
    return objects_id(objects | {"jets": jets_of(columns["jet"], objects["jets"])})
