"""The loss of a picture at one scale and its gradient, in one piece or in tiles."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from artcli.backends.stylize import losses, tiles
from artcli.backends.stylize.moments import Moments, Sums, moments, sums, total
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import owned
from artcli.errors import UsageError
from artcli.nn.features import FeatureNet

Terms = dict[str, torch.Tensor]


class Region(NamedTuple):
    """Where a style goes: mask (1, 1, H, W) in 0..1, None for everywhere; the wanted statistics by layer; a weight."""

    wanted: dict[str, Moments]
    mask: torch.Tensor | None = None
    weight: float = 1.0


class Weights(NamedTuple):
    """Of the means: content and style by layer, tv, histogram as a part of each style layer's."""

    content: dict[str, float]
    style: dict[str, float]
    tv: float
    histogram: float

    @staticmethod
    def of(settings: Settings, net: FeatureNet) -> "Weights":
        """With `sums_at` the settings' weights belong to sums over a square picture of that side; here they become
        those of means with the same value and gradient there."""
        style = settings.style * (len(settings.style_layers) if len(settings.style) == 1 else 1)
        whole = sum(style) if settings.normalised else 1.0
        side = settings.sums_at
        shapes = _shapes(settings, net)
        content = {tap: settings.content * (shapes[tap].numel() if side else 1) for tap in settings.content_layers}
        squares = {tap: shapes[tap][1] ** 2 if side else 1 for tap in settings.style_layers}
        return Weights(
            content,
            {tap: weight / whole * squares[tap] for tap, weight in zip(settings.style_layers, style, strict=True)},
            settings.tv * (3 * side * (side - 1) if side else 1),
            settings.histogram,
        )


def check_taps(net: FeatureNet, settings: Settings) -> None:
    """Raises UsageError when the net lacks a layer that the settings name."""
    if missing := [tap for tap in (*settings.content_layers, *settings.style_layers) if tap not in net.taps]:
        raise UsageError(f"{net.name} has no layer {missing[0]}, which the preset needs; choose another --net")


def _shapes(settings: Settings, net: FeatureNet) -> dict[str, torch.Size]:
    """Of the features of a picture of the side that sums belong to."""
    if not settings.sums_at:
        return {}
    blank = torch.zeros(1, 3, settings.sums_at, settings.sums_at, dtype=net.mean.dtype, device=net.mean.device)
    with torch.no_grad():
        return {tap: t.shape for tap, t in net(blank, {*settings.content_layers, *settings.style_layers}).items()}


