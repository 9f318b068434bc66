"""Layers that are computed in another way than they are written: the same results, both directions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from artcli.nn import norms
from artcli.nn.doubling import double
from artcli.nn.folding import fold

LAST = torch.channels_last


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return ((found.float() - wanted.float()).norm() / wanted.float().norm()).item()


# --- a convolution of an enlarged picture -----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    edge=st.sampled_from(["zeros", "circular", "reflect", "replicate"]),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
def test_it_is_the_convolution_of_the_enlarged_picture(edge, size, groups, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3, padding=1, groups=groups, bias=bias, padding_mode=edge).double()
    x = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)
    wanted = conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
    found = double(x, conv)
    assert torch.allclose(found, wanted)
    over = torch.randn_like(wanted)
    inputs = [x, *conv.parameters()]
    for a, b in zip(torch.autograd.grad(found, inputs, over), torch.autograd.grad(wanted, inputs, over), strict=True):
        assert torch.allclose(a, b)


# --- group normalisation ----------------------------------------------------------------------------------------------


def normed(width: int, groups: int, *, affine: bool = True) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, width, affine=affine).requires_grad_(False)
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
def test_group_norm_of_few_places(affine, dtype, most):
    torch.manual_seed(0)
    norm = normed(24, 4, affine=affine)
    x = (3 + 2 * torch.randn(3, 24, 5, 7)).to(dtype).contiguous(memory_format=LAST)
    with torch.no_grad():
        found, wanted = norms.group_norm(norm, x), norm(x.float())
    assert found.dtype == dtype and found.is_contiguous(memory_format=LAST)
    assert apart(found, wanted) < most


def test_norm_and_swish_with_a_gradient(monkeypatch):
    """As near to what float32 finds as torch's own half precision is, or nearly."""
    monkeypatch.setattr(norms, "_MANY", 1)
    torch.manual_seed(0)
    norm = normed(24, 4)
    x = (1 + 2 * torch.randn(2, 24, 9, 7)).bfloat16().contiguous(memory_format=LAST).requires_grad_()
    over = torch.randn(2, 24, 9, 7)

    def both(form, x):
        out = form(x)
        return out, torch.autograd.grad(out, x, over.to(out))[0]

    wanted = both(lambda x: F.silu(norm(x)), x.detach().float().requires_grad_())
    plain = both(lambda x: F.silu(norm(x)), x)
    found = both(lambda x: norms.norm_swish(norm, x), x)
    assert "NormSwish" in type(norms.norm_swish(norm, x).grad_fn).__name__
    for a, b, exact in zip(found, plain, wanted, strict=True):
        assert apart(a, exact) < 2 * apart(b, exact) < 0.02


def test_while_weights_learn_torch_does_it(monkeypatch):
    monkeypatch.setattr(norms, "_MANY", 1)
    norm = normed(8, 2).requires_grad_()
    x = torch.randn(1, 8, 4, 4).bfloat16().contiguous(memory_format=LAST).requires_grad_()
    norms.norm_swish(norm, x).sum().backward()
    assert norm.weight.grad is not None and x.grad is not None


# --- batch normalisation ----------------------------------------------------------------------------------------------


def timm_resnet() -> nn.Module:
    import timm

    return timm.create_model("resnet10t", pretrained=False, num_classes=5)


def openai_resnet() -> nn.Module:
    from open_clip.modified_resnet import ModifiedResNet

    return ModifiedResNet([1, 1, 1, 1], 16, 2, image_size=32, width=8)


@pytest.mark.parametrize("build", [timm_resnet, openai_resnet])
def test_a_folded_resnet_computes_the_same(build):
    torch.manual_seed(0)
    net = nn.Sequential(build())
    net.train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
        net(torch.rand(8, 3, 32, 32))  # means and variances that are not 0 and 1
        net.eval()
        x = torch.rand(4, 3, 32, 32)
        wanted = net(x)
        fold(net)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
        assert apart(net(x), wanted) < 1e-5


def test_other_nets_stay_as_they_are():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    fold(net)
    assert isinstance(net[1], nn.BatchNorm2d)
