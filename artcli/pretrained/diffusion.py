"""Finished diffusion models: bundled, of a run, or a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from artcli import weights
from artcli.errors import UsageError, WeightsError
from artcli.nn.unet import UNet
from artcli.nn.unfilled import unfilled
from artcli.pretrained import find
from artcli.pretrained.text_tower import TextTower, text_tower

NAME, FILE = "diffusion-mini", "diffusion.safetensors"
SHAPE = ("channels", "widths", "blocks", "attention", "fold", "features", "texts")  # settings that the net is made of


@dataclass(frozen=True)
class Diffusion:
    """net: noisy pictures to velocities.  size: of the pictures that it was trained on.  tower: of its texts."""

    net: UNet
    size: int
    tower: TextTower


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Diffusion:
    """A model that draws from words, in evaluation mode.

    spec: a name from `artgen weights list`, a file, or the folder of an `artgen train diffusion` run.
    Raises UsageError: nothing has that name, or it knows no words.  WeightsError: missing, damaged or no such model.
    """
    found = find.own(spec, NAME, "with --prior; or --start sketch", weights_dirs=weights_dirs, offline=offline)
    path = weights.inside(found, FILE)
    told = description(path)
    if told is None:
        raise WeightsError(f"{path} is no diffusion model; `artgen train diffusion` writes one to RUN/model")
    if not told.get("texts"):
        raise UsageError(f"{path} was trained without words: `artgen sample` draws with it, prompts cannot")
    tower = text_tower(told["clip"], device, told["texts"], tuple(weights_dirs), offline)
    return Diffusion(assemble(path, told).to(device), told["size"], tower)


def is_one(path: Path) -> bool:
    """Whether a file holds such a model.  Raises WeightsError: it is damaged."""
    return path.suffix == ".safetensors" and description(path) is not None


def description(path: Path) -> dict[str, Any] | None:
    """The description stored in a model's file; None for other files.  Raises WeightsError: it is damaged."""
    with weights.open_safetensors(path) as file:
        text = (file.metadata() or {}).get("diffusion")
    try:
        told = json.loads(text) if text else None
    except ValueError:
        told = text
    if told is not None and not isinstance(told, dict):
        raise WeightsError(f"{path} is damaged: what it says of itself is no diffusion model")
    return told


def assemble(path: Path, told: dict) -> UNet:
    try:
        with unfilled():  # the file's tensors become the weights; there is nothing to initialise
            net = UNet(**{name: told[name] for name in SHAPE})
        state = {name: tensor.float() for name, tensor in weights.load_state(path).items()}
        net.load_state_dict(state, assign=True)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:  # sizes of nothing, tensors of another net
        raise WeightsError(f"{path} is damaged: its tensors are not those of the net that it names") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
