"""DCGAN ("Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", Radford et
al., 2015)."""

from dataclasses import dataclass

from torch import nn

from artcli.models.adversarial import Adversarial, Settings
from artcli.nn import generators, initialise
from artcli.nn.discriminator import Discriminator


@dataclass(frozen=True)
class Config(Settings):
    """64 px for two CPU cores, also for some hundreds of pictures.

    size: of the pictures, 4 doubled several times.  width: channels of the generator at half the side;
    discriminator_width: of the discriminator there.  channels to lr: see Settings.
    """

    width: int = 32
    discriminator_width: int = 32
    diffaugment: str = "color,translation,cutout"

    def __post_init__(self) -> None:
        super().__post_init__()
        generators.doublings(self.size)


PRESETS = {
    "light": Config(),
    "paper": Config(width=64, discriminator_width=64, diffaugment="", batch=128),
}


class Model(Adversarial):
    """See Adversarial."""

    norm = "batch"  # of the discriminator

    def __init__(self, config: Config, classes: int = 0, facts: int = 0):
        super().__init__(config, classes, facts)
        self.generator: nn.Module = generators.transposed(
            config.latent + self.told, config.width, config.channels, config.size
        )
        self.discriminator = Discriminator(
            config.channels, config.discriminator_width, config.size,
            layers=generators.doublings(config.size), norm=self.norm, classes=self.classes, facts=facts,
        )  # fmt: skip
        initialise.normal(self)

    def grown(self, name: str) -> str:
        """One more layer at the end of the generator, and one at the beginning of the discriminator: the layers of a
        model of half the size, and of twice the width, are the others."""
        *nets, number, part = name.split(".")
        if not number.isdigit():
            return name
        if nets == ["generator"]:
            last = 3 * generators.doublings(self.config.size) - 2  # theirs, which makes pictures
            return name if int(number) < last else ""
        return ".".join((*nets, str(int(number) + 3), part)) if int(number) else ""
