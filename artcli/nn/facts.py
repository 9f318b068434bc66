"""What is known of pictures besides a class, as inputs of a net (N, F), and what stands for what nobody said of it."""

from collections.abc import Sequence

import torch
from torch import nn

_ROWS = 512
_NEAR = 0.25  # deviations: rows that are as good as the nearest one


class Facts(nn.Module):
    """Facts of some training pictures, from which those are drawn that nobody named: so they fit together.

    count: F.
    """

    rows: torch.Tensor  # (512, F)

    def __init__(self, count: int):
        super().__init__()
        self.register_buffer("rows", torch.zeros(_ROWS, count))

    def fit(self, known: torch.Tensor) -> None:
        """Take rows from (N, F), spread over all of them; they repeat where there are fewer."""
        self.rows.copy_(known[torch.arange(_ROWS) * len(known) // _ROWS])

    def forward(self, wanted: torch.Tensor | None, seeds: Sequence[int]) -> torch.Tensor:
        """(N, F): wanted (N, F), whose NaN are filled in, or nothing at all wanted.

        What is not wanted comes from one of the rows that are nearest in what is; the seed says from which.
        """
        if wanted is None:
            return self.rows[[self._draw(seed, _ROWS) for seed in seeds]]
        picks = [self._nearest(row) for row in wanted]
        chosen = [near[self._draw(seed, len(near))] for near, seed in zip(picks, seeds, strict=True)]
        return wanted.where(~wanted.isnan(), torch.stack(chosen))

    def usual(self, wanted: torch.Tensor | None, count: int) -> torch.Tensor:
        """The same without seeds: what is not wanted comes from the most usual of the nearest rows."""
        if wanted is None:
            wanted = self.rows.new_full((count, self.rows.shape[1]), torch.nan)
        return wanted.where(~wanted.isnan(), torch.stack([_middle(self._nearest(row)) for row in wanted]))

    def _nearest(self, wanted: torch.Tensor) -> torch.Tensor:
        """The rows (K, F) that are nearest to (F,) in what it says."""
        said = ~wanted.isnan()
        apart = (self.rows[:, said] - wanted[said]).norm(dim=1)
        return self.rows[apart <= apart.min() + _NEAR]

    @staticmethod
    def _draw(seed: int, count: int) -> int:
        """0 to count - 1, of a stream of its own: latents come from the seed itself."""
        rng = torch.Generator().manual_seed((seed * 1_000_003 + 1) % 2**63)
        return int(torch.randint(count, (), generator=rng))


def _middle(rows: torch.Tensor) -> torch.Tensor:
    """That of the rows (K, F) which is nearest to their mean, (F,)."""
    return rows[(rows - rows.mean(0)).norm(dim=1).argmin()]
