"""Seconds of one training step of NAE and of MPDR-R: hepad beside the code of the papers' authors, in one run.

python benchmarks/energy_step_speed.py --nae-repo PATH --mpdr-repo PATH [--repeats 7] [--threads 1]

The paths are work trees of github.com/swyoon/normalized-autoencoders (NAE of models/nae.py) and of
github.com/swyoon/manifold-projection-diffusion-recovery-pytorch (AE and MPDR_Single of models/mpdr/mpdr.py).
Both sides have the network of the jet-image NAE (arXiv:2206.14225; here with a sigmoid at its end), the same weights,
batches of 128 images of 40 x 40 pixels in [0, 1] and the same chains: NAE 30 + 30 steps; MPDR-R 5 + 5 steps with the
settings of the authors' mnist_ho_mpdr/z32_r.yml, a frozen autoencoder and a second one as energy. On the authors' side
the network is made of torch's layers as they are; on ours it is what hepad trains.

Left out on both sides: L2 terms, and the trainable temperature or output scale. A step of the authors is their
``train_step``, which also computes what they log; the pictures that it makes are stand-ins here, which cost nothing.
Replaced by stand-ins, because the step needs none of them: torchvision, omegaconf and the authors' augmentations.

Before anything is timed the two sides must agree: energies, their gradients and the gradients of the loss (for the same
negative samples) within 1e-4, and the ends of noise-free chains within 1e-3. They are compared in double precision, in
which rounding does not decide which of four pixels is the largest; energies and gradients also in single precision, in
which all is timed, and in bfloat16 (within 2 %), in which our chains are timed a second time; a CPU without
instructions for it is slower so. The recovery term of MPDR is compared as an energy, and left out of the compared
chains: there the authors' code divides distances (B,) by noise magnitudes (B, 1) and so couples the samples of a batch.
It is part of the steps that are timed.
"""

import argparse
import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from authors import authors_module
from records import alternate
from torch import Tensor, nn

from hepad.detectors.energy_based.energies import Reconstruction
from hepad.detectors.energy_based.langevin import Chain, ReplayBuffer, Sphere, Support, frozen, langevin
from hepad.detectors.energy_based.negative_sampling import ManifoldProjectionDiffusion, OnManifold, Recovery
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.errors import InputError, report_errors
from hepad.representations import Space
from hepad.storage.files import atomic_path

SPACE = Space((1, 40, 40), (), 1600, unit_sum=False)
SETTINGS = AutoencoderSettings(network="heidelberg", hidden_dims=(100,), latent_dim=16, sphere=True)
UNIT_CUBE = Support(0, low=0.0, high=1.0)
BATCH, RATE, GAMMA, RECOVERY, SIGMA = 128, 1e-5, 1.0, 1e-4, (0.05, 0.3)
NAE_CHAINS = {"latent": Chain(30, 0.2, 0.05), "visible": Chain(30, 10, 0.05)}
MPDR_CHAINS = {"latent": Chain(5, 0.1, 0.02, unit=True), "visible": Chain(5, 10, 0.005)}
TABLE = Path(__file__).parent / "tables" / "energy_step_speed.csv"


