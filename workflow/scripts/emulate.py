"""Scores of a detector, its float student and its fixed-point students, compiled once, of each sample of a task."""

from pathlib import Path

import torch

from hepad import detectors
from hepad.errors import report_errors
from hepad.events import Events
from hepad.representations.features import Features
from hepad.trigger import student
from hepad.trigger.emulations import compiled, write_scores_of, write_vectors_of
from hepad.trigger.rate_tables import declared_scale

with report_errors(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, folder, files = snakemake.params, Path(snakemake.output[0]), snakemake.input
    pupil, ranges = student.load(files.student), Features.read_split(files.background, "train").x[:10_000]
    projects = compiled(pupil, params.formats, ranges, folder)
    engines = {"detector/teacher": detectors.load(files.teacher), "student/float": pupil, **projects}
    tests = dict(zip(params.samples, files.tests, strict=True))
    write_scores_of(engines, tests, folder)
    scale = declared_scale(params.samples[0], {"rate": params.rate}, Events.table(files.events).meta)
    write_vectors_of(projects, tests, folder, scale, params.khz, params.eps_b)
