"""The README cannot rot: its help texts are the commands' own, and every file that it shows is there."""

import re

from tests.readme_help import BLOCK, README, with_help


def test_help_texts_are_the_commands_own():
    readme = README.read_text(encoding="utf-8")
    assert len(BLOCK.findall(readme)) >= 3
    assert with_help(readme) == readme, "run `python tests/readme_help.py`"


def test_no_section_stands_twice():
    sections = re.findall(r"^## .*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(sections) == len(set(sections))


def test_every_local_link_and_picture_exists():
    readme = README.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", readme) + re.findall(r'src="(?!https?:)([^"]+)"', readme)
    assert links
    for link in links:
        assert (README.parent / link.split("#")[0]).exists(), link
