"""AUC of one detector whose training holds some signal."""

from hepad.contamination import auc_against_contamination
from hepad.errors import told_plainly
from hepad.features import Features
from hepad.io import write_json

with told_plainly(snakemake.log[0]):
    params = snakemake.params
    background, signal, *tests = (Features.read(path) for path in snakemake.input)
    found = auc_against_contamination(params.spec, background, signal, tuple(tests), params.fractions, params.seed)
    write_json(snakemake.output[0], {**snakemake.wildcards, "signal": params.signal, "trainings": found})
