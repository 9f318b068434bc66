"""The pictures whose style is taken, and their statistics at every scale."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from artcli.backends.stylize import losses, tiles
from artcli.backends.stylize.moments import Moments, Sums, moments, sums, total
from artcli.backends.stylize.schedule import fit
from artcli.backends.stylize.settings import Settings
from artcli.nn.features import FeatureNet


@dataclass(frozen=True)
class Style:
    """picture: (3, H, W) in 0..1.  weight: above 0.  mask: (1, H, W) in 0..1, how much each place counts, or None."""

    picture: torch.Tensor
    weight: float = 1.0
    mask: torch.Tensor | None = None


@dataclass
class Styles:
    """Several of them; the statistics of a scale are computed when they are first wanted, and kept."""

    styles: Sequence[Style]
    net: FeatureNet
    settings: Settings
    _known: dict[int, list[dict[str, Moments]]] = field(default_factory=dict)

    def at(self, side: int) -> list[dict[str, Moments]]:
        """By layer, of every style, for a picture whose longer side is `side`."""
        if side not in self._known:
            self._known[side] = [self._measure(style, side) for style in self.styles]
        return self._known[side]

    @property
    def weights(self) -> list[float]:
        return [style.weight for style in self.styles]

    def _measure(self, style: Style, side: int) -> dict[str, Moments]:
        size = fit(style.picture.shape[1:], max(32, round(side * self.settings.style_scale)))  # type: ignore[arg-type]
        device = self.net.mean.device
        picture = resize(style.picture[None].to(device), size)
        mask = None if style.mask is None else resize(style.mask[None].to(device), size)
        return measure(picture, self.net, self.settings, mask)


@torch.no_grad()
def measure(
    picture: torch.Tensor, net: FeatureNet, settings: Settings, mask: torch.Tensor | None = None
) -> dict[str, Moments]:
    """The statistics of a picture (1, 3, H, W), or of where its mask (1, 1, H, W) is not 0, by style layer."""
    pieces = tiles.cover(picture.shape[2], picture.shape[3], settings.tile)
    strides = {tap: net.stride(tap) for tap in settings.style_layers}
    parts: dict[str, list[Sums]] = {tap: [] for tap in strides}
    last: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for tile in pieces:
        found = net(tile.cut(picture), settings.style_layers)
        for tap, stride in strides.items():
            own, places = owned(tile, found[tap], mask, stride)
            parts[tap].append(sums(own, places))
            last[tap] = own, places
    known = {tap: moments(total(each)) for tap, each in parts.items()}
    if not settings.histogram:
        return known
    return {tap: each._replace(levels=losses.levels(*last[tap])) for tap, each in known.items()}


def owned(
    tile: tiles.Tile, features: torch.Tensor, mask: torch.Tensor | None, stride: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A tile's own features and how much each of them counts."""
    own = tile.own(features, stride)
    if mask is None:
        return own, None
    return own, tile.own(F.interpolate(tile.cut(mask), features.shape[-2:], mode="area"), stride)


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(1, C, H, W) in 0..1 to (height, width), without aliases."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
