# Features: the training part (train and valid split) and the test part of a sample are separate files.
rule represent:
    input:
        events="results/events/{sample}.h5",
        code=representation_code,
    output:
        train="results/features/{representation}/{sample}.train.h5",
        test="results/features/{representation}/{sample}.test.h5",
    params:
        spec=lambda w: config["representations"][w.representation],
    log:
        "results/logs/represent/{representation}_{sample}.log",
    benchmark:
        "results/benchmarks/represent/{representation}_{sample}.tsv"
    conda:
        "../../environment.yml"
    priority: 50
    script:
        "../scripts/represent.py"
