"""Thresholds for the budgets of a task, and total and pure rates, gains and curves of every training."""

from hepad import trigger
from hepad.errors import told_plainly
from hepad.features import read_scores
from hepad.io import write_json

with told_plainly(snakemake.log[0]):
    params, background = snakemake.params, snakemake.params.samples[0]
    scores = dict(zip(params.samples, map(read_scores, snakemake.input.scores), strict=True))
    events = dict(zip(params.samples, map(trigger.tested, snakemake.input.events), strict=True))
    meta = events[background].meta
    scale = trigger.declared_scale(background, {"rate": params.rate}, meta)
    menu, of = trigger.menu_of(params.menu, meta.get("triggers", ()))
    models, budgets = trigger.digests(snakemake.input.models), params.khz if scale else params.eps_b
    write_json(snakemake.output[0], trigger.rates(scores, events, scale, budgets, menu, of, models))
