"""Blurring, doubling and halving by the filter [1, 3, 3, 1], without the aliases of nearest pixels and strides.

The filters of StyleGAN2 ("Analyzing and Improving the Image Quality of StyleGAN", Karras et al., 2020).  Beyond the
edge pictures are 0.  Zeros between pixels, which doubling is defined by, are never computed with: depthwise
convolutions, transposed for doubling, do the same in a tenth of the time on CPUs.
"""

import torch
import torch.nn.functional as F

_TAPS = (1.0, 3.0, 3.0, 1.0)


def _kernel(like: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """(C, 1, 4, 4), whose sum is `gain`."""
    taps = like.new_tensor(_TAPS)
    kernel = taps[:, None] * taps / taps.sum() ** 2 * gain
    return kernel.expand(like.shape[1], 1, -1, -1)


def blur(x: torch.Tensor, padding: int, gain: float = 1.0) -> torch.Tensor:
    """(B, C, H, W) to (B, C, H + 2 * padding - 3, W + 2 * padding - 3), `gain` times as large."""
    return F.conv2d(x, _kernel(x, gain), padding=padding, groups=x.shape[1])


def double(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, C, 2 * H, 2 * W)."""
    return F.conv_transpose2d(x, _kernel(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def halve(x: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W) to (B, C, H / 2, W / 2)."""
    return F.conv2d(x, _kernel(x), stride=2, padding=1, groups=x.shape[1])
