"""The format in which finished nets ship: safetensors in half precision, with a description."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from artcli.media import files


def export(path: Path, tensors: Mapping[str, torch.Tensor], **description: Any) -> None:
    """Write the tensors (floats as fp16) and each part of the description (as JSON); atomic."""
    half = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in half.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(path) as temporary:
        temporary.write_bytes(save(half, metadata={name: json.dumps(part) for name, part in description.items()}))
