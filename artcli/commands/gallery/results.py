"""The pictures and films of a folder: which there are, what each looks like, and how it was made."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from PIL import Image

from artcli.commands.shared import recall
from artcli.errors import UsageError
from artcli.media import decode, files, images, record, thumbnails, video

_BUDGET = 10_000_000  # bytes of all pictures in a page; as text they take a third more
_LARGEST = 30_000  # bytes of one
_USUAL = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")  # modes of 8 bits that Pillow converts rightly
_EXACT = 96 * 96  # pixels up to which a picture is kept as it is: samples of small models


class Room(NamedTuple):
    """What a small picture may take.  side: pixels.  limit: bytes."""

    side: int
    limit: int

    @classmethod
    def for_count(cls, count: int) -> Self:
        limit = min(_LARGEST, _BUDGET // max(count, 1))
        return cls(400 if limit >= 20_000 else 288, limit)


class Place(NamedTuple):
    """A file as seen from the page.  name: to be read.  address: a link.  path: to be named in a command."""

    name: str
    address: str
    path: Path

    @classmethod
    def of(cls, path: Path, page: Path) -> Self:
        try:
            near = Path(os.path.relpath(path.absolute(), page.parent.absolute()))
        except ValueError:  # on another drive of Windows
            near = path.absolute()
            return cls(near.as_posix(), near.as_uri(), near)
        return cls(near.as_posix(), quote(os.fsencode(near.as_posix())), near)


class Broken(NamedTuple):
    """A file that cannot be read, and why."""

    place: Place
    why: str


@dataclass(frozen=True)
class Result:
    """kind: picture, animation or film.  size: (width, height), None for films.  shape: as size, of the small picture.

    thumb: its address.  time: of the last change, in whole seconds.  recipe: None without a record.  command: None
    where no verb can run it again.
    """

    place: Place
    kind: str
    size: tuple[int, int] | None
    shape: tuple[int, int]
    thumb: str
    bytes: int
    time: int
    recipe: Mapping[str, Any] | None
    command: str | None


def look(folder: Path, recursive: bool) -> list[Path]:
    """Pictures and films, sorted, without hidden ones.  Raises UsageError: no such folder, or none in it."""
    found = files.kind(folder)
    if found == "missing":
        raise UsageError(f"there is no folder {folder}")
    if found != "folder":
        raise UsageError(f"{folder} is not a folder: name the one that the pictures are in")
    chosen = files.pictures_and_films(folder, recursive)
    if not chosen:
        below = "" if recursive else len(files.pictures_and_films(folder, True))
        hint = f"; its subfolders have {below}: add --recursive" if below else ""
        raise UsageError(f"there is no picture and no film in {folder}{hint}")
    return chosen


def read(path: Path, place: Place, room: Room, commands: recall.Commands) -> Result:
    """Raises UsageError for what cannot be read."""
    is_film = path.suffix.lower() in files.FILM_SUFFIXES
    try:
        facts = path.stat()
        kind, small, size = _film(path, room.side) if is_film else _picture(path, room.side)
        recipe = record.find(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {files.reason(error)}.") from error
    thumb = thumbnails.uri(thumbnails.encode(small, room.limit, _EXACT))
    command = None if recipe is None else recall.line(recipe, place.path, commands)
    return Result(place, kind, size, small.size, thumb, facts.st_size, int(facts.st_mtime), recipe, command)


def _film(path: Path, side: int) -> tuple[str, Image.Image, None]:
    image = decode.open_image(video.last_picture(path, side))
    image.load()
    return "film", image.convert("RGB"), None


def _picture(path: Path, side: int) -> tuple[str, Image.Image, tuple[int, int]]:
    """The kind, what it looks like (of an animation the end) in at most `side` pixels a side, and its own size."""
    image = decode.open_image(path)
    kind = "animation" if decode.has_several(image) and image.format != "TIFF" else "picture"
    width, height = image.size
    with decode.guarded(str(path)):
        if kind == "animation":
            image.seek(getattr(image, "n_frames", 1) - 1)
        small = _plain(image, path)
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        shown = images.upright(small)
    return kind, shown, (width, height) if shown.size == small.size else (height, width)


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """RGB, or RGBA where something shows through."""
    if image.mode not in _USUAL:  # 16 bits, CMYK, ...: as artgen reads them
        return Image.fromarray((images.load(path).rgb * 255 + 0.5).astype("uint8"))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")
