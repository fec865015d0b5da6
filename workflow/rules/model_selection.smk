# How a state was chosen without the signal, and what that cost. Computed from finished trainings; nothing reads it back.
rule follow_candidates:
    input:
        models=files("models/{task}/{trainings}.safetensors", which="energy"),
        histories=files("models/{task}/{trainings}.json", which="energy"),
        candidates=files("models/{task}/{trainings}.candidates.safetensors", which="energy"),
        background=files("features/{representations}/{background}.test.h5", which="energy"),
        signal=files("features/{representations}/{signal}.test.h5", which="energy"),
    output: "results/model_selection/{task}/{signal}.json"
    params:
        code=code_of("follow", "detectors", which="energy"),
        representations=value("representations", which="energy"),
        detectors=value("representation_of", which="energy"),
        runs=value("runs", which="energy"),
        events=2000,
    log: "results/logs/model_selection/{task}/{signal}.log"
    benchmark: "results/benchmarks/model_selection/{task}/{signal}.tsv"
    conda: "../../environment.yml"
    script: "../scripts/follow.py"


rule tabulate_model_selection:
    input: files_of_tasks("model_selection/{task}/{signals}.json", ENERGY_TASKS)
    output: report("results/model_selection.csv", caption="../report/model_selection.rst", category="Tables")
    params:
        code=code_of("tabulate_model_selection"),
    log: "results/logs/tabulate_model_selection.log"
    benchmark: "results/benchmarks/tabulate_model_selection.tsv"
    conda: "../../environment.yml"
    script: "../scripts/tabulate_model_selection.py"
