"""Names of earlier versions that run folders, weights and command lines still have.

The discriminators of these models, their settings, optimizers and losses were called critics.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")
_MODELS = ("cyclegan", "pix2pix", "vqgan")
_CRITIC = re.compile(r"^critic(?=s?(?:[._]|$))")


def name(model: Any, old: str) -> str:
    """Today's name of a setting, tensor, optimizer or loss of a model; most are the same."""
    return _CRITIC.sub("discriminator", old) if model in _MODELS else old


def keys(model: Any, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values, with today's names."""
    return {name(model, key): value for key, value in values.items()}


def config(about: dict[str, Any]) -> dict[str, Any]:
    """The description of a run, whose settings have today's names."""
    settings = about.get("config")
    return about | {"config": keys(about.get("model"), settings)} if isinstance(settings, dict) else about


def state(model: str, saved: dict[str, Any]) -> dict[str, Any]:
    """What `Trainer.state` gave."""
    parts = ("model", "average", "optimizers")
    return saved | {part: keys(model, saved[part]) for part in parts if saved.get(part) is not None}


def row(model: Any, logged: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics.jsonl."""
    return {part: keys(model, found) if isinstance(found, dict) else found for part, found in logged.items()}
