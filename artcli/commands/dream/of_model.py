"""What `artgen dream --drawer diffusers --model MODEL` takes of the options, and what it refuses."""

import math
from typing import TYPE_CHECKING, Any

import typer

from artcli.backends.dream import prompts as prompt_syntax
from artcli.backends.dream.settings import Denoising
from artcli.commands.shared import options
from artcli.errors import UsageError

if TYPE_CHECKING:
    from artcli.commands.dream.options import Options

_IDLE = (  # what only an optimizer, or its sketch, has a use for
    "preset", "start", "prior", "candidates", "vqgan", "optimizer", "lr", "cutouts", "cut_power", "augment", "loss",
    "init_weight", "init_decay", "tileable", "low_res", "low_part", "chunk", "zoom", "pan", "rotate", "frame_steps",
    "steady", "best_of", "story", "image_prompt", "noise_prompt",
)  # fmt: skip


def denoising(ctx: typer.Context, asked: "Options") -> Denoising | None:
    """How --model draws.  Raises UsageError: what it is given does not go with it, or it is not there."""
    if asked.drawer != "diffusers":
        if given := options.on_the_line(ctx, "model", "negative"):
            raise UsageError(f"{given} goes with --drawer diffusers")
        return None
    _check(ctx, asked)
    assert asked.model is not None
    from artcli.pretrained import pipelines

    usual, sketching = pipelines.usual(asked.model, asked.folders), asked.sketching
    usual_strength = 1.0 if asked.mask is not None else sketching.strength
    strength = sketching.strength if options.chosen(ctx, "prior_strength") else usual_strength
    return Denoising(
        asked.model,
        asked.steps or usual.steps,
        sketching.guidance if options.chosen(ctx, "guidance") else usual.guidance,
        ", ".join(asked.negative),
        sketching.clip_guidance if options.chosen(ctx, "clip_guidance") else 0.0,
        strength if asked.init is not None else 1.0,
    )


def _check(ctx: typer.Context, asked: "Options") -> None:
    if asked.model is None:
        raise UsageError("--drawer diffusers needs --model: a folder, or a name on the hub (stabilityai/sd-turbo)")
    idle = _IDLE if options.chosen(ctx, "clip_guidance") else (*_IDLE, "clip")
    if given := options.on_the_line(ctx, *idle):
        alone = given == "--clip"
        raise UsageError("--clip goes with --clip-guidance" if alone else f"--drawer diffusers goes without {given}")
    if asked.image_prompt or asked.noise_prompt or asked.moving:  # of a recipe
        raise UsageError("--drawer diffusers draws one picture from words, without image prompts, noise and cameras")
    if options.on_the_line(ctx, "prior_strength") and asked.init is None:
        raise UsageError("--prior-strength says how much of --init is drawn anew: add --init")


def check_words(lines: list[str], how: Denoising) -> None:
    """Raises UsageError: a model cannot draw them."""
    for line in lines:
        first, *later = prompt_syntax.parse_story(line)
        if later:
            raise UsageError(f"'{line}' has scenes, which --drawer diffusers does not draw; leave out the '^'")
        if any(prompt.stop != -math.inf for prompt in first):
            raise UsageError(f"'{line}': where a prompt stops pulling goes without --drawer diffusers")
        if how.guidance <= 1 and (len(first) > 1 or first[0].weight != 1 or how.negative):
            raise UsageError(
                f"without guidance (--guidance {how.guidance:g}) a model draws one text, without weights and "
                "--negative; --guidance 2 or more weighs texts"
            )


def settled(asked: "Options", how: Denoising) -> dict[str, Any]:
    """For the record: what was asked, or suits the model."""
    return {
        "steps": how.steps, "guidance": how.guidance, "clip_guidance": how.clip_guidance,
        "prior_strength": None if asked.init is None else how.strength,
    }  # fmt: skip
