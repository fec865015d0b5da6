# Features: the training part (train and valid split) and the test part of a sample are separate files.
rule represent:
    input:
        events="results/events/{sample}.h5",
        chunk="results/events/{sample}/{chunk}.h5",
    output:
        train="results/features/{representation}/{sample}/{chunk}.train.h5",
        test="results/features/{representation}/{sample}/{chunk}.test.h5",
    params:
        code=code_of("represent", "representation"),
        spec=lambda w: config["representations"][w.representation],
        encoders=lambda w: PLAN["representations"][w.representation]["encoders"],
    log: "results/logs/represent/{representation}/{sample}/{chunk}.log"
    benchmark: "results/benchmarks/represent/{representation}/{sample}/{chunk}.tsv"
    conda: "../../environment.yml"
    priority: 50
    script: "../scripts/represent.py"


rule gather_features:
    input:
        lambda w: of_chunks("results/features/{r}/{sample}/{chunk}.{split}.h5", w.sample, r=w.representation, split=w.split),
    output: "results/features/{representation}/{sample}.{split}.h5"
    params:
        code=code_of("gather"),
    log: "results/logs/gather/features/{representation}/{sample}/{split}.log"
    benchmark: "results/benchmarks/gather/features/{representation}/{sample}/{split}.tsv"
    conda: "../../environment.yml"
    priority: 50
    script: "../scripts/gather.py"
