"""A headless Chromium, spoken to over a pipe: no package is needed, only the program."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, in a container, with pages that these tests made
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39}

Message = dict[str, Any]


def program() -> str | None:
    """Return the path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Tab:
    """
    One page.

    Args:
        into: Where commands go.
        out_of: Where answers and events come from.

    Attributes:
        complaints: What the console, the script and the security policy said, in order.
    """

    def __init__(self, into: int, out_of: int) -> None:
        self._into, self._out_of = into, out_of
        self._rest, self._last, self._session = b"", 0, None
        self.complaints: list[str] = []
        self._loaded = False
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Show a file, in a window of that many pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.complaints.clear()
        self._loaded = False
        went = self._ask("Page.navigate", url=page.resolve().as_uri())
        assert "errorText" not in went, went
        while not self._loaded:
            self._heed(self._next())

    def value(self, expression: str) -> Any:
        """Return what JavaScript makes of an expression."""
        done = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, and let it go."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **code)

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self._ask("Input.insertText", text=text)

    def picture(self) -> bytes:
        """Return all of the page as PNG."""
        return base64.b64decode(
            self._ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        )

    def _ask(self, method: str, **params: Any) -> Message:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: Message = answer["result"]
                return result
            self._heed(answer)

    def _next(self) -> Message:
        while b"\0" not in self._rest:
            more = os.read(self._out_of, 1 << 16)
            assert more, "chromium has ended"
            self._rest += more
        line, self._rest = self._rest.split(b"\0", 1)
        message: Message = json.loads(line)
        return message

    def _heed(self, event: Message) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        if method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params))


@contextmanager
def tab(chromium: str) -> Iterator[Tab]:
    """Start a browser and open a page in it."""
    theirs_in, into = os.pipe()
    out_of, theirs_out = os.pipe()
    with TemporaryDirectory() as home:
        # It reads from 3 and writes to 4.
        plumbed = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        started = subprocess.Popen(
            ["bash", "-c", plumbed, "-", chromium, *FLAGS, f"--user-data-dir={home}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Tab(into, out_of)
        finally:
            started.kill()
            started.wait()
            os.close(into)
            os.close(out_of)
