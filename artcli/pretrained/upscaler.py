"""Finished super-resolvers: bundled, of a run, or a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from artcli import weights
from artcli.errors import WeightsError
from artcli.nn.unfilled import unfilled
from artcli.nn.upscaler import Upscaler
from artcli.pretrained import find

NAME, FILE = "upscaler", "upscaler.safetensors"


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Upscaler:
    """An upscaler in evaluation mode.

    spec: a name from `artgen weights list`, a file, or the folder of an `artgen train upscaler` run.
    Raises UsageError: nothing has that name.  WeightsError: missing, damaged, or no upscaler of RGB pictures.
    """
    found = find.own(spec, NAME, "with --upscaler; or leave out --upscale", weights_dirs=weights_dirs, offline=offline)
    path = weights.inside(found, FILE)
    with weights.open_safetensors(path) as file:
        sizes = (file.metadata() or {}).get("upscaler")
    if sizes is None:
        raise WeightsError(f"{path} is no upscaler; `artgen train upscaler` writes one to RUN/model")
    model = _assemble(path, sizes)
    if model.channels != 3:
        raise WeightsError(f"{path} enlarges grey pictures only; train one with --color rgb")
    return model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def _assemble(path: Path, sizes: str) -> Upscaler:
    try:
        with unfilled():
            model = Upscaler(**json.loads(sizes))
        state = {name: tensor.float() for name, tensor in weights.load_state(path).items()}
        model.load_state_dict(state, assign=True)
    except (ValueError, TypeError, RuntimeError) as error:  # sizes of nothing, tensors of another net
        raise WeightsError(f"{path} is damaged: its tensors are not those of the upscaler that it names") from error
    return model
