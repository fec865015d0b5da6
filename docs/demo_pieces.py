r"""How the page holds ONNX files: every tensor of weights once, and of each file what is not weights.

The weights w_ij that lead to an output i, a row of their tensor, are 8 bits each and have one scale:

    w_ij = s_i q_ij,        q_ij = round(w_ij / s_i),        s_i = max_j |w_ij| / 127

The scales have 17 bits, so that the products are exact in single precision: Python and a browser have the same weights
bit by bit, and what is rounded once stays as it is. A bias is a row of one number, which loses nothing but digits
behind its fifth.
"""

import base64
import copy
import gzip

import numpy as np
import torch
from torch import Tensor

from hepad.detectors import Detector

BITS = 17  # of a scale: with 7 of a weight they are the 24 of single precision
LARGEST = 127


def packed(data: bytes) -> str:
    """Gzip in base85, which is a twentieth shorter than base64; the same for the same data."""
    return base64.b85encode(gzip.compress(data, 9, mtime=0)).decode()


def in_bits(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales (R,) float32 and weights (R, C) int8 of a tensor (R, ...)."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    fraction, exponent = np.frexp(np.abs(rows).max(1) / LARGEST)
    scales = np.ldexp(np.rint(np.ldexp(fraction, BITS)), exponent - BITS)
    return scales.astype(np.float32), np.rint(rows / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)


def of_bits(scales: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The weights (R, C) float32 of what :func:`in_bits` gives."""
    return scales[:, None] * values.astype(np.float32)


def rounded(detector: Detector) -> Detector:
    """A copy whose parameters are those that the page can hold."""
    detector = copy.deepcopy(detector)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.copy_(torch.from_numpy(of_bits(*in_bits(parameter.numpy()))).view_as(parameter))
    return detector


class Weights:
    """The tensors of rounded detectors, each once."""

    def __init__(self, detectors: list[Detector]):
        tensors: dict[bytes, Tensor] = {}
        for parameter in (p for detector in detectors for p in detector.parameters()):
            tensors.setdefault(parameter.detach().numpy().tobytes(), parameter.detach())
        self.files = list(tensors)  # as an ONNX file has them
        self.bits = [in_bits(tensor.numpy()) for tensor in tensors.values()]

    def about(self) -> dict:
        """``shapes``: (rows, columns) of each tensor; ``data``: the scales of all of them, and then their weights."""
        parts = [scales.tobytes() for scales, _ in self.bits] + [values.tobytes() for _, values in self.bits]
        return {"shapes": [values.shape for _, values in self.bits], "data": packed(b"".join(parts))}

    def pieces(self, file: bytes) -> dict:
        """``rest``: a file without the weights; ``at``: how many bytes of it stand before a tensor, and which one."""
        rest, at, end = b"", [], 0
        for place, k in sorted((file.find(tensor), k) for k, tensor in enumerate(self.files) if tensor in file):
            rest += file[end:place]
            at.append([len(rest), k])
            end = place + len(self.files[k])
        return {"rest": packed(rest + file[end:]), "at": at}
