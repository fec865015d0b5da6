"""The detectors of the demo and their events: three backgrounds, and on each AE, NAE and MPDR of one small network.

Jets are those of a finished run of config/config.yaml, digits those of MNIST with all ones held out. The settings are
close to those of config/config.yaml and of benchmarks/mnist_holdout.py, but for the networks, which have one small
hidden layer and learn fast: a detector takes less room than a picture. Digits have a quarter of MNIST's pixels for the
same reason. What was changed was changed for what background alone says. No signal is seen before the models are
finished.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from hepad import detectors
from hepad.detectors import Detector
from hepad.events import Events
from hepad.representations import JetImage, Space

JETS = JetImage(size=20, sigma=1)
DIGITS = Space((1, 16, 16), (), 256, unit_sum=False)  # MNIST with pixels of twice the width
TRAIN = 20_000  # digits to train on and to validate with
HELD_OUT = 1  # the digit that autoencoders reconstruct although they have not seen it (arXiv:2105.05735, Table 1)
PX, RAD = 2, 4  # digits behind the point of the momenta [GeV] and angles of a shipped jet
SEED = 1
FEW = {"events": 200}  # that curves of the training look at

OF_JETS = {
    "ae": {
        "type": "AE",
        "autoencoder": {"hidden_dims": [20], "latent_dim": 8},
        "training": {"steps": 3000, "learning_rate": 3e-3},
    },
    "nae": {
        "type": "NAE",
        "training": {"steps": 400, "batch": 64, "ema_decay": 0.99},
        "replay": 0,
        "objective": FEW,
        "latent_chain": {"n_steps": 8, "step_size": 0.2, "noise_std": 0.05, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.05, "noise_std": 0.05, "components": 256},
    },
    "mpdr": {
        "type": "MPDR",
        "kind": "reconstruction",
        "recovery": {"sigma": [0.05, 1.0]},
        "objective": FEW,
        "training": {"steps": 1000, "batch": 64, "ema_decay": 0.99},
        "latent_chain": {"n_steps": 2, "step_size": 0.1, "noise_std": 0.02, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.05, "noise_std": 0.05, "components": 256},
    },
}
# after 400 updates on top jets the negative samples still cost less than background does
OF_TOP = {**OF_JETS, "nae": {**OF_JETS["nae"], "training": {**OF_JETS["nae"]["training"], "steps": 1200}}}
OF_DIGITS = {
    "ae": {
        "type": "AE",
        "autoencoder": {"hidden_dims": [32], "latent_dim": 16},
        "training": {"steps": 6000, "learning_rate": 3e-3},
    },
    "nae": {
        "type": "NAE",
        "training": {"steps": 1500, "batch": 64, "learning_rate": 3e-3, "ema_decay": 0.99},
        "objective": {"gamma": 0.03, **FEW},
        "latent_chain": {"n_steps": 5, "step_size": 0.2, "noise_std": 0.05, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.05, "noise_std": 0.05, "components": 64},
    },
    "mpdr": {
        "type": "MPDR",
        "kind": "reconstruction",
        "recovery": {"sigma": [0.05, 1.0]},
        "training": {"steps": 1500, "batch": 64, "learning_rate": 3e-3, "ema_decay": 0.99},
        "objective": {"gamma": 0.03, **FEW},
        "latent_chain": {"n_steps": 5, "step_size": 0.1, "noise_std": 0.02, "unit": True},
        "visible_chain": {"n_steps": 5, "step_size": 0.05, "noise_std": 0.05, "components": 64},
    },
}
# what the shipped models do, seen after they were finished
VERDICTS = {
    "qcd": "Here the plain autoencoder is enough. QCD jets are the simplest ones, so that what it "
    "reconstructs badly is also what is rare: it finds top jets as well as NAE and MPDR do, and "
    "semivisible jets a little better.",
    "top": "The way back. The autoencoder reconstructs QCD jets, which it has never seen, better than the "
    "top jets that it has learned, because they are simpler, and so finds them usual. NAE and MPDR "
    "have unlearned little of that; with these small networks QCD jets are not found. With "
    "those of config/config.yaml, seven times as large, they are: AUC 0.34 for the AE, 0.88 for NAE and "
    "for MPDR.",
    "digits": "No detector here finds a one. A stroke is a part of most digits, and all three reconstruct it "
    "better than many of the digits that they have learned. In these small networks the training "
    "against negative samples has raised the energy of all digits, seen in reconstructions that are "
    "worse than the AE's, and not that of ones in particular. The larger ones of "
    "benchmarks/mnist_holdout.py (scale hour) have an AUC of 0.07 for the AE and 0.99 for MPDR.",
}


@dataclass(frozen=True)
class World:
    """A background with its detectors, and what is tested on them.

    space: of the images; specs: name -> type and arguments; train, valid: background (N, *space.shape); test: label ->
    images, those of background first; drawn: label -> what the shipped examples are made of: constituents (k, P, 4) of
    jets as they are shipped, or images (k, 28, 28) uint8; verdict: what is found, in words
    """

    title: str
    background: str
    space: Space
    specs: dict[str, dict]
    train: Tensor
    valid: Tensor
    test: dict[str, Tensor]
    drawn: dict[str, np.ndarray]
    verdict: str


def jets(results: Path, background: str, signals: tuple[str, ...], examples: int) -> World:
    """A world of jets, of the event files of a finished run."""
    labels = {"qcd": "QCD", "top": "top", "semivisible": "semivisible"}
    events = {name: Events.read(results / "events" / f"{name}.h5") for name in (background, *signals)}
    parts = {split: JETS(events[background].of_split(split)) for split in ("train", "valid")}
    test = {labels[name]: JETS(found.of_split("test")) for name, found in events.items()}
    drawn = {labels[name]: shipped(found.of_split("test"), examples) for name, found in events.items()}
    title, specs = f"Jets, {labels[background]} is background", OF_TOP if background == "top" else OF_JETS
    return World(
        title, labels[background], JETS.space, specs, **parts, test=test, drawn=drawn, verdict=VERDICTS[background]
    )


def shipped(events: Events, count: int) -> np.ndarray:
    """Constituents (count, P, 4) of the first jets, around the axis of the jet, rounded as a file of text has them."""
    found = events.constituents[:count].astype(np.float64)
    there = found[..., 0] > 0
    found[..., 0] = found[..., 0].round(PX)
    found[..., 1] = (found[..., 1] - events.jet[:count, None, 1]).round(RAD)
    phi = found[..., 2] - events.jet[:count, None, 2]
    found[..., 2] = (phi - 2 * np.pi * np.rint(phi / (2 * np.pi))).round(RAD)
    found[..., 3] = 0
    return (found * there[..., None]).astype(np.float32)


def digits(examples: int) -> World:
    """MNIST (a file mnist.npz in the folder HEPAD_DATA) without one digit."""
    with np.load(Path(os.environ["HEPAD_DATA"]) / "mnist.npz") as file:
        kept = {name: file[name] for name in ("train_images", "train_labels", "test_images", "test_labels")}
    background = kept["train_images"][kept["train_labels"] != HELD_OUT][:TRAIN]
    cut = len(background) - len(background) // 10
    is_held_out = kept["test_labels"] == HELD_OUT
    names = {"other digits": ~is_held_out, f"digit {HELD_OUT}": is_held_out}
    test = {name: pixels(kept["test_images"][rows]) for name, rows in names.items()}
    others = [kept["test_images"][kept["test_labels"] == digit][:1] for digit in (0, 2, 3, 4, 5, 6, 7, 8, 9)]
    drawn = {"other digits": np.concatenate(others), f"digit {HELD_OUT}": kept["test_images"][is_held_out][:examples]}
    parts = {"train": pixels(background[:cut]), "valid": pixels(background[cut:])}
    title = f"Digits, all but {HELD_OUT}"
    return World(title, "other digits", DIGITS, OF_DIGITS, **parts, test=test, drawn=drawn, verdict=VERDICTS["digits"])


def pixels(images: np.ndarray) -> Tensor:
    """(N, 28, 28) uint8 -> (N, 1, 16, 16) in [0, 1]: a border of two black pixels, then means of two by two."""
    return avg_pool2d(pad(torch.from_numpy(images).unsqueeze(1).float() / 255, (2, 2, 2, 2)), 2)


def trained(world: World, folder: Path) -> dict[str, Path]:
    """The files of the world's detectors, trained where they are missing; NAE and MPDR start from the AE."""
    paths, first = {}, None
    for name, spec in world.specs.items():
        paths[name] = folder / f"{name}.safetensors"
        if not paths[name].exists():
            detector, spec = fitted(spec, world, first)
            detectors.save(detector, paths[name], spec)
        first = first or detectors.load(paths[name])
    return paths


def fitted(spec: dict, world: World, first: Detector | None) -> tuple[Detector, dict]:
    """A detector, whose weights are rounded to half precision, which halves the room that they take, and its spec."""
    arguments = {key: value for key, value in spec.items() if key != "type"}
    if first is not None:
        arguments |= {"autoencoder": world.specs["ae"]["autoencoder"], "pretraining": world.specs["ae"]["training"]}
    spec = {"type": spec["type"], "arguments": arguments}
    detector = detectors.build(spec, world.space, SEED)
    if first is not None:
        detector.adopt({"ae": first})
    fit = detector.fit(world.train, world.valid, generator=torch.Generator().manual_seed(SEED))
    print(world.title, spec["type"], fit.facts, flush=True)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.copy_(parameter.half())
    return detector, spec
