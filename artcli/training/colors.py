"""Colour words from pixels: what makes "red car" and "blue car" two different lessons."""

import math

import torch

# The eleven basic colour terms (Berlin and Kay, 1969)
COLORS = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")

# Upper hue bounds in degrees and the colour word below each; hue wraps round to red.
_HUES = ((14, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (262, "blue"), (312, "purple"), (344, "pink"))

# Of whole pictures: the middle hue of a word in degrees; lightness where the word says more than the hue.
_MIDDLES = {
    "red": 0, "orange": 28, "yellow": 55, "green": 115, "blue": 225, "purple": 285, "pink": 330, "brown": 25,
}  # fmt: skip
_LIGHT = {"pink": 0.75, "brown": 0.25}
_GREYS = {"black": 0.0, "gray": 0.5, "white": 1.0}


def hsv(rgb: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in 0..1 to hue in degrees 0..360, saturation and value in 0..1, stacked the same way."""
    value, which = rgb.max(1)
    spread = value - rgb.min(1).values
    safe = spread.clamp_min(1e-6)
    r, g, b = rgb.unbind(1)
    sixths = torch.where(
        which == 0, (g - b) / safe % 6, torch.where(which == 1, (b - r) / safe + 2, (r - g) / safe + 4)
    )
    hue = torch.where(spread > 1e-6, sixths * 60, 0.0)
    return torch.stack((hue, spread / value.clamp_min(1e-6), value), 1)


def content(rgb: torch.Tensor) -> torch.Tensor:
    """Sine and cosine of the mean hue, mean saturation and mean lightness of pictures (B, 3, H, W) in 0..1, (B, 4).

    Pixels weigh by how colourful they are in the mean hue: both are 0 for a grey picture, and small for a motley one.
    """
    hue, saturation, value = hsv(rgb).flatten(2).unbind(1)
    chroma, angle = saturation * value, torch.deg2rad(hue)
    whole = chroma.sum(1).clamp_min(1e-6)
    means = [(chroma * each).sum(1) / whole for each in (angle.sin(), angle.cos())]
    return torch.stack([*means, saturation.mean(1), (value - chroma / 2).mean(1)], 1)


def wanted(word: str) -> dict[str, float]:
    """What `content` is about of pictures of this colour, a word of COLORS, as far as the word says it."""
    if word in _GREYS:
        return {"saturation": 0.0, "lightness": _GREYS[word]}
    hue = math.radians(_MIDDLES[word])
    said = {"hue_sine": math.sin(hue), "hue_cosine": math.cos(hue), "saturation": 1.0}
    return said | ({"lightness": _LIGHT[word]} if word in _LIGHT else {})


def name_pixels(rgb: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in 0..1 to the index into COLORS of every pixel's colour word, (B, H, W)."""
    hue, saturation, value = hsv(rgb).unbind(1)
    bounds = torch.tensor([bound for bound, _ in _HUES], dtype=hue.dtype, device=hue.device)
    words = torch.tensor([COLORS.index(word) for _, word in _HUES] + [COLORS.index("red")], device=hue.device)
    name = words[torch.bucketize(hue.contiguous(), bounds)]

    def rename(mask: torch.Tensor, word: str) -> None:
        name[mask] = COLORS.index(word)

    warm = (hue < 50) | (hue > 344)
    rename(warm & (hue > 10) & (hue < 50) & (value < 0.62), "brown")
    rename(((hue > 330) | (hue < 12)) & (saturation < 0.55) & (value > 0.75), "pink")
    rename((saturation < 0.18) & (value >= 0.2), "gray")
    rename((saturation < 0.15) & (value > 0.82), "white")
    rename(value < 0.2, "black")
    return name


def dominant_color(rgb: torch.Tensor, threshold: float = 0.4) -> torch.Tensor:
    """The colour word of each picture's middle, as an index into COLORS, or -1 where none leads.

    rgb: (B, 3, H, W) in 0..1.  Pixels weigh by a Gaussian around the centre, greys by half: the subject is
    rather in the middle, and people name the chromatic colour.
    """
    names = name_pixels(rgb)
    height, width = names.shape[1:]
    y = torch.linspace(-1, 1, height, device=rgb.device)
    x = torch.linspace(-1, 1, width, device=rgb.device)
    weight = torch.exp(-(y[:, None] ** 2 + x[None] ** 2) / 0.5)
    counts = torch.zeros(len(names), len(COLORS), device=rgb.device)
    counts.scatter_add_(1, names.flatten(1), weight.flatten().expand(len(names), -1).contiguous())
    for grey in ("black", "white", "gray"):
        counts[:, COLORS.index(grey)] *= 0.5
    share, best = (counts / counts.sum(1, keepdim=True).clamp_min(1e-6)).max(1)
    return torch.where(share > threshold, best, -1)
