"""What happens to one picture: crops, filters, colours, masks, and objects that are cut out."""

import io
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from artcli.errors import UsageError, WeightsError
from artcli.training.data import cutout, maskrcnn, prepare
from artcli.training.data.augment import to_rgb
from artcli.training.data.prepare import Preparation

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (30, 50, 3), dtype=np.uint8)


def encoded(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


# --- crops, filters, colours ---------------------------------------------------------------------------------------


def test_center_cuts_the_middle_square():
    assert (prepare.apply(NOISE, None, Preparation(size=30)) == NOISE[:, 10:40]).all()
    tall = NOISE.transpose(1, 0, 2)
    assert (prepare.apply(tall, None, Preparation(size=30)) == tall[10:40]).all()


def test_stretch_keeps_everything():
    stretched = prepare.apply(NOISE, None, Preparation(size=30, crop="stretch", filter="box"))
    assert (stretched == np.asarray(Image.fromarray(NOISE).resize((30, 30), Image.Resampling.BOX))).all()


def test_pixels_are_cut_from_the_middle_first():
    assert (prepare.apply(NOISE, None, Preparation(size=20, crop_pixels=20)) == NOISE[5:25, 15:35]).all()
    everything = prepare.apply(NOISE, None, Preparation(size=30, crop_pixels=1000))
    assert (everything == prepare.apply(NOISE, None, Preparation(size=30))).all()


def test_the_box_filter_is_the_mean_of_an_area():
    blocks = NOISE[:, 10:40].reshape(10, 3, 10, 3, 3).mean((1, 3))
    assert np.abs(prepare.apply(NOISE, None, Preparation(size=10, filter="box")) - blocks).max() <= 1  # rounded twice
    assert np.abs(prepare.apply(NOISE, None, Preparation(size=10)) - blocks).max() > 5


def test_grey_has_one_channel_of_luma():
    grey = prepare.apply(NOISE, None, Preparation(size=30, color="grey"))
    assert grey.shape == (30, 30, 1) and Preparation(color="grey").channels == 1
    assert np.abs(grey[..., 0] - NOISE[:, 10:40] @ [0.299, 0.587, 0.114]).max() <= 1


def test_ycbcr_comes_back_as_rgb():
    rgb = NOISE[:, 10:40]
    ycbcr = prepare.apply(NOISE, None, Preparation(size=30, color="ycbcr"))
    assert np.abs(ycbcr[..., 0] - rgb @ [0.299, 0.587, 0.114]).max() <= 1
    back = to_rgb(torch.from_numpy(ycbcr / 255).permute(2, 0, 1)[None], "ycbcr")[0].permute(1, 2, 0)
    assert np.abs(back.numpy() * 255 - rgb).max() < 3
    assert to_rgb(torch.rand(2, 1, 4, 4), "grey").shape == (2, 3, 4, 4)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(4, 20), st.sampled_from(["rgb", "ycbcr", "grey"]), st.data())
@settings(max_examples=50, deadline=None)
def test_every_picture_becomes_a_square_of_the_size(height, width, size, color, data):
    preparation = Preparation(
        size=size,
        color=color,
        crop=data.draw(st.sampled_from(["center", "stretch"])),
        crop_pixels=data.draw(st.none() | st.integers(1, 50)),
        filter=data.draw(st.sampled_from(["lanczos", "box"])),
    )
    pixels = prepare.apply(np.full((height, width, 3), (200, 100, 50), np.uint8), None, preparation)
    assert pixels.shape == (size, size, preparation.channels) and pixels.dtype == np.uint8
    assert np.ptp(pixels, axis=(0, 1)).max() == 0, "a plain picture stays plain"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_decodes_to_rgb(mode):
    image = Image.new("RGB", (6, 5), "white").convert("L").convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.full((5, 6), 65535, np.uint16))
    pixels = prepare.decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), (0, 0, 0))
    assert pixels.shape == (5, 6, 3) and pixels.min() >= 254


