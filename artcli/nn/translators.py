"""Image-to-image translators: ResNets ("Unpaired Image-to-Image Translation using
Cycle-Consistent Adversarial Networks", Zhu et al., 2017, appendix) and U-Nets ("Image-to-Image Translation with
Conditional Adversarial Networks", Isola et al., 2017, appendix).

Parameters carry the names that the papers' own checkpoints (pytorch-CycleGAN-and-pix2pix) use, so that these load as
they are.  A ResNet of separable convolutions ("MobileNets", Howard et al., 2017) is the light form for CPUs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn import initialise
from artcli.nn.doubling import double
from artcli.nn.precision import full

KINDS = ("resnet", "unet")
NORMS = ("instance", "batch", "none")
EPSILON = 1e-5  # of the normalisations
_SLOPE = 0.2  # of the leaky ReLUs
_DROPPED = 0.5


@dataclass(frozen=True)
class Sizes:
    """What a translator is made of.

    kind: one of KINDS.  width: channels at the full resolution of a ResNet, at half of it in a U-Net.  blocks: residual
    blocks of a ResNet; how often a U-Net halves the sides.  norm: one of NORMS; with "none", of a ResNet, a learned
    gain stands in for it, so that what is drawn at a place depends on its surroundings alone, and blocks begin as
    nothing ("ReZero is All You Need", Bachlechner et al., 2021).  dropout: in every block, or in the
    U-Net's inner levels.  resize: a ResNet doubles the sides by repeating pixels before a convolution, which leaves no
    checkerboards ("Deconvolution and Checkerboard Artifacts", Odena et al., 2016).  depthwise: all but the first and
    the last convolution work on each channel by itself and then on each place by itself; it implies resize.
    residual: what the network draws is added to the picture, so that training begins with pictures as they are and
    fine detail need not pass through the narrow middle ("Deep Residual Learning", He et al., 2016).
    grain: a noise channel as an additional input, from which strokes can vary in flat areas; nets without it produce
    regular dots there.  channels: of the pictures.  drawn: of the results.
    """

    kind: str = "resnet"
    width: int = 64
    blocks: int = 9
    norm: str = "instance"
    dropout: bool = False
    resize: bool = False
    depthwise: bool = False
    residual: bool = False
    grain: bool = False
    channels: int = 3
    drawn: int = 3

    @property
    def given(self) -> int:
        """Channels that the network takes."""
        return self.channels + self.grain

    @property
    def factor(self) -> int:
        """The sides of pictures are multiples of it."""
        return 4 if self.kind == "resnet" else 2**self.blocks

    @property
    def least(self) -> int:
        """The shortest side of a picture: a ResNet mirrors what it has at a quarter of it."""
        return 8 if self.kind == "resnet" else self.factor

    def describe(self) -> str:
        """`ResNet-9`, `light ResNet-6` or `U-Net-256`."""
        if self.kind == "unet":
            return f"U-Net-{self.factor}"
        return f"{'light ' if self.depthwise else ''}ResNet-{self.blocks}"


class Translator(nn.Module):
    """Pictures (B, given, H, W) in -1..1, sides multiples of the factor, to (B, drawn, H, W) in -1..1, a residual
    one also a little beyond that.

    fresh: with the start values for training; without them where weights are loaded.
    """

    def __init__(self, sizes: Sizes, fresh: bool = True):
        super().__init__()
        self.sizes = sizes
        self.model = _unet(sizes) if sizes.kind == "unet" else _resnet(sizes)
        if fresh and (sizes.depthwise or sizes.norm == "none"):
            initialise.he(self)  # the papers' small weights would vanish: few inputs, or nothing to scale them up
        elif fresh:
            initialise.normal(self)
        if sizes.residual:
            self.skip = nn.Parameter(torch.ones(sizes.drawn, 1, 1))  # its name also tells the kind of a checkpoint
            if fresh:
                _silence(self.model)
        if sizes.grain:
            self.grain = nn.Parameter(torch.ones(1, 1, 1))  # likewise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pictures, noise = images[:, : self.sizes.channels], images[:, self.sizes.channels :]
        drawn = self.model(torch.cat((pictures, self.grain * noise), 1) if self.sizes.grain else images)
        return self.skip * pictures + 2 * drawn if self.sizes.residual else drawn


def _silence(model: nn.Module) -> None:
    """Set its last convolution to 0."""
    *_, last = (layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)))
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def draw(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The same for pictures in 0..1, which is what everything around the networks works with."""
    return full(net(images * 2 - 1)) / 2 + 0.5


