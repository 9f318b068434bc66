"""What is left of a model after training: all but the modules that only training needs, such as discriminators."""

from collections.abc import Mapping

import torch
from torch import nn


def left_out(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that only training needs."""
    return tuple(getattr(model, "training_only", ()))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights and buffers of the finished model, by their names in the whole one."""
    return _kept(model, model.state_dict())


def load(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Take over what `state` gave, or a whole state; modules that only training needs stay as they are.

    Raises RuntimeError where a tensor is missing, unknown or of another shape.
    """
    own, kept = model.state_dict(), _kept(model, tensors)
    model.load_state_dict({name: own[name] for name in own.keys() - _kept(model, own).keys()} | kept)


def _kept(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefixes = tuple(f"{name}." for name in left_out(model))
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(prefixes)}
