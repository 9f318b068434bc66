"""Less flicker in films: where the film stands still, so does its painting ("Artistic Style Transfer for Videos",
Ruder et al., 2016, with the change of the picture in the place of its motion)."""

from typing import Any

import torch
import torch.nn.functional as F

from artcli.backends.stylize.fast import Scale, Scales, Stylizer

_CHANGE = 0.03  # of colours in 0..1 between frames, from which on a place counts as moving; noise is below
_STILL = 0.02  # mean change of places where flicker is measured
_MEMORY = 0.9  # of the film's own statistics, which change only with the scene
_CUT = 0.15  # mean change of a whole frame that is another scene


class Steady:
    """Paints the frames of a film one after another.

    strength: 0 paints every frame by itself; near 1 still places hardly change.
    """

    def __init__(self, painter: Stylizer, strength: float):
        self.painter, self.strength = painter, strength
        self.own: Scales | None = None
        self.seen: torch.Tensor | None = None  # the frame before, (3, H, W), as it was, as it was painted and as shown
        self.painted: torch.Tensor | None = None
        self.shown: torch.Tensor | None = None
        self.flickers: list[tuple[float, float]] = []

    def __call__(self, frame: torch.Tensor) -> torch.Tensor:
        """(3, H, W) in 0..1 to the same."""
        if self.seen is not None and (frame - self.seen).abs().mean() > _CUT:
            self.seen = self.painted = self.shown = self.own = None
        painted = shown = self.painter(frame, own=self._statistics(frame))
        if self.seen is not None and self.shown is not None and self.painted is not None:
            change = F.avg_pool2d((frame - self.seen).abs().amax(0, keepdim=True)[None], 5, 1, 2)[0]  # (1, H, W)
            kept = self.strength * torch.exp(-((change / _CHANGE) ** 2))
            shown = painted + kept * (self.shown - painted)
            self._measure(change < _STILL, painted - self.painted, shown - self.shown)
        self.seen, self.painted, self.shown = frame, painted, shown
        return shown

    def _statistics(self, frame: torch.Tensor) -> Scales:
        now = self.painter.scale(frame[None].to(self.painter.device))
        if self.own is not None and self.strength:
            now = {tap: _between(new, self.own[tap]) for tap, new in now.items()}
        self.own = now
        return now

    def _measure(self, still: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> None:
        if still.any():
            places = still.expand(3, -1, -1)
            self.flickers.append((float(before.abs()[places].mean()), float(after.abs()[places].mean())))

    @property
    def flicker(self) -> tuple[float, float]:
        """Mean change of still places from frame to frame, in levels of 0..255: as painted, and as shown."""
        count = max(1, len(self.flickers))
        painted, shown = (255 * sum(column) / count for column in zip(*(self.flickers or [(0.0, 0.0)]), strict=True))
        return painted, shown

    # resuming -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        names = ("own", "seen", "painted", "shown", "flickers")
        own = None if self.own is None else {tap: list(scale) for tap, scale in self.own.items()}
        return {name: getattr(self, name) for name in names} | {"own": own}

    def load(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if self.own is not None:
            self.own = {tap: Scale(*(x.to(self.painter.device) for x in scale)) for tap, scale in self.own.items()}


def _between(new: Scale, old: Scale) -> Scale:
    return Scale(*(one + _MEMORY * (other - one) for one, other in zip(new, old, strict=True)))
