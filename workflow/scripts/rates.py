"""Thresholds for the budgets of a task, and total and pure rates, gains and curves of every training."""

from hepad import trigger
from hepad.errors import told_plainly
from hepad.events import Events
from hepad.io import write_json
from hepad.scored import ScoredSample

with told_plainly(snakemake.log[0]):
    params, (scores, events) = snakemake.params, (snakemake.input.scores, snakemake.input.events)
    samples = {name: ScoredSample(name, *files) for name, *files in zip(params.samples, scores, events, strict=True)}
    meta, _ = Events.outline(events[0])
    scale = trigger.declared_scale(params.samples[0], {"rate": params.rate}, meta)
    menu, of = trigger.menu_of(params.menu, meta.get("triggers", ()))
    models, budgets = trigger.digests(snakemake.input.models), params.khz if scale else params.eps_b
    write_json(snakemake.output[0], trigger.rates(samples, scale, budgets, menu, of, models))
