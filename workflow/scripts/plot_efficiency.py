"""Signal efficiency against background efficiency, detectors beside baselines and the ceiling."""

from pathlib import Path

from hepad.errors import told_plainly
from hepad.figures import efficiency_curves
from hepad.style import save, style
from hepad.tables import read_records

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    records = read_records(snakemake.input, {**snakemake.params.labels, "ceiling": "gradient-boosted trees"})
    curves = {record["name"]: record["evaluation"] for record in records}
    groups = {record["name"]: record["group"] for record in records}
    names = [snakemake.params.labels[name] for name in (snakemake.params.background, snakemake.wildcards.signal)]
    figure = efficiency_curves(curves, groups, snakemake.params.style, title=" → ".join(names))
    save(figure, Path(snakemake.output[0]).with_suffix(""))
