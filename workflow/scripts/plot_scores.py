"""Score histograms, and efficiency against jet pT and mass, for every detector of a task."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.evaluation import efficiency_against_jet, threshold_at
from hepad.features import read_scores
from hepad.figures import efficiency_against_variable, score_histograms
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    params, labels, eps_b = snakemake.params, snakemake.params.labels, snakemake.params.working_point
    samples = {labels[n]: read_scores(p) for n, p in zip(params.samples, snakemake.input, strict=True)}
    background = labels[params.samples[0]]
    jet, weight = {n: about["jet"] for n, (_, about) in samples.items()}, samples[background][1]["weight"]
    for key in (name for name in samples[background][0] if name.endswith(f"/{params.seed}")):
        scores = {name: found[key] for name, (found, _) in samples.items()}
        jets = {name: (of_sample, jet[name]) for name, of_sample in scores.items()}
        detector, cut = key.split("/")[0], threshold_at(scores[background], eps_b, weight)
        look = {"background_name": background, "title": labels[detector]}
        axis = {"thresholds": {eps_b: cut}, "score_name": params.score_names[detector]}
        figure = score_histograms(scores.pop(background), scores, params.style, **axis, **look)
        save(figure, Path(snakemake.output.scores) / detector)
        figure = efficiency_against_variable(efficiency_against_jet(jets, cut), params.style, eps_b=eps_b, **look)
        save(figure, Path(snakemake.output.against) / detector)
