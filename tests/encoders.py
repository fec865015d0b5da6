"""Encoders in files, made without hepad: ONNX out of single operators, safetensors of plain layers."""

from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file


def layers(*sizes, seed=0):
    """[(weight (out, in), bias (out,)), ...] float32."""
    rng = np.random.default_rng(seed)
    drawn = [(rng.normal(size=(b, a)) / a**0.5, rng.normal(size=b)) for a, b in pairwise(sizes)]
    return [(weight.astype(np.float32), bias.astype(np.float32)) for weight, bias in drawn]


def write_onnx(path, nodes, weights, shape, made, batch="batch", kind=TensorProto.FLOAT, **options):
    """A graph from 'x' (batch, *shape) to 'h' with the shape ``made``; ``weights``: {name: array}."""
    inputs = [helper.make_tensor_value_info("x", kind, [batch, *shape])]
    outputs = [helper.make_tensor_value_info("h", kind, made)]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([helper.make_node(*of) if isinstance(of, tuple) else of for of in nodes], "encoder",
                              inputs, outputs, tensors)  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save_model(model, path, **options)
    return path


def linear_onnx(path, weight, bias, shape, **options):
    """h = W x + b of flattened events."""
    nodes = [("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "W", "b"], ["h"], transB=1)]
    options = {"batch": "batch", "made": ["batch", len(bias)]} | options
    return write_onnx(path, nodes, {"W": weight, "b": bias}, shape, **options)


def dense_safetensors(path, of_layers, activation="relu", **metadata):
    """A plain network with activations between its layers."""
    tensors = {}
    for i, (weight, bias) in enumerate(of_layers):
        tensors |= {f"{2 * i}.weight": weight, f"{2 * i}.bias": bias}
    save_file(tensors, path, metadata={"network": "dense", "activation": activation} | metadata)
    return path
