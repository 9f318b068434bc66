"""VQGAN ("Taming Transformers for High-Resolution Image Synthesis", Esser et al., 2021, section 3.1).

An autoencoder whose latents are a grid of codes, trained with the absolute error, a perceptual distance and a patch
discriminator.  The codebook is updated by running means; unused codes are moved.  `export` writes the layout of the
paper's own checkpoints.
"""

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artcli.errors import UsageError
from artcli.models.vqvae import Grid
from artcli.nn import checks
from artcli.nn.discriminator import Discriminator
from artcli.nn.inference import inference
from artcli.nn.initialise import take_over
from artcli.nn.latents import lerp
from artcli.nn.measure import VARIANCE, middle, psnr
from artcli.nn.patchgan import PatchGAN, cross_entropy, hinge
from artcli.nn.precision import full
from artcli.nn.quantise import VectorQuantiser
from artcli.nn.schedule import trapezoid
from artcli.nn.spectral import PATCH, spectral
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.pretrained import half, vqgan
from artcli.pretrained.perceptual import Perceptual
from artcli.training import parallel
from artcli.training.contract import Batch, Exported

LEARN = ("all", "decoder")
ERRORS, DISCRIMINATORS = ("split", "absolute", "squared"), ("patches", "whole")
_LEAST = 32  # pixels that the discriminator's layers need
_HEAVIEST = 1e4  # weight that the discriminator can get (the paper's code)


@dataclass(frozen=True)
class Config:
    """The preset mini: 8 pixels a code, small enough to draw with on a CPU.

    size: of the pictures; crop: side of the random parts of them that training looks at, 0 for the whole.
    widths: channels from the full resolution down, each level half the sides of the one before.  blocks: residual
    blocks a level.  attention: at the lowest level.  groups: of the normalisations.  codes, code_width: the codebook.
    decay: of its running means; at 0 gradients move it.
    error: "split", the absolute error of the brightness beside that of the colours; "absolute", that of all channels
    alike, of values in -1..1, as in the paper; "squared", over the variance of natural pictures.
    color: weight of the absolute error of the colours beside that of the brightness.  commitment: pull of the features
    to their codes.  warm_up: steps in which a falling part of the features reaches the decoder as they are.
    perceptual: weight of the perceptual distance, measured with `net`; perceptual_start: steps without it.
    spectral: weight of the distance of the patches' spectra, which a perceptual distance alone leaves open: it fills
    flat parts with fine stripes that its net does not see.
    groups: 0 for plain networks of strided convolutions without normalisation, whose width is the last of `widths`.
    discriminator: "patches" with the hinge loss, or "whole" pictures with the minimax loss, which `adversary` weighs as
    it is.
    adversary: weight of the discriminator's loss, after it was scaled to the gradient of the other losses at the last
    layer; discriminator_start: first steps without the discriminator; discriminator_ahead: steps in which it alone
    learns before its loss counts.  An untrained discriminator spoils the pictures, and so does one that always wins:
    from discriminator_start on, a lower lr, such as 2e-4, keeps the two in balance.
    start: a bundled name, a run's model/ or a file: go on from its weights.  learn: "all", or "decoder" alone, so that
    the codes of pictures stay what they were and all that was made for them still fits; it needs a `start`.
    """

    size: int = 128
    crop: int = 64
    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 128, 160)
    blocks: int = 1
    attention: bool = False
    groups: int = 8
    codes: int = 1024
    code_width: int = 64
    decay: float = 0.99
    error: str = "split"
    color: float = 2.0
    commitment: float = 0.25
    warm_up: int = 1000
    perceptual: float = 1.0
    perceptual_start: int = 0
    spectral: float = 0.0
    net: str = "clip-mini"
    discriminator: str = "patches"
    adversary: float = 0.1
    discriminator_start: int = 10_000
    discriminator_ahead: int = 60
    discriminator_lr: float = 1e-4
    discriminator_width: int = 32
    batch: int = 16
    epochs: int = 20
    lr: float = 1e-3
    start: str = ""
    learn: str = "all"

    def __post_init__(self) -> None:
        checks.positive(
            self,
            {
                "crop",
                "commitment",
                "decay",
                "groups",
                "attention",
                "warm_up",
                "perceptual",
                "perceptual_start",
                "spectral",
                "adversary",
                "discriminator_start",
                "discriminator_ahead",
            },
        )
        checks.below_one(self, "decay")
        checks.one_of(self, "error", ERRORS)
        checks.one_of(self, "discriminator", DISCRIMINATORS)
        checks.one_of(self, "learn", LEARN)
        if self.learn == "decoder" and not self.start:
            raise UsageError(
                "a decoder alone needs codes to learn from: give start=vqgan-mini, a run's model/ or a file"
            )
        for side in {self.size, self.crop} - {0}:
            checks.divisible(side, self.sizes.factor)
        if self.adversary and (self.crop or self.size) < _LEAST:
            raise UsageError(
                f"the discriminator needs crops of at least {_LEAST} pixels, not {self.crop}; or set adversary=0"
            )
        if self.spectral and (self.crop or self.size) < PATCH:
            raise UsageError(f"spectra are of patches of {PATCH} pixels: set crop to that at least, or spectral=0")
        if self.crop > self.size:
            raise UsageError(f"crop {self.crop} is larger than the pictures' size {self.size}")
        if wrong := [width for width in self.widths if self.groups and width % self.groups]:
            raise UsageError(f"widths {wrong[0]} cannot be divided into {self.groups} groups")
        if self.perceptual and self.channels != 3:
            raise UsageError("the perceptual distance needs colour pictures: set perceptual=0 for grey ones")

    @property
    def sizes(self) -> Sizes:
        return Sizes(
            widths=self.widths,
            blocks=self.blocks,
            attention=(len(self.widths) - 1,) if self.attention else (),
            middle=self.attention,
            latent=self.code_width,
            codes=self.codes,
            code_width=self.code_width,
            channels=self.channels,
            groups=self.groups,
        )


