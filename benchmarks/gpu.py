"""The trainings of config/paper.yaml on a GPU: seconds of an update, hours of the schedule, scores beside a CPU's.

    python benchmarks/gpu.py --device cuda

Every trained detector of the published set-up, with its network, batch and chains, on events that need no generator:
pictures of five blobs for images, a plane with noise for vectors. Of each of its schedules (``pretraining``,
``training``) one is run for some updates and for three times as many, the other for a short one; half the difference,
over the number, is the time of an update, without what a training begins and ends with, and without its 25 records,
which both have. ``hours`` is that of all
updates of config/paper.yaml. Rates are 1e-3 here, since no short training may end with an autoencoder that has learned
nothing. Rows with ``precision`` bfloat16 have their chains in it. ``largest_difference`` is that of the scores of 2,000
events on the device and on a CPU, |s - s(CPU)| over the standard deviation of s(CPU).

``--only detector=nae_image`` makes one detector's rows, ``--scale smoke --device cpu`` shows in seconds that it runs.
"""

import time
from pathlib import Path

import torch
import yaml
from records import arguments, carry_out, table_path

from hepad import detectors, representations
from hepad.config.specs import spec_of
from hepad.errors import report_errors
from hepad.representations import Space
from hepad.storage.files import write_rows

CONFIG = Path(__file__).parent.parent / "config" / "paper.yaml"
COLUMNS = (
    "detector",
    "schedule",
    "precision",
    "seconds_per_update",
    "updates",
    "hours",
    "largest_difference",
    "device",
)
SIZES = {"smoke": {"energy": 1, "other": 60, "events": 300}, "laptop": {"energy": 25, "other": 100, "events": 8192}}
SCHEDULES, CHAINS = ("pretraining", "training"), ("latent_chain", "visible_chain")
SMOKE = ("vae_vector",)


def events(space: Space, count: int, seed: int) -> torch.Tensor:
    """(count, *shape) events that look like nothing in particular: images of unit sum, columns of unit spread."""
    generator = torch.Generator().manual_seed(seed)
    if not space.pixels:
        factors, mix = torch.randn(count, 3, generator=generator), torch.Generator().manual_seed(0)
        noise = 0.1 * torch.randn(count, *space.shape, generator=generator)
        return factors @ torch.randn(3, *space.shape, generator=mix) + noise
    axis = torch.arange(float(space.shape[-1]))
    place = axis[-1] / 2 * (1 + 0.5 * torch.randn(count, 5, 2, 1, generator=generator).clamp(-1, 1))
    y, x = torch.exp(-(((axis - place) / 1.5) ** 2) / 2).unbind(2)
    share = torch.rand(count, 5, 1, generator=generator) ** 2
    image = torch.einsum("nky,nkx->nyx", share * y, x).unsqueeze(1)
    return image / image.sum((2, 3), keepdim=True)


def with_updates(spec: dict, schedule: str, updates: int, size: dict, bfloat16: bool) -> dict:
    """A spec in which the schedule has so many updates and any other few, with chains in this precision."""
    settings = dict(spec["arguments"])
    for name in SCHEDULES:
        if name in settings:
            steps = updates if name == schedule else size["energy" if is_energy(spec, name) else "other"]
            settings[name] = {**settings[name], "steps": steps, "learning_rate": 1e-3}
    settings |= {name: {**settings[name], "bfloat16": bfloat16} for name in CHAINS if name in settings}
    return {**spec, "arguments": settings}


def is_energy(spec: dict, schedule: str) -> bool:
    """Whether an update of this schedule runs chains."""
    return schedule == "training" and any(chain in spec["arguments"] for chain in CHAINS)


def fitted(spec: dict, space: Space, count: int, device: str) -> tuple[detectors.Detector, float]:
    """A detector after its training on the device, and the seconds that took."""
    train, valid = (events(space, n, seed).to(device) for seed, n in ((1, count), (2, 500)))
    detector, generator = detectors.build(spec, space, 1).to(device), torch.Generator(device).manual_seed(1)
    finish(device)
    start = time.perf_counter()
    detector.fit(train, valid, generator=generator)
    finish(device)
    return detector, time.perf_counter() - start


def finish(device: str) -> None:
    """Wait for what a GPU has still to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(run: dict, settings: dict, space: Space, device: str) -> dict:
    """Seconds of an update and the largest difference of a score."""
    schedule, spec, count = run["schedule"], settings["spec"], settings["events"]
    few, seconds = settings["energy" if is_energy(spec, schedule) else "other"], []
    for updates in (few, few, 3 * few):  # kernels are chosen at first use: the first time does not count
        short = with_updates(spec, schedule, updates, settings, run["precision"] == "bfloat16")
        detector, taken = fitted(short, space, count, device)
        seconds.append(taken)
    x = events(space, 2000, 3)
    found, expected = detector.score(x.to(device)).cpu(), detector.to("cpu").score(x)
    difference = ((found - expected).abs().max() / expected.std()).item()
    return {"seconds_per_update": (seconds[2] - seconds[1]) / (2 * few), "largest_difference": difference}


def runs(config: dict, scale: str) -> list[tuple[dict, dict]]:
    """Schedules of all trained detectors, the chains of energies in both precisions."""
    found = []
    for name in config["detectors"]:
        spec = spec_of(config, name)
        for schedule in SCHEDULES:
            if schedule in spec["arguments"] and (scale != "smoke" or name in SMOKE):
                for precision in ("single", "bfloat16") if is_energy(spec, schedule) else ("single",):
                    run = {"detector": name, "schedule": schedule, "precision": precision}
                    found.append((run, {**SIZES[scale], "spec": spec}))
    return found


def row(record: dict, config: dict, device: str) -> dict:
    """A row of the table; a training that failed has its message as device."""
    run, result = record["run"], record["result"] or {}
    updates = spec_of(config, run["detector"])["arguments"][run["schedule"]]["steps"]
    seconds = result.get("seconds_per_update")
    line = {**run, **result, "updates": updates, "device": device if result else record["error"]}
    return line | {"hours": None if seconds is None else seconds * updates / 3600}


def main(argv: list[str] | None = None) -> None:
    args = arguments(__doc__.partition("\n")[0], argv, scales=("smoke", "laptop"))
    config = yaml.safe_load(CONFIG.read_text())
    spaces = {name: representations.build(entry).space for name, entry in config["representations"].items()}

    def work(run: dict, settings: dict) -> dict:
        space = spaces[config["detectors"][run["detector"]]["representation"]]
        return measure(run, settings, space, args.device)

    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else args.device
    records = carry_out("gpu", args, lambda scale: runs(config, scale), work)
    write_rows(table_path("gpu", args), COLUMNS, [row(record, config, device) for record in records])


if __name__ == "__main__":
    with report_errors():
        main()
