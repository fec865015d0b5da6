r"""Density of eight Gaussians on a circle: how far exp(-E/T) of each detector is from the truth.

    python benchmarks/eight_gaussians.py

The mixture of section 4.2 of the MPDR paper (NeurIPS 2023; loader/synthetic.py of its code): centres on a circle of
radius 4/sqrt(2), width 0.5/sqrt(2). On the paper's grid of 100 x 100 points over [-4, 4]^2, with cells of area a,

    p = truth,  q = exp(-E_raw/T) / Omega,  both normalised to  sum p a = sum q a = 1,   l1 = sum |p - q| a  in [0, 2]

`l1_ring` is the same on the grid points within three widths of the circle, where both are normalised anew. T is
noise^2 / (2 step) of the chains; `l1_best_t` is l1_grid at the temperature of largest likelihood of held-out data, the
only fair reading of an autoencoder, which has no temperature (its other figures are at that of its setting, and mean
little). The paper gives the mean of |p - q| over the grid, 0.018 (scalar) and 0.012 (reconstruction), which the
densities stored with its code confirm: times the area of 64, an l1 of 1.156 and 0.773.

Each detector is tuned over the same number of settings, on a seed of its own and by the likelihood of held-out data on
the grid; of those of an autoencoder, which has no chains, two and two are the same. cd_r and cd_s are MPDR's energies
trained by contrastive divergence.
"""

import math
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from records import HERE, arguments, carry_out, finished, table_path, with_kept, write_table

from hepad import detectors
from hepad.figures.style import save, style
from hepad.representations import Space

# Updates of the autoencoder and energy phases and events in each; events to train on and held out; widths of the three
# hidden layers of autoencoders and of scalar networks.
SCALES = {
    "smoke": {"autoencoder": 50, "energy": 5, "batch": 50, "train": 1000, "valid": 100, "seeds": (0,), "width": 32,
              "scalar": 32},
    "laptop": {"autoencoder": 500, "energy": 1000, "batch": 100, "train": 50_000, "valid": 5000, "seeds": (0, 1, 2),
               "width": 128, "scalar": 128},
    "paper": {"autoencoder": 500, "energy": 4000, "batch": 200, "train": 500_000, "valid": 5000, "seeds": (0, 1, 2),
              "width": 128, "scalar": 256},
}  # fmt: skip
NAME = "eight_gaussians"
RADIUS, WIDTH = 4 / math.sqrt(2), 0.5 / math.sqrt(2)
LIMIT, POINTS = 4.0, 100
RING = (RADIUS - 3 * WIDTH, RADIUS + 3 * WIDTH)
TUNING_SEED = 100
TEMPERATURES = np.geomspace(1e-4, 10, 101)
PUBLISHED = {"mpdr_s": 64 * 0.01806, "mpdr_r": 64 * 0.01208}
# What is tuned: temperature of the chains (in normalised units) and rate; equally many settings for everyone. The
# slope of a scalar network is at most about one, so that its temperature must be small. Metropolis-adjusted visible
# chains may take steps as large as the modes; those of WNAE, which have a gradient, cannot be adjusted.
NOISE, SMALL_NOISE = 0.15, 0.075
LATENT_NOISE = 0.05
# The paper has 0.05 to 0.3. A tie of 0.05 is narrower than the chain's noise, and 0.3 takes two points of five to the
# neighbouring mode, from where ten steps do not come back.
SIGMA = [0.1, 0.2]
MANIFOLDS = [2, 3, 4]  # latent sizes; circles alone, as in the paper, leave the plane between the modes unsampled
RECONSTRUCTION = [{"temperature": t, "learning_rate": rate} for t in (0.02, 0.03) for rate in (5e-4, 1e-3)]
SCALAR = [{"temperature": t, "learning_rate": rate} for t in (3e-4, 1e-3) for rate in (3e-3, 1e-2)]
SETTINGS = {"mpdr_s": SCALAR, "cd_s": SCALAR, "drl": SCALAR} | {
    name: RECONSTRUCTION for name in ("mpdr_r", "cd_r", "nae_omi", "nae_pcd", "wnae", "ae")
}
TITLES = {
    "mpdr_s": "MPDR-S", "mpdr_r": "MPDR-R", "cd_s": "CD, scalar", "cd_r": "CD, reconstruction", "nae_omi": "NAE (OMI)",
    "nae_pcd": "NAE (PCD)", "wnae": "WNAE", "drl": "DRL", "ae": "AE",
}  # fmt: skip


def sample(count: int, seed: int) -> torch.Tensor:
    """(count, 2) points of the mixture."""
    rng = np.random.default_rng(seed)
    angle = rng.integers(8, size=count) * math.pi / 4
    centre = RADIUS * np.stack([np.cos(angle), np.sin(angle)], 1)
    return torch.from_numpy((centre + WIDTH * rng.normal(size=(count, 2))).astype(np.float32))


