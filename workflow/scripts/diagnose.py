"""Stability of every detector of a task on its background: pile-up, symmetries, mass, correlations."""

import numpy as np

from hepad import detectors, diagnostics
from hepad.errors import told_plainly
from hepad.events import Events
from hepad.features import read_scores
from hepad.io import write_json
from hepad.representations import build

with told_plainly(snakemake.log[0]):
    params, records = snakemake.params, []
    events = Events.read(snakemake.input.events, slice(200_000)).of_split("test")
    scores, _ = read_scores(snakemake.input.scores)
    copies = diagnostics.copies(events[:2000], np.random.default_rng(1))
    maps = {name: build(spec) for name, spec in params.representations.items()}
    x = {name: {of: represent(copy) for of, copy in copies.items()} for name, represent in maps.items()}
    for (name, representation), path in zip(params.detectors.items(), snakemake.input.models, strict=True):
        of_copies = {of: detectors.load(path).score(copy).numpy() for of, copy in x[representation].items()}
        own = scores[f"{name}/{params.seed}"][: len(events)]
        found = diagnostics.diagnose(own, events, of_copies, params.eps_b, params.working_point)
        records.append({"task": snakemake.wildcards.task, "detector": name, "seed": params.seed, **found})
    write_json(snakemake.output[0], records)
