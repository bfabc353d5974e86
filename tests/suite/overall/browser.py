"""A headless Chromium over the DevTools protocol on two pipes: no driver and no package is needed.

    with Browser() as browser:
        seen = browser.visit(path, width=400)

Named by CHROMIUM, or the first of chromium, chromium-browser, google-chrome on PATH.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without background networking: Chromium's own look-ups are no requests of the page.
WORDS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
TIMEOUT = 120.0  # seconds for an answer, on a machine that does much else


def find_browser() -> str | None:
    """The program, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


@dataclass
class Seen:
    """What a page did."""

    requests: list[str] = field(default_factory=list)  # URLs, less data: and the page itself
    errors: list[str] = field(default_factory=list)  # of the console, and exceptions
    scroll_width: int = 0
    width: int = 0
    broken: int = 0  # pictures that could not be decoded
    small: int = 0  # texts of tables and paragraphs below 10 pixels
    screenshot: bytes = b""  # PNG of what is seen first


class Browser:
    """One process with one page."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        # Chromium reads file descriptor 3 and writes 4.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        words = [*WORDS, *sandbox, f"--user-data-dir={self._folder.name}", "about:blank"]
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", find_browser(), *words],
            pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        os.set_blocking(self._in, False)
        self._buffer = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._folder.cleanup()

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if time.monotonic() > deadline:
                raise TimeoutError("the browser does not answer")
            try:
                data = os.read(self._in, 1 << 20)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if not data:
                raise ConnectionError("the browser has ended")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, wait for its result; what happens meanwhile is kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = self._message(deadline)
            if found.get("id") == self._number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self._events.append(found)

    def _until(self, method: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._message(deadline))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def visit(self, path: Path, *, width: int, height: int = 900) -> Seen:
        """Open a file in a window of this size; every <details> is opened, too."""
        self._events.clear()
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        url = path.resolve().as_uri()
        self.call("Page.navigate", url=url)
        self._until("Page.loadEventFired")
        seen = Seen(screenshot=base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        self.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        seen.scroll_width = self.evaluate("document.documentElement.scrollWidth")
        seen.width = self.evaluate("document.documentElement.clientWidth")
        seen.broken = self.evaluate("[...document.images].filter(one => !one.naturalWidth).length")
        seen.small = self.evaluate(
            "[...document.querySelectorAll('td, th, p, li, figcaption, code')]"
            ".filter(one => parseFloat(getComputedStyle(one).fontSize) < 10).length"
        )
        for event in self._events:
            self._note(seen, event.get("method"), event.get("params", {}), url)
        return seen

    @staticmethod
    def _note(seen: Seen, method: str | None, params: dict[str, Any], url: str) -> None:
        if method == "Network.requestWillBeSent":
            asked = params["request"]["url"]
            if not asked.startswith("data:") and asked != url:
                seen.requests.append(asked)
        elif method == "Log.entryAdded":
            seen.errors.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            seen.errors.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            seen.errors.append(str(params["args"]))
