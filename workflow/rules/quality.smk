# What was read, and whether it can be compared; early, so that a mistake in the samples costs no training.
rule tabulate_quality:
    input:
        expand("results/events/{sample}.h5", sample=loading.used_samples(config)),
    output:
        report("results/data_quality.csv", caption="../report/data_quality_table.rst", category="Data quality"),
    params:
        code=code_of("tabulate_quality"),
    log:
        "results/logs/tabulate_quality.log",
    benchmark:
        "results/benchmarks/tabulate_quality.tsv"
    conda:
        "../../environment.yml"
    priority: 90
    script:
        "../scripts/tabulate_quality.py"
