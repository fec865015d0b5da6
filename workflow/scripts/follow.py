"""AUC of every candidate of every energy-based training of a task: what choosing without the signal costs."""

import torch

from hepad import detectors
from hepad.detectors.training.candidates import load_candidates
from hepad.errors import report_errors
from hepad.evaluation import model_selection_cost
from hepad.representations.features import Features
from hepad.storage.files import read_json, write_json

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    files, params, records = snakemake.input, snakemake.params, []
    pairs = zip(params.representations, files.background, files.signal, strict=True)
    events = {name: [Features.read(path, slice(params.events)).x for path in pair] for name, *pair in pairs}
    runs = zip(params.runs, files.models, files.histories, files.candidates, strict=True)
    for (name, seed), model, history, candidates in runs:
        key = {**snakemake.wildcards, "detector": name, "seed": seed}
        pair = events[params.detectors[name]]
        records.append(
            key
            | model_selection_cost.follow(detectors.load(model), load_candidates(candidates), read_json(history), *pair)
        )
    write_json(snakemake.output[0], records)
