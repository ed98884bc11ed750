"""Headless Chromium for the tests: opens a file, tells what the page did, takes pictures, clicks.

Speaks the DevTools protocol over the pipe of `--remote-debugging-pipe`: messages of JSON with a NUL between them.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--remote-debugging-pipe"),
]


class Browser:
    """One Chromium with one page; `events` holds all that it reported since it was started."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("Chromium is not installed (Debian: chromium; scripts/install-system-packages installs it)")
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        command = ["bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "bash", program, *FLAGS]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self.events: list[dict[str, Any]] = []
        self._buffer, self._serial, self._session = b"", 0, None
        target = next(one for one in self._call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            self._call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """Open a file and wait until it has loaded."""
        self.events.clear()
        self._call("Page.navigate", url=path.absolute().as_uri())
        self._until(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Show the page in a window of this size."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self) -> bytes:
        """A PNG of the whole page, below the window's edge too."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def click(self, selector: str) -> None:
        """A real click of the mouse in the middle of an element."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Real strokes of keys, by the names that the page sees: "Enter", "Backspace", "ArrowDown", "k"."""
        codes = {"Enter": 13, "Backspace": 8, "Escape": 27, "Tab": 9, " ": 32, "ArrowDown": 40, "ArrowUp": 38}
        for key in keys:
            number = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            stroke = {"key": key, "windowsVirtualKeyCode": number, "nativeVirtualKeyCode": number}
            self._call("Input.dispatchKeyEvent", type="keyDown", **stroke, **({"text": text} if text else {}))
            self._call("Input.dispatchKeyEvent", type="keyUp", **stroke)

    def prefer(self, scheme: str) -> None:
        """Ask for "dark" or "light" pages."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def reported(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of all events of these names since the page was opened."""
        self.evaluate("1")  # everything before the answer has arrived
        return [event["params"] for event in self.events if event["method"] in methods]

    def close(self) -> None:
        """End the browser and all that it started."""
        if self._process.poll() is None:
            self._send("Browser.close", {}, None)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def _call(self, method: str, **parameters: Any) -> Any:
        number = self._send(method, parameters, self._session)
        answer: dict[str, Any] = {}

        def answered() -> bool:
            for event in self.events:
                if event.get("id") == number:
                    answer.update(event)
                    return True
            return False

        self.events = [event for event in self.events if "id" not in event]
        self._until(answered)
        self.events = [event for event in self.events if "id" not in event]
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _send(self, method: str, parameters: dict[str, Any], session: str | None) -> int:
        self._serial += 1
        message = {"id": self._serial, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._serial

    def _until(self, happened: Any, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not happened():
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            arrived = os.read(self._in, 1 << 20)
            assert arrived, f"Chromium ended with {self._process.wait()}"
            *messages, self._buffer = (self._buffer + arrived).split(b"\0")
            self.events += [{"method": "", **json.loads(message)} for message in messages]
