"""A fitted detector as one ONNX file: preprocessing, normalisation and score in one graph, checked before it is kept.

torch's exporter over TorchScript is used (``dynamo=False``): the newer one writes IR 10, opset 18 and a side file.
"""

import hashlib
import io
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.onnx.errors import OnnxExporterError

from hepad import detectors
from hepad.detectors import Detector
from hepad.errors import InputError, check_choice
from hepad.storage.files import atomic_path
from hepad.trigger.export.closure_test import Agreement, agree, compared_on, drawn
from hepad.trigger.export.contracts import OPSETS, TARGETS, check_contract
from hepad.trigger.export.layout import Layout
from hepad.trigger.export.metadata import is_number, seal
from hepad.trigger.export.onnx_graph import Sized, closed
from hepad.trigger.export.sessions import INPUT, OUTPUT

# the score that an event without one gets: NaN, which passes no threshold, or one that passes all or none
NAN = {"keep": None, "accept": math.inf, "reject": -math.inf}


def export(
    model_path: str | Path,
    path: str | Path,
    *,
    target: str = "generic",
    opset: int = 13,
    thresholds: Mapping[str, float] | None = None,
    hashes: Mapping[str, str] | None = None,
    events: Tensor | None = None,
    nan: str = "keep",
) -> Agreement:
    """Write the detector of a safetensors file as ONNX.

    Parameters
    ----------
    model_path: written by hepad.detectors.save
    path: of the ONNX file; it is not made unless it passes all checks
    target: a name in hepad.trigger.export.contracts.TARGETS
    opset: 13 to 17
    thresholds: {name of a rate: score above which an event passes}, stored in the file
    hashes: {origin: hexadecimal digest} of what the detector comes from, such as config and training_data
    events: (N, *space.shape), N >= 2, on which file and detector must agree; None for 1,000 drawn ones
    nan: a name in NAN: what the file gives an event with a number that is not finite, or whose score is NaN

    Returns
    -------
    how well both agree, and the thresholds as they are stored

    Raises
    ------
    InputError: the detector's score has no closed graph (and why), file and detector disagree, an argument is bad
    """
    check_choice("target", target, TARGETS)
    check_choice("nan", nan, NAN)
    check_options(path, opset)
    thresholds = dict(thresholds or {})
    for name, value in thresholds.items():
        if not name or not is_number(value):
            raise InputError(f"threshold '{name}': {value} must be a finite score with a name, such as 1kHz=3.2.")
    detector = detectors.load(model_path)
    for part in detector.modules():
        if isinstance(part, Detector) and part.no_graph:
            raise InputError(f"{type(part).__name__}: its score has no ONNX graph: {part.no_graph}")
    layout = Layout(detector.space, target)
    events = compared_on(events, detector, least=2)
    model = traced(detectors.load(model_path), layout, opset, NAN[nan])
    agreement = agree(model.SerializeToString(), detector, layout, events, thresholds)
    notes = _notes(model_path, detector, layout) | {"target": target, "nan": nan, "given": thresholds}
    notes["thresholds"] = agreement.thresholds  # as given, or moved off the score of an event
    notes |= {f"{origin}_sha256": digest for origin, digest in (hashes or {}).items()}
    seal(model, notes)
    with atomic_path(path) as partial:
        partial.write_bytes(model.SerializeToString())
        check_contract(partial, target)
    return agreement


def sha256(*paths: str | Path) -> str:
    """As ``cat paths | sha256sum`` gives it; InputError for a file that cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error}). Check the path.") from None
    return digest.hexdigest()


class Scorer(nn.Module):
    """Events as the file takes them (B, ...) -> score (B, 1), of a closed detector.

    ``instead``: the score of events with a number that is not finite and of those whose score is NaN. The score alone
    does not tell: a detector need not look at every number.
    """

    def __init__(self, detector: Detector, layout: Layout, instead: float | None):
        super().__init__()
        self.detector, self.layout, self.instead = detector, layout, instead

    def forward(self, x: Tensor) -> Tensor:
        x = self.layout.to_model(x)
        score = self.detector.anomaly(self.detector.normalise(x)).unsqueeze(1)
        if self.instead is None:
            return score
        # 0 x is NaN for NaN and infinity, and else zero, whose sum cannot overflow
        lost = torch.isnan((0 * x).flatten(1).sum(1).unsqueeze(1)) | torch.isnan(score)
        return torch.where(lost, torch.full_like(score, self.instead), score)


def traced(detector: Detector, layout: Layout, opset: int, instead: float | None = None) -> onnx.ModelProto:
    """The graph of the detector's score; the detector is changed. InputError says which operation has no graph."""
    example = layout.to_file(drawn(detector, 2, seed=1))
    return graph(Scorer(closed(detector), layout, instead), example, OUTPUT, opset, type(detector).__name__)


def graph(network: nn.Module, example: Tensor, output: str, opset: int, whose: str) -> onnx.ModelProto:
    """A network of one input and one output as ONNX, the batch open; InputError: an operation of it has no graph."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad(), Sized():
        # the exporter is announced to go, and the tracer warns of shapes, which the agreement at two batches settles
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network.eval(),
                (example,),
                file,
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[output],
                dynamic_axes={INPUT: {0: "batch"}, output: {0: "batch"}},
            )
        except (OnnxExporterError, torch.jit.TracingCheckError) as error:
            raise InputError(
                f"{whose}: its {output} has no closed ONNX graph at opset {opset}: {str(error).splitlines()[0]}"
            ) from None
    return onnx.load_from_string(file.getvalue())


def check_options(path: str | Path, opset: int) -> None:
    """InputError for an opset that is not written, or a path that no file can have."""
    if not isinstance(opset, int) or opset not in OPSETS:
        raise InputError(f"opset: {opset!r} must be a whole number between {OPSETS[0]} and {OPSETS[-1]}.")
    if Path(path).is_dir() or not next(p for p in Path(path).absolute().parents if p.exists()).is_dir():
        raise InputError(f"{path}: no file can have this path. Give that of a file in a folder, such as out/ae.onnx.")


def _notes(model_path: str | Path, detector: Detector, layout: Layout) -> dict:
    with safe_open(model_path, framework="pt") as file:
        stored = json.loads(file.metadata()["hepad"])
    return {
        "hepad": version("hepad"),
        "model_sha256": sha256(model_path),
        "spec": stored["spec"],
        "provenance": stored.get("provenance", {}),
        "space": asdict(detector.space),
        "columns": layout.columns,
        "tool": layout.tool,
    }
