"""Events to one representation, block by block, training and test part apart."""

from hepad.errors import report_errors
from hepad.events import Events
from hepad.representations import Space, build
from hepad.representations.features import represent

with report_errors(snakemake.log[0]):
    outputs = {snakemake.output.train: ("train", "valid"), snakemake.output.test: ("test",)}
    events = Events.blocks(snakemake.input.events, chunk=int(snakemake.wildcards.chunk))
    representation, planned = build(snakemake.params.spec), tuple(snakemake.params.encoders)
    # all chunks by one file of an encoder, also if it is exchanged while the run goes on
    representation.space.check_encoders(Space(representation.space.shape, encoders=planned), "the plan of this run")
    represent(representation, events, outputs)
