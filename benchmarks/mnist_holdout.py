"""MNIST with one digit held out: the digit is left out of training and is the outlier of the test.

    python benchmarks/mnist_holdout.py --only digit=9 --scale laptop

Protocol of Table 1 of the MPDR paper (NeurIPS 2023) and of Table 1 of the NAE paper (arXiv:2105.05735): training on the
nine other digits of the training images (their last tenth for validation), pixels in [0, 1], no augmentation; tested
on all 10,000 test images, outliers being the held-out digit, and on the inliers among them against 4,000 constant
images. AUPR is the area under the precision-recall curve by the trapezoidal rule, outliers being positive, as in the
authors' code. No outlier is seen before the test.

At the scale `laptop` the layers of autoencoders and VAEs start as in He et al. (arXiv:1502.01852), and their decoders
at the mean pixel. From torch's own start, where each layer and its ReLU make the signal smaller, a DAE or a VAE falls
to the black image within some ten updates, where the sigmoid has no slope, and stays there for thousands.

The published rows: Tables 1 and 2 of the MPDR paper (AUPR; the last ten epochs' mean) and the table of AUROC of the NAE
paper (ten trainings' mean), DAGMM, GLOW and PixelCNN++ among them. The AUROC of MPDR-R for digit 9 is from a talk of
the authors (1 December 2023).
"""

import contextlib
import hashlib
import itertools
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from records import arguments, carry_out, checkpoint_of, claimed, data_file, table_path, with_kept, write_table
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from hepad import detectors
from hepad.detectors.training.checkpoint import Checkpoint
from hepad.detectors.training.settings import Fit
from hepad.errors import report_errors
from hepad.evaluation.model_selection_cost import follow
from hepad.progress import Progress
from hepad.representations import Space

# Steps are updates of 128 images, of which an epoch has about 380. Network "mnist" is that of Table 8 of the MPDR
# paper, whose dense layer has 1024 units; other widths scale all layers. `paper`: Tables 7, 8 and appendix B.1 there;
# NAE and IGEBM as in the configurations of their authors' code. Glow learns from 64 images at a time, PixelCNN from 32.
SCALES = {
    "smoke": {
        "network": {"network": "dense", "hidden_dims": [64]}, "train": 600, "test": 300, "events": 32,
        "learning_rate": 3e-3, "energy_rate": 1e-4, "scalar_rate": 1e-3, "image_rate": 3e-3, "ema_decay": 0.0,
        "steps": {"autoencoder": 300, "vae": 300, "mpdr": 5, "scalar": 5, "nae": 5, "igebm": 5, "drl": 5,
                  "glow": 20, "pixelcnn": 20},
        "nae_visible": {"n_steps": 5, "step_size": 10}, "igebm_visible": 5,
        "glow": {"depth": 2, "width": 8}, "pixelcnn": {"scales": 2, "width": 4, "mixture": 2},
        "gamma": 0.005, "nae_gamma": 0.005, "l2": 0.0,
        "cosine_decay": True, "bfloat16": False,
    },
    "laptop": {
        "network": {"network": "mnist", "hidden_dims": [512]}, "train": None, "test": None, "events": 128,
        "learning_rate": 1e-3, "energy_rate": 5e-4, "scalar_rate": 1e-3, "image_rate": 2e-3, "ema_decay": 0.99,
        "steps": {"autoencoder": 2000, "vae": 2000, "mpdr": 700, "scalar": 1200, "nae": 750, "igebm": 800, "drl": 800,
                  "glow": 1200, "pixelcnn": 300},
        "nae_visible": {"n_steps": 10, "step_size": 10}, "igebm_visible": 20,
        "glow": {"depth": 8, "width": 32}, "pixelcnn": {"scales": 3, "blocks": 1, "width": 16},
        "gamma": 0.03, "nae_gamma": 0.03, "l2": 0.0,
        "cosine_decay": True, "bfloat16": False,
    },
    "paper": {
        "network": {"network": "mnist", "hidden_dims": [1024]}, "train": None, "test": None, "events": 500,
        "learning_rate": 1e-4, "energy_rate": 1e-5, "scalar_rate": 1e-4, "image_rate": 1e-3, "ema_decay": 0.0,
        "steps": {"autoencoder": 11400, "vae": 38000, "mpdr": 19000, "scalar": 19000, "nae": 19000, "igebm": 38000,
                  "drl": 19000, "glow": 38000, "pixelcnn": 38000},
        "nae_visible": {"n_steps": 50, "step_size": 10}, "igebm_visible": 60,
        "glow": {"depth": 32, "width": 512}, "pixelcnn": {"scales": 3, "blocks": 5, "width": 160, "mixture": 10},
        "gamma": 0.005, "nae_gamma": 0.005, "l2": 1e-4,
        "cosine_decay": False, "bfloat16": False,
    },
}  # fmt: skip
# what one GPU did of NAE in its time: fewer updates; gamma is the e0 of its autoencoder
SCALES["gpu"] = {
    **SCALES["paper"], "nae_gamma": 0.005772081203758717, "steps": {**SCALES["paper"]["steps"], "nae": 3500},
}  # fmt: skip
# The paper's schedule for a CPU: half the width at twice the rates, chains in bfloat16, and NAE's visible chain in
# fewer steps of the same total length, which end at the same energies.
SCALES["half"] = {
    **SCALES["paper"], "network": {"network": "mnist", "hidden_dims": [512]}, "learning_rate": 2e-4,
    "energy_rate": 2e-5, "scalar_rate": 2e-4, "nae_visible": {"n_steps": 13, "step_size": 40}, "bfloat16": True,
    "steps": {**SCALES["paper"]["steps"], "autoencoder": 6000},
}  # fmt: skip
# the beginning of that schedule of MPDR, an hour of a core; its weights averaged, since the rate does not fall
SCALES["hour"] = {**SCALES["half"], "ema_decay": 0.99, "steps": {**SCALES["half"]["steps"], "mpdr": 3000}}
NAME = "mnist_holdout"
SEEDS = {scale: (0,) if scale == "smoke" else (0, 1, 2) for scale in SCALES}
DIGITS = (9, 1, 4, 5, 7, 0, 2, 3, 6, 8)
LATENT = 32
HE_START = ("ae", "dae", "wae", "vae_r", "vae_l")
MEAN_PIXEL = 0.13  # of the training images
FROM_AUTOENCODER = ("ae", "mpdr_r", "mpdr_s", "nae_omi", "nae_cd", "nae_pcd")
SPACE = Space((1, 28, 28), (), 784, unit_sum=False)

