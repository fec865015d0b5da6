"""The map of a task: its most anomalous events and those of further files, by what is strange about them; for a page.

Events are those beyond so many standard deviations of the background's score under the first training of a detector
(:mod:`hepad.evaluation.anomaly_map`). Of each cluster it is said where its events come from, which observables differ
from the other events of the map and from background, what its mean jet and its mean residual look like, and what makes
the scores of the events in its middle.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from hepad.config.described import Describing, below, check_page, number, rounded, scored, shares
from hepad.config.map_defaults import MOST, SEEDS, SIGMAS
from hepad.config.map_events import Sampled, most_beyond, quotas_of, rows_of, thresholds_beyond
from hepad.config.results import Results
from hepad.config.scoring import Models, models
from hepad.config.subjects import Subject
from hepad.errors import InputError, check_choice
from hepad.evaluation.anomaly_map import BY, FEWEST, AnomalyMap, anomaly_map, lacking, umap_class
from hepad.evaluation.efficiency import LEVEL
from hepad.evaluation.scored_sample import ScoredSample
from hepad.events import Events, concatenate
from hepad.figures.anomaly_map import letters, render
from hepad.figures.colors import of_samples
from hepad.representations import JetImage
from hepad.storage.files import atomic_path, write_rows

MIDDLE = 6  # events of a cluster that are explained
DIFFERENT = 6  # observables that are named of a cluster
IMAGE = JetImage(size=20)


def map_of(
    results: Results, task: str, files: Iterable[str] = (), *, detector: str | None = None, by: str | None = None,
    sigmas: float = SIGMAS, seeds: int = SEEDS, most: int = MOST, **options,
) -> dict:  # fmt: skip
    """What the page of a map shows, as JSON.

    Parameters
    ----------
    results, task: of a finished run
    files: further events, such as data; with files the run's background alone stands beside them, without its signals
    detector: whose most anomalous events; None for the first of the task that ``by`` is possible with
    by: 'residuals', 'latents' or 'inputs'; None for the first of these that is possible
    sigmas: events are beyond so many standard deviations from the mean of the background's score
    seeds: maps that are made to see which clusters stay
    most: events of the map, of each sample as many, or with files half of background
    options: ``reader`` of the files and its options

    Returns
    -------
    dict
        detectors, samples, variables, events, unexplained of :func:`hepad.config.gallery.gallery`, and of these events
        places: (N, 2); clusters: (N,), -1 for none; summaries: of each cluster (expected: how many events of each
        file if it were background, with its interval, and the ratio of events looked at); agreement: mean and smallest
        of pairs of maps; purity: of all clustered events; largest: share of the largest sample; detector: its number;
        by, sigmas, threshold, eps_b, seeds; beyond, on_map: events of each sample; shares: of each training the share
        of each sample beyond its threshold, None if it cannot see the sample; files: samples that are called as
        their files are; colors: of samples; warning

    Raises
    ------
    InputError: an unknown task or detector, too few events, or what the detector cannot do; or a bad file
    """
    if not sigmas > 0:
        raise InputError(f"map: sigmas = {sigmas:g} must be greater than 0.")
    if most < FEWEST:
        raise InputError(f"map: {most} events are too few for a map; {FEWEST} are needed.")
    if options and not files:
        raise InputError(f"map: '{', '.join(options)}' is of files, and none are given. Name some, or leave it out.")
    known, of = models(results, task, first=True), Subject(results.plan, {"task": task})
    key, by = _chosen(known, detector, by)
    background = scored(results, task, of.background)
    thresholds = thresholds_beyond(background.beginning(), known.of, sigmas)
    if key not in thresholds:
        raise InputError(f"map: {key} has background events with an infinite score, and so no spread. Take another.")
    umap_class()  # before all the work
    rows, warnings_of = rows_of(results, task, of, known, key, files, options)
    quotas = quotas_of(len(rows), bool(files), most)
    samples = {
        label: most_beyond(blocks, thresholds, key, quota)
        for (label, blocks), quota in zip(rows.items(), quotas, strict=True)
    }  # fmt: skip
    found = concatenate([one.picked.events for one in samples.values()])
    model = known.of[key].set_params(representation=known.representations[known.representation_of[key]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the window: it is said of whole files
        made = anomaly_map(model, found, by, seeds)
        described = _described(known, key, samples, made, background, of.labels(["detectors"]), by, bool(files))
    return described | {
        "task": task, "by": by, "sigmas": sigmas, "threshold": number(thresholds[key]),
        "eps_b": number(next(iter(samples.values())).shares[key]), "shares": _shares(known, samples),
        "beyond": [of.beyond for of in samples.values()], "on_map": [of.on_map for of in samples.values()],
        "seeds": seeds, "files": [*samples][1:] if files else [], "warning": " ".join(warnings_of),
        "colors": _colors(results, of.labels(["samples"]), samples),
    }  # fmt: skip


def write(found: dict, path: Path) -> list[Path]:
    """Write the page of what :func:`map_of` has found, and beside it tables of clusters and events; their paths."""
    check_page(path)
    page, tables = render(found), [path.with_name(f"{path.stem}_{what}.csv") for what in ("clusters", "events")]
    names = found["samples"]
    with atomic_path(path) as partial:
        partial.write_text(page)
    rows = []
    for place, cluster in enumerate(found["summaries"]):
        columns = {f"events of {name}": n for name, n in zip(names, cluster["counts"], strict=True)}
        for name, of in zip(names, cluster["expected"] or (), strict=bool(cluster["expected"])):
            columns |= {f"expected of {name}": of[0], "low": of[1], "high": of[2]} if of else {}
        different = "; ".join(f"{name} {of_background:.3f}" for name, of_background, *_ in cluster["different"])
        rows.append({
            "cluster": letters(place), "events": cluster["events"], **columns, "purity": f"{cluster['purity']:.3f}",
            "differs (share of background below)": different,
        })  # fmt: skip
    write_rows(tables[0], rows[0].keys() if rows else ["cluster"], rows)
    events = [
        {"cluster": letters(cluster) if cluster >= 0 else "", "sample": names[event["sample"]],
         "event": event["id"], "run:section:event": event["where"], "x": x, "y": y,
         "score": event["scores"][found["detector"]], "p": event["p"][found["detector"]]}
        for event, cluster, (x, y) in zip(found["events"], found["clusters"], found["places"], strict=True)
    ]  # fmt: skip
    write_rows(tables[1], events[0].keys(), events)
    return tables


def _chosen(known: Models, detector: str | None, by: str | None) -> tuple[str, str]:
    """The training, and what the map is made of: the first that is possible."""
    names = {key.split("/")[0]: key for key in known.of}
    wanted = [check_choice("map: detector", detector, names)] if detector else list(names)
    ways = [check_choice("map: by", by, BY)] if by else BY
    possible = [(name, way) for way in ways for name in wanted if not lacking(known.of[names[name]].module, way)]
    if not possible:
        raise InputError(lacking(known.of[names[wanted[0]]].module, ways[0]))
    return names[possible[0][0]], possible[0][1]


def _colors(results: Results, labels: dict[str, str], picked: Iterable[str]) -> list[str]:
    """Of the samples of a map, those of the figures; files come after all samples."""
    names = {label: name for name, label in labels.items()}
    colors = of_samples([*results.config["samples"], *(label for label in picked if label not in names)])
    return [colors[names.get(label, label)] for label in picked]


def _shares(known: Models, samples: dict[str, Sampled]) -> list[list[float] | None]:
    """Of each training the share of each sample beyond its threshold, None if that is unknown; None if it has none."""
    everywhere = [of.shares for of in samples.values()]
    return [[number(of[key]) for of in everywhere] if key in everywhere[0] else None for key in known.of]


def _described(
    known: Models, key: str, samples: dict[str, Sampled], made: AnomalyMap, background: ScoredSample,
    labels: dict[str, str], by: str, files: bool,
) -> dict:  # fmt: skip
    describing = Describing(background, known, labels, [one.picked.events for one in samples.values()])
    of = np.repeat(np.arange(len(samples)), [one.on_map for one in samples.values()])
    middles = [_middle(made, cluster) for cluster in range(made.clusters.max(initial=-1) + 1)]
    explained, events = np.concatenate([*middles, np.zeros(0, int)]), []
    for place, one in enumerate(samples.values()):
        inside = explained[of[explained] == place] - len(events)
        events += describing.events(place, one.picked._replace(top={key: inside}))
    together = concatenate([one.picked.events for one in samples.values()])
    values, images = describing.values(together), _images(known.of[key].module.inner.pixels, together, by, made)
    summaries = []
    for cluster, middle in enumerate(middles):
        inside = made.clusters == cluster
        counts = np.bincount(of[inside], minlength=len(samples))
        summaries.append({
            "events": int(inside.sum()), "counts": counts.tolist(),
            "expected": _expected(counts, samples) if files else None,
            "purity": float(counts.max() / counts.sum()), "again": number(made.again(cluster)),
            "different": _different(describing, values, inside), "middle": middle.tolist(),
            "images": {
                what: rounded(of_events[inside & there].mean(axis=0))
                for what, (of_events, there) in images.items() if (inside & there).any()
            },
        })  # fmt: skip
    order = sorted(range(len(summaries)), key=lambda cluster: -_excess(summaries[cluster]))
    places = np.append(np.argsort(order), -1)  # of -1 the last
    clustered = max(int((made.clusters >= 0).sum()), 1)
    return {
        "detectors": describing.detectors, "samples": list(samples), "variables": describing.variables,
        "events": events, "places": rounded(made.places), "clusters": places.astype(int)[made.clusters].tolist(),
        "summaries": [summaries[cluster] for cluster in order], "agreement": [number(x) for x in made.agreement],
        "purity": sum(cluster["purity"] * cluster["events"] for cluster in summaries) / clustered,
        "largest": np.bincount(of).max() / len(of), "detector": list(known.of).index(key),
        "unexplained": describing.unexplained,
    }  # fmt: skip


def _expected(counts: np.ndarray, samples: dict[str, Sampled]) -> list[list[float] | None]:
    """Of each file how many events of a cluster there would be if it were background, the first sample, and the
    interval of that (F. Garwood 1936), with the ratio of events looked at; None where weights of background differ."""
    first, *others = samples.values()
    tails, n = (1 - LEVEL) / 2, counts[0]
    interval = (chi2.ppf(tails, 2 * n) / 2 if n else 0.0, chi2.ppf(1 - tails, 2 * n + 2) / 2)
    ratios = [first.share / one.share if first.plain and one.beyond else None for one in others]
    return [None, *(r and [number(x) for x in (n * r, interval[0] * r, interval[1] * r, r)] for r in ratios)]


def _excess(summary: dict) -> float:
    """By how many standard deviations a file has more events than expected, as far as that is known."""
    both = zip(summary["counts"], summary["expected"] or (), strict=bool(summary["expected"]))
    pulls = ((n - of[0]) / np.sqrt(n + of[3] * (of[0] + of[3])) for n, of in both if of)
    return max(pulls, default=0.0)


def _middle(made: AnomalyMap, cluster: int) -> np.ndarray:
    """Places of the events that are nearest to the median of their cluster, rising distance."""
    inside = np.flatnonzero(made.clusters == cluster)
    away = np.linalg.norm(made.places[inside] - np.median(made.places[inside], axis=0), axis=1)
    return inside[np.argsort(away, kind="stable")[:MIDDLE]]


def _different(describing: Describing, values: np.ndarray, inside: np.ndarray) -> list[list]:
    """Observables that differ most from the other events of the map, or, if there are none, from background.

    Of each its label, the mean share of background, and of the others, that has less, ties count half, and its median.
    """
    of_background = _mean(shares(describing.background, values[inside]))
    of_others = of_background
    if (~inside).any():
        of_others = _mean(shares(below(np.ones((~inside).sum()), values[~inside]), values[inside]))
    order = np.argsort(-np.abs(of_others - 0.5), kind="stable")  # NaN last
    found = []
    for k in order[np.isfinite(of_others[order])][:DIFFERENT]:
        median = np.nanmedian(values[inside, k])
        found.append([describing.variables[k], *map(number, (of_background[k], of_others[k], median))])
    return found


def _mean(x: np.ndarray) -> np.ndarray:
    """Mean (D,) over the events of x (N, D), without NaN; NaN where there is nothing else."""
    return np.ma.masked_invalid(x).mean(0).filled(np.nan)


def _images(pixels: int, events: Events, by: str, made: AnomalyMap) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(N, pixels) of the jets, and, if the map is of residuals of images, of these; and of which events (N,)."""
    there, found = (events.constituents[..., 0] > 0).any(axis=1), {}
    if there.any():
        images = np.zeros((len(events), IMAGE.size**2), np.float32)
        images[there] = IMAGE(events[there]).flatten(1).numpy()
        found["jet"] = images, there
    if by == "residuals" and pixels:
        found["residual"] = made.features[:, :pixels], np.ones(len(events), bool)
    return found
