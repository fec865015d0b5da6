"""Features, or scores, of the chunks of a sample as one file."""

from hepad.errors import report_errors
from hepad.storage.table import write_index

with report_errors(snakemake.log[0]):
    write_index(snakemake.input, snakemake.output[0])
