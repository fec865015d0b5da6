"""Fit a student to a detector's score, on background and on outliers made of it."""

import torch

from hepad import detectors
from hepad.detectors.training.settings import Schedule
from hepad.errors import report_errors
from hepad.progress import Progress
from hepad.registry import settings
from hepad.representations.features import Features
from hepad.storage.files import write_json
from hepad.trigger import student

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, name = snakemake.params, snakemake.wildcards.student
    train, valid = (Features.read_split(snakemake.input.background, part) for part in ("train", "valid"))
    teacher = detectors.load(snakemake.input.teacher)
    pupil = student.build(params.network, train.space, params.seed)
    schedule = settings(Schedule, params.training, f"students.{name}.training")
    how = {"generator": torch.Generator().manual_seed(params.seed), "progress": Progress(name, snakemake.log[0])}
    fit = student.distil(pupil, teacher.score, train.x, valid.x, schedule, share=params.outliers, **how)
    student.save(pupil, snakemake.output.model, params.network)
    write_json(snakemake.output.history, {"history": fit.history, "facts": fit.facts})