def with_grain(images: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Pictures (B, channels, H, W) in 0..1 to the input (B, given, H, W); noise, where needed, is always the same."""
    if not sizes.grain:
        return images
    noise = torch.rand(images.shape[2:], generator=torch.Generator().manual_seed(0)).to(images)
    return torch.cat((images, noise.expand(len(images), 1, -1, -1)), 1)


class _ByPicture:
    """Moments of a picture's channels, for normalisations.

    Usually over the picture itself.  Where parts of one picture have to be treated alike, `study` takes the moments of
    all parts in a batch together, and `fixed` goes by them from then on; see `statistics`.
    """

    by_picture = True
    how = "own"
    margins: tuple[float, ...] = (0.0, 0.0)
    moments: tuple[torch.Tensor, torch.Tensor] | None = None  # mean and variance, (C,) each

    def _normal(
        self, x: torch.Tensor, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self.how == "study":
            self.moments = self._moments(x)
        if self.how != "own" and self.moments is not None:
            return F.batch_norm(x, *self.moments, weight, bias, eps=EPSILON)
        if x.shape[0] == 1:  # one picture as a batch: the same numbers, and it keeps channels last
            return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPSILON)
        return F.instance_norm(x, weight=weight, bias=bias, eps=EPSILON)

    def _moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        top, left = (round(part * side) for part, side in zip(self.margins, x.shape[2:], strict=True))
        inside = x[:, :, top : x.shape[2] - top, left : x.shape[3] - left]
        variance, mean = torch.var_mean(full(inside), (0, 2, 3), correction=0)
        return mean, variance


class InstanceNorm(_ByPicture, nn.Module):
    """Every channel of every picture to mean 0 and variance 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._normal(x if self.training else full(x))  # what the blocks add up keeps more digits than bf16 has


class BatchNorm(_ByPicture, nn.BatchNorm2d):
    """In evaluation mode it uses the learned statistics or, after `as_in_training`, those of each picture."""

    by_picture = False

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training or not self.by_picture:
            return super().forward(input)
        return self._normal(full(input), self.weight, self.bias)


class Dropout(nn.Dropout):
    """In evaluation mode it does nothing or, after `as_in_training`, drops units by its own generator.

    rng: on the CPU, so that every device drops the same.
    """

    rng: torch.Generator | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training or self.rng is None:
            return super().forward(input)
        kept = torch.rand(input.shape, generator=self.rng) >= self.p
        return input * kept.to(input) / (1 - self.p)


def as_in_training(net: nn.Module, dropout: bool = True) -> None:
    """Let a finished network normalise by the picture itself, and drop, as the papers' own test scripts do."""
    rng = torch.Generator().manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, BatchNorm):
            layer.by_picture = True
        if isinstance(layer, Dropout) and dropout:
            layer.rng = rng


def reseed(net: nn.Module, seed: int) -> None:
    """Seed all dropout layers."""
    for layer in net.modules():
        if isinstance(layer, Dropout) and layer.rng is not None:
            layer.rng.manual_seed(seed)


def by_picture(net: nn.Module) -> bool:
    """Whether any layer normalises by the statistics of its input."""
    return any(isinstance(layer, _ByPicture) and layer.by_picture for layer in net.modules())


def drops(net: nn.Module) -> bool:
    """Whether a finished network's output depends on a seed."""
    return any(isinstance(layer, Dropout) and layer.rng is not None for layer in net.modules())


def statistics(net: nn.Module, how: str, margins: tuple[float, ...] = (0.0, 0.0)) -> None:
    """Set which moments all normalisations by the picture use from now on: "own", "study" or "fixed".

    margins: parts of height and width, at each edge, that are not studied.
    """
    for layer in net.modules():
        if isinstance(layer, _ByPicture):
            layer.how, layer.margins = how, margins
            layer.moments = layer.moments if how == "fixed" else None


