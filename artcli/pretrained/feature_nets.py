"""Loads the networks whose features describe pictures (VGG: Simonyan et al., 2015; SqueezeNet: Iandola et al., 2016;
MobileNetV2: Sandler et al., 2018)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from artcli import weights
from artcli.errors import WeightsError
from artcli.nn.features import FeatureNet, recognise
from artcli.pretrained import find

_INSTEAD = "with --net; or use --preset squeezenet (5 MB to download) or --preset modern (575 MB)"
SLIM, FILE = "vgg-slim", "vgg-slim.safetensors"  # the latter in a folder that `artgen train vgg-slim` writes


def load(
    spec: str,
    device: torch.device,
    *,
    pooling: str = "max",
    padding: str | None = None,
    weights_dirs: Sequence[Path] = (),
    offline: bool = False,
) -> FeatureNet:
    """A net in evaluation mode, without gradients to its weights.

    padding: of the first convolution where the net has zeros there, as torch names it.
    spec: vgg-slim, vgg19, squeezenet1_1 or mobilenet_v2, a file, or the folder of an `artgen train vgg-slim` run.
    Raises UsageError: nothing has that name.  WeightsError: missing, damaged or of another kind.
    """
    found = find.own(spec, SLIM, _INSTEAD, weights_dirs=weights_dirs, offline=offline)
    path = weights.inside(found, FILE)
    recognised = recognise(weights.load_state(path))
    if recognised is None:
        raise WeightsError(
            f"{path} is no net that artgen knows: torchvision's vgg19, vgg16, squeezenet1_1 or mobilenet_v2, the "
            "normalised vgg19, or what `artgen train vgg-slim` writes to RUN/model"
        )
    name, layers = recognised
    first = layers[0]
    if padding is not None and isinstance(first, nn.Conv2d) and first.padding_mode == "zeros":
        first.padding_mode = padding  # type: ignore[assignment]
    net = FeatureNet(name, layers, pooling).eval().requires_grad_(False)
    return net.to(device).to(memory_format=torch.channels_last)
