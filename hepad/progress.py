"""Progress of long work: a bar on a terminal, plain lines in a log file, both from one call."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Shows how far ``name`` has come.

    On a terminal a bar with the values and the time left is drawn on standard error; of jobs that run side by side on
    one terminal, the first one draws. The same facts go as plain lines to ``log``, if there is one, at most every
    ``interval`` seconds and whenever something ends.
    """

    def __init__(self, name: str, log: str | Path | None = None, interval: float = 5.0):
        self.name, self.interval = name, interval
        self.file = open(log, "a", buffering=1) if log else None  # noqa: SIM115  closed by close()
        self.bar = None
        self.terminal = _lock_terminal()
        if self.terminal is not None:
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Bar(*columns, TextColumn("{task.fields[values]}"), console=Console(stderr=True), transient=True)

    def say(self, text: str) -> None:
        """One plain line to the log; work does not end because there is no room for it."""
        if self.file:
            with suppress(OSError):
                self.file.write(f"{time.strftime('%H:%M:%S')} {self.name}: {text}\n")

    def count(self, counts: dict[str, dict[str, int]]) -> None:
        """A line to the log for each file: what was counted, without what none were of."""
        for path, of_file in counts.items():
            found = [f"{what} {number}" for what, number in of_file.items() if number]
            self.say(f"{path}: {', '.join(found) or 'no events'}")

    @contextmanager
    def stage(self, title: str, total: int, unit: str = "steps") -> Iterator["Stage"]:
        """Count ``total`` units of work: ``with progress.stage('autoencoder', 1000) as s: s.advance(1, loss=0.3)``."""
        stage = Stage(self, title, total, unit)
        if self.bar:
            self.bar.start()
            stage.task = self.bar.add_task(f"{self.name} {title}", total=total, values="")
        try:
            yield stage
        finally:
            stage.line()
            if self.bar:
                self.bar.remove_task(stage.task)
                self.bar.stop()

    def close(self) -> None:
        """Close the log and leave the terminal to others."""
        if self.file:
            with suppress(OSError):
                self.file.close()
        if self.terminal is not None:
            os.close(self.terminal)


def _lock_terminal() -> int | None:
    """A descriptor that holds the lock on the terminal of standard error; None without terminal or lock."""
    if not sys.stderr.isatty():
        return None
    # opened anew: a lock on the inherited descriptor would be shared with every other job
    terminal = os.open(os.ttyname(sys.stderr.fileno()), os.O_RDONLY | os.O_NOCTTY)
    try:
        fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(terminal)
        return None
    return terminal


class Stage:
    """One counted stretch of work; made by :meth:`Progress.stage`."""

    def __init__(self, progress: Progress, title: str, total: int, unit: str):
        self.progress, self.title, self.total, self.unit = progress, title, total, unit
        self.done, self.earlier, self.values, self.task = 0, 0, {}, None
        self.start = self.shown = time.monotonic()

    def advance(self, count: int = 1, **values) -> None:
        """Count ``count`` more units; ``values`` (epoch=..., loss=...) are shown beside the bar."""
        self.done += count
        self.values.update(values)
        if self.progress.bar:
            text = f"{self._values()} {self._rate():.1f} {self.unit}/s"
            self.progress.bar.update(self.task, completed=min(self.done, self.total), values=text)
        if time.monotonic() - self.shown > self.progress.interval:
            self.line()

    def reach(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` units are there."""
        self.total = total
        self.advance(done - self.done)

    def go_on_from(self, done: int) -> None:
        """Say that ``done`` units are there from an earlier run; they do not count for the rate."""
        self.earlier = done
        self.advance(done - self.done)

    def line(self) -> None:
        """Write the present state to the log."""
        self.shown = time.monotonic()
        rate = self._rate()
        left = f", {max(self.total - self.done, 0) / rate:.0f} s left" if rate > 0 else ""
        self.progress.say(f"{self.title} {self.done}/{self.total} {self._values()} {rate:.1f} {self.unit}/s{left}")

    def _rate(self) -> float:
        return (self.done - self.earlier) / max(time.monotonic() - self.start, 1e-9)

    def _values(self) -> str:
        parts = [f"{key} {value:.4g}" for key, value in self.values.items() if value is not None]
        return ", ".join(parts)
