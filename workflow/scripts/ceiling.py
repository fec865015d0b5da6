"""The supervised ceiling of one signal: the only place where something is fitted to a signal."""

from hepad.ceiling import supervised_scores
from hepad.errors import told_plainly
from hepad.features import Features, write_scores

with told_plainly(snakemake.log[0]):
    fitted = [Features.read_split(path[0], "train") for path in (snakemake.input.background, snakemake.input.signal)]
    tests = [Features.read(path) for path in snakemake.input.tests]
    scores = supervised_scores(*fitted, tests)
    for path, score, test in zip(snakemake.output, scores, tests, strict=True):
        write_scores(path, [({"ceiling/1": score}, test)])
