"""The terms of the loss, each a mean, so that its weight means the same at every resolution."""

from typing import Any

import torch
import torch.nn.functional as F

from artcli.backends.stylize.colour import counted
from artcli.backends.stylize.moments import Moments
from artcli.nn.features import STD

_ROUNDS = 12  # of Newton and Schulz's iteration
LEVELS = 64  # quantiles of a histogram


def gram(found: Moments, wanted: Moments) -> torch.Tensor:
    """Mean squared difference of the Gram matrices, divided by their side ("Image Style Transfer Using Convolutional
    Neural Networks", Gatys et al., 2016)."""
    side = len(found.mean)
    return ((found.second - wanted.second) / side).square().mean()


class Gaussian:
    """A style as a normal distribution of features, with the root of its covariance computed once."""

    def __init__(self, wanted: Moments):
        self.mean, self.covariance = wanted.mean, wanted.covariance()
        self.root = root(self.covariance)[0]

    def distance(self, found: Moments) -> torch.Tensor:
        """Squared Wasserstein-2 distance per channel: of the means, and of the covariances, tr(S + T - 2 (T^.5 S
        T^.5)^.5) ("Wasserstein-2 barycenters", Agueh and Carlier, 2011, for normal distributions)."""
        means = (found.mean - self.mean).square().mean()
        covariance = found.covariance()
        together = _RootTrace.apply(self.root @ covariance @ self.root)
        return means + (covariance.trace() + self.covariance.trace() - 2 * together) / len(self.mean)


def root(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Square root of a positive (C, C) matrix and the inverse of that, by Newton and Schulz's iteration."""
    size = matrix.norm()
    same = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    straight, inverse = matrix / size, same
    for _ in range(_ROUNDS):
        step = 1.5 * same - 0.5 * inverse @ straight
        straight, inverse = straight @ step, step @ inverse
    return straight * size.sqrt(), inverse / size.sqrt()


class _RootTrace(torch.autograd.Function):
    """tr(A^.5), whose gradient is A^-.5 / 2: the iteration computes both, so it need not be backpropagated."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor) -> torch.Tensor:
        straight, inverse = root(matrix)
        ctx.save_for_backward(inverse)
        return straight.trace()

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> torch.Tensor:
        (inverse,) = ctx.saved_tensors
        return slopes[0] * 0.25 * (inverse + inverse.T)


def levels(features: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Quantiles (C, LEVELS) of every channel of features (1, C, h, w); mask (1, 1, h, w): see `colour.counted`."""
    ordered = counted(features[0], None if mask is None else mask[0]).sort(1).values
    return F.interpolate(ordered[None], LEVELS, mode="linear", align_corners=True)[0]


def histogram(features: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the features from those of the same rank in the style ("Stable and Controllable Neural
    Texture Synthesis and Style Transfer Using Histogram Losses", Risser et al., 2017).  wanted: from `levels`."""
    ordered = features[0].flatten(1).sort(1).values
    target = F.interpolate(wanted[None], ordered.shape[1], mode="linear", align_corners=True)[0]
    return (ordered - target).square().mean()


def smoothness(
    window: torch.Tensor, height: int, width: int, diagonals: bool, edges: tuple[bool, bool] = (True, True)
) -> torch.Tensor:
    """Total variation of pixels (1, 3, h + 1, w + 1) of which the last row and column only are neighbours.

    The sum over these pixels, divided by the number of the whole picture of height x width.  edges: whether they begin
    at the picture's upper edge, and at its left one.  With diagonals, as in style-transfer-pytorch: weights 2/3 for
    straight and 1/6 for diagonal neighbours, the picture's edges repeated beyond all four, and means over the pairs
    that are looked at, of diagonal ones (height + 1) x (width + 1).  Without them, as in the course: of colours divided
    by ImageNet's deviations, and means over the pairs that there are.
    """
    own, right, below = window[..., :-1, :-1], window[..., :-1, 1:], window[..., 1:, :-1]
    if not diagonals:
        std = torch.tensor(STD, dtype=window.dtype, device=window.device).view(1, 3, 1, 1)
        across, down = (((other - own) / std).square().sum() for other in (right, below))
        return across / (3 * height * (width - 1)) + down / (3 * (height - 1) * width)
    straight = (right - own).square().sum() + (below - own).square().sum()
    slanted = (window[..., 1:, 1:] - own).square().sum() + (right - below).square().sum()
    # From an edge that is repeated beyond itself both diagonals lead to the neighbour along it.
    if edges[0]:
        slanted = slanted + 2 * (right - own)[..., 0, :].square().sum()
    if edges[1]:
        slanted = slanted + 2 * (below - own)[..., :, 0].square().sum()
    return 2 * (straight / (9 * height * width) + slanted / (36 * (height + 1) * (width + 1)))
