"""What it costs to choose the state of a training without the signal, by each of the blind criteria.

    snakemake --cores all
    snakemake --cores all --configfile config/full.yaml --directory full
    python benchmarks/blind_choice.py --results results --full full/results

Every state that a training could have been ended with, 25 of each, is scored on test background and signals. The price
of a criterion is the AUC, and eps_S at eps_B = 1 %, of the state that is best by signal less that of the chosen one,
averaged over the signals of the task. `last` is the fixed budget, which chooses nothing; `first` a twenty-fifth of it,
and `random` the mean of all states, which a criterion has to beat. Energies have kept their states; AE and ConvVAE are
trained again, with the same seeds.

What a criterion sees is in the column `sees`: validation background alone; the same with every number measured anew
(`smeared`, as hepad.detectors.augmentations) or exchanged, one in two, with that of another background event
(`crossed`: an event of known corruption); negative samples of the model. `argos_signal` is the only one that is not
blind: ARGOS as in its paper, whose data holds unlabelled events of the signal, here a twentieth, none of which is among
the test events.

`blind_choice.csv`: a row for each training and criterion; then means over trainings, with the standard error of the
difference to `last`, how many trainings are better and worse than with `last`, the largest price, and milliseconds of a
state on this machine: scores of what the criterion sees and the criterion itself.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from workflow_tables import TABLES

from hepad import detectors
from hepad.config.loading import trainings
from hepad.config.results import Results
from hepad.config.specs import spec_of
from hepad.detectors import Detector
from hepad.detectors.augmentations import Augmentations
from hepad.detectors.training.candidates import load_candidates
from hepad.detectors.training.checkpoint import Checkpoint
from hepad.detectors.training.settings import Candidates
from hepad.errors import report_errors
from hepad.evaluation.blind_criteria import argos, by_rank, capacity, score_distance, smoothed, threshold_drift
from hepad.evaluation.roc import auc, efficiencies
from hepad.evaluation.streaming import distribution
from hepad.representations import Space
from hepad.representations.features import Features
from hepad.storage.files import read_json, write_rows

EPS_B = 0.01
TEST = 20_000  # background test events at most
SHARE = 0.05  # of unlabelled signal in the data of argos_signal
MEASURES = ("auc", "eps_s")
COLUMNS = ["configuration", "task", "detector", "seed", "criterion", "sees", "chosen_step"]
COLUMNS += ["auc", "auc_price", "auc_error", "auc_better", "auc_worse", "auc_largest"]
COLUMNS += ["eps_s", "eps_s_price", "eps_s_error", "eps_s_better", "eps_s_worse", "eps_s_largest", "milliseconds"]

Scores = Mapping[str, np.ndarray]


class Criterion(NamedTuple):
    """A value of the scores by sample, its samples besides 'valid', whether the largest is best, and whether it is the
    running average that is looked at."""

    value: Callable[[Scores], float]
    sees: tuple[str, ...] = ()
    largest: bool = False
    averaged: bool = False


def halves(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Of the validation events; two jets of an event are neighbours and stay together but for one."""
    return tuple(np.array_split(scores["valid"], 2))


