"""Thresholds for the budgets of a task, and total and pure rates, gains and curves of every training."""

from hepad.errors import report_errors
from hepad.evaluation.scored_sample import ScoredSample
from hepad.events import Events
from hepad.storage.files import write_json
from hepad.trigger import rate_tables
from hepad.trigger.stages import stages_of

with report_errors(snakemake.log[0]):
    params, (scores, events) = snakemake.params, (snakemake.input.scores, snakemake.input.events)
    samples = {name: ScoredSample(name, *files) for name, *files in zip(params.samples, scores, events, strict=True)}
    meta = Events.table(events[0]).meta
    scale = rate_tables.declared_scale(params.samples[0], {"rate": params.rate}, meta)
    stages = stages_of(params.menu, meta.get("triggers", ()))
    models, budgets = rate_tables.digests(snakemake.input.models), params.khz if scale else params.eps_b
    write_json(snakemake.output[0], rate_tables.rates(samples, scale, budgets, stages, models))
