"""`--upscale`: finished pictures are enlarged by a trained super-resolver before they are written."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artcli import weights
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.models.upscaler import Upscaler

FACTORS = (2, 4)
_TRIED = 64  # pixels of the side of a picture whose time tells that of others


class Enlargement(NamedTuple):
    """What is asked for.  factor: one of FACTORS, or 1 for pictures as they are.  net: a name, a file or a folder."""

    factor: int = 1
    net: str = "upscaler"


AS_IS = Enlargement()


@dataclass(frozen=True)
class Enlarger:
    """The loaded net; without one pictures stay as they are.  weights: its fingerprint by its name, for the record."""

    factor: int = 1
    net: "Upscaler | None" = None
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """To stand behind a size: `, enlarged 2 times`."""
        return "" if self.net is None else f", enlarged {self.factor} times"

    def __call__(self, pixels: "np.ndarray") -> "np.ndarray":
        """(H, W, 3) uint8 to (factor H, factor W, 3) uint8."""
        if self.net is None:
            return pixels
        import torch

        from artcli.backends import upscale
        from artcli.media import images

        image = torch.tensor(pixels).permute(2, 0, 1).float() / 255
        return images.from_tensor(upscale.upscale(image, self.net, self.factor))

    def save(
        self,
        path: Path,
        pixels: "np.ndarray",
        *,
        alpha: "np.ndarray | None",
        recipe: dict[str, Any] | None,
        photo: bytes | None = None,
    ) -> tuple[int, int]:
        """Enlarge a picture and its alpha, and write it as `images.save` does.  The (width, height) written.

        What cannot be enlarged is written as it is.  Raises ArtgenError then: not enough memory.
        """
        from artcli.media import images

        try:
            large = self(pixels)
        except BaseException as error:  # also a second Ctrl-C: hours may be in this picture
            images.save(path, pixels, alpha=alpha, recipe=recipe, photo=photo)
            if is_out_of_memory(error):
                raise ArtgenError(f"out of memory: {path} was written without --upscale {self.factor}") from error
            raise
        size = self.size(pixels.shape[1], pixels.shape[0])
        alpha = None if alpha is None else images.resize(alpha, size)
        images.save(path, large, alpha=alpha, recipe=recipe, photo=photo)
        return size

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What becomes of that size."""
        return self.factor * width, self.factor * height

    def check(self, path: Path, width: int, height: int) -> None:
        """Call it before any compute.  Raises ArtgenError: enlarged, a picture of this size is too large for a file."""
        from artcli.media import decode, images

        across, down = self.size(width, height)
        if self.factor > 1 and across * down > decode.MAX_PIXELS:
            raise UsageError(
                f"--upscale {self.factor} makes {width}x{height} pixels {across}x{down}, more than could be opened "
                "again: enlarge less, or begin with fewer"
            )
        images.check_side(max(across, down), images.FORMATS.get(path.suffix.lower(), "PNG"))

    def seconds(self, width: int, height: int) -> float:
        """About how long a picture of this size takes."""
        if self.net is None:
            return 0.0
        import numpy as np

        small = np.zeros((_TRIED, _TRIED, 3), np.uint8)
        self(small)  # the first one also pays for the start
        started = time.monotonic()
        self(small)
        return (time.monotonic() - started) * width * height / _TRIED**2


def load(
    wanted: Enlargement, device: "torch.device", *, weights_dirs: Sequence[Path] = (), offline: bool = False
) -> Enlarger:
    """Raises UsageError: nothing has the net's name.  WeightsError: missing, damaged, or no upscaler of colours."""
    if wanted.factor == 1:
        return Enlarger()
    from artcli.pretrained import upscaler

    net = upscaler.load(wanted.net, device, weights_dirs=weights_dirs, offline=offline)
    return Enlarger(wanted.factor, net, {wanted.net: weights.fingerprint(net)})
