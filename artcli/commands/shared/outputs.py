"""The kinds of files that the verbs make of pictures and films."""

from pathlib import Path

from artcli.media import files

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif")
FILMS = (".mp4", ".webm", ".gif")
MOVING = (*FILMS, ".webp")  # what an animation or a film can become
HOLD = 1.0  # seconds that a finished film rests on its last frame
GROWING, GROWING_FPS = 6.0, 20.0  # seconds, and frames a second, of a painting that grows


def is_film(source: object, out: Path | None = None) -> bool:
    """Whether every frame of an input is worked on: of a film, and of an animation whose output can move, too.

    What is in the file decides, not its name.  out: None for a name that follows the input's.
    """
    path = Path(str(source))
    suffix = files.ending(path)
    if suffix in files.FILM_SUFFIXES:
        return True
    if str(source) == "-" or (suffix if out is None else out.suffix.lower()) not in MOVING:
        return False
    from artcli.media import animation

    return animation.moves(path)


def film_suffix(source: object) -> str:
    """The ending of what a film becomes where it is not said: its own, or .mp4 where that cannot be written."""
    suffix = files.ending(Path(str(source)))
    return suffix if suffix in MOVING else ".mp4"
