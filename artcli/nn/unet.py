"""A convolutional U-Net with attention at its coarse levels (Ho et al., 2020, "Denoising Diffusion Probabilistic
Models").

Time and text scale and shift every block's features ("Diffusion Models Beat GANs on Image Synthesis", Dhariwal and
Nichol, 2021, section 3.1).  Differences: pixels are folded into channels first, skips are added instead of
concatenated, both of which halve the work at the finest level, and every block starts as the identity.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from artcli.nn.doubling import double
from artcli.nn.norms import group_norm, norm_swish

GROUPS = 32
HEAD = 64  # channels of an attention head
FREQUENCIES = 128  # sines and cosines of the time, each
FASTEST = 1000.0  # radians that the fastest of them turns from time 0 to 1


class UNet(nn.Module):
    """(B, C, H, W), times (B,) in 0..1 and texts (B, D) to (B, C, H, W).

    channels: of the pictures.  widths: channels of each level, the finest first; every level halves the sides.
    blocks: residual blocks of each level, on either side.  attention: which levels have it.  fold: pixels, along either
    side, that become the channels of one place.  features: of time and text.  texts: D, 0 for none.
    H and W are multiples of `factor`.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        blocks: tuple[int, ...],
        attention: tuple[bool, ...],
        fold: int,
        features: int,
        texts: int,
    ):
        super().__init__()
        self.channels, self.texts = channels, texts
        self.fold, self.factor = fold, fold * 2 ** (len(widths) - 1)
        pixels = channels * fold**2
        self.embed = nn.Sequential(
            nn.Linear(2 * FREQUENCIES + texts, features), nn.SiLU(), nn.Linear(features, features)
        )
        self.first = nn.Conv2d(pixels, widths[0], 3, padding=1)
        levels = list(zip(widths, blocks, attention, strict=True))
        self.down = nn.ModuleList(_level(*level, features) for level in levels)
        self.up = nn.ModuleList(_level(*level, features) for level in levels)
        steps = list(itertools.pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in steps)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in steps)
        self.norm = nn.GroupNorm(_groups(widths[0]), widths[0])
        self.last = _silent(nn.Conv2d(widths[0], pixels, 3, padding=1))

    def forward(self, x: torch.Tensor, time: torch.Tensor, text: torch.Tensor | None = None) -> torch.Tensor:
        told = waves(time) if text is None else torch.cat((waves(time), text), 1)
        features = F.silu(self.embed(told))
        h = self.first(F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last))
        skips = []
        for number, level in enumerate(self.down):
            h = self.shrink[number - 1](h) if number else h
            for block in level:  # type: ignore[attr-defined]
                h = block(h, features)
                skips.append(h)
        for number in reversed(range(len(self.up))):
            for block in self.up[number]:  # type: ignore[attr-defined]
                h = block(h + skips.pop(), features)
            h = double(h, self.grow[number - 1]) if number else h  # type: ignore[arg-type]
        return F.pixel_shuffle(self.last(norm_swish(self.norm, h)), self.fold)


class Block(nn.Module):
    """Two convolutions beside the identity, the second modulated by the features (B, F); then attention, if asked."""

    def __init__(self, width: int, attends: bool, features: int):
        super().__init__()
        self.norm = nn.GroupNorm(_groups(width), width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.modulate = _silent(nn.Linear(features, 2 * width))
        self.plain_norm = nn.GroupNorm(_groups(width), width, affine=False)
        self.second = _silent(nn.Conv2d(width, width, 3, padding=1))
        self.attention = Attention(width) if attends else None

    def forward(self, x: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        h = self.first(norm_swish(self.norm, x))
        scale, shift = self.modulate(features)[:, :, None, None].chunk(2, 1)
        x = x + self.second(F.silu(torch.addcmul(shift, group_norm(self.plain_norm, h), 1 + scale)))
        return x if self.attention is None else x + self.attention(x)


class Attention(nn.Module):
    """Every place looks at every other ("Attention Is All You Need", Vaswani et al., 2017)."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = next(heads for heads in range(max(1, width // HEAD), 0, -1) if width % heads == 0)
        self.norm = nn.GroupNorm(_groups(width), width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = _silent(nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, width, rows, columns = x.shape
        places = group_norm(self.norm, x).permute(0, 2, 3, 1).reshape(batch, rows * columns, width)
        asked = self.ask(places).view(batch, rows * columns, 3, self.heads, width // self.heads)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        # Written out: for a few dozen places the fused form's backward pass is several times slower on CPUs.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        found = (scores.softmax(-1) @ value).transpose(1, 2).reshape(places.shape)
        return self.answer(found).view(batch, rows, columns, width).permute(0, 3, 1, 2)


def waves(time: torch.Tensor) -> torch.Tensor:
    """Times (B,) in 0..1 as cosines and sines (B, 2 * FREQUENCIES)."""
    speed = torch.logspace(0, 1, FREQUENCIES, base=FASTEST, device=time.device)
    angle = time[:, None] * speed
    return torch.cat((angle.cos(), angle.sin()), 1)


def _level(width: int, blocks: int, attends: bool, features: int) -> nn.ModuleList:
    return nn.ModuleList(Block(width, attends, features) for _ in range(blocks))


def _groups(width: int) -> int:
    return next(groups for groups in range(min(GROUPS, width), 0, -1) if width % groups == 0)


def _silent(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """What starts as 0, so that the block around it starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
