"""Signal efficiency against background efficiency, detectors beside baselines and the ceiling; bands of trainings."""

from pathlib import Path

from hepad.bands import bands
from hepad.errors import told_plainly
from hepad.figures import efficiency_curves
from hepad.style import save, style
from hepad.tables import read_records

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    found, groups = bands(read_records(snakemake.input, {**labels, "ceiling": "gradient-boosted trees"}))
    title = " → ".join(labels[name] for name in (snakemake.params.background, snakemake.wildcards.signal))
    figure = efficiency_curves(found, groups, snakemake.params.style, title=title)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
