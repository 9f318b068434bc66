"""Prompt syntax: `text:weight:stop`, several joined by `|`, scenes of a story by `^`."""

import math
from dataclasses import dataclass

from artcli.errors import UsageError


@dataclass(frozen=True)
class Prompt:
    """What to draw towards (weight > 0) or away from (weight < 0), until the distance falls below `stop`."""

    text: str
    weight: float = 1.0
    stop: float = -math.inf


def parse(line: str) -> list[Prompt]:
    """Every prompt of a line such as `red car:2 | blur:-0.5`.

    Only trailing numbers are peeled off, so `a city: night` is text.  Raises UsageError for an empty prompt, a weight
    of zero or one that is not finite, and for `text:abc`, where the word behind the colon looks like a weight.
    """
    parts = [part.strip() for part in line.split("|")]
    if not any(parts):
        raise UsageError('the prompt is empty; say what to draw, for example: artgen dream "red car"')
    if not all(parts):
        raise UsageError(f"'{line}' has an empty prompt beside a '|'; remove the '|' or write a prompt")
    return [parse_one(part) for part in parts]


def parse_story(line: str) -> list[list[Prompt]]:
    """The scenes of a line such as `a city | fog:0.3 ^ a city at night`; most lines have one.

    Raises UsageError as `parse` does, and for an empty scene.
    """
    scenes = line.split("^")
    if len(scenes) > 1 and not all(scene.strip() for scene in scenes):
        raise UsageError(f"'{line}' has an empty scene beside a '^'; remove the '^' or write a prompt")
    return [parse(scene) for scene in scenes]


def parse_one(part: str) -> Prompt:
    """One `text:weight:stop`; the name of a file works in place of the text."""
    fields = part.split(":")
    numbers: list[float] = []
    while len(fields) > 1 and len(numbers) < 2 and _is_number(fields[-1]):
        numbers.insert(0, float(fields.pop()))
    text = ":".join(fields).strip()
    if not text:
        raise UsageError(f"'{part}' has a weight but no text; write text:weight")
    weight, stop = (*numbers, *(1.0, -math.inf)[len(numbers) :])
    if not math.isfinite(weight) or weight == 0 or math.isnan(stop):
        raise UsageError(f"'{part}': the weight has to be a number other than 0 (negative pushes away)")
    return Prompt(text, weight, stop)


def understood(line: str) -> str:
    """How a line was read where it is more than text, such as `'time 10' (weight 30)` for `time 10:30`; else ''."""
    scenes = parse_story(line)
    if all(prompt == Prompt(prompt.text) for scene in scenes for prompt in scene):
        return ""
    return " ^ ".join(" | ".join(map(_told, scene)) for scene in scenes)


def _told(prompt: Prompt) -> str:
    stop = "" if prompt.stop == -math.inf else f", stop at {prompt.stop:g}"
    numbers = f" (weight {prompt.weight:g}{stop})" if stop or prompt.weight != 1 else ""
    return f"'{prompt.text}'{numbers}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
