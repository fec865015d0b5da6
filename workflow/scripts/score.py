"""Scores of one sample's test part under every detector of a task, block by block."""

import torch

from hepad import detectors
from hepad.detectors.training.device import claim
from hepad.errors import report_errors
from hepad.evaluation.scores import score, write_scores
from hepad.representations.features import Features

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, device = snakemake.params, claim(snakemake.config["device"], snakemake.resources.gpu)[0]
    features = dict(zip(params.representations, map(Features.blocks, snakemake.input.features), strict=True))
    models = zip(params.runs, snakemake.input.models, strict=True)
    loaded = {f"{name}/{seed}": (params.detectors[name], detectors.load(p).to(device)) for (name, seed), p in models}
    write_scores(snakemake.output[0], score(loaded, features))
