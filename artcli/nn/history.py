"""Earlier pictures of a generator ("Learning from Simulated and Unsupervised Images through Adversarial Training",
Shrivastava et al., 2017): shown again, they keep the discriminator from chasing only the latest pictures."""

from collections.abc import Callable

import torch
from torch import nn


class History(nn.Module):
    """At most `size` pictures, part of the saved state.  0 keeps none.

    The batch of a step may come in parts: nothing changes before `keep`, which ends the step.
    """

    pictures: torch.Tensor
    count: torch.Tensor

    def __init__(self, size: int, channels: int, side: int):
        super().__init__()
        self.size = size
        # Half precision: the discriminator cannot tell, and the checkpoint is half as large.
        self.register_buffer("pictures", torch.zeros(size, channels, side, side, dtype=torch.float16))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._fresh: dict[int, tuple[int, torch.Tensor]] = {}  # by row: place to keep it at, or -1, and the picture

    def mix(self, fresh: torch.Tensor, first: int, chance: torch.Tensor) -> torch.Tensor:
        """What the discriminator sees for new pictures (B, C, H, W): half of them are old ones, whose places they take.

        first: number of the first row in the whole batch.  chance: (B, 2) in 0..1.  While there is room, every new
        picture is seen and kept.
        """
        kept = int(self.count)
        shown = []
        for row, (picture, (swap, which)) in enumerate(zip(fresh, chance.tolist(), strict=True), first):
            place = kept + row
            if place >= self.size:
                place = int(which * kept) if swap < 0.5 and kept else -1
            old = 0 <= place < kept
            shown.append(self.pictures[place].to(picture) if old else picture)
            self._fresh[row] = (place, picture.detach())
        return torch.stack(shown).contiguous(memory_format=torch.channels_last)

    def keep(self, whole: int, all_sum: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Put the step's pictures to their places.  whole: rows of all processes; all_sum: over them."""
        if not self.size or not self._fresh:
            return
        places = torch.zeros(whole, device=self.pictures.device)
        pictures = torch.zeros(whole, *self.pictures.shape[1:], device=self.pictures.device)
        for row, (place, picture) in self._fresh.items():
            places[row], pictures[row] = place + 1, picture
        self._fresh = {}
        for place, picture in zip(all_sum(places).long().tolist(), all_sum(pictures), strict=True):
            if place:
                self.pictures[place - 1] = picture
        self.count.add_(whole).clamp_(max=self.size)
