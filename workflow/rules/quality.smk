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


rule plot_quality:
    input:
        lambda w: expand("results/events/{sample}.h5", sample=SAMPLES_OF[w.task]),
    output:
        "results/figures/{task}/data_quality.pdf",
        report(
            "results/figures/{task}/data_quality.png",
            caption="../report/data_quality.rst",
            category="Data quality",
            labels={"task": "{task}"},
        ),
    params:
        code=code_of("plot_quality"),
        style=config["style"],
        labels=labels(),
        samples=lambda w: SAMPLES_OF[w.task],
        any_window=lambda w: TASKS[w.task]["any_window"],
    log:
        "results/logs/figures/{task}/data_quality.log",
    benchmark:
        "results/benchmarks/figures/{task}/data_quality.tsv"
    conda:
        "../../environment.yml"
    priority: 90
    script:
        "../scripts/plot_quality.py"
