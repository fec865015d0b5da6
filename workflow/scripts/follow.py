"""AUC of every candidate of every energy-based training of a task: the price of choosing without the signal."""

import torch

from hepad import blindness, detectors
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.io import read_json, write_json
from hepad.selection import load_trail

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    files, params, records = snakemake.input, snakemake.params, []
    pairs = zip(params.representations, files.background, files.signal, strict=True)
    events = {name: [Features.read(path, slice(params.events)).x for path in pair] for name, *pair in pairs}
    runs = zip(params.runs, files.models, files.histories, files.trails, strict=True)
    for (name, seed), model, history, trail in runs:
        key = {**snakemake.wildcards, "detector": name, "seed": seed}
        pair = events[params.detectors[name]]
        records.append(key | blindness.follow(detectors.load(model), load_trail(trail), read_json(history), *pair))
    write_json(snakemake.output[0], records)