def grid() -> torch.Tensor:
    """(POINTS^2, 2) points, the first coordinate varying slowest."""
    line = torch.linspace(-LIMIT, LIMIT, POINTS)
    return torch.cartesian_prod(line, line)


def truth(x: torch.Tensor) -> np.ndarray:
    """Density (N,) of the mixture at x (N, 2)."""
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    centre = RADIUS * torch.stack([angle.cos(), angle.sin()], 1)
    squares = (x.double().unsqueeze(1) - centre).square().sum(-1)
    return (torch.exp(-squares / (2 * WIDTH**2)).mean(1) / (2 * math.pi * WIDTH**2)).numpy()


def l1(p: np.ndarray, q: np.ndarray, where: np.ndarray | None = None) -> float:
    """sum |p - q| a of two densities on the same points, each normalised there; the cell's area cancels."""
    where = np.ones(len(p), bool) if where is None else where
    return float(np.abs(p[where] / p[where].sum() - q[where] / q[where].sum()).sum())


def boltzmann(energy: np.ndarray, temperature: float) -> np.ndarray:
    """exp(-E/T), up to a factor that keeps the numbers finite."""
    return np.exp(-(energy - energy.min()) / temperature)


def log_likelihood(on_grid: np.ndarray, on_events: np.ndarray, temperature: float) -> float:
    """Mean log-likelihood of events under exp(-E/T), normalised on the grid."""
    area = (2 * LIMIT / POINTS) ** 2
    shift = on_grid.min()
    log_omega = math.log(np.exp(-(on_grid - shift) / temperature).sum() * area)
    return float(-(on_events - shift).mean() / temperature - log_omega)


def spec(name: str, setting: dict, size: dict) -> dict:
    """The detector's entry for one setting of temperature and rate."""
    width, energy_rate = size["width"], setting["learning_rate"]
    autoencoder = {"network": "dense", "hidden_dims": [width] * 3, "latent_dim": 2, "sphere": True}
    scalar = {"network": "dense", "hidden_dims": [size["scalar"]] * 3}

    def chain(steps: int, noise: float, **more) -> dict:
        return {"n_steps": steps, "step_size": noise**2 / (2 * setting["temperature"]), "noise_std": noise, **more}

    alone = {"steps": size["autoencoder"], "batch": size["batch"], "learning_rate": 1e-3}
    how = {
        "training": {"steps": size["energy"], "batch": size["batch"], "learning_rate": energy_rate, "ema_decay": 0.99},
        "visible_chain": chain(10, NOISE, metropolis=True), "objective": {"gamma": 0.001, "events": 200},
    }  # fmt: skip
    start = {"autoencoder": autoencoder, "pretraining": alone}
    # with c = T the chains sample the recovery likelihood itself (eq. 7 of the paper); the paper has c = 1e-4
    exact = setting["temperature"]
    mpdr = {**start, **how, "recovery": {"sigma": SIGMA, "weight": exact, "visible_weight": exact},
            "latent_chain": chain(2, LATENT_NOISE), "manifolds": MANIFOLDS}  # fmt: skip
    entries = {
        "mpdr_s": (
            "MPDR",
            {**mpdr, "kind": "scalar", "autoencoder": {**autoencoder, "hidden_dims": scalar["hidden_dims"]}},
        ),
        "mpdr_r": ("MPDR", {**mpdr, "kind": "reconstruction"}),
        "cd_s": ("IGEBM", {**scalar, **how, "start": "data"}),
        "cd_r": ("NAE", {**start, **how, "start": "data"}),
        "nae_omi": ("NAE", {**start, **how, "latent_chain": {"n_steps": 10, "step_size": 0.1, "noise_std": 0.1}}),
        "nae_pcd": ("NAE", {**start, **how, "start": "persistent"}),
        "wnae": ("WNAE", {**start, **how, "visible_chain": chain(10, SMALL_NOISE), "objective": {"events": 200}}),
        "drl": ("DRL", {**scalar, **how, "sigma": [0.1, 0.3], "weight": exact}),
        "ae": ("AE", {"autoencoder": autoencoder, "training": {**alone, "learning_rate": energy_rate}}),
    }
    kind, arguments_ = entries[name]
    return {"type": kind, "arguments": arguments_}


