"""AUC of every candidate of every energy-based training of a task: the price of choosing without the signal."""

from itertools import product

import torch

from hepad import blindness, detectors
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.io import read_json, write_json
from hepad.selection import load_trail

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    files, params, records = snakemake.input, snakemake.params, []
    events = {
        r: [Features.read(p).x[: params.events] for p in pair]
        for r, *pair in zip(params.representations, files.background, files.signal, strict=True)
    }
    runs = zip(product(params.detectors, params.seeds), files.models, files.histories, files.trails, strict=True)
    for (name, seed), model, history, trail in runs:
        about, (background, signal) = read_json(history), events[params.detectors[name]]
        candidates = blindness.follow(detectors.load(model), load_trail(trail), about["history"], background, signal)
        key = {"task": snakemake.wildcards.task, "signal": snakemake.wildcards.signal, "detector": name, "seed": seed}
        facts = {k: about["facts"][k] for k in ("criterion", "chosen_step")}
        records.append(
            {**key, **facts, "n_background": len(background), "n_signal": len(signal), "candidates": candidates}
        )
    write_json(snakemake.output[0], records)
