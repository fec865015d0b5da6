"""The rates of the seeds of a task's menu, and what they take of its signals."""

from hepad.errors import report_errors
from hepad.evaluation.scored_sample import ScoredSample
from hepad.events import Events
from hepad.trigger.rate_tables import declared_scale
from hepad.trigger.seed_tables import seed_rows, write_seeds
from hepad.trigger.stages import stages_of

with report_errors(snakemake.log[0]):
    params, (scores, events) = snakemake.params, (snakemake.input.scores, snakemake.input.events)
    samples = {name: ScoredSample(name, *files) for name, *files in zip(params.samples, scores, events, strict=True)}
    meta = Events.table(events[0]).meta
    scale = declared_scale(params.samples[0], {"rate": params.rate}, meta)
    stages = stages_of(params.menu, meta.get("triggers", ()))
    write_seeds(snakemake.output[0], seed_rows(snakemake.wildcards.task, samples, stages, scale))
