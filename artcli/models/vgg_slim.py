"""A slim net with VGG19's layers that sees style as VGG19 does ("FitNets: Hints for Thin Deep Nets", Romero et al.,
2015, for features; the distances of styles as in "Relational Knowledge Distillation", Park et al., 2019).

Learned linear maps take the slim net's features to the teacher's, layer by layer.  These maps leave the scale of the
slim net's features open, and with it the value of a style loss.  A second loss therefore makes the distances between
Gram matrices as large as the teacher's.

Stylizing is an optimisation, which finds pictures that fool the slim net alone.  So it also trains on such pictures
("Explaining and Harnessing Adversarial Examples", Goodfellow et al., 2015): their left half is optimised for a few
steps towards the style of the right half, as the present net sees it.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks
from artcli.nn.features import FeatureNet, each_width, slim_layers
from artcli.nn.inference import inference
from artcli.nn.initialise import he, take_over
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.pretrained import feature_nets, half
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures, sides

STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
TAPS = (*STYLE, "relu4_2")  # the last one carries the content
# Of TAPS: the convolution, and how often the sides were halved.
_CONVS = (0, 2, 4, 8, 12, 9)
_HALVED = (0, 1, 2, 3, 4, 3)
_ALIKE = 1e-3  # squared difference of Gram matrices, as a part of their square, below which styles are the same
_LEAST = 32  # pixels that half a crop needs to reach the deepest layer
_SETTLING = 200  # first steps in which only the maps are trained, when training starts from a finished net


@dataclass(frozen=True)
class Config:
    """size: of the pictures; crop: side of the random parts of them that are looked at.

    widths: channels of the five blocks, or of each of the thirteen convolutions, of which those whose features are
    compared may be wider than the rest; these make 3.8 MB in fp16.  teacher: whose features are learned, a name or a
    file.  features, distances: weights of the two terms.  noise: largest deviation of the noise on every second crop,
    in 0..1 of colours: a picture that is being optimised is never as clean as a photograph.  driven: steps, 0 for none,
    that every second picture goes towards its other half's style, each by `stride` of colours.  start: a name, file or
    run's folder of a slim net, of these widths or narrower, to go on from.
    """

    size: int = 256
    crop: int = 192
    channels: int = 3
    widths: tuple[int, ...] = (32, 16, 64, 48, 160, 96, 96, 96, 192, 192, 192, 192, 192)
    teacher: str = "vgg19"
    features: float = 1.0
    distances: float = 0.1
    noise: float = 0.1
    driven: int = 2
    stride: float = 0.04
    start: str = ""
    batch: int = 16
    epochs: int = 20
    lr: float = 1e-3

    def __post_init__(self) -> None:
        checks.positive(self, {"features", "distances", "noise", "driven"})
        if len(self.widths) not in (5, 13):
            blocks = "five blocks, such as 16,48,96,192,192, or thirteen convolutions"
            raise UsageError(f"widths are those of {blocks}, not {self.widths}")
        if not 2 * _LEAST <= self.crop <= self.size:
            raise UsageError(f"crop has to be {2 * _LEAST} to the pictures' size {self.size}, not {self.crop}")
        if self.channels != 3:
            raise UsageError("style is learned from colour pictures: channels=3")


PRESETS = {"default": Config(), "tiny": Config(widths=(8, 16, 32, 64, 64))}


class Model(nn.Module):
    """classes: unused."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        layers = slim_layers(config.widths)
        he(layers)
        if config.start:
            given = feature_nets.load(config.start, torch.device("cpu")).layers.state_dict()
            take_over(layers, given, config.start, narrower=True)
        self.net = FeatureNet(feature_nets.SLIM, layers)
        self.maps = nn.ModuleList(
            nn.Conv2d(own, width, 1) for own, width in zip(self._widths, self._teacher_widths(), strict=True)
        )
        self._last: dict[str, float] = {}
        self._settling = False

    @functools.cached_property
    def _teacher(self) -> FeatureNet:
        net = feature_nets.load(self.config.teacher, torch.device("cpu"))
        if missing := [tap for tap in TAPS if tap not in net.taps]:
            raise UsageError(f"the teacher {self.config.teacher} has no layer {missing[0]}; vgg19 has")
        return net

    @property
    def _widths(self) -> list[int]:
        widths = each_width(self.config.widths)
        return [widths[conv] for conv in _CONVS]

    def _teacher_widths(self) -> list[int]:
        with torch.no_grad():
            found = self._teacher(torch.zeros(1, 3, _LEAST, _LEAST), TAPS)
        return [found[tap].shape[1] for tap in TAPS]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"vgg-slim": torch.optim.Adam(self.parameters(), self.config.lr)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"vgg-slim": trapezoid(step, total, min(500, total // 20), fall=0.5)}

    def begin(self, step: int) -> None:
        self._settling = bool(self.config.start) and step < _SETTLING

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        images, chosen = self._noisy(batch), batch.uniform() < 0.5
        images[chosen] = self._driven(images[chosen])
        parts = self._errors(images)
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "vgg-slim", self._loss(parts)

    def _noisy(self, batch: Batch) -> torch.Tensor:
        """Crops, every second one with noise."""
        crops = batch.crops(self.config.crop)
        deviation = (2 * batch.uniform(1, 1, 1) - 1).clamp_min(0) * self.config.noise
        return (crops + deviation * batch.normal(*crops.shape[1:])).clamp(0, 1)

    def _driven(self, images: torch.Tensor) -> torch.Tensor:
        """Left halves on their way to the style of the right ones, as the net sees it now."""
        half = images.shape[3] // 2
        for _ in range(self.config.driven):
            images = images.detach().requires_grad_()
            found = self.net(images, STYLE)
            apart = torch.stack([_halves_apart(found[tap]).sum() for tap in STYLE]).sum()
            (slope,) = torch.autograd.grad(apart, images)
            slope[..., half:] = 0
            images = (images.detach() - self.config.stride * slope.sign()).clamp(0, 1)
        return images

    def _errors(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """features: the mapped ones' squared error, as a part of the teacher's square; distances: see `_follow`."""
        teacher = self._teacher.to(images.device)
        with torch.no_grad():
            wanted = teacher(images, TAPS)
        found = self.net(images, TAPS)
        errors = []
        for tap, mapped in zip(TAPS, self.maps, strict=True):
            features = found[tap].detach() if self._settling else found[tap]
            apart = (full(mapped(features)) - wanted[tap]).square().flatten(1).mean(1)
            errors.append((apart / wanted[tap].square().flatten(1).mean(1).clamp_min(1e-6)).mean())
        with torch.autocast(images.device.type, enabled=False):  # small differences of large products
            follow = torch.stack([_follow(found[tap], wanted[tap]) for tap in STYLE]).mean()
        return {"features": torch.stack(errors).mean(), "distances": follow}

    def _loss(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.config.features * parts["features"] + self.config.distances * parts["distances"]

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss; features; distances."""
        parts = self._errors(batch.images)
        return {"loss": self._loss(parts), **parts}

    @property
    def metrics(self) -> dict[str, float]:
        return self._last

    def export(self, folder: Path) -> None:
        """Write fp16 safetensors with torchvision's names."""
        state = {f"features.{name}": tensor for name, tensor in self.net.layers.state_dict().items()}
        half.export(folder / feature_nets.FILE, state)

    def exports(self) -> dict[str, Exported]:
        """The features of all taps, without the maps to the teacher's."""
        found = tuple(map(self._port, TAPS, self._widths, _HALVED))
        given = pictures("images", 3, *sides(self.config.crop, least=_LEAST))
        return {feature_nets.SLIM: Exported(self._taps, (self.net,), (given,), found)}

    def _port(self, tap: str, width: int, halved: int) -> Port:
        lengths = (f"{side}/{2**halved}" if halved else side for side in ("height", "width"))
        return Port(tap, (BATCH, width, *lengths), low=0)

    def _taps(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.net(images, TAPS)
        return tuple(found[tap] for tap in TAPS)


def _follow(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How far, as squared difference of logarithms, the distances of styles are from the teacher's.

    Each picture gives one distance, between the styles of its left and its right half: whatever the batch it is in.
    """
    return (_halves_apart(found) - _halves_apart(wanted)).square().mean()


def _halves_apart(features: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean squared difference of the Gram matrices, (B,).

    A part of their own squares is added: halves that are alike would else have a logarithm without bound.
    """
    half = features.shape[3] // 2
    left, right = (_gram(part) for part in (features[..., :half], features[..., -half:]))
    apart, size = ((left + sign * right).square().mean((1, 2)) for sign in (-1, 1))
    return (apart + _ALIKE * size + 1e-12).log()


def _gram(features: torch.Tensor) -> torch.Tensor:
    """(B, C, C): mean products of channels."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
