"""Crops as matrix products, measured against Pillow; and the augmentations."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.backends.dream.cutouts import AUGMENTATIONS, Cutouts
from artcli.backends.dream.settings import AUGMENTATIONS as NAMES
from artcli.nn.resample import crop, crop_matrix

sizes = st.integers(2, 40)
quick = settings(deadline=None, max_examples=40)


def picture(height, width, seed=0):
    """(1, 3, H, W) in 0..1."""
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def cut(image, left, top, width, height, side):
    """One crop through the code under test; negative width or height mirrors."""
    rows = crop_matrix(torch.tensor([float(top)]), torch.tensor([float(height)]), image.shape[2], side)
    columns = crop_matrix(torch.tensor([float(left)]), torch.tensor([float(width)]), image.shape[3], side)
    return crop(image, rows, columns)


def pillow(image, side):
    """Pillow's antialiased bilinear resize of every channel."""
    bands = [Image.fromarray(np.ascontiguousarray(band.numpy())) for band in image[0]]
    resized = [np.asarray(band.resize((side, side), Image.Resampling.BILINEAR)) for band in bands]
    return torch.from_numpy(np.stack(resized))[None]


@given(st.floats(-60, 60), st.floats(-60, 60), sizes, sizes)
@quick
def test_every_output_pixel_is_a_mean(start, length, source, target):
    """Weights are at least 0 and sum to 1, so nothing gets brighter than what it shows, wherever the crop lies."""
    assume(abs(length) > 0.1)
    matrix = crop_matrix(torch.tensor([start]), torch.tensor([length]), source, target)
    assert matrix.shape == (1, target, source)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(1, target))


@given(sizes, sizes, sizes)
@quick
def test_the_whole_picture_as_pillow_resizes_it(height, width, side):
    image = picture(height, width)
    torch.testing.assert_close(cut(image, 0, 0, width, height, side), pillow(image, side), atol=2e-5, rtol=0)


@given(st.integers(24, 40), st.integers(0, 12), st.integers(0, 12), st.integers(2, 12), st.integers(1, 12))
@quick
def test_a_crop_that_keeps_its_pixels_is_a_slice(extent, left, top, side, _):
    image = picture(extent, extent)
    wanted = image[:, :, top : top + side, left : left + side]
    torch.testing.assert_close(cut(image, left, top, side, side, side), wanted, atol=1e-6, rtol=0)


@given(st.integers(0, 10), st.integers(0, 10), st.integers(1, 4), st.integers(2, 6))
@quick
def test_the_middle_of_an_aligned_crop_as_pillow_makes_it(left, top, factor, side):
    """At its rim a crop sees the picture beyond it, which Pillow, given the slice alone, cannot."""
    length = factor * side
    image = picture(40, 40)
    sliced = image[:, :, top : top + length, left : left + length]
    ours, theirs = cut(image, left, top, length, length, side), pillow(sliced, side)
    inner = slice(1, side - 1)
    torch.testing.assert_close(ours[..., inner, inner], theirs[..., inner, inner], atol=2e-5, rtol=0)


@given(st.floats(-5, 20), st.floats(2, 30), sizes, sizes)
@quick
def test_a_negative_length_mirrors(start, length, source, target):
    there = crop_matrix(torch.tensor([start]), torch.tensor([length]), source, target)
    back = crop_matrix(torch.tensor([start + length]), torch.tensor([-length]), source, target)
    torch.testing.assert_close(back, there.flip(1), atol=1e-3, rtol=0)


@given(st.integers(-20, 20), st.integers(-20, 20))
@quick
def test_beyond_the_edge_the_picture_is_mirrored(left, top):
    image = picture(8, 9)
    mirrored = torch.cat((image, image.flip(3)), 3)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), 2)
    rows, columns = (torch.arange(start, start + 6) % (2 * extent) for start, extent in ((top, 8), (left, 9)))
    wanted = mirrored[:, :, rows][..., columns]
    torch.testing.assert_close(cut(image, left, top, 6, 6, 6), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64])
