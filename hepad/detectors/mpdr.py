r"""Manifold projection-diffusion recovery (Yoon, Jin, Noh, Park, NeurIPS 2023).

A frozen autoencoder (f, g) with codes on the unit sphere gives the manifold. For a background event x

    sigma ~ U(sigma_min, sigma_max),   z~ = P( f(x) + sigma eps )                     projection and diffusion
    H(x') = E(x') + c d(f(x'), z~) / (2 sigma^2)                                      recovery likelihood exp(-H/T)
    x-    : latent chain on H(g(z)) from z~, then visible chain on H(x') from g(z)    two-stage sampling
    L     = < E(x) > - < E(x-) > + regulariser

d is the squared distance on the sphere (along the arc: ``geodesic``). sigma is drawn per event (the noise-magnitude
ensemble), and each chain is tied to its own z~ alone. c has one value for each chain; the paper sets it to zero in the
visible chain of images, where its gradient is high-frequency noise (appendix B.1.3). In H the energy of R is the error
e itself, so that steps have the papers' size; T is what step and noise imply. Energies:

    reconstruction (R)   E = e(x) / e0, a second autoencoder that starts as a copy;   regulariser gamma < E(x-)^2 >
    scalar (S)           E = a network with one output, of bounded slope;            regulariser gamma < E^2 + E(x-)^2 >
"""

import copy

import torch
from torch import Tensor, nn

from hepad.detectors.energy import EnergyDetector
from hepad.errors import InputError, choose
from hepad.networks import Autoencoder, dense
from hepad.representations import Space
from hepad.sampling import Sphere, Support, frozen, langevin

ENERGIES = ("reconstruction", "scalar")


class MPDR(EnergyDetector):
    """MPDR-R and MPDR-S on images or vectors.

    Parameters
    ----------
    space: what the representation yields
    kind: 'reconstruction' (R) or 'scalar' (S)
    network, hidden, latent: of the manifold's autoencoder, as for AE; the scalar energy uses ``hidden`` too
    pretraining, training: Schedules of the autoencoder phase and of the energy phase
    latent_chain, visible_chain: Chains (steps, step, noise, clip, unit, anneal)
    sigma: smallest and largest magnitude of the perturbation on the sphere
    recovery, visible_recovery: weight c of the recovery term in the latent and in the visible chain
    geodesic: distance along the arc instead of the chord
    gamma: weight of the squared energies; l2: strength of the L2 term on the weights
    """

    def __init__(
        self,
        space: Space,
        *,
        kind: str = "reconstruction",
        network: str = "dense",
        hidden: tuple[int, ...] = (256, 128),
        latent: int = 16,
        pretraining: dict,
        training: dict,
        latent_chain: dict,
        visible_chain: dict,
        sigma: tuple[float, float] = (0.05, 0.3),
        recovery: float = 1e-4,
        visible_recovery: float = 0.0,
        geodesic: bool = False,
        gamma: float = 0.03,
        l2: float = 0.0,
    ):
        model = Autoencoder(space, network=network, hidden=list(hidden), latent=latent, sphere=True)
        super().__init__(space, model, pretraining, training, latent_chain, visible_chain, l2)
        if not 0 < sigma[0] <= sigma[1]:
            raise InputError(f"MPDR: sigma must be two numbers 0 < smallest <= largest, not {list(sigma)}.")
        self.kind, self.sigma = choose("MPDR: kind", kind, ENERGIES), tuple(sigma)
        if min(recovery, visible_recovery, gamma) < 0:
            raise InputError("MPDR: recovery, visible_recovery and gamma must not be negative.")
        self.recovery, self.visible_recovery, self.geodesic, self.gamma = recovery, visible_recovery, geodesic, gamma
        if kind == "scalar":
            sizes = [torch.Size(space.shape).numel(), *hidden, 1]
            self.net = nn.Sequential(nn.Flatten(), dense(sizes, spectral=True))
        else:
            self.net = copy.deepcopy(model)

    def energy(self, x: Tensor) -> Tensor:
        return self._raw(x) if self.kind == "scalar" else self._raw(x) / self.scale

    def final_facts(self, valid: Tensor, energy: Tensor) -> dict:
        return {"energy": energy.mean().item()} if self.kind == "scalar" else super().final_facts(valid, energy)

    def begin(self, generator: torch.Generator) -> nn.Module:
        self.autoencoder.requires_grad_(False).eval()
        if self.kind == "reconstruction":
            self.net.load_state_dict(self.autoencoder.state_dict())
        return self.net

    def negatives(self, x: Tensor, support: Support, generator: torch.Generator) -> Tensor:
        model, sphere = self.autoencoder, Sphere()
        low, high = self.sigma
        sigma = low + (high - low) * torch.rand(len(x), 1, generator=generator, device=x.device)
        with frozen(self.net):
            with torch.no_grad():
                z = model.encode(x)
                noise = torch.randn(z.shape, generator=generator, device=z.device)
                target = sphere.project(z + sigma * noise)
            z = langevin(
                lambda z: self._recovery(support.project(model.decode(z)), target, sigma, self.recovery),
                target,
                self.latent_chain,
                domain=sphere,
                generator=generator,
            )
            with torch.no_grad():
                start = support.project(model.decode(z))
            return langevin(
                lambda x: self._recovery(x, target, sigma, self.visible_recovery),
                start,
                self.visible_chain,
                domain=support,
                generator=generator,
            )

    def _raw(self, x: Tensor) -> Tensor:
        """The network's output (S) or its error e (R), (B,)."""
        return self.net(x).squeeze(1) if self.kind == "scalar" else self.net.error(x)

    def _recovery(self, x: Tensor, target: Tensor, sigma: Tensor, c: float) -> Tensor:
        """H (B,) with the weight c."""
        energy = self._raw(x)
        if c == 0:
            return energy
        code = self.autoencoder.encode(x)
        if self.geodesic:
            cosine = (code * target).sum(1).clamp(-1 + 1e-6, 1 - 1e-6)
            distance = torch.acos(cosine).square()
        else:
            distance = (code - target).square().sum(1)
        return energy + c * distance / (2 * sigma.squeeze(1).square())

    def reconstruct(self, x: Tensor) -> Tensor:
        if self.kind == "scalar":
            return super().reconstruct(x)
        with torch.no_grad():
            return self.normalise.invert(self.net(self.normalise(x)))

    def regulariser(self, positive: Tensor, negative: Tensor) -> Tensor:
        squares = negative.square().mean()
        return self.gamma * (squares + positive.square().mean() if self.kind == "scalar" else squares)
