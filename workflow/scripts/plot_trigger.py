"""ε_S and significance against ε_B, and against the rate where there is one: a line and a band per detector."""

from pathlib import Path

from hepad.errors import report_errors
from hepad.evaluation.seed_spread import spreads
from hepad.evaluation.tables import read_records
from hepad.figures import trigger_curves
from hepad.figures.style import save, style
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    records = read_records([snakemake.input.evaluation], {**labels, "supervised": "gradient-boosted trees"})
    found, groups = spreads(records, of="events")
    khz = next((record["scale_khz"] for record in read_json(snakemake.input.rates)), None)
    title = " → ".join(labels[name] for name in (snakemake.params.background, snakemake.wildcards.signal))
    figure = trigger_curves(found, groups, snakemake.params.style, khz=khz, title=title)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
