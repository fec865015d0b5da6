r"""Generative adversarial network with an encoder: WGAN-GP (Gulrajani et al., arXiv:1704.00028) and the score of
f-AnoGAN (Schlegl et al., Medical Image Analysis 54 (2019) 30; for galaxies Storey-Fisher et al., arXiv:2105.02434).

    x~ = G(z),   z ~ p(z);        D(x) = a . LeakyReLU(f(x)) + b,   f: the critic's features
    x^ = t x + (1 - t) x~,        t uniform in [0, 1] for each event

    critic       minimise   < D(x~) > - < D(x) > + penalty < (|grad D(x^)| - 1)^2 >,    ``ratio`` steps, then
    generator    minimise   - < D(x~) >,                                                one step
    encoder      minimise   R(x) + C(x)  with G and D fixed                 (izi_f of f-AnoGAN, its kappa = 1)

    R(x) = |x - G(E(x))|^2 / D_x,        C(x) = |f(x) - f(G(E(x)))|^2 / D_f

    score(x) = lambda R(x) / < R > + (1 - lambda) C(x) / < C >,     the means over background training events

Both terms are one on background, so that lambda weights them as it says; Storey-Fisher's lambda is 1 - lambda here.
p(z) is uniform on the sphere or, without ``sphere``, normal. |grad D| is the norm over all entries of one event. The
critic's Adam has no memory of the gradient (beta_1 = 0), as in the paper: with it the game did not converge on images.
The state that is kept has the smallest sliced Wasserstein distance between generated and validation events,

    SW(p, q) = < W_1(u . x, u . x~) >  over 64 fixed directions u
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepad.detectors.base import Detector, Generating, Reconstructing
from hepad.detectors.energy_based.langevin import frozen
from hepad.detectors.networks import NETWORKS, Autoencoder, AutoencoderSettings
from hepad.detectors.training import distributed
from hepad.detectors.training.loop import Fitting, in_blocks
from hepad.detectors.training.optimiser import Adam
from hepad.detectors.training.settings import Criterion, Fit, History, Schedule
from hepad.errors import InputError
from hepad.representations import Space, occupied

DIRECTIONS = 64
ABSENT = 0.5  # a generated object of a smaller norm, in normalised units, is not there


class Critic(nn.Module):
    """Features f of an event and the number D that it is judged by."""

    def __init__(self, space: Space, settings: AutoencoderSettings, features: int):
        super().__init__()
        make_encoder, _ = NETWORKS[settings.network]
        self.features = make_encoder(space.shape, features, list(settings.hidden_dims))
        self.judge = nn.Sequential(nn.LeakyReLU(), nn.Linear(features, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B,)."""
        return self.judge(self.features(x)).squeeze(1)


def gradient_penalty(critic, x: Tensor, generated: Tensor, t: Tensor) -> Tensor:
    """(|grad D| - 1)^2, (B,), between events x and ``generated`` (B, ...), at the fractions t (B,) of x."""
    t = t.view(-1, *[1] * (x.dim() - 1))
    points = (t * x + (1 - t) * generated).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square()


