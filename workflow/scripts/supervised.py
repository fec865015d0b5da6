"""Supervised trees of one signal: the only place where something is fitted to a signal."""

import sys

from hepad.errors import report_errors
from hepad.evaluation.scores import write_scores
from hepad.evaluation.supervised import supervised_scores, too_few
from hepad.representations.features import Features

with report_errors(snakemake.log[0]):
    fitted = [Features.read_split(path, "train") for path in (snakemake.input.background, snakemake.input.signal)]
    tests = [Features.read(path) for path in snakemake.input.tests]
    if why := too_few(*fitted):  # a small signal has no supervised line
        print(f"no supervised trees: {why}", file=sys.stderr)
        scores = [{} for _ in tests]
    else:
        scores = [{"supervised/1": score} for score in supervised_scores(*fitted, tests)]
    for path, score, test in zip(snakemake.output, scores, tests, strict=True):
        write_scores(path, [(score, test)])
