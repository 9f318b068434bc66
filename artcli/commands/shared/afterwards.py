"""`--stylize` and `--paint` behind another verb: finishers (see `finish`) that work as those verbs do by default."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import weights
from artcli.backends.paint.settings import Settings
from artcli.backends.stylize.settings import Settings as StyleSettings
from artcli.commands.shared import costs
from artcli.commands.shared.finisher import Finished
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.backends.stylize.styles import Style
    from artcli.pretrained.adain import Stylist
    from artcli.pretrained.painter import Painter

DECODER = "adain"
_TRIED = 64  # pixels of the side, or patches, whose time tells that of all


@dataclass(frozen=True)
class Styling:
    """A picture takes on the style of another one, in one pass.  picture: the file of the style.

    style, stylist: None where a dry run loads none.
    """

    picture: Path
    style: "Style | None" = None
    stylist: "Stylist | None" = None
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def option(self) -> str:
        return f"--stylize {self.picture}"

    @property
    def note(self) -> str:
        return f", in the style of {self.picture.name}"

    def __call__(self, pixels: "np.ndarray") -> Finished:
        import torch

        from artcli.backends.stylize.fast import Stylizer
        from artcli.media import images

        assert self.style is not None and self.stylist is not None
        settings = replace(StyleSettings(), size=max(pixels.shape[:2]))
        stylizer = Stylizer(self.stylist, [self.style], settings)
        return Finished(images.from_tensor(stylizer(torch.tensor(pixels).permute(2, 0, 1).float() / 255)))

    def size(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def check(self, path: Path, width: int, height: int) -> None:
        pass

    def seconds(self, width: int, height: int) -> float:
        if self.stylist is None:
            return costs.seconds("adain", width * height)

        import numpy as np

        small = np.zeros((_TRIED, _TRIED, 3), np.uint8)
        return _second_time(lambda: self(small)) * width * height / _TRIED**2


@dataclass(frozen=True)
class Brushwork:
    """A picture is painted stroke by stroke.  painter: None where a dry run loads none."""

    painter: "Painter | None" = None
    weights: Mapping[str, str] = field(default_factory=dict)

    option = "--paint"
    note = ", painted"

    def __call__(self, pixels: "np.ndarray") -> Finished:
        from artcli.backends.paint import layers
        from artcli.media import raster
        from artcli.media.brushes import Brush
        from artcli.media.strokes import Painting

        assert self.painter is not None
        brush, ground = Brush.find(self.painter.brush), _average(pixels)
        *_, last = layers.paint(layers.undithered(pixels), self.painter, Settings(), brush, ground)
        made = Painting((pixels.shape[1], pixels.shape[0]), last.strokes, brush, ground)
        return Finished(raster.rasterise(made) if last.pixels is None else last.pixels, made)

    def size(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def check(self, path: Path, width: int, height: int) -> None:
        pass

    def seconds(self, width: int, height: int) -> float:
        """Half as long again as the net alone: the rest is drawing."""
        import numpy as np

        from artcli.backends.paint import layers

        count = sum(layers.patches((width, height), each) for each in layers.plan((width, height), Settings()))
        if self.painter is None:
            return costs.seconds("painter", count)
        blank = np.zeros((_TRIED, layers.PATCH, layers.PATCH, 3), np.uint8)
        painter = self.painter
        return _second_time(lambda: painter(blank, blank)) / _TRIED * count * 1.5


def foresee_styling(picture: Path) -> Styling:
    """For a dry run.  Raises UsageError: the picture cannot be read."""
    from artcli.backends.stylize import looking

    looking.visible(picture)
    return Styling(picture)


def load_styling(picture: Path, device: "torch.device", **where: Any) -> Styling:
    """Raises UsageError: the picture cannot be read.  WeightsError: the decoder is missing or damaged."""
    from artcli.backends.stylize import reading
    from artcli.commands.shared.loaded import once
    from artcli.pretrained import adain

    style = reading.style(picture, 1.0, StyleSettings().size)
    stylist = once(adain.load, DECODER, device, **where)
    return Styling(picture, style, stylist, {DECODER: weights.fingerprint(stylist)})


def load_brushwork(device: "torch.device", **where: Any) -> Brushwork:
    """Raises WeightsError: the painter is missing or damaged."""
    from artcli.commands.shared.loaded import once
    from artcli.pretrained import painter

    loaded: Painter = once(painter.load, find.PAINTER, device, **where)
    return Brushwork(loaded, {loaded.name: loaded.fingerprint})


def _average(pixels: "np.ndarray") -> tuple[float, float, float]:
    """The mean colour of (H, W, 3) uint8, in 0..1, as strokes.json can hold it."""
    red, green, blue = (round(float(pixels[..., channel].mean())) / 255 for channel in range(3))
    return red, green, blue


def _second_time(work: Callable[[], object]) -> float:
    """Seconds; the first time also pays for the start."""
    work()
    started = time.monotonic()
    work()
    return time.monotonic() - started
