"""ONNX files: their messages, their tensors, and sessions of ONNX Runtime on one thread. ``hepad[export]`` has both."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
from google.protobuf.message import DecodeError, Message
from onnxruntime.capi import onnxruntime_pybind11_state as state

from hepad.errors import InputError

LEVELS = {  # how far a graph is optimised when it is loaded: by Athena, by CMSSW
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
REFUSALS = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
REFUSALS += (state.RuntimeException, ValueError)  # ValueError: also a message that is no text, of a damaged file


def parsed(content: bytes, path: str | Path) -> onnx.ModelProto:
    """The model in the bytes of a file, without side files; InputError for anything but an ONNX file."""
    try:
        model = onnx.ModelProto.FromString(content)
    except (ValueError, DecodeError) as error:
        raise InputError(f"{path}: not a readable ONNX file ({error}). Export it again.") from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: not an ONNX file, or an empty one. Export it again.")
    return model


def read_model(path: str | Path) -> onnx.ModelProto:
    """The model of a file, as :func:`parsed` gives it; InputError if it cannot be read."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: not a readable ONNX file ({error}). Export it again.") from None
    return parsed(content, path)


def tensors(part: Message) -> Iterator[onnx.TensorProto]:
    """All tensors of a model: weights and constants of the graph, of graphs in its nodes, and of its functions."""
    if isinstance(part, onnx.TensorProto):
        yield part
        return
    for field, value in part.ListFields():
        if field.message_type is not None:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from tensors(inner)


def in_side_file(model: onnx.ModelProto) -> bool:
    """Whether some weights are in another file than the model."""
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors(model))


def check_weights(model: onnx.ModelProto, path: str | Path) -> None:
    """InputError if weights of a model are in a side file, or NaN."""
    if in_side_file(model):
        raise InputError(f"{path}: its weights are in a side file. Save it as one: onnx.save_model(model, path).")
    for tensor in tensors(model):
        if tensor.data_type in FLOATS and _holds_nan(tensor, path):
            raise InputError(f"{path}: its weights hold NaN, '{tensor.name}'. Train or export it again.")


def _holds_nan(tensor: onnx.TensorProto, path: str | Path) -> bool:
    try:
        return bool(np.isnan(onnx.numpy_helper.to_array(tensor)).any())
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its weights cannot be read ({short(error)}). Export it again.") from None


def session(
    model: str | Path | bytes, level: str = "basic", name: str | Path | None = None
) -> onnxruntime.InferenceSession:
    """A session on one thread; InputError, with the ``name`` of the model, if ONNX Runtime does not take it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = LEVELS[level]
    options.log_severity_level = 4  # refusals are raised, too
    source, of = (model, "the model") if isinstance(model, bytes) else (str(model), model)
    settings = {"providers": ["CPUExecutionProvider"], "enable_fallback": False}  # which would print, and try again
    try:
        loaded = onnxruntime.InferenceSession(source, options, **settings)
        for node in (*loaded.get_inputs(), *loaded.get_outputs()):
            str(node)  # its names, which may be no text
        return loaded
    except (*REFUSALS, state.NoSuchFile) as error:
        raise InputError(f"{name or of}: ONNX Runtime does not load it ({short(error)}). Export it again.") from None


def short(error: Exception) -> str:
    """Its message on one line."""
    return " ".join(str(error).split())[:300]
