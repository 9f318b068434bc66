"""The report in a real browser: nothing fails, nothing is fetched, and the switch, slider and read-out work."""

import re

import pytest

from artcli.training import report
from tests.test_report import make_run


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return report.write(make_run(tmp_path_factory.mktemp("browser") / "run", logs=400, grids=7))


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
