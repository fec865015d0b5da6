"""What the software of an experiment asks of an ONNX file, and whether a file keeps to it.

    generic   ONNX Runtime: one float32 input (batch, ...), one output ``score`` (batch, 1)
    cmssw     cms::Ort::ONNXRuntime: float tensors alone, the first dimension is the batch, all others are fixed
    athena    TrigADComboHypoTool: one float32 vector, open dimensions become one, exactly one output element

All: one file without side files, IR <= 8 and opset 13 to 17, which ONNX Runtime 1.17.1 of CMSSW 14 (up to IR 9) reads,
operators of the standard alone, and a session of one thread, with basic optimisation (Athena) as with all (CMSSW).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state as state

from hepad.errors import InputError, choose

IR_VERSION = 8  # the newest that is written
OPSETS = range(13, 18)
INPUT, OUTPUT = "features", "score"
LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
REFUSALS = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
REFUSALS += (state.RuntimeException,)


@dataclass(frozen=True)
class Target:
    """flat: the input is a vector (batch, D), whatever the shape of an event."""

    flat: bool = False


TARGETS = {"generic": Target(), "cmssw": Target(), "athena": Target(flat=True)}


def session(model: str | Path | bytes, level: str = "basic") -> onnxruntime.InferenceSession:
    """A session on one thread; InputError if ONNX Runtime does not take the model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = LEVELS[level]
    options.log_severity_level = 4  # what is refused is raised, too
    source, name = (model, "the model") if isinstance(model, bytes) else (str(model), model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except (*REFUSALS, state.NoSuchFile) as error:
        raise InputError(f"{name}: ONNX Runtime does not load it ({short(error)}). Export it again.") from None


def check_contract(path: str | Path, target: str = "generic") -> None:
    """Load the file as the experiment's wrapper does, at batch 1 and 4; InputError that names what it breaks."""
    wanted = TARGETS[choose("target", target, TARGETS)]
    broken = _broken_file(path)
    for level in LEVELS:
        broken = broken or _broken_session(session(path, level), wanted)
    if broken:
        raise InputError(f"{path}: it breaks the contract of '{target}': {'; '.join(broken)}. Export it again.")


def read_model(path: str | Path) -> onnx.ModelProto:
    """The model without side files; InputError for anything but an ONNX file."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise InputError(f"{path}: not a readable ONNX file ({error}). Export it again.") from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: not an ONNX file, or an empty one. Export it again.")
    return model


def _broken_file(path: str | Path) -> list[str]:
    model = read_model(path)
    broken = []
    if model.ir_version > IR_VERSION:
        broken.append(f"IR version {model.ir_version}, at most {IR_VERSION} is read by all")
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            broken.append(f"operators of the domain '{opset.domain}', which are not in the standard")
        elif opset.version not in OPSETS:
            broken.append(f"opset {opset.version}, not {OPSETS[0]} to {OPSETS[-1]}")
    constants = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in [*model.graph.initializer, *constants]):
        broken.append("weights in a side file")
    return broken


def _broken_session(loaded: onnxruntime.InferenceSession, wanted: Target) -> list[str]:
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
    if wanted.flat and len(source.shape) != 2:
        broken.append(f"the input {source.shape} is not a vector (batch, D)")
    if broken:
        return broken
    for batch in (1, 4):
        x = np.full((batch, *source.shape[1:]), 0.5, np.float32)
        try:
            (value,) = loaded.run([OUTPUT], {INPUT: x})
        except REFUSALS as error:
            return [f"a batch of {batch} does not run ({short(error)})"]
        if value.shape != (batch, 1):
            return [f"at batch {batch} the output has {value.size} elements, shape {value.shape}, not ({batch}, 1)"]
    return []


def short(error: Exception) -> str:
    """Its message on one line."""
    return " ".join(str(error).split())[:300]
