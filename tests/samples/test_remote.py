"""Files at addresses: HTTP in every dialect, XRootD, patterns and lists, servers that are not there, the workflow."""

import functools
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import planned, snakemake
from dialects import DIALECTS

from hepad.cli.inspect import inspect
from hepad.errors import InputError
from hepad.events import ARRAYS, Events
from hepad.samples.formats.paths import find_files
from hepad.samples.root_output import write_root
from hepad.samples.sources import check_files, read

SETTINGS = {"name": "s", "selection": "any", "split": (0.6, 0.1, 0.3)}


class Handler(SimpleHTTPRequestHandler):
    """Files in parts, as servers of data send them."""

    def do_GET(self):
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if part is None or not path.is_file():
            return super().do_GET()
        content, first = path.read_bytes(), int(part[1])
        sent = content[first : int(part[2]) + 1 if part[2] else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(sent) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(make_events, tmp_path_factory):
    """A file of each dialect, and two for the workflow."""
    folder = tmp_path_factory.mktemp("data")
    for name, dialect in DIALECTS.items():
        dialect.file(folder / name, dialect.columns(make_events(50, 5)))
    for name, seed, prongs in (("one", 1, 1), ("two", 2, 2)):
        write_root(make_events(400, seed, prongs=prongs), folder / f"{name}.root")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """The address of ``folder``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def nobody() -> int:
    """A port at which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def same(a: Events, b: Events) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("name", DIALECTS)
def test_an_address_is_read_as_a_path_is(name, folder, server):
    file, options = f"{name}{DIALECTS[name].suffix}", DIALECTS[name].options
    source = {"files": f"{server}/{file}"} | options
    remote, local = read(source, **SETTINGS), read({"files": str(folder / file)} | options, **SETTINGS)
    same(remote, local)
    assert list(remote.meta["counts"]) == [f"{server}/{file}"]
    assert list(remote.meta["counts"].values()) == list(local.meta["counts"].values())
    (found,) = check_files(source).values()
    assert found.entries == 50
    if not options:
        assert f"reader        {DIALECTS[name].reader}" in "\n".join(inspect(f"{server}/{file}").lines())


def test_patterns_and_lists(folder, server, tmp_path):
    assert find_files(f"{server}/tagging*.h5") == [f"{server}/tagging.h5", f"{server}/tagging_table.h5"]
    (tmp_path / "list.txt").write_text(
        f"# the workflow's\n{server}/one.root\n\n  {folder}/t*o.root\n{server}/one.root\n"
    )
    listed = find_files(str(tmp_path / "list.txt"))
    assert listed == [f"{server}/one.root", f"{folder}/two.root"]
    assert len(read({"files": [str(tmp_path / "list.txt")]}, **SETTINGS)) == 800
    with pytest.raises(InputError, match=r"none\*\.h5' matches no file"):
        find_files(f"{server}/none*.h5")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="matches no file"):
        find_files(str(tmp_path / "empty.txt"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "http://127.0.0.1:{port}/x.root",
            "cannot be opened .not found, or its server cannot be reached.. Check 'files'",
        ),
        ("http://127.0.0.1:{port}/*.root", "cannot be listed by http .*Name its files"),
        ("http://nobody.invalid/x.h5", "cannot be opened .*Check 'files'"),
        ("root://127.0.0.1:{port}//x.root", "cannot be opened .*Connection error.*Check 'files'"),
        ("root://127.0.0.1:{port}//*.root", "matches no file|cannot be listed by root"),
        ("root://nobody.invalid//x.root", "cannot be opened .*Invalid address.*Check 'files'"),
        ("gopher://127.0.0.1/x.root", "addresses may begin with root://"),
    ],
)
def test_servers_that_are_not_there(address, message, nobody):
    if address.startswith("root"):
        pytest.importorskip("fsspec_xrootd")
    address, start = address.format(port=nobody), time.monotonic()
    with pytest.raises(InputError, match=message) as caught:
        check_files({"files": address})
    assert address in str(caught.value)
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("reader", ["JetNet", "Mapped", "JetClass", "DarkMachines", "Delphes"])
def test_an_address_without_a_file_and_a_reader_that_is_named(reader, server):
    suffix = {"JetNet": "h5", "DarkMachines": "csv"}.get(reader, "root")
    with pytest.raises(InputError, match=rf"none\.{suffix}: "):
        read({"files": f"{server}/none.{suffix}", "reader": reader}, **SETTINGS)


