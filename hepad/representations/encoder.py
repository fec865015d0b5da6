r"""Networks that are read from files and never trained here: fixed encoders of events.

ONNX          any network with one input (batch, *shape) and one output (batch, D), single precision
safetensors   a plain dense network, h -> W_L a(... a(W_1 h + b_1) ...) + b_L: metadata {"network": "dense",
              "activation": one of ``ACTIVATIONS``}, tensors '<number>.weight' (out, in) and '<number>.bias' (out,) in
              the order of their numbers, as ``torch.nn.Sequential.state_dict`` names them

Nothing in a file is executed but the operators of the ONNX standard. Events are encoded ``BATCH`` at a time, the last
ones with zeros behind them, so that what becomes of an event does not depend on how many others there are.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load
from scipy.special import erf, expit

from hepad.errors import EncoderError, InputError, MissingLibrary

BATCH = 64  # events
ALIKE = 1e-4  # largest difference of two embeddings of one event, in units of the largest number in them
ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0),
    "leaky_relu": lambda h: np.where(h > 0, h, 0.01 * h),
    "tanh": np.tanh,
    "gelu": lambda h: 0.5 * h * (1 + erf(h / math.sqrt(2))),
    "silu": lambda h: h * expit(h),
}
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # torch.save, pickle.dump
CONVERT = (
    "Convert it where you trust it: torch.onnx.export(model.eval(), (example,), 'encoder.onnx', dynamo=False, "
    "input_names=['x'], output_names=['h'], dynamic_axes={'x': {0: 'batch'}, 'h': {0: 'batch'}})."
)
Network = Callable[[np.ndarray], np.ndarray]  # (BATCH, *shape) float32 -> (BATCH, D)


@dataclass(frozen=True)
class Encoder:
    """The network of a file. ``digest``: SHA-256 of the file, hexadecimal; ``width``: D."""

    path: str
    digest: str
    width: int
    network: Network

    @classmethod
    def read(cls, path: str, shape: tuple[int, ...]) -> "Encoder":
        """The encoder in a file, for events of this shape.

        Raises
        ------
        EncoderError: there is no such file, it is no encoder of such events, or an embedding depends on other events
        MissingLibrary: it is an ONNX file, and ONNX Runtime is not installed
        """
        if not os.path.isfile(path):
            raise EncoderError(f"{path}: there is no such file. Give that of an encoder, .onnx or .safetensors.")
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise EncoderError(f"{path}: cannot be read ({error}). Check the path.") from None
        if content.startswith(PICKLES):
            raise EncoderError(
                f"{path}: a pickle, as torch.save writes it; to read one may run any code, so hepad does not. {CONVERT}"
            )
        network, width = (_dense if _is_safetensors(content) else _graph)(content, path, shape)
        found = cls(path, hashlib.sha256(content).hexdigest(), width, network)
        found._check_independent(shape)
        return found

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, *shape) to (N, D), float32; EncoderError if a number of them is not finite."""
        h = np.empty((len(x), self.width), np.float32)
        with np.errstate(over="ignore"):  # refused below
            for start in range(0, len(x), BATCH):
                h[start : start + BATCH] = self._batch(x[start : start + BATCH])
        if not np.isfinite(h).all():
            raise EncoderError(
                f"{self.path}: gives NaN or infinity for {int((~np.isfinite(h)).any(1).sum())} of {len(x)} events. "
                "Check that it takes these numbers, in GeV and radians, and rows of zeros for what is not there."
            )
        return h

    def _batch(self, x: np.ndarray) -> np.ndarray:
        filled = np.zeros((BATCH, *x.shape[1:]), np.float32)
        filled[: len(x)] = x
        h = self.network(filled)[: len(x)]
        if h.shape[1] != self.width:
            raise EncoderError(
                f"{self.path}: makes {h.shape[1]} numbers of these events and {self.width} of others. Export it "
                "without sizes that depend on values."
            )
        return h

    def _check_independent(self, shape: tuple[int, ...]) -> None:
        x = np.random.default_rng(1).random((BATCH // 2, *shape), np.float32)
        alone, beside = self._batch(x), self._batch(np.concatenate([1 - x, x[::-1]]))[BATCH // 2 :][::-1]
        largest = np.abs(alone[np.isfinite(alone)]).max(initial=0)
        if not np.allclose(alone, beside, rtol=0, atol=ALIKE * largest, equal_nan=True):
            raise EncoderError(
                f"{self.path}: what it makes of an event depends on the other events, or on chance: batch "
                "normalisation or dropout that is still training. Call model.eval() and export it again."
            )


def _is_safetensors(content: bytes) -> bool:
    """Whether it begins with the length of a header and a mapping of JSON."""
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _dense(content: bytes, path: str, shape: tuple[int, ...]) -> tuple[Network, int]:
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        about = header.get("__metadata__") or {}
        if "BF16" in (of.get("dtype") for name, of in header.items() if name != "__metadata__"):  # which numpy has not
            raise EncoderError(f"{path}: its weights are of bfloat16. Write them in single precision: tensor.float().")
        held = load(content)
    except (SafetensorError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path}: not a readable safetensors file ({error}). Write it again.") from None
    if about.get("network") != "dense" or about.get("activation") not in ACTIVATIONS:
        raise EncoderError(
            f'{path}: its metadata must be {{"network": "dense", "activation": one of {", ".join(ACTIVATIONS)}}}. '
            "Other networks come as ONNX."
        )
    numbers = sorted({int(name[1]) for key in held if (name := re.fullmatch(r"(\d{1,9})\.(?:weight|bias)", key))})
    expected = {f"{number}.{kind}" for number in numbers for kind in ("weight", "bias")}
    if not numbers or expected != set(held):
        wrong = ", ".join(sorted(expected ^ set(held))[:5]) or "none"
        raise EncoderError(
            f"{path}: tensors '0.weight', '0.bias', '1.weight', ... are needed, as those of torch.nn.Sequential of "
            f"Linear layers are called; missing or too many: {wrong}."
        )
    layers, inputs = [], math.prod(shape)
    for number in numbers:
        weight, bias = held[f"{number}.weight"], held[f"{number}.bias"]
        if weight.ndim != 2 or weight.shape[1] != inputs or bias.shape != weight.shape[:1] or not len(bias):
            raise EncoderError(
                f"{path}: layer {number} has a weight {weight.shape} and a bias {bias.shape}; it is given {inputs} "
                f"numbers of events {shape}, so (n, {inputs}) and (n,) are needed."
            )
        if weight.dtype.kind != "f" or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise EncoderError(f"{path}: weights of layer {number} are NaN, infinite or no floating-point numbers.")
        layers.append((weight.astype(np.float64).T, bias.astype(np.float64)))
        inputs = len(bias)
    activation = ACTIVATIONS[about["activation"]]

    def network(x: np.ndarray) -> np.ndarray:  # in double precision: of its rounding nothing is left
        h = x.reshape(len(x), -1).astype(np.float64)
        for i, (weight, bias) in enumerate(layers):
            h = (activation(h) if i else h) @ weight + bias
        return h

    return network, inputs


def _graph(content: bytes, path: str, shape: tuple[int, ...]) -> tuple[Network, int]:
    try:
        from hepad.storage import onnx_file  # of the extra 'export', and encoders that are ONNX alone need it
    except ImportError:
        raise MissingLibrary(
            f"{path}: ONNX Runtime is not installed. Install it: pip install 'hepad[export]'."
        ) from None
    try:
        onnx_file.check_weights(onnx_file.parsed(content, path), path)
        loaded = onnx_file.session(content, "all", path)
    except InputError as error:
        raise EncoderError(str(error)) from None
    inputs, outputs = loaded.get_inputs(), loaded.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1 or {node.type for node in (*inputs, *outputs)} != {"tensor(float)"}:
        found = ", ".join(f"{node.name}: {node.type}" for node in (*inputs, *outputs))
        raise EncoderError(
            f"{path}: one input and one output of single precision are needed, not {found}. Make what else it takes, "
            "masks for instance, inside of the network: a row of zeros is an object that is not there."
        )
    taken, *of_event = inputs[0].shape or [None]
    if len(of_event) != len(shape) or any(isinstance(n, int) and n != m for n, m in zip(of_event, shape, strict=True)):
        raise EncoderError(f"{path}: it takes events {of_event}; its input makes {list(shape)}. Change either.")
    if isinstance(taken, int):
        raise EncoderError(f"{path}: it takes {taken} events at a time. Export it with an open batch (dynamic_axes).")

    def network(x: np.ndarray) -> np.ndarray:
        try:
            h = loaded.run(None, {inputs[0].name: x})[0]
        except onnx_file.REFUSALS as error:
            raise EncoderError(
                f"{path}: does not run on {len(x)} events {shape} ({onnx_file.short(error)}). Export it again."
            ) from None
        if h.ndim != 2 or len(h) != len(x) or not h.shape[1]:
            raise EncoderError(
                f"{path}: of {len(x)} events its output is {h.shape}; {len(x)} times D numbers are needed. Pool over "
                "objects inside of the network, and leave the batch open."
            )
        return h

    return network, network(np.zeros((BATCH, *shape), np.float32)).shape[1]  # what is written of it may be a name
