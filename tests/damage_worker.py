"""Reads files that may be damaged, one request a line, in a process of its own: it may hang, crash or eat memory."""

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
import traceback

MEMORY = 6 << 30  # of addresses


class Readings:
    """``ask(...)`` has a file read within ``limit`` seconds and says how it ended.

    outcome: 'events', 'InputError', 'bare' (another exception), 'hang' or 'crash'; ``message``; of events their number
    ``kept``, how many were ``read`` and ``refused``, whether all are ``finite``, and a ``digest`` of all their values
    """

    def __init__(self, limit: float = 20):
        self.limit, self.process = limit, None

    def __enter__(self) -> "Readings":
        return self

    def __exit__(self, *_) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, path, **options) -> dict:
        if self.process is None or self.process.poll() is not None:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
            self.process = subprocess.Popen([sys.executable, __file__], **streams)
            assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write(json.dumps({"path": str(path), **options}) + "\n")
        self.process.stdin.flush()
        killed = threading.Event()
        timer = threading.Timer(self.limit, lambda: (killed.set(), self.process.kill()))
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        self.process.wait()
        return {"outcome": "hang" if killed.is_set() else "crash", "message": f"status {self.process.returncode}"}


def _read(request: dict) -> dict:
    import numpy as np

    from hepad.events import ARRAYS, Events, concatenate
    from hepad.samples import sources

    path, own = request.pop("path"), request.pop("events", False)
    selection = request.pop("selection", "any")
    if own:
        parts, events = list(Events.blocks(path, 9)), Events.read(path)
        joined = concatenate(parts)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(joined, name), getattr(events, name))
        counts = {}
    else:
        source = {"files": path, **request}
        sources.check_files(source)
        events = sources.read(source, name="s", selection=selection, split=(0.6, 0.1, 0.3))
        counts = events.meta["counts"][path]
    digest = hashlib.sha256(json.dumps(events.meta["name"] if own else "").encode())
    arrays = [array for name, array in events.arrays() if own or name not in ("event_id", "split")]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    refused = {why: number for why, number in counts.items() if why.startswith("refused") and number}
    finite = all(np.isfinite(array).all() for array in arrays)
    return {"kept": len(events), "read": counts.get("read"), "refused": refused, "finite": finite} | {
        "digest": digest.hexdigest()
    }


def _answer(request: dict) -> dict:
    from hepad.errors import InputError

    try:
        return {"outcome": "events", "message": ""} | _read(request)
    except InputError as error:
        return {"outcome": "InputError", "message": str(error)}
    except Exception:
        return {"outcome": "bare", "message": traceback.format_exc()[-3000:]}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    import hepad.samples.sources  # noqa: F401

    print("ready", file=answers, flush=True)
    for request in sys.stdin:
        print(json.dumps(_answer(json.loads(request))), file=answers, flush=True)