# detector: AUROC with digit 0, 1, ..., 9 held out (NAE paper) and AUPR with 1, 4, 5, 7, 9 held out (MPDR paper)
AUROC = {
    "nae_omi": (0.989, 0.919, 0.992, 0.949, 0.949, 0.978, 0.938, 0.975, 0.929, 0.934),
    "nae_cd": (0.799, 0.098, 0.878, 0.769, 0.656, 0.806, 0.874, 0.537, 0.876, 0.500),
    "nae_pcd": (0.745, 0.114, 0.879, 0.754, 0.690, 0.813, 0.872, 0.509, 0.902, 0.544),
    "ae": (0.819, 0.131, 0.843, 0.734, 0.661, 0.755, 0.844, 0.542, 0.902, 0.537),
    "dae": (0.769, 0.124, 0.872, 0.935, 0.884, 0.793, 0.865, 0.533, 0.910, 0.625),
    "vae_r": (0.954, 0.391, 0.978, 0.910, 0.860, 0.939, 0.916, 0.774, 0.946, 0.721),
    "vae_l": (0.967, 0.326, 0.976, 0.906, 0.798, 0.927, 0.928, 0.751, 0.935, 0.614),
    "wae": (0.817, 0.145, 0.975, 0.950, 0.751, 0.942, 0.853, 0.912, 0.907, 0.799),
    "igebm": (0.926, 0.401, 0.642, 0.644, 0.664, 0.752, 0.851, 0.572, 0.747, 0.522),
    "glow": (0.803, 0.014, 0.624, 0.625, 0.364, 0.561, 0.583, 0.326, 0.721, 0.426),
    "pixelcnn": (0.757, 0.030, 0.663, 0.663, 0.483, 0.642, 0.596, 0.307, 0.810, 0.497),
    "dagmm": (0.386, 0.304, 0.407, 0.435, 0.444, 0.429, 0.446, 0.349, 0.609, 0.420),
}
AUPR_DIGITS = (1, 4, 5, 7, 9)
AUPR = {
    "ae": (0.062, 0.204, 0.259, 0.125, 0.113),
    "igebm": (0.101, 0.106, 0.205, 0.100, 0.079),
    "nae_omi": (0.802, 0.648, 0.716, 0.789, 0.441),
    "mpdr_s": (0.764, 0.823, 0.741, 0.857, 0.478),
    "mpdr_r": (0.844, 0.711, 0.757, 0.850, 0.569),
}
CONSTANT_AUPR_9 = {"ae": 0.954, "igebm": 1.000, "nae_omi": 1.000, "mpdr_s": 1.000, "mpdr_r": 0.990}  # MPDR Table 2


