"""Writes docs/commands/, a page with the help of each command, and the man page: `python tests/readme_help.py`.

test_readme.py checks that it was done.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import typer

from artcli.cli import app
from tests import man_page

ROOT = Path(__file__).parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
COMMANDS = DOCS / "commands"
NOTE = "<!-- Written by `python tests/readme_help.py`; change the help in artcli/commands/ instead. -->"


def written() -> list[Path]:
    """The pages that people write: the README, and docs/ without the commands."""
    return [README, *sorted(DOCS.glob("*.md"))]


def help_of(words: Sequence[str]) -> str:
    """What `artgen WORDS --help` prints, without the settings of the user or of the machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARTGEN_")}
    fixed = {"ARTGEN_CONFIG": os.devnull, "COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}
    printed = io.StringIO()
    with mock.patch.dict(os.environ, kept | fixed, clear=True), contextlib.redirect_stdout(printed):
        typer.main.get_command(app).main([*words, "--help"], prog_name="artgen", standalone_mode=False)
    return printed.getvalue().strip() + "\n"


def pages() -> dict[Path, str]:
    """Every page of docs/commands/ and its text."""
    commands = typer.main.get_command(app).commands
    links = "".join(f"- [artgen {name}]({name}.md)\n" for name in sorted(commands))
    return {
        COMMANDS / "README.md": f"# Commands\n\n{NOTE}\n\n{_block(help_of([]))}\n{links}",
        **{COMMANDS / f"{name}.md": _page(name, command) for name, command in commands.items()},
    }


def _page(name: str, command: typer.core.TyperCommand) -> str:
    guide = f"How to use it: [{name}](../{name}.md).\n\n" if (DOCS / f"{name}.md").exists() else ""
    return f"# artgen {name}\n\n{NOTE}\n\n{guide}" + "\n".join(_helps([name], command))


def _helps(words: list[str], command: typer.core.TyperCommand) -> Iterator[str]:
    """The help of a command, then those of the commands inside it, if it has any."""
    yield _block(help_of(words))
    for name, inner in getattr(command, "commands", {}).items():
        yield f"## artgen {' '.join([*words, name])}\n"
        yield from _helps([*words, name], inner)


def _block(text: str) -> str:
    return f"```text\n{text}```\n"


def write() -> None:
    """Write every page and the man page, and delete pages of commands that are gone."""
    man_page.PAGE.write_text(man_page.text(), encoding="ascii")
    COMMANDS.mkdir(parents=True, exist_ok=True)
    fresh = pages()
    for path in set(COMMANDS.glob("*.md")) - set(fresh):
        path.unlink()
    for path, text in fresh.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