class Objective:
    """photo: (1, 3, H, W) in 0..1, whose content is kept."""

    def __init__(
        self, net: FeatureNet, settings: Settings, weights: Weights, photo: torch.Tensor, regions: Sequence[Region]
    ):
        self.net, self.settings, self.weights, self.regions = net, settings, weights, regions
        self.height, self.width = photo.shape[-2:]
        self.tiles = tiles.cover(self.height, self.width, settings.tile)
        self.strides = {tap: net.stride(tap) for tap in (*weights.content, *weights.style)}
        self.wanted = [self._prepared(region) for region in regions]
        with torch.no_grad():
            self.content = [self._content_of(tile.cut(photo), tile) for tile in self.tiles]
        self.numbers = {tap: sum(each[tap].numel() for each in self.content) for tap in weights.content}

    def _prepared(self, region: Region) -> dict[str, Moments | losses.Gaussian]:
        if self.settings.measure == "gram":
            return dict(region.wanted)
        return {tap: losses.Gaussian(wanted) for tap, wanted in region.wanted.items()}

    def _content_of(self, piece: torch.Tensor, tile: tiles.Tile) -> dict[str, torch.Tensor]:
        found = self.net(piece, self.weights.content)
        return {tap: tile.own(features, self.strides[tap]).clone() for tap, features in found.items()}

    def gradient(self, image: torch.Tensor) -> tuple[Terms, torch.Tensor]:
        """The weighted terms (content, style, tv, histogram) of a picture (1, 3, H, W), and their sum's gradient."""
        if len(self.tiles) > 1:
            return self._gradient_in_tiles(image)
        seen = image.detach().requires_grad_()
        found = self._see(seen)
        terms = self._local(seen, found, 0) | self._histogram(found)
        terms["style"] = self._style(self._sums(found, self.tiles[0]))
        (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), seen)
        return {name: term.detach() for name, term in terms.items()}, gradient

    def _gradient_in_tiles(self, image: torch.Tensor) -> tuple[Terms, torch.Tensor]:
        """First compute the sums over all tiles, then backpropagate the loss through each tile's part of them.

        The loss depends on the tiles through those sums only, so this is the gradient of the whole.
        """
        pulls, style = self._slopes(image)
        terms = {"style": style}
        gradient = torch.zeros_like(image)
        for number, tile in enumerate(self.tiles):
            seen = tile.cut(image).detach().requires_grad_()
            found = self._see(seen)
            local = self._local(seen, found, number)
            parts = [part for each in self._sums(found, tile) for part in each[:2]]
            pulled = torch.stack([(pull * part).sum() for pull, part in zip(pulls, parts, strict=True)])
            (own,) = torch.autograd.grad(torch.stack(list(local.values())).sum() + pulled.sum(), seen)
            tile.cut(gradient).add_(own)
            terms |= {name: terms.get(name, 0) + term.detach() for name, term in local.items()}
        return terms, gradient

    def _slopes(self, image: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Of the style term to the sums over all tiles, and the term."""
        with torch.no_grad():
            parts = [self._sums(self._see(tile.cut(image)), tile) for tile in self.tiles]
            added = [total(column) for column in zip(*parts, strict=True)]
        leaves = [s._replace(first=s.first.requires_grad_(), products=s.products.requires_grad_()) for s in added]
        style = self._style(leaves)
        # Gram matrices do not depend on the means
        slopes = [part for each in leaves for part in each[:2]]
        pulls = torch.autograd.grad(style, slopes, allow_unused=True, materialize_grads=True)
        return pulls, style.detach()

    def _see(self, piece: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.net(piece, self.strides)

    def _local(self, piece: torch.Tensor, found: dict[str, torch.Tensor], number: int) -> Terms:
        """The terms that are sums over places, a tile's part of them."""
        tile, kept = self.tiles[number], self.content[number]
        errors = [
            weight / self.numbers[tap] * (tile.own(found[tap], self.strides[tap]) - kept[tap]).square().sum()
            for tap, weight in self.weights.content.items()
        ]
        window = tile.window(piece)
        edges = tile.rows.start == 0, tile.columns.start == 0
        rough = losses.smoothness(window, self.height, self.width, self.settings.smooth_diagonals, edges)
        return {"content": torch.stack(errors).sum(), "tv": self.weights.tv * rough}

    def _sums(self, found: dict[str, torch.Tensor], tile: tiles.Tile) -> list[Sums]:
        """Of every region and style layer."""
        return [
            sums(
                *owned(tile, found[tap], None if region.mask is None else region.mask.to(piece), self.strides[tap]),
                slopes_in=self.net.dtype,
            )
            for region in self.regions
            for tap, piece in ((tap, found[tap]) for tap in self.weights.style)
        ]

    def _style(self, found: Sequence[Sums]) -> torch.Tensor:
        """The style term, a mean over the regions by their weights."""
        whole = sum(region.weight for region in self.regions)
        pairs = iter(found)
        terms = []
        for region, wanted in zip(self.regions, self.wanted, strict=True):
            for tap, weight in self.weights.style.items():
                terms.append(weight * region.weight / whole * _apart(moments(next(pairs)), wanted[tap]))
        return torch.stack(terms).sum()

    def _histogram(self, found: dict[str, torch.Tensor]) -> Terms:
        if not self.weights.histogram:
            return {}
        wanted = self.regions[0].wanted
        terms = [
            self.weights.histogram * weight * losses.histogram(found[tap], wanted[tap].levels)  # type: ignore[arg-type]
            for tap, weight in self.weights.style.items()
        ]
        return {"histogram": torch.stack(terms).sum()}


def _apart(found: Moments, wanted: Moments | losses.Gaussian) -> torch.Tensor:
    return wanted.distance(found) if isinstance(wanted, losses.Gaussian) else losses.gram(found, wanted)
