"""Features, or scores, of the parts of a sample as one file."""

from hepad.errors import told_plainly
from hepad.parts import gather

with told_plainly(snakemake.log[0]):
    gather(snakemake.input, snakemake.output[0])