def specs(size: dict) -> dict[str, dict]:
    """Detector -> {"type", "arguments"} at one scale. Energies R are e / e0: gamma is e0 times the papers'."""
    network = size["network"]
    autoencoder = {**network, "latent_dim": LATENT, "sphere": True, "l2": size["l2"]}

    def schedule(steps: str, rate: str, ema_decay: float = 0.0) -> dict:
        how = {"learning_rate": size[rate], "ema_decay": ema_decay, "cosine_decay": size["cosine_decay"]}
        return {"steps": size["steps"][steps], "batch": 128, **how}

    def chain(n_steps: int, step_size: float, noise_std: float, **more) -> dict:
        return {
            "n_steps": n_steps,
            "step_size": step_size,
            "noise_std": noise_std,
            "bfloat16": size["bfloat16"],
            **more,
        }

    def objective(gamma: float) -> dict:
        return {"gamma": gamma, "events": size["events"]}

    alone = schedule("autoencoder", "learning_rate")
    energy = {steps: schedule(steps, "energy_rate", size["ema_decay"]) for steps in ("mpdr", "nae")}
    scalar = {steps: schedule(steps, "scalar_rate", size["ema_decay"]) for steps in ("scalar", "igebm", "drl")}
    start = {"autoencoder": autoencoder, "pretraining": alone}
    nae = {
        **start,
        "training": energy["nae"],
        "objective": objective(size["nae_gamma"]),
        "visible_chain": chain(**size["nae_visible"], noise_std=0.05, grad_clip=0.05, anneal=True),
    }
    mpdr = {
        **start,
        "recovery": {"sigma": [0.05, 0.3], "weight": 1e-4, "visible_weight": 0.0},
        "visible_chain": chain(5, 10, 0.005),
    }
    plane = {"autoencoder": {**autoencoder, "sphere": False}, "training": alone}
    vae = {**network, "latent_dim": LATENT, "training": schedule("vae", "learning_rate")}
    arguments_of = {
        "ae": ("AE", {"autoencoder": autoencoder, "training": alone}),
        "mpdr_r": ("MPDR", {**mpdr, "kind": "reconstruction", "training": energy["mpdr"],
                            "objective": objective(size["gamma"]), "latent_chain": chain(5, 0.1, 0.02, unit=True)}),
        "nae_omi": ("NAE", {**nae, "latent_chain": chain(10, 0.2, 0.05)}),
        "mpdr_s": ("MPDR", {**mpdr, "kind": "scalar", "training": scalar["scalar"], "objective": objective(1.0),
                            "latent_chain": chain(2, 0.05, 0.02, unit=True)}),
        "nae_cd": ("NAE", {**nae, "start": "data"}),
        "nae_pcd": ("NAE", {**nae, "start": "persistent"}),
        "igebm": ("IGEBM", {**network, "training": scalar["igebm"], "objective": objective(1.0),
                            "visible_chain": chain(size["igebm_visible"], 10, 0.005)}),
        "drl": ("DRL", {**network, "training": scalar["drl"], "objective": objective(1.0), "sigma": [0.05, 0.3],
                        "visible_chain": chain(20, 0.00125, 0.05)}),
        "dae": ("AE", {**plane, "noise": 0.3}),
        "wae": ("AE", {**plane, "mmd": 0.01}),
        "vae_r": ("ConvVAE", {**vae, "score": "reconstruction"}),
        "vae_l": ("ConvVAE", {**vae, "score": "elbo"}),
        "dagmm": ("DAGMM", {**network, "training": alone}),
        "glow": ("Glow", {**size["glow"], "training": {**schedule("glow", "image_rate"), "batch": 64}}),
        "pixelcnn": ("PixelCNN", {**size["pixelcnn"], "training": {**schedule("pixelcnn", "image_rate"), "batch": 32}}),
    }  # fmt: skip
    return {name: {"type": kind, "arguments": arguments} for name, (kind, arguments) in arguments_of.items()}


