"""Scores of one sample's test part under every detector of a task, chunk by chunk."""

import torch

from hepad import detectors
from hepad.device import claim
from hepad.errors import told_plainly
from hepad.features import Features, score, write_scores

with told_plainly(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, claim(snakemake.config["device"], snakemake.resources.gpu)[0]
    features = dict(zip(params.representations, map(Features.chunks, snakemake.input.features), strict=True))
    models = zip(params.runs, snakemake.input.models, strict=True)
    loaded = {f"{name}/{seed}": (params.detectors[name], detectors.load(p).to(device)) for (name, seed), p in models}
    write_scores(snakemake.output[0], score(loaded, features))
