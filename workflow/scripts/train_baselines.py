"""Fit the baselines of one task on background events, one after the other."""

import torch

from hepad import detectors
from hepad.errors import at, report_errors
from hepad.progress import Progress
from hepad.representations.features import Features
from hepad.storage.files import write_json

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, output, background = snakemake.params, snakemake.output, {}
    for name, path in zip(params.representations, snakemake.input, strict=True):
        background[name] = [Features.read_split(path, split) for split in ("train", "valid")]
    paths = zip(output.models, output.histories, strict=True)
    for (name, seed, spec), trained_on, (model, history) in zip(params.runs, params.trained_on, paths, strict=True):
        progress = Progress(name, snakemake.log[0])
        with at(f"detectors.{name}"):
            detector, fit = detectors.train(spec, *background[params.representation_of[name]], seed, progress=progress)
        detectors.save(detector, model, spec, seed=seed, **trained_on)
        write_json(history, {"history": fit.history, "facts": fit.facts})
