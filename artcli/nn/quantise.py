"""Codebooks ("Neural Discrete Representation Learning", van den Oord et al., 2017): looked up in, and learned.

`Codebook` holds the codes of a finished net, `VectorQuantiser` learns them, by running means or by gradient.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.parts import Parts
from artcli.nn.precision import full

_LAPLACE = 1e-5
_DEAD = 0.05  # of the mean use of a code; below it counts as dead
_FEW = 0.1  # of the codes; fewer in use are worth a warning
_MEMORY = 0.99  # of the counts, where the codes have no running means
_MOST_NUMBERS = 2**24  # distances held at a time


class Quantiser(nn.Module):
    """What can be done with the codes `vectors`, (K, W), wherever they come from."""

    @property
    def vectors(self) -> torch.Tensor:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.vectors)

    def choose(self, features: torch.Tensor) -> torch.Tensor:
        """The codes (B, h, w) that an encoder's features (B, W, h, w) stand for."""
        return self.nearest(features)

    def nearest(self, features: torch.Tensor) -> torch.Tensor:
        """The nearest code of every feature: (B, W, h, w) to (B, h, w)."""
        flat, vectors = _as_rows(features), self.vectors.detach()
        with torch.autocast(flat.device.type, enabled=False):  # bf16 cannot tell near codes apart
            half = vectors.square().sum(1) / 2
            rows = max(1, _MOST_NUMBERS // len(vectors))
            # An exporter knows no number of rows, so that it cannot split them.
            parts = (flat,) if torch.compiler.is_compiling() else flat.split(rows)
            found = [torch.addmm(half, part, vectors.T, alpha=-1).argmin(1) for part in parts]
        return torch.cat(found).view(features.shape[0], *features.shape[2:])

    def look_up(self, codes: torch.Tensor) -> torch.Tensor:
        """The vectors of codes: (B, h, w) to (B, W, h, w)."""
        return F.embedding(codes, self.vectors).movedim(-1, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, W, h, w) to their codes' vectors, of the same shape, and the codes (B, h, w).

        The gradient of the vectors goes straight through to the features.
        """
        features = full(features)
        codes = self.nearest(features.detach())
        return features + (self.look_up(codes) - features).detach(), codes


class Codebook(Quantiser):
    """The codes of a VQGAN under the names that the paper's checkpoints use.

    logits: a layer chooses the codes, not the distance ("Categorical Reparameterization with Gumbel-Softmax", Jang et
    al., 2017).
    """

    def __init__(self, codes: int, width: int, logits: bool = False):
        super().__init__()
        book = nn.Embedding(codes, width)
        if logits:
            self.embed, self.proj = book, nn.Conv2d(width, codes, 1)
        else:
            self.embedding = book

    @property
    def vectors(self) -> torch.Tensor:
        return self.embed.weight if hasattr(self, "embed") else self.embedding.weight

    def choose(self, features: torch.Tensor) -> torch.Tensor:
        return self.proj(features).argmax(1) if hasattr(self, "proj") else self.nearest(features)


class VectorQuantiser(Quantiser):
    """`codes` vectors of length `width` that learn from what chooses them.

    decay: of the running means that the codes move to (the paper's appendix A.1); at 0 the codes are weights, which
    the gradient of `loss` moves (its equation 3).  Training calls `observe` with every micro-batch and `update` at the
    end of the step.  A code that nothing chooses gets the place of a feature of the present batch (Dhariwal et al.,
    2020, "random restarts").
    """

    codebook: torch.Tensor  # (K, W)
    counts: torch.Tensor  # (K,), running number of features per step that chose each code
    sums: torch.Tensor  # (K, W), running sum of these features
    steps: torch.Tensor  # ()

    def __init__(self, codes: int, width: int, decay: float = 0.99):
        super().__init__()
        self.decay = decay
        start = torch.randn(codes, width)  # the first update replaces it
        if decay:
            self.register_buffer("codebook", start)
            self.register_buffer("sums", torch.zeros(codes, width))
        else:
            self.codebook = nn.Parameter(start)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("steps", torch.zeros(()))
        self._parts = Parts()
        self._chosen: torch.Tensor | None = None  # (K,), of the last step
        self._revived = torch.zeros(())  # dead codes of the last step

    @property
    def vectors(self) -> torch.Tensor:
        return self.codebook

    def loss(self, features: torch.Tensor, codes: torch.Tensor, commitment: float) -> torch.Tensor:
        """What pulls features (B, W, h, w) to their codes (B, h, w), and codes without running means to the features.

        Mean squared distances, that of the features times `commitment`.
        """
        vectors = self.look_up(codes)
        pull = commitment * F.mse_loss(features, vectors.detach())
        return pull if self.decay else pull + F.mse_loss(vectors, features.detach())

    @torch.no_grad()
    def observe(self, features: torch.Tensor, codes: torch.Tensor, first: int, whole: int, rng: torch.Generator):
        """Note which features (B, W, h, w) chose which codes (B, h, w), for `update`.

        The pictures are the rows from `first` of a batch of `whole`.  rng: in the same state for all parts of the
        batch, so that they agree on which feature of the batch may take the place of which code.
        """
        flat, chosen = _as_rows(features), codes.flatten()
        counts = torch.bincount(chosen, minlength=len(self)).to(flat.dtype)
        sums = torch.zeros_like(self.codebook).index_add_(0, chosen, flat)
        area = len(flat) // len(features)
        places = _distinct(whole * area, len(self), rng).to(flat.device) - first * area
        ours = (places >= 0) & (places < len(flat))
        candidates = torch.where(ours[:, None], flat[places.clamp(0, len(flat) - 1)], 0.0)
        self._parts.add(first, len(features), counts, sums, candidates)

    @torch.no_grad()
    def update(self, all_sum: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor) -> None:
        """Move the codes by what was observed in this step: all to their means, those that are dead to features.

        all_sum: adds up a tensor over all processes, so that each moves its codes in the same way.
        """
        counts, sums, candidates = (all_sum(total) for total in self._parts.take())
        # The features move far in the first steps: with the full decay most codes would fall behind and die.
        decay = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay or _MEMORY)
        self.counts.lerp_(counts, 1 - decay)
        total = self.counts.sum()
        if self.decay:
            self.sums.lerp_(sums, 1 - decay)
            smoothed = (self.counts + _LAPLACE) / (total + len(self) * _LAPLACE) * total
            self.codebook.copy_(self.sums / smoothed[:, None])
        dead = (self.steps == 0) | (self.counts < _DEAD * total / len(self))
        self._revive(dead, candidates, total / len(self))
        self._chosen, self._revived = counts, dead.sum()
        self.steps += 1

    def _revive(self, dead: torch.Tensor, candidates: torch.Tensor, count: torch.Tensor) -> None:
        """Move dead codes (K,) to the candidates, with the mean count: it gives them time to be chosen."""
        self.counts.copy_(torch.where(dead, count, self.counts))
        self.codebook.copy_(torch.where(dead[:, None], candidates, self.codebook))
        if self.decay:
            self.sums.copy_(torch.where(dead[:, None], candidates * count, self.sums))

    def use(self) -> dict[str, float]:
        """Of the last step: `codes` that were chosen at all, the `perplexity` of the choice, 1..K, and how many dead
        codes were `revived`."""
        if self._chosen is None:
            return {}
        part = self._chosen / self._chosen.sum()
        perplexity = torch.special.entr(part).sum().exp()
        return {
            "codes": float((part > 0).sum()), "perplexity": float(perplexity), "revived": float(self._revived)
        }  # fmt: skip

    def warnings(self) -> list[str]:
        """One line when the last step used few of the codes."""
        used = self.use().get("codes", math.inf)
        if used >= _FEW * len(self):
            return []
        return [f"only {used:.0f} of {len(self)} codes are in use; set fewer codes, a lower lr or a larger batch"]


def _as_rows(features: torch.Tensor) -> torch.Tensor:
    """(B, W, h, w) to (B * h * w, W), in full precision."""
    return full(features).movedim(1, -1).flatten(0, -2)


def _distinct(count: int, wanted: int, rng: torch.Generator) -> torch.Tensor:
    """`wanted` numbers below `count`, (wanted,), all different as long as there are enough."""
    order = torch.randperm(count, generator=rng, device=rng.device)
    return order[torch.arange(wanted, device=rng.device) % count]
