"""README and docs cannot rot: help texts are the commands' own, links lead somewhere, every model has its row."""

import importlib
import re
import shutil
import subprocess

import pytest

from artcli.training.registry import MODELS
from tests import man_page
from tests.readme_help import COMMANDS, DOCS, README, ROOT, pages, written

MOST = 250  # lines of the README
PAGES = [*written(), ROOT / "CONTRIBUTING.md", *ROOT.glob("examples/**/README.md")]


def text_of(page):
    return page.read_text(encoding="utf-8")


def links_of(page):
    """What a page links and shows here: (file, section), each as written."""
    text = text_of(page)
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text)
    return [link.partition("#")[::2] for link in links]


def sections_of(page):
    """The names by which links reach the sections of a page."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_help_pages_are_the_commands_own():
    assert {page: text_of(page) for page in COMMANDS.glob("*")} == pages(), "run `python tests/readme_help.py`"


def test_the_man_page_is_the_commands_own():
    assert text_of(man_page.PAGE) == man_page.text(), "run `python tests/readme_help.py`"


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_groff_shows_the_man_page_without_a_warning():
    done = subprocess.run(["groff", "-man", "-Tascii", "-P-c", "-ww", man_page.PAGE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(".\b", "", done.stdout)
    assert all(f"artgen {name}\n" in shown for name in ("dream", "gallery", "weights list"))
    assert 'artgen dream "red car" --steps 300 --out car.mp4' in shown


def test_the_readme_stays_short():
    assert len(text_of(README).splitlines()) <= MOST


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page(page):
    """No section stands twice, and every local link leads to a file or folder, and to a section of it."""
    sections = sections_of(page)
    assert len(sections) == len(set(sections))
    for name, section in links_of(page):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not section or section in sections_of(target), f"{name}#{section}"


def test_the_readme_leads_to_every_page():
    linked = {(README.parent / name).resolve() for name, _ in links_of(README)}
    assert set(written()) - {README} <= linked
    assert set(COMMANDS.glob("*.md")) <= linked


def test_every_model_and_preset_is_described():
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*)$", text_of(DOCS / "train.md"), re.MULTILINE))
    assert rows.keys() == MODELS.keys()
    for model, module in MODELS.items():
        for preset in getattr(importlib.import_module(module), "PRESETS", {}):
            assert f"`{preset}`" in rows[model], f"{model} {preset}"
