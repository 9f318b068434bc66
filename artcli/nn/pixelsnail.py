"""PixelSNAIL ("PixelSNAIL: An Improved Autoregressive Generative Model", Chen et al., 2018) over grids of codes.

Causal convolutions see what is near, causal attention sees all that came before.  Here convolutions are masked, not
shifted, and no weights are normalised: every block begins as the identity.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.prior import choose


class _CausalConv(nn.Conv2d):
    """Sees the rows above and its own row up to its own place; strict: without its own place."""

    mask: torch.Tensor

    def __init__(self, before: int, after: int, rows: int, columns: int, strict: bool = False):
        super().__init__(before, after, (rows, columns))
        mask = torch.ones(rows, columns)
        mask[-1, columns // 2 + (not strict) :] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, h, w) to (B, after, h, w)."""
        rows, columns = self.kernel_size
        padded = F.pad(x, (columns // 2, columns // 2, rows - 1, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)


class _Rows:
    """The last rows that a causal convolution sees, so that it computes one place at a time."""

    def __init__(self, conv: _CausalConv, count: int, width: int):
        rows, self.columns = conv.kernel_size
        self.weight, self.bias = (conv.weight * conv.mask).flatten(1), conv.bias
        self.kept = self.weight.new_zeros(count, conv.in_channels, rows, width + self.columns - 1)

    def begin_row(self) -> None:
        self.kept = F.pad(self.kept[:, :, 1:], (0, 0, 0, 1))

    def put(self, x: torch.Tensor, column: int) -> None:
        """What the place in the present row has, (N, before)."""
        self.kept[:, :, -1, column + self.columns // 2] = x

    def at(self, column: int) -> torch.Tensor:
        """(N, after) of a place in the present row."""
        return F.linear(self.kept[..., column : column + self.columns].flatten(1), self.weight, self.bias)


class _Gated(nn.Module):
    """Two causal convolutions, told the condition between them; a gate decides what is added."""

    def __init__(self, width: int, rows: int, columns: int):
        super().__init__()
        self.look = _CausalConv(width, width, rows, columns)
        self.told = nn.Conv2d(width, width, 1)
        self.gate = _CausalConv(width, 2 * width, rows, columns)
        for parameter in self.gate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        inside = self.look(F.elu(x)) + self.told(condition)
        return x + F.glu(self.gate(F.elu(inside)), 1)


class _GatedSteps:
    """The same, place by place."""

    def __init__(self, block: _Gated, condition: torch.Tensor, width: int):
        self.look, self.gate = (_Rows(conv, len(condition), width) for conv in (block.look, block.gate))
        self.told = block.told(condition)  # (N, C, h, w)

    def begin_row(self) -> None:
        self.look.begin_row()
        self.gate.begin_row()

    def __call__(self, x: torch.Tensor, row: int, column: int) -> torch.Tensor:
        self.look.put(F.elu(x), column)
        self.gate.put(F.elu(self.look.at(column) + self.told[:, :, row, column]), column)
        return x + F.glu(self.gate.at(column), 1)


class _Attention(nn.Module):
    """Every place looks at the features and codes of all places before it, and at one that stands for nothing."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ask = nn.Conv2d(width, width, 1)
        self.offer = nn.Conv2d(2 * width, 2 * width, 1)  # keys and values, from features and code
        self.nothing = nn.Parameter(torch.zeros(2 * width))
        self.mix = nn.Conv2d(width, width, 1)
        for parameter in self.mix.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Features and codes' vectors, both (B, C, h, w), to what is added to the features."""
        query = self.queries(F.elu(x).flatten(2).mT)
        offered = self.offered(F.elu(x).flatten(2).mT, tokens.flatten(2).mT)[:, :-1]
        key, value = self.pair(torch.cat((self.nothing.to(offered).expand(len(x), 1, -1), offered), 1))
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)  # (B, heads, L, C / heads)
        return self.mix(found.transpose(1, 2).flatten(2).mT.reshape(x.shape))

    def queries(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, C) to (B, heads, L, C / heads)."""
        return self._apart(_pointwise(self.ask, x))

    def offered(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Keys and values (B, L, 2 C) of places."""
        return _pointwise(self.offer, torch.cat((x, tokens), 2))

    def pair(self, offered: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key, value = offered.chunk(2, 2)
        return self._apart(key), self._apart(value)

    def _apart(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class _AttentionSteps:
    """The same, place by place, with the keys and values so far."""

    def __init__(self, layer: _Attention, count: int, places: int):
        self.layer, self.seen = layer, 1
        self.kept = layer.nothing.new_zeros(count, places + 1, len(layer.nothing))
        self.kept[:, 0] = layer.nothing
        self.last: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor, token: torch.Tensor | None) -> torch.Tensor:
        """Features of a place, (N, C), with the code's vector of the place before it, to what is added to them."""
        if token is not None and self.last is not None:
            self.kept[:, self.seen] = self.layer.offered(self.last[:, None], token[:, None])[:, 0]
            self.seen += 1
        self.last = F.elu(x)
        key, value = self.layer.pair(self.kept[:, : self.seen])
        found = F.scaled_dot_product_attention(self.layer.queries(self.last[:, None]), key, value)
        return _pointwise(self.layer.mix, found.transpose(1, 2).flatten(2))[:, 0]


def _pointwise(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution of rows (..., C)."""
    return F.linear(x, layer.weight[:, :, 0, 0], layer.bias)


class _Upper(nn.Module):
    """What grids of the levels above tell a grid: each is enlarged to it, then looked at from all sides."""

    def __init__(self, codes: int, sides: Sequence[int], width: int, side: int):
        super().__init__()
        self.side = side
        self.embed = nn.ModuleList([nn.Embedding(codes, width) for _ in sides])
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ELU(), nn.Conv2d(width, width, 3, padding=1), nn.ELU()
        )

    def forward(self, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        """Codes (B, s, s) of each level, the topmost first, to (B, C, side, side)."""
        told = [embed(grid).movedim(-1, 1) for embed, grid in zip(self.embed, grids, strict=True)]
        whole = torch.stack([F.interpolate(t, (self.side, self.side), mode="nearest") for t in told]).sum(0)
        return whole + self.layers(whole)


class PixelSNAIL(nn.Module):
    """The distribution of grids (side, side) of `codes` different codes, given a class and the grids `above`.

    above: their sides, the topmost first.  blocks: each of `residuals` gated ones, with attention of `heads` after
    them, 0 for none.  kernel: columns that the convolutions see, odd; they see half as many rows.  Labels are
    0..classes, where `classes` is the unknown class.
    """

    def __init__(
        self, codes: int, side: int, width: int, blocks: int, residuals: int, heads: int = 0, kernel: int = 5,
        classes: int = 0, above: Sequence[int] = (),
    ):  # fmt: skip
        super().__init__()
        self.codes, self.side, self.classes = codes, side, classes
        rows = (kernel + 1) // 2
        self.embed = nn.Embedding(codes + 1, width)  # the last one: a hidden code
        self.label = nn.Embedding(classes + 1, width)
        self.upper = _Upper(codes, above, width, side) if above else None
        self.first = _CausalConv(width, width, rows, kernel, strict=True)
        self.row = nn.Parameter(torch.zeros(width, side, 1))
        self.column = nn.Parameter(torch.zeros(width, 1, side))
        self.residuals: Any = nn.ModuleList(
            [nn.ModuleList([_Gated(width, rows, kernel) for _ in range(residuals)]) for _ in range(blocks)]
        )
        self.attention: Any = nn.ModuleList([_Attention(width, heads) for _ in range(blocks if heads else 0)])
        self.head = nn.Conv2d(width, codes, 1)
        for parameter in self.head.parameters():  # every code is as likely as any other at first
            nn.init.zeros_(parameter)

    def forward(
        self,
        codes: torch.Tensor,
        labels: torch.Tensor,
        above: Sequence[torch.Tensor] = (),
        hidden: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits (B, codes, side, side) of every place of grids (B, side, side), each from the places before it.

        above: grids of the levels above.  hidden: (B, side, side), the codes that the places behind them cannot see.
        """
        seen = codes if hidden is None else torch.where(hidden, self.codes, codes)
        return self.logits(self.embed(seen).movedim(-1, 1), self._condition(labels, above))

    def logits(self, tokens: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The same from the vectors of the codes and what is known besides, both (B, C, side, side)."""
        x = self.first(tokens) + self.row + self.column
        for number, block in enumerate(self.residuals):
            for gated in block:
                x = gated(x, condition)
            if self.attention:
                x = x + self.attention[number](x, tokens)
        return self.head(F.elu(x))

    def _condition(self, labels: torch.Tensor, above: Sequence[torch.Tensor]) -> torch.Tensor:
        told = self.label(labels)[:, :, None, None].expand(-1, -1, self.side, self.side)
        return told if self.upper is None else told + self.upper(above)

    @torch.no_grad()
    def sample(
        self,
        chances: torch.Tensor,
        labels: torch.Tensor,
        above: Sequence[torch.Tensor] = (),
        temperature: float = 1.0,
        cached: bool = True,
    ) -> torch.Tensor:
        """Grids (N, side, side) by uniform numbers in 0..1 (N, side * side), one per code.

        temperature: below 1 the likely codes are drawn more often, at 0 always the likeliest.  cached: False computes
        the whole grid again for every code, to compare with.  In double precision where the device has it: rounding
        depends on the batch size, and one different code changes all that follow.
        """
        device = self.row.device
        kind = torch.float32 if device.type == "mps" else torch.float64
        with torch.autocast(device.type, enabled=False):
            exact = copy.deepcopy(self).to(kind)
            draw = exact._draw if cached else exact._draw_plainly
            return draw(chances.to(device, kind), exact._condition(labels, above), temperature)

    def _draw(self, chances: torch.Tensor, condition: torch.Tensor, temperature: float) -> torch.Tensor:
        count, side = len(chances), self.side
        drawn = torch.zeros((count, side, side), dtype=torch.long, device=chances.device)
        first, places = _Rows(self.first, count, side), self.row + self.column
        gated = [[_GatedSteps(g, condition, side) for g in block] for block in self.residuals]
        attention = [_AttentionSteps(layer, count, side**2) for layer in self.attention]
        token: torch.Tensor | None = None
        for place in range(side**2):
            row, column = divmod(place, side)
            if column == 0:
                first.begin_row()
                for step in (step for block in gated for step in block):
                    step.begin_row()
            x = first.at(column) + places[:, row, column]
            for number, block in enumerate(gated):
                for step in block:
                    x = step(x, row, column)
                if attention:
                    x = x + attention[number](x, token)
            drawn[:, row, column] = choose(_pointwise(self.head, F.elu(x)), chances[:, place], temperature)
            token = self.embed(drawn[:, row, column])
            first.put(token, column)
        return drawn

    def _draw_plainly(self, chances: torch.Tensor, condition: torch.Tensor, temperature: float) -> torch.Tensor:
        drawn = torch.zeros((len(chances), self.side, self.side), dtype=torch.long, device=chances.device)
        for place in range(self.side**2):
            row, column = divmod(place, self.side)
            logits = self.logits(self.embed(drawn).movedim(-1, 1), condition)[:, :, row, column]
            drawn[:, row, column] = choose(logits, chances[:, place], temperature)
        return drawn


def uniform(seeds: Sequence[int], counts: Sequence[int]) -> list[torch.Tensor]:
    """Uniform numbers in 0..1 for grids of `counts` codes, (N, count) each; row i comes from seeds[i] alone."""
    kind = torch.float64
    rows = [torch.rand(sum(counts), generator=torch.Generator().manual_seed(seed), dtype=kind) for seed in seeds]
    return list(torch.stack(rows).split(list(counts), 1))
