"""A critic of whole heaps of pictures that has nothing to learn: the witness function of the maximum mean discrepancy
("A Kernel Two-Sample Test", Gretton et al., 2012), as a generator's loss ("Generative Moment Matching Networks", Li et
al., 2015), between the styles of real and of drawn pictures.

A critic that learns from a handful of pictures at a time may find no difference any more where hundreds beside hundreds
still show one.  A picture's style is the means and deviations of a net's features; the kernel is (x y / D + 1)^3 of
these, each measured in deviations of the real pictures'.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from artcli.nn.features import FeatureNet
from artcli.nn.precision import full

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
_LEAST = 0.1  # of the mean deviation is added to each: some features are hardly ever seen
_FEW = 64  # pictures; with fewer the witness says nothing


class Witness(nn.Module):
    """The styles of the last `size` real and drawn pictures, part of the saved state.

    The batch of a step may come in parts: nothing changes before `keep`, which ends the step.  net: whose features
    these are; it is no part of the witness.
    """

    real: torch.Tensor  # (size, D)
    drawn: torch.Tensor  # (size, D)
    count: torch.Tensor  # of all that were kept, also where others took their places

    def __init__(self, net: FeatureNet, size: int, taps: Sequence[str] = TAPS):
        super().__init__()
        self.size, self.taps = size, tuple(taps)
        with torch.no_grad():
            numbers = style(net(torch.zeros(1, 3, 32, 32), self.taps)).shape[1]
        for name in ("real", "drawn"):
            self.register_buffer(name, torch.zeros(size, numbers))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self._fresh: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by row: styles of a real and a drawn picture

    def forward(self, net: FeatureNet, real: torch.Tensor, drawn: torch.Tensor, first: int) -> torch.Tensor:
        """How much likelier the drawn pictures' styles are among drawn ones than among real ones: half of what the
        squared discrepancy changes by with them.

        Pictures (B, 3, H, W) in -1..1; first: number of the first row in the whole batch.
        """
        with torch.no_grad():
            wanted = style(net(real / 2 + 0.5, self.taps))
        found = style(net(drawn / 2 + 0.5, self.taps))
        self._fresh |= dict(enumerate(zip(wanted, found.detach(), strict=True), first))
        known = min(int(self.count), self.size)
        if known < min(_FEW, self.size):
            return 0 * found.mean()
        deviation, mean = torch.std_mean(self.real[:known], 0)
        deviation = deviation + _LEAST * deviation.mean()
        own, reals, drawns = ((x - mean) / deviation for x in (found, self.real[:known], self.drawn[:known]))
        with torch.autocast(found.device.type, enabled=False):  # small differences of large products
            return _kernel(own, drawns).mean() - _kernel(own, reals).mean()

    def keep(self, whole: int, all_sum: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Put the step's styles in the places of the oldest ones.  whole: rows of all processes; all_sum: over them."""
        if not self._fresh:
            return
        rows = torch.zeros(2, whole, self.real.shape[1], device=self.real.device)
        for row, pair in self._fresh.items():
            rows[:, row] = torch.stack(pair)
        self._fresh = {}
        places = (int(self.count) + torch.arange(whole, device=self.real.device)) % self.size
        self.real[places], self.drawn[places] = all_sum(rows)
        self.count.add_(whole)


def style(features: dict[str, torch.Tensor]) -> torch.Tensor:
    """Means and deviations over the places of features {tap: (B, C, h, w)}, (B, D)."""
    parts = [torch.std_mean(full(each), (2, 3), correction=0) for each in features.values()]
    return torch.cat([part for pair in parts for part in pair], 1)


def _kernel(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one @ other.T / one.shape[1] + 1) ** 3
