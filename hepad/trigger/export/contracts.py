"""Contracts: the demands of an experiment's software on an ONNX file, and a check that a file meets them.

    generic   ONNX Runtime: one float32 input (batch, ...), one output ``score`` (batch, 1)
    cmssw     cms::Ort::ONNXRuntime: float tensors alone, the first dimension is the batch, all others are fixed
    athena    TrigADComboHypoTool: one float32 vector, open dimensions become one, exactly one output element

All: one file without side files, IR <= 8 and opset 13 to 17, which ONNX Runtime 1.17.1 of CMSSW 14 (up to IR 9) reads,
operators of the standard alone, and a session of one thread, with basic optimisation (Athena) as with all (CMSSW). A
file that hepad wrote has its digest, and for Athena the columns that the tool fills
(:mod:`hepad.trigger.export.athena`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from hepad.errors import InputError, check_choice
from hepad.storage.onnx_file import in_side_file, read_model, session
from hepad.trigger.export import athena
from hepad.trigger.export.metadata import entries
from hepad.trigger.export.sessions import INPUT, OUTPUT, run_apart

IR_VERSION = 8  # the newest that is written
OPSETS = range(13, 18)


@dataclass(frozen=True)
class Target:
    """flat: the input is a vector (batch, D), whatever the shape of an event."""

    flat: bool = False


TARGETS = {"generic": Target(), "cmssw": Target(), "athena": Target(flat=True)}


def check_contract(path: str | Path, target: str = "generic") -> None:
    """Load the file as the experiment's wrapper does, at batch 0, 1 and 4; InputError that names what it breaks."""
    contract = TARGETS[check_choice("target", target, TARGETS)]
    model = read_model(path)
    broken = _broken_file(model) or _broken_session(path, contract)
    if broken:
        raise InputError(f"{path}: it breaks the contract of '{target}': {'; '.join(broken)}. Export it again.")
    notes = entries(path, model)
    if contract.flat and notes:
        athena.properties(notes["columns"], notes["space"].get("pixels", 0))


def _broken_file(model: onnx.ModelProto) -> list[str]:
    broken = []
    if model.ir_version > IR_VERSION:
        broken.append(f"IR version {model.ir_version}, at most {IR_VERSION} is read by all")
    for opset in (o for part in (model, *model.functions) for o in part.opset_import):
        if opset.domain not in ("", "ai.onnx"):
            broken.append(f"operators of the domain '{opset.domain}', which are not in the standard")
        elif opset.version not in OPSETS:
            broken.append(f"opset {opset.version}, not {OPSETS[0]} to {OPSETS[-1]}")
    if in_side_file(model):
        broken.append("weights in a side file")
    return broken


def _broken_session(path: str | Path, contract: Target) -> list[str]:
    loaded = session(path)
    inputs, outputs = loaded.get_inputs(), loaded.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        return [f"{len(inputs)} inputs and {len(outputs)} outputs, not one of each"]
    source, score = inputs[0], outputs[0]
    broken = []
    if (source.name, score.name) != (INPUT, OUTPUT):
        broken.append(f"its names are '{source.name}' and '{score.name}', not '{INPUT}' and '{OUTPUT}'")
    for kind, node in (("input", source), ("output", score)):
        if node.type != "tensor(float)":
            broken.append(f"the {kind} is {node.type}, not tensor(float)")
        if not node.shape or isinstance(node.shape[0], int):
            broken.append(f"the batch of the {kind} is fixed: {node.shape}")
        if not all(isinstance(n, int) for n in node.shape[1:]):
            broken.append(f"a dimension of the {kind} besides the batch is open: {node.shape}")
    if contract.flat and len(source.shape) != 2:
        broken.append(f"the input {source.shape} is not a vector (batch, D)")
    if broken:
        return broken
    if contract.flat and source.shape[1] % 3:
        return [f"its input of {source.shape[1]} numbers is not (pt, eta, phi) of objects"]
    x = np.full((4, *source.shape[1:]), 0.5, np.float32)
    runs = [(batch, batch) for batch in (1, 4, 0)]
    try:
        results = run_apart(Path(path).read_bytes(), x, runs)
    except InputError as error:
        return [str(error).rstrip(".")]
    for values in results.values():
        for (batch, _), value in zip(runs, values, strict=True):
            if value.shape != (batch, 1):
                return [f"at batch {batch} the output has {value.size} elements, shape {value.shape}, not ({batch}, 1)"]
    return []
