"""The flicker of a film that was made frame by frame from another one."""

import torch

Pair = tuple[torch.Tensor, torch.Tensor]


class Flicker:
    """How much successive frames of the film differ, relative to those of its source: 1 where both change alike.

    changes: the sums so far, of the source and of the film.  last: the frames that the next ones are compared with.
    """

    def __init__(self, changes: tuple[float, float] = (0.0, 0.0), last: Pair | None = None) -> None:
        self.changes, self.last = changes, last

    def see(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Add a frame of the source and the frame made from it."""
        if self.last is not None:
            source, film = ((now - old).abs().mean() for now, old in zip((before, after), self.last, strict=True))
            self.changes = self.changes[0] + source.item(), self.changes[1] + film.item()
        self.last = before, after

    def ratio(self) -> float:
        return self.changes[1] / self.changes[0] if self.changes[0] else 1.0
