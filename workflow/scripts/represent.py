"""Events to one representation, block by block, training and test part apart."""

from hepad.errors import report_errors
from hepad.events import Events
from hepad.representations import build
from hepad.representations.features import represent

with report_errors(snakemake.log[0]):
    outputs = {snakemake.output.train: ("train", "valid"), snakemake.output.test: ("test",)}
    events = Events.blocks(snakemake.input.events, chunk=int(snakemake.wildcards.chunk))
    represent(build(snakemake.params.spec), events, outputs)
