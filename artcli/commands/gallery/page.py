"""The page: its data, and the template that they are filled into."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artcli import __version__
from artcli.commands.gallery.results import Broken, Result
from artcli.media import webpage

HERE = Path(__file__).parent
BLOCK = 40  # small pictures that are read at once, when the reader comes near them
MOST_TEXT, MOST_ROWS = 2000, 200  # of a recorded value and of a record: files come from anywhere


def render(title: str, shown: Sequence[Result], broken: Sequence[Broken]) -> str:
    """The whole page.  shown: in the order of the page.

    The script stands behind the first small pictures, so that a browser shows them while it reads the others.
    """
    style, script, text = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))
    blocks = [_block(number, shown[start : start + BLOCK]) for number, start in enumerate(range(0, len(shown), BLOCK))]
    filled = {
        "TITLE": html.escape(_clean(title)),
        "SCRIPT_HASH": webpage.only(script),
        "STYLE": style,
        "DATA": webpage.for_script(data(shown, broken)),
        "FIRST": "".join(blocks[:1]),
        "SCRIPT": script,
        "REST": "".join(blocks[1:]),
    }
    return re.sub(r"@(\w+)@", lambda place: filled[place[1]], text)


def _block(number: int, shown: Sequence[Result]) -> str:
    content = webpage.for_script([each.thumb for each in shown])
    return f'<script type="application/json" id="thumbs-{number}">{content}</script>\n'


def data(shown: Sequence[Result], broken: Sequence[Broken]) -> dict[str, Any]:
    """What the script works with; all but the small pictures."""
    return {
        "version": __version__,
        "block": BLOCK,
        "items": [_item(each) for each in shown],
        "broken": [{"name": _clean(each.place.name), "href": each.place.address, "why": each.why} for each in broken],
    }


def _item(result: Result) -> dict[str, Any]:
    recipe = result.recipe or {}
    verb = _text(recipe["command"]) if "command" in recipe else ""
    title = _title(recipe)
    return {
        "name": _clean(result.place.name),
        "href": result.place.address,
        "kind": result.kind,
        "size": result.size,
        "shape": result.shape,
        "bytes": result.bytes,
        "time": result.time,
        "recorded": result.recipe is not None,
        "verb": verb,
        "title": title,
        "seed": _text(recipe["seed"]) if "seed" in recipe else "",
        "command": result.command,
        "alt": _alt(result, verb, title),
        "settings": _rows(recipe.get("parameters")),
        "weights": _rows(recipe.get("weights")),
        "version": _text(recipe["version"]) if "version" in recipe else "",
    }


def _title(recipe: Mapping[str, Any]) -> str:
    """What was asked for: the words, or the names of the pictures, or of the model."""
    parameters = recipe.get("parameters")
    if not isinstance(parameters, dict):
        return ""
    for name in ("prompt", "prompts", "inputs", "run"):
        if value := parameters.get(name):
            return _text([str(each).rpartition("/")[2] for each in value] if name == "inputs" else value)
    return ""


def _alt(result: Result, verb: str, title: str) -> str:
    """What a screen reader says of a picture that nobody has described."""
    what = {"picture": "Picture", "animation": "Animation", "film": "Film"}[result.kind]
    if not verb:
        return f"{what} {_clean(result.place.name)}, without a record"
    return f"{what} by artgen {verb}: {title or _clean(result.place.name)}"


def _rows(values: Any) -> list[tuple[str, str]]:
    """A mapping of a record as names and texts, whatever is in it."""
    if not isinstance(values, dict):
        return []
    return [(_text(name), _text(value)) for name, value in list(values.items())[:MOST_ROWS]]


def _text(value: Any) -> str:
    parts = value[:MOST_ROWS] if isinstance(value, list) else [value]
    return _shortened(", ".join(map(_word, parts)) or "none")


def _word(value: Any) -> str:
    try:
        return _clean(value if isinstance(value, str) else json.dumps(value))
    except RecursionError:  # lists in lists in lists
        return "…"


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def _clean(text: str) -> str:
    """Names may hold bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")
