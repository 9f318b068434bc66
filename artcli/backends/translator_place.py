"""Where translators lie, and which way they go.  No torch here: what is missing shows at once."""

from collections.abc import Sequence
from pathlib import Path

from artcli import weights

BUNDLED = "monet-mini"
DIRECTIONS = ("AtoB", "BtoA")


def find(spec: str, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The file or folder behind a name.  Raises UsageError: there is none.  WeightsError: missing or damaged."""
    weights.places(weights_dirs)  # refuses a folder that is not there
    return weights.find(spec, weights_dirs=weights_dirs, offline=offline)
