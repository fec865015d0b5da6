r"""The flows of the ConvVAE: are their determinants exact, do they bend a Gaussian into a banana, what do they cost.

    python benchmarks/flows.py [logdet] [banana] [cost]

`logdet` (flow_logdet.csv: `max_error`) compares log|det dzK/dz0| in double precision with the Jacobian by automatic
differentiation, for latent dimensions D and parameters drawn from N(0, scale^2 / inputs of the layer), as the largest
difference over 64 events. The Jacobian of a flow is the product of those of its layers, and its log-determinant their
sum. Each layer's is well conditioned enough for ten digits; their product (condition numbers up to 10^25) is not.

`banana` (flow_banana.csv: `kl`) fits q(z|c) to the target

    c ~ U(-1, 1),    z1 ~ N(0, 1),    z2 | z1, c ~ N(2 c (z1^2 - 1), 0.3^2)

by the KL of the ELBO, E_c E_q [log q(z|c) - log p(z|c)], which is zero for the target itself. `none` is the Gaussian
posterior, whose mean and widths depend on c as the parameters of the flows do: through the same small network.

`cost` (flow_cost.csv: `ratio`) is the time of a training step (128 images of 40 x 40, 8 latents, default settings of
all flows) beside that of the ConvVAE without a flow; all take turns in one run, medians are compared.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from records import HERE, alternate, write_table
from torch import Tensor, nn

from hepad import detectors
from hepad.detectors.flows import FLOWS, Flow, build
from hepad.detectors.networks import dense
from hepad.representations import Space
from hepad.storage.files import write_rows

CONTEXT = 16
DIMENSIONS, SCALES = range(2, 16), (1, 3)
WIDTH, CURVATURE = 0.3, 2.0
STEPS, SEEDS = 1500, (0, 1, 2)


def drawn(name: str, dimension: int, scale: float, context: int = CONTEXT) -> Flow:
    """A flow in double precision with random parameters; no more axes than there are dimensions."""
    torch.manual_seed(dimension)
    axes = {"OrthogonalSylvester": "columns", "HouseholderSylvester": "reflections"}
    few = {axes[name]: min(4, dimension)} if name in axes else {}
    flow = build({"type": name, **few}, dimension, context).double()
    for p in flow.parameters():
        nn.init.normal_(p, 0, scale / math.sqrt(p.shape[1] if p.dim() > 1 else context))
    return flow


def jacobians(transform: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """z' (B, D) and dz'/dz (B, D, D) of a map that treats every event on its own."""
    z = z.detach().requires_grad_(True)
    out = transform(z)
    rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in out.unbind(1)]
    return out.detach(), torch.stack(rows, 1)


def signed_log_det(jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and log|det| (B,); of a triangular matrix from its diagonal, which is exact however wild the rest is."""
    if jacobian.triu(1).any() and jacobian.tril(-1).any():
        return torch.linalg.slogdet(jacobian)
    diagonal = jacobian.diagonal(dim1=1, dim2=2)
    return diagonal.sign().prod(1), diagonal.abs().log().sum(1)


