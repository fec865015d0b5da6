"""Jets, QCD as background and top as background: one set-up of each detector for both directions, several seeds.

    snakemake --cores all --until represent
    python benchmarks/jets_both_ways.py --results results --nae-repo PATH

The jets are the workflow's, in the representations of config/full.yaml, and the detectors are those of that file with
their settings, so that what is compared here is what a user gets; ``authors_nae`` is the class of
github.com/swyoon/normalized-autoencoders, trained on the same images with the settings of its MNIST configuration (a
dense network as wide as ours; images are divided by the mean of their largest pixel and clamped to [0, 1], where that
code has its samples) for as many updates as the scale says. Semivisible jets (r_inv 0.3) are the second signal of QCD,
the Aachen-like ones (r_inv 0.75) that of low-pT QCD. Nothing is chosen by looking at a signal within a run; the column
``selection`` names the blind criterion. Published AUCs belong to another sample: for QCD -> top 0.911 (the best
checkpoint by signal) and for top -> QCD 0.448, development plots of the code of arXiv:2206.14225.
"""

from functools import partial
from pathlib import Path

import torch
import yaml
from authors import authors_module
from records import arguments, carry_out, table_path, with_kept, write_table
from torch import nn

from hepad import detectors
from hepad.config.specs import spec_of
from hepad.errors import InputError, report_errors
from hepad.evaluation.roc import auc, efficiencies
from hepad.representations.features import Features

NAME = "jets_both_ways"
CONFIG = yaml.safe_load((Path(__file__).parents[1] / "config" / "full.yaml").read_text())
SIGNALS = {"qcd": ["top", "semivisible"], "top": ["qcd"], "qcd_low": ["aachen_like"]}
SCALES = {
    "smoke": {"seeds": [1], "events": 500, "authors": {"pretraining": 20, "training": 2, "visible": 5}},
    "laptop": {"seeds": [1, 2, 3], "events": None, "authors": {"pretraining": 2500, "training": 500, "visible": 50}},
    "paper": {"seeds": [1, 2, 3, 4, 5], "events": None,
              "authors": {"pretraining": 11900, "training": 6000, "visible": 50}},
}  # fmt: skip


class AuthorsNAE:
    """The authors' normalized autoencoder with fit and score as hepad's detectors have them."""

    def __init__(self, repository: Path, space, seed: int, *, pretraining: int, training: int, visible: int):
        torch.manual_seed(seed)
        pixels, module = space.pixels, authors_module(repository, "models.nae")
        encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, 128), nn.LeakyReLU(), nn.Linear(128, 64), nn.LeakyReLU()
        )
        decoder = nn.Sequential(nn.Linear(16, 64), nn.LeakyReLU(), nn.Linear(64, 128), nn.LeakyReLU())
        decoder.extend([nn.Linear(128, pixels), nn.Sigmoid(), nn.Unflatten(1, space.shape)])
        self.nae = module.NAE(
            encoder.append(nn.Linear(64, 16)), decoder, z_step=10, z_stepsize=0.2, z_noise_std=0.05, x_step=visible,
            x_stepsize=10, x_noise_std=0.05, x_noise_anneal=1, x_clip_langevin_grad=0.01, x_bound=(0, 1), gamma=1.0,
            l2_norm_reg_en=1e-4, temperature_trainable=False,
        )  # fmt: skip
        self.steps = {"ae": pretraining, "nae": training}

    def _scaled(self, x):
        return (x / self.scale).clamp(0, 1)

    def fit(self, train, valid, *, generator):
        self.scale, order = train.flatten(1).amax(1).mean(), torch.Generator().manual_seed(generator.initial_seed())
        for phase, rate in (("ae", 1e-3), ("nae", 1e-4)):
            optimiser = torch.optim.Adam(self.nae.parameters(), lr=rate)
            step = self.nae.train_step_ae if phase == "ae" else self.nae.train_step
            self.nae.train()
            for _ in range(self.steps[phase]):
                step(self._scaled(train[torch.randint(len(train), (128,), generator=order)]), optimiser)
        self.nae.eval()

    def score(self, x):
        with torch.no_grad():
            return torch.cat([self.nae.predict(self._scaled(part)) for part in x.split(1024)])


