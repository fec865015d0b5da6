# The workflow, where `snakemake` finds it with its profiles; workflow/Snakefile is where the catalogue of workflows looks.
include: "workflow/Snakefile"


workflow.default_target = "all"  # an include does not bring its own
