"""What was read, refused and kept of every file of every sample."""

from hepad.errors import report_errors
from hepad.samples.data_quality import write_cut_flow

with report_errors(snakemake.log[0]):
    write_cut_flow(snakemake.output[0], snakemake.input)
