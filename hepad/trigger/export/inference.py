"""Scores and metadata of an exported file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hepad.errors import InputError
from hepad.storage.onnx_file import REFUSALS, read_model, session, short
from hepad.trigger.export.metadata import ENCODER, entries
from hepad.trigger.export.sessions import INPUT, OUTPUT


def run(path: str | Path, x: np.ndarray | Mapping[str, np.ndarray]) -> np.ndarray:
    """Scores (N,) float32 of events x (N, ...) in the shape and order of the file's input, or {its name: x}.

    Raises InputError for another name or shape, for entries that are not finite, and for a file that does not load or
    is not as it was written.
    """
    entries(path, read_model(path))
    loaded = session(path)
    source = loaded.get_inputs()[0] if len(loaded.get_inputs()) == 1 else None
    if source is None or source.name != INPUT:
        names = ", ".join(f"'{node.name}'" for node in loaded.get_inputs()) or "none"
        raise InputError(f"{path}: its inputs are {names}, not '{INPUT}' alone; hepad did not write it. Export again.")
    if isinstance(x, Mapping):
        if set(x) != {source.name}:
            raise InputError(
                f"{path}: the input is called '{source.name}', not {', '.join(map(repr, x)) or 'nothing'}."
            )
        x = x[source.name]
    return scores(loaded, checked(x, source.shape[1:], path))


def checked(x: np.ndarray, shape: list[int], name: str | Path) -> np.ndarray:
    """x as float32; InputError unless it is (N, *shape) of finite numbers."""
    x = np.asarray(x)
    if x.ndim != len(shape) + 1 or list(x.shape[1:]) != list(shape):
        raise InputError(f"{name}: events of shape (N, {', '.join(map(str, shape))}) are needed, not {x.shape}.")
    if x.dtype.kind not in "fiu" or not np.isfinite(x).all():
        raise InputError(f"{name}: the events must be finite numbers; NaN, infinity or {x.dtype} are among them.")
    return np.ascontiguousarray(x, dtype=np.float32)


def scores(loaded, x: np.ndarray, batch: int = 256) -> np.ndarray:
    """Scores (N,) of x (N, ...) in a session, ``batch`` at a time."""
    try:
        parts = [loaded.run([OUTPUT], {INPUT: x[i : i + batch]})[0] for i in range(0, len(x), batch)]
    except REFUSALS as error:
        raise InputError(f"export: the graph does not run at a batch of {batch} ({short(error)}).") from None
    if wrong := [part.shape for part in parts if part.shape[1:] != (1,)]:
        raise InputError(f"export: the graph's output has shape {wrong[0]}, not one score an event. Export it again.")
    return np.concatenate([np.empty((0, 1), np.float32), *parts])[:, 0]


def about(path: str | Path) -> dict:
    """The metadata that ``export`` stored: thresholds, target, columns, hashes, digest, spec, versions.

    Raises InputError for a file that hepad did not write, or that was changed since.
    """
    model = read_model(path)
    if any(entry.key == ENCODER for entry in model.metadata_props):
        raise InputError(f"{path}: an encoder, which gives no score. Its SHA-256 is what its export has printed.")
    notes = entries(path, model)
    if not notes:
        raise InputError(f"{path}: it has no metadata of hepad; something else wrote it.")
    return notes