def load_images(digit: int, first: dict) -> dict[str, torch.Tensor]:
    """Images (N, 1, 28, 28) in [0, 1]: train, valid, inlier, outlier and constant ones, of the ``first`` so many."""
    with np.load(data_file("mnist.npz")) as file:
        parts = {}
        for name in ("train", "test"):
            x = torch.from_numpy(file[f"{name}_images"]).unsqueeze(1).float() / 255
            rows, labels = first[name] or len(x), torch.from_numpy(file[f"{name}_labels"].astype(np.int64))
            parts[name] = x[:rows], labels[:rows]
    (x, y), (test, test_y) = parts["train"], parts["test"]
    cut = len(x) - len(x) // 10
    level = np.random.default_rng(0).uniform(size=(4000, 1, 1, 1)).astype(np.float32)
    constant = torch.from_numpy(np.broadcast_to(level, (4000, 1, 28, 28)).copy())
    return {
        "train": x[:cut][y[:cut] != digit],
        "valid": x[cut:][y[cut:] != digit],
        "inlier": test[test_y != digit],
        "outlier": test[test_y == digit],
        "constant": constant[: len(test)],
    }


def separation(inlier: torch.Tensor, outlier: torch.Tensor) -> tuple[float, float]:
    """AUROC and AUPR of two sets of scores."""
    score = torch.cat([inlier, outlier]).double().numpy()
    label = np.concatenate([np.zeros(len(inlier)), np.ones(len(outlier))])
    precision, recall, _ = precision_recall_curve(label, score)
    return float(roc_auc_score(label, score)), float(auc(recall, precision))


