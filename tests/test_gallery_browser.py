"""The gallery in a real browser: search, keys, comparison, films, phones, and nothing that is fetched or run."""

import json
import os

import pytest
import typer.testing

from artcli.cli import app
from tests.conftest import photograph
from tests.test_gallery import HOSTILE, film, record_of, still, thousand

COLOURS = {"red": (200, 30, 40), "green": (20, 160, 60), "blue": (20, 40, 200)}


def page_of(folder):
    """The page of a folder."""
    result = typer.testing.CliRunner().invoke(app, ["gallery", str(folder), "-q"])
    assert result.exit_code == 0, result.output
    return folder / "gallery.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Nine pictures in three colours, and a film; of the oldest the record is hostile, and the next has none."""
    folder = tmp_path_factory.mktemp("gallery")
    names = list(COLOURS)
    for number in range(9):
        name = names[number % 3]
        title = f"{name} car {number}"
        dreamt, painted = record_of(seed=number, prompt=title, steps=number), record_of("paint", inputs=[title])
        recipe = dreamt if number < 6 else painted
        still(folder / f"{number}.png", COLOURS[name], (40, 30), recipe)
    film(folder / "film.webm", record_of(prompt="a storm"))
    photograph(folder / "photo.png")
    still(folder / "hostile.png", recipe=record_of(prompt=HOSTILE))
    (folder / "<b>bad.png").write_text("no picture")
    order = ["0.png", "film.webm", *(f"{number}.png" for number in range(1, 9)), "photo.png", "hostile.png"]
    for age, name in enumerate(order):
        os.utime(folder / name, (1000 - age, 1000 - age))
    return page_of(folder)


@pytest.fixture
def browser(started, page):
    started.open(page)
    yield started
    assert started.complaints() == []
    assert started.run("window.pwned") is None
    assert all(url.startswith(page.parent.as_uri()) for url in started.requests())


TITLES = "[...document.querySelectorAll('#grid .title')].map(e => e.textContent)"
FOCUSED = "document.activeElement.closest('.card')?.querySelector('.title').textContent"
OPEN = "document.querySelector('#one[open] h2')?.textContent"


def write(browser, words):
    browser.run("document.getElementById('words').focus()")
    for letter in words:
        browser.key(letter)


def test_everything_is_there_and_nothing_sticks_out(browser):
    titles = browser.run(TITLES)
    cars = [f"{list(COLOURS)[number % 3]} car {number}" for number in range(9)]
    assert titles == [cars[0], "a storm", *cars[1:], "photo.png", HOSTILE]
    browser.wait("[...document.querySelectorAll('#grid img')].every(i => i.complete && i.naturalWidth && i.alt)")
    assert browser.run("document.getElementById('count').textContent") == "12 results"
    assert browser.run("document.querySelector('#broken a').textContent") == "<b>bad.png"
    assert browser.run("document.querySelectorAll('#grid .copy').length") == 11
    for width in (1280, 700, 400, 320):
        browser.resize(width, 800)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("getComputedStyle(grid).gridTemplateColumns.split(' ').length") == 1
    assert len(browser.requests()) == 1, "the files themselves wait until one is opened"


def test_words_and_verbs_filter(browser):
    write(browser, "CAR red")
    assert browser.run(TITLES) == ["red car 0", "red car 3", "red car 6"]
    assert browser.run("document.getElementById('count').textContent") == "3 of 12 results"
    browser.run("[...document.querySelectorAll('#verbs button')].find(b => b.textContent.startsWith('paint')).click()")
    assert browser.run(TITLES) == ["red car 6"]
    write(browser, "x")
    assert browser.run(TITLES) == [] and browser.run("!document.getElementById('none').hidden")
    browser.click("#all")
    assert len(browser.run(TITLES)) == 12
    browser.run("[...document.querySelectorAll('#verbs button')].find(b => b.textContent.startsWith('no')).click()")
    assert browser.run(TITLES) == ["photo.png"]


