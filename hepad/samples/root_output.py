"""hepad's own ROOT files: a TTree ``events`` with one entry per probe jet, read by hepad.samples.readers.ntuple."""

import json
from pathlib import Path

import awkward as ak
import uproot

from hepad.events import FOUR_VECTOR, Events
from hepad.storage.files import atomic_path

COLLECTIONS = ("jets", "electrons", "muons", "photons", "taus")


def write_root(events: Events, path: str | Path) -> None:
    """Write Events to a TTree ``events`` and their ``meta`` to a TObjString of JSON, atomically."""
    columns: dict = {"event_id": events.event_id, "weight": events.weight}
    columns |= {f"jet_{name}": events.jet[:, i] for i, name in enumerate(FOUR_VECTOR)}
    columns |= {"met_pt": events.met[:, 0], "met_phi": events.met[:, 1]}
    columns |= {f"truth_{name}": values for name, values in events.truth.items()} | events.facts
    columns |= {f"trigger_{name}": events.triggers[:, i] for i, name in enumerate(events.meta.get("triggers", ()))}
    absent = {"taus"} - set(events.meta.get("present", COLLECTIONS))  # few samples have them
    for name in ("constituents", *COLLECTIONS):
        padded = getattr(events, name)
        if not padded.shape[1] or name in absent:  # trigger objects have no constituents
            continue
        present = padded[..., 0] > 0
        count = present.sum(axis=1)
        fields = {x: ak.unflatten(padded[..., i][present], count) for i, x in enumerate(FOUR_VECTOR)}
        if name == "jets":
            fields["b_tag"] = ak.unflatten(events.b_tag[present], count)
        columns["constituent" if name == "constituents" else name] = ak.zip(fields)
    with atomic_path(path) as partial, uproot.recreate(partial) as file:
        types = {name: c.type if isinstance(c, ak.Array) else c.dtype for name, c in columns.items()}
        file.mktree("events", types)
        for start in range(0, len(events), 10_000):
            file["events"].extend({name: column[start : start + 10_000] for name, column in columns.items()})
        file["meta"] = json.dumps(events.meta)
