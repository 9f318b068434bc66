"""The perceptual distance of two pictures: distance of a network's features ("The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric", Zhang et al., 2018, without their learned weights)."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli import weights
from artcli.errors import UsageError
from artcli.nn.features import MEAN, STD, recognise
from artcli.nn.precision import full

# The layers after which Zhang et al. look, as places in torchvision's `features`.
_AFTER = {"vgg19": (3, 8, 17, 26, 35), "vgg16": (3, 8, 15, 22, 29), "squeezenet1_1": (1, 4, 7, 9, 10, 11, 12)}


class Perceptual:
    """Mean over depths and places of the squared distance of unit feature vectors: 0 for the same, at most 4."""

    def __init__(self, name: str):
        """name: `clip-mini` or another open_clip folder with a convolutional tower; `vgg19`, `squeezenet1_1`; a file.

        Raises UsageError: it is no such network.  WeightsError: its weights are missing or damaged.
        """
        self.net = _load(name).eval().requires_grad_(False)

    def __call__(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Of pictures (B, 3, H, W) in 0..1 to others, (B,); with a gradient to both."""
        self.net.to(one.device)
        pairs = zip(self.net(one), self.net(other), strict=True)
        return torch.stack([_apart(full(a), full(b)) for a, b in pairs]).mean(0)


def _apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    difference = F.normalize(one, dim=1, eps=1e-6) - F.normalize(other, dim=1, eps=1e-6)
    return difference.square().sum(1).mean((1, 2))


def _load(name: str) -> nn.Module:
    path = weights.find(name)
    return _Tower(path) if path.is_dir() else _Layers(path)


class _Tower(nn.Module):
    """The stages of a CLIP's residual net."""

    mean: torch.Tensor  # (1, 3, 1, 1)
    std: torch.Tensor

    def __init__(self, folder: Path):
        from artcli.pretrained import clip

        super().__init__()
        loaded = clip.load(str(folder), torch.device("cpu"))
        trunk: Any = getattr(loaded.model.visual, "trunk", None)
        if not hasattr(trunk, "layer4"):
            raise UsageError(f"{folder} has no residual net, so it cannot compare pictures; clip-mini can")
        self.trunk: Any = trunk
        self.register_buffer("mean", loaded.mean)
        self.register_buffer("std", loaded.std)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = self.trunk.act1(self.trunk.bn1(self.trunk.conv1((images - self.mean) / self.std)))
        found = [x]
        x = self.trunk.maxpool(x)
        for stage in (self.trunk.layer1, self.trunk.layer2, self.trunk.layer3, self.trunk.layer4):
            x = stage(x)
            found.append(x)
        return found


class _Layers(nn.Module):
    """One of torchvision's classifiers, recognised by its tensors."""

    mean: torch.Tensor  # (1, 3, 1, 1)
    std: torch.Tensor

    def __init__(self, path: Path):
        super().__init__()
        found = recognise(weights.load_state(path))
        if found is None or found[0] not in _AFTER:
            raise UsageError(f"{path} is none of {', '.join(_AFTER)} as torchvision has them")
        self.layers, self.after = found[1], _AFTER[found[0]]
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x, found = (images - self.mean) / self.std, []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self.after:
                # torchvision's activations are in-place and would overwrite the features kept here
                found.append(x.clone())
        return found