def events(results: Path, representation: str, sample: str, part: str) -> Features:
    path = results / "features" / representation / f"{sample}.{part}.h5"
    if not path.exists():
        raise InputError(f"{path}: not there. Make the jets with `snakemake --cores all --until represent`.")
    return Features.read(path)


def evaluate(run: dict, settings: dict, results: Path, repository: Path | None) -> dict:
    """Train one detector on one background; AUC and efficiency for each of its signals."""
    background = events(results, settings["representation"], run["background"], "train")
    train, valid = (background.of_split(name).x[: settings["events"]] for name in ("train", "valid"))
    if run["detector"] == "authors_nae":
        if repository is None:
            raise InputError(
                "--nae-repo: it must name a work tree of normalized-autoencoders for detector authors_nae."
            )
        detector = AuthorsNAE(repository, background.space, run["seed"], **settings["authors"])
    else:
        detector = detectors.build(settings["spec"], background.space, run["seed"])
    detector.fit(train, valid, generator=torch.Generator().manual_seed(run["seed"]))
    score = {s: detector.score(events(results, settings["representation"], s, "test").x[: settings["events"]]).numpy()
             for s in (run["background"], *SIGNALS[run["background"]])}  # fmt: skip
    found = {}
    for signal in SIGNALS[run["background"]]:
        point = efficiencies(score[run["background"]], score[signal], [0.01])[0]
        found[f"auc_{signal}"] = auc(score[run["background"]], score[signal]).value
        found[f"eps_s_{signal}"] = point.eps_s.value
    return found


def jobs_at(scale: str) -> list[tuple[dict, dict]]:
    """All runs; baselines have one seed, detectors all."""
    size, jobs = SCALES[scale], []
    for seed in size["seeds"]:
        for background in SIGNALS:
            for name in [*CONFIG["tasks"][background]["detectors"], "authors_nae"]:
                settings = {"events": size["events"]}
                if name == "authors_nae":
                    settings |= {"representation": "image", "authors": size["authors"]}
                else:
                    entry = CONFIG["detectors"][name]
                    settings |= {"representation": entry["representation"], "spec": spec_of(CONFIG, name)}
                fixed = name != "authors_nae" and detectors.DETECTORS[entry["type"]].group == "baseline"
                if (fixed and seed > 1) or (name == "authors_nae" and background == "qcd_low"):
                    continue
                jobs.append(({"background": background, "detector": name, "seed": seed}, settings))
    return jobs


def rows_of(record: dict) -> list[dict]:
    """A row of the table for each signal."""
    run, result = record["run"], record["result"]
    objective = record["settings"].get("spec", {}).get("arguments", {}).get("objective", {})
    kind = record["settings"].get("spec", {}).get("type")
    chosen = kind is not None and issubclass(detectors.DETECTORS[kind], detectors.EnergyDetector)
    head = {"task": run["background"], "detector": run["detector"], "seed": run["seed"], "scale": record["scale"]}
    head["selection"] = objective.get("criterion", "last") if chosen else ""
    return [
        {**head, "signal": s, "auc": result.get(f"auc_{s}"), "eps_s_at_1e-2": result.get(f"eps_s_{s}")}
        for s in SIGNALS[run["background"]]
    ]


def main(argv: list[str] | None = None) -> None:
    paths = {"results": "results folder of the workflow", "nae-repo": "work tree of normalized-autoencoders"}
    args = arguments(__doc__.splitlines()[0], argv, paths)
    work_on = partial(evaluate, results=args.results or Path("results"), repository=args.nae_repo)
    rows = [row for record in carry_out(NAME, args, jobs_at, work_on) for row in rows_of(record)]
    how = {"over": "seed", "measures": ["auc", "eps_s_at_1e-2"]}
    rows = with_kept(table_path(NAME, args), rows, **how)
    rows.sort(key=lambda row: (row["task"], row["signal"], row["detector"]))
    columns = ["task", "signal", "detector", "seed", "auc", "eps_s_at_1e-2", "selection", "scale"]
    write_table(table_path(NAME, args), columns, rows, **how)


if __name__ == "__main__":
    with report_errors():
        main()
