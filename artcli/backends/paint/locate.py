"""Where a painter's weights lie.  No torch here: what is missing shows at once."""

from collections.abc import Sequence
from pathlib import Path

from artcli import weights
from artcli.errors import UsageError

BUNDLED = "painter"
_INSIDE = ("painter.safetensors", "model/painter.safetensors", "best.safetensors", "weights.safetensors")


def find(name: str, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The file behind a bundled name, a run folder, a weights file or the paper's model.pth.

    Raises UsageError: nothing has that name, or a folder holds no painter.  WeightsError: missing or damaged.
    """
    weights.places(weights_dirs)  # refuses a folder that is not there
    path = weights.find(name, weights_dirs=weights_dirs, offline=offline)
    if path.is_file():
        return path
    for inside in _INSIDE:
        if (path / inside).is_file():
            return path / inside
    raise UsageError(f"{path} holds no painter: neither painter.safetensors nor the weights of a training run")
