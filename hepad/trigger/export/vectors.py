"""Test vectors (:mod:`hepad.trigger.vectors`) of an exported file, on which it is compared with its detector once more.

The scores are those of ONNX Runtime, event by event, which is how a trigger asks for them.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hepad import detectors
from hepad.errors import InputError
from hepad.storage.onnx_file import session
from hepad.trigger.export.closure_test import TOLERANCE, drawn
from hepad.trigger.export.inference import about, scores
from hepad.trigger.export.layout import Layout
from hepad.trigger.vectors import EDGES, Vectors, chosen


def write_vectors(path: str | Path, model: str | Path, onnx: str | Path, events: Tensor | None = None) -> str:
    """Test vectors of an exported file, whose scores and decisions are compared with the detector's once more.

    Parameters
    ----------
    path: the CSV; model: the detector's safetensors file; onnx: the exported one
    events: (N, *space.shape) of the test background; None for drawn ones

    Returns
    -------
    in words, what is in it; events at the edge that single precision does not fix are left out, and named

    Raises
    ------
    InputError: a score or decision of an event of background is not the detector's
    """
    detector, notes = detectors.load(model), about(onnx)
    layout, loaded = Layout(detector.space, notes["target"]), session(onnx)
    sample = drawn(detector) if events is None else events
    of_sample = scores(loaded, layout.to_file(sample).contiguous().numpy())
    x, kinds = chosen(sample, of_sample, notes["thresholds"], detector.space)
    kinds = ["drawn" if events is None and kind == "background" else kind for kind in kinds]
    atol = TOLERANCE * float(detector.score(sample).std())
    flat = layout.to_file(x).contiguous().numpy()
    found = scores(loaded, flat, batch=1)
    known = np.array([kind != "nan" for kind in kinds])  # a detector has no say in NaN: the file decides
    expected = np.where(known, detector.score(torch.nan_to_num(x)).numpy(), found)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        good = (found == expected) | (np.abs(found - expected) <= atol + TOLERANCE * np.abs(expected)) | ~known
    for value in notes["thresholds"].values():
        good &= ((found > np.float64(value)) == (expected > np.float64(value))) | ~known
    edge = np.array([kind in EDGES for kind in kinds])
    if not good[~edge].all():
        worst = int(np.flatnonzero(~good & ~edge)[0])
        raise InputError(
            f"{onnx}: the score of an event is {found[worst]!r}, and the detector's {expected[worst]!r}: no test "
            "vectors can be written for it. Export it again, with other events."
        )
    names = [f"pixel_{i}" for i in range(notes["space"]["pixels"])] + notes["columns"]
    kept = [kind for kind, keep in zip(kinds, good, strict=True) if keep]
    vectors = Vectors(flat.reshape(len(flat), -1)[good], kept, names, found[good])
    head = {"digest": notes["digest"], "model_sha256": notes["model_sha256"], "rtol": TOLERANCE, "atol": atol}
    vectors.write(path, **head, thresholds=notes["thresholds"])
    lost = [kind for kind, keep in zip(kinds, good, strict=True) if not keep]
    left_out = f"; left out, as single precision does not fix their scores: {', '.join(lost)}" if lost else ""
    counts = ", ".join(f"{kept.count(kind)} {kind}" for kind in dict.fromkeys(kept))
    return f"{len(kept)} test vectors ({counts}){left_out}"
