"""Calls of the verbs with generated options, for the test that their records make the same bytes again.

Small models and pictures; each option is a choice of what a user may give it.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from artcli.commands.shared import call, recipe, verb
from artcli.errors import ArtgenError
from artcli.media import images
from tests import lines
from tests.conftest import photograph

USED = {"sample": 0.08}  # of the options, how many are tried in a call: many are not for the model that is drawn
USED_ELSE = 0.3
MOVING = 0.25  # of the calls that are to make a film
STILL, FILM = (".png", ".jpg", ".webp", ".tif"), (".mp4", ".gif", ".webm")

# By verb and option.  A tuple is a choice of values, True a flag.
_UPSCALING = {"upscale": (2, 4)}
_DREAM = {
    "size": ("48", "64x40", "33x47"), "steps": (2, 3), "init": ("photo.png", "clear.png"), "mask": ("mask.png",),
    "image_prompt": ("photo.png", "photo.png:-0.3"), "noise_prompt": ("7", "3:0.5"),
    "start": ("prior", "sketch", "codes", "range", "noise", "gradient"), "prior": ("none", "{prior}"),
    "candidates": (1, 2), "guidance": (0, 2.5), "clip_guidance": (0, 0.5), "prior_strength": (0.1, 0.6),
    "drawer": ("fft", "vqgan"), "optimizer": ("adam", "adamw", "radam"), "lr": (0.02, 0.2), "cutouts": (3, 5),
    "cut_power": (0.5, 2), "augment": ("none", "flip", "jitter,perspective,noise"),
    "loss": ("contrast", "spherical", "cosine"), "init_weight": (0, 300), "init_decay": (0.5, 0.98), "tileable": True,
    "low_res": (0, 32), "low_part": (0, 0.5), "chunk": (2, 64), "shifts": (1, 3), "feather": (0, 3), "zoom": (1.1, 0.9),
    "pan": ("2,-1",), "rotate": (5,), "frame_steps": (1, 2), "steady": (0, 0.5), "fps": (4,), "duration": (1,),
    "stylize": ("style.png",), "paint": True, "upscale_first": True, **_UPSCALING,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "dream": _DREAM,
    "paint": {
        "size": (20, 60), "strokes": (1, 40), "detail": (0.5, 2), "mode": ("fast", "quality"), "layers": (1, 2),
        "min_stroke": (4,), "opacity": (0.4,), "brush": ("round", "bristle", "dry", "classic", "mask.png"),
        "palette": ("3", "colours.txt"), "background": ("white", "transparent", "average", "#123456"),
        "detail_mask": ("mask.png",), "duration": (0.5,), "fps": (5,), "pace": ("change", "strokes"), "lines": True,
    },
    "stylize": {
        "style": ("photo.png", "photo.png:0.5"), "preset": ("slim", "modern"), "size": (32, 48), "steps": (1, 3),
        "keep_color": ("luminance", "coral"), "fast": True, "mask": ("mask.png",), "style_mask": ("mask.png",),
        "content_weight": (0, 2.5), "style_weights": ("1,2,3,4,5",), "tv": (0, 0.1), "optimizer": ("adam", "lbfgs"),
        "lr": (0.02,), "steady": (0, 0.5), "fps": (5,), "duration": (0.5,), "strength": (0, 0.4),
        "init": ("content", "gray", "noise", "style"), "style_scale": (0.5, 2), "histogram": (0.5,),
        "pooling": ("max", "average", "l2"), "tile": (128,), **_UPSCALING,
    },
    "cyclegan": {
        "direction": ("AtoB",), "strength": (0, 0.5), "detail": (0, 0.8), "size": (32, 40), "keep_color": True,
        "tile": (128,), "evaluated": True, "no_dropout": True, "dropout_seed": (3,), **_UPSCALING,
    },
    "sample": {
        "count": (1, 5), "columns": (2, 3), "size": ("32",), "classes": ("cats", "all"), "prompts": ("red car",),
        "truncation": (0.5, 1.5), "separate": True, "temperature": (0.5,), "top_k": (3,), "top_p": (0.7,),
        "reconstruct": ("photo.png",), "complete": ("photo.png",), "keep": ("left:0.5",), "interpolate": True,
        "between": ("photo.png",), "loop": True, "walk": True, "sweep": (1, 2), "mix": ("coarse", "fine"),
        "neighbours": True, "negative": ("blue",), "guidance": (0, 3), "fps": (5,), "duration": (0.5,), **_UPSCALING,
    },
}  # fmt: skip
# What every call is given, or what has no choice in small.
GIVEN = {
    "dream": {"prompt", "clip", "vqgan", "preset", "upscaler", "model", "negative"},  # see test_dream_diffusers.py
    "paint": {"inputs", "model"},
    "stylize": {"inputs", "model", "net", "upscaler"},
    "cyclegan": {"inputs", "model", "upscaler"},
    # What these need is more than a run: other runs, pictures to compare with, weights of a network, facts that the run
    # was told, files of directions.
    "sample": {
        "run",
        "checkpoint",
        "upscaler",
        "compare",
        "rate",
        "score",
        "inception",
        "where",
        "color",
        "direction",
        "direction_out",
        "project",
        "steps",
    },
}
PROMPTS = ("red car", "a barn | blue:-0.4", "a house ^ a tree", "schöner Garten:2", '"quoted" \\ words')
RUNS = ("gan", "vae", "stylegan", "vqvae", "diffusion")


def shaping(name: str) -> set[str]:
    """The parameters of a verb that its record keeps."""
    parameters = verb.command(name, call.request_of(name).kind).params
    return {found.name for found in parameters} - recipe._NOT_RECORDED - {"help"}


def furnish() -> None:
    """What the calls name, in the current folder."""
    photograph(Path("photo.png"), (40, 30))
    photograph(Path("clear.png"), (40, 30), alpha=True)
    photograph(Path("style.png"), (36, 44))
    Path("colours.txt").write_text("#ff2040\n#10a0b0\n#f0f0e0\n")
    mask = np.zeros((30, 40, 3), np.uint8)
    mask[8:20, 10:34] = 255
    images.save(Path("mask.png"), mask)


def call_of(name: str, number: str, models: Mapping[str, Path]) -> tuple[list[str], str]:
    """A line of the verb without --out, and its output: options one by one, as long as the verb takes them together.

    models: paths by the names in braces.
    """
    draw = random.Random(f"{name} {number}")
    out = f"a{draw.choice(FILM if draw.random() < MOVING else STILL)}"
    words = [*_input(name, draw, models), *(str(word).format_map(models) for word in _SMALL[name])]
    if not _taken(name, words, out):  # few verbs make a film of a picture
        out = f"a{draw.choice(STILL)}"
    chosen = _drawn(name, draw)
    for option in [*chosen, *_LATE[name]]:
        more = [str(word).format_map(models) for word in option]
        if (option in chosen or more[0] not in words) and _taken(name, [*words, *more], out):
            words += more
    return [name, *words], out


def small(name: str, words: list[str], models: Mapping[str, Path]) -> list[str]:
    """What makes the work of a given line small, to stand behind its words."""
    if "--dry-run" in words:
        return []
    fewer = () if name == "sample" else _FEWER  # of a tiny model many are as good
    more = [word for option, value in fewer for word in (option, value) if option in words]
    for option in [*_pairs(_SMALL[name]), *_LATE[name], *(_SHORT if name == "paint" else [])]:
        added = [str(word).format_map(models) for word in option]
        if added[0] not in ["--seed", *more] and _taken(name, [*words, *more, *added]):
            more += added
    return more


# Where a line asks for many, or for large ones.
_FEWER = (("--seed", "0-1"), ("--best-of", "2"), ("--size", "48"), ("--strokes", "20"))


def _pairs(words: list[Any]) -> list[list[Any]]:
    return [words[number : number + 2] for number in range(0, len(words), 2)]


def _taken(name: str, words: list[str], out: str | None = None) -> bool:
    try:
        lines.request_of(name, *words, *([] if out is None else ["-o", out]))
    except (ArtgenError, typer.BadParameter):
        return False
    return True


def _input(name: str, draw: random.Random, models: Mapping[str, Path]) -> list[str]:
    photo = draw.choice(("photo.png", "photo.png", "clear.png"))
    of_verb = {
        "dream": [draw.choice(PROMPTS)], "paint": [photo], "stylize": [photo, "style.png"], "cyclegan": [photo],
        "sample": [str(models[draw.choice(RUNS)])],
    }  # fmt: skip
    return of_verb[name]


def _drawn(name: str, draw: random.Random) -> list[list[Any]]:
    """Some options in any order, each with a value."""
    known = {p.name: max(p.opts, key=len) for p in verb.command(name, call.request_of(name).kind).params}
    options = [
        [known[option]] if choices is True else [known[option], draw.choice(choices)]
        for option, choices in OPTIONS[name].items()
        if draw.random() < USED.get(name, USED_ELSE)
    ]
    draw.shuffle(options)
    return options


# What makes the work small, in front of what is drawn, which wins.
_SMALL: dict[str, list[Any]] = {
    "dream": ["--clip", "{clip}", "--size", 48, "--steps", 2, "--cutouts", 3, "--seed", 5],
    "paint": ["--model", "{painter}"],
    "stylize": ["--size", 40, "--steps", 2, "--seed", 5],
    "cyclegan": ["--model", "{translator}"],
    "sample": ["--seed", 5],
}  # fmt: skip
_UPSCALER, _SHORT = ["--upscaler", "{upscaler}"], [["--fps", 5], ["--duration", 0.6]]
# What has to be small as well, where it belongs.
_LATE: dict[str, list[list[Any]]] = {
    "dream": [
        ["--vqgan", "{vqgan}"], ["--prior", "none"], ["--prior", "{prior}"], ["--frame-steps", 1], *_SHORT, _UPSCALER,
    ],
    "paint": [],
    "stylize": [["--net", "{net}"], ["--model", "{decoder}"], *_SHORT, _UPSCALER],
    "cyclegan": [_UPSCALER],
    "sample": [["--count", 4], *_SHORT, _UPSCALER],
}  # fmt: skip