def test_damage_is_noticed_at_a_distance(folder, server):
    for name in ("own.root", "jetnet.h5", "l1.parquet"):
        content = (folder / name).read_bytes()
        cut = folder / f"cut_{name}"
        cut.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(InputError, match=f"{server}/cut_{name}: "):
            read({"files": f"{server}/cut_{name}"}, **SETTINGS)
        cut.unlink()


@pytest.fixture
def storage(folder, nobody, tmp_path):
    """The address of an XRootD server that serves ``folder`` as /data."""
    if shutil.which("xrootd") is None:
        pytest.skip("the program xrootd is not there")
    pytest.importorskip("fsspec_xrootd")
    for name in ("root", "admin", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "root/data").symlink_to(folder)
    # the server does not run as root
    user = ["-R", "xrootd"] if os.getuid() == 0 else []
    top = Path(tempfile.gettempdir())
    for path in {p for own in (tmp_path, folder) for p in (own, *own.parents) if top in p.parents}:
        path.chmod(0o755)
    for name in ("admin", "run"):
        (tmp_path / name).chmod(0o777)
    (tmp_path / "x.cfg").write_text(
        f"all.export /data\noss.localroot {tmp_path}/root\nall.adminpath {tmp_path}/admin\n"
        f"all.pidpath {tmp_path}/run\nxrd.port {nobody}\n"
    )
    command = [
        "xrootd",
        *user,
        "-I",
        "v4",
        "-c",
        tmp_path / "x.cfg",
        "-l",
        tmp_path / "run/x.log",
        "-n",
        "t",
        "-p",
        nobody,
    ]
    server = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while socket.socket().connect_ex(("127.0.0.1", nobody)):
            assert server.poll() is None, "xrootd ended"
            assert time.monotonic() < deadline, "xrootd does not answer"
            time.sleep(0.1)
        yield f"root://127.0.0.1:{nobody}//data"
    finally:
        server.kill()
        server.wait()


@pytest.mark.xrootd
def test_xrootd(storage, folder):
    for name in ("own", "nanoaod", "jetnet", "jetclass2", "tagging", "dark_machines"):
        file = f"{name}{DIALECTS[name].suffix}"
        same(read({"files": f"{storage}/{file}"}, **SETTINGS), read({"files": str(folder / file)}, **SETTINGS))
    found = find_files(f"{storage}/tagging*.h5")
    assert [path.rsplit("/", 1)[1] for path in found] == ["tagging.h5", "tagging_table.h5"]
    same(read({"files": found[0]}, **SETTINGS), read({"files": str(folder / "tagging.h5")}, **SETTINGS))
    with pytest.raises(InputError, match=r"none\.root: cannot be opened .*no such file"):
        check_files({"files": f"{storage}/none.root"})


def workflow(one: str, two: str) -> dict:
    entry = {"selection": {"pt": [550, 650], "abs_eta": 2.0}}
    return {
        "device": "cpu",
        "samples": {name: {"source": {"files": [path]}} | entry for name, path in (("one", one), ("two", two))},
        "representations": {"vector": {"type": "EventVector", "variables": ["mass", "multiplicity"]}},
        "detectors": {"mass": {"type": "Variable", "representation": "vector", "variable": "mass"}},
        "tasks": {"jets": {"background": "one", "signals": ["two"], "detectors": ["mass"]}},
        "evaluation": {"supervised": "vector"},
    }


@pytest.mark.slow
def test_the_workflow_reads_addresses(server, folder, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(workflow(f"{server}/one.root", str(folder / "two.root"))))
    reading = {job.outputs: job.inputs for job in planned(tmp_path / "run", config) if job.rule == "read_events"}
    assert reading == {("results/events/one/0.h5",): (), ("results/events/two/0.h5",): (str(folder / "two.root"),)}
    result = snakemake(tmp_path / "run", config, "results/events/one.h5")
    assert result.returncode == 0, result.stdout
    events = Events.read(tmp_path / "run/results/events/one.h5")
    local = {"files": str(folder / "one.root")}
    same(events, read(local, name="one", selection={"pt": [550, 650], "abs_eta": 2.0}, split=(0.6, 0.1, 0.3)))
    assert list(events.meta["counts"]) == [f"{server}/one.root"]


def test_the_workflow_refuses_an_address_before_any_job(server, nobody, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(workflow(f"http://127.0.0.1:{nobody}/one.root", f"{server}/two.root")))
    result = snakemake(tmp_path / "run", config)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert f"ERROR: samples.one: http://127.0.0.1:{nobody}/one.root: cannot be opened" in result.stdout