def test_the_gradient_of_a_crop_is_its_slope(dtype):
    image = picture(7, 9).to(dtype).requires_grad_()
    rows, columns = (
        crop_matrix(torch.tensor([1.3], dtype=dtype), torch.tensor([4.6], dtype=dtype), extent, 5) for extent in (7, 9)
    )
    assert torch.autograd.gradcheck(lambda x: crop(x, rows, columns), image)


# --- cutouts --------------------------------------------------------------------------------------------------------


def drawn(cutouts, image, seed=3):
    return cutouts(image, torch.Generator().manual_seed(seed))


@given(sizes, sizes, st.integers(2, 48), st.sampled_from([(), NAMES]))
@quick
def test_any_picture_gives_crops_in_its_range(height, width, side, augment):
    """Also where CLIP looks at more pixels than the picture has."""
    crops = drawn(Cutouts(5, side, augment=augment), picture(height, width))
    assert crops.shape == (5, 3, side, side)
    assert crops.isfinite().all()
    if not augment:
        assert crops.min() >= -1e-6 and crops.max() <= 1 + 1e-6


def test_the_generator_decides_everything():
    cutouts, image = Cutouts(6, 16, augment=NAMES), picture(32, 40)
    assert torch.equal(drawn(cutouts, image), drawn(cutouts, image))
    assert not torch.equal(drawn(cutouts, image, 3), drawn(cutouts, image, 4))


def test_mirrored_crops_are_flips_of_the_others():
    """Same draws with and without "flip": each crop is the plain one, or its mirror image."""
    image = picture(30, 30)
    plain, flipped = drawn(Cutouts(32, 12), image), drawn(Cutouts(32, 12, augment=("flip",)), image)
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(plain, flipped, strict=True)]
    mirrored = [torch.allclose(a.flip(-1), b, atol=1e-4) for a, b in zip(plain, flipped, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 8 <= sum(mirrored) <= 24


def sharpness(batch):
    return (batch[..., 1:] - batch[..., :-1]).abs().mean().item()


def test_a_higher_power_takes_smaller_crops():
    """Smaller crops of a ramp are flatter."""
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert sharpness(drawn(Cutouts(64, 8, power=4), ramp)) < 0.8 * sharpness(drawn(Cutouts(64, 8, power=0.5), ramp))


def test_the_names_in_the_help_are_those_there_are():
    assert tuple(AUGMENTATIONS) == NAMES


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(1, 4), st.integers(4, 24), st.integers(4, 24))
@settings(deadline=None, max_examples=10)
def test_an_augmentation_keeps_the_shape_and_passes_a_gradient(name, count, height, width):
    batch = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    changed = AUGMENTATIONS[name](batch, torch.Generator().manual_seed(1))
    assert changed.shape == batch.shape and changed.dtype == batch.dtype
    (gradient,) = torch.autograd.grad(changed.sum(), batch)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_augmentation_changes_some_crops_and_repeats_itself(name):
    batch = picture(16, 16).expand(32, -1, -1, -1)
    once, again = (AUGMENTATIONS[name](batch, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(once, again)
    changed = (once - batch).abs().amax((1, 2, 3)) > 1e-4
    assert changed.any() == (name != "flip")  # the flip is part of the crop itself


@pytest.mark.parametrize(
    ("name", "share"),
    [("affine", 0.7), ("perspective", 0.5), ("sharpen", 0.4), ("erase", 0.7)],
)
def test_how_often_an_augmentation_is_applied(name, share):
    batch = picture(12, 12).expand(800, -1, -1, -1)
    changed = (AUGMENTATIONS[name](batch, torch.Generator().manual_seed(5)) - batch).abs().amax((1, 2, 3)) > 1e-4
    assert changed.float().mean().item() == pytest.approx(share, abs=0.06)
