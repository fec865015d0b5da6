"""The one exception that is meant for the user: it says what is wrong, where, and what to do."""

import difflib
from contextlib import contextmanager
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


@contextmanager
def told_plainly(log: str | Path | None = None):
    """Turn an InputError into its message alone, on standard error and in ``log``, and exit status 1."""
    try:
        yield
    except InputError as error:
        if log:
            with open(log, "a") as file:
                file.write(f"ERROR: {error}\n")
        raise SystemExit(f"ERROR: {error}") from None
