"""The one exception that is meant for the user: it says what is wrong, where, and what to do."""

import difflib
import errno
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# what the machine lacks: number of the error, what is wrong, what to do about it
LACKING = (
    (errno.ENOSPC, "no space is left on the disk of {place}", "Free some"),
    (errno.EDQUOT, "your share of the disk of {place} is used up", "Free some"),
    (errno.EROFS, "{place} can only be read", "Make it writable"),
    (errno.EACCES, "{place} may not be read or written", "Change its permissions"),
    (errno.EFBIG, "{place} is larger than files may be here", "Raise the limit (ulimit -f)"),
    (errno.EIO, "the disk of {place} fails", "Check it"),
)
NO_MEMORY = ("OutOfMemoryError", "can't allocate memory", "Cannot allocate memory", "failed to map segment")


class InputError(Exception):
    """Bad input: the message names the file or key, says what is wrong and what to do about it."""


class MissingLibrary(InputError):
    """An optional library is not installed."""


class EncoderError(InputError):
    """The file of a fixed encoder is missing, unusable, or not the one that a training was done with."""


class UnknownFile(InputError):
    """No reader takes a file that can be read all the same, through a mapping of its names."""


def check_choice(kind: str, name: str, allowed) -> str:
    """Return ``name`` if it is one of ``allowed``; otherwise raise an InputError that lists them."""
    allowed = sorted(allowed)
    if name in allowed:
        return name
    close = difflib.get_close_matches(str(name), allowed, n=1)
    close = close or [other for other in allowed if other.lower() == str(name).lower()]
    if not close:  # of a path the last key alone
        last = difflib.get_close_matches(str(name).split(".")[-1], {path.split(".")[-1] for path in allowed}, n=1)
        close = sorted((path for path in allowed if path.split(".")[-1] in last), key=len)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise InputError(f"{kind} '{name}' is unknown.{hint} Allowed: {', '.join(allowed)}.")


@contextmanager
def at(where: str, *also: type[Exception]):
    """Put the path of a key in front of an InputError's message, unless it has it, and of the exceptions ``also``.

    where: the path; one that ends with a dot is that of the mapping whose key the message begins with
    """
    try:
        yield
    except (InputError, *also) as error:
        path = where if where.endswith(".") else f"{where}: "
        kind = type(error) if isinstance(error, InputError) else InputError  # what is caught by its kind still is
        raise kind(str(error) if str(error).startswith(where) else f"{path}{error}") from None


def said(error: BaseException) -> str:
    """An exception in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


@contextmanager
def damage(path, kinds: tuple[type[Exception], ...], what: str, advice: str) -> Iterator[None]:
    """Any failure of a library, of these ``kinds``, to read a file becomes an InputError: its path, what it is, advice.

    Want of memory stays a MemoryError; it names the file, whose damage may be why so much was asked for.
    """
    try:
        yield
    except MemoryError as error:  # the file may be sound; pyarrow's own is one of its kinds, too
        raise MemoryError(f"{path}: {error}") from None
    except kinds as error:
        raise InputError(f"{path}: {what} ({said(error)}). {advice}") from None


def lacking(error: BaseException) -> str | None:
    """In one line what the machine lacked, disk or memory, if that is why ``error`` was raised; otherwise None."""
    again = "then start the same command again: what is finished is kept."
    for found in _behind(error):
        text = f"{type(found).__name__}: {found}"
        for number, what, remedy in LACKING:
            # the libraries of file formats hand on the text, and seldom the number
            if getattr(found, "errno", None) == number or os.strerror(number) in text:
                return f"{what.format(place=_place(found))}. {remedy}, {again}"
        if isinstance(found, MemoryError) or any(words in text for words in NO_MEMORY):
            return f"not enough memory ({said(found)}). Run fewer jobs at a time or lower 'chunk_events', {again}"
    return None


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those during whose handling it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(error: BaseException) -> str:
    """The path that an error is about and where its disk is mounted; without a path the folder of results."""
    named = re.search(r"filename = '([^']+)'", str(error))
    path = getattr(error, "filename", None)
    path = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else named[1] if named else "results"
    disk = os.path.realpath(path)
    while not os.path.ismount(disk):
        disk = os.path.dirname(disk)
    return f"{path} (mounted at {disk})"


class report_errors:
    """Turn an InputError, or what the machine lacks, into one line on standard error and in ``log``, and exit status 1.

    So is an interrupt, with exit status 130. Any other exception passes, its traceback copied to the log; a block that
    ends well leaves its time there.
    """

    def __init__(self, log: str | Path | None = None):
        self.log = log

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._write("interrupted")
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        if isinstance(error, Exception):
            text = str(error) if isinstance(error, InputError) else lacking(error)
            if text:
                self._write(f"ERROR: {text}")
                raise SystemExit(f"ERROR: {text}") from None
        if error is not None:
            self._write("".join(traceback.format_exception(error)))
        else:
            self._write(f"finished in {time.perf_counter() - self.start:.1f} s")

    def _write(self, text: str) -> None:
        if self.log:
            with suppress(OSError), open(self.log, "a") as file:  # a disk that is full
                file.write(f"{text}\n")


class DivergenceError(InputError):
    """A chain or a training left the finite numbers."""


class CollapseError(InputError):
    """A training ended in a detector that has learned nothing."""
