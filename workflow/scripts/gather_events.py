"""Events of the chunks of a sample as one file, without those that two chunks have."""

from hepad.errors import report_errors
from hepad.progress import Progress
from hepad.samples.gather import gather
from hepad.samples.processes import Process

with report_errors(snakemake.log[0]):
    processes = [Process(**declared) for declared in snakemake.params.processes]
    meta = gather(snakemake.input, snakemake.output[0], snakemake.params.selection, processes)
    Progress(snakemake.wildcards.sample, snakemake.log[0]).count(meta["counts"])
