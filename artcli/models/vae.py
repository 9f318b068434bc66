"""Variational autoencoders ("Auto-Encoding Variational Bayes", Kingma and Welling, 2014).

The balance of the two losses decides whether it learns.  Here both are sums: the error over the pixels, the divergence
over the latents.  The mean over the pixels (`literal`) makes the error thousands of times smaller: the posterior
collapses, and every sample is the mean picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks
from artcli.nn.inference import inference
from artcli.nn.labels import forget, learned, one_hot, unknown
from artcli.nn.latents import normal, slerp
from artcli.nn.parts import Parts
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.training import parallel
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

NOISES = ("fixed", "fitted")
_SLOPE = 0.2  # of the leaky ReLUs
_FOLLOW = 0.02  # weight of a step in the running mean of the fitted variance
_COLLAPSED = 0.1  # nats; a latent that carries less counts as collapsed


@dataclass(frozen=True)
class Config:
    """The report's net for 64 px.

    design: one of DESIGNS, the layers.  width: channels of the first layer.  latent: numbers of a latent.
    beta: weight of the divergence ("beta-VAE", Higgins et al., 2017).  warm_up: steps in which it grows from 0,
    at most half of the run.
    noise: `fixed` takes the squared error as it is; `fitted` divides it by twice the mean error of the last steps, as
    the likelihood of a Gaussian whose variance is learned has it ("sigma-VAE", Rybkin et al., 2021).
    literal: mean error plus summed divergence, as the reports have it, for comparison.
    conditional: encoder and decoder are told the class.
    """

    design: str = "strided"
    size: int = 64
    channels: int = 3
    width: int = 32
    latent: int = 100
    beta: float = 0.5
    warm_up: int = 0
    noise: str = "fixed"
    literal: bool = False
    conditional: bool = False
    batch: int = 100
    epochs: int = 100
    lr: float = 2e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"beta", "warm_up"})
        checks.one_of(self, "design", DESIGNS)
        checks.one_of(self, "noise", NOISES)
        checks.divisible(self.size, DESIGNS[self.design].factor)
        if self.literal and self.noise == "fitted":
            raise UsageError("literal compares the plain form; it goes with noise=fixed")


# Layers: each design gives encoder and decoder as lists, and the shape of the feature map between them ---------------

Layers = tuple[list[nn.Module], list[nn.Module], tuple[int, int, int]]


def _strided(config: Config) -> Layers:
    """Five convolutions of stride 2; a transposed one that keeps the side, five that double it, a last convolution."""
    widths = [config.width * factor for factor in (1, 2, 4, 8, 16)]
    encoder: list[nn.Module] = []
    for before, width in zip([config.channels, *widths], widths, strict=False):
        encoder += [nn.Conv2d(before, width, 3, stride=2, padding=1), *_normalised(width)]
    decoder = [nn.ConvTranspose2d(widths[-1], widths[-1], 3, padding=1), *_normalised(widths[-1])]
    back = [*widths[-2::-1], widths[0]]
    for before, width in zip([widths[-1], *back], back, strict=False):
        decoder += [_doubling(before, width), *_normalised(width)]
    decoder += [nn.Conv2d(widths[0], config.channels, 3, padding=1), nn.Tanh()]
    return encoder, decoder, (widths[-1], config.size // 32, config.size // 32)


def _normalised(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.LeakyReLU(_SLOPE)]


def _doubling(before: int, width: int) -> nn.Module:
    return nn.ConvTranspose2d(before, width, 3, stride=2, padding=1, output_padding=1)


def _pooled(config: Config) -> Layers:
    """Five convolutions with fewer and fewer channels, each pooled; a long way back with more and fewer again."""
    width = config.width
    encoder: list[nn.Module] = []
    before = config.channels
    for after in (width * factor for factor in (16, 8, 4, 2, 1)):
        encoder += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(after)]
        before = after
    decoder: list[nn.Module] = []
    for kind, factor in (
        ("conv", 1), ("up", 2), ("conv", 2), ("up", 4), ("conv", 4), ("up", 8), ("up", 16), ("up", 4), ("conv", 2),
        ("conv", 1),
    ):  # fmt: skip
        after = width * factor
        layer = _doubling(before, after) if kind == "up" else nn.Conv2d(before, after, 3, padding=1)
        decoder += [layer, nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    # No normalisation before the sigmoid: it would fix the brightness and contrast that pictures have on average.
    decoder += [nn.Conv2d(width, config.channels, 3, padding=1), nn.Sigmoid()]
    return encoder, decoder, (width, config.size // 32, config.size // 32)


def _resized(config: Config) -> Layers:
    """Six convolutions of stride 2; back by enlarging and convolving, which leaves no chequered pattern.

    The last doubling only rearranges channels: at full side a convolution costs as much as all others together.
    """
    widths = [config.width * factor for factor in (1, 2, 4, 8, 8, 8)]
    encoder: list[nn.Module] = []
    for before, width in zip([config.channels, *widths], widths, strict=False):
        encoder += [nn.Conv2d(before, width, 3, stride=2, padding=1), *_normalised(width)]
    decoder: list[nn.Module] = []
    for before, width in zip(widths[::-1], widths[-2::-1], strict=False):
        decoder += [nn.Upsample(scale_factor=2), nn.Conv2d(before, width, 3, padding=1), *_normalised(width)]
    decoder += [nn.Conv2d(widths[0], 4 * config.channels, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()]
    return encoder, decoder, (widths[-1], config.size // 64, config.size // 64)


@dataclass(frozen=True)
class Design:
    """How the layers are made, the factor by which they make the side smaller, and the least value of a pixel."""

    layers: Callable[[Config], Layers]
    factor: int
    black: float  # the decoder's black; its white is 1


DESIGNS = {
    "strided": Design(_strided, 32, -1.0),
    "pooled": Design(_pooled, 32, 0.0),
    "resized": Design(_resized, 64, 0.0),
}

PRESETS = {
    "abstract-64": Config(),
    "abstract-128": Config("pooled", size=128, width=16, batch=32),
    "conv-256": Config("resized", size=256, latent=256, beta=1.0, warm_up=500, noise="fitted", batch=32, lr=1e-3),
}


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL of the normal distributions (B, D) from the standard normal one, in nats per picture and latent, (B, D)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


class Model(nn.Module):
    """Pictures (B, C, H, W) in 0..1 to latents (B, D) that together are about standard normal, and back.

    classes: of the training pictures.  Raises UsageError when the model is to be conditional and there are none.
    Where labels are asked for, `classes` or None stands for an unknown class.
    """

    variance: torch.Tensor  # (), mean squared error per number of a picture over the last steps
    done: torch.Tensor  # (), steps

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.classes = learned(config.conditional, classes)
        design = DESIGNS[config.design]
        encoder, decoder, shape = design.layers(config)
        features = shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.posterior = nn.Linear(features + self.classes, 2 * config.latent)
        self.decoder = nn.Sequential(
            nn.Linear(config.latent + self.classes, features), nn.Unflatten(1, shape), *decoder
        )
        self.black = design.black
        self.register_buffer("variance", torch.tensor(0.06 * (1 - self.black) ** 2))  # of pictures around their mean
        self.register_buffer("done", torch.zeros((), dtype=torch.long))
        self._parts = Parts()
        self._seen: dict[str, torch.Tensor] = {}
        self._rise = config.warm_up

    def _look(self, images: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance, (B, D) each, of the latents that fit pictures in 0..1."""
        features = self.encoder(images * 2 - 1)
        found = full(self.posterior(torch.cat((features, one_hot(known, self.classes)), 1)))
        mean, log_variance = found.chunk(2, 1)
        return mean, log_variance.clamp(-20, 10)  # exp of more overflows, and a start can be that far out

    def _draw(self, codes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Latents (B, D) to (B, C, H, W) in black..1."""
        return full(self.decoder(torch.cat((codes, one_hot(known, self.classes)), 1)))

    def _known(self, given: torch.Tensor | None, count: int) -> torch.Tensor:
        if given is None or not self.classes:
            return unknown(count, self.classes, self.variance.device)
        return given

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"vae": torch.optim.Adam(self.parameters(), self.config.lr)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        self._rise = min(self.config.warm_up, total // 2)  # a run that ends during the warm-up draws useless samples
        return {"vae": trapezoid(step, total)}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        known = self._known(batch.labels, len(batch))
        if self.classes:
            known = forget(known, batch.uniform(), self.classes)
        error, nats = self._errors(batch, known)
        squares = error.detach().sum() / math.prod(batch.images.shape[1:])
        self._parts.add(batch.first, len(batch), squares, squares.new_tensor(len(batch)))
        self._seen = {
            "kl": nats.detach().sum(1).mean(),
            "error": error.detach().mean(),
            "latents": nats.detach().mean(0),
        }
        part = min(1.0, (int(self.done) + 1) / self._rise) if self._rise else 1.0
        yield "vae", self._loss(error, nats, part * self.config.beta)

    def _errors(self, batch: Batch, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared error of each picture, (B,), summed over its numbers, and the divergence of each latent, (B, D)."""
        mean, log_variance = self._look(batch.images, known)
        codes = mean + (log_variance / 2).exp() * batch.normal(self.config.latent)
        wanted = self.black + (1 - self.black) * batch.images
        return (self._draw(codes, known) - wanted).square().flatten(1).sum(1), divergence(mean, log_variance)

    def _loss(self, error: torch.Tensor, nats: torch.Tensor, beta: float) -> torch.Tensor:
        numbers = self.config.channels * self.config.size**2
        if self.config.literal:
            error = error / numbers
        if self.config.noise == "fitted":  # minus the log likelihood, in nats
            error = error / (2 * self.variance) + numbers / 2 * (2 * math.pi * self.variance).log()
        return error.mean() + beta * nats.sum(1).mean()

    def after_step(self, step: int) -> None:
        squares, count = (parallel.all_sum(total) for total in self._parts.take())
        self.variance.lerp_((squares / count).clamp_min(1e-5), _FOLLOW)
        self.done += 1

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss with the full beta; error, summed over the numbers of a picture; kl in nats per picture."""
        error, nats = self._errors(batch, self._known(batch.labels, len(batch)))
        return {
            "loss": self._loss(error, nats, self.config.beta),
            "error": error.mean(),
            "kl": nats.sum(1).mean(),
        }

    @property
    def metrics(self) -> dict[str, float]:
        """kl and error of the last step, as in `validate`, and the number of latents that say something."""
        if not self._seen:
            return {}
        active = (self._seen["latents"] > _COLLAPSED).sum()
        return {"kl": float(self._seen["kl"]), "error": float(self._seen["error"]), "active": float(active)}

    def warnings(self) -> list[str]:
        """One line when the latents of the last step carried nothing."""
        seen = self.metrics
        if not seen or seen["active"] > 0:
            return []
        advice = "train without literal" if self.config.literal else "lower beta, or set noise=fitted and warm_up=500"
        return [f"posterior collapse: latents carry {seen['kl']:.2f} nats, all samples will look alike; {advice}"]

    # samples --------------------------------------------------------------------------------------------------------

    def generate(self, seeds: Sequence[int], labels: torch.Tensor | None = None, truncation: float = 1.0):
        """Pictures (N, C, H, W) in 0..1, of the classes `labels` (N,) where the model is conditional."""
        return self.decode(self.latents(seeds, truncation), labels)

    def reconstruct(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.decode(self.encode(images, labels), labels)

    @inference
    def encode(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D), the means of their posteriors."""
        return self._look(images, self._known(labels, images.shape[0]))[0]

    @inference
    def decode(self, latents: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Latents (N, D) to (N, C, H, W) in 0..1."""
        drawn = self._draw(latents, self._known(labels, latents.shape[0]))
        return (drawn - self.black) / (1 - self.black)

    def latents(self, seeds: Sequence[int], truncation: float = 1.0) -> torch.Tensor:
        """Standard normal latents (N, D) times the truncation, row i from seeds[i] alone."""
        return truncation * normal(seeds, (self.config.latent,)).to(self.variance.device)

    def exports(self) -> dict[str, Exported]:
        """A conditional model also takes labels, where the number of classes stands for an unknown one."""
        images = pictures("images", self.config.channels, self.config.size, self.config.size)
        latents = Port("latents", (BATCH, self.config.latent))
        labels = (Port("labels", (BATCH,), 0, self.classes, whole=True),) if self.classes else ()
        return {
            "encoder": Exported(self.encode, (self.encoder, self.posterior), (images, *labels), (latents,)),
            "decoder": Exported(self.decode, (self.decoder,), (latents, *labels), (images,)),
        }

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The way along the sphere on which Gaussian latents lie."""
        return slerp(start, end, part)
