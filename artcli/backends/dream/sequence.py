"""Pictures drawn one after another, each starting from the one before."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from artcli.backends.dream import rivals
from artcli.backends.dream.begin import begin as begin_dream
from artcli.backends.dream.begin import enlarged, sketching
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.optimise import dream
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.settings import Settings
from artcli.backends.dream.story import MELT, Story
from artcli.backends.frame import Frame
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip

KEPT = 0.2  # of a scene's picture, when it has turned into the next one's sketch
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
    # Each picture is drawn over the one before it: calmed again and again, they would blur.
    settings = replace(settings, shifts=1)
    first = settings.steps + (0 if prior is None else prior.how.steps)
    total = first + frames
    starts = state is None or "start" in state
    drawn = None
    if prior is not None and (starts or len(story) > 1):  # once: later scenes are drawn over the sketch that is shown
        done = 0 if state is None else state["step"]
        drawn = yield from sketching(story.at(0.0), clip, settings, prior, seed, canvas, done)
    if starts:
        begun = None if state is None else state["start"]
        how: dict[str, Any] = {"seed": seed, "canvas": canvas, "vqgan": vqgan, "prior": prior, "state": begun}
        for frame in begin_dream(story.at(0.0), clip, settings, drawn=drawn, **how):
            yield frame._replace(total=total, state=partial(_state_of_the_start, frame, first))
        image, done = frame.image(), 0
    else:
        assert state is not None
        image, done = state["image"].to(clip.device), frames_done(state, first)
    renew = _renewal(story, clip, settings, prior, drawn and drawn[0][-1], seed, frames)
    for number in range(done, frames):
        part = number / max(1, frames - 1)
        start, short = begin(renew(image, part))
        targets = story.at(part)
        *_, frame = dream(targets, clip, replace(short, shifts=1), seed=_seed(seed, number), canvas=start, vqgan=vqgan)
        image = frame.image()
        step = first + number + 1
        yield Frame(step, total, partial(_as_is, image), frame.metrics, partial(_as_is, {"step": step, "image": image}))


def _renewal(
    story: Story,
    clip: Clip,
    settings: Settings,
    prior: Prior | None,
    first: torch.Tensor | None,
    seed: int,
    frames: int,
) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """Where a scene melts into the next, every frame's picture takes on a little of the next one's sketch.

    first: the first scene's sketch, (3, h, w).
    """
    if prior is None or first is None or len(story) == 1:
        return lambda image, part: image
    others = rivals.embed(clip, story.embeddings())
    later = [enlarged(each, settings) for each in prior.renewed(first, seed, others)]
    share = 1 - KEPT ** (len(story) / (MELT * frames))

    def renew(image: torch.Tensor, part: float) -> torch.Tensor:
        scene, turned = story.place(part)
        return image.lerp(later[scene].to(image.device), min(share, 1 - KEPT)) if turned else image

    return renew


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
