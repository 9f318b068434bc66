"""Distances between strokes, and the matching of predicted with wanted strokes."""

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

_ROOT = 1e-8  # keeps the slope of the root finite where the strokes have no area


def wasserstein(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The squared 2-Wasserstein distance of strokes (..., 5) taken as Gaussians; broadcasts.

    A stroke's covariance S has the standard deviations w / 2 and h / 2 along its turned axes; a side below 0 counts
    as 0, or else a painter would learn sides of -w, which are as far but cannot be drawn.  The distance is
    |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1^.5 S2 S1^.5), and for 2 x 2 matrices tr sqrt M =
    sqrt(tr M + 2 sqrt(det M)), where tr M = tr(S1 S2) and sqrt(det M) = |w1 h1 w2 h2| / 16 need no matrix root.
    """
    a, b = a.to(torch.promote_types(a.dtype, torch.float32)), b.to(torch.promote_types(b.dtype, torch.float32))
    mean_a, half_a = _axes(a)
    mean_b, half_b = _axes(b)
    turn = 2 * math.pi * (a[..., 4] - b[..., 4])
    trace = 2 * mean_a * mean_b + 2 * half_a * half_b * torch.cos(turn)
    areas = (a[..., 2:4].clamp_min(0).prod(-1) * b[..., 2:4].clamp_min(0).prod(-1)) / 16
    root = torch.sqrt((trace + 2 * areas).clamp_min(0) + _ROOT)
    return ((a[..., :2] - b[..., :2]) ** 2).sum(-1) + 2 * (mean_a + mean_b) - 2 * root


def _axes(strokes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the sum and half the difference of the variances along a stroke's axes."""
    w, h = (strokes[..., 2:4].clamp_min(0) ** 2 / 4).unbind(-1)
    return (w + h) / 2, (w - h) / 2


@torch.no_grad()
def match(shapes: torch.Tensor, logits: torch.Tensor, wanted: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Which predicted stroke stands for each wanted one: (B, S) indices, of no meaning where not `valid`.

    shapes, wanted: (B, S, 5).  logits, valid: (B, S).  The Hungarian algorithm on L1 + Wasserstein + 1 - logit.
    """
    found, sought = shapes[:, :, None].float(), wanted[:, None].float()  # (B, S, 1, 5), (B, 1, S, 5)
    cost = (found - sought).abs().sum(-1) + wasserstein(found, sought) + 1 - logits[:, :, None].float()
    cost = torch.where(valid[:, None], cost, 0)  # equal costs: invalid ones get the predictions that are left
    rows = [linear_sum_assignment(each.T)[1] for each in cost.nan_to_num(1e6).cpu().numpy()]
    return torch.tensor(np.stack(rows), device=shapes.device)
