"""Shards in the webdataset convention: .tar files whose members share a key, `0001.jpg` with `0001.cls` and `0001.txt`
or, as img2dataset also writes it, `0001.json` with a "caption".

Read with the standard library: an uncompressed tar keeps every picture in one piece, so that its place is noted once
and any thread reads it later, which the sequential reader of the `webdataset` package does not offer.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from artcli.errors import UsageError
from artcli.training.data import captions
from artcli.training.data.formats import Listing
from artcli.training.data.items import Item, Skipped, Slice, pictures
from artcli.training.data.walk import SUFFIXES, Found

_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|test)([^a-z]|$)")
_MAX_LABEL_BYTES = 1000
_MAX_CAPTION_BYTES = 100_000


def read(found: Iterable[Found]) -> Listing | None:
    """The pictures in the .tar files among these, or None where there are none.

    A shard that is cut short gives what is whole and is listed.  Raises UsageError: a shard is compressed, or none
    holds a picture.
    """
    tars = [file for file in found if file.path.suffix.lower() == ".tar"]
    if not tars:
        return None
    found_in: list[tuple[Item, str | None]] = []
    problems: list[Skipped] = []
    for file in tars:
        found_in += _shard(file, problems, held_out=_is_held_out(file, tars))
    if not found_in:
        why = f": {problems[0].name} {problems[0].reason}" if problems else ", only other files"
        raise UsageError(f"no picture in {tars[0].path}{_and_more(tars)}{why}.")
    items, classes, notes = _labelled(found_in)
    return Listing(
        "webdataset shard" if len(tars) == 1 else f"{len(tars)} webdataset shards",
        items,
        classes,
        notes,
        tuple(problems),
    )


def _and_more(tars: list[Found]) -> str:
    return f" and {len(tars) - 1} more" if len(tars) > 1 else ""


def _is_held_out(file: Found, tars: list[Found]) -> bool:
    """`val-000.tar` beside `train-000.tar`; a set that has nothing else is trained on, whatever its name."""
    held = [bool(_HELD_OUT.search(other.path.name.lower())) for other in tars]
    return not all(held) and bool(_HELD_OUT.search(file.path.name.lower()))


def _shard(file: Found, problems: list[Skipped], held_out: bool) -> list[tuple[Item, str | None]]:
    """Every picture of one shard, and the text of its .cls if it has one."""
    members, labels, texts, records = [], {}, {}, {}
    try:
        with tarfile.open(file.path, "r:") as archive:
            for member in archive:
                if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                    continue
                key, suffix = _key(member.name)
                if suffix == ".cls" and member.size < _MAX_LABEL_BYTES and (stream := archive.extractfile(member)):
                    labels[key] = stream.read().decode("utf-8", "replace").strip()
                elif suffix == ".txt" and member.size < _MAX_CAPTION_BYTES and (stream := archive.extractfile(member)):
                    texts[key] = captions.split(stream.read().decode("utf-8", "replace"))
                elif suffix == ".json" and member.size < _MAX_CAPTION_BYTES and (stream := archive.extractfile(member)):
                    records[key] = captions.of_record(stream.read())
                elif suffix in SUFFIXES:
                    members.append((key, member))
    except (tarfile.TarError, OSError) as error:
        _refuse_compressed(file)
        problems.append(Skipped(file.name, f"is damaged after {pictures(len(members))} ({error})"))
    shard = file.name.removesuffix(".tar")
    return [
        (
            Item(
                f"{shard}/{member.name}",
                Slice(file.path, member.offset_data, member.size),
                file.stamp,
                held_out=held_out,
                texts=texts.get(key) or records.get(key, ()),
            ),
            labels.get(key),
        )
        for key, member in members
    ]


def _key(name: str) -> tuple[str, str]:
    """webdataset's rule: the key ends at the first dot of the file name; the suffix is what a picture goes by."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0])), path.suffix.lower()


def _refuse_compressed(file: Found) -> None:
    with file.path.open("rb") as opened:
        if opened.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5"):
            raise UsageError(f"{file.path} is compressed: unpack it, or pack the pictures in a plain .tar.")


def _labelled(found: list[tuple[Item, str | None]]) -> tuple[tuple[Item, ...], tuple[str, ...], tuple[str, ...]]:
    """Labels from the .cls texts, numbers in their order; no classes unless every picture has one."""
    texts = {text for _, text in found if text is not None}
    missing = sum(text is None for _, text in found)
    note = (f"Without .cls: {pictures(missing)}, so the others' classes are not used.",) if missing and texts else ()
    if missing or len(texts) < 2:
        return tuple(item for item, _ in found), (), note
    numbers = all(text.isdecimal() for text in texts)
    classes = tuple(sorted(texts, key=lambda text: (int(text), text) if numbers else (0, text)))
    label = {text: number for number, text in enumerate(classes)}
    items = [replace(item, label=label[text or ""]) for item, text in found]
    return tuple(items), classes, ()
