"""The ways of sampling: what each writes, how many pictures it takes, and which options mean something to it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from artcli.commands.shared import options
from artcli.commands.shared.outputs import FILMS, PICTURES
from artcli.errors import UsageError
from artcli.media import files

if TYPE_CHECKING:
    from artcli.commands.sample.options import Options


class Mode(NamedTuple):
    """What a way of sampling writes.  pictures: from a single seed on.  suffix: of its default name."""

    pictures: int
    writes: tuple[str, ...]
    suffix: str = ".png"


MODES = {
    "samples": Mode(36, PICTURES),
    "reconstruct": Mode(1, PICTURES),
    "complete": Mode(1, PICTURES),
    "project": Mode(1, PICTURES),
    "interpolate": Mode(5, FILMS + PICTURES, ".mp4"),
    "walk": Mode(1, FILMS, ".mp4"),
    "sweep": Mode(6, PICTURES + FILMS),
    "mix": Mode(8, PICTURES),
    "neighbours": Mode(12, PICTURES),
    "compare": Mode(8, PICTURES),
    "rate": Mode(24, (".html",), ".html"),
    "score": Mode(1000, (".json",), ".json"),
}
OF_A_CLASS = 8  # pictures of each class in a grid
NOT_RANDOM = ("reconstruct", "between", "project")  # without a seed the same line gives the same bytes

# Where an option means something; elsewhere it would be ignored, and nobody would notice.
_RANDOM = ("samples", "interpolate", "walk", "sweep", "mix", "neighbours", "compare", "rate", "score")
_TOLD, _CODES = (*_RANDOM, "complete"), ("samples", "complete", "neighbours", "compare", "rate", "score")
_STEERED = ("samples", "project", "interpolate", "walk", "sweep", "mix", "neighbours", "rate", "score")
_MEANT_FOR = {
    "classes": (*_STEERED, "complete", "between"),
    "where": _STEERED,
    "direction_out": ("sweep",),
    "direction": ("samples", "interpolate", "between", "walk", "sweep", "mix", "neighbours", "rate", "score"),
    "color": _STEERED,
    "keep": ("complete",),
    "steps": ("project", "between"),
    "inception": ("score",),
    "temperature": _CODES,
    "top_k": _CODES,
    "top_p": _CODES,
    "separate": ("samples",),
    "loop": ("interpolate", "between"),
    "truncation": _RANDOM,
    "prompts": _TOLD,
    "negative": _TOLD,
    "guidance": _TOLD,
    "count": _TOLD,
    "upscale": (
        "samples",
        "reconstruct",
        "complete",
        "project",
        "interpolate",
        "between",
        "sweep",
        "mix",
        "neighbours",
        "compare",
    ),
    "columns": ("samples", "reconstruct", "interpolate", "between", "walk", "sweep", "neighbours", "compare"),
}


def chosen(asked: "Options") -> str:
    """A key of MODES.  Raises UsageError for two of them."""
    wanted = {
        "reconstruct": bool(asked.reconstruct) and not asked.compare,
        "complete": bool(asked.complete),
        "project": bool(asked.project),
        "interpolate": (asked.interpolate or bool(asked.between)) and not asked.compare,
        "walk": asked.walk,
        "sweep": asked.sweep is not None,
        "mix": asked.mix is not None,
        "neighbours": asked.neighbours,
        "compare": bool(asked.compare),
        "rate": asked.rate,
        "score": asked.score is not None,
    }
    found = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(found) > 1:
        raise UsageError(f"--{found[0]} and --{found[1]} do not go together: choose one.")
    return found[0] if found else "samples"


def only_meant(ctx: typer.Context, asked: "Options", way: str) -> "Options":
    """The options, those that mean nothing here as if nobody had given them: settings files and records may.

    way: a mode, or "between".  Raises UsageError for such an option on the command line.
    """
    unmeant = [name for name, ways in _MEANT_FOR.items() if way not in ways]
    for name in unmeant:
        if options.on_the_line(ctx, name):
            option = {"classes": "class", "prompts": "prompt"}.get(name, name).replace("_", "-")
            there = ", ".join("samples" if other == "samples" else f"--{other}" for other in _MEANT_FOR[name])
            raise UsageError(f"--{option} has no meaning with --{way}; it goes with {there}.")
    defaults: dict[str, Any] = {field.name: field.default for field in fields(asked) if field.name in unmeant}
    return replace(asked, **defaults)


def target(mode: str, run: Path, out: Path | None) -> Path:
    """The file to write; for separate pictures the one whose name is numbered."""
    of_a_run = run.is_file() and run.suffix == ".safetensors"
    name = run.resolve().parent.name if of_a_run else run.resolve().stem if run.is_file() else run.resolve().name
    default = f"{name}-{mode}{MODES[mode].suffix}"
    if out is None or isinstance(out, files.Folder):
        return (out or Path()) / default
    if str(out) == "-":
        if ".png" not in MODES[mode].writes:
            raise UsageError(f"--{mode} writes {MODES[mode].suffix}, which needs a file: --out {default}")
        return out
    if not out.suffix:
        raise UsageError(f"{out} has no ending: name a file such as {out}{MODES[mode].suffix}, or a folder: {out}/")
    files.check_extension(out, MODES[mode].writes)
    return out


def seeds(mode: str, asked: "Options") -> tuple[int, ...]:
    """Exactly the seeds of a range; from a single or drawn one on as many as asked for, or as suit the mode."""
    text, found = asked.seed, options.seeds(asked.seed)
    if text is not None and "-" in text:
        return _enough(mode, found)
    number = asked.count or _stops(mode, asked.prompts) or _usual(mode, _in_rows(asked))
    first = min(found[0], options.MAX_SEED + 1 - number)
    if text is not None and first != found[0]:
        raise UsageError(f"--seed {text}: {number} seeds from there on would pass {options.MAX_SEED}, the largest")
    return _enough(mode, list(range(first, first + number)))


def _stops(mode: str, prompts: Sequence[str]) -> int | None:
    """Of a way from prompt to prompt: each of them once."""
    return len(prompts) if mode == "interpolate" and len(prompts) > 1 else None


def _in_rows(asked: "Options") -> bool:
    """Whether pictures are of something, with a row for each where there are several."""
    return bool(asked.classes or asked.prompts or asked.color or asked.where)


def _usual(mode: str, of_class: bool) -> int:
    return OF_A_CLASS if of_class and mode == "samples" else MODES[mode].pictures


def _enough(mode: str, found: list[int]) -> tuple[int, ...]:
    if mode == "mix" and len(found) < 2:
        raise UsageError("--mix needs two seeds or more, such as --seed 0-7: half of them for rows, half for columns")
    if mode == "interpolate" and len(found) < 2:
        raise UsageError("--interpolate needs two seeds or more, such as --seed 0-4, or pictures: --between A B")
    return tuple(found)
