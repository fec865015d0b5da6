"""Files of one sample to events: selection, checks, split."""

from hepad.errors import told_plainly
from hepad.progress import Progress
from hepad.samples import read

with told_plainly(snakemake.log[0]):
    source = {"reader": "ROOT", **snakemake.params.source, "files": list(snakemake.input.files)}
    entry = snakemake.params.entry
    events = read(source, name=snakemake.wildcards.sample, selection=entry["selection"], split=entry["split"])
    events.write(snakemake.output[0])
    progress = Progress(snakemake.wildcards.sample, snakemake.log[0])
    progress.say(f"{len(events)} jets kept; counts: {events.meta['counts']}")
