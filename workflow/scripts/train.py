"""Fit one detector on background events."""

import torch

from hepad import detectors
from hepad.detectors.training import candidates, checkpoint, distributed
from hepad.errors import report_errors
from hepad.progress import Progress
from hepad.representations.features import Features
from hepad.storage.files import write_json

config, params, log = snakemake.config, snakemake.params, snakemake.log[0]
with report_errors(log), distributed.processes(config["device"], snakemake.resources.gpu) as device:
    torch.set_num_threads(snakemake.threads)
    background = [Features.read_split(snakemake.input.background, name) for name in ("train", "valid")]
    seed, spec = int(snakemake.wildcards.seed), params.spec
    progress = Progress(f"{snakemake.wildcards.task} {snakemake.wildcards.detector}", log)
    before = {path.split("/")[-2]: detectors.load(path) for path in snakemake.input.before}
    state = checkpoint.Checkpoint(params.checkpoint, {"spec": spec, "seed": seed}, config["checkpoint_seconds"])
    detector, fit = detectors.train(spec, *background, seed, device, before, progress=progress, checkpoint=state)
    if distributed.rank() == 0:
        candidates.save_candidates(fit.candidates, snakemake.output.candidates)
        detectors.save(detector, snakemake.output.model, spec, seed=seed, **params.trained_on)
        write_json(snakemake.output.history, {"history": fit.history, "facts": fit.facts})
        state.delete()
