"""Events of the chunks of a sample as one file, without those that two chunks have."""

from hepad.errors import report_errors
from hepad.progress import Progress
from hepad.samples.gather import gather

with report_errors(snakemake.log[0]):
    meta = gather(snakemake.input, snakemake.output[0], snakemake.params.selection)
    Progress(snakemake.wildcards.sample, snakemake.log[0]).count(meta["counts"])
