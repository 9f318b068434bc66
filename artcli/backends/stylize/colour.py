"""Keeping the photo's colours ("Preserving Color in Neural Artistic Style Transfer", Gatys et al., 2016)."""

import torch

_LUMA = (0.299, 0.587, 0.114)


def luma(image: torch.Tensor) -> torch.Tensor:
    """(3, H, W) to brightness (1, H, W)."""
    weights = image.new_tensor(_LUMA)
    return (image * weights[:, None, None]).sum(0, keepdim=True)


def with_colours_of(image: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    """The brightness of the one with the colours of the other, both (3, H, W) in 0..1."""
    return (photo + luma(image) - luma(photo)).clamp(0, 1)


def counted(image: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The pixels (C, N) of an image (C, H, W) that count: those where a mask (1, H, W) is at least half of its most."""
    flat = image.flatten(1)
    return flat if mask is None else flat[:, mask.flatten() >= mask.max() / 2]


def grey_like(style: torch.Tensor, photo: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The style's brightness with the mean and spread of the photo's, as a grey (3, H, W); mask: see `counted`."""
    own, wanted = luma(style), luma(photo)
    seen = counted(own, mask)
    spread = wanted.std(correction=0) / seen.std(correction=0).clamp_min(1e-4)
    return ((own - seen.mean()) * spread + wanted.mean()).clamp(0, 1).expand(3, -1, -1)


def coral(style: torch.Tensor, photo: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The style in colours with the mean and covariance of the photo's, (3, H, W) in 0..1; mask: see `counted`.

    Correlation alignment ("Return of Frustratingly Easy Domain Adaptation", Sun et al., 2016).
    """
    own, wanted = (t.flatten(1).double() for t in (style, photo))
    seen = counted(style.double(), mask)
    whiten = _power(_covariance(seen), -0.5)
    turned = _power(_covariance(wanted), 0.5) @ whiten @ (own - seen.mean(1, keepdim=True))
    return (turned + wanted.mean(1, keepdim=True)).clamp(0, 1).view_as(style).to(style.dtype)


def _covariance(colours: torch.Tensor) -> torch.Tensor:
    """Of (3, N); a colour that never changes gets a little, as its inverse is needed."""
    centred = colours - colours.mean(1, keepdim=True)
    return centred @ centred.T / colours.shape[1] + 1e-5 * torch.eye(3, dtype=colours.dtype)


def _power(matrix: torch.Tensor, exponent: float) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values**exponent) @ vectors.T


def noise_like(
    style: torch.Tensor, size: tuple[int, int], rng: torch.Generator, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Noise (3, *size) with the mean and covariance of the style's colours; mask: see `counted`."""
    colours = counted(style, mask).double().cpu()
    drawn = torch.randn(3, size[0] * size[1], generator=rng, dtype=torch.float64)
    found = _power(_covariance(colours), 0.5) @ drawn + colours.mean(1, keepdim=True)
    return found.clamp(0, 1).view(3, *size).float()
