"""The contract with trainable models: every hook that is looked up is listed, and what is listed is looked up."""

import ast
from pathlib import Path

import pytest

import artcli
from artcli.training import contract

PACKAGE = Path(artcli.__file__).parent
SOURCES = [*(PACKAGE / "training").glob("*.py"), *(PACKAGE / "commands" / "train").glob("*.py")]
LISTS = {
    "model": contract.OF_A_MODEL,
    "backend": contract.OF_ITS_FILE,
    "config": contract.OF_ITS_SETTINGS,
    "data": contract.OF_ITS_DATA,
}
CALLED = {"Model": "model", "shown": "model", "source": "data", "pictures": "data"}


def looked_up():
    """(what it is of, name) of every hasattr and getattr that asks for a name."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("hasattr", "getattr"):
                continue
            owner, name = node.args[:2]
            if isinstance(name, ast.Constant):
                called = owner.attr if isinstance(owner, ast.Attribute) else owner.id
                yield CALLED.get(called, called), name.value


@pytest.mark.parametrize("of", LISTS)
def test_every_hook_is_listed_in_one_place(of):
    assert {name for owner, name in looked_up() if owner == of} == LISTS[of].keys()


def test_nothing_else_is_looked_up():
    assert {owner for owner, _ in looked_up()} == LISTS.keys()
