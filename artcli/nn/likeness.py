"""How alike two sets of pictures are, in a small space of features that needs no net.

The features see where which colours are and how rough each place is.  They do not see what is depicted: they tell a
model that learns from one that does not, and a collapsed one from both, but do not rank two good ones.
"""

import torch
import torch.nn.functional as F

_CELLS = 8  # a side


def features(images: torch.Tensor) -> torch.Tensor:
    """Pictures (N, C, H, W) in 0..1 to (N, D): mean and deviation of each channel in 8 x 8 cells, fewer if small."""
    cells = min(_CELLS, *images.shape[2:])
    mean = F.adaptive_avg_pool2d(images, cells)
    rough = (F.adaptive_avg_pool2d(images.square(), cells) - mean.square()).clamp_min(0).sqrt()
    return torch.cat((mean, rough), 1).flatten(1)


def energy_score(real: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """How badly features drawn (M, D) foretell the real ones (N, D), (); M > 1 ("Strictly Proper Scoring Rules",
    Gneiting and Raftery, 2007).

    E|drawn - real| - E|drawn - drawn'| / 2: the least it can be on average is where both have the same distribution.
    Where all drawn pictures are one, the second part is 0.
    """
    apart = _distances(drawn, drawn).sum() / (len(drawn) * (len(drawn) - 1))
    return _distances(drawn, real).mean() - apart / 2


def nearest(rows: torch.Tensor) -> torch.Tensor:
    """Mean distance of each of the features (N, D), N > 1, to the nearest other one, ()."""
    apart = _distances(rows, rows)
    return apart.fill_diagonal_(torch.inf).min(1).values.mean()


def diversity(real: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """`nearest` of drawn features over that of as many real ones, (): about 1 for as many kinds of pictures as there
    are, near 0 for a few that repeat.  At most 2."""
    count = min(len(real), len(drawn))
    return (nearest(drawn[:count]) / nearest(real[:count]).clamp_min(1e-6)).clamp_max(2.0)


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(N, D) and (M, D) to (N, M); by matrix products, the default, they would not be 0 for the same picture."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
