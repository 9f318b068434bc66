"""A super-resolver of factor 2 ("Enhanced Deep Residual Networks for Single Image Super-Resolution", Lim et al., 2017).

Residual blocks without normalisation at the small size, then channels become pixels ("Real-Time Single Image and Video
Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", Shi et al., 2016).  What the net adds goes
on top of a bicubic enlargement.  Twice gives factor 4.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn import checks
from artcli.nn.inference import inference
from artcli.nn.measure import psnr
from artcli.nn.schedule import trapezoid
from artcli.nn.upscaler import Upscaler
from artcli.pretrained import half
from artcli.pretrained.perceptual import Perceptual
from artcli.pretrained.upscaler import FILE
from artcli.training.contract import Batch, Exported, pictures, sides


@dataclass(frozen=True)
class Config:
    """size: of the pictures; crop: side of the random parts that are learned from.  width, blocks: of the net.

    perceptual: weight of the perceptual distance, measured with `net`, added to the absolute error; without it fine
    texture is blurred.  noise: largest standard deviation of the noise added to the small picture, so that the net does
    not sharpen noise as texture.
    """

    size: int = 256
    crop: int = 96
    channels: int = 3
    width: int = 48
    blocks: int = 12
    perceptual: float = 0.1
    net: str = "clip-mini"
    noise: float = 0.02
    batch: int = 16
    epochs: int = 40
    lr: float = 4e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"perceptual", "noise"})
        checks.divisible(self.crop, 2)
        checks.divisible(self.size, 2)


PRESETS = {"default": Config()}


class Model(nn.Module):
    """classes: unused."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.net = Upscaler(config.width, config.blocks, config.channels)
        self._last: dict[str, float] = {}

    @functools.cached_property
    def _distance(self) -> Perceptual:
        return Perceptual(self.config.net)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"upscaler": torch.optim.Adam(self.parameters(), self.config.lr)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"upscaler": trapezoid(step, total, min(500, total // 20), fall=0.5)}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        images = batch.crops(self.config.crop)
        small = shrink(images)
        amount = self.config.noise * batch.uniform(1, 1, 1)
        drawn = self.net(small + amount * batch.normal(*small.shape[1:]))
        parts = self._errors(drawn, images)
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "upscaler", self._loss(parts)

    def _errors(self, drawn: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {"l1": (drawn - images).abs().mean()}
        if self.config.perceptual:
            found["perceptual"] = self._distance(drawn, images).mean()
        return found

    def _loss(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        return parts["l1"] + self.config.perceptual * parts.get("perceptual", torch.zeros(()))

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss; l1; perceptual; psnr in dB."""
        drawn = self.net(shrink(batch.images))
        parts = self._errors(drawn, batch.images)
        return {"loss": self._loss(parts), **parts, "psnr": psnr(drawn.clamp(0, 1), batch.images)}

    @property
    def metrics(self) -> dict[str, float]:
        return self._last

    @inference
    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 at half the size, and enlarged again."""
        return self._enlarge(shrink(images))

    def _enlarge(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to (N, C, 2 H, 2 W) in 0..1."""
        return self.net(images).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """Write fp16 safetensors with the net's sizes."""
        sizes = {name: getattr(self.config, name) for name in ("width", "blocks", "channels")}
        half.export(folder / FILE, self.net.state_dict(), upscaler=sizes)

    def exports(self) -> dict[str, Exported]:
        given = pictures("images", self.config.channels, *sides(self.config.crop // 2))
        drawn = pictures("enlarged", self.config.channels, "2*height", "2*width")
        return {"upscaler": Exported(self._enlarge, (self.net,), (given,), (drawn,))}


def shrink(images: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) at half the size, without aliases."""
    return F.interpolate(images, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
