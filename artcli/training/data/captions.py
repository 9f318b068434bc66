"""Captions of pictures, in the forms in which people keep them.

metadata.jsonl   a line per picture, {"file_name": ..., "text": ...}, as the Hugging Face image folder has it
captions.json    {"name.jpg": "a text" or ["several", "texts"]}
NAME.txt         beside NAME.jpg, a text a line, as webdataset and many trainers have it
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from artcli.errors import UsageError
from artcli.training.data.items import Item, pictures
from artcli.training.data.walk import Found

METADATA, TABLE = "metadata.jsonl", "captions.json"


def attach(items: Iterable[Item], found: Iterable[Found]) -> tuple[list[Item], list[str]]:
    """The items with their captions, and notes about what has no partner.

    Raises UsageError: a table of captions cannot be read, or names no picture that is there.
    """
    items, files = list(items), list(found)
    known: dict[str, tuple[str, ...]] = {}
    tables = [file for file in files if file.path.name in (METADATA, TABLE)]
    for table in tables:
        read = _lines if table.path.name == METADATA else _table
        below = PurePosixPath(table.name).parent
        known |= {str(below / name): texts for name, texts in read(table.path).items()}
    names = {item.name for item in items}
    if known and not names & known.keys():
        raise UsageError(f"{tables[0].path} has captions of {next(iter(known))} and others, none of which is there.")
    notes = _partners(tables, names, known)
    known |= _beside(files, items)
    if not known:
        return items, []
    without = sum(not known.get(item.name) for item in items)
    if without:
        notes.append(f"Without a caption: {pictures(without)}, learned from without words.")
    return [replace(item, texts=known.get(item.name, ())) for item in items], notes


def _partners(tables: list[Found], names: set[str], known: dict[str, tuple[str, ...]]) -> list[str]:
    missing = len(known.keys() - names)
    return [f"{tables[0].name} has captions of {pictures(missing)} that are not there."] if missing else []


def _beside(files: list[Found], items: list[Item]) -> dict[str, tuple[str, ...]]:
    """Texts in `NAME.txt`, by the picture's name."""
    texts = {file.name[:-4]: file.path for file in files if file.name.lower().endswith(".txt")}
    found = {}
    for item in items:
        path = texts.get(item.name.rpartition(".")[0])
        if path is not None:
            found[item.name] = split(_text(path))
    return found


def split(text: str) -> tuple[str, ...]:
    """The captions of a text, one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def of_record(data: bytes) -> tuple[str, ...]:
    """The "caption" or "text" of one picture's JSON, which may be about other things; () where it has none."""
    try:
        record = json.loads(data)
    except ValueError:
        return ()
    said = (record.get("caption") or record.get("text")) if isinstance(record, dict) else None
    return _several(said) if isinstance(said, str | list) else ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error


def _lines(path: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        row = _json(line, f"{path}, line {number},")
        if isinstance(row, dict) and "file_name" in row and "text" not in row and len(row) > 1:
            continue  # it says other things, see `table`
        if not isinstance(row, dict) or "file_name" not in row or "text" not in row:
            raise UsageError(f'{path}, line {number}, has to be {{"file_name": ..., "text": ...}}')
        found[str(row["file_name"])] = _several(row["text"])
    return found


def _table(path: Path) -> dict[str, tuple[str, ...]]:
    table = _json(_text(path), str(path))
    if not isinstance(table, dict):
        raise UsageError(f'{path} has to be {{"name.jpg": "a text" or ["several", "texts"]}}')
    return {str(name): _several(texts) for name, texts in table.items()}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is no JSON: {error}") from error


def _several(texts: Any) -> tuple[str, ...]:
    several = texts if isinstance(texts, list) else [texts]
    return tuple(str(text).strip() for text in several if str(text).strip())
