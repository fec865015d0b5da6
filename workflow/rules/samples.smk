# Events: generated in seeded chunks, or the user's files; both pass the same reader.
rule generate_chunk:
    input:
        card=lambda w: cards_of(w.sample),
    output:
        "results/samples/{sample}/{chunk}.root",
    params:
        source=lambda w: generation_of(w.sample),
        selection=lambda w: config["samples"][w.sample]["selection"],
    log:
        "results/logs/generate/{sample}_{chunk}.log",
    benchmark:
        "results/benchmarks/generate/{sample}_{chunk}.tsv"
    conda:
        "../../environment.yml"
    priority: 100  # samples first: where cores are scarce, a bad card ends the run before the first training
    script:
        "../scripts/generate.py"


rule read_events:
    input:
        files=lambda w: files_of(w.sample),
    output:
        "results/events/{sample}.h5",
    params:
        source=lambda w: reading_of(w.sample),
        remote=lambda w: addresses_of(w.sample),
        entry=lambda w: {k: v for k, v in config["samples"][w.sample].items() if k in ("selection", "split")},
    log:
        "results/logs/read/{sample}.log",
    benchmark:
        "results/benchmarks/read/{sample}.tsv"
    conda:
        "../../environment.yml"
    priority: 100
    script:
        "../scripts/read.py"
