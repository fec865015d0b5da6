"""Rate against threshold and what is found at each rate; turn-ons at the working point; of every detector."""

from pathlib import Path

from hepad import diagnostics, trigger
from hepad.errors import told_plainly
from hepad.evaluation import threshold_at
from hepad.features import read_scores
from hepad.figures import efficiency_against_variable, rate_curves
from hepad.io import read_json
from hepad.style import save, style

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    params, (background, *signals), labels = snakemake.params, snakemake.params.samples, snakemake.params.labels
    for record in (r for r in read_json(snakemake.input.rates) if r["seed"] == params.seed):
        figure = rate_curves(record, {s: labels[s] for s in signals}, params.style, title=labels[record["detector"]])
        save(figure, Path(snakemake.output.rates) / record["detector"])
    scores = {name: read_scores(p)[0] for name, p in zip(params.samples, snakemake.input.scores, strict=True)}
    events = {name: trigger.tested(p) for name, p in zip(params.samples, snakemake.input.events, strict=True)}
    for detector in params.detectors:
        key, look = f"{detector}/{params.seed}", {"background_name": labels[background], "eps_b": params.working_point}
        cut = threshold_at(scores[background][key], params.working_point, events[background].weight)
        binned = diagnostics.turn_ons({labels[n]: (scores[n][key], e) for n, e in events.items()}, cut)
        figure = efficiency_against_variable(binned, params.style, title=labels[detector], **look)
        save(figure, Path(snakemake.output.turn_ons) / detector)
