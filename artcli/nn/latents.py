"""Random latents, ways between latents, and the Gaussian that training pictures' latents follow."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

_MOST_ROWS = 4096  # pictures that a Gaussian is estimated from
_MOST_NUMBERS = 2**25  # of their latents, 128 MiB
_MOST_DIRECTIONS = 512
_MOST_FACTORS = 2**20  # numbers in a stored Gaussian, 4 MiB


def normal(seeds: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Standard normal numbers (N, *shape) on the CPU; row i comes from seeds[i] alone."""
    return torch.stack([torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def lerp(start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
    """The straight way: (N, D) and (N, D) to (N, D), `start` at part 0 and `end` at part 1."""
    return start + part * (end - start)


def slerp(start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
    """The way along the sphere (Shoemake, 1985): (N, D) and (N, D) to (N, D).

    The direction turns evenly and the length changes evenly, so that what lies between two Gaussian latents is as
    long as a Gaussian latent.  Straight where no shortest turn exists: same or opposite directions, or a length of 0.
    """
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    units = [v / length.clamp_min(1e-12) for v, length in zip((start, end), lengths, strict=True)]
    angle = (units[0] * units[1]).sum(1, keepdim=True).clamp(-1, 1).arccos()
    turned = (torch.sin((1 - part) * angle) * units[0] + torch.sin(part * angle) * units[1]) / angle.sin()
    straight = (angle.sin() < 1e-3) | (lengths[0] == 0) | (lengths[1] == 0)
    return torch.where(straight, lerp(start, end, part), turned * lerp(*lengths, part))


class Gaussian(nn.Module):
    """A normal distribution of latents (D,), estimated from examples; standard normal before that.

    Stored as mean + factor @ z + spread * z': the full covariance for D up to 512, else its largest directions, with
    the rest of the variance on the diagonal (probabilistic PCA, Tipping and Bishop, 1999, one variance per number).
    """

    mean: torch.Tensor  # (D,)
    factor: torch.Tensor  # (D, R)
    spread: torch.Tensor  # (D,)

    def __init__(self, size: int):
        super().__init__()
        directions = max(1, min(size, _MOST_DIRECTIONS, _MOST_FACTORS // size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("factor", torch.zeros(size, directions))
        self.register_buffer("spread", torch.ones(size))

    @torch.no_grad()
    def fit(self, batches: Iterable[torch.Tensor]) -> None:
        """Estimate from examples (N, D); looks at no more batches than it needs, and at least at one."""
        rows = _gather(batches, len(self.mean)).double()
        mean = rows.mean(0)
        centred = (rows - mean) / len(rows) ** 0.5  # centred.T @ centred is the covariance
        found = _principal(centred, self.factor.shape[1])  # (D, up to R)
        rest = centred.square().sum(0) - found.square().sum(1)
        self.mean.copy_(mean)
        self.factor.zero_()[:, : found.shape[1]] = found
        self.spread.copy_(rest.clamp_min(0).sqrt())

    def draw(self, seeds: Sequence[int], truncation: float = 1.0) -> torch.Tensor:
        """(N, D), row i from seeds[i] alone; truncation scales the distance from the mean."""
        size, directions = self.factor.shape
        noise = normal(seeds, (directions + size,)).to(self.mean)
        offset = noise[:, :directions] @ self.factor.T + noise[:, directions:] * self.spread
        return self.mean + truncation * offset


def _gather(batches: Iterable[torch.Tensor], size: int) -> torch.Tensor:
    """The first rows (N, size) of the batches, on the CPU."""
    most = min(_MOST_ROWS, max(2, _MOST_NUMBERS // size))
    parts: list[torch.Tensor] = []
    for batch in batches:
        parts.append(batch.float().cpu())
        if sum(map(len, parts)) >= most:
            break
    return torch.cat(parts)[:most]


def _principal(centred: torch.Tensor, count: int) -> torch.Tensor:
    """The largest principal directions of rows (N, D), as columns (D, up to count) as long as their deviations."""
    rows, size = centred.shape
    if size <= rows:
        variance, directions = torch.linalg.eigh(centred.T @ centred)  # ascending
        return directions[:, -count:] * variance[-count:].clamp_min(0).sqrt()
    _, mixes = torch.linalg.eigh(centred @ centred.T)  # fewer pictures than numbers: the same from the smaller side
    return centred.T @ mixes[:, -count:]
