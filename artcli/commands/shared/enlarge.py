"""`--upscale`: finished pictures are enlarged by a trained super-resolver before they are written."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from artcli import weights
from artcli.commands.shared import costs
from artcli.commands.shared.finisher import Finished
from artcli.errors import UsageError

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
    """The loaded net, a finisher.  net: None where a dry run loads none: it tells the cost alone."""

    factor: int
    net: "Upscaler | None" = None
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def option(self) -> str:
        return f"--upscale {self.factor}"

    @property
    def note(self) -> str:
        return f", enlarged {self.factor} times"

    def __call__(self, pixels: "np.ndarray") -> Finished:
        """Of a picture, (H, W, 3) uint8, one of (factor H, factor W)."""
        import torch

        from artcli.backends import upscale
        from artcli.media import images

        assert self.net is not None
        image = torch.tensor(pixels).permute(2, 0, 1).float() / 255
        return Finished(images.from_tensor(upscale.upscale(image, self.net, self.factor)))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """What becomes of that size."""
        return self.factor * width, self.factor * height

    def check(self, path: Path, width: int, height: int) -> None:
        """Raises UsageError: enlarged, a picture of this size could not be opened again."""
        from artcli.media import decode

        across, down = self.size(width, height)
        if across * down > decode.MAX_PIXELS:
            raise UsageError(
                f"{self.option} makes {width}x{height} pixels {across}x{down}, more than could be opened "
                "again: enlarge less, or begin with fewer"
            )

    def seconds(self, width: int, height: int) -> float:
        """About how long a picture of this size takes."""
        if self.net is None:
            return costs.seconds("upscaler", width * height * (self.factor**2 - 1) / 3)  # by doubling

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
    from artcli.commands.shared.loaded import once
    from artcli.pretrained import upscaler

    net = once(upscaler.load, wanted.net, device, weights_dirs=weights_dirs, offline=offline)
    return Enlarger(wanted.factor, net, {wanted.net: weights.fingerprint(net)})
