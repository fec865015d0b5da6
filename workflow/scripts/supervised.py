"""Supervised trees of one signal: the only place where something is fitted to a signal."""

import sys

from hepad.errors import report_errors
from hepad.evaluation.scores import write_scores
from hepad.evaluation.supervised import supervised_scores
from hepad.representations.features import Features

with report_errors(snakemake.log[0]):
    fitted = [Features.read_split(path, "train") for path in (snakemake.input.background, snakemake.input.signal)]
    tests = [Features.read(path) for path in snakemake.input.tests]
    scores = supervised_scores(*fitted, tests)
    if scores is None:
        print(f"no supervised trees: {' and '.join(str(len(x.x)) for x in fitted)} training events", file=sys.stderr)
    for number, (path, test) in enumerate(zip(snakemake.output, tests, strict=True)):
        write_scores(path, [({"supervised/1": scores[number]} if scores else {}, test)])
