"""How near drawn pictures are to real ones, by the features that a network finds in both, a row (D) for each picture.

KID needs no more than a few hundred pictures; FID of few pictures is too large, and falls with their number.
"""

import torch

_ROWS = 1000  # at once, which bounds the memory
NEIGHBOURS = 3


def kid(drawn: torch.Tensor, real: torch.Tensor) -> float:
    """Kernel distance ("Demystifying MMD GANs", Binkowski et al., 2018): the unbiased squared MMD of (N, D) and (M, D).

    The kernel is (x y / D + 1)^3, over all pictures at once.  0 for the same kind of pictures, on average, so that it
    may be a little below.  At least two rows each.
    """
    return float(_within(drawn) + _within(real) - 2 * _summed(drawn, real) / (len(drawn) * len(real)))


def _within(x: torch.Tensor) -> torch.Tensor:
    alone = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return (_summed(x, x) - alone.sum()) / (len(x) * (len(x) - 1))


def _summed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([((part @ y.T / x.shape[1] + 1) ** 3).sum() for part in x.split(_ROWS)]).sum()


def fid(drawn: torch.Tensor, real: torch.Tensor) -> float:
    """Frechet distance of the two as normal distributions ("GANs Trained by a Two Time-Scale Update Rule Converge to a
    Local Nash Equilibrium", Heusel et al., 2017).  At least two rows each."""
    (one, spread), (other, wanted) = ((x.mean(0), torch.cov(x.T)) for x in (drawn, real))
    root = _root(spread)  # the roots of spread @ wanted have the trace of those of this, which is symmetric
    shared = torch.linalg.eigvalsh(root @ wanted @ root).clamp_min(0).sqrt().sum()
    return float((one - other).square().sum() + spread.trace() + wanted.trace() - 2 * shared)


def _root(matrix: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def precision_recall(drawn: torch.Tensor, real: torch.Tensor) -> tuple[float, float]:
    """The part of the drawn pictures that lies among the real ones, and of the real ones among those drawn ("Improved
    Precision and Recall Metric for Assessing Generative Models", Kynkaanniemi et al., 2019).

    Among: no further from one of them than its third neighbour is.  More than NEIGHBOURS rows each.
    """
    return _among(drawn, real), _among(real, drawn)


def _among(points: torch.Tensor, centres: torch.Tensor) -> float:
    radii = [torch.cdist(part, centres).kthvalue(NEIGHBOURS + 1).values for part in centres.split(_ROWS)]
    within = [(torch.cdist(part, centres) <= torch.cat(radii)).any(1) for part in points.split(_ROWS)]
    return float(torch.cat(within).double().mean())
