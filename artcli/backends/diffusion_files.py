"""Finished diffusion models: bundled, of a run, or a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from artcli import weights
from artcli.backends import feature_nets
from artcli.backends.diffusion import FILE, SHAPE, Config, Model
from artcli.backends.text_tower import TextTower, text_tower
from artcli.errors import UsageError, WeightsError
from artcli.nn.unet import UNet

NAME = "diffusion-mini"


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
    found = feature_nets.find_own(spec, NAME, "with --prior; or --start sketch", weights_dirs, offline)
    path = weights.inside(found, FILE)
    told = _told(path)
    if told is None:
        raise WeightsError(f"{path} is no diffusion model; `artgen train diffusion` writes one to RUN/model")
    if not told.get("texts"):
        raise UsageError(f"{path} was trained without words: `artgen sample` draws with it, prompts cannot")
    tower = text_tower(told["clip"], device, told["texts"], tuple(weights_dirs), offline)
    return Diffusion(_assemble(path, told).to(device), told["size"], tower)


def is_one(path: Path) -> bool:
    """Whether a file holds such a model.  Raises WeightsError: it is damaged."""
    return path.suffix == ".safetensors" and _told(path) is not None


def load_model(path: Path, device: torch.device) -> Model:
    """The model that a file holds, as `artgen sample` asks for it, in evaluation mode; also one that knows no words.

    Raises WeightsError: it is damaged.
    """
    told = _told(path) or {}
    net = _assemble(path, told)
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        with torch.device("meta"):  # as above
            model = Model(Config(**values))
    except (UsageError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged: what it says of itself is no diffusion model") from error
    model.net = net.to(device)
    return model.eval()


def _told(path: Path) -> dict[str, Any] | None:
    """What a file says of the model in it; None for other files.  Raises WeightsError: it is damaged."""
    with weights.open_safetensors(path) as file:
        text = (file.metadata() or {}).get("diffusion")
    try:
        told = json.loads(text) if text else None
    except ValueError:
        told = text
    if told is not None and not isinstance(told, dict):
        raise WeightsError(f"{path} is damaged: what it says of itself is no diffusion model")
    return told


def _assemble(path: Path, told: dict) -> UNet:
    try:
        with torch.device("meta"):  # the file's tensors become the weights; there is nothing to initialise
            net = UNet(**{name: told[name] for name in SHAPE})
        state = {name: tensor.float() for name, tensor in weights.load_state(path).items()}
        net.load_state_dict(state, assign=True)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:  # sizes of nothing, tensors of another net
        raise WeightsError(f"{path} is damaged: its tensors are not those of the net that it names") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
