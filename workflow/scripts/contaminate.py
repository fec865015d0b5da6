"""AUC of one detector whose training holds some signal."""

from hepad.errors import report_errors
from hepad.evaluation.contamination import auc_against_contamination
from hepad.representations.features import Features
from hepad.storage.files import write_json

with report_errors(snakemake.log[0]):
    params = snakemake.params
    background, signal, *tests = (Features.read(path) for path in snakemake.input)
    found = auc_against_contamination(params.spec, background, signal, tuple(tests), params.fractions, params.seed)
    write_json(snakemake.output[0], {**snakemake.wildcards, "signal": params.signal, "trainings": found})
