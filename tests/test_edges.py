"""Mirrored edges: torch's numbers, in the format that they come in."""

import pytest
import torch
from torch import nn

from artcli.nn.edges import Mirror, MirroredConv2d


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mirrored_edges_are_torchs_numbers(dtype):
    x = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    ours, theirs = MirroredConv2d(3, 4), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        assert torch.equal(ours(x), theirs(x))
        assert torch.equal(Mirror(2)(x), nn.ReflectionPad2d(2)(x).to(dtype)) and Mirror(2)(x).dtype is dtype


def test_gradients_reach_beyond_mirrored_edges():
    x = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours, theirs = MirroredConv2d(3, 4), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
    theirs.load_state_dict(ours.state_dict())
    with torch.autocast("cpu", torch.bfloat16):
        mine, other = (torch.autograd.grad(conv(x).float().square().sum(), x)[0] for conv in (ours, theirs))
    assert torch.allclose(mine, other, rtol=0.02, atol=0.02 * float(other.abs().max()))