def test_keys_move_open_and_close(browser):
    browser.resize(1280, 900)
    wide = browser.run("columns()")
    browser.key("/")
    browser.key("ArrowDown")
    assert browser.run(FOCUSED) == "red car 0"
    browser.key("ArrowRight")
    browser.key("ArrowDown")
    place = 1 + wide
    assert browser.run(FOCUSED) == browser.run(TITLES)[place]
    browser.key("Enter")
    assert browser.run(OPEN) == browser.run(TITLES)[place]
    browser.key("ArrowRight")
    assert browser.run(OPEN) == browser.run(TITLES)[place + 1]
    browser.key("Escape")
    assert browser.run(OPEN) is None
    browser.wait(f"{FOCUSED} === {json.dumps(browser.run(TITLES)[place + 1])}")
    browser.key("Home")
    browser.key("ArrowUp")
    browser.key("ArrowLeft")
    assert browser.run(FOCUSED) == "red car 0"
    browser.key("End")
    assert browser.run(FOCUSED) == HOSTILE


def test_an_open_picture_is_the_file_with_its_whole_record(browser):
    browser.click(".open")
    browser.wait("document.querySelector('.stage img').src.endsWith('/0.png')")
    assert browser.run("document.querySelector('.facts a').href").endswith("/0.png")
    line = browser.run("document.querySelector('.facts code').textContent")
    assert line == 'artgen dream "red car 0" --steps 0 --seed 0'
    rows = browser.run("[...document.querySelectorAll('.facts tr')].map(r => r.textContent)")
    assert rows == ["promptred car 0", "steps0", "clip-miniab", "artgen0.1.0"]
    browser.run("document.querySelector('.facts .copy').click()")
    browser.wait("document.querySelector('.facts .copy').textContent === 'Copied'")


def test_a_film_plays_when_it_is_opened(browser):
    assert browser.run("document.querySelector('video')") is None
    browser.click(".card:nth-child(2) .open")
    browser.wait("document.querySelector('.stage video')?.currentTime > 0")
    browser.key("Escape")
    browser.wait("document.querySelector('video') === null")


def test_two_pictures_side_by_side(browser):
    browser.run("setCurrent(0)")
    browser.key("c")
    assert browser.run("document.getElementById('compare').disabled")
    browser.run("setCurrent(2)")
    browser.key("c")
    browser.click("#compare")
    browser.wait("document.querySelector('#two .left').src.endsWith('/0.png')")
    browser.wait("document.querySelector('#two .right').src.endsWith('/1.png')")
    rows = browser.run("[...document.querySelectorAll('#two tr')].map(r => [...r.cells].map(c => c.textContent))")
    assert rows == [["prompt", "red car 0", "green car 1"], ["steps", "0", "1"], ["seed", "0", "1"]]
    where = "document.querySelector('.pair').style.getPropertyValue('--cut')"
    assert browser.run(where) == "50%"
    browser.key("End")
    assert browser.run(where) == "100%"
    browser.mouse("mousePressed", *browser.centre(".pair input", 0.25))
    browser.mouse("mouseReleased", *browser.centre(".pair input", 0.25))
    assert float(browser.run(where).rstrip("%")) == pytest.approx(25, abs=3)
    browser.key("Escape")
    assert browser.run("!document.getElementById('two').open && !document.getElementById('tray').hidden")
    browser.key("Escape")
    assert browser.run("document.getElementById('tray').hidden")


def test_dark_where_the_reader_prefers_it(browser):
    back = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(back)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.run(back) != light
    browser.send("Emulation.setEmulatedMedia", features=[])


def test_of_a_thousand_only_the_first_are_made_at_once(started, tmp_path):
    thousand(tmp_path)
    started.open(page_of(tmp_path))
    made = started.run("document.querySelectorAll('.card').length")
    assert 20 <= made <= 300
    started.wait("[...document.querySelectorAll('#grid img')].slice(0, 12).every(i => i.complete && i.naturalWidth)")
    started.run("document.querySelector('.open').focus()")
    started.key("End")
    assert started.run(FOCUSED) == "number 999"
    started.wait("document.activeElement.querySelector('img').naturalWidth === 8")
    assert started.complaints() == [] and len(started.requests()) == 1
