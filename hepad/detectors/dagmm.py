r"""DAGMM: an autoencoder and a Gaussian mixture of its codes and errors, trained as one (Zong et al., ICLR 2018).

    compression    z_c = f(x),   x' = g(z_c),   z_r = (|x - x'| / |x|,  x . x' / (|x| |x'|)),   z = (z_c, z_r)
    estimation     gamma = softmax(h(z)),   gamma_ik: the share of Gaussian k in event i

    phi_k = <gamma_ik>,   mu_k = <gamma_ik z_i> / phi_k,   Sigma_k = <gamma_ik (z_i - mu_k) (z_i - mu_k)^T> / phi_k
    E(z)  = -log sum_k phi_k N(z; mu_k, Sigma_k)

    minimise  < |x - x'|^2 > + energy_weight < E(z) > + covariance_weight sum_kj 1 / (Sigma_k)_jj,     score = E(z)

Means are over a batch in training and over all training events for the score. An event far from background is decoded
badly (z_r) or has a rare code (z_c); the energy weighs both. The last term keeps Gaussians from shrinking to a point.
In training half of h's hidden units, the share ``dropout``, are left out.

The weights (0.1 and 0.005), 4 Gaussians, a code of one number, h with one layer of 10 tanh and its dropout of 0.5 are
the paper's for KDDCUP, whose encoder has layers of 60, 30 and 10. Otherwise than there, f and g are this package's
networks, leaky ReLU in the place of tanh; lengths and variances have a floor, of 1e-3 per entry and of 1e-6, without
which an event at the mean would have an infinite relative error.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import Reconstructing
from hepad.detectors.baselines import Gaussians, mixture_energy
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.settings import Criterion, Fit, Schedule
from hepad.errors import InputError
from hepad.representations import Space

FLOOR = 1e-3  # of the root mean square of an event's entries
LEAST_VARIANCE = 1e-6


def mixture_of(z: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log phi (K,), mu (K, d), roots L (K, d, d) with Sigma^-1 = L L^T, and the diagonals of Sigma (K, d).

    z: (N, d) codes; gamma: (N, K) shares. Where a Sigma has no inverse its root is NaN.
    """
    count = gamma.sum(0)
    mu = gamma.T @ z / count.unsqueeze(1)
    centred = z - mu.unsqueeze(1)  # (K, N, d)
    sigma = (gamma.T.unsqueeze(2) * centred).transpose(1, 2) @ centred / count.view(-1, 1, 1)
    unit = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    sigma = sigma + LEAST_VARIANCE * unit
    lower, failed = torch.linalg.cholesky_ex(sigma)
    lower = lower.masked_fill(failed.view(-1, 1, 1) != 0, math.nan)
    root = torch.linalg.solve_triangular(lower, unit.expand_as(sigma), upper=False).transpose(1, 2)
    return (count / len(z)).log(), mu, root, sigma.diagonal(dim1=1, dim2=2)


def _length(v: Tensor, floor: float) -> Tensor:
    """sqrt(|v|^2 + floor^2) (B,) of v (B, D), whose squares may be beyond single precision."""
    unit = v.abs().amax(1, keepdim=True).clamp(min=1)
    return ((v / unit).square().sum(1) + (floor / unit[:, 0]).square()).sqrt() * unit[:, 0]


