"""Snakemake's plugin of ``hepad run``: what begins, ends and fails, a line of JSON each, to a pipe.

Snakemake finds it in PYTHONPATH; ``--logger hepad --logger-hepad-pipe FD`` uses it, beside Snakemake's own log.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

TOLD = ("jobid", "job_id", "rule_name", "wildcards", "log", "done", "total", "stats")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    pipe: int | None = field(default=None, metadata={"help": "number of an open file descriptor", "type": int})


class LogHandler(LogHandlerBase):
    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        """Write the facts of an event; a reader that is gone does not stop the run."""
        event = getattr(record, "event", None)
        if event is None or self.settings.pipe is None:
            return
        facts = {key: getattr(record, key) for key in TOLD if hasattr(record, key)}
        with suppress(OSError):
            os.write(self.settings.pipe, (json.dumps({"event": str(event)} | facts, default=str) + "\n").encode())
