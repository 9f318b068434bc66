"""The gradient penalty ("Improved Training of Wasserstein GANs", Gulrajani et al., 2017)."""

from collections.abc import Callable

import torch


def gradient_penalty(
    judge: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor, fake: torch.Tensor, part: torch.Tensor
) -> torch.Tensor:
    """Mean of (|gradient| - 1)^2, (), which can be differentiated by the critic's weights.

    judge: pictures (B, C, H, W) to judgements (B, 1), each of its picture alone: no BatchNorm.  The gradient is taken
    between real and fake pictures, `part` (B, 1, 1, 1) in 0..1 of the way.
    """
    mixed = real.lerp(fake, part).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(mixed).sum(), mixed, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
