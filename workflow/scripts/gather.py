"""Features, or scores, of the chunks of a sample as one file."""

from hepad.errors import report_errors
from hepad.storage.chunks import gather

with report_errors(snakemake.log[0]):
    gather(snakemake.input, snakemake.output[0])
