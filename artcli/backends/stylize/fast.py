"""Style in one pass through a trained decoder (Huang and Belongie, 2017; trained by `artgen train adain`)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from artcli.backends.stylize import tiles
from artcli.backends.stylize.moments import Moments, moments, sums, total
from artcli.backends.stylize.schedule import fit
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import Style, owned, resize
from artcli.nn.adain import Features, factor
from artcli.nn.precision import full
from artcli.pretrained.adain import Stylist

_STRIDE = 8  # pixels of the deepest feature


class Scale(NamedTuple):
    """Means and deviations of features, each (1, C, 1, 1)."""

    mean: torch.Tensor
    deviation: torch.Tensor


Scales = dict[str, Scale]  # by layer


class Stylizer:
    """Stylizes pictures in one pass; the statistics of the styles are computed once."""

    def __init__(self, stylist: Stylist, styles: Sequence[Style], settings: Settings):
        self.stylist, self.settings = stylist, settings
        self.device = next(stylist.parameters()).device
        self.weights = [style.weight for style in styles]
        self.wanted = [self._of_style(style) for style in styles]

    def _of_style(self, style: Style) -> Scales:
        side = max(32, round(self.settings.size * self.settings.style_scale))
        size = fit((style.picture.shape[1], style.picture.shape[2]), side)
        mask = None if style.mask is None else resize(style.mask[None].to(self.device), size)
        return self.scale(resize(style.picture[None].to(self.device), size), mask)

    @torch.no_grad()
    def scale(
        self, picture: torch.Tensor, mask: torch.Tensor | None = None, features: Features | None = None
    ) -> Scales:
        """The statistics of (1, 3, H, W), or of where a mask (1, 1, H, W) is not 0.

        features: of the whole picture, where they are known and it is one tile.
        """
        parts, taps = [], self.stylist.decoder.taps
        for tile in tiles.cover(picture.shape[2], picture.shape[3], self.settings.tile):
            found = features or self.stylist.encode(tile.cut(picture))
            parts.append([sums(*owned(tile, found[tap], mask, self.stylist.encoder.stride(tap))) for tap in taps])
        return {tap: _scale(moments(total(column))) for tap, column in zip(taps, zip(*parts, strict=True), strict=True)}

    @torch.no_grad()
    def __call__(
        self, photo: torch.Tensor, masks: Sequence[torch.Tensor] = (), own: Scales | None = None
    ) -> torch.Tensor:
        """(3, H, W) in 0..1 to the same, on the CPU.

        masks: (1, H, W) in 0..1, where each style goes when there are several.  own: the photo's statistics, where
        they are known.
        """
        height, width = photo.shape[1:]
        whole = _padded(photo[None].to(self.device))
        places = [_padded(mask[None].to(self.device)) for mask in masks] if len(masks) > 1 else []
        pieces = tiles.cover(whole.shape[2], whole.shape[3], self.settings.tile)
        features = self.stylist.encode(whole) if len(pieces) == 1 else {}  # seen once for both its uses
        own = own or self.scale(whole, features=features)
        drawn = torch.empty(whole.shape)
        for tile in pieces:
            found = features or self.stylist.encode(tile.cut(whole))
            target = self._targets(found, own, [tile.cut(place) for place in places])
            rows, columns = tile.rows, tile.columns
            result = tile.own(full(self.stylist.decoder(target)))
            drawn[..., rows.start : rows.end, columns.start : columns.end] = result.cpu()
        return drawn[0, :, :height, :width].clamp(0, 1)

    def _targets(self, features: Features, own: Scales, places: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Features with the statistics of the styles in the place of their own, as far as the strength says."""
        targets = {}
        for tap, found in features.items():
            target = self._target(found, own[tap], places, [wanted[tap] for wanted in self.wanted])
            targets[tap] = found + self.settings.strength * (target - found)
        return targets

    def _target(
        self, found: torch.Tensor, own: Scale, places: Sequence[torch.Tensor], styles: Sequence[Scale]
    ) -> torch.Tensor:
        """Features get the means and deviations of the styles: a mixture, or one style in each place."""
        if not places:
            parts = [
                torch.full((1, 1, 1, 1), weight / sum(self.weights), device=found.device) for weight in self.weights
            ]
        else:
            soft = [
                weight * F.interpolate(place, found.shape[-2:], mode="area") + 1e-6
                for weight, place in zip(self.weights, places, strict=True)
            ]
            parts = [part / torch.stack(soft).sum(0) for part in soft]
        pairs = list(zip(parts, styles, strict=True))
        mean = torch.stack([part * wanted.mean for part, wanted in pairs]).sum(0)
        deviation = torch.stack([part * wanted.deviation for part, wanted in pairs]).sum(0)
        return (found - own.mean) * factor(own.deviation, deviation, self.stylist.gain) + mean


def _scale(found: Moments) -> Scale:
    spread = (found.second.diagonal() - found.mean.square()).clamp_min(0)
    return Scale(found.mean.view(1, -1, 1, 1), (spread + 1e-5).sqrt().view(1, -1, 1, 1))


def _padded(image: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) to sides that the decoder can reach, at least 32, by repeating the edge."""
    height, width = (max(32, -(-side // _STRIDE) * _STRIDE) for side in image.shape[-2:])
    return F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]), mode="replicate")
