"""Augmentations of training batches, and colour words from pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.nn import augment
from artcli.training import colors
from artcli.training.colors import COLORS

LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
quick = settings(deadline=None, max_examples=25)


def batch(count=4, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def rng(seed=1):
    return torch.Generator().manual_seed(seed)


def luma(images):
    return (images * LUMA).sum(1)


# --- augmentations --------------------------------------------------------------------------------------------------

RANDOM = {
    "crops": lambda images, rng: augment.random_crops(images, 12, rng, (0.4, 1.0)),
    "jitter": augment.jitter,
    "hue": lambda images, rng: augment.random_hue(images, rng, 0.5)[0],
}


@pytest.mark.parametrize("name", RANDOM)
def test_the_generator_decides_everything(name):
    change, images = RANDOM[name], batch(8)
    assert torch.equal(change(images, rng(1)), change(images, rng(1)))
    assert not torch.equal(change(images, rng(1)), change(images, rng(2)))


@pytest.mark.parametrize("name", RANDOM)
@given(st.integers(1, 4), st.integers(4, 24), st.integers(0, 99))
@quick
def test_results_are_pictures(name, count, side, seed):
    changed = RANDOM[name](batch(count, side), rng(seed))
    assert len(changed) == count and changed.isfinite().all()
    assert changed.min() >= -1e-6 and changed.max() <= 1 + 1e-6


def test_crops_have_the_side_that_is_asked_for():
    assert augment.random_crops(batch(5, 20), 9, rng(), (0.4, 1.0)).shape == (5, 3, 9, 9)


def test_crops_show_a_part_and_some_are_mirrored():
    """On a ramp from left to right a crop rises, or falls when mirrored, and spans less than the whole."""
    ramp = torch.linspace(0, 1, 32).expand(64, 3, 32, 32)
    crops = augment.random_crops(ramp, 16, rng(), (0.3, 0.5))
    slope = crops[:, 0, 8, -1] - crops[:, 0, 8, 0]
    assert 16 <= (slope < 0).sum() <= 48
    assert (slope.abs() < 0.9).all()


def test_crops_of_the_whole_change_little():
    """With the full area and no turn, what is left of a crop is the stretch and the mirror."""
    flat = torch.full((16, 3, 8, 8), 0.3)
    torch.testing.assert_close(augment.random_crops(flat, 8, rng(), (1.0, 1.0)), flat)


@given(st.floats(-7, 7))
@quick
def test_turning_the_hue_keeps_the_brightness(radians):
    images = 0.4 + 0.2 * batch()  # mild colours, which nothing clips
    turned = augment.turn_hue(images, torch.full((4,), radians))
    torch.testing.assert_close(luma(turned), luma(images), atol=2e-3, rtol=0)


def test_turning_the_hue_all_the_way_round_changes_nothing():
    images = 0.4 + 0.2 * batch()
    torch.testing.assert_close(augment.turn_hue(images, torch.full((4,), 2 * torch.pi)), images, atol=1e-4, rtol=0)


def test_a_third_of_the_circle_makes_red_green_or_blue():
    red = torch.tensor([0.7, 0.3, 0.3]).view(1, 3, 1, 1)
    brightest = {augment.turn_hue(red, torch.tensor([s * 2.1])).flatten().argmax().item() for s in (1, -1)}
    assert brightest == {1, 2}


def test_only_the_turned_are_turned():
    images = 0.3 + 0.4 * batch(64)
    changed, turned = augment.random_hue(images, rng(), 0.3)
    different = (changed - images).abs().amax((1, 2, 3)) > 1e-6
    assert torch.equal(different, turned) and 8 <= turned.sum() <= 32


def test_black_and_white_has_no_colour_and_the_same_brightness():
    images = batch()
    grey = augment.black_and_white(images)
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(luma(grey), luma(images), atol=2e-3, rtol=0)


def test_a_sketch_is_white_paper_with_dark_edges():
    images = torch.zeros(1, 3, 16, 16)
    images[..., 8:] = 1.0
    drawn = augment.sketch(images)
    assert drawn.shape == images.shape
    assert (drawn[..., 7:9] < 0.1).all() and (drawn[..., :6] > 0.9).all() and (drawn[..., 10:] > 0.9).all()


# --- colours --------------------------------------------------------------------------------------------------------

SWATCHES = {
    "black": (12, 12, 14), "white": (245, 244, 242), "gray": (128, 128, 130), "red": (200, 25, 30),
    "orange": (250, 140, 20), "yellow": (250, 220, 40), "green": (40, 150, 60), "blue": (30, 80, 200),
    "purple": (130, 40, 180), "pink": (255, 160, 190), "brown": (120, 70, 30),
}  # fmt: skip


def swatch(word, side=8):
    return (torch.tensor(SWATCHES[word]) / 255).view(1, 3, 1, 1).expand(-1, -1, side, side).contiguous()


@pytest.mark.parametrize("word", COLORS)
def test_a_flat_swatch_has_its_name(word):
    assert colors.dominant_color(swatch(word)).item() == COLORS.index(word)


@pytest.mark.parametrize(
    ("degrees", "word"),
    [
        (2, "red"), (22, "orange"), (36, "orange"), (55, "yellow"), (80, "green"), (150, "green"), (185, "blue"),
        (250, "blue"), (285, "purple"), (328, "pink"), (356, "red"),
    ],
)  # fmt: skip
def test_bright_colours_round_the_circle(degrees, word):
    from colorsys import hsv_to_rgb

    pixel = torch.tensor(hsv_to_rgb(degrees / 360, 0.9, 0.95)).view(1, 3, 1, 1)
    assert COLORS[colors.name_pixels(pixel).item()] == word


@given(st.integers(0, 5))
@quick
def test_every_pixel_gets_a_name(seed):
    names = colors.name_pixels(batch(seed=seed))
    assert names.shape == (4, 16, 16) and names.min() >= 0 and names.max() < len(COLORS)


def test_the_middle_counts_more_than_the_rim():
    picture = swatch("blue", 32)
    picture[..., 8:24, 8:24] = swatch("red", 16)
    assert colors.dominant_color(picture).item() == COLORS.index("red")


def test_a_coloured_thing_on_grey_has_its_colour():
    picture = swatch("white", 32)
    picture[..., 8:24, 10:22] = swatch("green", 32)[..., 8:24, 10:22]
    assert colors.dominant_color(picture).item() == COLORS.index("green")


def test_a_medley_has_no_colour():
    stripes = [swatch(word, 8) for word in ("red", "green", "blue", "yellow")]
    picture = torch.cat([torch.cat(stripes, 3)] * 4, 2)
    assert colors.dominant_color(picture).item() == -1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@quick
def test_hsv_as_the_standard_library_has_it(r, g, b):
    from colorsys import rgb_to_hsv

    pixel = torch.tensor([r, g, b], dtype=torch.float64).view(1, 3, 1, 1)
    hue, saturation, value = colors.hsv(pixel).flatten().tolist()
    expected = rgb_to_hsv(r, g, b)
    if max(r, g, b) - min(r, g, b) > 1e-5:  # below, the hue is rounding
        assert (hue / 360) % 1 == pytest.approx(expected[0] % 1, abs=1e-6) or abs(hue / 360 - expected[0]) > 1 - 1e-6
        assert saturation == pytest.approx(expected[1], abs=1e-6)
    assert value == pytest.approx(expected[2], abs=1e-6)
