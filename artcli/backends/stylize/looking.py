"""What can be told of pictures and masks before anything is computed with them.  No torch here."""

from pathlib import Path

from artcli.errors import UsageError
from artcli.media import files, images

_FLAT = 1 / 255  # spread of colours below which a picture has no brush strokes to take


def visible(source: Path | files.Stdio) -> images.Picture:
    """Raises UsageError: not readable, or transparent everywhere."""
    found = images.load("-" if str(source) == "-" else source)
    if found.alpha is not None and not found.alpha.any():
        raise UsageError(f"{source} is transparent everywhere: there is nothing to see in it")
    return found


def style(path: Path, where: Path | None = None) -> tuple[images.Picture, images.Array | None]:
    """The picture, and how much each of its pixels counts, (H, W) in 0..1 or None for all alike.

    where: a mask of its size, white where its style is taken.  Raises UsageError as `visible` and `mask` do.
    """
    found = visible(path)
    if where is None:
        return found, found.alpha
    given = mask(where, (found.rgb.shape[1], found.rgb.shape[0]))
    return found, given if found.alpha is None else found.alpha * given


def is_flat(rgb: images.Array, counts: images.Array | None) -> bool:
    """Whether all pixels (H, W, 3) that count have one colour, as in a picture of 1x1; see `colour.counted`."""
    seen = rgb.reshape(-1, 3) if counts is None else rgb[counts >= counts.max() / 2]
    return bool((seen.max(0) - seen.min(0)).max() <= _FLAT)


def mask(path: Path, size: tuple[int, int]) -> images.Array:
    """(H, W) in 0..1.  size: (width, height) that it has to have."""
    found = images.as_mask(images.load(path))
    if found.shape != size[::-1]:
        raise UsageError(
            f"the mask {path} is {found.shape[1]}x{found.shape[0]}, its picture {size[0]}x{size[1]}; make them the "
            "same size"
        )
    if not found.any():
        raise UsageError(f"the mask {path} is black everywhere; paint white what counts")
    return found
