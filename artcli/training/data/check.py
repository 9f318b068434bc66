"""Reports on a folder of pictures and its problems before training; no file makes it fail."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from artcli.errors import UsageError
from artcli.media import decode
from artcli.training import columns
from artcli.training.data import pool, table
from artcli.training.data.items import Array, Item, Skipped, read
from artcli.training.data.layout import Layout, read_layout
from artcli.training.data.prepare import decode as decode_pixels

TINY = 32  # pixels of the shorter side
_GREY = 3  # levels that the channels of a grey picture may differ by: JPEG is not exact
_EXIF_ORIENTATION, _TIFF_BITS = 0x0112, 258
_SHOWN = 3  # names per line

# Each kind of problem, and what the trainer does about it.
_MEANINGS = {
    "unreadable": "left out",
    "tiny": f"shorter side under {TINY} pixels: enlarged, and blurred by it",
    "duplicates": "the same pixels as another one: kept, and always on the same side of the split",
    "grey": "three equal channels, or one with --color grey",
    "alpha": "transparent parts become the background colour",
    "cmyk": "converted to RGB",
    "rotated": "turned upright, as their EXIF says",
    "deep": "more than 8 bits: rounded to 8",
    "animated": "several frames or pages: the first is taken",
}


@dataclass
class Findings:
    """layout, notes: as read.  classes: pictures per class.  widths, heights: of every readable picture, in pixels.

    odd: names of pictures by what is odd about them, the keys in the order of importance.  reasons: of the unreadable.
    told: what a table says of the pictures, None without one.
    """

    root: str
    layout: str
    pictures: int
    classes: dict[str, int]
    notes: tuple[str, ...] = ()
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    odd: dict[str, list[str]] = field(default_factory=lambda: {key: [] for key in _MEANINGS})
    reasons: list[Skipped] = field(default_factory=list)
    told: table.Learned | None = None

    def lines(self) -> list[str]:
        """For people: the layout, the classes, the sizes, and a line per kind of oddity that occurs."""
        lines = [f"{self.root}: {self.layout}", *self.notes]
        if self.classes:
            lines.append("classes: " + ", ".join(f"{name} {count}" for name, count in self.classes.items()))
        if self.told:
            lines += [f"column {columns.described(each, self.told.cells)}" for each in self.told.columns]
            lines += self.told.notes
        if self.widths:
            lines.append(f"width {_range(self.widths)}, height {_range(self.heights)} pixels")
        for kind, names in self.odd.items():
            if names:
                lines.append(f"{kind}: {len(names)} ({_MEANINGS[kind]}): {self._examples(kind)}")
        return lines if any(self.odd.values()) else [*lines, "nothing odd"]

    def _examples(self, kind: str) -> str:
        names = self.odd[kind]
        shown = [f"{name} {why}" for name, why in self.reasons] if kind == "unreadable" else names
        return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything, with complete lists."""
        return {
            "path": self.root,
            "layout": self.layout,
            "notes": list(self.notes),
            "pictures": self.pictures,
            "classes": self.classes,
            "width": _summary(self.widths),
            "height": _summary(self.heights),
            **({"columns": [each.as_dict() for each in self.told.columns]} if self.told else {}),
            **self.odd,
            "reasons": {name: why for name, why in self.reasons},
        }


def _summary(values: list[int]) -> dict[str, float] | None:
    if not values:
        return None
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high} (median {statistics.median(values):g})"


def check(path: Path, progress: pool.PicturesDone | None = None, about: Path | None = None) -> Findings:
    """Look at every picture at `path`.  about: a table of them.

    Raises UsageError only where there is nothing to look at, or the table is of no use.
    """
    layout = read_layout(path)
    findings = _empty(path, layout)
    if about is not None:
        findings.told = table.learn(about, [item.name for item in layout.items])
    for skipped in layout.problems:
        _unreadable(findings, *skipped)
    first: dict[bytes, str] = {}
    for done, (item, seen) in enumerate(zip(layout.items, pool.in_order(_look, layout.items), strict=True), start=1):
        if isinstance(seen, str):
            _unreadable(findings, item.name, seen)
        else:
            _note(findings, item.name, seen, first)
        if progress:
            progress(done, len(layout.items))
    return findings


def _empty(path: Path, layout: Layout) -> Findings:
    counts = Counter(item.label for item in layout.items)
    classes = {name: counts[label] for label, name in enumerate(layout.classes)}
    return Findings(str(path), layout.describe(), len(layout.items), classes, layout.notes)


def _unreadable(findings: Findings, name: str, why: str) -> None:
    findings.odd["unreadable"].append(name)
    findings.reasons.append(Skipped(name, why))


def _note(findings: Findings, name: str, seen: _Seen, first: dict[bytes, str]) -> None:
    findings.widths.append(seen.width)
    findings.heights.append(seen.height)
    original = first.setdefault(seen.pixels, name)
    kinds = [*seen.kinds]
    if original != name:
        kinds.append("duplicates")
    if min(seen.width, seen.height) < TINY:
        kinds.append("tiny")
    for kind in kinds:
        findings.odd[kind].append(f"{name} (as {original})" if kind == "duplicates" else name)


# --- one picture ---------------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    width: int
    height: int
    kinds: tuple[str, ...]
    pixels: bytes  # a hash of them


def _look(item: Item) -> _Seen | str:
    """What there is to say about a picture, or why it cannot be read."""
    try:
        data = read(item)
        if isinstance(data, np.ndarray):
            return _seen(decode_pixels(data, (0, 0, 0)), data.ndim == 2, [])
        with pool.room_for(data) as image:
            kinds = [kind for kind, holds in _header(image, data).items() if holds]
            rgb = decode_pixels(data, (128, 128, 128))  # a background that leaves grey pictures grey
        return _seen(rgb, _is_grey(rgb), kinds)
    except (UsageError, MemoryError) as error:
        return pool.reason(error)


def _seen(rgb: Array, grey: bool, kinds: list[str]) -> _Seen:
    height, width = rgb.shape[:2]
    digest = hashlib.blake2b(np.ascontiguousarray(rgb).data, digest_size=16)
    digest.update(f"{width}x{height}".encode())
    return _Seen(width, height, (*kinds, *(["grey"] if grey else [])), digest.digest())


def _is_grey(rgb: Array) -> bool:
    levels = rgb.astype(np.int16)
    return int((levels.max(2) - levels.min(2)).max()) <= _GREY


def _header(image: Image.Image, data: bytes) -> dict[str, bool]:
    """What the file says about itself."""
    return {
        "alpha": image.has_transparency_data,
        "cmyk": image.mode == "CMYK",
        "rotated": _is_turned(image),
        "deep": _is_deep(image, data),
        "animated": decode.has_several(image),
    }


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1)
    except Exception:  # damaged EXIF can raise anything
        return False


def _is_deep(image: Image.Image, data: bytes) -> bool:
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "PNG":
        return data[24] == 16  # Pillow opens 16-bit colour as 8-bit; the file's own header knows
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, 8)
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return False
