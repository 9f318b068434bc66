"""The networks of VQGAN ("Taming Transformers", Esser et al., 2021, appendix), of any size.

Parameters carry the names that the paper's own checkpoints use, so that these load as they are, as do those of latent
diffusion ("High-Resolution Image Synthesis with Latent Diffusion Models", Rombach et al., 2022), which share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from artcli.nn import strided
from artcli.nn.doubling import double
from artcli.nn.norms import norm_swish
from artcli.nn.precision import full
from artcli.nn.quantise import Codebook


@dataclass(frozen=True)
class Sizes:
    """What the networks are made of.

    widths: channels at each level, from the full resolution to the lowest; each level but the last halves the sides.
    blocks: residual blocks of each level of the encoder; the decoder has one more.  attention: levels with attention
    after every block.  middle: whether there is attention at the bottom.  latent: channels between the networks and
    the 1x1 convolutions around the codebook.  groups: of every group normalisation; with 0 the networks are plain ones
    without any: strided convolutions, and `blocks` residual blocks at the lowest level, of the width there.  gumbel:
    the codes are chosen by logits ("Categorical Reparameterization with Gumbel-Softmax", Jang et al., 2017), not by
    distance.
    """

    widths: tuple[int, ...] = (128, 128, 256, 256, 512)
    blocks: int = 2
    attention: tuple[int, ...] = (4,)
    middle: bool = True
    latent: int = 256
    codes: int = 1024
    code_width: int = 256
    channels: int = 3
    groups: int = 32
    gumbel: bool = False

    @property
    def factor(self) -> int:
        """Pixels per code along a side."""
        return 2 ** (len(self.widths) - 1)


class Block(nn.Module):
    """A residual block of two convolutions, each after a normalisation and a swish."""

    def __init__(self, before: int, after: int, groups: int):
        super().__init__()
        self.norm1, self.conv1 = _norm(before, groups), nn.Conv2d(before, after, 3, padding=1)
        self.norm2, self.conv2 = _norm(after, groups), nn.Conv2d(after, after, 3, padding=1)
        if before != after:
            self.nin_shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, before, h, w) to (B, after, h, w)."""
        inside = self.conv1(norm_swish(self.norm1, x))
        inside = self.conv2(norm_swish(self.norm2, inside))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + inside


class Attention(nn.Module):
    """Every place looks at all others, with one head; 1x1 convolutions make query, key and value."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm = _norm(width, groups)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) to the same."""
        inside = self.norm(x)
        q, k, v = (layer(inside).flatten(2).mT for layer in (self.q, self.k, self.v))  # (B, h * w, C)
        found = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj_out(found.mT.reshape(x.shape))


def _norm(width: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, width, eps=1e-6)


