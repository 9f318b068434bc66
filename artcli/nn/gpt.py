"""A transformer over rows of codes, the second stage of VQGAN ("Taming Transformers", Esser et al., 2021, section 3.2).

GPT-2 (Radford et al., 2019): pre-norm, learned positions.  Parameters carry the names of the paper's own checkpoints,
so that these load as they are.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.precision import full
from artcli.nn.prior import choose

_EXACT = 2e8  # parameters; larger nets draw in single precision, as twice the memory may not be there


class Cache:
    """Keys and values of the places that were read, of all layers; room for `length` of them."""

    def __init__(self, layers: int, count: int, heads: int, length: int, width: int, like: torch.Tensor):
        shape = (layers, 2, count, heads, length, width // heads)
        self.kept = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def add(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (B, heads, L, w) of new places; gives those of all places so far."""
        end = self.length + key.shape[2]
        kept = self.kept[layer]
        kept[0, :, :, self.length : end], kept[1, :, :, self.length : end] = key, value
        return kept[0, :, :, :end], kept[1, :, :, :end]


class Attention(nn.Module):
    """Every place looks at itself and those before it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.key, self.query, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor, cache: Cache | None = None, layer: int = 0) -> torch.Tensor:
        """(B, L, width) to the same; with a cache that holds places already, x is the next place alone."""
        query, key, value = (
            part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )  # (B, heads, L, width / heads)
        if cache is not None:
            key, value = cache.add(layer, key, value)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=query.shape[2] == key.shape[2])
        return self.proj(seen.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, cache: Cache | None = None, layer: int = 0) -> torch.Tensor:
        x = x + self.attn(self.ln1(x), cache, layer)
        return x + self.mlp(self.ln2(x))


@dataclass(frozen=True)
class Choice:
    """How a code is drawn.  temperature: below 1 the likely ones more often, at 0 always the likeliest.  top_k: among
    so many of the likeliest, 0 for all.  top_p: among the likeliest that together have this part of the probability
    ("The Curious Case of Neural Text Degeneration", Holtzman et al., 2020).  guidance: see `GPT.sample`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    guidance: float = 1.0

    def draw(self, logits: torch.Tensor, chances: torch.Tensor) -> torch.Tensor:
        """One code per row of logits (N, K), with uniform numbers in 0..1 (N,)."""
        return choose(self.narrow(logits), chances, self.temperature)

    def narrow(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (N, K), minus infinity for codes that must not be drawn; the likeliest one always may."""
        if 0 < self.top_k < logits.shape[1]:
            least = logits.topk(self.top_k, 1).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p < 1 and self.temperature > 0:
            order = (logits / self.temperature).softmax(1).sort(1, descending=True)
            before = order.values.cumsum(1) - order.values  # probability of what is likelier
            beyond = (before >= self.top_p) & (torch.arange(logits.shape[1], device=logits.device) > 0)
            logits = logits.masked_fill(torch.zeros_like(beyond).scatter(1, order.indices, beyond), -torch.inf)
        return logits


class GPT(nn.Module):
    """The distribution of rows of codes, each from a start that says what the row is of.

    codes: that can be drawn.  tokens: rows of the table of inputs, at least `codes`; those behind can be starts.
    length: of the longest row, the start not counted.
    """

    def __init__(self, codes: int, tokens: int, length: int, width: int, layers: int, heads: int):
        super().__init__()
        self.tok_emb = nn.Embedding(tokens, width)
        self.pos_emb = nn.Parameter(torch.zeros(1, length, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes, bias=False)
        self.heads = heads
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        """As in GPT-2: small weights; those that write to the residual stream shrink with the number of layers."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif ".ln" not in name and not name.startswith("ln"):
                added = name.endswith(("proj.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * layers) ** 0.5 if added else 0.02)

    @property
    def length(self) -> int:
        return self.pos_emb.shape[1]

    def forward(self, start: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, K) of the codes (B, L), each from those before it and from the start (B, width)."""
        return full(self.head(self._read(torch.cat((start[:, None], self.tok_emb(codes[:, :-1])), 1))))

    def _read(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """Embedded inputs (B, L, width) to what is known behind each; they follow what the cache holds."""
        first = 0 if cache is None else cache.length
        x = x + self.pos_emb[:, first : first + x.shape[1]]
        for layer, block in enumerate(self.blocks):
            x = block(x, cache, layer)
        if cache is not None:
            cache.length += x.shape[1]
        return self.ln_f(x)

    # --- drawing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        seeds: Sequence[int],
        start: torch.Tensor,
        window: tuple[int, int],
        size: tuple[int, int] | None = None,
        *,
        choice: Choice = Choice(),
        away: torch.Tensor | None = None,
        given: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
        cached: bool = True,
    ) -> torch.Tensor:
        """Grids of codes (N, *size), one per seed; a grid depends on its own seed and start only.

        start: (N, width).  window: (rows, columns) of the grids that were learned from.  size: (rows, columns), at
        least those of the window, which then slides: every place is in the middle of what is seen, as near as the
        edges allow (section 3.3).  away: starts (N, width) that a guidance above 1 leads away from (Ho and Salimans,
        2022).  given: codes (N, *size), which stay where keep, (*size), is true; a place sees those before it.
        cached: without it every place reads all that it sees again, for the same codes.
        In double precision where device and memory have it: rounding depends on the size of the batch, and one
        different code changes all that follow.
        """
        device, (rows, columns) = self.pos_emb.device, size or window
        exact, kind = self._exact()
        chances = [torch.rand(rows, columns, generator=torch.Generator().manual_seed(s), dtype=kind) for s in seeds]
        starts = start if away is None or choice.guidance == 1 else torch.cat((start, away))
        grid = torch.zeros(len(seeds), rows, columns, dtype=torch.long, device=device)
        kept = torch.zeros(rows, columns, dtype=torch.bool)
        if given is not None and keep is not None:
            grid, kept = torch.where(keep.to(device), given, grid), keep.cpu()
        with torch.autocast(device.type, enabled=False):
            reader = _Reader(exact, starts.to(kind), window, choice.guidance, cached)
            for row, column in (~kept).nonzero().tolist():
                logits = reader.logits(grid, row, column)
                grid[:, row, column] = choice.draw(logits, torch.stack([c[row, column] for c in chances]).to(device))
        return grid

    def _exact(self) -> tuple["GPT", torch.dtype]:
        device = self.pos_emb.device
        if device.type == "mps" or sum(p.numel() for p in self.parameters()) > _EXACT:
            return self, self.pos_emb.dtype
        return copy.deepcopy(self).to(torch.float64), torch.float64


class _Reader:
    """Reads what each place of a grid sees, and remembers it for the next place as long as the window stays."""

    def __init__(self, net: GPT, starts: torch.Tensor, window: tuple[int, int], guidance: float, cached: bool):
        self.net, self.starts, self.window, self.guidance, self.cached = net, starts, window, guidance, cached
        self.at: tuple[int, int] | None = None
        self.cache: Cache | None = None

    def logits(self, grid: torch.Tensor, row: int, column: int) -> torch.Tensor:
        """(N, K) of a place of grids (N, rows, columns) of which all places before it are drawn."""
        (high, wide), (rows, columns) = self.window, grid.shape[1:]
        top, left = (
            max(0, min(at - half // 2, whole - half))
            for at, half, whole in ((row, high, rows), (column, wide, columns))
        )
        place = (row - top) * wide + column - left
        before = grid[:, top : top + high, left : left + wide].flatten(1)[:, :place]
        if len(self.starts) > len(grid):
            before = before.repeat(2, 1)
        found = self.net.head(self._last((top, left), before))
        if len(self.starts) == len(grid):
            return found
        wanted, other = found.chunk(2)
        return other + self.guidance * (wanted - other)

    def _last(self, at: tuple[int, int], before: torch.Tensor) -> torch.Tensor:
        """What is known behind the codes (N, L) of the window at this place, (N, width)."""
        net, count = self.net, before.shape[1]
        if self.cache is not None and self.at == at and self.cache.length == count:
            return net._read(net.tok_emb(before[:, -1:]), self.cache)[:, -1]
        x = torch.cat((self.starts[:, None], net.tok_emb(before)), 1)
        if self.cached:
            self.at = at
            self.cache = Cache(len(net.blocks), len(x), net.heads, self.window[0] * self.window[1], x.shape[2], x)
        return net._read(x, self.cache)[:, -1]
