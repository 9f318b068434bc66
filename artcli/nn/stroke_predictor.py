"""The stroke predictor of Paint Transformer (Liu et al., 2021): what is missing on a canvas, as eight strokes."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from artcli.nn.edges import Mirror

PATCH = 32  # side of what the predictor looks at, in pixels
CELLS = PATCH // 4  # of its features
HEADS = 8
_MIDDLE = (0.5, 0.5, 0.45, 0.45, 0.5)  # of x, y, w, h and theta in training


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
        with torch.no_grad():  # start with plausible strokes: sides below 0 are not drawn and get no gradient
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
    """Cosines over the CELLS positions, (CELLS, width): from random tables, learning positions takes far longer."""
    place = (torch.arange(CELLS) + 0.5) / CELLS * math.pi
    return math.sqrt(2) * torch.cos(place[:, None] * (1 + torch.arange(width) % CELLS))


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 32, 1), (32, 64, 2), (64, 128, 2)):
        conv = nn.Conv2d(inside, outside, 3, stride)
        layers += [Mirror(1), conv, nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


def _transformer(sizes: Sizes, dropout: float) -> nn.Transformer:
    layer = nn.TransformerEncoderLayer(sizes.width, HEADS, sizes.ffn, dropout)
    # As nn.Transformer makes it, but for nested tensors, which it warns that it cannot use.
    encoder = nn.TransformerEncoder(layer, sizes.layers, nn.LayerNorm(sizes.width), enable_nested_tensor=False)
    made = nn.Transformer(
        sizes.width, HEADS, sizes.layers, sizes.layers, sizes.ffn, dropout, custom_encoder=encoder
    )  # nn.Transformer copies one layer, so all begin equal; hence:
    for parameter in made.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    return made
