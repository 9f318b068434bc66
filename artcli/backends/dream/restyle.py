"""A film drawn anew, frame by frame ("Artistic Style Transfer for Videos", Ruder et al., 2016, for what moves).

Every frame starts from the film's frame, blended with the previous result warped along the motion.  So still areas
stay, moving areas take their drawing along, and newly visible areas are drawn from the film.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from artcli.backends import motion
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.codes import CodeImage
from artcli.backends.dream.fft import FFTImage
from artcli.backends.dream.sequence import frames_done, sequence
from artcli.backends.dream.settings import Redrawing, Settings
from artcli.backends.dream.story import Story
from artcli.backends.flicker import Flicker
from artcli.backends.frame import Frame
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip

_GENTLE = 0.5  # of the usual learning rate: drawings add up over frames, and long steps would flicker
_CUT = 0.5  # mean trust in the frame before, below which another scene has begun


def restyle(
    story: Story,
    clip: Clip,
    settings: Settings,
    pace: Redrawing,
    film: Iterable[torch.Tensor],
    frames: int,
    *,
    seed: int = 0,
    vqgan: VQGAN | None = None,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """The first frame in settings.steps steps, then `frames` - 1 more, a step each; otherwise as `sequence`.

    film: at least `frames` pictures, (3, H, W) in 0..1 of the size that is drawn, taken one at a time.
    """
    if settings.lr is None:
        settings = replace(settings, lr=_GENTLE * (FFTImage if vqgan is None else CodeImage).rate)
    source = _Source(film, settings, pace, clip.device, frames_done(state, settings.steps))
    how: dict[str, Any] = {"seed": seed, "canvas": Canvas(source.now), "vqgan": vqgan, "state": state}
    flicker = Flicker()
    if state is not None and "image" in state:
        flicker = Flicker(state["flicker"], (source.now, state["image"].to(clip.device)))
    for frame in sequence(story, clip, settings, source.begin, frames - 1, **how):
        if frame.step >= settings.steps:
            flicker.see(source.now, frame.image())
        metrics = {**frame.metrics, "flicker": flicker.ratio()}
        yield frame._replace(metrics=metrics, state=partial(_state, frame, flicker.changes))


def _state(frame: Frame, changes: tuple[float, float]) -> dict[str, Any]:
    return {**frame.state(), "flicker": changes}


class _Source:
    """The film, and its frame `now` that is being drawn; the first `done` are behind it."""

    def __init__(
        self, film: Iterable[torch.Tensor], settings: Settings, pace: Redrawing, device: torch.device, done: int
    ) -> None:
        self.film, self.settings, self.pace, self.device = iter(film), settings, pace, device
        self.now = self._next()
        for _ in range(done):
            self.now = self._next()

    def _next(self) -> torch.Tensor:
        return next(self.film).to(self.device)

    def begin(self, image: torch.Tensor) -> tuple[Canvas, Settings]:
        """Where the next frame starts, after `image`, and how it is drawn: a new scene as the first frame of all."""
        before, self.now = self.now, self._next()
        found = motion.flow(before, self.now)
        trust = motion.trust(motion.carried(before, found), self.now)
        kept = self.now.lerp(motion.carried(image, found), trust)
        short = replace(self.settings, steps=self.pace.steps)
        return Canvas(self.now, before=kept, steady=self.pace.steady), self.settings if trust.mean() < _CUT else short