def test_transparent_parts_show_the_background():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((1, 1), (255, 0, 0, 255))
    image.putpixel((2, 2), (255, 255, 255, 51))
    pixels = prepare.decode(encoded(image), Preparation(background="#0000ff").background_rgb())
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[1, 1].tolist() == [255, 0, 0]
    assert pixels[2, 2].tolist() == [51, 51, 255]


def test_pictures_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = prepare.decode(encoded(Image.fromarray(NOISE), exif=exif), (0, 0, 0))
    assert (pixels == np.rot90(NOISE, -1)).all()


def test_grey_arrays_get_three_channels():
    assert (prepare.decode(NOISE[..., 0], (0, 0, 0)) == NOISE[..., :1]).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"color": "gray"}, "Did you mean 'grey'"),
        ({"crop": "centre"}, "Did you mean 'center'"),
        ({"filter": "x"}, "lanczos, box"),
        ({"size": 3}, "size of 4 to 4096"),
        ({"crop_pixels": 0}, "leaves nothing"),
        ({"mask_blur": -1}, "blur"),
        ({"background": "bluu"}, "no colour"),
        ({"box": (0.5, 0, 0.4, 1)}, "left < right"),
        ({"cutout": "maskrcnn"}, "name their file"),
        ({"cutout": "box", "masks": "x"}, "choose one"),
    ],
)
def test_impossible_options(wrong, message):
    with pytest.raises(UsageError, match=message):
        Preparation(**wrong)


def test_a_preparation_survives_toml(tmp_path):
    given_ = Preparation(box=[0.1, 0.2, 0.8, 0.9], masks=tmp_path)
    assert given_.box == (0.1, 0.2, 0.8, 0.9) and given_.as_dict()["masks"] == str(tmp_path)


# --- masks ---------------------------------------------------------------------------------------------------------

RED = np.full((40, 60, 3), (200, 0, 0), np.uint8)


def block(top, bottom, left, right):
    mask = np.zeros((40, 60), np.float32)
    mask[top:bottom, left:right] = 1
    return mask


def test_a_masked_object_fills_the_square_on_the_background():
    pixels = prepare.apply(RED, block(10, 20, 5, 25), Preparation(size=40, margin=0, filter="box", background="blue"))
    red = (pixels == (200, 0, 0)).all(2)
    assert red[10:30].all() and not red[:10].any() and not red[30:].any(), "20 x 10 pixels become 40 x 20"
    assert (pixels[~red] == (0, 0, 255)).all()


def test_the_margin_is_kept_free_also_beyond_the_edge():
    corner = prepare.apply(RED, block(0, 20, 0, 20), Preparation(size=40, margin=0.5, filter="box", background="blue"))
    red = (corner == (200, 0, 0)).all(2)
    assert red[10:30, 10:30].all() and red.sum() == 400 and (corner[~red] == (0, 0, 255)).all()


def test_the_edge_is_softened_in_pixels_of_the_result():
    sharp, soft = (
        prepare.apply(RED, block(10, 30, 20, 40), Preparation(size=64, margin=0.5, mask_blur=blur, background="black"))
        for blur in (0, 3)
    )
    expected = ndimage.gaussian_filter((sharp[..., 0] / 200).astype(float), 3) * 200
    assert np.abs(soft[..., 0] - expected).max() <= 2
    assert soft[32, 32, 0] >= 198 and 80 < soft[32, 15:17, 0].mean() < 120, "half at the edge itself"


@given(
    st.integers(0, 39), st.integers(0, 59), st.integers(1, 40), st.integers(1, 60), st.floats(0, 1), st.integers(4, 40)
)
@settings(max_examples=60, deadline=None)
def test_every_mask_gives_a_square(top, left, height, width, margin, size):
    mask = block(top, top + height, left, left + width)
    pixels = prepare.apply(RED, mask, Preparation(size=size, margin=margin, filter="box"))
    assert pixels.shape == (size, size, 3)
    assert ((pixels[..., 0] >= 200) & (pixels[..., 1] == pixels[..., 2])).all(), "only red, white and mixtures"


