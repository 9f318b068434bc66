"""Antialiased crops of a picture as matrix products: one batched operation, deterministic in both directions."""

import torch


def crop_matrix(start: torch.Tensor, length: torch.Tensor, source: int, target: int) -> torch.Tensor:
    """Rows that resample `length` pixels from `start` of a line of `source` pixels to `target` pixels.

    start, length: (N,) in pixels; a negative length mirrors.  Triangle filter as wide as the reduction (as Pillow's
    bilinear with antialiasing); rows sum to 1, beyond the edge the picture is mirrored.  Returns (N, target, source).
    """
    step = (length / target)[:, None]  # (N, 1)
    centers = start[:, None] + step * (torch.arange(target, device=start.device) + 0.5) - 0.5  # (N, target)
    # Mirrored, not repeated: repeated edge pixels would get the gradients of everything beyond the edge.
    centers = source - 0.5 - ((centers + 0.5) % (2 * source) - source).abs()
    support = step.abs().clamp_min(1)[..., None]
    distance = (torch.arange(source, device=start.device) - centers[..., None]).abs() / support
    weights = (1 - distance).clamp_min(0)
    return weights / weights.sum(-1, keepdim=True)


def crop(image: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(1, C, H, W) to (N, C, h, w) with matrices from crop_matrix: rows (N, h, H), columns (N, w, W)."""
    across = image.flatten(0, 2) @ columns.transpose(1, 2)  # (N, C * H, w)
    count, _, width = across.shape
    across = across.view(count, image.shape[1], image.shape[2], width)
    return torch.einsum("nhH,ncHw->nchw", rows, across)
