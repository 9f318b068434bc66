"""pyproject.toml is true: what is declared is imported, what is imported is declared, and archives are whole."""

import ast
import functools
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = {"open_clip_torch": "open_clip", "pillow": "PIL"}  # where a package and its module have different names


def modules_of(requirements):
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


@functools.cache
def imported():
    """The first part of every name that artcli imports, but not from itself or from the standard library."""
    found = set()
    for path in (ROOT / "artcli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"artcli"}


def test_every_dependency_is_imported():
    declared = modules_of(PROJECT["project"]["dependencies"])
    assert declared - imported() == set()


def test_every_import_is_declared():
    extras = PROJECT["project"]["optional-dependencies"]
    declared = modules_of(PROJECT["project"]["dependencies"] + [name for extra in extras.values() for name in extra])
    optional = {"wandb"}  # imported where `--track wandb` asks for it, with a hint how to install it
    assert imported() - declared - optional == set()


def test_the_source_archive_carries_what_the_readme_links():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    linked = re.findall(r"\]\((?!https?:|#)([^)/#]+)", readme) + re.findall(r'src="([^"/]+)', readme)
    assert set(linked) - set(included) == set()
