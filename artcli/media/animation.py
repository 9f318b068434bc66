"""Animated GIF, WebP and PNG: how long each of their frames is shown, read as films are, and animated WebP written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artcli.media import decode, images, record

Frame = np.ndarray[Any, Any]  # (H, W, 3) uint8, sRGB

_FASTEST = 60  # frames a second to which frames of different length are laid out
_SHORTEST = 0.02  # seconds; what claims to be shorter, viewers show for a tenth


def moves(path: Path) -> bool:
    """Whether a file is one of these, whatever its name, and has several frames; False also for what cannot be read."""
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=["GIF", "WEBP", "PNG"]) as image:
            return getattr(image, "is_animated", False)
    except Exception:  # its reader will report what is wrong
        return False


def delays(path: Path) -> list[float]:
    """How long each frame is shown, in seconds.  Raises UsageError when it cannot be read."""
    image = decode.open_image(path)
    with decode.guarded(str(path)):
        return [_seconds(image, number) for number in range(getattr(image, "n_frames", 1))]


def _seconds(image: Image.Image, number: int) -> float:
    image.seek(number)
    image.load()  # WebP knows the duration only after loading
    told = float(image.info.get("duration") or 0) / 1000
    return told if told >= _SHORTEST else 0.1


def rate(lengths: Sequence[float]) -> float:
    """Frames a second at which frames of these lengths, in seconds, come out as long as they are."""
    step = math.gcd(*(round(1000 * each) for each in lengths))
    return 1000 / step if 1000 / step <= _FASTEST else usual_rate(lengths)


def usual_rate(lengths: Sequence[float]) -> float:
    """The rate of the fast parts of a film whose frames have different lengths: of those that are usual there."""
    ordered = sorted(lengths)
    short = ordered[len(ordered) // 20]
    like = [each for each in ordered if 0.75 * short <= each <= 1.35 * short]
    return len(like) / sum(like)


def size(path: Path) -> tuple[int, int]:
    """(width, height) of its frames."""
    return decode.open_image(path).size


def frames(path: Path, fps: float) -> Iterator[Frame]:
    """Frames at a constant rate, repeated as long as they are shown; transparent pixels become white."""
    lengths = delays(path)
    ends = [round(sum(lengths[: number + 1]) * fps) for number in range(len(lengths))]
    image, shown = decode.open_image(path), 0
    for number, end in enumerate(ends):
        with decode.guarded(str(path)):
            image.seek(number)
            frame = _on_white(image.convert("RGBA"))
        for _ in range(max(shown, end) - shown):
            yield frame
        shown = max(shown, end)


def _on_white(image: Image.Image) -> Frame:
    ground = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(ground, image).convert("RGB"))


def write_webp(
    path: Path, pictures: Iterable[Frame], ends: Sequence[float], *, recipe: record.Recipe | None, loop: bool
) -> None:
    """ends: of each picture, in seconds from the start.  Raises OSError, and ArtgenError for too long a recipe."""
    pairs = zip([0.0, *ends], ends, strict=False)
    lengths = [round(1000 * end) - round(1000 * start) for start, end in pairs]
    stills = (Image.fromarray(picture) for picture in pictures)
    first = next(stills)
    how: dict[str, Any] = images.embedded("WEBP", recipe)
    first.save(
        path, "WEBP", save_all=True, append_images=chain(stills), duration=lengths, loop=0 if loop else 1,
        quality=90, method=4, **how,
    )  # fmt: skip
