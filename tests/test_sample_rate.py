"""The page on which a person scores pictures: what is in it, and in a real browser how it works."""

import base64
import html
import io
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.media import recipe_text
from tests import browser as browser_of
from tests import sample_fake
from tests.conftest import one_error_line
from tests.sample_fake import Model, pictures_of

workshop, sample = sample_fake.workshop, sample_fake.sample


def data_in(page):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def picture_in(entry):
    head, _, text = entry["image"].partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.fixture
def page(sample, folder):
    """A page of three real and three generated pictures, and what was said about it."""
    result = sample("--rate", "--seed", "40-42", "--out", "rate.html", "--json")
    return (folder / "rate.html").read_text(encoding="utf-8"), json.loads(result.stdout)


# --- what is in it --------------------------------------------------------------------------------------------------


def test_both_kinds_in_one_form(page, workshop):
    text, said = page
    entries = data_in(text)["pictures"]
    assert (said["real"], said["generated"], said["paths"]) == (3, 3, ["rate.html"])
    assert sorted(entry["kind"] for entry in entries) == ["generated"] * 3 + ["real"] * 3
    assert {picture_in(entry).shape for entry in entries} == {(16, 16, 3)}
    drawn = pictures_of(workshop.models["tiny"], [40, 41, 42]).images
    data = workshop.data["tiny"]
    for entry in entries:
        if entry["kind"] == "generated":
            expected = drawn[["seed 40", "seed 41", "seed 42"].index(entry["source"])]
        else:
            expected = data.images[data.names.index(entry["source"])]
        assert (picture_in(entry) == expected).all()


def test_the_seed_decides_the_page(sample, folder):
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        sample("--rate", "--seed", seed, "--count", 8, "--out", f"{name}.html")
    a, b, c = ((folder / f"{name}.html").read_text() for name in "abc")
    assert a == b != c
    orders = ["".join(entry["kind"][0] for entry in data_in(text)["pictures"]) for text in (a, c)]
    assert orders[0] != orders[1] and "gggggggg" not in orders[0], "the kinds are mixed"


def test_the_page_needs_nothing_from_outside(page):
    text, _ = page
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|//[a-z]|@import|<link|src=", text.replace('at("picture").src =', ""))


def test_the_record_is_in_the_page(page):
    text, _ = page
    made = recipe_text.from_text(html.unescape(re.search(r'<meta name="artgen" content="([^"]*)">', text)[1]))
    assert (made["command"], made["seed"], made["parameters"]["rate"]) == ("sample", "40-42", True)


def test_no_name_of_a_file_can_end_the_script(sample, workshop, folder):
    name = "</script><script>alert(1)</script>&@TITLE@.png"
    data = pictures_of(workshop.models["tiny"], [1])
    data.names = [name]
    workshop.data["tiny"] = data
    warned = sample("--rate", "--count", 2, "--out", "a.html").stderr
    text = (folder / "a.html").read_text()
    assert "<" not in re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1] and text.count("</script>") == 2
    assert name in [entry["source"] for entry in data_in(text)["pictures"]]
    assert "warning: there are only 1 real pictures beside 2" in warned


def test_nobody_scores_thousands(sample):
    assert "500 is the most" in one_error_line(sample("--rate", "-q", "--count", 501, code=2).stderr.splitlines()[-1])


# --- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path):
    with browser_of.started(tmp_path / "profile") as running:
        yield running


def visible(browser, element):
    return browser.run(f"document.getElementById('{element}').offsetParent !== null")


def test_scoring_by_keys_and_buttons_to_a_saved_file(browser, page, folder, tmp_path):
    entries = data_in(page[0])["pictures"]
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    browser.open(folder / "rate.html")
    shown = []
    for place, points in enumerate([5, 1, 3, 2, 4, 5]):
        assert browser.run("document.getElementById('progress').textContent") == f"Picture {place + 1} of 6"
        assert visible(browser, "rating") and not visible(browser, "end")
        # Nothing that can be seen or heard tells the kind before the end.
        assert not re.search(r"\b(seed|drawn|generated)\b", browser.run("document.body.innerText"))
        browser.wait("document.getElementById('picture').naturalWidth === 16")
        shown.append(browser.run("document.getElementById('picture').src"))
        if place == 1:
            browser.key("5")  # a slip
            browser.key("Backspace")
        if place % 2:
            browser.run(f"document.querySelectorAll('#scores button')[{points - 1}].click()")
        else:
            browser.key(str(points))
    assert shown == [entry["image"] for entry in entries]
    assert visible(browser, "end") and not visible(browser, "rating")
    browser.key("Backspace")
    assert visible(browser, "end"), "what the end tells must not change a score"
    browser.run("document.getElementById('save').click()")
    saved = downloads / "ratings-tiny.json"
    for _ in range(200):
        if saved.is_file() and saved.stat().st_size:
            break
        time.sleep(0.05)
    check(json.loads(saved.read_text()), entries, [5, 1, 3, 2, 4, 5], browser)


def check(found, entries, scores, browser):
    """The file and the table on the page against the scores that were given."""
    assert [rating["score"] for rating in found["ratings"]] == scores
    assert [(r["kind"], r["source"]) for r in found["ratings"]] == [(e["kind"], e["source"]) for e in entries]
    assert (found["model"], found["run"], found["step"]) == ("tiny", "runs/tiny", 7)
    rows = browser.run(
        "[...document.querySelectorAll('#summary tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    for kind, row in zip(("real", "generated"), rows, strict=True):
        mine = [score for score, entry in zip(scores, entries, strict=True) if entry["kind"] == kind]
        mean = sum(mine) / len(mine)
        assert found["summary"][kind]["mean"] == pytest.approx(mean) and found["summary"][kind]["count"] == 3
        assert row == [kind, f"{mean:.2f}", "3", *(str(mine.count(points)) for points in range(1, 6))]


def test_a_model_of_one_channel(sample, workshop, folder):
    model = Model(channels=1)
    workshop.add(folder / "runs" / "grey", model, data=pictures_of(model, range(4)))
    sample("--rate", "--count", 2, "--out", Path("grey.html"), run="runs/grey")
    entries = data_in((folder / "grey.html").read_text())["pictures"]
    assert all((picture_in(e) == picture_in(e)[..., :1]).all() for e in entries)
