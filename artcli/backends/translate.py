"""Applies translators to pictures of any size, in tiles without seams.

A network that normalises each picture by its own moments would treat every tile differently, so the tiles share
moments: those of evenly spread parts of the picture, taken together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from artcli.backends.sizes import WHOLE
from artcli.device import fast_dtype
from artcli.nn import translators
from artcli.nn.translators import Sizes, Translator

TILE, OVERLAP = 512, 64
_PART = 256  # side of the parts that the shared moments are taken from
_STUDIED = 16 * (_PART + OVERLAP) ** 2  # pixels of all of them, with what surrounds them
_LUMA = (0.299, 0.587, 0.114)
_NEAR, _FLAT = 3, 1e-3  # pixels around one whose brightnesses are compared, and the variance of a flat place


class Step(NamedTuple):
    """done: tiles so far, 1..total.  image: (3, H, W) on the CPU, finished with the last one."""

    done: int
    total: int
    image: Callable[[], torch.Tensor]


def translate(image: torch.Tensor, net: Translator, tile: int = TILE, seed: int = 0) -> Iterator[Step]:
    """(3, H, W) in 0..1 to the same: in one piece where that takes little memory, else tile by tile.

    seed: of what a network drops that was loaded `as_in_training`.
    """
    translators.reseed(net, seed)
    if image.shape[1] * image.shape[2] <= WHOLE * tile * tile:
        drawn = whole(image, net)
        yield Step(1, 1, lambda: drawn)
    else:
        yield from tiled(image, net, tile, min(OVERLAP, tile // 4))


@torch.no_grad()
def whole(image: torch.Tensor, net: Translator) -> torch.Tensor:
    """(3, H, W) in 0..1 to the same, on the CPU, in one piece."""
    height, width = image.shape[1:]
    return _run(_given(image, net.sizes)[None], net)[0, :, :height, :width].cpu()


def tiled(
    image: torch.Tensor, net: Translator, tile: int, overlap: int = OVERLAP, shared: bool = True
) -> Iterator[Step]:
    """Yield after every tile.  tile: its side, overlap: what neighbours have in common; shared: moments."""
    height, width = image.shape[1:]
    factor = net.sizes.factor
    padded, tile = _given(image, net.sizes), -(-max(tile, overlap + factor) // factor) * factor
    rows, columns = (windows(side, tile, overlap, factor) for side in padded.shape[1:])
    drawn = torch.zeros(3, *padded.shape[1:])
    try:
        if shared and translators.by_picture(net):
            _study(padded, net, tile, -(-overlap // (2 * factor)) * factor)
        for number, (top, down) in enumerate(rows):
            for place, (left, across) in enumerate(columns, 1):
                here = (slice(None), slice(top, top + len(down)), slice(left, left + len(across)))
                with torch.no_grad():
                    part = _run(padded[here][None], net)[0].cpu()
                drawn[here] += part * down[:, None] * across
                done = number * len(columns) + place
                yield Step(done, len(rows) * len(columns), lambda: drawn[:, :height, :width])
    finally:
        translators.statistics(net, "own")


def windows(length: int, tile: int, overlap: int, factor: int) -> list[tuple[int, torch.Tensor]]:
    """Where tiles lie along a side, at multiples of the factor, and what each counts there; that adds up to 1.

    length, tile: multiples of the factor.
    """
    if length <= tile:
        return [(0, torch.ones(length))]
    stride = max(factor, (tile - overlap) // factor * factor)
    gaps = -(-(length - tile) // stride)
    starts = [(length - tile) * number // gaps // factor * factor for number in range(gaps + 1)]
    place = torch.arange(tile) + 0.5
    counts = []
    for number, start in enumerate(starts):
        rising = place if number else torch.full_like(place, tile)
        falling = tile - place if number < gaps else torch.full_like(place, tile)
        trusted = torch.minimum(rising, falling) - overlap / 4  # at its edge a tile lacks context
        counts.append((start, trusted.clamp(0, overlap / 2)))
    total = torch.zeros(length)
    for start, count in counts:
        total[start : start + tile] += count
    return [(start, count / total[start : start + tile]) for start, count in counts]


@torch.no_grad()
def _study(padded: torch.Tensor, net: Translator, tile: int, around: int) -> None:
    """Measure the shared moments on all tiles, or on some that are evenly spread.

    around: how much of what surrounds a part is looked at too, a multiple of the factor.
    """
    factor, sides = net.sizes.factor, padded.shape[1:]
    parts, counts = _parts(sides, min(max(_PART, factor), tile), around, factor)
    wide = F.pad(padded[None], (around,) * 4, mode="replicate" if around >= min(sides) else "reflect")[0]
    batch = [
        wide[:, top : top + parts[0] + 2 * around, left : left + parts[1] + 2 * around]
        for top in _spread(sides[0] - parts[0], counts[0], factor)
        for left in _spread(sides[1] - parts[1], counts[1], factor)
    ]
    translators.statistics(net, "study", margins=tuple(around / (part + 2 * around) for part in parts))
    _run(torch.stack(batch), net)
    translators.statistics(net, "fixed")


def _parts(sides: Sequence[int], side: int, around: int, factor: int) -> tuple[list[int], list[int]]:
    """Height and width of the parts to study, at most about `side`, and how many there are down and across."""
    counts = [-(-length // side) for length in sides]
    parts = [-(-length // (count * factor)) * factor for length, count in zip(sides, counts, strict=True)]
    most = max(1, _STUDIED // ((parts[0] + 2 * around) * (parts[1] + 2 * around)))
    if counts[0] * counts[1] > most:
        down = min(most, max(1, round((most * counts[0] / counts[1]) ** 0.5)))
        counts = [down, most // down]
    return parts, counts


def _spread(room: int, count: int, factor: int) -> list[int]:
    """So many places from 0 to `room`, at multiples of the factor; the middle one where there is one."""
    if count == 1:
        return [room // 2 // factor * factor]
    return [room * number // (count - 1) // factor * factor for number in range(count)]


def _run(images: torch.Tensor, net: Translator) -> torch.Tensor:
    """What the network takes, (B, given, H, W) in 0..1, to (B, 3, H, W), on its device, in its fastest format."""
    device = next(net.parameters()).device
    dtype = fast_dtype(device)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        drawn = translators.draw(net, images)
    return drawn.clamp(0, 1).expand(-1, 3, -1, -1)


def _given(image: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """A picture (3, H, W) in 0..1 as (given, H', W'), of which tiles can be cut."""
    padded = _padded(luma(image) if sizes.channels == 1 else image, sizes)
    return translators.with_grain(padded[None], sizes)[0]


def _padded(image: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """(C, H, W) mirrored beyond its right and lower edge, until the network takes it."""
    for axis in (1, 2):
        length = image.shape[axis]
        wanted = max(sizes.least, -(-length // sizes.factor) * sizes.factor)
        if length != wanted:
            there_and_back = torch.arange(wanted) % max(1, 2 * length - 2)  # a picture can be smaller than its padding
            image = image.index_select(axis, torch.minimum(there_and_back, (2 * length - 2 - there_and_back).abs()))
    return image


def luma(images: torch.Tensor) -> torch.Tensor:
    """(..., 3, H, W) to (..., 1, H, W)."""
    weights = torch.tensor(_LUMA, device=images.device).view(3, 1, 1)
    return (images * weights).sum(-3, keepdim=True)


def with_edges(
    large: torch.Tensor, photo: torch.Tensor, drawn: torch.Tensor, small: torch.Tensor, detail: float
) -> torch.Tensor:
    """`large` with edges of the photo that are finer than what was drawn, where the painting follows the photo.

    large, photo: (3, H, W) in 0..1, the same smaller: drawn, small, (3, h, w).  detail: 0..1.
    How much of the photo's finer brightness comes back is the slope of the drawn brightness over the photo's nearby, as
    in "Guided Image Filtering" (He et al., 2010): strokes that go their own way stay as they are.
    """
    size = photo.shape[1:]
    fine = luma(photo) - _to_size(luma(small), size)
    followed = _to_size(_followed(luma(small), luma(drawn)), size)
    return (large + fine.mul_(followed.mul_(detail))).clamp_(0, 1)


def _followed(photo: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """How much of the photo's contrast near each place is drawn, 0..1, all (1, h, w)."""
    own, mean = _mean(photo), _mean(drawn)
    slope = (_mean(photo * drawn) - own * mean) / (_mean(photo.square()) - own.square() + _FLAT)
    return slope.clamp(0, 1)


def _mean(image: torch.Tensor) -> torch.Tensor:
    """Of the square around every pixel of (1, h, w)."""
    return F.avg_pool2d(F.pad(image[None], (_NEAR,) * 4, mode="replicate"), 2 * _NEAR + 1, stride=1)[0]


def _to_size(image: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """(1, h, w) to (1, H, W)."""
    return F.interpolate(image[None], tuple(size), mode="bicubic", align_corners=False)[0]


def keep_color(photo: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """The result's brightness with the photo's colours, both (3, H, W) in 0..1."""
    return (photo + luma(drawn) - luma(photo)).clamp(0, 1)
