"""Augmentations of whole batches, drawn from one generator so that a step can be repeated exactly."""

import math

import torch
import torch.nn.functional as F

# RGB to luma and two chroma axes (YIQ): rotating the chroma plane turns the hue and keeps the brightness.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def uniform(rng: torch.Generator, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def random_crops(images: torch.Tensor, side: int, rng: torch.Generator, area: tuple[float, float]) -> torch.Tensor:
    """(B, 3, H, W) to (B, 3, side, side): a random resized, slightly turned and mirrored crop of each."""
    count = len(images)
    scale = uniform(rng, count, *area).sqrt()
    stretch = torch.exp(uniform(rng, count, -0.2, 0.2))
    angle = uniform(rng, count, -0.17, 0.17) * (torch.rand(count, generator=rng) < 0.5)
    mirror = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    half_w, half_h = (scale * stretch).clamp(max=1), (scale / stretch).clamp(max=1)
    shift_x, shift_y = uniform(rng, count, -1, 1) * (1 - half_w), uniform(rng, count, -1, 1) * (1 - half_h)
    cos, sin = torch.cos(angle), torch.sin(angle)
    top = torch.stack((mirror * half_w * cos, -half_h * sin, shift_x), 1)
    bottom = torch.stack((mirror * half_w * sin, half_h * cos, shift_y), 1)
    grid = F.affine_grid(torch.stack((top, bottom), 1), [count, 3, side, side], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def jitter(images: torch.Tensor, rng: torch.Generator, amount: float = 0.2) -> torch.Tensor:
    """Brightness and contrast of each picture changed by up to the amount."""
    shape = (len(images), 1, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast, brightness = uniform(rng, shape, 1 - amount, 1 + amount), uniform(rng, shape, -amount, amount) * 0.5
    return ((images - mean) * contrast + mean + brightness).clamp(0, 1)


def turn_hue(images: torch.Tensor, radians: torch.Tensor) -> torch.Tensor:
    """Each picture's hue turned by its own angle, brightness kept.  radians: (B,)."""
    cos, sin = torch.cos(radians), torch.sin(radians)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    turn = torch.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), 1).view(-1, 3, 3)
    matrix = torch.linalg.inv(_YIQ) @ turn @ _YIQ  # (B, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, images).clamp(0, 1)


def black_and_white(images: torch.Tensor) -> torch.Tensor:
    return (images * _YIQ[0].view(1, 3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def sketch(images: torch.Tensor) -> torch.Tensor:
    """Dark lines on white where the brightness changes: a pencil drawing of a photograph."""
    luma = black_and_white(images)[:, :1]
    padded = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    dx, dy = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    edges = (dx.square() + dy.square() + 1e-8).sqrt()
    strength = edges / edges.amax((2, 3), keepdim=True).clamp_min(0.2)
    return (1 - 1.6 * strength).clamp(0, 1).expand(-1, 3, -1, -1)


def random_hue(images: torch.Tensor, rng: torch.Generator, chance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn the hue of some pictures; also returns which, (B,) bool."""
    turned = torch.rand(len(images), generator=rng) < chance
    radians = uniform(rng, len(images), 0.6, 2 * math.pi - 0.6) * turned
    return torch.where(turned.view(-1, 1, 1, 1), turn_hue(images, radians), images), turned