def plain_network() -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder of ``SETTINGS`` out of torch's layers, with the parameters in hepad's order."""
    encoder, width, latent_dim = [], SETTINGS.hidden_dims[0], SETTINGS.latent_dim
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 8), (8, 1)]):
        encoder += [nn.Conv2d(a, b, 3, padding=1), nn.PReLU()] + [nn.MaxPool2d(2)] * (i == 1)
    encoder += [nn.Flatten(), nn.Linear(400, width), nn.PReLU(), nn.Linear(width, latent_dim)]
    decoder = [
        nn.Linear(latent_dim, width),
        nn.PReLU(),
        nn.Linear(width, 400),
        nn.PReLU(),
        nn.Unflatten(1, (1, 20, 20)),
    ]
    for i, (a, b) in enumerate([(1, 8), (8, 8), (8, 8), (8, 1)]):
        decoder += [nn.Conv2d(a, b, 3, padding=1), nn.PReLU() if i < 3 else nn.Sigmoid()]
        decoder += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)] * (i == 1)
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def copy_of(model: Autoencoder) -> tuple[nn.Sequential, nn.Sequential]:
    """The plain network with the weights of ``model``."""
    parts = plain_network()
    with torch.no_grad():
        for plain, ours in zip(parts, (model.encoder, model.decoder), strict=True):
            for p, q in zip(plain.parameters(), ours.parameters(), strict=True):
                p.copy_(q.view_as(p))
    return parts


def authors_nae(repository: Path, model: Autoencoder):
    module = authors_module(repository, "models.nae")
    latent, visible = NAE_CHAINS["latent"], NAE_CHAINS["visible"]
    chains = {"z_step": latent.n_steps, "z_stepsize": latent.step_size, "z_noise_std": latent.noise_std}
    chains |= {"x_step": visible.n_steps, "x_stepsize": visible.step_size, "x_noise_std": visible.noise_std}
    return module.NAE(*copy_of(model), **chains, gamma=GAMMA, temperature_trainable=False)


def authors_mpdr(repository: Path, manifold: Autoencoder, model: Autoencoder):
    module = authors_module(repository, "models.mpdr.mpdr")
    latent, visible = MPDR_CHAINS["latent"], MPDR_CHAINS["visible"]
    chains = {
        "mcmc_n_step_omi": latent.n_steps,
        "mcmc_stepsize_omi": latent.step_size,
        "mcmc_noise_omi": latent.noise_std,
    }
    chains |= {
        "mcmc_n_step_x": visible.n_steps,
        "mcmc_stepsize_x": visible.step_size,
        "mcmc_noise_x": visible.noise_std,
    }
    chains |= {"mcmc_bound_x": (0, 1), "mcmc_custom_stepsize": True, "mcmc_normalize_omi": latent.unit}
    noise = {"proj_mode": "uniform", "proj_noise_start": SIGMA[0], "proj_noise_end": SIGMA[1]}
    weights = {"proj_const": RECOVERY, "proj_const_omi": RECOVERY, "gamma_neg_recon": GAMMA}
    ae, net_x = module.AE(*copy_of(manifold)), module.AE(*copy_of(model))
    return module.MPDR_Single(ae, net_x, **chains, **noise, **weights)


def images(count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, 40, 40): five Gaussian blobs and a little noise each, the highest pixel is one."""
    axis = torch.arange(40.0)
    centre = torch.rand(count, 5, 2, 1, generator=generator) * 30 + 5
    width = torch.rand(count, 5, 1, 1, generator=generator) * 3 + 1
    y, x = torch.exp(-(((axis - centre) / width) ** 2) / 2).unbind(2)
    blobs = torch.einsum("nky,nkx->nyx", y, x).unsqueeze(1) + 0.05 * torch.rand(count, 1, 40, 40, generator=generator)
    return blobs / blobs.amax((1, 2, 3), keepdim=True)


def trained(x: Tensor, steps: int = 20) -> Reconstruction:
    """An energy after a few steps as an autoencoder, so that its gradients are not those of random weights."""
    energy = Reconstruction(SPACE, SETTINGS)
    optimiser = torch.optim.Adam(energy.parameters(), lr=3e-3)
    for _ in range(steps):
        energy(x).mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    return energy


def loss_of(energy: Reconstruction, x: Tensor, x_neg: Tensor) -> Tensor:
    positive, negative = energy(x), energy(x_neg)
    return positive.mean() - negative.mean() + GAMMA * negative.square().mean()


