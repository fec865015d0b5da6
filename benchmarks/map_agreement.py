"""How well maps of anomalous events agree over seeds, and how pure their clusters are, on a finished run.

    python benchmarks/map_agreement.py --results results

Of each detector, and of residuals, codes and inputs as it has them, five maps (`hepad.evaluation.anomaly_map`) of the
events of all samples of the task beyond three standard deviations of the background's score: the mean and the smallest
adjusted Rand index of two seeds, the number of clusters and the share of the events that are in none (means over
seeds), the purity and what it would be if all were one cluster. `trained` are maps of residual images by the code of
an autoencoder that is trained on them with the seed of the map, in the place of their principal components. The
agreement knows of no sample; it has chosen between the two. Neighbours and sizes of clusters are the defaults.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from hepad.config import map_events
from hepad.config.anomaly_map import MOST
from hepad.config.described import scored
from hepad.config.results import Results
from hepad.config.scoring import models
from hepad.config.subjects import Subject
from hepad.detectors.autoencoder import fit_autoencoder
from hepad.detectors.networks import Autoencoder, AutoencoderSettings
from hepad.detectors.training.checkpoint import Checkpoint
from hepad.detectors.training.loop import Fitting
from hepad.detectors.training.settings import Schedule
from hepad.errors import InputError, report_errors
from hepad.evaluation import anomaly_map
from hepad.evaluation.scored_sample import LOOK
from hepad.events import concatenate
from hepad.progress import Progress
from hepad.representations import Space
from hepad.storage.files import write_rows

TABLE = Path(__file__).parent / "tables/map_agreement.csv"
DETECTORS = "ae_image,nae_image,mpdr_r_image,ae_vector,nae_vector,mpdr_r_vector,vae_vector"
SEEDS = range(1, 6)


def trained_code(x: np.ndarray, seed: int) -> np.ndarray:
    """(N, CODE) by an autoencoder of x (N, D), trained on nine tenths of it."""
    generator, x = torch.Generator().manual_seed(seed), torch.from_numpy(x / x.std())
    torch.manual_seed(seed)
    space = Space((x.shape[1],), tuple(f"x{k}" for k in range(x.shape[1])))
    model = Autoencoder(space, AutoencoderSettings("dense", [128], anomaly_map.CODE, sphere=False))
    order, tenth = torch.randperm(len(x), generator=generator), len(x) // 10
    fitting = Fitting(generator, Progress("autoencoder"), Checkpoint())
    fit_autoencoder(model, x[order[tenth:]], x[order[:tenth]], Schedule(steps=500), fitting)
    with torch.no_grad():
        return model.encode(x).numpy()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a run")
    parser.add_argument("--task", default="qcd")
    parser.add_argument("--detectors", default=DETECTORS, help="names, with commas")
    parser.add_argument("--to", type=Path, default=TABLE, help="the table")
    args = parser.parse_args(argv)
    with report_errors():
        results, rows, umap = Results(args.results), [], anomaly_map.umap_class()
        known = models(results, args.task, args.detectors.split(","), first=True)
        of = Subject(results.plan, {"task": args.task})
        samples = [of.background, *(name for name in of.labels(["samples"]) if name != of.background)]
        for key, model in known.of.items():
            thresholds = map_events.thresholds_beyond(scored(results, args.task, of.background).beginning(), [key], 3.0)
            found = [
                map_events.most_beyond(
                    scored(results, args.task, name).beginning(LOOK, True), thresholds, key, MOST // len(samples)
                ) for name in samples
            ]  # fmt: skip
            parts = [one.picked.events for one in found]
            sample = np.repeat(np.arange(len(parts)), [len(events) for events in parts])
            x = known.representations[known.representation_of[key]](concatenate(parts))
            pixels = model.module.inner.pixels
            for by in (*anomaly_map.BY, *(["residuals, trained"] if pixels else [])):
                try:
                    what = anomaly_map.features(model.module, x, by.split(",")[0]).numpy()
                except InputError:
                    continue  # it has no such thing
                if "trained" in by:
                    codes = [trained_code(what, seed) for seed in SEEDS]
                else:
                    codes = [anomaly_map.coded(what, model.module, by)] * len(SEEDS)
                places = [anomaly_map.placed(umap, z, seed) for z, seed in zip(codes, SEEDS, strict=True)]
                rows.append(
                    {"detector": key.split("/")[0], "by": by, "eps_b": f"{found[0].shares[key]:.4f}"}
                    | dict(zip((f"events of {name}" for name in samples), map(len, parts), strict=True))
                    | measured([anomaly_map.clustered(of_seed) for of_seed in places], sample)
                )
                print(rows[-1], flush=True)
                write_rows(args.to, rows[0].keys(), rows)


def measured(clusters: list[np.ndarray], sample: np.ndarray) -> dict[str, str]:
    """Agreement of clusters (N,) of several seeds, and how they divide samples (N,)."""
    agreement = [adjusted_rand_score(a, b) for a, b in combinations(clusters, 2)]
    purities = []
    for of in clusters:
        largest = [np.bincount(sample[of == k]).max() for k in range(of.max() + 1)]
        purities.append(sum(largest) / max((of >= 0).sum(), 1))
    return {
        "agreement": f"{np.mean(agreement):.3f}", "smallest": f"{min(agreement):.3f}",
        "clusters": f"{np.mean([of.max() + 1 for of in clusters]):.1f}",
        "in none": f"{np.mean([(of < 0).mean() for of in clusters]):.3f}",
        "purity": f"{np.mean(purities):.3f}", "as one": f"{np.bincount(sample).max() / len(sample):.3f}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
