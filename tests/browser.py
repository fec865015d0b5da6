"""Chromium, driven over two pipes by its DevTools protocol: messages of JSON, each with a zero byte at its end."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 120.0


class PageError(Exception):
    """A script of the page has failed."""


class Tab:
    """A page in a browser."""

    def __init__(self, to: int, answers: int):
        self.to, self.answers, self.read, self.number, self.session = to, answers, b"", 0, None
        self.requests: list[str] = []  # addresses that the page has asked for
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        """The result of a command; what happens meanwhile is looked through for requests."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            answer = self._next()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(method)

    def _next(self) -> dict:
        while b"\0" not in self.read:
            if not (found := os.read(self.answers, 1 << 20)):
                raise PageError("the browser has ended")
            self.read += found
        line, _, self.read = self.read.partition(b"\0")
        return json.loads(line)

    def evaluate(self, expression: str):
        """The value of JavaScript, which may be a promise."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise PageError(found["exceptionDetails"].get("exception", {}).get("description", "?"))
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until JavaScript is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.05)

    def open(self, address: str, width: int = 1200, height: int = 1000) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=address)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A pointer event of the browser itself: 'mousePressed', 'mouseMoved' or 'mouseReleased'."""
        pressed = {"button": "left", "buttons": 0 if kind == "mouseReleased" else 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Press at the first of some places, move over the others, and release."""
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point)
        self.mouse("mouseReleased", *points[-1])


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A tab of a new Chromium without a window, whose profile is in the folder."""
    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()
    command = f'exec "$0" "$@" 3<&{in_read} 4>&{out_write}'
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *options, "about:blank"],
        pass_fds=(in_read, out_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(in_read)
    os.close(out_write)
    try:
        yield Tab(in_write, out_read)
    finally:
        process.terminate()
        process.wait(20)
        os.close(in_write)
        os.close(out_read)