class DAGMM(Reconstructing):
    """Energy of codes and errors of reconstruction under a Gaussian mixture that is trained with the autoencoder.

    Parameters
    ----------
    space: what the representation yields
    network: a name in hepad.detectors.networks.NETWORKS; hidden_dims: widths of dense layers; latent_dim: size of z_c
    n_gaussians: number of Gaussians
    estimation: width of the estimation network; dropout: share of it that is left out in training
    energy_weight: of the energy in the loss; covariance_weight: of the inverse variances
    training: a Schedule
    n_components: as for Detector
    """

    score_name = "energy of code and error"

    @dataclass(frozen=True, kw_only=True)
    class Settings(Reconstructing.Settings):
        network: str = "dense"
        hidden_dims: tuple[int, ...] = (60, 30, 10)
        latent_dim: int = 1
        n_gaussians: int = 4
        estimation: int = 10
        dropout: float = 0.5
        energy_weight: float = 0.1
        covariance_weight: float = 0.005
        training: Schedule
        n_components: int = 0

        def __post_init__(self):
            if self.n_gaussians < 1 or self.estimation < 1 or not 0 <= self.dropout < 1:
                raise InputError("DAGMM: n_gaussians, estimation >= 1 and 0 <= dropout < 1 are needed.")
            if min(self.energy_weight, self.covariance_weight) < 0:
                raise InputError("DAGMM: energy_weight and covariance_weight must not be negative.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        settings = self.settings
        size = AutoencoderSettings(settings.network, settings.hidden_dims, settings.latent_dim, sphere=False)
        self.model = Autoencoder(self.inner, size)
        width = settings.latent_dim + 2
        self.hidden = nn.Linear(width, settings.estimation)
        self.shares = nn.Linear(settings.estimation, settings.n_gaussians)
        self.gaussians = Gaussians(width, settings.n_gaussians)

    def compress(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, latent_dim + 2) and the squared error |x - x'|^2 (B,) of normalised events."""
        code = self.model.encode(x)
        flat, made = x.flatten(1), self.model.decode(code).flatten(1)
        floor = FLOOR * math.sqrt(flat.shape[1])
        length, of_made, error = (_length(v, floor) for v in (flat, made, flat - made))
        cosine = ((flat / length[:, None]) * (made / of_made[:, None])).sum(1)
        z = torch.cat([code, (error / length).unsqueeze(1), cosine.unsqueeze(1)], 1)
        return z, (flat - made).square().sum(1)

    def estimate(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """gamma (B, n_gaussians) of z; with a generator a share of the hidden units is left out, as in training."""
        hidden, dropout = torch.tanh(self.hidden(z)), self.settings.dropout
        if generator is not None and dropout:
            kept = torch.rand(hidden.shape, generator=generator, device=z.device) >= dropout
            hidden = hidden * kept / (1 - dropout)
        return torch.softmax(self.shares(hidden), 1)

    def objective(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimised, of a batch of normalised events, and its parts."""
        z, error = self.compress(x)
        log_weight, mu, root, variances = mixture_of(z.double(), self.estimate(z, generator).double())
        energy = mixture_energy(z.double(), log_weight, mu, root).mean()
        penalty = (1 / variances).sum()
        value = error.mean() + self.settings.energy_weight * energy + self.settings.covariance_weight * penalty
        return value.float(), {"reconstruction": error.detach().mean(), "energy": energy.detach()}

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        self.model.head.fit(train)

        def measure() -> dict[str, float]:
            with torch.no_grad():
                return {"valid_loss": self.objective(valid)[0].item()}

        def loss(x: Tensor, _step: int):
            return self.objective(x, fitting.generator)

        options = {"phase": "dagmm", "measure": measure, "criterion": Criterion("valid_loss")}
        history, _ = fitting.minimise(self, loss, train, self.settings.training, **options)
        with torch.no_grad():
            z = torch.cat([self.compress(part)[0] for part in train.split(1024)])
            log_weight, mu, root, _ = mixture_of(z.double(), self.estimate(z).double())
        self.gaussians.log_weight.copy_(log_weight)
        self.gaussians.mu.copy_(mu)
        self.gaussians.precision_root.copy_(root)
        error = in_blocks(self.model.error, valid).mean().item()
        shares = log_weight.exp().sort(descending=True).values.tolist()
        return Fit(history, {"r2": self._check_reconstruction(valid, error), "shares": shares})

    def anomaly(self, x: Tensor) -> Tensor:
        return self.gaussians(self.compress(x)[0])

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.normalise.invert(self.model(self.normalise(x)))
