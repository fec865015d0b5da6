"""Files of one sample to events, chunk by chunk: selection, checks, split."""

from hepad.errors import told_plainly
from hepad.events import write_chunks
from hepad.progress import Progress
from hepad.samples import stream_of

with told_plainly(snakemake.log[0]):
    source = {**snakemake.params.source, "files": [*snakemake.input.files, *snakemake.params.remote]}
    entry, name = snakemake.params.entry, snakemake.wildcards.sample
    events = stream_of(source, name=name, selection=entry["selection"], split=entry["split"])
    meta = write_chunks(snakemake.output[0], events)
    Progress(name, snakemake.log[0]).say(f"counts: {meta['counts']}")
