"""What a run of the workflow is doing: one bar on a terminal, otherwise a line now and then."""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hepad.cli.titles import title
from hepad.config.results import Results
from hepad.errors import InputError

BEGINNING = "looking at the configuration and the files"
INTERVAL = 5.0  # seconds between lines


class Failure(NamedTuple):
    """A job that failed: what it did, and its logs."""

    title: str
    logs: list[Path]


class Watch:
    """Follows the events of the plugin of Snakemake, line by line.

    Attributes
    ----------
    done, total: jobs of the run; planned: rule -> number of jobs, of a dry run
    failures: the jobs that failed, each once
    """

    def __init__(self, results: Path):
        self.results, self.config = results, None
        self.done, self.total, self.planned = 0, 0, {}
        self.running: dict[int, str] = {}
        self.failures: list[Failure] = []
        self.said = 0.0

    def follow(self, lines: Iterable[str], silent: bool = False) -> None:
        """Show what the events say, unless ``silent``, until there are no more."""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
        on_terminal = sys.stderr.isatty() and not silent
        in_lines = not sys.stderr.isatty() and not silent
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not on_terminal) as bar:
            task = bar.add_task(BEGINNING, total=None)
            for line in lines:
                event = json.loads(line)
                self.take(event)
                bar.update(task, description=self.text(), completed=self.done, total=self.total or None)
                if in_lines and event["event"] == "job_info" and time.monotonic() - self.said > INTERVAL:
                    self.said = time.monotonic()
                    print(self.text(), file=sys.stderr, flush=True)

    def text(self) -> str:
        """What is running now, and how far the run is: 'training AE, images on QCD, seed 1 (17 of 45)'."""
        if not self.total:
            return BEGINNING
        others = f" and {len(self.running) - 1} more" if len(self.running) > 1 else ""
        last = next(reversed(self.running.values()), "between two jobs")
        return f"{last}{others} ({min(self.done + 1, self.total)} of {self.total})"

    def take(self, event: dict) -> None:
        """One event."""
        kind = event["event"]
        if kind == "run_info":
            self.planned = {rule: count for rule, count in event["stats"].items() if rule != "total"}
            self.total = event["stats"].get("total", sum(self.planned.values()))
        elif kind == "progress":
            self.done, self.total = event["done"], event["total"]
        elif kind == "job_info":
            self.running[event["jobid"]] = self._title(event)
        elif kind == "job_finished":
            self.running.pop(event["job_id"], None)
        elif kind == "job_error":
            name = self.running.pop(event["jobid"], None)
            if name:  # Snakemake says it twice
                self.failures.append(Failure(name, [self.results.parent / path for path in event["log"]]))

    def _title(self, event: dict) -> str:
        if self.config is None:  # written before the first job
            try:
                self.config = Results(self.results).config
            except InputError:
                return title(event["rule_name"], event.get("wildcards"), {})
        return title(event["rule_name"], event.get("wildcards"), self.config)
