"""Score histograms, and efficiency against jet pT and mass, for every detector of a task."""

from hepad.errors import report_errors
from hepad.evaluation.binned_efficiency import efficiency_against_jet
from hepad.evaluation.scored_sample import LOOK
from hepad.evaluation.scores import read_scores
from hepad.evaluation.streaming import threshold_of
from hepad.figures import efficiency_against_variable, score_histograms
from hepad.figures.style import save, style

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params, labels, eps_b = snakemake.params, snakemake.params.labels, snakemake.params.working_point
    samples = {labels[n]: read_scores(p) for n, p in zip(params.samples, snakemake.input, strict=True)}
    background = labels[params.samples[0]]
    jet = {name: beside.beginning(LOOK, ["jet"])["jet"] for name, (_, beside) in samples.items()}
    for key in (name for name in samples[background][0] if name.endswith(f"/{params.seed}")):
        detector, cut = key.split("/")[0], threshold_of(samples[background][0].weighted(key), eps_b)
        jets = {name: (found.beginning(LOOK, [key])[key], jet[name]) for name, (found, _) in samples.items()}
        scores = {name: of_sample for name, (of_sample, _) in jets.items()}
        look = {"background_name": background, "title": labels[detector]}
        axis = {"thresholds": {eps_b: cut}, "score_name": params.score_names[detector]}
        figure = score_histograms(scores.pop(background), scores, params.style, **axis, **look)
        save(figure, f"{snakemake.output.scores}/{detector}")
        figure = efficiency_against_variable(efficiency_against_jet(jets, cut), params.style, eps_b=eps_b, **look)
        save(figure, f"{snakemake.output.against}/{detector}")
