"""A headless Chromium for tests of pages: nothing listens on the network."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# The browser reads from file descriptor 3 and writes to 4; the pipes may have these numbers the other way round.
AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

KEYS = {
    "Backspace": 8, "Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
    "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


class Browser:
    """A headless Chromium, driven over its debugging pipe: JSON texts that end with a NUL byte."""

    def __init__(self, profile: Path):
        out_read, self.out = os.pipe()
        self.into, in_write = os.pipe()
        flags = [*FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", AS_3_AND_4, str(out_read), str(in_write), BROWSER, *flags],
            pass_fds=(out_read, in_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(out_read)
        os.close(in_write)
        self.rest, self.count, self.target, self.session, self.events = b"", 0, None, None, []

    def receive(self):
        while b"\0" not in self.rest:
            assert select.select([self.into], [], [], 60)[0], "the browser does not answer"
            data = os.read(self.into, 1 << 16)
            assert data, "the browser has gone"
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def send(self, method, **parameters):
        """Call a method of the debugging protocol; events that come in between are kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while all(event.get("method") != method for event in self.events):
            self.events.append(self.receive())

    def open(self, page: Path, width=1200, height=900):
        """In the place of the page that was open before."""
        before, self.session = self.target, None
        self.target = self.send("Target.createTarget", url="about:blank")["targetId"]
        if before is not None:
            self.send("Target.closeTarget", targetId=before)
        self.session = self.send("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def resize(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def shot(self):
        """What is seen, a PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def run(self, script):
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def centre(self, selector, part=0.5):
        """A point in the first visible element of that kind, scrolled into view."""
        return self.run(
            f"(() => {{ const e = [...document.querySelectorAll({json.dumps(selector)})].find(e => e.offsetParent);"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            f"return [b.left + b.width * {part}, b.top + b.height / 2]; }})()"
        )

    def mouse(self, kind, x, y):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click(self, selector):
        x, y = self.centre(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def key(self, name):
        """Press a key of KEYS, or one that writes a character."""
        code, text = KEYS.get(name) or ord(name), {"text": name} if len(name) == 1 else {}
        text = {"text": "\r"} if name == "Enter" else text  # without it no button is pressed
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name, code=name, windowsVirtualKeyCode=code)

    def wait(self, script):
        """Until the expression is true."""
        for _ in range(200):
            if self.run(script):
                return
            time.sleep(0.05)
        raise AssertionError(script)

    def complaints(self):
        """What went to the console or the log: errors, refused scripts, failed requests."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Network.loadingFailed")
        return [event for event in self.events if event.get("method") in kinds]

    def requests(self):
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self):
        self.session = None
        with suppress(AssertionError, OSError):
            self.send("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        os.close(self.into)


@contextmanager
def started(profile: Path):
    """A running browser; skips the test where there is none."""
    if BROWSER is None or sys.platform == "win32":
        pytest.skip("no Chromium here that inherits pipes")
    browser = Browser(profile)
    try:
        browser.send("Browser.getVersion")
    except (AssertionError, OSError) as error:
        browser.close()
        pytest.skip(f"{BROWSER} does not start here ({error})")
    yield browser
    browser.close()