def sliced_wasserstein(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Mean over unit vectors (K, D) of W_1 between the projections of equally many events x and y (N, D)."""
    a, b = ((events @ directions.T).sort(dim=0).values for events in (x, y))
    return (a - b).abs().mean()


class WGAN(Reconstructing, Generating):
    """Residual of what generator and encoder make of an event, and of the critic's features.

    Parameters
    ----------
    space: what the representation yields
    autoencoder: AutoencoderSettings of encoder and generator, which is its decoder; the critic has its network, too
    features: number of the critic's features f
    training: a Schedule; its steps are the generator's, its learning_rate is the critic's too, without the
        decay; ``ema_decay`` > 0 steadies the generator
    encoding: a Schedule for the encoder; None for that of ``training``
    ratio: steps of the critic for each of the generator
    penalty: weight of the gradient penalty; 10, the paper's, on images, while in few dimensions 1 converges faster
    residual_weight: lambda, the weight of the residual of the event in the score, from 0 to 1
    n_components: as for Detector
    """

    @dataclass(frozen=True, kw_only=True)
    class Settings(Detector.Settings):
        autoencoder: AutoencoderSettings = AutoencoderSettings()
        features: int = 64
        training: Schedule
        encoding: Schedule | None = None
        ratio: int = 5
        penalty: float = 10.0
        residual_weight: float = 0.5
        n_components: int = 0

        def __post_init__(self):
            if self.ratio < 1 or self.penalty <= 0 or self.features < 1 or not 0 <= self.residual_weight <= 1:
                raise InputError("WGAN: ratio, features >= 1, penalty > 0 and residual_weight in [0, 1] are needed.")

    def __init__(self, space: Space, **arguments):
        super().__init__(space, **arguments)
        self.model = Autoencoder(self.inner, self.settings.autoencoder)
        self.critic = Critic(self.inner, self.settings.autoencoder, self.settings.features)
        self.register_buffer("scale", torch.ones(2))  # < R >, < C >

    def _prior(self, count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, self.model.latent_dim, generator=generator, device=self.scale.device)
        return nn.functional.normalize(z, dim=1) if self.model.sphere else z

    def residuals(self, x: Tensor) -> Tensor:
        """R and C (B, 2) of normalised events."""
        decoded = self.model(x)
        pairs = ((x, decoded), (self.critic.features(x), self.critic.features(decoded)))
        return torch.stack([(a - b).square().flatten(1).mean(1) for a, b in pairs], 1)

    def _fit(self, train: Tensor, valid: Tensor, fitting: Fitting) -> Fit:
        self.model.head.fit(train)
        adversarial, distance = self._fit_adversaries(train, valid, fitting)
        encoding, error = self._fit_encoder(train, valid, fitting)
        with torch.no_grad():
            self.scale.copy_(torch.cat([self.residuals(part) for part in train.split(1024)]).mean(0).clamp(min=1e-30))
        return Fit(
            adversarial + encoding, {"r2": self._check_reconstruction(valid, error), "sliced_wasserstein": distance}
        )

    def _fit_adversaries(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, float]:
        generator = fitting.generator
        optimiser = Adam(self.critic.parameters(), betas=(0.0, 0.9))

        def generated(count: int) -> Tensor:
            return self.model.decode(self._prior(count, generator))

        def loss(batch: Tensor, _step: int):
            logged = self._train_critic(train, len(batch), optimiser, generated, generator)
            return -self.critic(generated(len(batch))).mean(), logged

        directions = torch.randn(DIRECTIONS, train[0].numel(), generator=generator, device=train.device)
        directions = nn.functional.normalize(directions, dim=1)
        z = self._prior(len(valid), generator)  # the same for all candidates

        def measure() -> dict[str, float]:
            with torch.no_grad():
                x = torch.cat([self.model.decode(part) for part in z.split(1024)])
            return {"valid_loss": sliced_wasserstein(valid.flatten(1), x.flatten(1), directions).item()}

        # the candidates hold the critic beside its generator; the loop has the parameters of the generator alone
        networks = nn.ModuleList([self.model.decoder, self.model.head, self.critic])
        with frozen(self.critic):
            history, _ = fitting.minimise(
                networks,
                loss,
                train,
                self.settings.training,
                phase="adversaries",
                measure=measure,
                criterion=Criterion("valid_loss"),
                carried={"critic": optimiser},
            )
        return history, measure()["valid_loss"]

    def _train_critic(self, train: Tensor, count: int, optimiser, generated, generator) -> dict[str, Tensor]:
        """``ratio`` steps on fresh events; the last step's estimate of the distance, < D(x) > - < D(x~) >."""
        self.critic.requires_grad_(True)
        for _ in range(self.settings.ratio):
            x = train[torch.randint(len(train), (count,), generator=generator, device=train.device)]
            with torch.no_grad():
                other = generated(count)
            t = torch.rand(count, generator=generator, device=train.device)
            slope = gradient_penalty(self.critic, x, other, t).mean()
            distance = self.critic(x).mean() - self.critic(other).mean()
            optimiser.zero_grad()
            (self.settings.penalty * slope - distance).backward()
            distributed.average_gradients(self.critic.parameters())
            optimiser.step(self.settings.training.learning_rate)
        self.critic.requires_grad_(False)
        return {"distance": distance.detach(), "slope_penalty": slope.detach()}

    def _fit_encoder(self, train: Tensor, valid: Tensor, fitting: Fitting) -> tuple[History, float]:
        def measure() -> dict[str, float]:
            return {"valid_loss": in_blocks(lambda x: self.residuals(x).sum(1), valid).mean().item()}

        def loss(x: Tensor, _step: int):
            return self.residuals(x).sum(1).mean() + self.model.penalty(), {}

        with frozen(self.model.decoder, self.critic):
            history, _ = fitting.minimise(
                self.model.encoder,
                loss,
                train,
                self.settings.encoding or self.settings.training,
                phase="encoder",
                measure=measure,
                criterion=Criterion("valid_loss"),
            )
        return history, in_blocks(self.model.error, valid).mean().item()

    def anomaly(self, x: Tensor) -> Tensor:
        image, feature = (self.residuals(x) / self.scale).unbind(1)
        weight = self.settings.residual_weight
        return weight * image + (1 - weight) * feature

    def reconstruct(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            normalised = self.normalise(x)
            decoded = self.model(normalised)
            return self.normalise.invert(decoded * occupied(normalised) if self.space.objects else decoded)

    def generate(self, count: int, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            x = self.model.decode(self._prior(count, generator))
            if self.space.objects:
                x = x * (x.norm(dim=-1, keepdim=True) > ABSENT)
            return self.normalise.invert(x)
