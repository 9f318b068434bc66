"""Copies the EXIF of a photo's making to the pictures made from it; the recipe has its own field."""

from __future__ import annotations

from PIL import Image

from artcli.media.recipe_text import from_text

RECIPE = 0xFF14  # among the numbers that TIFF leaves to everybody
DESCRIPTION = 0x010E
_ABOUT, _PLACE = 0x8769, 0x8825  # IFDs of the exposure and of GPS
# Description, make, model, date, artist, rating, copyright, and Windows' title, comment, author, keywords and subject.
# What else there is may describe how the old file lay on the disk.
_KEPT = (DESCRIPTION, 0x010F, 0x0110, 0x0132, 0x013B, 0x4746, 0x8298, *range(0x9C9B, 0x9CA0))
# The maker's notes, which moving breaks, and sizes and kinds of pictures that are others now.
_DROPPED = (0x927C, 0xA002, 0xA003, 0xA005, 0xA401)
_COLOURS, _SRGB = 0xA001, 1
_MOST = 40_000  # bytes; with a recipe it has to stay below the 64 kB of JPEG


def kept(image: Image.Image) -> bytes | None:
    """The EXIF to copy, encoded; None when there is none or it is damaged."""
    try:
        found, made = image.getexif(), Image.Exif()
        about = {tag: value for tag, value in found.get_ifd(_ABOUT).items() if tag not in _DROPPED}
        tables = {_ABOUT: about and {**about, _COLOURS: _SRGB}, _PLACE: dict(found.get_ifd(_PLACE))}
        made.update({tag: found[tag] for tag in _KEPT if tag in found})
        if from_text(str(made.get(DESCRIPTION))) is not None:  # of an artgen that put its recipe there
            del made[DESCRIPTION]
        for tag, table in tables.items():
            if table:
                made.get_ifd(tag).update(table)
                made[tag] = table
        data = made.tobytes() if len(made) else b""
    except Exception:  # Pillow raises nearly anything on damaged EXIF
        return None
    return data if 0 < len(data) <= _MOST else None


def with_recipe(carried: bytes | None, text: str | None) -> Image.Exif:
    """Carried EXIF, and a recipe's text in its own field."""
    made = Image.Exif()
    if carried is not None:
        made.load(carried)
    if text is not None:
        made[RECIPE] = text
    return made
