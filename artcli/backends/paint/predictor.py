"""The stroke predictor of Paint Transformer (Liu et al., 2021): what is missing on a canvas, as eight strokes."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from artcli import weights
from artcli.backends.paint import locate
from artcli.backends.paint.layers import Outline
from artcli.device import fast_dtype
from artcli.errors import UsageError

Array = np.ndarray[Any, Any]

PATCH = 32  # side of what the predictor looks at, in pixels
CELLS = PATCH // 4  # of its features
HEADS = 8
_MIDDLE = (0.5, 0.5, 0.45, 0.45, 0.5)  # of x, y, w, h and theta in training
_CHUNK = 48  # patches at once: more are no faster, and take 1 MB each


@dataclass(frozen=True)
class Sizes:
    """width: of the transformer, a multiple of HEADS.  ffn: of its inner layers.  layers: of encoder and decoder."""

    width: int = 256
    ffn: int = 2048
    layers: int = 3
    strokes: int = 8


class Predictor(nn.Module):
    """Target and canvas, (B, 3, 32, 32) in 0..1, to strokes (B, S, 5) and the logits (B, S) that they are drawn.

    A stroke is x, y, w, h in sides of the patch and theta in units of pi.  Parameters have the names of the paper's
    published checkpoint.
    """

    def __init__(self, sizes: Sizes, dropout: float = 0.1):
        super().__init__()
        width = sizes.width
        self.enc_img = _encoder()
        self.enc_canvas = _encoder()
        self.conv = nn.Conv2d(2 * 128, width, 1)
        self.transformer = _transformer(sizes, dropout)
        found = nn.Linear(width, 5)
        with torch.no_grad():  # from strokes like those to be found: sides below 0 would not be drawn, nor ever grow
            found.bias.copy_(torch.tensor(_MIDDLE))
        self.linear_param = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), found)
        self.linear_decider = nn.Linear(width, 1)
        self.query_pos = nn.Parameter(torch.randn(sizes.strokes, width))
        self.row_embed = nn.Parameter(_waves(width // 2))
        self.col_embed = nn.Parameter(_waves(width // 2))

    def forward(self, target: torch.Tensor, canvas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.conv(torch.cat((self.enc_img(target), self.enc_canvas(canvas)), 1))  # (B, width, 8, 8)
        columns = self.col_embed[None].expand(CELLS, -1, -1)
        rows = self.row_embed[:, None].expand(-1, CELLS, -1)
        place = torch.cat((columns, rows), -1).flatten(0, 1)[:, None]  # (64, 1, width)
        queries = self.query_pos[:, None].repeat(1, target.shape[0], 1)
        cells = (place + seen.flatten(2).permute(2, 0, 1)).contiguous()  # in one piece the products are far faster
        found = self.transformer(cells, queries).transpose(0, 1).contiguous()  # (B, S, width)
        return self.linear_param(found), self.linear_decider(found)[..., 0]


def _waves(width: int) -> torch.Tensor:
    """Cosines of the CELLS places, (CELLS, width), as a start: with random tables finding a place takes far longer."""
    place = (torch.arange(CELLS) + 0.5) / CELLS * math.pi
    return math.sqrt(2) * torch.cos(place[:, None] * (1 + torch.arange(width) % CELLS))


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 32, 1), (32, 64, 2), (64, 128, 2)):
        conv = nn.Conv2d(inside, outside, 3, stride)
        layers += [nn.ReflectionPad2d(1), conv, nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


def _transformer(sizes: Sizes, dropout: float) -> nn.Transformer:
    layer = nn.TransformerEncoderLayer(sizes.width, HEADS, sizes.ffn, dropout)
    # As nn.Transformer makes it, but for nested tensors, which it warns that it cannot use.
    encoder = nn.TransformerEncoder(layer, sizes.layers, nn.LayerNorm(sizes.width), enable_nested_tensor=False)
    made = nn.Transformer(
        sizes.width, HEADS, sizes.layers, sizes.layers, sizes.ffn, dropout, custom_encoder=encoder
    )  # copies of one layer begin alike, so:
    for parameter in made.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    return made


# --- loading --------------------------------------------------------------------------------------------------------


def load(name: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> "Painter":
    """A finished predictor by bundled name, run folder, weights file or the paper's model.pth.

    Raises UsageError: nothing has that name, or it is another kind of model.  WeightsError: missing or damaged.
    """
    path = locate.find(name, weights_dirs, offline)
    state = weights.load_state(path)
    net = from_state(state, path).eval().requires_grad_(False).to(device)
    foreign = path.suffix != ".safetensors"  # which is what artgen writes
    return Painter(net, name, hashlib.sha256(path.read_bytes()).hexdigest()[:16], device, foreign)


def from_state(state: dict[str, torch.Tensor], source: Path) -> Predictor:
    """A predictor of the sizes that its tensors have.  Raises UsageError when they are another model's."""
    net = Predictor(sizes_of(state, source))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise UsageError(f"{source} does not fit a stroke predictor ({' '.join(str(error).split())[:160]})") from error
    return net


def sizes_of(state: dict[str, torch.Tensor], source: Path) -> Sizes:
    """Read off the tensors.  Raises UsageError where there are other ones."""
    try:
        strokes, width = state["query_pos"].shape
        ffn = len(state["transformer.encoder.layers.0.linear1.weight"])
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{source} is no stroke predictor: it lacks its tensors (query_pos, transformer, ...)"
        ) from error
    layers = {key.split(".")[3] for key in state if key.startswith("transformer.encoder.layers.")}
    if width % HEADS:
        raise UsageError(f"{source} has a width of {width}, no multiple of {HEADS}")
    return Sizes(width, ffn, len(layers), strokes)


# The authors' net has learned from pictures of brushes that leave the rim of a stroke's box bare, and their program
# takes another pixel off around each stroke.
_AUTHORS = Outline(0.165, 0.025, 0.911, 0.926, back=1.0)


class Painter:
    """A loaded predictor.

    fingerprint: first 16 hex digits of the SHA-256 of its file.  foreign: not trained by artgen, whose strokes fill
    their boxes.  brush: the name of the one that its strokes are meant for.
    """

    def __init__(self, net: Predictor, name: str, fingerprint: str, device: torch.device, foreign: bool = False):
        self.net, self.name, self.fingerprint, self.device = net, name, fingerprint, device
        self.strokes = len(net.query_pos)
        self.outline = _AUTHORS if foreign else None
        self.brush = "classic" if foreign else "flat"

    @torch.no_grad()
    def __call__(self, targets: Array, canvases: Array) -> tuple[Array, Array]:
        """Patches (N, 32, 32, 3) uint8 to strokes (N, S, 5) and logits (N, S), float64."""
        parts = [self._look(targets[i : i + _CHUNK], canvases[i : i + _CHUNK]) for i in range(0, len(targets), _CHUNK)]
        shapes, logits = (torch.cat(part).double().cpu().numpy() for part in zip(*parts, strict=True))
        return shapes, logits

    def _look(self, *patches: Array) -> tuple[torch.Tensor, torch.Tensor]:
        target, canvas = (
            torch.from_numpy(np.ascontiguousarray(p.transpose(0, 3, 1, 2))).to(self.device).float() / 255
            for p in patches
        )
        dtype = fast_dtype(self.device)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            shapes, logits = self.net(target, canvas)
        return shapes.float(), logits.float()
