"""What is known of pictures besides a class, as inputs of a net (N, F), and what stands for what nobody said of it."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

_ROWS = 512
_NEAR = 0.25  # deviations: rows that are as good as the nearest one


class Facts(nn.Module):
    """Facts of some training pictures, from which those are drawn that nobody named: so they fit together.

    count: F.  classes: of the labels, where the model is told them, too; label `classes` stands for any.
    """

    rows: torch.Tensor  # (512, F)
    labels: torch.Tensor  # (512,), of a model with classes

    def __init__(self, count: int, classes: int = 0):
        super().__init__()
        self.register_buffer("rows", torch.zeros(_ROWS, count))
        self.classes = classes
        if classes:
            self.register_buffer("labels", torch.full((_ROWS,), classes))
            self.register_load_state_dict_pre_hook(_of_before)

    def fit(self, known: torch.Tensor, labels: torch.Tensor) -> None:
        """Take rows from (N, F), with labels (N,), spread over all of them; they repeat where there are fewer."""
        spread = torch.arange(_ROWS) * len(known) // _ROWS
        self.rows.copy_(known[spread])
        if self.classes:
            self.labels.copy_(labels[spread])

    def forward(
        self, wanted: torch.Tensor | None, seeds: Sequence[int], labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(N, F): wanted (N, F), whose NaN are filled in, or nothing at all wanted, of the classes (N,).

        What is not wanted comes from one of the rows that are nearest in what is; the seed says from which.
        """
        wanted, picks = self._picks(wanted, len(seeds), labels)
        chosen = [near[self._draw(seed, len(near))] for near, seed in zip(picks, seeds, strict=True)]
        return wanted.where(~wanted.isnan(), torch.stack(chosen))

    def usual(self, wanted: torch.Tensor | None, count: int, labels: torch.Tensor | None = None) -> torch.Tensor:
        """The same without seeds: what is not wanted comes from the most usual of the nearest rows."""
        wanted, picks = self._picks(wanted, count, labels)
        return wanted.where(~wanted.isnan(), torch.stack([_middle(near) for near in picks]))

    def _picks(
        self, wanted: torch.Tensor | None, count: int, labels: torch.Tensor | None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """wanted, (N, F), and of each the rows that fit it."""
        if wanted is None:
            wanted = self.rows.new_full((count, self.rows.shape[1]), torch.nan)
        known = [self.classes] * count if labels is None else labels.tolist()
        return wanted, [self._nearest(row, label) for row, label in zip(wanted, known, strict=True)]

    def _nearest(self, wanted: torch.Tensor, label: int) -> torch.Tensor:
        """The rows (K, F) that are nearest to (F,) in what it says, of the class where there are such."""
        rows, said = self.rows, ~wanted.isnan()
        if self.classes and bool((own := self.labels == label).any()):
            rows = rows[own]
        apart = (rows[:, said] - wanted[said]).norm(dim=1)
        return rows[apart <= apart.min() + _NEAR]

    @staticmethod
    def _draw(seed: int, count: int) -> int:
        """0 to count - 1, of a stream of its own: latents come from the seed itself."""
        rng = torch.Generator().manual_seed((seed * 1_000_003 + 1) % 2**63)
        return int(torch.randint(count, (), generator=rng))


def _middle(rows: torch.Tensor) -> torch.Tensor:
    """That of the rows (K, F) which is nearest to their mean, (F,)."""
    return rows[(rows - rows.mean(0)).norm(dim=1).argmin()]


def _of_before(net: nn.Module, state: dict[str, torch.Tensor], prefix: str, *_: object) -> None:
    """Earlier weights do not say of which classes the rows are."""
    if prefix + "rows" in state:
        state.setdefault(prefix + "labels", torch.full((_ROWS,), cast(Facts, net).classes))
