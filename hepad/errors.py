"""The one exception that is meant for the user: it says what is wrong, where, and what to do."""

import difflib
import time
import traceback
from pathlib import Path


class InputError(Exception):
    """Bad input: the message names the file or key, says what is wrong and what to do about it."""


def choose(kind: str, name: str, allowed) -> str:
    """Return ``name`` if it is one of ``allowed``; otherwise raise an InputError that lists them."""
    allowed = sorted(allowed)
    if name in allowed:
        return name
    close = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(f"{kind} '{name}' is unknown.{hint} Allowed: {', '.join(allowed)}.")


class told_plainly:
    """Turn an InputError into its message alone, on standard error and in ``log``, and exit status 1.

    Any other exception passes, its traceback copied to the log; a block that ends well leaves its time there.
    """

    def __init__(self, log: str | Path | None = None):
        self.log = log

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, InputError):
            self._write(f"ERROR: {error}")
            raise SystemExit(f"ERROR: {error}") from None
        if error is not None:
            self._write("".join(traceback.format_exception(error)))
        else:
            self._write(f"finished in {time.perf_counter() - self.start:.1f} s")

    def _write(self, text: str) -> None:
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{text}\n")
