"""What a finisher is: it works on a finished picture before it is written (see `finish`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from artcli.media.strokes import Painting


class Finished(NamedTuple):
    """What a finisher made of a picture.  pixels: (H, W, 3) uint8.  painting: the strokes, where it was painted."""

    pixels: "np.ndarray"
    painting: "Painting | None" = None


class Finisher(Protocol):
    """option: of the command line that asks for it.  weights: fingerprints by name, for the record."""

    @property
    def option(self) -> str: ...

    @property
    def note(self) -> str:
        """To stand behind a size: `, enlarged 2 times`."""

    @property
    def weights(self) -> Mapping[str, str]: ...

    def __call__(self, pixels: "np.ndarray") -> Finished:
        """Of a picture, (H, W, 3) uint8, one of `size`."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What becomes of that size."""

    def check(self, path: Path, width: int, height: int) -> None:
        """Raises UsageError: what would become of a picture of this size cannot be written."""

    def seconds(self, width: int, height: int) -> float:
        """About how long a picture of this size takes."""
