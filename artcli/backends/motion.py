"""Motion between two frames of a film by block matching, from coarse to fine (Anandan, 1989)."""

import torch
import torch.nn.functional as F

_COARSEST = 16  # pixels of the shorter side that it begins with, or up to twice as many
_BLOCK = 5  # side in pixels of the blocks that are compared
_PRICE = 0.002  # penalty of a step, in colours of 0..1: flat places do not move
_ALIKE = 0.1  # mean difference of colours in 0..1 above which two blocks do not match
_STEPS = [(x, y) for x in (0, -1, 1) for y in (0, -1, 1)]


def flow(before: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """(2, H, W): how many pixels to the right and down the content of each place of `now` lay in `before`, (3, H, W).

    It finds up to a tenth of the shorter side.
    """
    levels = [(before, now)]
    while min(levels[-1][0].shape[1:]) >= 2 * _COARSEST:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    found = torch.zeros_like(levels[-1][0][:2])
    for old, new in reversed(levels):
        if found.shape[1:] != new.shape[1:]:
            found = F.interpolate(2 * found[None], new.shape[1:], mode="bilinear", align_corners=False)[0]
        found = _refined(found, old, new, 0.5 if old is before else 1.0)
    return found


def _halved(image: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(image[None], 2, ceil_mode=True)[0]


def _refined(found: torch.Tensor, before: torch.Tensor, now: torch.Tensor, step: float) -> torch.Tensor:
    """Each place goes the best of nine steps, so many pixels long."""
    best, chosen = torch.full_like(now[:1], torch.inf), found
    for x, y in _STEPS:
        tried = found + step * found.new_tensor([x, y])[:, None, None]
        cost = _difference(_sample(before, tried, "bilinear"), now) + _PRICE * (x * x + y * y)
        chosen = torch.where(cost < best, tried, chosen)
        best = torch.minimum(cost, best)
    return _blocks(chosen)


def carried(image: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """A picture (3, H, W) in 0..1 of the frame before, as it has moved until now."""
    return _sample(image, found, "bicubic").clamp(0, 1)  # bilinear would blur a little more with every frame


def trust(arrived: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """(1, H, W) in 0..1: where the warped previous frame agrees with this one; 0 where occluded and after a cut."""
    return torch.exp(-((_difference(arrived, now) / _ALIKE) ** 2))


def _sample(image: torch.Tensor, found: torch.Tensor, mode: str) -> torch.Tensor:
    height, width = image.shape[1:]
    y, x = (torch.arange(side, device=image.device) + 0.5 for side in (height, width))
    grid = torch.stack(((x + found[0]) * 2 / width - 1, (y[:, None] + found[1]) * 2 / height - 1), 2)
    return F.grid_sample(image[None], grid[None], mode=mode, padding_mode="border", align_corners=False)[0]


def _difference(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(1, H, W): how much the blocks around each place of two pictures (3, H, W) differ."""
    return _blocks((one - other).abs().mean(0, keepdim=True))


def _blocks(image: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(image[None], _BLOCK, 1, _BLOCK // 2, count_include_pad=False)[0]
