"""A dream from its first step: with a prior, the prior draws a sketch first, and the optimisation starts from it."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from artcli.backends.dream import fft, rivals
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.optimise import dream
from artcli.backends.dream.prior import Prior
from artcli.backends.dream.settings import Settings
from artcli.backends.dream.steer import Target
from artcli.backends.dream.story import Story
from artcli.backends.frame import Frame
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip

LEFT = 0.01  # of the pull to the sketch, when the run is over


def begin(
    targets: Sequence[Target] | Story,
    clip: Clip,
    settings: Settings,
    *,
    seed: int = 0,
    canvas: Canvas | None = None,
    vqgan: VQGAN | None = None,
    prior: Prior | None = None,
    state: Mapping[str, Any] | None = None,
    drawn: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None,
) -> Iterator[Frame]:
    """As `dream`, but starting from a picture that the prior draws first; its solver's steps count too.

    What the prior has so far comes as drafts.  drawn: what `sketching` returns for the same arguments, where it is
    there already.
    """
    how: dict[str, Any] = {"seed": seed, "vqgan": vqgan}
    if prior is None:
        yield from dream(targets, clip, settings, canvas=canvas, state=state, **how)
        return
    ahead, done = prior.how.steps, 0 if state is None else state["step"]
    sketches, later = drawn or (yield from sketching(targets, clip, settings, prior, seed, canvas, done))
    for step in range(done + 1, ahead + 1):
        shown = partial(_shown, sketches[step - 1], settings, canvas)
        yield Frame(step, ahead + settings.steps, shown, {}, partial(dict, step=step))
    start, *others = (enlarged(each, settings) for each in (sketches[-1], *later))
    photo, mask = (start, None) if canvas is None else (canvas.photo, canvas.mask)
    begun = Canvas(photo, mask, sketch=start, later=tuple(others))
    inner = None if done <= ahead else state["drawn"]  # type: ignore[index]
    for frame in dream(targets, clip, after_sketch(settings, 1 + len(later)), canvas=begun, state=inner, **how):
        step = ahead + frame.step
        yield frame._replace(step=step, total=ahead + settings.steps, state=partial(_state, step, frame))


def after_sketch(settings: Settings, scenes: int = 1) -> Settings:
    """The loop's settings after a sketch: a pull to it that fades over a scene, unless the user set an init weight."""
    if settings.init_weight:
        return settings
    return replace(settings, init_weight=settings.hold, init_decay=LEFT ** (scenes / settings.steps))


def sketching(
    targets: Sequence[Target] | Story,
    clip: Clip,
    settings: Settings,
    prior: Prior,
    seed: int,
    canvas: Canvas | None,
    done: int = 0,
) -> Generator[Frame, None, tuple[list[torch.Tensor], list[torch.Tensor]]]:
    """Yields drafts; returns the first scene's sketch as it came about, and those of later scenes, (3, h, w) each.

    done: steps behind a run that goes on.
    """
    story = targets if isinstance(targets, Story) else Story([targets])
    others = rivals.embed(clip, story.embeddings())
    photo, total = None if canvas is None else canvas.photo, prior.how.steps + settings.steps
    steps = []
    for candidates in prior.candidates(seed, settings.height, settings.width, others, photo):
        steps.append(candidates)
        yield Frame(done, total, partial(_shown, candidates[0], settings, canvas), {}, dict, draft=True)
    first = prior.best(steps, others)
    return first, prior.renewed(first[-1], seed, others) if len(story) > 1 else []


def enlarged(sketch: torch.Tensor, settings: Settings) -> torch.Tensor:
    """(3, h, w) at the size of the picture."""
    return fft.resize(sketch[None], settings.height, settings.width)[0]


def _shown(sketch: torch.Tensor, settings: Settings, canvas: Canvas | None) -> torch.Tensor:
    picture = enlarged(sketch, settings)
    return picture if canvas is None else canvas.compose(picture[None])[0]


def _state(step: int, frame: Frame) -> dict[str, Any]:
    return {"step": step, "drawn": frame.state()}


def try_seed(
    targets: Sequence[Target] | Story,
    clip: Clip,
    settings: Settings,
    seed: int,
    canvas: Canvas | None,
    vqgan: VQGAN | None = None,
    prior: Prior | None = None,
) -> float:
    """How well a seed does: CLIP's similarity to the first prompt over the last steps of a short trial run."""
    frames = begin(targets, clip, settings.tried, seed=seed, canvas=canvas, vqgan=vqgan, prior=prior)
    found = [frame.metrics["similarity"] for frame in frames if frame.metrics]
    return sum(found[-5:]) / len(found[-5:])
