# Names, paths and checks that the rules share; everything with a formula lives in the package.
import functools

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from hepad import errors
from hepad.config import loading, plain_yaml, plan, subjects
from hepad.samples.simulation import cards
from hepad.storage import chunks


# a misspelt key or class, a missing file or branch is refused here, before any job
with errors.report_errors():
    PLANNED_FOR = plan.of(config)
    PLAN = None if workflow.is_main_process else plan.read(PLANNED_FOR)
    if PLAN is None:
        from hepad.config import migration, preflight, validation  # torch, the readers and all classes take seconds

        for path in workflow.configfiles:
            config.update(plain_yaml.with_numbers(config, plain_yaml.load(path)))
        migration.check_keys(config)
        loading.inherit(config)
        try:
            validate(config, "../schemas/config.schema.yaml")
        except WorkflowError as error:
            validation.raise_schema_error(error.__context__)
        PLAN = preflight.make(config, REPOSITORY)
    config.update(PLAN["config"])

DEVICE = PLAN["device"]
TASKS = config["tasks"]
OF_TASKS = {task: subjects.Subject(PLAN, {"task": task}) for task in TASKS}
LABELS = {name: label for of in OF_TASKS.values() for name, label in of.labels(["detectors"]).items()}
SEARCHES = {task: of.searches for task, of in OF_TASKS.items()}
ENERGY_TASKS = [task for task in TASKS if subjects.Subject(PLAN, {"task": task}, "energy").detectors]


wildcard_constraints:
    sample=r"[A-Za-z]\w*",
    signal=r"[A-Za-z]\w*",
    task="|".join(TASKS),
    detector=r"[A-Za-z]\w*",
    representation=r"[A-Za-z]\w*",
    seed=r"\d+",
    chunk=r"\d+",
    student=r"[A-Za-z]\w*",


def processes_of(sample):
    """{name: source} of the processes that a sample is the sum of; {'': source} of a sample of one."""
    return loading.processes_of(config["samples"][sample]["source"])


@functools.cache
def groups_of(sample):
    """Of every process its files, generated or the user's, in groups: each is read and scored by one job."""
    groups, first = {}, 0
    for process, source in processes_of(sample).items():
        if "card" in source:
            shares = chunks.shares(source["jets"], source["chunks"])
            sizes = {f"results/samples/{sample}/{first + i}.root": size for i, size in enumerate(shares)}
            first += len(shares)
        elif sample in PLAN["entries"]:
            sizes = PLAN["entries"][sample][process]
        else:  # no task names it
            from hepad.samples import sources

            sizes = {path: found.entries for path, found in sources.check_files(source).items()}
        groups[process] = chunks.grouped(sizes, config["chunk_events"]["reading"])
    return groups


def chunks_of(sample):
    """The groups of files of a sample, process by process."""
    return [group for groups in groups_of(sample).values() for group in groups]


@functools.cache
def read_as(sample):
    """Of every chunk the name of its process."""
    return [process for process, groups in groups_of(sample).items() for _ in groups]


@functools.cache
def generated_as(sample):
    """Of every chunk of a generation the name of its process and the first chunk of that."""
    found = []
    for process, source in processes_of(sample).items():
        found += [(process, len(found))] * (source["chunks"] if "card" in source else 0)
    return found


def number_of(sample, chunk):
    """The number of the process that a chunk is of; None where there is but the sample."""
    process = read_as(sample)[int(chunk)]
    return list(processes_of(sample)).index(process) if process else None


def declared_processes(sample):
    """What a sum is made of, as hepad.samples.processes.Process takes it; nothing of other samples."""
    keys = ("cross_section_pb", "sum_weights")
    return [
        {"name": process, "chunks": len(groups), **{k: source[k] for k in keys if k in source}}
        for (process, source), groups in zip(processes_of(sample).items(), groups_of(sample).values())
        if process
    ]


def of_chunks(pattern, sample, **names):
    """Files of the chunks of a sample, in their order."""
    return expand(pattern, sample=sample, chunk=range(len(chunks_of(sample))), **names)


