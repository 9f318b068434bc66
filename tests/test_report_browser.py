"""The report in a real browser: nothing fails, nothing is fetched, and the switch, slider and read-out work."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from artcli.training import report
from tests.test_report import make_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here"),
    pytest.mark.skipif(sys.platform == "win32", reason="no inherited pipes"),
]
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
        self.rest, self.count, self.session, self.events = b"", 0, None, []

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
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        self.send("Page.navigate", url=page.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def resize(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

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
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])

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


KEYS = {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report.write(make_run(tmp_path_factory.mktemp("browser") / "run", logs=400, grids=7))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    try:
        browser.send("Browser.getVersion")
    except (AssertionError, OSError) as error:
        browser.close()
        pytest.skip(f"{BROWSER} does not start here ({error})")
    yield browser
    browser.close()


@pytest.fixture
def browser(started, page):
    started.open(page)
    yield started
    assert started.complaints() == []
    assert started.requests() == [page.resolve().as_uri()]


def test_nothing_fails_and_nothing_sticks_out(browser):
    assert browser.run("document.querySelectorAll('h2').length") >= 6
    broken = "[...document.images].filter(i => i.src && !(i.complete && i.naturalWidth)).length"
    assert browser.run(broken) == 0
    for width in (1200, 700, 340):
        browser.resize(width, 900)
        assert browser.run("document.documentElement.scrollWidth") <= width


def test_the_switch_changes_the_scale(browser):
    shown = "[...document.querySelectorAll('.wide .plot')].filter(p => p.offsetParent).map(p => p.dataset.scale).join()"
    first = browser.run(shown)
    assert first == "linear"
    browser.click(".wide .pick-log + label")
    assert browser.run(shown) == "log"
    browser.run("document.querySelector('.wide .pick-log').focus()")
    browser.key("ArrowLeft")
    assert browser.run(shown) == "linear"


def test_the_read_out_follows_the_pointer_and_the_keys(browser):
    tip = "document.querySelector('.wide .tip')?.textContent"
    assert browser.run(tip) is None
    browser.mouse("mouseMoved", *browser.centre(".wide .frame"))
    text = browser.run(tip)
    assert re.search(r"^Step 2,0\d0Training0\.\d+Validation0\.\d+", text)
    assert browser.run("document.querySelectorAll('.wide .dot').length") == 2
    browser.mouse("mouseMoved", 2, 2)
    assert browser.run(tip) is None
    browser.run("document.querySelector('.wide .frame').focus()")
    browser.key("End")
    assert browser.run(tip).startswith("Step 4,000")
    browser.key("ArrowLeft")
    spoken = browser.run("document.querySelector('.wide .frame').getAttribute('aria-valuetext')")
    assert re.fullmatch(r"step 39\d0: Training \S+, Validation \S+", spoken)


def test_the_dot_lies_on_the_curve(browser):
    """The script places it by itself; it must come to the same as the SVG."""
    for scale in ("linear", "log"):
        browser.click(f".wide .pick-{scale} + label")
        browser.run(f"document.querySelector('.wide .plot.{scale} .frame').focus()")
        browser.key("Home")
        left, top = browser.run(
            f"(d => [parseFloat(d.style.left), parseFloat(d.style.top)])(document.querySelector('.wide .{scale} .dot'))"
        )
        start = browser.run(f"document.querySelector('.wide .plot.{scale} path.s0').getAttribute('d')")
        x, y = map(float, re.match(r"M([\d.]+) ([\d.]+)", start).groups())
        assert (left, top) == pytest.approx((x / 10, y / 10), abs=0.05)


def test_the_slider_shows_every_grid(browser):
    state = (
        "(v => [v.querySelector('img').alt, v.querySelector('output').textContent])(document.querySelector('.viewer'))"
    )
    browser.run("document.querySelector('.viewer input').focus()")
    browser.key("Home")
    seen = [browser.run(state)]
    for _ in range(6):
        browser.key("ArrowRight")
        seen.append(browser.run(state))
    assert [step for _, step in seen] == ["100", "200", "300", "400", "500", "600", "700"]
    assert all(alt == f"Grid of samples at step {step}" for alt, step in seen)


def test_names_with_markup_run_nothing(browser):
    assert browser.run("window.pwned") is None
    assert "<img src=x onerror=" in browser.run("document.body.textContent")


def test_dark_where_the_reader_prefers_it(browser):
    back = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(back)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.run(back) != light
    browser.send("Emulation.setEmulatedMedia", features=[])


def test_without_script_the_rest_is_there(started, page):
    started.open(page)
    started.send("Emulation.setScriptExecutionDisabled", value=True)
    started.events = []
    started.send("Page.reload")
    started.wait_for("Page.loadEventFired")
    started.send("Emulation.setScriptExecutionDisabled", value=False)
    assert started.run("document.querySelectorAll('.trio img').length") == 6
    assert started.run("document.querySelector('.viewer').offsetParent") is None
    started.click(".wide .pick-log + label")
    assert started.run("document.querySelector('.wide .plot.linear').offsetParent === null")
