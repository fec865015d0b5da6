"""What was read, refused and kept of every file of every sample."""

from hepad.errors import told_plainly
from hepad.quality import write_cut_flow

with told_plainly(snakemake.log[0]):
    write_cut_flow(snakemake.output[0], snakemake.input)
