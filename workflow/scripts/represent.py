"""Events to one representation, training and test part apart."""

from hepad.errors import told_plainly
from hepad.events import Events
from hepad.features import Features
from hepad.representations import build

with told_plainly(snakemake.log[0]):
    representation = build(snakemake.params.spec)
    features = Features.of(representation, Events.read(snakemake.input.events))
    features.of_split("train", "valid").write(snakemake.output.train)
    features.of_split("test").write(snakemake.output.test)
