"""One seeded chunk of a generated sample, as a ROOT file."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.parts import shares
from hepad.progress import Progress
from hepad.samples import write_root
from hepad.simulation import cards, pythia

with told_plainly(snakemake.log[0]):
    source, chunk = dict(snakemake.params.source), int(snakemake.wildcards.chunk)
    total, chunks, seed = source.pop("jets"), source.pop("chunks"), source.pop("seed")
    root = Path(snakemake.scriptdir).parents[1]
    card = cards.find(source.pop("card"), root)
    if source["pileup"]:
        source["pileup"] = source["pileup"] | {"card": str(cards.find(source["pileup"]["card"], root))}
    jets = shares(total, chunks)[chunk]
    progress = Progress(f"{snakemake.wildcards.sample} {chunk}", snakemake.log[0])
    with progress.stage("generate", jets, "jets") as stage:
        events = pythia.generate(
            card,
            jets,
            seed=1000 * seed + chunk,
            selection=snakemake.params.selection,
            first_event_id=chunk * 10**10,
            progress=stage.reach,
            **source,
        )
    write_root(events, snakemake.output[0])