_CIFAR = Config(
    size=32, crop=0, widths=(128, 128, 128), blocks=2, groups=0, codes=512, code_width=64, error="squared",
    commitment=1.0, warm_up=0, perceptual=0.0, discriminator="whole", adversary=0.001, discriminator_start=2300,
    discriminator_ahead=0, discriminator_lr=2e-4, discriminator_width=64, batch=128, epochs=20,
)  # fmt: skip
_PAPER = Config(
    size=256, crop=0, widths=(128, 128, 256, 256, 512), blocks=2, attention=True, groups=32, code_width=256, decay=0.0,
    error="absolute", warm_up=0, net="vgg19", adversary=0.8, discriminator_ahead=0, discriminator_lr=5.4e-5,
    discriminator_width=64, batch=12, lr=5.4e-5,
)  # fmt: skip
PRESETS = {
    "mini": Config(),
    "cifar10": _CIFAR,  # discriminator_start: six and a half epochs
    "cifar10-cold": replace(_CIFAR, discriminator_start=0),  # without these epochs, for comparison
    "paper-f16": _PAPER,
    "paper-f8": replace(_PAPER, widths=(128, 128, 256, 512), codes=8192),
}


class Model(nn.Module):
    """Pictures (B, C, H, W) in 0..1, sides multiples of the factor, to grids of codes and back."""

    training_only = ("discriminator",)

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.net = VQGAN(config.sizes)
        if config.groups:
            _pass_on(self.net)
        del self.net.quantize  # it is trained as:
        self.quantiser = VectorQuantiser(config.codes, config.code_width, config.decay)
        self.discriminator = _discriminator(config) if config.adversary else None
        if config.start:
            self._take_over(config.start)
        self.step = 0
        self._last: dict[str, float] = {}

    @functools.cached_property
    def _distance(self) -> Perceptual:
        return Perceptual(self.config.net)

    def _take_over(self, start: str) -> None:
        """Begin with the weights of a finished VQGAN.  Raises UsageError, WeightsError: it is missing or another."""
        given = vqgan.load(start, torch.device("cpu"), encodes=True).state_dict()
        book = given.pop("quantize.embedding.weight", None)
        take_over(self.net, given, start)
        if book is None or book.shape != self.quantiser.codebook.shape:
            raise UsageError(f"start={start} has other codes than these settings ask for")
        with torch.no_grad():
            self.quantiser.codebook.copy_(book)

    # training -------------------------------------------------------------------------------------------------------

    @property
    def _decodes_only(self) -> bool:
        return self.config.learn == "decoder"

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        learned = [*self.net.parameters(), *self.quantiser.parameters()]
        if self._decodes_only:
            learned = [*self.net.post_quant_conv.parameters(), *self.net.decoder.parameters()]
        found: dict[str, torch.optim.Optimizer] = {"vqgan": torch.optim.Adam(learned, self.config.lr, (0.9, 0.99))}
        if self.discriminator is not None:
            found["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), self.config.discriminator_lr, (0.5, 0.9)
            )
        return found

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return dict.fromkeys(("vqgan", "discriminator"), trapezoid(step, total, min(500, total // 20)))

    def begin(self, step: int) -> None:
        self.step = step

    def worst_step(self, total: int) -> int:
        return total - 1  # with the discriminator, if it ever starts

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        images = self._crop(batch)
        rebuilt, features, codes = self._through(images, batch)
        if not self._decodes_only:
            self.quantiser.observe(features, codes, batch.first, batch.whole, batch.rng)
        parts = self._errors(images, rebuilt, self.step >= self.config.perceptual_start)
        alike = self._alike(parts)
        loss = alike if self._decodes_only else alike + self.quantiser.loss(features, codes, self.config.commitment)
        discriminator = self.discriminator if self.step >= self.config.discriminator_start else None
        if discriminator is not None and self.step >= self.config.discriminator_start + self.config.discriminator_ahead:
            found, weight = self._adversary(alike, full(discriminator(rebuilt)))
            loss = loss + found
            parts |= {"weight": weight}
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "vqgan", loss
        if discriminator is not None:
            real, fake = (full(discriminator(side)) for side in (images, rebuilt.detach()))
            self._last |= {"real": float(real.detach().mean()), "fake": float(fake.detach().mean())}
            yield "discriminator", self._judged(real, fake)

    def _adversary(self, alike: torch.Tensor, judged: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The weighted loss of what the discriminator says of rebuilt pictures, and the weight.

        alike: the other losses.
        """
        if self.config.discriminator == "whole":
            weight = torch.tensor(self.config.adversary, device=judged.device)
            return -weight * cross_entropy(judged, 0.0), weight  # what the discriminator wins is lost
        fooled = -judged.mean()
        weight = self._weight(alike, fooled)
        return weight * fooled, weight

    def _judged(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """The discriminator's loss."""
        if self.config.discriminator == "whole":
            return (cross_entropy(real, 1.0) + cross_entropy(fake, 0.0)) / 2
        return hinge(real, fake)

    @property
    def _error(self) -> str:
        """Which of the errors is learned from."""
        return "l1" if self.config.error == "split" else self.config.error

    def _crop(self, batch: Batch) -> torch.Tensor:
        """A part of each picture at a place of its own."""
        images = batch.crops(self.config.crop) if self.config.crop else batch.images
        return images.contiguous(memory_format=torch.channels_last)

    def _through(self, images: torch.Tensor, learning: Batch | None = None) -> tuple[torch.Tensor, ...]:
        """Pictures rebuilt, (B, C, H, W) roughly in 0..1; features, (B, W, h, w); their codes, (B, h, w)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._decodes_only):
            features = full(self.net.encode(images))
            vectors, codes = self.quantiser(features)
        if learning is None or self._decodes_only or self.step >= self.config.warm_up:
            return self.net.decode(vectors), features, codes
        as_they_are = learning.uniform(1, *features.shape[2:]) >= self.step / self.config.warm_up
        return self.net.decode(torch.where(as_they_are, features, vectors)), features, codes

    def _errors(self, images: torch.Tensor, rebuilt: torch.Tensor, perceptual: bool) -> dict[str, torch.Tensor]:
        error = rebuilt - images
        brightness = error.mean(1, keepdim=True)  # larger than the error of the colours, whose signs it would decide
        if self.config.error == "split":
            found = {"l1": brightness.abs().mean() + self.config.color * (error - brightness).abs().mean()}
        else:
            found = {self._error: _plain_errors(error)[self._error]}
        if perceptual and self.config.perceptual:
            found["perceptual"] = self._distance(rebuilt, images).mean()
        if self.config.spectral:
            found["spectral"] = spectral(rebuilt, images).mean()
        return found

    def _alike(self, parts: dict[str, Any]) -> Any:
        """The weighted sum of the errors."""
        config = self.config
        alike = parts[self._error] + config.perceptual * parts.get("perceptual", 0.0)
        return alike + config.spectral * parts.get("spectral", 0.0)

    def _weight(self, alike: torch.Tensor, fooled: torch.Tensor) -> torch.Tensor:
        """What makes the discriminator's gradient at the last layer as long as that of the error (equation 7)."""
        last: Any = self.net.decoder.conv_out.weight
        wanted, found = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (alike, fooled))
        return self.config.adversary * (wanted / (found + 1e-4)).clamp(max=_HEAVIEST).detach()

    def after_step(self, step: int) -> None:
        if not self._decodes_only:
            self.quantiser.update(parallel.all_sum)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss without the discriminator's; l1; perceptual; of the pictures' middles of the size of the crops.

        absolute: the mean error of values in -1..1.  squared: the mean one in 0..1 over the variance.  psnr: in dB.
        """
        images = middle(batch.images, self.config.crop) if self.config.crop else batch.images
        rebuilt, _, _ = self._through(images)
        parts = self._errors(images, rebuilt, perceptual=True)
        loss = self._alike(parts)
        return {"loss": loss, **parts, **_plain_errors(rebuilt - images), "psnr": psnr(rebuilt.clamp(0, 1), images)}

    @property
    def metrics(self) -> dict[str, float]:
        """Errors of the last step; weight: the discriminator's; real, fake: its judgements; codes in use."""
        return {**self._last, **self.quantiser.use()}

    def warnings(self) -> list[str]:
        return self.quantiser.warnings()

    # results --------------------------------------------------------------------------------------------------------

    def export(self, folder: Path) -> None:
        """Write fp16 safetensors in the paper's layout, with what cannot be read off the tensors beside them."""
        half.export(folder / "vqgan.safetensors", self._state(), vqgan=asdict(self.config.sizes))

    def _state(self) -> dict[str, torch.Tensor]:
        """In the paper's layout."""
        return self.net.state_dict() | {"quantize.embedding.weight": self.quantiser.codebook.detach()}

    def finished(self) -> VQGAN:
        """The networks with the codebook as it is now, without what only training needs."""
        net = VQGAN(self.config.sizes)
        net.load_state_dict(self._state())
        return net.eval()

    def exports(self) -> dict[str, Exported]:
        """Pictures to codes and back."""
        grid = Grid(
            self.config.channels, self.config.crop or self.config.size, self.config.sizes.factor, self.config.codes
        )
        net, book = self.net, self.quantiser
        encoder, decoder = (net.encoder, net.quant_conv, book), (net.post_quant_conv, net.decoder, book)
        return grid.exports(
            lambda images: book.nearest(net.encode(images)), encoder,
            lambda codes: net.decode(book.look_up(codes)).clamp(0, 1), decoder,
        )  # fmt: skip

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D): the features before they are quantised."""
        return full(self.net.encode(images)).flatten(1)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D) of square pictures, which are quantised, to (N, C, H, W) in 0..1."""
        side = round((latents.shape[1] / self.config.code_width) ** 0.5)
        vectors, _ = self.quantiser(latents.view(-1, self.config.code_width, side, side))
        return self.net.decode(vectors).clamp(0, 1)

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way between features."""
        return lerp(start, end, part)


def _discriminator(config: Config) -> nn.Module:
    if config.discriminator == "whole":
        return Discriminator(config.channels, config.discriminator_width, config.crop or config.size)
    return PatchGAN(config.channels, config.discriminator_width)


def _plain_errors(error: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of pictures in 0..1: absolute in -1..1, as networks see them, and squared over the variance."""
    return {"absolute": 2 * error.abs().mean(), "squared": error.square().mean() / VARIANCE}


def _pass_on(net: VQGAN) -> None:
    """Let an untrained net pass on what it is given, at about its size: blocks begin with nothing on top of that.

    Colours, which vary far less than brightness, are lost between random blocks for the first thousands of steps.
    """
    for name, layer in net.named_modules():
        part = name.rpartition(".")[2]
        if part in {"conv2", "proj_out"}:  # the last of a block
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Conv2d) and part not in {"conv1", "q", "k", "v"}:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
