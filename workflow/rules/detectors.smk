# Training sees the training part of the background and nothing else.
# Its candidates are the states among which a criterion chose.
rule train_detector:
    input:
        background=files("features/{representation}/{background}.train.h5"),
    output:
        model="results/models/{task}/{detector}/{seed}.safetensors",
        history="results/models/{task}/{detector}/{seed}.json",
        candidates="results/models/{task}/{detector}/{seed}.candidates.safetensors",
    params:
        code=code_of("train", "detector"),
        spec=lambda w: loading.detector_spec(config["detectors"][w.detector]),
        seen=value("seen"),
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


# Seconds on a CPU, without steps: no GPU is kept waiting, and a batch system does several in one job.
use rule train_detector as train_baseline with:
    priority: 0
    wildcard_constraints:
        detector=detectors_in("baseline"),
    resources:
        gpu=0,
