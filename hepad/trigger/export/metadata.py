"""Metadata of an exported file, and a check that it is still the file that was written.

The entry ``digest`` is the SHA-256 of the model without that entry, graph, weights and all other entries together:

    digest = sha256(serialise(model without the entry 'digest'))

Whoever changes a weight or a threshold breaks it; whoever computes it anew, too, is caught by the digest that was noted
when the file was written (``hepad verify FILE --digest``).
"""

import hashlib
import json
from pathlib import Path

import onnx

from hepad.errors import InputError

DIGEST = "digest"
ENCODER = "hepad_encoder"  # the entry of a file that is an encoder alone
LARGEST = 3.4e38  # largest number of single precision
KINDS = {"hepad": str, "target": str, "thresholds": dict, "columns": list, "space": dict, "spec": dict, "tool": dict}
KINDS |= {"nan": str, "given": dict, "model_sha256": str}


def seal(model: onnx.ModelProto, notes: dict) -> str:
    """Write ``notes`` and the digest into a model without metadata; the digest."""
    for key, value in notes.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        model.metadata_props.add(key=key, value=text)
    digest = digest_of(model)
    model.metadata_props.add(key=DIGEST, value=digest)
    return digest


def digest_of(model: onnx.ModelProto) -> str:
    """SHA-256, hexadecimal, of the model without its entry ``digest``."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(entry for entry in model.metadata_props if entry.key != DIGEST)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def entries(path: str | Path, model: onnx.ModelProto) -> dict:
    """The metadata of hepad in a model, {} if there is none; InputError if they or the model are not as written."""
    stored = {entry.key: entry.value for entry in model.metadata_props}
    if "hepad" not in stored:
        return {}
    if stored.get(DIGEST) != digest_of(model):
        fault = "has no digest" if DIGEST not in stored else "does not have its digest: it was changed after its export"
        raise InputError(f"{path}: the file {fault}. Export the detector again.")
    try:
        notes = {key: json.loads(value) if value[:1] in "{[" else value for key, value in stored.items() if value}
        wrong = [key for key, kind in KINDS.items() if not isinstance(notes.get(key), kind)]
        for key in ("thresholds", "given"):
            wrong += [f"{key}: {name}" for name, value in notes[key].items() if not is_number(value)]
        wrong += [] if isinstance(notes["space"].get("pixels"), int) else ["space: pixels"]
        wrong += [f"columns: {name}" for name in notes["columns"] if not isinstance(name, str)]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        wrong = [f"{type(error).__name__}: {error}"]
    if wrong or len(stored) != len(model.metadata_props):
        faults = ", ".join(wrong) or "an entry twice"
        raise InputError(f"{path}: its metadata are not those of an export ({faults}). Export the detector again.")
    return notes


def is_number(value) -> bool:
    """Whether what JSON gave is a finite number that single precision can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
