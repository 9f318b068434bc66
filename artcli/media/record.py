"""The recipe of an output, carried inside the file itself, so that `--from FILE` can run it again."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli.errors import ArtgenError, UsageError
from artcli.media import decode, exif, ffmpeg, files
from artcli.media.recipe_text import KEY, Recipe, from_text

if TYPE_CHECKING:
    from PIL import Image


def read(path: Path) -> Recipe:
    """The recipe inside a PNG, JPEG, WebP, TIFF, GIF, MP4, WebM or page.  UsageError: no such file, or none inside."""
    recipe = find(path)
    if recipe is None:
        raise UsageError(
            f"{path} carries no artgen recipe: it was made by another program, with --no-metadata, or was stripped "
            "by an editor or a web site."
        )
    return recipe


def find(path: Path) -> Recipe | None:
    """As `read`, but None for a good file without one."""
    if files.kind(path) == "missing":
        raise files.missing(path)
    readers = {".html": _page_text} | dict.fromkeys(files.FILM_SUFFIXES, _film_comment)
    return from_text(readers.get(path.suffix.lower(), _picture_text)(path))


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
