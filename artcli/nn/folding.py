"""Batch normalisation of a finished ResNet as part of the convolution before it."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_RESNETS = {"ResNet", "ModifiedResNet"}  # timm's and OpenAI's


def fold(net: nn.Module) -> None:
    """Change every ResNet in a net, in evaluation mode, in place; what it computes stays the same.

    In a ResNet each normalisation stands right behind the convolution that it belongs to.
    """
    for resnet in [module for module in net.modules() if type(module).__name__ in _RESNETS]:
        for module in list(resnet.modules()):
            _fold_children(module)


@torch.no_grad()
def _fold_children(module: nn.Module) -> None:
    before: tuple[nn.Module, str] | None = None  # the last convolution, and where it is
    for name, child in list(module.named_children()):
        if type(child) is nn.BatchNorm2d and before is not None:
            place, convolution = before
            setattr(place, convolution, fuse_conv_bn_eval(getattr(place, convolution), child))
            setattr(module, name, nn.Identity())
        before = _last_convolution(module, name)


def _last_convolution(module: nn.Module, name: str) -> tuple[nn.Module, str] | None:
    """Where the convolution is that a child ends with, if it does."""
    child = getattr(module, name)
    if isinstance(child, nn.Conv2d):
        return module, name
    if isinstance(child, nn.Sequential) and len(child) and isinstance(child[-1], nn.Conv2d):
        return child, str(len(child) - 1)
    return None
