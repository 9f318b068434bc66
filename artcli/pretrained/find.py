"""Locates the weights of each family.  No torch here, so that missing weights are reported at once.

All take what `weights.find` takes, and so does `load` of every family behind the device.  They raise UsageError where
nothing has that name, and WeightsError where the weights are missing, damaged, or of another kind.
"""

from collections.abc import Sequence
from pathlib import Path

from artcli import weights
from artcli.errors import UsageError, WeightsError

PAINTER = "painter"
TRANSLATOR, DIRECTIONS = "monet-mini", ("AtoB", "BtoA")
SCALE = 256  # shorter side of the pictures behind our translators whose files do not say it
_PAINTERS = ("painter.safetensors", "model/painter.safetensors", "best.safetensors", "weights.safetensors")


def own(spec: str, name: str, instead: str = "", *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The file or folder behind a name.

    Our own net `name` may be missing from an installation: then the error says how to make it, or what to do `instead`.
    """
    try:
        return weights.find(spec, weights_dirs=weights_dirs, offline=offline)
    except UsageError:
        if spec != name:
            raise
    raise WeightsError(
        f"{name} does not come with this version of artgen: make it with `artgen train {name.removesuffix('-mini')} "
        f"PICTURES` and name its folder, RUN/model{instead and ', '}{instead}"
    )


def painter(spec: str, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The file behind a bundled name, a run folder, a weights file or the paper's model.pth."""
    path = weights.find(spec, weights_dirs=weights_dirs, offline=offline)
    if path.is_file():
        return path
    for inside in _PAINTERS:
        if (path / inside).is_file():
            return path / inside
    raise WeightsError(f"{path} holds no painter: neither painter.safetensors nor the weights of a training run")


def translator(spec: str, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The file or folder behind a name."""
    return weights.find(spec, weights_dirs=weights_dirs, offline=offline)