def our_step(energy, sampler, optimiser, x: Tensor, generator: torch.Generator) -> None:
    """What the energy phase of hepad does with one batch."""
    energy.train()
    loss = loss_of(energy, x, sampler.draw(energy, x, UNIT_CUBE, generator).x)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def gradient(energy: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_(True)
    e = energy(x)
    return e.detach(), torch.autograd.grad(e.sum(), x)[0]


def held(modules: list[nn.Module]) -> Tensor:
    """The gradients that the parameters hold, as one vector."""
    return torch.cat([p.grad.flatten() for module in modules for p in module.parameters()])


def agree(what: str, ours: Tensor, theirs: Tensor, within: float, points: bool = False) -> None:
    """InputError unless the norm of the difference is a small fraction or, of ``points``, no coordinate differs."""
    difference = ours - theirs
    size = (difference.abs().max() if points else difference.norm() / theirs.norm()).item()
    print(f"  {what:40s} differ by {size:.1e}")
    if not size < within:
        raise InputError(f"{what}: ours and theirs differ by {size:.2e}, more than {within}.")


def our_ends(energy: Reconstruction, model: Autoencoder, z0: Tensor, chains: dict) -> tuple[Tensor, Tensor, Tensor]:
    """Codes at the end of the latent chain, their images and the end of the visible chain, all without noise."""
    how = {"generator": torch.Generator()}
    latent, visible = (dataclasses.replace(chains[key], noise_std=0.0) for key in ("latent", "visible"))
    with frozen(energy):
        z = langevin(lambda z: energy.raw(model.decode(z)), z0, latent, domain=Sphere(), **how)
        middle = model.decode(z).detach()
        return z, middle, langevin(energy.raw, middle, visible, domain=UNIT_CUBE, **how)


def agree_gradients(kind: str, ours: Callable, theirs: Callable, x: Tensor, within: float) -> None:
    """Two energies and their gradients with respect to ``x``."""
    for what, a, b in zip(("energies", "gradients"), gradient(ours, x), gradient(theirs, x), strict=True):
        agree(f"{what} {kind}", a, b, within)


def halved(chains: dict[str, Chain]) -> dict[str, Chain]:
    """The same chains with gradients in bfloat16."""
    return {name: dataclasses.replace(chain, bfloat16=True) for name, chain in chains.items()}


def in_half_width(energy: Callable) -> Callable:
    """The energy as chains in bfloat16 compute it."""

    def halved_energy(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return energy(x)

    return halved_energy


def check_nae(energy: Reconstruction, theirs, x: Tensor) -> None:
    agree_gradients("in single precision", energy.raw, theirs.energy, x, 1e-3)
    agree_gradients("in half width", in_half_width(energy.raw), theirs.energy, x, 2e-2)
    x, energy, theirs = x[:32].double(), energy.double(), theirs.double()
    agree_gradients("in double precision", energy.raw, theirs.energy, x, 1e-4)
    z0 = Sphere().project(torch.randn(len(x), SETTINGS.latent_dim, dtype=x.dtype))
    z, middle, end = our_ends(energy, energy.autoencoder, z0, NAE_CHAINS)
    noise, theirs.z_noise_std, theirs.x_noise_std = (theirs.z_noise_std, theirs.x_noise_std), 0.0, 0.0
    agree("ends of the latent chain", z, theirs.sample_z(z0=z0.clone())["sample"], 1e-3, points=True)
    agree("ends of the visible chain", end, theirs.sample_x(x0=middle.clone())["sample"], 1e-3, points=True)
    theirs.z_noise_std, theirs.x_noise_std = noise
    loss_of(energy, x, end).backward()
    theirs.sample = lambda x: {"sample_x": end, "sample_x0": middle}
    theirs.train_step(x, torch.optim.SGD(theirs.parameters(), lr=0.0))
    del theirs.sample
    agree("gradients of the loss", held([energy]), held([theirs.encoder, theirs.decoder]), 1e-4)
    energy.float(), theirs.float()


def check_mpdr(energy: Reconstruction, manifold: Autoencoder, recovery: Recovery, theirs, x: Tensor) -> None:
    agree_gradients("in single precision", energy.raw, theirs.energy_x, x, 1e-3)
    agree_gradients("in half width", in_half_width(energy.raw), theirs.energy_x, x, 2e-2)
    x, energy, manifold, theirs = x[:32].double(), energy.double(), manifold.double(), theirs.double()
    sigma = torch.empty(len(x), dtype=x.dtype).uniform_(*SIGMA)
    with torch.no_grad():
        z = manifold.encode(x)
        target = Sphere().project(z + sigma.unsqueeze(1) * torch.randn_like(z))
    settings = theirs.mcmc_noise_omi, theirs.mcmc_noise_x, theirs.proj_const
    theirs.proj_const = 1.0  # with the weight of the chains the term would be lost beside the energy
    tied = recovery.tie(energy.raw, manifold, target, sigma, 1.0)
    agree_gradients("with recovery", tied, lambda x: -theirs.log_prob(x, theirs.ae, target, sigma), x, 1e-4)
    theirs.mcmc_noise_omi = theirs.mcmc_noise_x = theirs.proj_const = 0.0
    z, middle, end = our_ends(energy, manifold, target, MPDR_CHAINS)
    found = theirs.on_manifold_init_v2(None, target.clone(), sigma)["d_mcmc"]
    agree("ends of the latent chain", z, found["sample"], 1e-3, points=True)
    found = theirs.p_sample_langevin_off_v2(ae=theirs.ae, x_init=middle, z_obs=target, proj_noise=sigma)
    agree("ends of the visible chain", end, found["sample"], 1e-3, points=True)
    theirs.mcmc_noise_omi, theirs.mcmc_noise_x, theirs.proj_const = settings
    loss_of(energy, x, end).backward()
    theirs.update_model_off(x, end, torch.optim.SGD(theirs.net_x.parameters(), lr=0.0))
    agree("gradients of the loss", held([energy]), held([theirs.net_x]), 1e-4)
    energy.float(), manifold.float(), theirs.float()


def compare(name: str, energy, samplers: list, theirs, their_part, x: Tensor, generator, repeats: int) -> list[list]:
    """Time the steps of both sides, ours with chains in single precision and in bfloat16; two rows of the table."""
    optimiser = torch.optim.Adam(energy.parameters(), lr=RATE, fused=True)
    their_optimiser = torch.optim.Adam(their_part.parameters(), lr=RATE)
    names = [name, f"{name}, bfloat16 chains"]
    runs = {
        own: lambda sampler=sampler: our_step(energy, sampler, optimiser, x, generator)
        for own, sampler in zip(names, samplers, strict=True)
    }
    runs["theirs"] = lambda: theirs.train_step(x, their_optimiser)
    seconds = alternate(repeats, runs)
    theirs_s = seconds.pop("theirs")
    for own, ours_s in seconds.items():
        print(f"{own}: ours {ours_s:.3f} s, theirs {theirs_s:.3f} s, ratio {theirs_s / ours_s:.2f}")
    return [[own, f"{s:.4f}", f"{theirs_s:.4f}", f"{theirs_s / s:.2f}"] for own, s in seconds.items()]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nae-repo", type=Path, required=True, help="work tree of normalized-autoencoders")
    parser.add_argument("--mpdr-repo", type=Path, required=True, help="work tree of manifold-projection-...-pytorch")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of each side; medians are reported")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV to write")
    options = parser.parse_args(argv)
    if options.repeats < 1 or options.threads < 1:
        raise InputError("--repeats and --threads must be at least 1.")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x = images(BATCH, generator)

    def fresh(count: int) -> Tensor:
        return Sphere().project(torch.randn(count, SETTINGS.latent_dim, generator=generator))

    energy = trained(x)
    theirs = authors_nae(options.nae_repo, energy.autoencoder)
    check_nae(energy, theirs, x)
    samplers = [
        OnManifold(**chains, buffer=ReplayBuffer(10_000, 0.95, fresh)) for chains in (NAE_CHAINS, halved(NAE_CHAINS))
    ]
    rows = compare("NAE", energy, samplers, theirs, theirs, x, generator, options.repeats)

    energy, manifold = trained(x), trained(x).autoencoder.requires_grad_(False)
    theirs = authors_mpdr(options.mpdr_repo, manifold, energy.autoencoder)
    recovery = Recovery(sigma=SIGMA, weight=RECOVERY, visible_weight=RECOVERY)
    check_mpdr(energy, manifold, recovery, theirs, x)
    samplers = [
        ManifoldProjectionDiffusion((manifold,), recovery, **chains) for chains in (MPDR_CHAINS, halved(MPDR_CHAINS))
    ]
    rows += compare("MPDR-R", energy, samplers, theirs, theirs.net_x, x, generator, options.repeats)

    with atomic_path(options.table) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["detector", "ours_s", "theirs_s", "ratio"])
        writer.writerows(rows)


if __name__ == "__main__":
    with report_errors():
        main()
