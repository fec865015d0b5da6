"""``hepad run``: the workflow from events to figures, with Snakemake underneath."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from hepad.cli import results, shipped
from hepad.cli.watching import Watch
from hepad.config.plain_yaml import check_duplicate_keys
from hepad.config.ranking import ranking
from hepad.config.results import Results
from hepad.errors import InputError

LOG = Path("results/logs/run.log")
PAGE = Path("results/index.html")
TAIL = 20  # lines of a log that are shown
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXAMPLES = """examples:
  hepad run                           hepad.yaml of this folder, or the default analysis
  hepad run --config test --cores 2   a shipped configuration by its name
  hepad run --config my.yaml --dry-run
  hepad run -- --profile slurm        what stands after -- is Snakemake's

The results lie in ./results. The same command again does what is missing or was changed, nothing else.
"""


def add_command(commands: argparse._SubParsersAction) -> None:
    """Add it to the subcommands of ``hepad``."""
    parser = commands.add_parser(
        "run", help="run the whole analysis: events, trainings, scores, tables, figures", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--config", metavar="NAME|FILE",
        help="a shipped configuration or a file; default: hepad.yaml if it is there, otherwise the default analysis",
    )  # fmt: skip
    parser.add_argument("--cores", default="all", metavar="N", help="how many jobs at a time (%(default)s)")
    parser.add_argument("--directory", type=Path, default=Path(), metavar="DIR", help="where results/ lies (.)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say which jobs there are to do, and do none")
    parser.add_argument("snakemake", nargs="*", metavar="-- OPTION", help="options of Snakemake")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    config, start = shipped.configuration(args.config), time.monotonic()
    check_duplicate_keys(config)  # Snakemake would say of broken YAML neither file nor line
    log = args.directory / LOG
    command = _command(args, config)
    before = _begin(log, command)
    print(f"configuration: {config}\nlog: {log}", flush=True)
    watch = Watch(args.directory / "results")
    status = _follow(command, log, watch)
    if status:
        raise SystemExit(_failure(watch, log, before))
    if "--dry-run" in command:
        print(_planned(watch.planned))
        return
    minutes = (time.monotonic() - start) / 60
    print(f"finished: {watch.total} jobs in {minutes:.1f} minutes" if watch.total else "nothing to be done")
    print(_end(args.directory))


def _command(args: argparse.Namespace, config: Path) -> list[str]:
    folder = shipped.folder()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile")]
    command += ["--workflow-profile", str(folder / "profiles/default"), "--configfile", str(config.resolve())]
    command += ["--cores", args.cores, "--directory", str(args.directory.resolve())]
    given = ["--dry-run" if option in ("-n", "--dryrun") else option for option in args.snakemake]
    return [*command, *["--dry-run"] * args.dry_run, *given]


def _begin(log: Path, command: list[str]) -> int:
    """Begin the log of this run after those of earlier ones; how long it was."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file:
        before = file.tell()
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command)}\n")
    return before


def _follow(command: list[str], log: Path, watch: Watch) -> int:
    """Run Snakemake to its end; its exit status. An interrupt is handed on, and ends this process, too, with 130.

    What this process was told to ignore, as under nohup or in the background of a script, it ignores; Snakemake does
    not, which has a session of its own and gets its interrupts from here alone.
    """
    plugins = str(shipped.folder() / "workflow/logger")
    paths = os.pathsep.join(filter(None, [plugins, os.environ.get("PYTHONPATH")]))
    source, pipe = os.pipe()
    before = {number: signal.signal(number, signal.default_int_handler) for number in INTERRUPTS}
    with open(log, "a") as file, os.fdopen(source) as events:
        process = subprocess.Popen(
            [*command, "--logger", "hepad", "--logger-hepad-pipe", str(pipe)], pass_fds=(pipe,), stdout=file,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,
        )  # fmt: skip
        os.close(pipe)
        for number, handler in before.items():
            if handler is signal.SIG_IGN:
                signal.signal(number, handler)
        try:
            watch.follow(events, silent="--dry-run" in command)
            return process.wait()
        except KeyboardInterrupt:
            print("interrupted; waiting for the jobs to end (again: kill them)", file=sys.stderr, flush=True)
            _end_group(process)
    kept = (
        f"Stopped after {watch.done} of {watch.total} jobs; what is finished is kept: the same command goes on there."
    )
    print(kept, file=sys.stderr)
    raise SystemExit(130)


def _end_group(process: subprocess.Popen) -> None:
    """Interrupt Snakemake and its jobs as a terminal does, and wait; another interrupt kills them."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(watch: Watch, log: Path, before: int) -> str:
    """What went wrong, with the end of the failed job's own log, and what to do."""
    kept = "What is finished is kept: mend" if watch.total else "Nothing has run: mend"
    again = f"{kept} this and start the same command again. The whole log: {log}"
    if not watch.failures:
        with open(log, errors="replace") as file:
            file.seek(before)
            file.readline()  # the command
            lines = file.read().splitlines()
        errors = list(dict.fromkeys(line for line in lines if line.startswith("ERROR: ")))
        return "\n".join([*(errors or lines[-TAIL:]), again])
    said = []
    for failure in watch.failures:
        for path in failure.logs or [log]:
            lines = path.read_text(errors="replace").splitlines() if path.is_file() else ["(there is none)"]
            own = lines[-1:] if lines and lines[-1].startswith("ERROR: ") else lines[-TAIL:]
            said += [f"FAILED: {failure.title}. The end of its log, {path}:", *(f"  {line}" for line in own)]
    return "\n".join([*said, again])


def _planned(planned: dict[str, int]) -> str:
    if not planned:
        return "nothing to be done"
    lines = [f"  {rule:<28}{count:>5}" for rule, count in planned.items()]
    return "\n".join([f"{sum(planned.values())} jobs to do:", *lines])


def _end(directory: Path) -> str:
    """The table of results, where the page is, and what can be done next."""
    folder, lines = directory / "results", []
    try:
        lines += ["", *results.text(ranking(Results(folder)))]
    except InputError as error:  # a target of Snakemake that makes none
        lines += [f"no table of results: {error}"]
    if (directory / PAGE).is_file():
        lines += [f"page: {directory / PAGE}"]
    lines += ["next:", "  hepad figure                                        the figures that can be drawn"]
    lines += ["  hepad score FILE --task TASK --to scores.root       scores of your own events"]
    return "\n".join(lines)
