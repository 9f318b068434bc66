"""Autoencoders ("Reducing the Dimensionality of Data with Neural Networks", Hinton and Salakhutdinov, 2006).

Convolutional, in four designs.  The latent is the output of the encoder's last layer, without a ReLU: samples are drawn
from a Gaussian fitted to the latents of training pictures, and values after a ReLU are not Gaussian.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, initialise
from artcli.nn.inference import inference
from artcli.nn.latents import Gaussian, lerp
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

LOSSES = ("bce", "mse")
_SLOPE = 0.2  # of the leaky ReLUs


@dataclass(frozen=True)
class Config:
    """The small one for 32 px.

    design: one of DESIGNS, the layers.  width: channels of the first layer.  latent: numbers of the latent vector, of
    design `vector` only; elsewhere the layers decide.  dropout: part of the latents that is left out in training.
    loss: `bce` (mean binary cross-entropy) or `mse`.
    """

    design: str = "pairs"
    size: int = 32
    channels: int = 3
    width: int = 16
    latent: int = 0
    dropout: float = 0.0
    loss: str = "bce"
    batch: int = 64
    epochs: int = 15
    lr: float = 1e-3

    def __post_init__(self) -> None:
        checks.positive(self, {"latent", "dropout"})
        checks.below_one(self, "dropout")
        checks.one_of(self, "design", DESIGNS)
        checks.one_of(self, "loss", LOSSES)
        checks.divisible(self.size, DESIGNS[self.design].factor)
        if bool(self.latent) != (self.design == "vector"):
            raise UsageError("latent is the length of design vector's latents (preset monet), and of no other design")


# Layers: each design gives encoder and decoder as lists, and the shape of the feature map between them ---------------

Layers = tuple[list[nn.Module], list[nn.Module], tuple[int, int, int]]


def _pairs(config: Config) -> Layers:
    """Two 3x3 convolutions before each of three poolings; the way back with transposed ones, k3 s1 and k2 s2."""
    widths = [config.width * factor for factor in (1, 2, 4)]
    encoder: list[nn.Module] = []
    for before, width in zip([config.channels, *widths], widths, strict=False):
        encoder += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        encoder += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    del encoder[-2]  # no ReLU at the latent
    decoder: list[nn.Module] = []
    for width, after in zip(widths[::-1], [*widths[-2::-1], config.channels], strict=True):
        decoder += [nn.ConvTranspose2d(width, width, 3, padding=1), nn.ReLU()]
        decoder += [nn.ConvTranspose2d(width, after, 2, stride=2), nn.ReLU()]
    return encoder, decoder[:-1], (widths[-1], config.size // 8, config.size // 8)


def _narrow(config: Config) -> Layers:
    """3x3 convolutions with half as many channels after each of five poolings, down to one; back by enlarging.

    With one or two channels a plain ReLU that is off for every picture ends the training; a leaky one recovers.
    """
    widths = [max(1, config.width >> halvings) for halvings in range(5)]
    encoder: list[nn.Module] = []
    for before, width in zip([config.channels, *widths], widths, strict=False):
        encoder += [nn.Conv2d(before, width, 3, padding=1), nn.LeakyReLU(_SLOPE), nn.MaxPool2d(2)]
    del encoder[-2]
    decoder: list[nn.Module] = []
    back = [*widths[-2::-1], config.channels]
    for width, after in zip([widths[-1], *back], back, strict=False):
        decoder += [nn.Upsample(scale_factor=2), nn.Conv2d(width, after, 3, padding=1), nn.LeakyReLU(_SLOPE)]
    return encoder, decoder[:-1], (widths[-1], config.size // 32, config.size // 32)


def _strided(config: Config) -> Layers:
    """Five 3x3 convolutions of stride 2, five transposed ones and a last 3x3 convolution."""
    down = [config.width * factor for factor in (1, 1, 2, 2, 1)]
    up = [config.width * factor for factor in (1, 1, 1, 2, 2)]
    encoder = _halvings(config.channels, down)[:-1]
    decoder = [*_doublings(down[-1], up), nn.Conv2d(up[-1], config.channels, 3, padding=1)]
    return encoder, decoder, (down[-1], config.size // 32, config.size // 32)


def _vector(config: Config) -> Layers:
    """Four 3x3 convolutions of stride 2 and a full layer to a vector of any length; back by the same way."""
    widths = [config.width * factor for factor in (1, 2, 4, 8)]
    shape = (widths[-1], config.size // 16, config.size // 16)
    features = widths[-1] * shape[1] * shape[2]
    encoder = [*_halvings(config.channels, widths), nn.Flatten(), nn.Linear(features, config.latent)]
    decoder = [nn.Linear(config.latent, features), nn.LeakyReLU(_SLOPE), nn.Unflatten(1, shape)]
    up = [*widths[-2::-1], widths[0]]
    decoder += [*_doublings(widths[-1], up), nn.Conv2d(up[-1], config.channels, 3, padding=1)]
    return encoder, decoder, (config.latent, 1, 1)


def _halvings(before: int, widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        before = width
    return layers


def _doublings(before: int, widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.ConvTranspose2d(before, width, 3, stride=2, padding=1, output_padding=1), nn.LeakyReLU(_SLOPE)]
        before = width
    return layers


@dataclass(frozen=True)
class Design:
    """How the layers are made, and the factor by which they make the side smaller."""

    layers: Callable[[Config], Layers]
    factor: int


DESIGNS = {
    "pairs": Design(_pairs, 8),
    "narrow": Design(_narrow, 32),
    "strided": Design(_strided, 32),
    "vector": Design(_vector, 16),
}

PRESETS = {
    "cifar10": Config(),
    "flowers-1": Config("narrow", size=256, loss="mse", batch=16, epochs=100),
    "flowers-2": Config("strided", size=256, width=32, loss="mse", batch=16, epochs=100),
    "monet": Config("vector", size=64, width=32, latent=256, dropout=0.1, loss="mse", batch=32, epochs=300),
}


class Model(nn.Module):
    """Pictures (B, C, H, W) in 0..1 to latents (B, D) and back.

    The latents of design `vector` are in 0..1, others are any numbers.  Classes make no difference.
    """

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config, self.classes = config, 0
        encoder, decoder, shape = DESIGNS[config.design].layers(config)
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.decoder = nn.Sequential(*([] if config.latent else [nn.Unflatten(1, shape)]), *decoder)
        self.statistics = Gaussian(shape[0] * shape[1] * shape[2])  # before the sigmoid, where there is one
        initialise.he(self)

    def _squash(self, codes: torch.Tensor) -> torch.Tensor:
        return codes.sigmoid() if self.config.latent else codes

    def _codes(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in 0..1 to (B, D) before the sigmoid."""
        return full(self.encoder(images * 2 - 1))

    def _loss(self, logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        logits = full(logits)
        if self.config.loss == "bce":
            return F.binary_cross_entropy_with_logits(logits, images)
        return F.mse_loss(logits.sigmoid(), images)

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"autoencoder": torch.optim.Adam(self.parameters(), self.config.lr)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"autoencoder": trapezoid(step, total)}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        codes = self._squash(self._codes(batch.images))
        if self.config.dropout:
            kept = batch.uniform(codes.shape[1]) >= self.config.dropout
            codes = codes * kept / (1 - self.config.dropout)
        yield "autoencoder", self._loss(self.decoder(codes), batch.images)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss (the configured one), bce and mse, means over the numbers of the pictures."""
        logits = full(self.decoder(self._squash(self._codes(batch.images))))
        return {
            "loss": self._loss(logits, batch.images),
            "bce": F.binary_cross_entropy_with_logits(logits, batch.images),
            "mse": F.mse_loss(logits.sigmoid(), batch.images),
        }

    @inference
    def fit(self, batches: Iterator[Batch]) -> None:
        """Estimate the Gaussian of the latents, from about 4,000 pictures at most."""
        self.statistics.fit(self._codes(batch.images) for batch in batches)

    # samples --------------------------------------------------------------------------------------------------------

    def generate(self, seeds: Sequence[int], labels: torch.Tensor | None = None, truncation: float = 1.0):
        """Pictures (N, C, H, W) in 0..1; labels are of no meaning here."""
        return self.decode(self.latents(seeds, truncation))

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D)."""
        return self._squash(self._codes(images))

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D) to (N, C, H, W) in 0..1."""
        return full(self.decoder(latents)).sigmoid()

    @inference
    def latents(self, seeds: Sequence[int], truncation: float = 1.0) -> torch.Tensor:
        """(N, D) from the Gaussian of the training pictures' latents; truncation 0 gives its middle."""
        return self._squash(self.statistics.draw(seeds, truncation))

    def exports(self) -> dict[str, Exported]:
        images = pictures("images", self.config.channels, self.config.size, self.config.size)
        bounds = (0, 1) if self.config.latent else (-math.inf, math.inf)
        latents = Port("latents", (BATCH, self.statistics.mean.shape[0]), *bounds)
        return {
            "encoder": Exported(self.encode, (self.encoder,), (images,), (latents,)),
            "decoder": Exported(self.decode, (self.decoder,), (latents,), (images,)),
        }

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way: these latents lie on no sphere."""
        return lerp(start, end, part)