def pair(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Validation events as they are and smeared."""
    return scores["valid"], scores["smeared"]


OF_SCORES = {
    "cap": Criterion(lambda s: capacity(*by_rank(*halves(s))), (), True, True),
    "cap_b_1": Criterion(lambda s: capacity(*by_rank(*halves(s)), betas=(1.0,)), (), True, True),
    "cap_smeared": Criterion(lambda s: capacity(*by_rank(*pair(s))), ("smeared",), True, True),
    "cap_events": Criterion(lambda s: capacity(*pair(s)), ("smeared",), True, True),
    "threshold_drift": Criterion(lambda s: threshold_drift(*halves(s), EPS_B), (), False, True),
    "score_distance": Criterion(lambda s: score_distance(*halves(s)), (), False, True),
    "score_distance_smeared": Criterion(lambda s: score_distance(*pair(s)), ("smeared",), False, True),
    "argos_crossed": Criterion(lambda s: argos(s["valid"], s["crossed"]), ("crossed",), True),
}
# measured in the training itself: what the history calls them, what they see, and whether the largest is best
OF_TRAININGS = {
    "valid_loss": ("valid", False),
    "wasserstein": ("valid, negative samples", False),
    "manifold_auc": ("valid, points of the manifold", True),
}


class Keeping(Checkpoint):
    """Writes nothing and remembers the states of the loop that ended last."""

    candidates: Candidates

    def leave(self, outcome: dict) -> None:
        self.candidates = outcome["candidates"]
        super().leave(outcome)


class Training(NamedTuple):
    """A detector, the states it could have been ended with, what was measured of them, and the events it is about."""

    key: dict
    detector: Detector
    candidates: Candidates
    measured: dict[int, dict]
    valid: Features
    background: Tensor
    signals: dict[str, tuple[Tensor, Tensor]]


def smeared(x: Tensor, space: Space, width: Tensor, generator: torch.Generator) -> Tensor:
    """Events (N, *shape), measured anew; ``width``: the standard deviations of the background's numbers."""
    strengths = Augmentations(space).strengths
    return Augmentations(space, {"smear": strengths["smear"]})(x, width, generator)


def crossed(x: Tensor, space: Space, generator: torch.Generator) -> Tensor:
    """Events (N, *shape) of which every number is, with probability 1/2, that of the next event; each image sums to one
    again if it did."""
    keep = torch.rand(x.shape, generator=generator) < 0.5
    flat = torch.where(keep, x, x.roll(1, 0)).flatten(1)
    if space.pixels and space.unit_sum:
        flat[:, : space.pixels] /= flat[:, : space.pixels].sum(1, keepdim=True).clamp(min=1e-30)
    return flat.view(x.shape)


def found(results: Results, task: str) -> Iterator[Training]:
    """The trainings of a task that have more states than one."""
    entry, config = results.config["tasks"][task], results.config
    for name, seed in trainings(config, task):
        kind, folder = config["detectors"][name]["type"], results.folder / "models" / task / name
        representation = results.folder / "features" / config["detectors"][name]["representation"]
        path = folder / f"{seed}.candidates.safetensors"
        candidates = load_candidates(path) if path.exists() else {}
        if not candidates and kind not in ("AE", "ConvVAE"):
            continue
        split = [
            Features.read_split(representation / f"{entry['background']}.train.h5", part) for part in ("train", "valid")
        ]
        if candidates:
            detector, history = (
                detectors.load(folder / f"{seed}.safetensors"),
                read_json(folder / f"{seed}.json")["history"],
            )
        else:
            keeping, prefix = Keeping(), "model." if kind == "AE" else ""
            detector, fit = detectors.train(spec_of(config, name), *split, seed, checkpoint=keeping)
            history = fit.history
            candidates = {
                step: {f"{prefix}{tensor}": value for tensor, value in state.items()}
                for step, state in keeping.candidates.items()
            }
        background = Features.read(representation / f"{entry['background']}.test.h5", slice(TEST)).x
        signals = {}
        for signal in entry["signals"]:
            chunks = sorted((representation / signal).glob("*.train.h5"))
            unlabelled = torch.cat([Features.read(chunk).x for chunk in chunks])
            signals[signal] = (Features.read(representation / f"{signal}.test.h5").x, unlabelled)
        measured = {r["step"]: r for r in history if r["step"] in candidates and "diverged" not in r}
        yield Training(
            {"task": task, "detector": name, "seed": seed},
            detector,
            candidates,
            measured,
            split[1],
            background,
            signals,
        )


def follow(training: Training) -> tuple[dict, dict, dict]:
    """Of all states: the values of the criteria, {criterion or (argos_signal, signal): [...]}; the measures, {(signal,
    measure): [...]}; and milliseconds by criterion."""
    valid, generator = training.valid.x, torch.Generator().manual_seed(0)
    samples = {
        "valid": valid,
        "smeared": smeared(valid, training.valid.space, valid.std(0), generator),
        "crossed": crossed(valid, training.valid.space, generator),
    }
    count = round(SHARE / (1 - SHARE) * (len(valid) // 2))
    samples |= {signal: unlabelled[:count] for signal, (_, unlabelled) in training.signals.items()}
    values, measures, seconds = {}, {}, {}
    final = {name: tensor.clone() for name, tensor in training.detector.state_dict().items()}
    for step, state in training.candidates.items():
        training.detector.load_state_dict(state, strict=False)
        scores, spent = {}, {}
        for name, x in samples.items():
            start = time.perf_counter()
            scores[name] = training.detector.score(x).numpy()
            spent[name] = time.perf_counter() - start
        for name, criterion in OF_SCORES.items():
            start = time.perf_counter()
            values.setdefault(name, []).append(criterion.value(scores))
            own = time.perf_counter() - start
            seconds.setdefault(name, []).append(own + sum(spent[sample] for sample in ("valid", *criterion.sees)))
        template, rest = halves(scores)
        for name in training.signals:
            mixed = np.concatenate([rest, scores[name]])
            values.setdefault(("argos_signal", name), []).append(argos(template, mixed))
        for name in OF_TRAININGS.keys() & training.measured[step]:
            values.setdefault(name, []).append(training.measured[step][name])
        background = distribution("background", training.detector.score(training.background).numpy())
        for name, (test, _) in training.signals.items():
            signal = distribution("signal", training.detector.score(test).numpy())
            measures.setdefault((name, "auc"), []).append(auc(background, signal).value)
            measures.setdefault((name, "eps_s"), []).append(efficiencies(background, signal, [EPS_B])[0].eps_s.value)
    training.detector.load_state_dict(final)
    return values, measures, {name: 1e3 * statistics.median(spent) for name, spent in seconds.items()}


def choices(values: dict, signals: list[str]) -> dict[str, tuple[str, list[int] | None]]:
    """What each criterion sees, and the number of the state that it chooses for each signal; of `random` None."""
    count = len(values["cap"])
    chosen = {name: ("nothing", [i] * len(signals)) for name, i in (("last", count - 1), ("first", 0))}
    chosen["random"] = ("nothing", None)
    for name, (sees, largest) in OF_TRAININGS.items():
        if name in values:
            chosen[name] = (sees, [best(values[name], largest)] * len(signals))
    for name, criterion in OF_SCORES.items():
        of_states = smoothed(values[name]) if criterion.averaged else values[name]
        sees = ", ".join(("valid", *criterion.sees))
        chosen[name] = (sees, [best(of_states, criterion.largest)] * len(signals))
    of_signals = [best(values["argos_signal", signal], True) for signal in signals]
    return chosen | {"argos_signal": ("valid, unlabelled signal", of_signals)}


def best(values, largest: bool) -> int:
    """Number of the first of the best values; those that are not finite are none."""
    values = np.asarray(values, float) * (1 if largest else -1)
    return int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))


def prices(training: Training) -> list[dict]:
    """The rows of one training: means over its signals."""
    values, measures, milliseconds = follow(training)
    signals, rows = list(training.signals), []
    for name, (sees, chosen) in choices(values, signals).items():
        row = training.key | {"criterion": name, "sees": sees, "milliseconds": milliseconds.get(name)}
        if chosen and len(set(chosen)) == 1:
            row["chosen_step"] = list(training.candidates)[chosen[0]]
        for measure in MEASURES:
            of_signals = [np.asarray(measures[signal, measure]) for signal in signals]
            reached = [x.mean() if chosen is None else x[chosen[i]] for i, x in enumerate(of_signals)]
            row[measure] = float(np.mean(reached))
            row[f"{measure}_price"] = float(np.mean([x.max() - y for x, y in zip(of_signals, reached, strict=True)]))
        rows.append(row)
    return rows


def summary(rows: list[dict]) -> list[dict]:
    """Means over all trainings of a configuration, over energies, energies on manifolds and all but energies, of
    every criterion that all of a group have; beside `last`."""
    of_trainings: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("configuration", "task", "detector", "seed"))
        of_trainings.setdefault(key, {})[row["criterion"]] = row
    last = []
    for configuration in dict.fromkeys(row["configuration"] for row in rows):
        own = [of for key, of in of_trainings.items() if key[0] == configuration]
        groups = {
            "all": own,
            "energies": [of for of in own if "wasserstein" in of],
            "energies on manifolds": [of for of in own if "manifold_auc" in of],
            "AE, ConvVAE": [of for of in own if "wasserstein" not in of],
        }
        for group, members in groups.items():
            names = [name for name in (members[0] if members else ()) if all(name in of for of in members)]
            last += [_mean(configuration, group, name, members) for name in names]
    return last