def built(spec: dict, seed: int, he_start: bool) -> detectors.Detector:
    """An untrained detector."""
    detector = detectors.build(spec, SPACE, seed)
    if he_start:
        torch.manual_seed(seed)
        layers = [layer for layer in detector.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
        for layer in layers:
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
        decoded = next(layer for layer in reversed(layers) if layer.weight.shape[0] == 1)
        torch.nn.init.constant_(decoded.bias, math.log(MEAN_PIXEL / (1 - MEAN_PIXEL)))
    return detector


def shared_autoencoder(run: dict, settings: dict, x: dict, folder: Path, device: str) -> detectors.AE:
    """The autoencoder that all detectors of one digit and seed start from, trained by whoever needs it first."""
    spec = {"type": "AE", "arguments": settings["autoencoder"]}
    he_start = settings.get("he_start", False)
    about = json.dumps([spec, settings["train"], *["he_start"] * he_start], sort_keys=True).encode()
    name = f"autoencoder-digit_{run['digit']}-seed_{run['seed']}-{hashlib.sha256(about).hexdigest()[:8]}"
    path = folder / f"{name}.safetensors"
    with claimed(path, wait=True):
        if path.exists():
            return detectors.load(path).to(device)
        autoencoder = built(spec, run["seed"], he_start).to(device)
        generator = torch.Generator(device).manual_seed(run["seed"])
        checkpoint = Checkpoint(path.with_suffix(".checkpoint"), {"spec": spec, "seed": run["seed"]})
        with contextlib.closing(Progress(name, path.with_suffix(".log"))) as progress:
            autoencoder.fit(x["train"], x["valid"], generator=generator, progress=progress, checkpoint=checkpoint)
        detectors.save(autoencoder, path, spec)
        checkpoint.delete()
        return autoencoder


def evaluate(run: dict, settings: dict, folder: Path, device: str) -> dict:
    """Fit one detector and test it; also the AUROC of each candidate of its training, on the first images."""
    x = {name: images.to(device) for name, images in load_images(run["digit"], settings).items()}
    generator = torch.Generator(device).manual_seed(run["seed"])
    spec = settings["spec"]
    if run["detector"] == "ae":
        detector, fit = shared_autoencoder(run, settings, x, folder, device), Fit([], {})
    else:
        if "autoencoder" in settings:  # its weights are given, and a step of no length leaves them as they are
            given = {"steps": 1, "batch": 128, "learning_rate": 1e-12}
            spec = {**spec, "arguments": {**spec["arguments"], "pretraining": given}}
        he_start = run["detector"] in HE_START and settings.get("he_start", False)
        detector = built(spec, run["seed"], he_start).to(device)
        if "autoencoder" in settings:
            autoencoder = shared_autoencoder(run, settings, x, folder, device).model
            own = detector.models[0] if spec["type"] == "MPDR" else detector.energy.autoencoder
            own.load_state_dict(autoencoder.state_dict())
        name = "-".join(map(str, run.values()))
        progress, checkpoint = Progress(name, folder / f"{name}.log"), checkpoint_of(folder, run, settings)
        with contextlib.closing(progress):
            fit = detector.fit(x["train"], x["valid"], generator=generator, progress=progress, checkpoint=checkpoint)
        detectors.save(detector, folder / f"{name}.safetensors", settings["spec"])
    inlier = detector.score(x["inlier"])
    results = {}
    for name in ("outlier", "constant"):
        results[f"auroc_{name}"], results[f"aupr_{name}"] = separation(inlier, detector.score(x[name]))
    training = {"history": fit.history, "facts": fit.facts}
    first = [x[name][:1000] for name in ("inlier", "outlier")]
    followed = follow(detector, fit.candidates, training, *first)["candidates"] if fit.candidates else []
    return {**results, **training, "candidates": followed}


def published() -> list[dict]:
    """The papers' figures as rows of the table."""
    rows = [
        {"detector": name, "digit": digit, "outlier": "digit", "auroc": value, "scale": "NAE paper"}
        for name, values in AUROC.items()
        for digit, value in enumerate(values)
    ]
    for name, values in AUPR.items():
        for digit, value in zip(AUPR_DIGITS, values, strict=True):
            row = {"detector": name, "digit": digit, "outlier": "digit", "aupr": value, "scale": "MPDR paper"}
            rows.append(row)
    talk = {"detector": "mpdr_r", "digit": 9, "outlier": "digit", "auroc": 0.971, "scale": "talk 2023-12-01"}
    constant = {"digit": 9, "outlier": "constant", "scale": "MPDR paper"}
    return [*rows, talk, *({"detector": name, "aupr": value, **constant} for name, value in CONSTANT_AUPR_9.items())]


def rows_of(record: dict) -> list[dict]:
    """Two rows of the table: against the digit and against constant images."""
    head, result = {**record["run"], "scale": record["scale"]}, record["result"]
    return [
        {**head, "outlier": outlier, **{m: result.get(f"{m}_{name}") for m in ("auroc", "aupr")}}
        for outlier, name in (("digit", "outlier"), ("constant", "constant"))
    ]


def jobs_at(scale: str) -> list[tuple[dict, dict]]:
    """All runs, in the order of their importance, with what shapes their results."""
    size = SCALES[scale]
    jobs = []
    for seed, digit in itertools.product(SEEDS[scale], DIGITS):
        for name, spec in specs(size).items():
            settings = {"train": size["train"], "test": size["test"], "spec": spec}
            if name in FROM_AUTOENCODER:
                settings["autoencoder"] = specs(size)["ae"]["arguments"]
            if scale == "laptop" and name in HE_START + FROM_AUTOENCODER:
                settings["he_start"] = True  # of the autoencoder that others start from, too
            jobs.append(({"detector": name, "digit": digit, "seed": seed}, settings))
    return jobs


def main(argv: list[str] | None = None) -> None:
    args = arguments(__doc__.splitlines()[0], argv, scales=tuple(SCALES))
    folder = args.runs / f"{NAME}-{args.scale}"
    records = carry_out(NAME, args, jobs_at, partial(evaluate, folder=folder, device=args.device))
    rows = [row for record in records for row in rows_of(record)]
    how = {"over": "seed", "measures": ["auroc", "aupr"]}
    rows = with_kept(table_path(NAME, args), rows, **how)
    rows.sort(key=lambda row: (row["outlier"] != "digit", row["digit"], row["detector"], row["scale"]))
    columns = ["detector", "digit", "outlier", "seed", "auroc", "aupr", "scale"]
    write_table(table_path(NAME, args), columns, rows, **how, published=published())


if __name__ == "__main__":
    with report_errors():
        main()
