"""Start values of layers, drawn or taken over from a finished net."""

from collections.abc import Mapping

import torch
from torch import nn

from artcli.errors import UsageError


def he(net: nn.Module, slope: float = 0.0) -> None:
    """Weights that keep the variance through (leaky) ReLU layers, biases 0 (He et al., 2015).

    PyTorch's default loses a factor of 2.4 in every such layer: after a dozen the picture has drowned in the biases,
    and training begins with a plateau at the mean picture.  slope: of the leaky ReLU.
    """
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=(2 / (1 + slope**2) / _fan_in(layer)) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many inputs one output number sums, on average."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    taps = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
    return taps / (layer.stride[0] * layer.stride[1]) if isinstance(layer, nn.ConvTranspose2d) else taps


def normal(net: nn.Module, std: float = 0.02) -> None:
    """Weights from N(0, std), scales of BatchNorm from N(1, std), biases 0, as GANs begin (Radford et al., 2015)."""
    for layer in net.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=std)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def take_over(net: nn.Module, given: Mapping[str, torch.Tensor], start: str, *, narrower: bool = False) -> None:
    """Give the net the weights of a finished one, which the setting `start` names.

    narrower: it may be narrower ("Net2Net", Chen et al., 2016): channels that it has not keep the weights that they
    began with, and those that it has see nothing of them at first.
    Raises UsageError, before anything is changed: it has other layers, or other sizes.
    """
    own = net.state_dict()
    if odd := sorted(own.keys() ^ given.keys()):
        raise UsageError(f"start={start} has other layers than these settings ask for, such as {odd[0]}")
    for name, tensor in own.items():
        _compare(name, given[name].shape, tensor.shape, start, narrower)
    for name, tensor in own.items():
        if given[name].shape == tensor.shape:
            tensor.copy_(given[name])
        else:
            known = tuple(slice(length) for length in given[name].shape)
            tensor[known[0]] = 0
            tensor[known] = given[name]


def _compare(name: str, theirs: torch.Size, ours: torch.Size, start: str, narrower: bool) -> None:
    if theirs == ours:
        return
    known, asked = ("x".join(map(str, shape)) for shape in (theirs, ours))
    if not narrower or len(theirs) != len(ours):
        raise UsageError(f"start={start} has other sizes than these settings ask for: {name} {known}, not {asked}")
    if any(length > most for length, most in zip(theirs, ours, strict=True)):
        raise UsageError(f"start={start} is wider than these settings ask for: {name} {known}, not {asked}")
