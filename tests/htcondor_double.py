"""A double of HTCondor's scheduler, not HTCondor: ``python htcondor_double.py FOLDER ARGUMENTS-OF-SNAKEMAKE``.

Snakemake, its plugin and HTCondor's Submit and JobEventLog are the real ones. In the place of the queue, jobs run at
once on this machine, in an environment as bare as a worker node's, and an event log is written as HTCondor writes it.
Submit descriptions go to FOLDER as JSON. The first training is removed, as at the end of its time.
"""

import json
import os
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import htcondor2
from snakemake.cli import main

FOLDER = Path(sys.argv[1])
NUMBERS = count(1)
USAGE = "\n".join(f"\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  {k} Usage" for k in (
    "Run Remote", "Run Local", "Total Remote", "Total Local"))  # fmt: skip
BYTES = "\n".join(f"\t0  -  {k} By Job" for k in (
    "Run Bytes Sent", "Run Bytes Received", "Total Bytes Sent", "Total Bytes Received"))  # fmt: skip
LOCK = threading.Lock()


class Schedd:
    """Takes single jobs."""

    def submit(self, description):
        number, job = next(NUMBERS), dict(description)
        (FOLDER / f"{number}.json").write_text(json.dumps(job))
        threading.Thread(target=work, args=(number, job), daemon=True).start()
        return SimpleNamespace(cluster=lambda: number)

    def query(self, **_):
        return []

    def act(self, *_):
        return {}


def note(number, job, code, text):
    with LOCK, open(job["log"], "a") as log:
        log.write(f"{code:03} ({number:03}.000.000) {time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n...\n")


def work(number, job):
    note(number, job, 0, "Job submitted from host: <127.0.0.1:9618>")
    training = job["batch_name"].startswith("train_detector")
    first = training and not (FOLDER / "removed").exists()
    note(number, job, 1, "Job executing on host: <127.0.0.1:9618>")
    if first:
        (FOLDER / "removed").touch()
        note(number, job, 9, "Job was aborted.\n\tJob removed by SYSTEM_PERIODIC_REMOVE due to wall time exceeded.")
        return
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    # arguments without quotes are divided at white space
    command = [job["executable"], *job["arguments"].split()]
    output = job["output"].replace("$(ClusterId)", str(number))
    with open(output, "w") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=kept).returncode
    how = f"(1) Normal termination (return value {status})"
    note(number, job, 5, f"Job terminated.\n\t{how}\n{USAGE}\n{BYTES}")


htcondor2.Schedd = Schedd
htcondor2.Submit.issue_credentials = lambda description: None
sys.exit(main(sys.argv[2:]))
