# How a state was chosen without the signal, and what that cost. Computed from finished trainings; nothing reads it back.
rule follow_candidates:
    input:
        models=lambda w: models_of(w.task, energy_detectors_of(w.task)),
        histories=lambda w: models_of(w.task, energy_detectors_of(w.task), suffix="json"),
        candidates=lambda w: models_of(w.task, energy_detectors_of(w.task), suffix="candidates.safetensors"),
        background=lambda w: features_of(TASKS[w.task]["background"], "test", energy_representations_of(w.task)),
        signal=lambda w: features_of(w.signal, "test", energy_representations_of(w.task)),
    output:
        "results/model_selection/{task}/{signal}.json",
    params:
        code=lambda w: code_of("follow", energy_detectors_of(w.task)),
        representations=lambda w: energy_representations_of(w.task),
        detectors=lambda w: {d: representation_of(d) for d in energy_detectors_of(w.task)},
        runs=lambda w: runs_of(w.task, energy_detectors_of(w.task)),
        events=2000,
    log:
        "results/logs/model_selection/{task}/{signal}.log",
    benchmark:
        "results/benchmarks/model_selection/{task}/{signal}.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/follow.py"


rule tabulate_model_selection:
    input:
        [
            f"results/model_selection/{task}/{signal}.json"
            for task, entry in TASKS.items()
            for signal in entry["signals"]
            if energy_detectors_of(task)
        ],
    output:
        report("results/model_selection.csv", caption="../report/model_selection.rst", category="Tables"),
    params:
        code=code_of("tabulate_model_selection"),
    log:
        "results/logs/tabulate_model_selection.log",
    benchmark:
        "results/benchmarks/tabulate_model_selection.tsv"
    conda:
        "../../environment.yml"
    script:
        "../scripts/tabulate_model_selection.py"
