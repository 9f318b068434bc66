"""The super-resolver: it starts as bicubic, learns to do better, and leaves no seams."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.backends import upscale
from artcli.errors import UsageError, WeightsError
from artcli.models.upscaler import Config, Model, Upscaler, shrink
from artcli.pretrained import upscaler
from tests.batches import assert_learns, batch, seeded, train

CPU = torch.device("cpu")
TINY = Config(size=32, crop=24, width=8, blocks=2, perceptual=0.0, batch=4, lr=2e-3)


def tiny(**changed):
    return seeded(lambda: Model(replace(TINY, **changed)))


def edges(count, size=32, seed=0):
    """Pictures of sharp rectangles."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 3, size, size)
    for image in images:
        for _ in range(6):
            y, x = torch.randint(0, size - 6, (2,), generator=rng).tolist()
            image[:, y : y + 9, x : x + 7] = torch.rand(3, 1, 1, generator=rng)
    return images


@pytest.fixture
def busy():
    """A net whose last layer says something."""
    net = seeded(lambda: Upscaler(8, 2)).eval()
    with torch.no_grad():
        net.last.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    return net.requires_grad_(False)


def test_it_starts_as_bicubic():
    small = torch.rand(2, 3, 9, 7)
    wanted = F.interpolate(small, scale_factor=2.0, mode="bicubic", align_corners=False)
    torch.testing.assert_close(tiny().net(small), wanted)


def test_it_learns_to_be_sharper_than_bicubic():
    """Which it is untaught."""
    images = edges(8)
    model = assert_learns(
        lambda: Model(replace(TINY, noise=0.0)),
        lambda model: train(model, images, 200),
        lambda model: -model.validate(batch(images))["psnr"],
    )
    assert model.reconstruct(images).shape == images.shape


@given(st.integers(1, 40), st.integers(1, 40), st.integers(3, 20))
@settings(deadline=None, max_examples=15)
def test_tiles_leave_no_seam(height, width, tile):
    net = seeded(lambda: Upscaler(4, 1)).eval().requires_grad_(False)
    net.last.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(height))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upscale, "fast_dtype", lambda device: torch.float32)
        whole = upscale.upscale(image, net, 2)
        patch.setattr(upscale, "TILE", tile)
        torch.testing.assert_close(upscale.upscale(image, net, 2), whole, atol=1e-5, rtol=0)
    assert whole.shape == (3, 2 * height, 2 * width)


def test_four_times_is_twice_twice(busy):
    image = torch.rand(3, 6, 5)
    twice = upscale.upscale(image, busy, 2)
    torch.testing.assert_close(upscale.upscale(image, busy, 4), upscale.upscale(twice, busy, 2))


def test_an_exported_net_draws_the_same(tmp_path):
    model = tiny()
    train(model, edges(4), 3)
    model.export(tmp_path)
    loaded = upscaler.load(str(tmp_path), CPU)
    small = shrink(edges(2))
    with torch.no_grad():
        torch.testing.assert_close(loaded(small), model.net(small), atol=2e-3, rtol=0)


def test_what_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no upscaler"):
        upscaler.load(str(tmp_path / "other.safetensors"), CPU)
    with pytest.raises(UsageError, match="neither a file nor known"):
        upscaler.load("nowhere", CPU)
    with pytest.raises(UsageError, match="multiple of 2"):
        replace(TINY, crop=23)
