"""The recipe of an output, carried inside the file itself, so that `--from FILE` can run it again.

One text for every format: JSON in plain ASCII (other characters as \\uXXXX), because EXIF, MP4 and GIF disagree about
encodings and only ASCII comes back from all of them.  It holds no date: equal work gives equal bytes.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli.errors import ArtgenError, UsageError
from artcli.media import decode, exif, ffmpeg, files

if TYPE_CHECKING:
    from PIL import Image

Recipe = dict[str, Any]

KEY = "artgen"  # the PNG keyword, and the one key of the JSON, which tells a recipe from any other description
MAX_TEXT = 16_000  # characters: below the 64 kB of EXIF and the 32 kB of a Windows command line, which ffmpeg needs

_FILM_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv")


def to_text(recipe: Recipe) -> str:
    """The recipe as one line of ASCII.  Values: what JSON holds, and paths.  Call it before compute, to fail early.

    Raises ArtgenError above MAX_TEXT characters.
    """
    text = json.dumps({KEY: recipe}, sort_keys=True, separators=(",", ":"), allow_nan=False, default=os.fspath)
    if len(text) > MAX_TEXT:
        raise ArtgenError(
            f"the record of this run has {len(text)} characters, more than the {MAX_TEXT} that a file can carry: "
            "use --no-metadata."
        )
    return text


def from_text(text: str) -> Recipe | None:
    """The recipe in a text, or None when the text is something else."""
    try:
        recipe = json.loads(text)[KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None


def read(path: Path) -> Recipe:
    """The recipe inside a PNG, JPEG, WebP, TIFF, GIF, MP4, WebM or page.  UsageError: no such file, or none inside."""
    if files.kind(path) == "missing":
        raise files.missing(path)
    readers = {".html": _page_text} | dict.fromkeys(_FILM_SUFFIXES, _film_comment)
    recipe = from_text(readers.get(path.suffix.lower(), _picture_text)(path))
    if recipe is None:
        raise UsageError(
            f"{path} carries no artgen recipe: it was made by another program, with --no-metadata, or was stripped "
            "by an editor or a web site."
        )
    return recipe


def _page_text(path: Path) -> str:
    found = re.search(r'<meta name="artgen" content="([^"]*)">', path.read_text(encoding="utf-8", errors="replace"))
    return html.unescape(found[1]) if found else ""


def _picture_text(path: Path) -> str:
    image = decode.open_image(path)
    found = image.info.get(KEY) or _exif(image) or image.info.get("comment", "")
    return found.decode("latin-1") if isinstance(found, bytes) else str(found)


def _exif(image: Image.Image) -> Any:
    try:
        found = image.getexif()
        return found.get(exif.RECIPE) or found.get(exif.DESCRIPTION)  # where it was at first
    except Exception:  # Pillow raises nearly anything on damaged EXIF, which then holds no recipe
        return None


def _film_comment(path: Path) -> str:
    """The comment tag; ffmpeg writes `key=value` lines with a backslash before = ; # \\ and line ends."""
    command = ["-i", f"file:{path}", "-f", "ffmetadata", "-"]
    try:
        listing = ffmpeg.run(command, f"read the metadata of {path}").decode("utf-8", "replace")
    except ArtgenError as error:
        raise UsageError(str(error)) from error
    match = re.search(r"^comment=((?:\\.|[^\\\n])*)", listing, re.MULTILINE | re.IGNORECASE | re.DOTALL)
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL) if match else ""
