"""The first GAN: two nets of layers that see everything ("Generative Adversarial Nets", Goodfellow et al., 2014).

On MNIST it draws digits in minutes; on photographs, which have no fixed places, it soon draws one of a few pictures.
"""

from dataclasses import dataclass

import torch
from torch import nn

from artcli.models.adversarial import Adversarial, Settings, Told
from artcli.nn import generators
from artcli.nn.discriminator import DenseDiscriminator


@dataclass(frozen=True)
class Config(Settings):
    """Handwritten digits.

    widths: numbers between the layers of the generator; discriminator_widths: of the discriminator.
    size to lr: see Settings.
    """

    size: int = 28
    channels: int = 1
    latent: int = 64
    widths: tuple[int, ...] = (128, 256, 512, 1024)
    discriminator_widths: tuple[int, ...] = (512, 256, 128)
    batch: int = 128
    epochs: int = 50


PRESETS = {"mnist": Config()}


class Model(Adversarial):
    """See Adversarial; pictures of any size."""

    def __init__(self, config: Config, classes: int = 0, facts: int = 0):
        super().__init__(config, classes, facts)
        shape = config.channels, config.size
        self.generator: nn.Module = generators.dense(config.latent + self.told, config.widths, *shape)
        self.discriminator = DenseDiscriminator(
            config.channels, config.discriminator_widths, config.size, self.classes, facts
        )

    def _draw(self, codes: torch.Tensor, known: Told) -> torch.Tensor:
        return super()._draw(codes, known) * 2 - 1  # this generator ends in 0..1