def by_autograd(flow: Flow, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z' (B, D), log|det| (B,) of the whole flow and the sign (B, layers) of the determinant of each layer."""
    total, signs = 0.0, []
    for transform in flow.maps(h):
        z, jacobian = jacobians(lambda z, transform=transform: transform(z)[0], z)
        sign, log_det = signed_log_det(jacobian)
        total, signs = total + log_det, [*signs, sign]
    return z, total, torch.stack(signs, 1)


def logdet(options: argparse.Namespace) -> None:
    rows = []
    for name in FLOWS:
        for dimension in DIMENSIONS:
            for scale in SCALES:
                flow = drawn(name, dimension, scale)
                z, h = torch.randn(64, dimension).double(), torch.randn(64, CONTEXT).double()
                error = (flow(z, h)[1] - by_autograd(flow, z, h)[1]).abs().max().item()
                rows.append({"flow": name, "D": dimension, "scale": scale, "max_error": f"{error:.1e}"})
        print(f"{name}: {max(float(row['max_error']) for row in rows if row['flow'] == name):.1e}", flush=True)
    write_rows(options.tables / "flow_logdet.csv", ["flow", "D", "scale", "max_error"], rows)


class Posterior(nn.Module):
    """q(z|c) in two dimensions: a Gaussian whose parameters, and those of the flow, depend on c."""

    def __init__(self, name: str):
        super().__init__()
        self.encoder = nn.Sequential(dense([1, 32, CONTEXT]), nn.LeakyReLU())
        self.gaussian = nn.Linear(CONTEXT, 4)
        few = {"OrthogonalSylvester": {"columns": 2}, "HouseholderSylvester": {"reflections": 2}}
        self.flow = None if name == "none" else build({"type": name, **few.get(name, {})}, 2, CONTEXT)

    def kl(self, count: int) -> Tensor:
        """log q(z|c) - log p(z|c) of ``count`` pairs of c and z ~ q(z|c)."""
        c, eps = 2 * torch.rand(count, 1) - 1, torch.randn(count, 2)
        h = self.encoder(c)
        mu, log_sigma = self.gaussian(h).chunk(2, 1)
        z = mu + log_sigma.exp() * eps
        log_q = -(0.5 * eps.square() + log_sigma).sum(1)
        if self.flow is not None:
            z, log_abs_det_jacobian = self.flow(z, h)
            log_q = log_q - log_abs_det_jacobian
        z1, z2 = z.unbind(1)
        bend = (z2 - CURVATURE * c[:, 0] * (z1.square() - 1)) / WIDTH
        return log_q + 0.5 * (z1.square() + bend.square()) + math.log(WIDTH)


def banana_kl(name: str, seed: int, steps: int) -> float:
    """KL of a fitted posterior with the flow ``name``, or 'none'."""
    torch.manual_seed(seed)
    posterior = Posterior(name)
    optimiser = torch.optim.Adam(posterior.parameters(), lr=5e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        posterior.kl(256).mean().backward()
        nn.utils.clip_grad_norm_(posterior.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return posterior.kl(100_000).mean().item()


def banana(options: argparse.Namespace) -> None:
    rows = []
    for name in ("none", *FLOWS):
        rows += [{"flow": name, "seed": seed, "kl": banana_kl(name, seed, options.steps)} for seed in SEEDS]
        print(name, *(f"{row['kl']:.3f}" for row in rows if row["flow"] == name), flush=True)
    columns = ["flow", "seed", "kl"]
    write_table(options.tables / "flow_banana.csv", columns, rows, over="seed", measures=["kl"])


def training_step(name: str, x: Tensor) -> Callable[[], None]:
    """One update of a ConvVAE with the flow ``name``, or 'none'."""
    flow = None if name == "none" else {"type": name}
    arguments = {"flow": flow, "training": {"steps": 1}}
    vae = detectors.build({"type": "ConvVAE", "arguments": arguments}, Space((1, 40, 40), (), 1600), 0).train()
    optimiser = torch.optim.Adam(vae.parameters(), fused=True)

    def step() -> None:
        _, nll, kl = vae.elbo_terms(x, torch.randn(len(x), vae.settings.latent_dim))
        optimiser.zero_grad(set_to_none=True)
        (nll + kl).mean().backward()
        optimiser.step()

    return step


def cost(options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    x = torch.rand(128, 1, 40, 40)
    steps = {name: training_step(name, x) for name in ("none", *FLOWS)}
    median = alternate(options.repeats, steps)
    rows = [{"flow": name, "ratio": f"{median[name] / median['none']:.2f}"} for name in FLOWS]
    print(f"none: {1000 * median['none']:.1f} ms;", ", ".join(" ".join(row.values()) for row in rows))
    write_rows(options.tables / "flow_cost.csv", ["flow", "ratio"], rows)


PARTS = {"logdet": logdet, "banana": banana, "cost": cost}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"which of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--tables", type=Path, default=HERE / "tables", help="folder of the tables")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of each posterior")
    parser.add_argument("--repeats", type=int, default=101, help="timed steps of each flow")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args(argv)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    torch.set_num_threads(options.threads)
    for part in options.parts or PARTS:
        PARTS[part](options)


if __name__ == "__main__":
    main()
