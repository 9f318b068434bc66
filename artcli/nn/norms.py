"""Group normalisation where torch's own is slow: on the CPU, with the channels last."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_FEW = 1024  # places below which torch's forward pass is the slow one
_MANY = 2**20  # numbers from which its backward pass is, in half precision


def group_norm(norm: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    """`norm(x)`, x (B, C, H, W)."""
    if torch.is_grad_enabled() or not _channels_last(x) or x[0, 0].numel() >= _FEW:
        return norm(x)
    count = x[0].numel() // norm.num_groups
    mean = _by_group(x, norm.num_groups) / count
    square = _by_group(x * x, norm.num_groups) / count
    steep = (square - mean**2).clamp_min(0).add(norm.eps).rsqrt()
    scale, shift = _line(mean, steep, norm.weight, norm.bias, x)
    return torch.addcmul(shift, x, scale)


def norm_swish(norm: nn.GroupNorm, x: torch.Tensor) -> torch.Tensor:
    """`silu(norm(x))`, x (B, C, H, W)."""
    large = x.numel() >= _MANY and x.dtype == torch.bfloat16 and _channels_last(x)
    if large and torch.is_grad_enabled() and not norm.weight.requires_grad:
        return _NormSwish.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps)
    return F.silu(group_norm(norm, x))


class _NormSwish(torch.autograd.Function):
    """Weights that are fixed get no gradient, and what lies between normalisation and swish is not kept."""

    @staticmethod
    def forward(ctx: Any, x, weight, bias, groups, eps):  # type: ignore[no-untyped-def, override]
        normed, mean, steep = torch.native_group_norm(x, weight, bias, len(x), x.shape[1], x[0, 0].numel(), groups, eps)
        ctx.save_for_backward(x, weight, bias, mean.float(), steep.float())
        return F.silu(normed)

    @staticmethod
    def backward(ctx: Any, gradient):  # type: ignore[no-untyped-def, override]
        x, weight, bias, mean, steep = ctx.saved_tensors
        scale, shift = _line(mean, steep, weight, bias, x)
        inner = torch.ops.aten.silu_backward(gradient, torch.addcmul(shift, x, scale))
        along, whole = (_by_group(each, mean.shape[1], weight) for each in (inner * x, inner))
        slope = (whole * mean - along) * steep**3 * mean.shape[1] / x[0].numel()
        level = -slope * mean - whole * steep * mean.shape[1] / x[0].numel()
        others = torch.addcmul(_by_channel(level, x), x, _by_channel(slope, x))
        return torch.addcmul(others, inner, scale), None, None, None, None


def _line(
    mean: torch.Tensor, steep: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The normalisation as `scale * x + shift`, (B, C, 1, 1) each.  mean, steep (1 / deviation): (B, groups)."""
    size = x.shape[1] // mean.shape[1]
    scale = steep.repeat_interleave(size, 1)
    scale = scale if weight is None else scale * weight
    shift = -mean.repeat_interleave(size, 1) * scale
    shift = shift if bias is None else shift + bias
    return scale[:, :, None, None].to(x.dtype), shift[:, :, None, None].to(x.dtype)


def _by_group(x: torch.Tensor, groups: int, weight: torch.Tensor | float = 1.0) -> torch.Tensor:
    """Sums (B, groups) over places and a group's channels, each by its weight."""
    return (x.sum((2, 3)).float() * weight).view(len(x), groups, -1).sum(2)


def _by_channel(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(B, groups) to (B, C, 1, 1), as x."""
    return values.repeat_interleave(x.shape[1] // values.shape[1], 1)[:, :, None, None].to(x.dtype)


def _channels_last(x: torch.Tensor) -> bool:
    if torch.compiler.is_compiling():  # also while a net is exported: other programs have their own ways
        return False
    return x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
