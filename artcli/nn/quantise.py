"""A codebook that follows what it stands for ("Neural Discrete Representation Learning", van den Oord et al., 2017)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.parts import Parts
from artcli.nn.precision import full

_LAPLACE = 1e-5
_DEAD = 0.05  # of the mean use of a code; below it counts as dead
_MOST_NUMBERS = 2**24  # distances held at a time


class VectorQuantiser(nn.Module):
    """`codes` vectors of length `width`, moved to the mean of what chose them (the paper's appendix A.1).

    Training calls `observe` with every micro-batch and `update` at the end of the step.  A code that nothing chooses
    gets the place of a feature of the present batch (Dhariwal et al., 2020, "random restarts").
    """

    codebook: torch.Tensor  # (K, W)
    counts: torch.Tensor  # (K,), running number of features per step that chose each code
    sums: torch.Tensor  # (K, W), running sum of these features
    steps: torch.Tensor  # ()

    def __init__(self, codes: int, width: int, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(codes, width))  # the first update replaces it
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("steps", torch.zeros(()))
        self._parts = Parts()
        self._chosen: torch.Tensor | None = None  # (K,), of the last step

    def __len__(self) -> int:
        return len(self.codebook)

    def nearest(self, features: torch.Tensor) -> torch.Tensor:
        """The nearest code of every feature: (B, W, h, w) to (B, h, w)."""
        flat = _as_rows(features)
        with torch.autocast(flat.device.type, enabled=False):  # bf16 cannot tell near codes apart
            half = self.codebook.square().sum(1) / 2
            rows = max(1, _MOST_NUMBERS // len(self))
            # An exporter knows no number of rows, so that it cannot split them.
            parts = (flat,) if torch.compiler.is_compiling() else flat.split(rows)
            found = [torch.addmm(half, part, self.codebook.T, alpha=-1).argmin(1) for part in parts]
        return torch.cat(found).view(features.shape[0], *features.shape[2:])

    def look_up(self, codes: torch.Tensor) -> torch.Tensor:
        """The vectors of codes: (B, h, w) to (B, W, h, w)."""
        return F.embedding(codes, self.codebook).movedim(-1, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, W, h, w) to their nearest codes' vectors, of the same shape, and the codes (B, h, w).

        The gradient of the vectors goes straight through to the features.
        """
        features = full(features)
        codes = self.nearest(features.detach())
        return features + (self.look_up(codes) - features).detach(), codes

    @torch.no_grad()
    def observe(self, features: torch.Tensor, codes: torch.Tensor, first: int, whole: int, rng: torch.Generator):
        """Note which features (B, W, h, w) chose which codes (B, h, w), for `update`.

        The pictures are the rows from `first` of a batch of `whole`.  rng: in the same state for all parts of the
        batch, so that they agree on which feature of the batch may take the place of which code.
        """
        flat, chosen = _as_rows(features), codes.flatten()
        counts = torch.bincount(chosen, minlength=len(self)).to(flat.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, chosen, flat)
        area = len(flat) // len(features)
        places = _distinct(whole * area, len(self), rng).to(flat.device) - first * area
        ours = (places >= 0) & (places < len(flat))
        candidates = torch.where(ours[:, None], flat[places.clamp(0, len(flat) - 1)], 0.0)
        self._parts.add(first, len(features), counts, sums, candidates)

    @torch.no_grad()
    def update(self, all_sum: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor) -> None:
        """Move the codes by what was observed in this step.

        all_sum: adds up a tensor over all processes, so that each moves its codes in the same way.
        """
        counts, sums, candidates = (all_sum(total) for total in self._parts.take())
        # The features move far in the first steps: with the full decay most codes would be left behind, unnoticed.
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        self.counts.lerp_(counts, 1 - decay)
        self.sums.lerp_(sums, 1 - decay)
        total = self.counts.sum()
        smoothed = (self.counts + _LAPLACE) / (total + len(self) * _LAPLACE) * total
        self.codebook.copy_(self.sums / smoothed[:, None])
        self._revive((self.steps == 0) | (self.counts < _DEAD * total / len(self)), candidates, total / len(self))
        self._chosen = counts
        self.steps += 1

    def _revive(self, dead: torch.Tensor, candidates: torch.Tensor, count: torch.Tensor) -> None:
        """Put dead codes (K,) at the candidates, with the mean count: time to find out whether they are of use."""
        self.counts.copy_(torch.where(dead, count, self.counts))
        self.codebook.copy_(torch.where(dead[:, None], candidates, self.codebook))
        self.sums.copy_(torch.where(dead[:, None], candidates * count, self.sums))

    def use(self) -> dict[str, float]:
        """Of the last step: `codes` that were chosen at all, and the `perplexity` of the choice, 1..K."""
        if self._chosen is None:
            return {}
        part = self._chosen / self._chosen.sum()
        return {"codes": float((part > 0).sum()), "perplexity": float(torch.special.entr(part).sum().exp())}


def _as_rows(features: torch.Tensor) -> torch.Tensor:
    """(B, W, h, w) to (B * h * w, W), in full precision."""
    return full(features).movedim(1, -1).flatten(0, -2)


def _distinct(count: int, wanted: int, rng: torch.Generator) -> torch.Tensor:
    """`wanted` numbers below `count`, (wanted,), all different as long as there are enough."""
    order = torch.randperm(count, generator=rng, device=rng.device)
    return order[torch.arange(wanted, device=rng.device) % count]
