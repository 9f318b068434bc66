"""A style as the mean and second moment of its features, which can be summed over parts of a picture."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class Sums(NamedTuple):
    """Over places: of the features (C,), of their products (C, C), and the number of places."""

    first: torch.Tensor
    products: torch.Tensor
    places: torch.Tensor


class Moments(NamedTuple):
    """mean (C,) and second (C, C), the mean of products, of features; levels (C, K): their quantiles, where wanted."""

    mean: torch.Tensor
    second: torch.Tensor
    levels: torch.Tensor | None = None

    def covariance(self) -> torch.Tensor:
        """(C, C), with a small diagonal added so that its square root is differentiable everywhere."""
        centred = self.second - torch.outer(self.mean, self.mean)
        return centred + 1e-4 * torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)


def sums(features: torch.Tensor, mask: torch.Tensor | None = None, slopes_in: torch.dtype = torch.float32) -> Sums:
    """Of features (1, C, h, w); mask: (1, 1, h, w), how much each place counts.

    slopes_in: the number format of the gradient of products; bfloat16 is enough where the net's layers take it anyway.
    """
    flat = features[0].permute(1, 2, 0).flatten(0, 1)  # (h w, C), as the nets' channels_last has it in memory
    if mask is None:
        return Sums(flat.sum(0), _Products.apply(flat, slopes_in), flat.new_tensor(len(flat)))
    weighted = flat * mask.flatten()[:, None]
    return Sums(weighted.sum(0), weighted.T @ flat, mask.sum().to(flat.dtype))


class _Products(torch.autograd.Function):
    """X^T X of features (places, C); its gradient takes one matrix product instead of autograd's two."""

    @staticmethod
    def forward(ctx: Any, flat: torch.Tensor, slopes_in: torch.dtype) -> torch.Tensor:
        ctx.save_for_backward(flat)
        ctx.dtype = slopes_in if flat.dtype == torch.float32 else flat.dtype
        return flat.T @ flat

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        (flat,) = ctx.saved_tensors
        both = slopes[0] + slopes[0].T
        return (flat.to(ctx.dtype) @ both.to(ctx.dtype)).to(flat.dtype), None


def total(parts: Sequence[Sums]) -> Sums:
    return Sums(*(torch.stack(column).sum(0) for column in zip(*parts, strict=True)))


def moments(found: Sums) -> Moments:
    """A mask that is empty at this scale has no moments; all zero then."""
    places = found.places.clamp_min(1e-6)
    return Moments(found.first / places, found.products / places)


def mix(several: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """As of one picture made of several, each as large as its weight; weights may have any sum above 0."""
    parts = [weight / sum(weights) for weight in weights]
    columns = zip(*several, strict=True)
    first, second, levels = (
        None if column[0] is None else sum(p * t for p, t in zip(parts, column, strict=True)) for column in columns
    )
    return Moments(first, second, levels)  # type: ignore[arg-type]
