r"""Variational autoencoder with a normalizing flow on its posterior (Rezende, Mohamed, arXiv:1505.05770; for new
physics Jawahar et al., arXiv:2110.08508).

    z0 = mu(x) + sigma(x) eps,   zK, log|det J| = flow(z0; h(x)),   p(z) = N(0, 1),   p(x|z) = N(g(z), s^2)

    -ELBO(x) = -log p(x|zK) + beta [ log q(z0|x) - log|det dzK/dz0| - log p(zK) ]
             =  reconstruction  +  beta  KL

s is one learned number. beta rises linearly from zero over the warm-up. The scores are deterministic, at z0 = mu:
'reconstruction' is the mean squared error, 'kl' the flow KL and 'elbo' their sum as in -ELBO with beta = 1.
"""

import math

import torch
from torch import Tensor, nn

from hepad.detectors.base import Reconstructing, settings
from hepad.errors import choose
from hepad.flows import FLOWS
from hepad.networks import NETWORKS, Head
from hepad.progress import Progress
from hepad.representations import Space
from hepad.training import Criterion, Fit, Schedule, fit_loop

SCORES = ("reconstruction", "kl", "elbo")
LOG_TWO_PI = math.log(2 * math.pi)


class ConvVAE(Reconstructing):
    """VAE with convolutional or dense networks and a flow on the latents.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.networks.NETWORKS; hidden: widths of dense layers; latent: dimension of z
    context: width of the encoder's output h, from which mu, sigma and the flow's parameters are computed
    flow: {type: Planar, layers: 6}, or None for the plain VAE
    training: a Schedule; warmup: share of it over which beta rises; beta: its final value
    score: 'reconstruction', 'kl' or 'elbo'
    """

    def __init__(
        self,
        space: Space,
        *,
        network: str = "strided",
        hidden: tuple[int, ...] = (100,),
        latent: int = 8,
        context: int = 64,
        flow: dict | None = None,
        training: dict,
        warmup: float = 0.3,
        beta: float = 1.0,
        score: str = "reconstruction",
    ):
        super().__init__(space)
        make_encoder, make_decoder = NETWORKS[choose("network", network, NETWORKS)]
        self.encoder = nn.Sequential(make_encoder(space.shape, context, list(hidden)), nn.LeakyReLU())
        self.posterior = nn.Linear(context, 2 * latent)
        self.flow = _make_flow(flow, latent, context) if flow else None
        self.decoder = nn.Sequential(make_decoder(latent, space.shape, list(hidden)), Head(space))
        self.log_variance = nn.Parameter(torch.zeros(()))  # log s^2
        self.schedule = settings(Schedule, training, "training")
        self.warmup, self.beta, self.score_kind = warmup, beta, choose("score", score, SCORES)

    def terms(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Squared error, -log p(x|zK) and flow KL, each (B,); ``noise`` is eps (B, latent), None stands for zero."""
        h = self.encoder(x)
        mu, log_sigma = self.posterior(h).chunk(2, dim=1)
        log_sigma = log_sigma.clamp(-8, 8)
        eps = torch.zeros_like(mu) if noise is None else noise
        z = mu + log_sigma.exp() * eps
        log_q = (-0.5 * (eps.square() + LOG_TWO_PI) - log_sigma).sum(1)
        if self.flow is not None:
            z, log_abs_det_jacobian = self.flow(z, h)
            log_q = log_q - log_abs_det_jacobian
        kl = log_q + 0.5 * (z.square() + LOG_TWO_PI).sum(1)
        error = (x - self.decoder(z)).square().flatten(1).sum(1)
        dimension = x[0].numel()
        nll = 0.5 * (error * torch.exp(-self.log_variance) + dimension * (self.log_variance + LOG_TWO_PI))
        return error, nll, kl

    def anomaly(self, x: Tensor) -> Tensor:
        error, nll, kl = self.terms(x, None)
        return {"reconstruction": error / x[0].numel(), "kl": kl, "elbo": nll + kl}[self.score_kind]

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.encoder(self.normalise(x))
            z = self.posterior(h).chunk(2, dim=1)[0]
            if self.flow is not None:
                z, _ = self.flow(z, h)
            return self.normalise.invert(self.decoder(z))

    def _fit(self, train: Tensor, valid: Tensor, generator: torch.Generator, progress: Progress):
        latent, dimension = self.posterior.out_features // 2, train[0].numel()
        noise = torch.randn(len(valid), latent, generator=generator, device=train.device)  # fixed for all
        self.decoder[-1].fit(train)
        rise = max(1.0, self.warmup * self.schedule.steps)

        def loss(x: Tensor, step: int):
            eps = torch.randn(len(x), latent, generator=generator, device=x.device)
            error, nll, kl = self.terms(x, eps)
            beta = self.beta * min(1.0, step / rise)
            logged = {"reconstruction": error.detach().mean() / dimension, "kl": kl.detach().mean()}
            return (nll + beta * kl).mean() / dimension, logged

        def measure() -> dict[str, float]:
            with torch.no_grad():
                parts = [self.terms(x, eps) for x, eps in zip(valid.split(1024), noise.split(1024), strict=True)]
                return {
                    "valid_loss": torch.cat([nll + self.beta * kl for _, nll, kl in parts]).mean().item() / dimension
                }

        how = {"phase": "vae", "generator": generator, "progress": progress, "measure": measure}
        history, _ = fit_loop(self, loss, train, self.schedule, criterion=Criterion("valid_loss"), **how)
        with torch.no_grad():
            parts = [self.terms(x, None) for x in valid.split(1024)]
        error = torch.cat([part[0] for part in parts]).mean().item() / dimension
        kl = torch.cat([part[2] for part in parts]).mean().item()
        negative_elbo = measure()["valid_loss"] * dimension
        return Fit(history, {"r2": self._refuse_poor(valid, error), "kl": kl, "negative_elbo": negative_elbo})


def _make_flow(spec: dict, latent: int, context: int) -> nn.Module:
    arguments = dict(spec)
    return FLOWS[choose("flow: type", arguments.pop("type"), FLOWS)](latent, context, **arguments)
