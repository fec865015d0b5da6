"""One seeded chunk of a generated sample, as a ROOT file."""

from hepad.errors import told_plainly
from hepad.progress import Progress
from hepad.samples import pythia, root

with told_plainly(snakemake.log[0]):
    source, chunk = snakemake.params.source, int(snakemake.wildcards.chunk)
    jets = [source["jets"] // source["chunks"] + (i < source["jets"] % source["chunks"]) for i in range(chunk + 1)]
    events = pythia.generate(
        snakemake.input.card,
        jets[chunk],
        seed=1000 * source["seed"] + chunk,
        selection=snakemake.params.selection,
        leading=source["leading"],
        response=source["response"],
        matching=source["matching"],
        first_event_id=chunk * 10**10,
        progress=Progress(f"{snakemake.wildcards.sample} {chunk}", snakemake.log[0]),
    )
    root.write_root(events, snakemake.output[0])