def _mean(configuration: str, group: str, criterion: str, members: list[dict[str, dict]]) -> dict:
    of = [member[criterion] for member in members]
    row = {"configuration": configuration, "task": f"mean of {len(of)}", "detector": group, "criterion": criterion}
    row |= {"sees": of[0]["sees"]}
    if all(x["milliseconds"] is not None for x in of):
        row["milliseconds"] = statistics.fmean(x["milliseconds"] for x in of)
    for measure in MEASURES:
        price = f"{measure}_price"
        changes = [x[price] - member["last"][price] for x, member in zip(of, members, strict=True)]
        row[price] = statistics.fmean(x[price] for x in of)
        row[f"{measure}_largest"] = max(x[price] for x in of)
        row[f"{measure}_better"] = sum(change < 0 for change in changes)
        row[f"{measure}_worse"] = sum(change > 0 for change in changes)
        if len(changes) > 1:
            row[f"{measure}_error"] = statistics.stdev(changes) / len(changes) ** 0.5
    return row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the workflow with config/config.yaml")
    parser.add_argument("--full", type=Path, help="of the workflow with config/full.yaml")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the table")
    args = parser.parse_args(argv)
    rows = []
    for name, folder in (("config.yaml", args.results), ("full.yaml", args.full)):
        results = folder and Results(folder)
        for task in results.tasks if results else ():
            for training in found(results, task):
                start = time.perf_counter()
                rows += [{"configuration": name, **row} for row in prices(training)]
                print(name, *training.key.values(), f"{time.perf_counter() - start:.0f} s", flush=True)
    last = summary(rows)
    write_rows(args.tables / "blind_choice.csv", COLUMNS, [*rows, *last])
    for row in last:
        said = (f"{measure} {row[f'{measure}_price']:.4f}" for measure in MEASURES)
        print(f"{row['configuration']}, {row['task']} ({row['detector']}), {row['criterion']}:", *said)


if __name__ == "__main__":
    with report_errors():
        main()
