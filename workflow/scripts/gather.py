"""Features, or scores, of the chunks of a sample as one file."""

from hepad.errors import report_errors
from hepad.storage.table import merge

with report_errors(snakemake.log[0]):
    merge(snakemake.input, snakemake.output[0])
