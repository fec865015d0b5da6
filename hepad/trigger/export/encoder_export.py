"""The encoder of a fitted detector as a file of its own, for :class:`hepad.representations.Embedding`.

    x, in the units of the representation -> normalisation -> encoder -> h (D,)

Other detectors see h then, and nothing of them trains the encoder any further.
"""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hepad import detectors
from hepad.detectors import Detector
from hepad.errors import InputError
from hepad.representations.encoder import Encoder
from hepad.storage.files import atomic_path
from hepad.trigger.export.closure_test import TOLERANCE, compared_on, drawn
from hepad.trigger.export.metadata import ENCODER
from hepad.trigger.export.onnx_export import check_options, graph, sha256
from hepad.trigger.export.onnx_graph import closed

OUTPUT = "embedding"


class Exported(NamedTuple):
    """shape: of the events that it takes; width: D; digest: SHA-256 of the file; difference: largest from torch's, in
    units of the largest number"""

    shape: tuple[int, ...]
    width: int
    digest: str
    difference: float


class _Embedding(nn.Module):
    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        return self.detector.embed(self.detector.normalise(x))


def export_encoder(
    model_path: str | Path, path: str | Path, *, opset: int = 13, events: Tensor | None = None
) -> Exported:
    """Write the encoder of the detector of a safetensors file as ONNX.

    Parameters
    ----------
    model_path: written by hepad.detectors.save
    path: of the ONNX file; it is not made unless it gives what torch gives
    opset: 13 to 17
    events: (N, *space.shape) on which both must agree; None for 1,000 drawn ones

    Raises
    ------
    InputError: the detector has no encoder, or one without a closed graph; an argument is bad; file and torch disagree
    """
    check_options(path, opset)
    detector = detectors.load(model_path)
    shape, events = detector.space.shape, compared_on(events, detector, least=1)
    with torch.no_grad():
        of_torch = detector.embed(detector.normalise(events[:1]))
        if of_torch is None:
            having = sorted(name for name, cls in detectors.DETECTORS.items() if cls.embed is not Detector.embed)
            raise InputError(
                f"{model_path}: {type(detector).__name__} has no encoder to export. These have: {', '.join(having)}."
            )
        expected = torch.cat([detector.embed(detector.normalise(part)) for part in events.split(256)]).numpy()
    network = _Embedding(closed(detectors.load(model_path)))
    model = graph(network, drawn(detector, 2, seed=1), OUTPUT, opset, type(detector).__name__)
    notes = {"hepad": version("hepad"), "model_sha256": sha256(model_path), "space": asdict(detector.space)}
    model.metadata_props.add(key=ENCODER, value=json.dumps(notes, sort_keys=True))
    with atomic_path(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        encoder = Encoder.read(str(partial), shape)
        difference = float(np.abs(encoder(events.numpy()) - expected).max() / np.abs(expected).max())
        if not difference <= TOLERANCE:
            raise InputError(
                f"{type(detector).__name__}: the embeddings of ONNX Runtime and of torch differ by {difference:.1e} of "
                f"the largest, more than {TOLERANCE:.0e}. Try another opset."
            )
    return Exported(shape, encoder.width, encoder.digest, difference)
