"""Saved states of runs: tensors and numbers in one file, written whole or not at all, read without running code."""

from pathlib import Path
from typing import Any

from artcli.errors import WeightsError
from artcli.media import files

NAME = "state.pt"  # of the state in a folder of its own


def save(path: Path, content: dict[str, Any]) -> None:
    import torch

    with files.atomic(path) as temporary:
        torch.save(content, temporary)


def load(path: Path) -> dict[str, Any]:
    """Raises WeightsError for a file that is missing, truncated, of another kind, or would run code."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a bad file; all mean the same to the user
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} cannot be read ({reason}); move it away to start again") from error
