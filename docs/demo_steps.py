r"""The graph of what the demo shows beside a score: the reconstruction, and the latent chain's energy and gradient.

ONNX has no derivatives. Those along the D axes of the code are carried forward through the networks, as D tangents t_i
beside the one event x (forward differentiation):

    affine layer         y = A x + b           t_i -> A t_i
    leaky ReLU           y = max(x, a x)       t_i -> t_i (1 if x > 0 else a)
    softmax, times n     y = n s(x)            t_i -> y (t_i - s . t_i)
    sigmoid              y = s(x)              t_i -> y (1 - y) t_i
    unit vector          y = x / |x|           t_i -> (t_i - y (y . t_i)) / |x|

With x' = g(z) and the autoencoder (f, g) of the energy e(x') = |x' - g(f(x'))|^2 / D and, of MPDR, the code f' of its
manifold, the latent chain goes down

    H(z) = e(x') + tie |f'(x') - target|^2,       tie = c / (2 sigma^2), zero for the NAE
"""

import io
import warnings

import onnx
import torch
from torch import Tensor, nn

from hepad.detectors import AE, MPDR, NAE
from hepad.detectors.networks import Autoencoder, Head

INPUTS = ("features", "z", "target", "tie")
OUTPUTS = ("reconstruction", "code", "image", "energy", "gradient")
OPSET = 13
AFFINE = (nn.Linear, nn.Conv2d, nn.Flatten, nn.Unflatten)


def pushed(layer: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The output (1, ...) of a layer at x (1, ...) and its tangents (D, ...) for those of x."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x, t = pushed(part, x, t)
        return x, t
    if isinstance(layer, nn.LeakyReLU):
        return layer(x), torch.where(x > 0, t, layer.negative_slope * t)
    if isinstance(layer, Head):
        y = layer(x)
        if layer.unit_sum:
            return y, y * (t - (y * t).flatten(1).sum(1).view(-1, 1, 1, 1) / layer.total)
        return y, y * (1 - y) * t
    if not isinstance(layer, AFFINE):
        raise TypeError(f"the tangents of {type(layer).__name__} are not known")
    return layer(x), layer(t) - layer(torch.zeros_like(t[:1]))


def decoded(model: Autoencoder, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """g(z) and its tangents."""
    return pushed(model.head, *pushed(model.decoder, z, t))


def encoded(model: Autoencoder, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """f(x), a unit vector, and its tangents."""
    z, t = pushed(model.encoder, x, t)
    length = z.square().sum(1, keepdim=True).sqrt()
    y = z / length
    return y, (t - y * (y * t).sum(1, keepdim=True)) / length


class Steps(nn.Module):
    """Inputs and outputs of the graph, for one event at a time: features (1, 1, H, W), codes (1, D), tie (1,); the
    reconstruction and the image of a code (1, 1, H, W) as the representation has them, energy (1,), gradient (1, D)."""

    def __init__(self, detector: AE | NAE | MPDR):
        super().__init__()
        if not isinstance(detector, AE | NAE | MPDR):
            raise TypeError(f"{type(detector).__name__} has no latent chain")
        self.detector = detector
        self.energy = detector.model if isinstance(detector, AE) else detector.energy.autoencoder
        self.manifold = detector.models[0] if isinstance(detector, MPDR) else self.energy

    def forward(self, features: Tensor, z: Tensor, target: Tensor, tie: Tensor) -> tuple[Tensor, ...]:
        normalise = self.detector.normalise
        x = normalise(features)
        reconstruction, code = normalise.invert(self.energy(x)), self.manifold.encode(x)
        point, along = decoded(self.manifold, z, torch.eye(z.shape[1]))
        again, change = decoded(self.energy, *encoded(self.energy, point, along))
        tied, turn = encoded(self.manifold, point, along)
        rest, gap = point - again, tied - target
        energy = rest.square().mean().view(1) + tie * gap.square().sum().view(1)
        gradient = 2 * (rest * (along - change)).flatten(1).mean(1) + 2 * tie * (gap * turn).sum(1)
        return reconstruction, code, normalise.invert(point), energy, gradient.unsqueeze(0)


def graph(detector: AE | NAE | MPDR) -> onnx.ModelProto:
    """:class:`Steps` as ONNX."""
    steps, file = Steps(detector).eval().requires_grad_(False), io.BytesIO()
    z = torch.eye(steps.manifold.latent_dim)[:1]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, which is announced to go, and of shapes, which are fixed
        torch.onnx.export(
            steps,
            (torch.full((1, *detector.space.shape), 1 / detector.space.pixels), z, z, torch.ones(1)),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
        )
    return onnx.load_from_string(file.getvalue())
