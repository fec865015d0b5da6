"""Rate against threshold and what is found at each rate; turn-ons at the working point; of every detector."""

from hepad.errors import report_errors
from hepad.evaluation import diagnostics
from hepad.evaluation.scored_sample import ScoredSample
from hepad.evaluation.streaming import threshold_of
from hepad.figures import efficiency_against_variable, rate_curves
from hepad.figures.style import save, style
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    params, (background, *signals), labels = snakemake.params, snakemake.params.samples, snakemake.params.labels
    for record in (r for r in read_json(snakemake.input.rates) if r["seed"] == params.seed):
        figure = rate_curves(record, {s: labels[s] for s in signals}, params.style, title=labels[record["detector"]])
        save(figure, f"{snakemake.output.rates}/{record['detector']}")
    scores, events = snakemake.input.scores, snakemake.input.events
    samples = {name: ScoredSample(name, *files) for name, *files in zip(params.samples, scores, events, strict=True)}
    seen = {labels[name]: diagnostics.scored_variables(of_sample.beginning()) for name, of_sample in samples.items()}
    for detector in params.detectors:
        key, look = f"{detector}/{params.seed}", {"background_name": labels[background], "eps_b": params.working_point}
        cut = threshold_of(samples[background].scores.weighted(key), params.working_point)
        binned = diagnostics.turn_ons({name: (s.scores[key], s.variables) for name, s in seen.items()}, cut)
        figure = efficiency_against_variable(binned, params.style, title=labels[detector], **look)
        save(figure, f"{snakemake.output.turn_ons}/{detector}")
