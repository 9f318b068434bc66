"""Checkpoints: folders `checkpoints/step-000500` with everything that the next step depends on.

A checkpoint is written under a hidden name and then renamed, so a killed run finds whole ones only.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from artcli import state
from artcli.errors import UsageError, WeightsError
from artcli.media import files

FOLDER = "checkpoints"
FORMAT = 1  # of the description and of the folder


def save(run: Path, step: int, content: dict[str, Any], keep: int) -> Path:
    """Write the checkpoint of a step, then drop all but the last `keep`.  Raises OSError when the disk is full."""
    folder = run / FOLDER / f"step-{step:06d}"
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        state.save(temporary / state.NAME, content)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in _all(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def load(run: Path) -> dict[str, Any] | None:
    """The newest checkpoint's content, None for a run without one.  Raises WeightsError for an unreadable one."""
    found = _all(run)
    return state.load(found[-1] / state.NAME) if found else None


def newest(run: Path) -> int:
    """The step of the newest checkpoint, 0 for a run without one."""
    found = _all(run)
    return _step(found[-1]) if found else 0


def exists(run: Path) -> bool:
    return bool(_all(run))


def _all(run: Path) -> list[Path]:
    """Checkpoint folders by step."""
    found = (p for p in (run / FOLDER).glob("step-*") if p.name[5:].isdigit() and (p / state.NAME).is_file())
    return sorted(found, key=_step)


def _step(folder: Path) -> int:
    return int(folder.name[5:])


def export(path: Path, tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> None:
    """Write weights with the model's whole description: all that sampling needs."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(description | {"format": FORMAT}, sort_keys=True)
    with files.atomic(path) as temporary:
        temporary.write_bytes(to_bytes(whole, metadata={"artgen": text}))  # save_file's are for the owner's eyes only


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and description of a file that `export` wrote.

    Raises WeightsError for damaged files, UsageError for files of another kind or version.
    """
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("artgen")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(text) if text else None
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(description, dict):
        raise UsageError(f"{path} was not written by `artgen train`: it carries no description of its model")
    if description.get("format") != FORMAT:
        raise UsageError(
            f"{path} has format {description.get('format')}, this artgen reads {FORMAT}; "
            f"it was written by artgen {description.get('version', '?')}"
        )
    return tensors, description
