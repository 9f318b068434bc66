"""Sums over one optimizer step, which may come in micro-batches."""

import torch


class Parts:
    """Collects tensors of the micro-batches of a step until the step is over.

    A micro-batch that covers rows seen before takes their place: a step that ran out of memory half-way, and is done
    again in smaller parts, counts once.
    """

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int], tuple[torch.Tensor, ...]] = {}

    def add(self, first: int, count: int, *tensors: torch.Tensor) -> None:
        """What rows `first` to `first + count` of the batch add to the sums."""
        end = first + count
        kept = {rows: part for rows, part in self._parts.items() if rows[1] <= first or rows[0] >= end}
        self._parts = {**kept, (first, end): tensors}

    def take(self) -> list[torch.Tensor]:
        """The sum of every tensor over the micro-batches, in the order of their rows; forgets them."""
        parts = [self._parts[rows] for rows in sorted(self._parts)]
        self._parts = {}
        return [torch.stack(column).sum(0) for column in zip(*parts, strict=True)]
