"""What each criterion chooses and what it costs, for all tasks, signals and energy-based detectors."""

from hepad.errors import report_errors
from hepad.evaluation.model_selection_cost import write_auc_losses
from hepad.storage.files import read_json

with report_errors(snakemake.log[0]):
    write_auc_losses(snakemake.output[0], [record for path in snakemake.input for record in read_json(path)])
