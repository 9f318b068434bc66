"""pix2pix ("Image-to-Image Translation with Conditional Adversarial Networks", Isola et al., 2017).

One translator learns from pairs of pictures: its output should match the partner (L1), and a discriminator that sees
input and output should take them for a real pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from artcli.models.cyclegan import check_translator, export, exports, sizes
from artcli.nn import checks
from artcli.nn.inference import inference
from artcli.nn.measure import middle, psnr
from artcli.nn.patchgan import PatchGAN, cross_entropy
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.nn.translators import Sizes, Translator, draw
from artcli.training.contract import Exported, Pair

SIDES = "paired"


@dataclass(frozen=True)
class Config:
    """The paper's, for 256 pixels.

    size: of the pictures; crop: side of the random parts of them that training looks at.  net to depthwise: of the
    translator, see nn.translators.Sizes; a U-Net of 8 levels takes multiples of 256 pixels.  l1: weight of the distance
    to the partner.  direction: AtoB or BtoA, what is learned.
    """

    size: int = 286
    crop: int = 256
    channels: int = 3
    net: str = "unet"
    width: int = 64
    blocks: int = 8
    norm: str = "batch"
    dropout: bool = True
    resize: bool = False
    depthwise: bool = False
    discriminator_width: int = 64
    l1: float = 100.0
    flip: bool = True
    direction: str = "AtoB"
    batch: int = 1
    epochs: int = 200
    lr: float = 2e-4

    def __post_init__(self) -> None:
        checks.positive(self)
        check_translator(self)

    @property
    def sizes(self) -> Sizes:
        return sizes(self)


PRESETS = {
    "paper": Config(),
    "light": Config(size=143, crop=128, width=32, blocks=7, discriminator_width=32),
}


class Model(nn.Module):
    """classes: unused; the two kinds of pictures are A and B."""

    training_only = ("discriminator",)

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.translators = nn.ModuleDict({config.direction: Translator(config.sizes)})
        self.discriminator = PatchGAN(2 * config.channels, config.discriminator_width)
        self._last: dict[str, float] = {}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        trained = {"discriminator": self.discriminator, "translator": self.translators}
        return {name: torch.optim.Adam(net.parameters(), self.config.lr, (0.5, 0.999)) for name, net in trained.items()}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Constant for the first half, then straight to 0."""
        return dict.fromkeys(("discriminator", "translator"), trapezoid(step, total, fall=0.5))

    def train_step(self, batch: Pair) -> Iterator[tuple[str, torch.Tensor]]:
        looks = batch.looks(self.config.crop, flip=self.config.flip, together=True)
        given, wanted = (2 * side - 1 for side in self._in_order(*looks))
        drawn = full(self.translators[self.config.direction](given))
        real, fake = (full(self.discriminator(torch.cat((given, side), 1))) for side in (wanted, drawn.detach()))
        yield "discriminator", (cross_entropy(real, 1.0) + cross_entropy(fake, 0.0)) / 2
        self.discriminator.requires_grad_(False)  # no gradients for it in the translator's step
        parts = {
            "fooled": cross_entropy(full(self.discriminator(torch.cat((given, drawn), 1))), 1.0),
            "l1": F.l1_loss(drawn, wanted),
        }
        self.discriminator.requires_grad_(True)
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "translator", parts["fooled"] + self.config.l1 * parts["l1"]

    def _in_order(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is given, and what is wanted."""
        return (a, b) if self.config.direction == "AtoB" else (b, a)

    @inference
    def validate(self, batch: Pair) -> dict[str, torch.Tensor]:
        """loss: mean distance to the partner in 0..1; psnr in dB."""
        _, wanted, drawn = self._middles(batch)
        return {"loss": F.l1_loss(drawn, wanted), "psnr": psnr(drawn, wanted)}

    def _middles(self, batch: Pair) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is given, wanted and drawn, in 0..1."""
        given, wanted = (middle(x, self.config.crop) for x in self._in_order(batch.images, batch.others))
        return given, wanted, draw(self.translators[self.config.direction], given).clamp(0, 1)

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last step: fooled, what the discriminator says; l1, mean distance to the partner in -1..1."""
        return self._last

    @inference
    def show(self, batch: Pair) -> torch.Tensor:
        """Rows: what is given, what is wanted, what is drawn."""
        return torch.cat(self._middles(batch))

    def export(self, folder: Path) -> None:
        export(self.translators, self.config, folder)

    def exports(self) -> dict[str, Exported]:
        return exports(self.translators, self.config)
