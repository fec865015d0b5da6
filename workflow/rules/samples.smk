# Events: generated in seeded chunks, or the user's files; both pass the same reader.
rule generate_chunk:
    output: "results/samples/{sample}/{chunk}.root"
    params:
        code=code_of("generate"),
        source=lambda w: generation_of(w.sample, w.chunk),
        first=lambda w: generated_as(w.sample)[int(w.chunk)][1],
        cards=lambda w: cards_of(w.sample, w.chunk),
        selection=lambda w: config["samples"][w.sample]["selection"],
    log: "results/logs/generate/{sample}/{chunk}.log"
    benchmark: "results/benchmarks/generate/{sample}/{chunk}.tsv"
    conda: "../../environment.yml"
    priority: 100  # samples first: where cores are scarce, a bad card ends the run before the first training
    script: "../scripts/generate.py"


rule read_events:
    input:
        files=lambda w: [path for path in chunks_of(w.sample)[int(w.chunk)] if "://" not in path],
        profile=lambda w: [x for x in [reading_of(w.sample, w.chunk).get("pileup_profile")] if isinstance(x, str)],
    output: "results/events/{sample}/{chunk}.h5"
    params:
        code=code_of("read"),
        source=lambda w: reading_of(w.sample, w.chunk),
        process=lambda w: number_of(w.sample, w.chunk),
        files=lambda w: chunks_of(w.sample)[int(w.chunk)],
        entry=lambda w: {k: v for k, v in config["samples"][w.sample].items() if k in ("selection", "split")},
        part=lambda w: len(chunks_of(w.sample)) > 1,
    log: "results/logs/read/{sample}/{chunk}.log"
    benchmark: "results/benchmarks/read/{sample}/{chunk}.tsv"
    conda: "../../environment.yml"
    priority: 100
    script: "../scripts/read.py"


# What the chunks of a sample could not see of each other: events that two of them have, the counts of all, and the
# weights of processes, which only all chunks of one know.
rule gather_events:
    input: lambda w: of_chunks("results/events/{sample}/{chunk}.h5", w.sample)
    output: "results/events/{sample}.h5"
    params:
        code=code_of("gather_events"),
        selection=lambda w: config["samples"][w.sample]["selection"],
        processes=lambda w: declared_processes(w.sample),
    log: "results/logs/gather/events/{sample}.log"
    benchmark: "results/benchmarks/gather/events/{sample}.tsv"
    conda: "../../environment.yml"
    priority: 100
    script: "../scripts/gather_events.py"


# What was read, early, so that a mistake in the samples costs no training.
rule tabulate_quality:
    input: expand("results/events/{sample}.h5", sample=loading.used_samples(config))
    output: report("results/data_quality.csv", caption="../report/data_quality_table.rst", category="Data quality")
    params:
        code=code_of("tabulate_quality"),
    log: "results/logs/tabulate_quality.log"
    benchmark: "results/benchmarks/tabulate_quality.tsv"
    conda: "../../environment.yml"
    priority: 90
    script: "../scripts/tabulate_quality.py"
