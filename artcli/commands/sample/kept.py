"""Files of latents and of directions among them, safetensors that say which model they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from artcli.errors import UsageError
from artcli.media import files

_RECORD = "artgen"


class Kept(NamedTuple):
    """tensors: by name.  about: what `write` was given."""

    tensors: dict[str, torch.Tensor]
    about: dict[str, Any]


def write(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    plain = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    with files.atomic(path) as temporary:
        temporary.write_bytes(save(plain, {_RECORD: json.dumps(about, sort_keys=True)}))


def read(path: Path, numbers: int, name: str, dimensions: int, option: str) -> Kept:
    """What is in a file that `write` wrote, among it the tensor `name` of so many dimensions, of rows of `numbers`.

    Raises UsageError: it cannot be read, has no such tensor, or one of a model with latents of another length.
    """
    try:
        with safe_open(path, "pt") as file:
            found = {each: file.get_tensor(each) for each in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get(_RECORD, "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({' '.join(str(error).split())[:160]})") from error
    tensor = found.get(name)
    if tensor is None or tensor.dim() != dimensions or not isinstance(about, dict):
        raise UsageError(f"{path} holds no {name}, as artgen sample RUN {option} writes it")
    if tensor.shape[-1] != numbers:
        raise UsageError(f"{path} is of latents of {tensor.shape[-1]} numbers, and this model's have {numbers}")
    return Kept(found, about)
