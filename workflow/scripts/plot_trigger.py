"""ε_S and significance against ε_B, and against the rate where there is one: a line and a band per detector."""

from pathlib import Path

from hepad.bands import bands
from hepad.errors import told_plainly
from hepad.figures import trigger_curves
from hepad.io import read_json
from hepad.style import save, style
from hepad.tables import read_records

with told_plainly(snakemake.log[0]), style(snakemake.params.style):
    labels = snakemake.params.labels
    records = read_records([snakemake.input.evaluation], {**labels, "ceiling": "gradient-boosted trees"})
    found, groups = bands(records, of="events")
    khz = next((record["scale_khz"] for record in read_json(snakemake.input.rates)), None)
    title = " → ".join(labels[name] for name in (snakemake.params.background, snakemake.wildcards.signal))
    figure = trigger_curves(found, groups, snakemake.params.style, khz=khz, title=title)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
