"""Networks whose features describe pictures ("Image Style Transfer Using Convolutional Neural Networks", Gatys et al.,
2016): torchvision's VGG19, SqueezeNet 1.1 and MobileNetV2, and nets with VGG19's layers in other widths, recognised by
the shapes of their tensors.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.edges import MirroredConv2d
from artcli.nn.precision import full
from artcli.nn.unfilled import unfilled
from artcli.uncompiled import uncompiled

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which all these nets expect
TORCHVISION = ("vgg19", "vgg16", "squeezenet1_1", "mobilenet_v2")
POOLINGS = {"max": 1.0, "average": 2.0, "l2": 0.78}  # factors that keep the features at about one size
STRIDE = 16  # pixels between neighbouring features of the deepest layer
REACH = 80  # pixels around a feature that it can see, at most: 78 for relu5_1 of VGG19; a multiple of STRIDE

_CONVS = (2, 2, 4, 4, 1)  # of the blocks of VGG19 up to relu5_1
# Their places among torchvision's layers, and among those of the normalised VGG19, which pads in layers of its own.
_PLACES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
_NORMALISED = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42)
_SQUEEZENET = {"relu1_1": 1, "relu2_1": 3, "relu3_1": 6, "relu4_1": 9, "relu4_2": 10, "relu5_1": 12}


def slim_layers(widths: Sequence[int]) -> nn.Sequential:
    """VGG19's layers, numbered as in torchvision, in other widths: those of its five blocks, or of each convolution.

    They end at relu5_1, or behind as many convolutions as there are widths.  Edges are mirrored: with zeros beyond them
    pictures that are painted by these features get dark rims.
    """
    layers: list[nn.Module] = []
    before = 3
    for place, width in zip(_PLACES, each_width(widths), strict=False):
        if place > len(layers):
            layers.append(nn.MaxPool2d(2, 2))
        layers += [MirroredConv2d(before, width), nn.ReLU(inplace=True)]
        before = width
    return nn.Sequential(*layers)


def each_width(widths: Sequence[int]) -> list[int]:
    """The width of each convolution, from the widths of the five blocks or of the convolutions themselves."""
    if len(widths) != len(_CONVS):
        return list(widths)
    return [width for width, count in zip(widths, _CONVS, strict=True) for _ in range(count)]


def found_widths(state: Mapping[str, torch.Tensor]) -> list[int]:
    """The width of each convolution, up to the first that has no weights; keys are numbered as in torchvision."""
    widths: list[int] = []
    for place in _PLACES:
        shape = _shape(state, f"{place}.weight")
        if shape is None or len(shape) != 4:
            break
        widths.append(shape[0])
    return widths


def recognise(state: Mapping[str, torch.Tensor]) -> tuple[str, nn.Sequential] | None:
    """Name (one of TORCHVISION, vgg-slim, vgg19-normalised) and layers, with weights, of the net with these tensors.

    None where it is none of these nets.
    """
    if _shape(state, "0.weight") == (3, 3, 1, 1) and all(f"{place}.bias" in state for place in _NORMALISED):
        return "vgg19-normalised", _normalised(state)
    found = {key.removeprefix("features."): t for key, t in state.items() if key.startswith("features.")}
    with unfilled():  # the found tensors become the weights; there is nothing to initialise
        for name, layers in _candidates(found):
            if _shapes(found) == _shapes(layers.state_dict()):
                layers.load_state_dict({key: _single(t) for key, t in found.items()}, assign=True)
                return name, layers
    return None


def _candidates(found: Mapping[str, torch.Tensor]):
    """Names and layers of the nets to compare with; a slim net gets the widths of the tensors."""
    if len(widths := found_widths(found)) == len(_PLACES):
        yield "vgg-slim", slim_layers(widths)
    with uncompiled():
        import torchvision

    for name in TORCHVISION:
        yield name, getattr(torchvision.models, name)(weights=None).features


def _shape(state: Mapping[str, torch.Tensor], name: str) -> tuple[int, ...] | None:
    found = state.get(name)
    return tuple(found.shape) if isinstance(found, torch.Tensor) else None


@torch.autocast("cpu", enabled=False)  # or a net that is loaded in the middle of a training would be half in bf16
def _normalised(state: Mapping[str, torch.Tensor]) -> nn.Sequential:
    """VGG19 with features of mean 1, as Gatys et al. and AdaIN's authors use it: RGB in 0..1, mirrored edges, and
    pooling that keeps the last row and column of an odd number.

    Its first layer turns colours into those that VGG19 was trained on.  Here pictures come with ImageNet's mean and
    deviation already taken out, so the first two layers become one that undoes this and does theirs.
    """
    kept = {
        f"{place}.{part}": state[f"{number}.{part}"].float()
        for place, number in zip(_PLACES, _NORMALISED, strict=True)
        for part in ("weight", "bias")
    }
    colours, offset = state["0.weight"].float()[:, :, 0, 0], state["0.bias"].float()
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    kept["0.bias"] = kept["0.bias"] + kept["0.weight"].sum((2, 3)) @ (offset + colours @ mean)
    kept["0.weight"] = torch.einsum("oikl,ij->ojkl", kept["0.weight"], colours * std)
    with unfilled():
        layers = slim_layers(found_widths(kept))
    layers.load_state_dict(kept, assign=True)
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True
    return layers


def _single(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision; integer tensors, such as the counters of BatchNorm, stay as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


class FeatureNet(nn.Module):
    """Pictures (B, 3, H, W) in 0..1, sides at least 32, to the features behind named layers.

    name: as `recognise` gives it.  pooling: one of POOLINGS.  taps: what can be asked for, by name, with its place
    among the layers: convB_I and reluB_I of VGG, layerN of the others; SqueezeNet also has the relu names, for its
    nearest layers.
    dtype: the number format of the layers; the features come in single precision at least.
    """

    mean: torch.Tensor  # (1, 3, 1, 1)
    std: torch.Tensor

    def __init__(self, name: str, layers: nn.Sequential, pooling: str = "max"):
        super().__init__()
        self.name, self.dtype = name, torch.float32
        self.layers = nn.Sequential(*(_pool(layer, pooling) for layer in layers))
        self.taps = _vgg_taps(layers) if name.startswith("vgg") else _numbered_taps(name, len(layers))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor, taps: Collection[str]) -> dict[str, torch.Tensor]:
        """The features (B, C, h, w) of every tap; computes no deeper than they are."""
        wanted = {self.taps[tap]: tap for tap in taps}
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found: dict[str, torch.Tensor] = {}
        with self._autocast(x):
            for number, layer in enumerate(self.layers[: max(wanted) + 1]):
                x = layer(x)
                if number in wanted:  # the next activation works in place and would overwrite it
                    found[wanted[number]] = full(x.clone() if isinstance(layer, nn.Conv2d) else x)
        return found

    def compute_in(self, dtype: torch.dtype) -> None:
        """Compute in this number format from now on, for pictures in single precision.

        The weights are converted too; otherwise every pass would convert them again.
        """
        self.dtype = dtype
        for layer in self.layers.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(dtype)

    def _autocast(self, x: torch.Tensor) -> torch.autocast:
        """Autocast to the net's own number format; without one, leave the caller's autocast as it is."""
        kind = x.device.type
        if self.dtype != torch.float32 and x.dtype == torch.float32:
            return torch.autocast(kind, self.dtype)
        return torch.autocast(kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))

    def stride(self, tap: str) -> int:
        """Pixels between neighbouring features."""
        layers = (layer for part in self.layers[: self.taps[tap] + 1] for layer in part.modules())
        return math.prod(_factor(layer) for layer in layers)


def _vgg_taps(layers: nn.Sequential) -> dict[str, int]:
    taps, block, place = {}, 1, 0
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            block, place = block + 1, 0
        elif isinstance(layer, nn.Conv2d):
            place += 1
            taps[f"conv{block}_{place}"] = number
        else:
            taps[f"relu{block}_{place}"] = number
    return taps


def _numbered_taps(name: str, count: int) -> dict[str, int]:
    relus = _SQUEEZENET if name.startswith("squeezenet") else {}
    return {f"layer{number}": number for number in range(count)} | relus


def _factor(layer: nn.Module) -> int:
    if not isinstance(layer, (nn.Conv2d, nn.MaxPool2d, _Mean)):  # a block has one too, that of a layer in it
        return 1
    stride: Any = layer.stride
    return int(stride[0] if isinstance(stride, tuple) else stride)


def _pool(layer: nn.Module, pooling: str) -> nn.Module:
    if isinstance(layer, nn.MaxPool2d) and pooling != "max":
        return _Mean(layer, 2 if pooling == "l2" else 1, POOLINGS[pooling])
    return layer


class _Mean(nn.Module):
    """Pools by the mean (power 1) or the Euclidean length (power 2) of a window, times a factor."""

    def __init__(self, like: nn.MaxPool2d, power: int, factor: float):
        super().__init__()
        self.window, self.stride, self.ceil = like.kernel_size, like.stride, like.ceil_mode
        self.power, self.factor = power, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.power == 1:
            return self.factor * F.avg_pool2d(x, self.window, self.stride, ceil_mode=self.ceil)  # type: ignore[arg-type]
        squares = F.avg_pool2d(x.square(), self.window, self.stride, ceil_mode=self.ceil)  # type: ignore[arg-type]
        # The square root has no gradient at 0, and after a ReLU whole windows are 0.
        return self.factor * (self._places * squares + 1e-8).sqrt()

    @property
    def _places(self) -> int:
        side = self.window if isinstance(self.window, int) else self.window[0]
        return side * side
