"""Events of the parts of a sample as one file, without those that two parts have."""

from hepad.errors import told_plainly
from hepad.progress import Progress
from hepad.samples.gathering import gather

with told_plainly(snakemake.log[0]):
    meta = gather(snakemake.input, snakemake.output[0], snakemake.params.selection)
    Progress(snakemake.wildcards.sample, snakemake.log[0]).say(f"counts: {meta['counts']}")
