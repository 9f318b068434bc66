"""Numbers that need more digits than bf16 and fp16 have."""

import torch


def full(tensor: torch.Tensor) -> torch.Tensor:
    """At least single precision: losses and distances are computed in it, whatever the layers before compute in."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
