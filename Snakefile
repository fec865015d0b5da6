# hepad: from events to signal efficiencies. `snakemake --cores all --resources gpu=1`
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# another configuration replaces the default one as a whole, it is not mixed into it
if not workflow.overwrite_configfiles:

    configfile: Path(workflow.basedir) / "config" / "config.yaml"


# limits of a machine, or of one batch job; they do not limit how many jobs are in a queue
resource_scopes:
    gpu="local",
    slots="local",


# what takes a second stays with Snakemake, where others become jobs of a batch system
localrules:
    gather_features,
    gather_scores,
    tabulate,
    tabulate_diagnostics,
    tabulate_quality,
    tabulate_rates,
    tabulate_model_selection,
    page,


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/representations.smk"
include: "workflow/rules/detectors.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/model_selection.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/trigger.smk"
include: "workflow/rules/student.smk"
include: "workflow/rules/page.smk"


onstart:
    if workflow.is_main_process:  # each of its jobs starts Snakemake, too
        admit_user_files()
        spare_timers()


rule all:
    default_target: True
    input:
        "results/index.html",
        tables(),
        [f"results/figures/{path}" for path in subjects.figure_files(PLAN)],
