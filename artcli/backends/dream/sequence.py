"""Pictures drawn one after another, each starting from the one before."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch

from artcli.backends.dream.begin import begin as begin_dream
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.optimise import dream
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.settings import Settings
from artcli.backends.dream.story import Story
from artcli.backends.frame import Frame
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip

Begin = Callable[[torch.Tensor], tuple[Canvas, Settings]]


def sequence(
    story: Story,
    clip: Clip,
    settings: Settings,
    begin: Begin,
    frames: int,
    *,
    seed: int = 0,
    canvas: Canvas | None = None,
    vqgan: VQGAN | None = None,
    prior: Prior | None = None,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """The first picture as `begin_dream` draws it, then `frames` pictures more, a step each.

    begin: called once for each of these with the picture before it, (3, H, W); what it starts from, and how it is
    drawn.  The story's scenes are spread over them; the first picture is of the first one.  Otherwise as `dream`.
    """
    first = settings.steps + (0 if prior is None else prior.how.steps)
    total = first + frames
    if state is None or "start" in state:
        begun = None if state is None else state["start"]
        how: dict[str, Any] = {"seed": seed, "canvas": canvas, "vqgan": vqgan, "prior": prior, "state": begun}
        for frame in begin_dream(story.at(0.0), clip, settings, **how):
            yield frame._replace(total=total, state=partial(_state_of_the_start, frame, first))
        image, done = frame.image(), 0
    else:
        image, done = state["image"].to(clip.device), frames_done(state, first)
    for number in range(done, frames):
        start, short = begin(image)
        targets = story.at(number / max(1, frames - 1))
        *_, frame = dream(targets, clip, short, seed=_seed(seed, number), canvas=start, vqgan=vqgan)
        image = frame.image()
        step = first + number + 1
        yield Frame(step, total, partial(_as_is, image), frame.metrics, partial(_as_is, {"step": step, "image": image}))


def frames_done(state: Mapping[str, Any] | None, first: int) -> int:
    """How many pictures a saved state has behind the first one, which took `first` steps."""
    return 0 if state is None else max(0, state["step"] - first)


def _state_of_the_start(frame: Frame, steps: int) -> dict[str, Any]:
    """The state between two pictures: only the picture."""
    return {"step": frame.step} | ({"start": frame.state()} if frame.step < steps else {"image": frame.image()})


def _as_is(value: Any) -> Any:
    return value


def _seed(seed: int, number: int) -> int:
    """Of a frame: far from those of other pictures' runs."""
    return (seed + 1) * 2_000_003 + number
