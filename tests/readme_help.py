"""Writes the commands' help into README.md; `python tests/readme_help.py`.  test_readme.py checks that it was done."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- help: (?P<command>[a-z ]+) -->\n```text\n)(?P<text>.*?)(```\n)", re.DOTALL)


def help_of(command: str) -> str:
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}
    environment = {k: v for k, v in environment.items() if not k.startswith("ARTGEN_")}
    words = [word for word in command.split() if word != "artgen"]
    run = [sys.executable, "-m", "artcli", *words, "--help"]
    text = subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout
    return text.replace("python -m artcli", "artgen").strip() + "\n"


def with_help(readme: str) -> str:
    return BLOCK.sub(lambda m: m[1] + help_of(m["command"]) + m[4], readme)


if __name__ == "__main__":
    README.write_text(with_help(README.read_text(encoding="utf-8")), encoding="utf-8")
