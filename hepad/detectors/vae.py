r"""Variational autoencoder with a normalizing flow on its posterior (Rezende, Mohamed, arXiv:1505.05770; for new
physics Jawahar et al., arXiv:2110.08508).

    z0 = mu(x) + sigma(x) eps,   zK, log|det J| = flow(z0; h(x)),   p(z) = N(0, 1)

    -ELBO(x) = -log p(x|zK) + beta [ log q(z0|x) - log|det dzK/dz0| - log p(zK) ]
             =  reconstruction  +  beta  KL

beta rises linearly from zero over the warm-up. The likelihood is one of

    gaussian   p(x|z) = N(g(z), s^2), s^2 = < |x - g(z)|^2 > / D, for which the likelihood is largest
    chamfer    p(x|z) ~ exp(-C(x, g(z))), C of hepad.detectors.distances between objects; not normalised over x

In training s^2 is that of the batch, and the first term D/2 (log < |x - g(z)|^2 / D > + 1 + log 2 pi); in a score it is
that of background validation events (Rybkin, Daniilidis, Levine, arXiv:2006.13202). As a parameter of the optimiser
log s^2 would fall by the learning rate in an update: after a thousand of them s^2 would still be many times the error,
the KL term would weigh as many times more, and the posterior would fall back to the prior.

Scores. The first three are deterministic, at z0 = mu; the last needs a normalised likelihood.

    reconstruction   mean squared error, or C
    kl               log q(z0|x) - log|det J| - log p(zK)
    elbo             -ELBO with beta = 1
    importance       -log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), which falls to -log p(x) as K grows (Burda, Grosse,
                     Salakhutdinov, arXiv:1509.00519); the K eps are drawn once and the same for all events
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors import flows
from hepad.detectors.base import Detector, Generating, Reconstructing
from hepad.detectors.distances import chamfer
from hepad.detectors.networks import NETWORKS, Head, check_decoder
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import InputError, check_choice
from hepad.representations import Space, occupied

SCORES = ("reconstruction", "kl", "elbo", "importance")
LIKELIHOODS = ("gaussian", "chamfer")
LOG_TWO_PI = math.log(2 * math.pi)
LEAST_VARIANCE = 1e-10  # of normalised events
PATTERNS = 1024  # patterns of occupied places, kept for generation


class ConvVAE(Reconstructing, Generating):
    """VAE with convolutional or dense networks and a flow on the latents.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.detectors.networks.NETWORKS that has a decoder; hidden_dims: widths of dense layers
    latent_dim: dimension of z
    context: width of the encoder's output h, from which mu, sigma and the flow's parameters are computed
    flow: {type: Planar, layers: 6}, any of hepad.detectors.flows, or None for the plain VAE
    likelihood: 'gaussian', or 'chamfer' for events made of objects
    training: a Schedule; warmup: share of it over which beta rises; beta: its final value
    score: 'reconstruction', 'kl', 'elbo' or 'importance'; samples: K of the last

    Raises
    ------
    InputError: an unknown name, a flow that does not fit the latents, 'chamfer' without objects, 'importance' with it
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        network: str = "strided"
        hidden_dims: tuple[int, ...] = (100,)
        latent_dim: int = 8
        context: int = 64
        flow: dict | None = None
        likelihood: str = "gaussian"
        training: Schedule
        warmup: float = 0.3
        beta: float = 1.0
        score: str = "reconstruction"
        samples: int = 32

        def __post_init__(self):
            check_decoder("network", self.network)
            check_choice("likelihood", self.likelihood, LIKELIHOODS)
            check_choice("score", self.score, SCORES)
            if self.likelihood == "chamfer" and self.score == "importance":
                raise InputError(
                    "score 'importance' is -log p(x) and needs a normalised likelihood; 'chamfer' is none. "
                    "Use likelihood 'gaussian' or score 'elbo'."
                )
            if self.samples < 1:
                raise InputError(f"samples: {self.samples} must be at least 1.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings, latent_dim, context = self.settings, self.settings.latent_dim, self.settings.context
        if settings.likelihood == "chamfer" and not space.objects:
            raise InputError("likelihood 'chamfer' compares objects, and these events have none. Use 'gaussian'.")
        make_encoder, make_decoder = NETWORKS[settings.network]
        self.encoder = nn.Sequential(make_encoder(space.shape, context, list(settings.hidden_dims)), nn.LeakyReLU())
        self.posterior = nn.Linear(context, 2 * latent_dim)
        self.flow = flows.build(settings.flow, latent_dim, context) if settings.flow else None
        self.decoder = nn.Sequential(make_decoder(latent_dim, space.shape, list(settings.hidden_dims)), Head(space))
        self.dimension = math.prod(space.shape)
        if settings.likelihood == "gaussian":
            self.register_buffer("log_variance", torch.zeros(()))  # log s^2
        self.register_buffer("eps", torch.randn(settings.samples, latent_dim))
        if space.objects:
            self.register_buffer("patterns", torch.ones(PATTERNS, 1, space.shape[1], 1, dtype=torch.bool))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """h (B, context), mu and log sigma (B, latent_dim) of z0."""
        h = self.encoder(x)
        mu, log_sigma = self.posterior(h).chunk(2, dim=1)
        return h, mu, log_sigma.clamp(-8, 8)

    def elbo_terms(self, x: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction score, -log p(x|zK) and flow KL, each (B,); ``noise`` is eps (B, latent_dim), None is zero."""
        return self._elbo_terms(x, self.encode(x), noise)

    def _elbo_terms(self, x: Tensor, encoded: tuple[Tensor, Tensor, Tensor], noise: Tensor | None):
        reconstruction, kl = self._terms(x, encoded, noise)
        return reconstruction, self._nll(reconstruction), kl

    def _terms(self, x: Tensor, encoded: tuple[Tensor, Tensor, Tensor], noise: Tensor | None):
        h, mu, log_sigma = encoded
        eps = torch.zeros_like(mu) if noise is None else noise
        z = mu + log_sigma.exp() * eps
        log_q = (-0.5 * (eps.square() + LOG_TWO_PI) - log_sigma).sum(1)
        if self.flow is not None:
            z, log_abs_det_jacobian = self.flow(z, h)
            log_q = log_q - log_abs_det_jacobian
        kl = log_q + 0.5 * (z.square() + LOG_TWO_PI).sum(1)
        return self._distance(x, self.decoder(z)), kl

    def _distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Reconstruction score (B,) of normalised events x and decoded y."""
        if self.settings.likelihood == "chamfer":
            return chamfer(x, y)
        return (x - y).square().flatten(1).sum(1) / self.dimension

    def _nll(self, reconstruction: Tensor) -> Tensor:
        """-log p(x|z), (B,), of reconstruction scores (B,)."""
        if self.settings.likelihood == "chamfer":
            return reconstruction
        scaled = reconstruction * torch.exp(-self.log_variance) + self.log_variance + LOG_TWO_PI
        return 0.5 * self.dimension * scaled

    def _fit_variance(self, reconstruction: Tensor) -> None:
        """Take s^2 from reconstruction scores (B,), without a gradient: there the likelihood is largest."""
        if self.settings.likelihood == "gaussian":
            self.log_variance.copy_(reconstruction.detach().mean().clamp_min(LEAST_VARIANCE).log())

    def embed(self, x: Tensor) -> Tensor:
        return self.encode(x)[1]

    def anomaly(self, x: Tensor) -> Tensor:
        if self.settings.score == "importance":
            return self._importance(x)
        reconstruction, nll, kl = self.elbo_terms(x, None)
        return {"reconstruction": reconstruction, "kl": kl, "elbo": nll + kl}[self.settings.score]

    def terms(self, x: Tensor) -> Tensor | None:
        if self.settings.score != "reconstruction" or self.settings.likelihood != "gaussian":
            return None
        return (x - self._decoded(x)).square() / x.shape[1:].numel()

    def _importance(self, x: Tensor) -> Tensor:
        encoded = self.encode(x)
        log_weights = []
        for eps in self.eps:
            _, nll, kl = self._elbo_terms(x, encoded, eps.expand_as(encoded[1]))
            log_weights.append(-nll - kl)
        return math.log(len(self.eps)) - torch.stack(log_weights).logsumexp(0)

    def _decoded(self, x: Tensor) -> Tensor:
        """What normalised events are decoded to at z0 = mu."""
        h, z, _ = self.encode(x)
        if self.flow is not None:
            z, _ = self.flow(z, h)
        return self.decoder(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decoded at z0 = mu; places without an object stay empty."""
        with torch.no_grad():
            normalised = self.normalise(x)
            decoded = self._decoded(normalised)
            return self.normalise.invert(decoded * occupied(normalised) if self.space.objects else decoded)

    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        """Events decoded from z ~ N(0, 1): the mean g(z), without the noise s of the gaussian likelihood. Objects are
        in the places of a background training event drawn independently of z, since the decoder fills all."""
        device = generator.device
        z = torch.randn(count, self.settings.latent_dim, generator=generator, device=device)
        with torch.no_grad():
            x = torch.cat([self.decoder(part) for part in z.split(1024)])
            if self.space.objects:
                x = x * self.patterns[torch.randint(PATTERNS, (count,), generator=generator, device=device)]
            return self.normalise.invert(x)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        noise = torch.randn(
            len(valid), self.settings.latent_dim, generator=fitting.generator, device=train.device
        )  # fixed for all
        self.decoder[-1].fit(train)
        if self.space.objects:
            drawn = torch.randint(len(train), (PATTERNS,), generator=fitting.generator, device=train.device)
            self.patterns.copy_(occupied(train[drawn]))
        rise = max(1.0, self.settings.warmup * self.settings.training.steps)

        def loss(x: Tensor, step: int):
            eps = torch.randn(len(x), self.settings.latent_dim, generator=fitting.generator, device=x.device)
            reconstruction, kl = self._terms(x, self.encode(x), eps)
            self._fit_variance(reconstruction)
            beta = self.settings.beta * min(1.0, step / rise)
            logged = {"reconstruction": reconstruction.detach().mean(), "kl": kl.detach().mean()}
            return (self._nll(reconstruction) + beta * kl).mean() / self.dimension, logged

        def measure() -> dict[str, float]:
            with torch.no_grad():
                blocks = zip(valid.split(256), noise.split(256), strict=True)
                parts = [self._terms(x, self.encode(x), eps) for x, eps in blocks]
                reconstruction, kl = (torch.cat(part) for part in zip(*parts, strict=True))
                self._fit_variance(reconstruction)
                nll, kl = self._nll(reconstruction).mean().item(), kl.mean().item()
            return {"valid_loss": (nll + self.settings.beta * kl) / self.dimension, "negative_elbo": nll + kl}

        options = {"phase": "vae", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        reconstruction, kl = (
            in_blocks(lambda x, i=i: self.elbo_terms(x, None)[i], valid).mean().item() for i in (0, 2)
        )
        mean = valid.mean(0)
        baseline = in_blocks(lambda x: self._distance(x, mean.expand_as(x)), valid).mean().item()
        r2 = self._check_reconstruction(valid, reconstruction, baseline)
        return Fit(history, {"r2": r2, "kl": kl, "negative_elbo": measure()["negative_elbo"]})
