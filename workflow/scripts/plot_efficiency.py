"""Signal efficiency against background efficiency, detectors beside baselines and supervised trees, all trainings."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.seed_spread import spreads
from hepad.evaluation.tables import read_records
from hepad.figures import efficiency_curves
from hepad.figures.style import save, style

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    found, groups = spreads(read_records(snakemake.input, {**labels, "supervised": "gradient-boosted trees"}))
    title = " → ".join(labels[name] for name in (snakemake.params.background, snakemake.wildcards.signal))
    figure = efficiency_curves(found, groups, snakemake.params.style, title=title)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