class _Halve(nn.Module):
    """A convolution of stride 2, padded at the right and the lower edge only."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Double(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return double(x, self.conv)


class _Level(nn.Module):
    """Blocks at one resolution, attention after each where there is any, then the way to the next resolution."""

    def __init__(self, before: int, after: int, blocks: int, attends: bool, groups: int):
        super().__init__()
        self.block = nn.ModuleList([Block(before if j == 0 else after, after, groups) for j in range(blocks)])
        self.attn = nn.ModuleList([Attention(after, groups) for _ in range(blocks if attends else 0)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[number](x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class _Middle(nn.Module):
    def __init__(self, width: int, attends: bool, groups: int):
        super().__init__()
        self.block_1, self.block_2 = Block(width, width, groups), Block(width, width, groups)
        if attends:
            self.attn_1 = Attention(width, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block_1(x)
        return self.block_2(self.attn_1(x) if hasattr(self, "attn_1") else x)


class Encoder(nn.Module):
    """Pictures (B, C, H, W) in -1..1 to features (B, latent, H / factor, W / factor)."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        widths, last = sizes.widths, len(sizes.widths) - 1
        self.conv_in = nn.Conv2d(sizes.channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False)):
            stage = _Level(before, after, sizes.blocks, level in sizes.attention, sizes.groups)
            if level < last:
                stage.downsample = _Halve(after)
            self.down.append(stage)
        self.mid = _Middle(widths[-1], sizes.middle, sizes.groups)
        self.norm_out = _norm(widths[-1], sizes.groups)
        self.conv_out = nn.Conv2d(widths[-1], sizes.latent, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for stage in self.down:
            x = stage(x)
        return self.conv_out(norm_swish(self.norm_out, self.mid(x)))


class Decoder(nn.Module):
    """Features (B, latent, h, w) to pictures (B, C, h * factor, w * factor), roughly in -1..1.

    frugal: keep only what enters each level for the backward pass, and compute the rest again ("Training Deep Nets
    with Sublinear Memory Cost", Chen et al., 2016); large pictures need it.
    """

    frugal = False

    def __init__(self, sizes: Sizes):
        super().__init__()
        widths = sizes.widths
        self.conv_in = nn.Conv2d(sizes.latent, widths[-1], 3, padding=1)
        self.mid = _Middle(widths[-1], sizes.middle, sizes.groups)
        self.up = nn.ModuleList()  # the first is the full resolution, which comes last
        for level, (after, before) in enumerate(zip(widths, (*widths[1:], widths[-1]), strict=True)):
            stage = _Level(before, after, sizes.blocks + 1, level in sizes.attention, sizes.groups)
            if level > 0:
                stage.upsample = _Double(after)
            self.up.append(stage)
        self.norm_out = _norm(widths[0], sizes.groups)
        self.conv_out = nn.Conv2d(widths[0], sizes.channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mid(self.conv_in(x))
        for stage in reversed(self.up):
            x = checkpoint(stage, x, use_reentrant=False) if self.frugal and x.requires_grad else stage(x)
        return self.conv_out(norm_swish(self.norm_out, x))


class PlainEncoder(nn.Module):
    """As `Encoder`, for sizes without groups."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.widths[-1]
        self.layers = strided.encoder(sizes.channels, width, sizes.factor, sizes.blocks, sizes.latent, act=nn.LeakyReLU)
        strided.start(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class PlainDecoder(nn.Module):
    """As `Decoder`, for sizes without groups; it takes so little memory that there is none to save.

    wraps: beyond each edge it sees the opposite one, which transposed convolutions cannot do by themselves.
    """

    frugal = wraps = False

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.factor = sizes.factor
        self.reach = sizes.blocks + 1 + len(sizes.widths)  # codes from which a pixel is drawn, to each side
        width = sizes.widths[-1]
        self.layers = strided.decoder(sizes.latent, width, sizes.factor, sizes.blocks, sizes.channels, act=nn.LeakyReLU)
        strided.start(self)

    @property
    def conv_out(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.wraps:
            return self.layers(x)
        edge = min(self.reach, *x.shape[2:])
        drawn = self.layers(F.pad(x, (edge,) * 4, mode="circular"))
        cut = edge * self.factor
        return drawn[..., cut:-cut, cut:-cut]


class VQGAN(nn.Module):
    """Pictures to codes and back.  encodes: without an encoder the codes can still be drawn, in half the memory."""

    def __init__(self, sizes: Sizes, encodes: bool = True):
        super().__init__()
        self.sizes = sizes
        self.quantize, self.decoder = Codebook(sizes.codes, sizes.code_width, sizes.gumbel), _decoder(sizes)
        self.post_quant_conv = nn.Conv2d(sizes.code_width, sizes.latent, 1)
        if encodes:
            self.encoder = Encoder(sizes) if sizes.groups else PlainEncoder(sizes)
            self.quant_conv = nn.Conv2d(sizes.latent, sizes.code_width, 1)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in 0..1, sides multiples of the factor, to features (B, code_width, h, w)."""
        return self.quant_conv(self.encoder(images * 2 - 1))

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, code_width, h, w) to pictures (B, C, H, W), roughly in 0..1."""
        return full(self.decoder(self.post_quant_conv(vectors))) / 2 + 0.5


def _decoder(sizes: Sizes) -> Decoder | PlainDecoder:
    return Decoder(sizes) if sizes.groups else PlainDecoder(sizes)


def sizes_of(state: Mapping[str, torch.Tensor], groups: int = 32) -> Sizes:
    """Read the sizes off the tensors of a checkpoint.

    groups: cannot be read off them; the paper's 32 unless the file says otherwise.
    Raises KeyError: a tensor is missing, so it is no VQGAN.
    """
    levels = _count(state, "decoder.up")
    gumbel = "quantize.embed.weight" in state
    book = state["quantize.embed.weight" if gumbel else "quantize.embedding.weight"]
    return Sizes(
        widths=tuple(len(state[f"decoder.up.{level}.block.0.conv2.weight"]) for level in range(levels)),
        blocks=_count(state, "decoder.up.0.block") - 1,
        attention=tuple(level for level in range(levels) if f"decoder.up.{level}.attn.0.q.weight" in state),
        middle="decoder.mid.attn_1.q.weight" in state,
        latent=state["decoder.conv_in.weight"].shape[1],
        codes=len(book),
        code_width=book.shape[1],
        channels=len(state["decoder.conv_out.weight"]),
        groups=groups,
        gumbel=gumbel,
    )


def _count(state: Mapping[str, torch.Tensor], path: str) -> int:
    """How many numbered modules there are below a path."""
    numbers = {name[len(path) + 1 :].split(".")[0] for name in state if name.startswith(f"{path}.")}
    return len(numbers)
