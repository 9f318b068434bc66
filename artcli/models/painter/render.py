"""Strokes drawn so that gradients pass through them: what the painter learns from."""

import math

import torch
import torch.nn.functional as F

from artcli.media import brushes

SIDE = 32  # of the brush: strokes on a patch of 32 pixels are smaller
_THINNEST = 0.02  # of a patch: a thinner stroke has no pixel, and dividing by its width no bound


class Draws(torch.autograd.Function):
    """1 where a logit is above 0, else 0; backwards the gradient of a sigmoid."""

    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits)
        return (logits > 0).to(logits)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (logits,) = ctx.saved_tensors
        chance = torch.sigmoid(logits)
        return gradient * chance * (1 - chance)


def prototype(name: str) -> torch.Tensor:
    """A brush for `render`: (2, SIDE, SIDE), its paint and the paint times its tone."""
    brush = brushes.Brush.find(name)
    step = brushes.SIDE // SIDE
    planes = torch.stack([torch.from_numpy(p) for p in (brush.alpha, brush.alpha * brush.tone)])
    return F.avg_pool2d(planes[None], step)[0]


def paint(shapes: torch.Tensor, brush: torch.Tensor, side: int) -> torch.Tensor:
    """What each stroke leaves on a square of `side` pixels: (..., 2, side, side), as `prototype` for shapes (..., 5).

    The same geometry as `media.raster`.
    """
    x, y, w, h, theta = shapes.reshape(-1, 5).float().unbind(1)
    w, h = w.clamp_min(_THINNEST), h.clamp_min(_THINNEST)
    upright = h > w
    long, short = torch.where(upright, h, w), torch.where(upright, w, h)
    angle = (theta + 0.5 * upright) * math.pi
    cos, sin = torch.cos(angle), torch.sin(angle)
    along = torch.stack((cos, sin, 2 * (cos * (0.5 - x) + sin * (0.5 - y))), 1) / long[:, None]
    across = torch.stack((-sin, cos, 2 * (cos * (0.5 - y) - sin * (0.5 - x))), 1) / short[:, None]
    grid = F.affine_grid(torch.stack((along, across), 1), [len(x), 2, side, side], align_corners=False)
    warped = F.grid_sample(brush.to(grid)[None].expand(len(x), -1, -1, -1), grid, align_corners=False)
    return warped.view(*shapes.shape[:-1], 2, side, side)


def render(
    canvas: torch.Tensor, shapes: torch.Tensor, colors: torch.Tensor, drawn: torch.Tensor, brush: torch.Tensor
) -> torch.Tensor:
    """Lay strokes on canvases (B, 3, H, H) in their order.

    shapes: (B, S, 5).  colors: (B, S, 3).  drawn: (B, S), how much of each is laid on, 0..1.
    """
    left = paint(shapes, brush, canvas.shape[-1]) * drawn[..., None, None, None]  # (B, S, 2, H, H)
    for number in range(shapes.shape[1]):
        cover, tone = left[:, number, :1], left[:, number, 1:]
        canvas = canvas * (1 - cover) + colors[:, number, :, None, None] * tone
    return canvas


def colors_at(pictures: torch.Tensor, shapes: torch.Tensor) -> torch.Tensor:
    """The colours of pictures (B, 3, H, H) at the centres of strokes (B, S, 5): (B, S, 3), bilinear."""
    grid = shapes[..., None, :2].float() * 2 - 1  # (B, S, 1, 2)
    found = F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)  # (B, 3, S, 1)
    return found[..., 0].transpose(1, 2)