def test_an_empty_mask():
    with pytest.raises(UsageError, match="mask is empty"):
        prepare.apply(RED, np.zeros((40, 60), np.float32), Preparation())


def save_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)


def test_masks_are_found_by_path_and_then_by_stem(tmp_path):
    save_mask(tmp_path / "cat" / "1.png", block(0, 10, 0, 10))
    save_mask(tmp_path / "dog" / "1.png", block(0, 20, 0, 20))
    save_mask(tmp_path / "2.PNG", block(0, 30, 0, 30))
    mask_of = prepare.mask_source(Preparation(masks=tmp_path))
    assert mask_of("cat/1.jpg", RED).sum() == 100
    assert mask_of("dog/1.jpg", RED).sum() == 400
    assert mask_of("bird/deep/2.jpg", RED).sum() == 900
    with pytest.raises(UsageError, match=r"has no mask 3\.\* in"):
        mask_of("3.jpg", RED)


def test_a_smaller_mask_is_enlarged_and_one_of_another_shape_refused(tmp_path):
    save_mask(tmp_path / "half.png", block(0, 40, 0, 30)[::2, ::2])
    save_mask(tmp_path / "turned.png", block(0, 40, 0, 30).T)
    mask_of = prepare.mask_source(Preparation(masks=tmp_path))
    assert abs(mask_of("half.jpg", RED).sum() - 1200) < 60
    with pytest.raises(UsageError, match=r"is 60x40, but its mask turned\.png 40x60"):
        mask_of("turned.jpg", RED)


def test_the_alpha_of_a_mask_counts(tmp_path):
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[:10, :10, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "1.png")
    assert prepare.mask_source(Preparation(masks=tmp_path))("1.jpg", RED).sum() == 100


def test_no_folder_of_masks(tmp_path):
    with pytest.raises(UsageError, match="no folder of masks"):
        prepare.mask_stamps(Preparation(masks=tmp_path / "none"))
    with pytest.raises(UsageError, match="no mask in"):
        prepare.mask_source(Preparation(masks=tmp_path))


# --- the object in a rough box -------------------------------------------------------------------------------------


