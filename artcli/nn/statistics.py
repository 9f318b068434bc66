"""Statistics of BatchNorm layers whose weights are running means.

The running statistics of a net belong to the weights it has in training, not to their mean.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def _layers(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [layer for layer in net.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def of_the_batch(net: nn.Module) -> Iterator[None]:
    """Within, a net in evaluation mode normalises by the batch it sees, and learns nothing from it."""
    layers = _layers(net)
    for layer in layers:
        layer.training, layer.track_running_stats = True, False
    try:
        yield
    finally:
        for layer in layers:
            layer.training, layer.track_running_stats = False, True


@torch.no_grad()
def standing(net: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Give a net in evaluation mode the mean statistics of what it makes of these inputs ("Large Scale GAN Training for
    High Fidelity Natural Image Synthesis", Brock et al., 2019, appendix)."""
    layers = _layers(net)
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.training, layer.momentum = True, None  # the mean over all batches
    try:
        for batch in batches:
            net(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.training, layer.momentum = False, momentum
