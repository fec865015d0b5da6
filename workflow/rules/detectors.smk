# Training sees the training part of the background and nothing else.
# Its candidates are the states among which a criterion chose. A combination has the models of its members, too, and an
# energy that of the autoencoder which it starts from.
rule train_detector:
    input:
        background=files("features/{representation}/{background}.train.h5"),
        before=files("models/{task}/{before}.safetensors"),
    output:
        model="results/models/{task}/{detector}/{seed}.safetensors",
        history="results/models/{task}/{detector}/{seed}.json",
        candidates="results/models/{task}/{detector}/{seed}.candidates.safetensors",
    params:
        code=code_of("train", "detector"),
        spec=value("spec"),
        trained_on=value("trained_on"),
        # no output: those of a job that is stopped are deleted
        checkpoint="results/checkpoints/{task}/{detector}/{seed}.safetensors",
    log: "results/logs/train/{task}/{detector}/{seed}.log"
    benchmark: "results/benchmarks/train/{task}/{detector}/{seed}.tsv"
    conda: "../../environment.yml"
    # the costly ones first, so that no core waits for the last of them
    priority: 10
    wildcard_constraints:
        detector=detectors_in("detector"),
    resources:
        gpu=lambda w: config["detectors"][w.detector].get("gpus", 1) if DEVICE == "cuda" else 0,
    script: "../scripts/train.py"


# Seconds on a CPU, without steps: those of a task in one job, which is loading torch for the most part.
for task in TASKS:
    baselines = subjects.Subject(PLAN, {"task": task}, "baseline")
    if not baselines.detectors:
        continue

    rule:
        name: f"train_baselines_{task}"
        input:
            files_of_tasks("features/{representations}/{background}.train.h5", [task], "baseline"),
        output:
            models=expand(f"results/models/{task}/{{training}}.safetensors", training=baselines.trainings),
            histories=expand(f"results/models/{task}/{{training}}.json", training=baselines.trainings),
        params:
            code=code_of("train_baselines", "detectors", which="baseline")({"task": task}),
            representations=baselines.representations,
            representation_of=baselines.representation_of,
            runs=[(name, seed, PLAN["detectors"][name]["spec"]) for name, seed in baselines.runs],
            trained_on=[subjects.Subject(PLAN, {"task": task, "detector": name}).trained_on for name, _ in baselines.runs],
        log: f"results/logs/train/{task}/baselines.log"
        benchmark: f"results/benchmarks/train/{task}/baselines.tsv"
        conda: "../../environment.yml"
        script: "../scripts/train_baselines.py"
