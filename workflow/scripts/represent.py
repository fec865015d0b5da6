"""Events to one representation, chunk by chunk, training and test part apart."""

from hepad.errors import told_plainly
from hepad.events import Events
from hepad.features import represent
from hepad.representations import build

with told_plainly(snakemake.log[0]):
    outputs = {snakemake.output.train: ("train", "valid"), snakemake.output.test: ("test",)}
    events = Events.chunks(snakemake.input.events, part=int(snakemake.wildcards.chunk))
    represent(build(snakemake.params.spec), events, outputs)