def scene(seed, size=(60, 80)):
    """A striped ellipse on a gradient with grain, and where the ellipse is."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    center, radius = rng.uniform((25, 35), (35, 45)), rng.uniform((13, 15), (18, 23))
    inside = ((y - center[0]) / radius[0]) ** 2 + ((x - center[1]) / radius[1]) ** 2 < 1
    rgb = np.stack((60 + 0.8 * x, 110 + 0.6 * y, 90 + 0 * x), 2)
    stripes = np.where(((x + y) // 5 % 2)[..., None], (190, 60, 40), (220, 170, 60))
    rgb = np.where(inside[..., None], stripes, rgb) + rng.normal(0, 8, rgb.shape)
    return rgb.clip(0, 255).astype(np.uint8), inside


@pytest.mark.parametrize("seed", range(3))
def test_an_object_is_found_in_its_box(seed):
    rgb, inside = scene(seed)
    found = cutout.find(rgb, (0.05, 0.05, 0.95, 0.95))
    assert found.shape == inside.shape and found.dtype == np.float32
    overlap = ((found > 0.5) & inside).sum() / ((found > 0.5) | inside).sum()
    assert overlap > 0.95
    assert (cutout.find(rgb, (0.05, 0.05, 0.95, 0.95)) == found).all(), "no chance in it"


def test_nothing_outside_the_box_is_taken():
    rgb, inside = scene(1)
    rgb[:6, :9] = (20, 30, 250)  # stands out too, but not in the box
    found = cutout.find(rgb, (0.1, 0.1, 0.9, 0.9))
    assert found[:6, :9].max() == 0 and (found[inside] > 0.5).mean() > 0.95


def test_a_hole_belongs_to_the_object():
    rgb, inside = scene(2)
    y, x = np.argwhere(inside).mean(0).astype(int)
    rgb[y - 2 : y + 2, x - 2 : x + 2] = rgb[:4, :4]
    assert cutout.find(rgb, (0.05, 0.05, 0.95, 0.95))[y, x] == 1


def test_a_box_without_an_object():
    plain = np.full((60, 60, 3), 120, np.uint8)
    plain += np.random.default_rng(0).integers(0, 5, plain.shape, dtype=np.uint8)
    with pytest.raises(UsageError, match="nothing in the box stands out"):
        cutout.find(plain, (0.2, 0.2, 0.8, 0.8))
    with pytest.raises(UsageError, match="leaves nothing outside"):
        cutout.find(plain, (0.0, 0.0, 1.0, 1.0))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 255))
@settings(max_examples=25, deadline=None)
def test_small_and_plain_pictures_never_crash(height, width, level):
    rgb = np.full((height, width, 3), level, np.uint8)
    with suppress(UsageError):
        assert cutout.find(rgb, (0.1, 0.1, 0.9, 0.9)).shape == (height, width)


# --- Mask R-CNN ----------------------------------------------------------------------------------------------------


def test_the_main_object_is_large_and_sure():
    masks = torch.zeros(3, 1, 4, 4)
    masks[0, 0, :1] = 1  # sure and small
    masks[1, 0, :3] = 1  # large and fairly sure
    masks[2, 0] = 1  # larger, but a guess
    found = {"scores": torch.tensor([0.99, 0.8, 0.3]), "masks": masks}
    assert (maskrcnn.main_object(found) == masks[1, 0].numpy()).all()
    with pytest.raises(UsageError, match="sees no object"):
        maskrcnn.main_object({"scores": torch.zeros(1), "masks": masks[:1]})


def test_weights_of_mask_r_cnn_are_loaded_and_asked(tmp_path, monkeypatch):
    from torchvision.models import detection

    calls = []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.zeros(()))

        def forward(self, images):
            calls.append([tuple(image.shape) for image in images])
            return [{"scores": torch.ones(1), "masks": (images[0][:1] > self.level)[None].float()}]

    monkeypatch.setattr(detection, "maskrcnn_resnet50_fpn", lambda **options: Net())
    torch.save({"level": torch.tensor(0.5)}, tmp_path / "net.pth")
    rgb = RED.copy()
    rgb[:, :30] = 0
    preparation = Preparation(cutout="maskrcnn", maskrcnn=tmp_path / "net.pth")
    assert prepare.mask_stamps(preparation)[0][0] == (tmp_path / "net.pth").stat().st_size
    mask = prepare.mask_source(preparation)("x", rgb)
    assert mask.shape == (40, 60) and mask[:, 30:].all() and not mask[:, :30].any()
    assert calls == [[(3, 40, 60)]]
    torch.save({"other": torch.tensor(0.5)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="is not torchvision's maskrcnn"):
        prepare.mask_source(preparation)
    with pytest.raises(UsageError, match="no file"):
        prepare.mask_stamps(Preparation(cutout="maskrcnn", maskrcnn=tmp_path / "none.pth"))


def test_the_real_mask_r_cnn_runs_with_random_weights(tmp_path, monkeypatch):
    from torchvision.models import detection

    torch.manual_seed(0)
    net = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=64)
    monkeypatch.setattr(detection, "maskrcnn_resnet50_fpn", lambda **options: net)  # making a second one takes a second
    torch.save(net.state_dict(), tmp_path / "net.pth")
    finder = maskrcnn.MaskRCNN(tmp_path / "net.pth")
    image = Image.new("RGB", (64, 48), "green")
    ImageDraw.Draw(image).ellipse((10, 10, 40, 40), fill="red")
    try:
        assert finder.find(np.asarray(image)).shape == (48, 64)
    except UsageError as error:
        assert "sees no object" in str(error)