class Gain(nn.Module):
    """Every channel times a learned factor; its name also tells the kind of a checkpoint."""

    def __init__(self, width: int, start: float = 1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.full((width, 1, 1), start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain


def _norm(sizes: Sizes, width: int, start: float = 1.0) -> nn.Module:
    """start: of a gain."""
    if sizes.norm == "none":
        return Gain(width, start)
    return BatchNorm(width, eps=EPSILON) if sizes.norm == "batch" else InstanceNorm()


def _biased(sizes: Sizes) -> bool:
    """Whether convolutions before a normalisation have a bias: in the papers' code those before one without weights."""
    return sizes.norm != "batch"


# --- ResNets ---------------------------------------------------------------------------------------------------------


def _resnet(sizes: Sizes) -> nn.Module:
    """Two convolutions of stride 2, residual blocks, and two ways back up."""
    width, bias = sizes.width, _biased(sizes)
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), _Exact(sizes.given, width, 7, bias=bias)]
    layers += [_norm(sizes, width), nn.ReLU(inplace=True)]
    for before in (width, 2 * width):
        layers += [
            _conv(sizes, before, 2 * before, stride=2, padding=1),
            _norm(sizes, 2 * before),
            nn.ReLU(inplace=True),
        ]
    layers += [ResnetBlock(sizes, 4 * width) for _ in range(sizes.blocks)]
    for before in (4 * width, 2 * width):
        layers += [_double(sizes, before), _norm(sizes, before // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, sizes.drawn, 7), nn.Tanh())


class _Exact(nn.Conv2d):
    """A convolution in full precision: bf16 cannot represent a picture's 256 levels."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(full(input))


class ResnetBlock(nn.Module):
    """A residual block of two convolutions, without an activation after the sum."""

    def __init__(self, sizes: Sizes, width: int):
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(1),
            _conv(sizes, width, width),
            _norm(sizes, width),
            nn.ReLU(inplace=True),
        ]
        layers += [Dropout(_DROPPED)] if sizes.dropout else []
        layers += [nn.ReflectionPad2d(1), _conv(sizes, width, width), _norm(sizes, width, start=0.0)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


def _conv(sizes: Sizes, before: int, after: int, stride: int = 1, padding: int = 0) -> nn.Module:
    if not sizes.depthwise:
        return nn.Conv2d(before, after, 3, stride, padding, bias=_biased(sizes))
    each = nn.Conv2d(before, before, 3, stride, padding, groups=before, bias=False)
    return nn.Sequential(each, nn.Conv2d(before, after, 1, bias=_biased(sizes)))


def _double(sizes: Sizes, before: int) -> nn.Module:
    after, bias = before // 2, _biased(sizes)
    if sizes.depthwise:  # the places first: they are a quarter as many before the sides are doubled
        return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), _Repeat(after, after, groups=after, bias=bias))
    if sizes.resize:
        return _Repeat(before, after, bias=bias)
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=bias)


class _Repeat(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then a convolution."""

    def __init__(self, before: int, after: int, groups: int = 1, bias: bool = True):
        super().__init__(before, after, 3, padding=1, groups=groups, bias=bias, padding_mode="reflect")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return double(input, self)


# --- U-Nets ----------------------------------------------------------------------------------------------------------


def _unet(sizes: Sizes) -> nn.Module:
    """Down to one place per `factor` pixels and up again; every level also passes on what came into it."""
    widths = [sizes.width * min(2**level, 8) for level in range(sizes.blocks)]
    inside = None
    for level in reversed(range(sizes.blocks)):
        inside = UnetLevel(sizes, level, widths[level - 1] if level else sizes.channels, widths[level], inside)
    assert inside is not None
    return inside


class UnetLevel(nn.Module):
    """A convolution down, what is inside, a transposed convolution up.  level: 0 for the outermost."""

    def __init__(self, sizes: Sizes, level: int, outer: int, inner: int, inside: nn.Module | None):
        super().__init__()
        self.outermost, bias = level == 0, _biased(sizes)
        back = inner if inside is None else 2 * inner
        down: list[nn.Module] = [nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        after = [nn.ReLU(inplace=True), nn.ConvTranspose2d(back, outer, 4, stride=2, padding=1, bias=bias)]
        if self.outermost:
            after = [nn.ReLU(inplace=True), nn.ConvTranspose2d(back, sizes.drawn, 4, stride=2, padding=1), nn.Tanh()]
        else:
            down = [nn.LeakyReLU(_SLOPE), *down, *([] if inside is None else [_norm(sizes, inner)])]
            after.append(_norm(sizes, outer))
            dropped = sizes.dropout and 4 <= level < sizes.blocks - 1
            after += [Dropout(_DROPPED)] if dropped else []
        self.model = nn.Sequential(*down, *([] if inside is None else [inside]), *after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x) if self.outermost else torch.cat((x, self.model(x)), 1)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def sizes_of(state: Mapping[str, torch.Tensor]) -> Sizes:
    """Read the sizes off the tensors of a checkpoint.

    A U-Net's dropout leaves no trace in them.
    Raises KeyError: a tensor is missing, so it is neither of the two.
    """
    return _unet_sizes(state) if "model.model.0.weight" in state else _resnet_sizes(state)


def _resnet_sizes(state: Mapping[str, torch.Tensor]) -> Sizes:
    blocks = len({name.split(".")[1] for name in state if re.match(r"model\.\d+\.conv_block\.", name)})
    first, last = state["model.1.weight"], state[f"model.{blocks + 17}.weight"]
    depthwise = "model.4.0.weight" in state
    up = None if depthwise else state[f"model.{blocks + 10}.weight"]
    return Sizes(
        kind="resnet",
        width=len(first),
        blocks=blocks,
        norm=_norm_of(state),
        dropout=blocks > 0 and not any(name.startswith("model.10.conv_block.5.") for name in state),
        resize=up is None or len(up) < up.shape[1],  # a transposed convolution has its inputs first
        depthwise=depthwise,
        residual="skip" in state,
        grain="grain" in state,
        channels=first.shape[1] - ("grain" in state),
        drawn=len(last),
    )


def _norm_of(state: Mapping[str, torch.Tensor]) -> str:
    if "model.2.gain" in state:
        return "none"
    return "batch" if "model.2.weight" in state else "instance"


def _unet_sizes(state: Mapping[str, torch.Tensor]) -> Sizes:
    first = state["model.model.0.weight"]
    levels, inner = 1, "model.model.1.model"
    while f"{inner}.1.weight" in state:
        levels, inner = levels + 1, f"{inner}.3.model"
    return Sizes(
        kind="unet",
        width=len(first),
        blocks=levels,
        norm="batch" if "model.model.1.model.2.weight" in state else "instance",
        channels=first.shape[1],
        drawn=state["model.model.3.weight"].shape[1],
    )