def evaluate(run: dict, settings: dict, device: str) -> dict:
    """Fit one detector and compare its density with the truth."""
    seed = run.get("seed", TUNING_SEED)
    train, valid = (sample(settings[key], [seed, part]).to(device) for part, key in enumerate(("train", "valid")))
    detector = detectors.build(settings["spec"], Space((2,), ("x", "y")), seed).to(device)
    fit = detector.fit(train, valid, generator=torch.Generator(device).manual_seed(seed))

    def raw(x: torch.Tensor) -> np.ndarray:
        z = detector.normalise(x.to(device))
        energy = detector.model.error if run["detector"] == "ae" else detector.energy.raw
        with torch.no_grad():
            return energy(z).double().cpu().numpy()

    points = grid()
    p, on_grid, on_valid = truth(points), raw(points), raw(valid)
    radius = points.norm(dim=1).numpy()
    ring = (radius > RING[0]) & (radius < RING[1])
    temperature = settings["temperature"]
    best = max(TEMPERATURES, key=lambda t: log_likelihood(on_grid, on_valid, t))
    q, q_best = boltzmann(on_grid, temperature), boltzmann(on_grid, best)
    density = q_best if run["detector"] == "ae" else q
    return {
        "l1_grid": l1(p, q), "l1_ring": l1(p, q, ring), "l1_best_t": l1(p, q_best), "best_temperature": best,
        "log_likelihood": log_likelihood(on_grid, on_valid, temperature),
        "best_log_likelihood": log_likelihood(on_grid, on_valid, best),
        "density": (density / density.max()).round(4).tolist() if run.get("seed") == 0 else None,
        "facts": fit.facts,
    }  # fmt: skip


def tuning_jobs(scale: str) -> list[tuple[dict, dict]]:
    """Every detector at every setting."""
    return [
        ({"detector": name, "setting": i}, _settings(name, i, scale))
        for name in TITLES
        for i in range(len(SETTINGS[name]))
    ]


def jobs_at(scale: str, folder) -> list[tuple[dict, dict]]:
    """Every detector and seed at the setting of largest held-out likelihood; none that has not been tuned."""
    tuned: dict[str, list[tuple[float, int]]] = {}
    for record in finished(folder / f"{NAME}_tuning-{scale}", tuning_jobs(scale)):
        name = record["run"]["detector"]
        value = record["result"].get("best_log_likelihood" if name == "ae" else "log_likelihood")
        tuned.setdefault(name, []).append((-math.inf if value is None else value, -record["run"]["setting"]))
    return [
        ({"detector": name, "seed": seed}, _settings(name, -max(found)[1], scale))
        for seed in SCALES[scale]["seeds"]
        for name, found in tuned.items()
        if len(found) == len(SETTINGS[name])
    ]


def _settings(name: str, i: int, scale: str) -> dict:
    size = SCALES[scale]
    setting = SETTINGS[name][i]
    entry = spec(name, setting, size)
    return {"spec": entry, "temperature": setting["temperature"], "train": size["train"], "valid": size["valid"]}


def draw(records: list[dict]) -> Figure:
    """The truth and the density of each detector at its first seed, as in Fig. 3 of the MPDR paper."""
    found = {record["run"]["detector"]: record["result"] for record in records if record["result"].get("density")}
    panels = {"truth": truth(grid())} | {name: np.array(found[name]["density"]) for name in TITLES if name in found}
    columns, top = 3, panels["truth"].max() / panels["truth"].sum()
    figure = Figure(figsize=(6.4, 2.3 * math.ceil(len(panels) / columns)), layout="constrained")
    for i, (name, density) in enumerate(panels.items(), start=1):
        ax = figure.add_subplot(math.ceil(len(panels) / columns), columns, i)
        extent = (-LIMIT, LIMIT, -LIMIT, LIMIT)
        image = (density / density.sum()).reshape(POINTS, POINTS).T
        ax.imshow(image, origin="lower", extent=extent, cmap="Reds", vmin=0, vmax=top)
        column = "l1_best_t" if name == "ae" else "l1_grid"
        ax.set_title("truth" if name == "truth" else f"{TITLES[name]}: $l_1$ = {found[name][column]:.2f}")
        ax.set(xticks=[], yticks=[])
    return figure


def main(argv: list[str] | None = None) -> None:
    args = arguments(__doc__.splitlines()[0], argv)
    work_on = partial(evaluate, device=args.device)
    only, args.only = args.only, ",".join(item for item in args.only.split(",") if item.startswith("detector="))
    carry_out(f"{NAME}_tuning", args, tuning_jobs, work_on)
    args.only = only
    records = carry_out(NAME, args, partial(jobs_at, folder=args.runs), work_on)
    rows = [{**record["run"], **record["result"], "scale": record["scale"]} for record in records]
    measures = ["l1_grid", "l1_ring", "l1_best_t"]
    how = {"over": "seed", "measures": measures}
    rows = with_kept(table_path(NAME, args), rows, **how)
    rows.sort(key=lambda row: list(TITLES).index(row["detector"]))
    published = [{"detector": name, "l1_grid": value, "scale": "MPDR paper"} for name, value in PUBLISHED.items()]
    columns = ["detector", "seed", *measures, "scale"]
    write_table(table_path(NAME, args), columns, rows, **how, published=published)
    with style({}):
        figure = draw(records)
        save(figure, (args.runs if args.scale == "smoke" else HERE / "figures") / NAME)


if __name__ == "__main__":
    main()
