"""A transformer that draws grids of codes one after the other ("Attention Is All You Need", Vaswani et al., 2017).

Pre-norm as in GPT-2 (Radford et al., 2019).  Every place gets the code above it as an input, besides the code before
it, so that attention need not learn what is common to neighbouring rows.
"""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.look = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, past: tuple[torch.Tensor, torch.Tensor] | None = None):
        """(B, L, width) to the same, and the keys and values so far; with a past, x is the next place (B, 1, width)."""
        query, key, value = self.look(self.norms[0](x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            key, value = (torch.cat(pair, 2) for pair in zip(past, (key, value), strict=True))
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)  # (B, heads, L, width / heads)
        x = x + self.mix(seen.transpose(1, 2).flatten(2))
        return x + self.think(self.norms[1](x)), (key, value)


class GridPrior(nn.Module):
    """The distribution of grids (side, side) of `codes` different codes, with or without classes.

    Labels are 0..classes, where `classes` is the unknown class.
    """

    def __init__(self, codes: int, side: int, width: int, layers: int, heads: int, classes: int = 0):
        super().__init__()
        self.codes, self.side, self.classes = codes, side, classes
        self.start = nn.Embedding(classes + 1, width)
        self.before = nn.Embedding(codes + 1, width)  # the last one: a hidden code
        self.above = nn.Embedding(codes + 1, width)
        self.row = nn.Parameter(torch.zeros(side, 1, width))
        self.column = nn.Parameter(torch.zeros(1, side, width))
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes)
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        """As in GPT-2: small weights; those that write to the residual stream shrink with the number of layers."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" not in name:
                added = name.endswith(("mix.weight", "think.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if added else 0.02)

    def forward(self, codes: torch.Tensor, labels: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, side * side, codes) of every place of grids (B, side, side), each from the places before it.

        hidden: (B, side, side), the codes that the places behind them cannot see.
        """
        flat = codes.flatten(1)
        seen = flat if hidden is None else torch.where(hidden.flatten(1), self.codes, flat)
        x = self.start(labels)[:, None] + self._places() + self._neighbours(seen)
        for block in self.blocks:
            x, _ = block(x)
        return self.head(self.norm(x))

    def _places(self) -> torch.Tensor:
        return (self.row + self.column).flatten(0, 1)  # (side * side, width)

    def _neighbours(self, seen: torch.Tensor) -> torch.Tensor:
        """What the codes before and above tell each place: (B, L) to (B, L, width); nothing beyond the edge."""
        before = F.pad(self.before(seen[:, :-1]), (0, 0, 1, 0))
        above = F.pad(self.above(seen[:, : -self.side]), (0, 0, self.side, 0))
        return before + above

    @torch.no_grad()
    def sample(self, seeds: Sequence[int], labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Grids (N, side, side), one per seed; a grid depends on its own seed and label only.

        temperature: below 1 the likely codes are drawn more often, at 0 always the likeliest.  In double precision
        where the device has it: rounding depends on the batch size, and one different code changes all that follow.
        """
        device = self.row.device
        kind = torch.float32 if device.type == "mps" else torch.float64
        with torch.autocast(device.type, enabled=False):
            exact = copy.deepcopy(self).to(kind)
            chances = [torch.rand(self.side**2, generator=torch.Generator().manual_seed(s), dtype=kind) for s in seeds]
            return exact._draw(torch.stack(chances).to(device), labels, temperature)

    def _draw(self, chances: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
        """Draw place by place, with uniform numbers in 0..1 (N, side * side) and a cache of keys and values."""
        start, places = self.start(labels), self._places()
        drawn = torch.zeros(chances.shape, dtype=torch.long, device=chances.device)
        past: list = [None] * len(self.blocks)
        for place in range(self.side**2):
            x = start + places[place]
            if place > 0:
                x = x + self.before(drawn[:, place - 1])
            if place >= self.side:
                x = x + self.above(drawn[:, place - self.side])
            x = x[:, None]
            for number, block in enumerate(self.blocks):
                x, past[number] = block(x, past[number])
            drawn[:, place] = choose(self.head(self.norm(x[:, 0])), chances[:, place], temperature)
        return drawn.view(-1, self.side, self.side)


def choose(logits: torch.Tensor, chances: torch.Tensor, temperature: float) -> torch.Tensor:
    """One code per row of logits (N, K), drawn with uniform numbers in 0..1 (N,) by inverting the CDF."""
    if temperature == 0:
        return logits.argmax(1)
    cumulated = (logits / temperature).softmax(1).cumsum(1)
    place = torch.searchsorted(cumulated, (chances * cumulated[:, -1])[:, None], right=True)
    return place[:, 0].clamp(max=logits.shape[1] - 1)