def generation_of(sample, chunk):
    """The settings of the source of a chunk that concern its generation."""
    keys = ("card", "settings", "jets", "chunks", "seed", "leading", "response", "matching", "pileup", "zero_bias", "level1")
    process, _ = generated_as(sample)[int(chunk)]
    source = {key: processes_of(sample)[process][key] for key in keys}
    # a pool is divided as the events are; without one the division is the reader's alone
    pooled = source["pileup"] or source["zero_bias"]
    return source | {"split": config["samples"][sample]["split"] if pooled else None}


def cards_of(sample, chunk):
    """Digests of the cards and profiles that a chunk is generated from, those of its pile-up included."""
    with errors.report_errors():
        names = cards.files_of(generation_of(sample, chunk))
        return [cards.digest(cards.find(name, REPOSITORY)) for name in names]


def reading_of(sample, chunk):
    """The settings of a source that concern its reader; generated chunks are read like any of hepad's ROOT files."""
    source, others = processes_of(sample)[read_as(sample)[int(chunk)]], ("files", "cross_section_pb", "sum_weights")
    if "card" not in source:
        return {k: v for k, v in source.items() if k not in others}
    to = source.get("pileup_profile")
    with errors.report_errors():
        to = str(cards.find(to, REPOSITORY)) if isinstance(to, str) else to
    return {"reader": "Mapped"} | ({} if to is None else {"pileup_profile": to})


def admit_user_files():
    """Read the beginning of user files before anything is trained; a bad one ends the run here."""
    from hepad.config import preflight  # as above

    with errors.report_errors():
        preflight.admit(config, PLAN["entries"], PLAN["known"])
        plan.write(PLAN, PLANNED_FOR)


def spare_timers():
    """Lift Snakemake's limit of jobs per second for jobs on this machine.

    Its timers wake the scheduler, which starts the next ones: a quarter of a run's CPU time (docs/upstream.md).
    """
    if not workflow.non_local_exec:
        workflow.scheduler.job_rate_limiter = None


def files(*patterns, which="all"):
    """An input of a rule: the files below results that patterns of words stand for (hepad.config.subjects).

    ``which``: of the task's detectors
    """
    return lambda w: subjects.Subject(PLAN, w, which).paths(*patterns)


def files_of_tasks(pattern, tasks=TASKS, which="all"):
    """Those of all tasks, for tables."""
    of_tasks = (subjects.Subject(PLAN, {"task": task}, which).paths(pattern) for task in tasks)
    return [path for paths in of_tasks for path in ([paths] if isinstance(paths, str) else paths)]


def value(word, *, which="all"):
    """A param of a rule: what a word stands for."""
    return lambda w: subjects.Subject(PLAN, w, which).value(word)


def code_of(script, *words, which="all"):
    """Digests of what a job runs: its script, and the classes of the detectors or representations in ``words``.

    An edit there makes what the job made anew, wherever the files are and whenever they were written.
    """
    return with_classes(PLAN["scripts"][script], words, which)


def with_classes(code, words, which):
    """The digest ``code`` and those of the classes of the detectors or representations that the words stand for."""

    def of_job(w):
        found, subject = {code}, subjects.Subject(PLAN, w, which)
        for word in words:
            classes, names = PLAN["representations" if "representation" in word else "detectors"], subject.value(word)
            found.update(classes[name]["code"] for name in ([names] if isinstance(names, str) else names))
        return sorted(found)

    return of_job if words else [code]


def detectors_in(*groups):
    """A constraint of a wildcard: a detector of one of these groups and nothing else."""
    return "|".join(name for name, found in PLAN["detectors"].items() if found["group"] in groups) or "(?!)"


def tables():
    names = ("auc", "seed_spread", "efficiency", "rejection", "dark_machines", "supervised", "rates")
    names += ("data_quality", "diagnostics", "regret", *(["model_selection"] if ENERGY_TASKS else []))
    paths = expand("results/{name}.csv", name=names)
    paths.append("results/regret.tex")
    paths += [f"results/{task}_menu.csv" for task, of in OF_TASKS.items() if of.menu]
    return paths + expand("results/{task}_{kind}.tex", task=TASKS, kind=("efficiency", "rejection"))
