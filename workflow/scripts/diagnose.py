"""Stability of every detector of a task on its background: pile-up, symmetries, mass, correlations."""

import numpy as np

from hepad import detectors, representations
from hepad.errors import report_errors
from hepad.evaluation import diagnostics
from hepad.evaluation.scored_sample import ScoredSample
from hepad.events import concatenate
from hepad.storage.files import write_json

with report_errors(snakemake.log[0]):
    params, records = snakemake.params, []
    sample = ScoredSample(params.sample, snakemake.input.scores, snakemake.input.events)
    seen = diagnostics.scored_variables(sample.beginning(constituents=True))
    some = concatenate([events for events, _ in sample.beginning(2000, constituents=True)])
    copies = diagnostics.copies(some, np.random.default_rng(1))
    maps = {name: representations.build(spec) for name, spec in params.representations.items()}
    x = {name: {of: represent(copy) for of, copy in copies.items()} for name, represent in maps.items()}
    for (name, representation), path in zip(params.detectors.items(), snakemake.input.models, strict=True):
        of_copies = {of: detectors.load(path).score(copy).numpy() for of, copy in x[representation].items()}
        own = seen.scores[f"{name}/{params.seed}"]
        found = diagnostics.diagnose(own, *seen[:2], of_copies, params.eps_b, params.working_point)
        records.append({"task": snakemake.wildcards.task, "detector": name, "seed": params.seed, **found})
    write_json(snakemake.output[0], records)
