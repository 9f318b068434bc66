"""Pictures of every kind load as sRGB floats; bad files give one line; what is saved comes back."""

import io
import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from artcli.console import Console
from artcli.errors import ArtgenError, UsageError
from artcli.media import exif, files, images, recipe_text, record
from tests.conftest import exif_of, photograph, with_exif

GRADIENT = (np.mgrid[:12, :16].sum(0)[..., None] * np.array([9, 5, 3])).astype(np.uint8)


def encoded(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def levels(picture):
    return (picture.rgb * 255 + 0.5).astype(np.uint8)


# --- reading -------------------------------------------------------------------------------------------------------


def test_rgb_is_exact(tmp_path):
    path = tmp_path / "my photo.png"
    Image.fromarray(GRADIENT).save(path)
    picture = images.load(path)
    assert (picture.rgb == GRADIENT.astype(np.float32) / np.float32(255)).all()
    assert picture.rgb.dtype == np.float32
    assert (picture.alpha, picture.icc_converted, picture.bits, picture.name) == (None, False, 8, "my photo")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp"])
def test_usual_formats_do_not_wait_for_the_rare_ones(tmp_path, monkeypatch, suffix):
    photograph(tmp_path / f"a{suffix}")
    monkeypatch.setattr(Image, "init", lambda: pytest.fail("all plugins are imported"))
    assert images.load(tmp_path / f"a{suffix}").rgb.shape == (56, 80, 3)


@pytest.mark.parametrize(
    "mode, format",
    [
        *[(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        *[(mode, "TIFF") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "YCbCr", "I;16", "F")],
        *[(mode, "JPEG") for mode in ("L", "RGB", "CMYK")],
        *[(mode, "BMP") for mode in ("1", "L", "P", "RGB")],
        *[(mode, "WEBP") for mode in ("RGB", "RGBA")],
        ("P", "GIF"),
        ("RGB", "PPM"),
    ],
)
@given(fill=st.integers(0, 255))
@settings(max_examples=4, deadline=None)
def test_every_mode_loads(mode, format, fill):
    image = Image.new("RGB", (7, 5), (fill, 255 - fill, 100))
    image = image.convert("L").convert(mode) if mode in ("I;16", "F", "1", "LA") else image.convert(mode)
    picture = images.load(encoded(image, format))
    assert picture.rgb.shape == (5, 7, 3) and picture.rgb.dtype == np.float32
    assert 0 <= picture.rgb.min() <= picture.rgb.max() <= 1
    assert picture.alpha is None  # opaque alpha says nothing


def test_alpha_is_kept_and_colours_are_not_blended():
    rgba = np.dstack([GRADIENT, np.full(GRADIENT.shape[:2], 51, np.uint8)])
    picture = images.load(encoded(Image.fromarray(rgba)))
    assert (levels(picture) == GRADIENT).all()
    assert np.allclose(picture.alpha, 0.2)


def test_palette_transparency():
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    picture = images.load(encoded(image, transparency=1))
    assert levels(picture)[0, :2].tolist() == [[255, 0, 0], [255, 0, 0]]  # the hidden green has gone
    assert picture.alpha.tolist() == [[1, 0, 1, 1]]


def test_hidden_colours_become_the_mean_of_what_shows():
    rgba = np.array([[[90, 0, 30, 255], [0, 60, 0, 51], [7, 7, 7, 0]]], np.uint8)
    picture = images.load(encoded(Image.fromarray(rgba)))
    assert levels(picture)[0].tolist() == [[90, 0, 30], [0, 60, 0], [75, 10, 25]]  # 5 to 1, as they show
    nothing = images.load(encoded(Image.new("RGBA", (2, 2), (9, 200, 9, 0))))
    assert np.allclose(nothing.rgb, 0.5)
    words = images.load(encoded(Image.fromarray(np.array([[0, 65_535, 300]], np.uint16)), transparency=300))
    assert np.allclose(words.rgb[0, :, 0], [0, 1, 0.5])


@pytest.mark.parametrize(
    "mode, inside, outside",
    [
        ("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)),
        ("RGBA", (255, 255, 255, 255), (0, 0, 0, 0)),
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),  # drawn in black on nothing
        ("RGBA", (255, 255, 255, 255), (0, 0, 0, 255)),
        ("LA", (255, 255), (255, 0)),
        ("L", 255, 0),
        ("L", 1, 0),
        ("1", 1, 0),
    ],
)
def test_what_a_mask_says(mode, inside, outside):
    image = Image.new(mode, (4, 2), outside)
    image.paste(inside, (1, 0, 3, 1))
    assert images.as_mask(images.load(encoded(image))).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]


def test_a_mask_has_shades():
    for white in (1, 65_535):
        words = Image.fromarray(np.array([[0, white]], np.uint16))
        assert images.as_mask(images.load(encoded(words))).tolist() == [[0, 1]]
    grey = Image.fromarray(np.array([[0, 51, 2], [255, 102, 0]], np.uint8))
    assert np.allclose(images.as_mask(images.load(encoded(grey))) * 255, [[0, 51, 2], [255, 102, 0]])
    grey.putalpha(Image.new("L", (3, 2), 51))
    assert np.allclose(images.as_mask(images.load(encoded(grey))), np.array([[0, 0.04, 0.4 / 255], [0.2, 0.08, 0]]))


def test_16_bit_grey_keeps_its_precision():
    values = np.array([[0, 1, 300, 65_535]], np.uint16)
    for format in ("PNG", "TIFF"):
        picture = images.load(encoded(Image.fromarray(values), format))
        assert picture.bits == 16
        assert np.allclose(picture.rgb[..., 1] * 65_535, values, atol=0.01)
    transparent = images.load(encoded(Image.fromarray(values), transparency=300))
    assert transparent.alpha.tolist() == [[1, 1, 0, 1]]
    inverted = images.load(encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0}))
    assert np.allclose(inverted.rgb[..., 0], 1 - values / 65_535)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_in_words_of_16(bits):
    """They would come out dark, or black; a TIFF may say what white is."""
    values = np.array([[0, 2 ** (bits - 2), 2**bits - 1]], np.uint16)
    grey = Image.fromarray(values)
    said = f"^the image in memory has values from 0 to {2**bits - 1}, so white is unknown"
    for format in ("PNG", "TIFF"):
        with pytest.raises(UsageError, match=said):
            images.load(encoded(grey, format))
    told = images.load(encoded(grey, "TIFF", tiffinfo={281: 2**bits - 1}))
    assert np.allclose(told.rgb[..., 0], values / (2**bits - 1))


def test_8_bits_in_words_of_16():
    values = np.array([[0, 51, 255]], np.uint16)
    for format in ("PNG", "TIFF"):
        assert np.allclose(images.load(encoded(Image.fromarray(values), format)).rgb[..., 0], values / 255)


@pytest.mark.parametrize("high, fine", [(0, True), (15, False), (63, False), (64, True), (255, True)])
def test_fewer_bits_in_words_of_16_of_colours(high, fine):
    """PNG with three words a pixel, of which Pillow reads the high bytes."""
    rows = b"".join(b"\0" + bytes([high, 200, 0, 7, 0, 9]) * 3 for _ in range(2))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    if fine:
        assert levels(images.load(data))[0, 0].tolist() == [high, 0, 0]
    else:
        with pytest.raises(UsageError, match="white is unknown"):
            images.load(data)


def test_float_grey():
    def grey(*values):
        return images.load(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")).rgb[0, :, 0]

    assert np.allclose(grey(0, 0.5, 1), [0, 0.5, 1])
    assert np.allclose(grey(0, 51, 255), [0, 0.2, 1])
    assert np.allclose(grey(0, 256, 65_535), [0, 256 / 65_535, 1])
    for bad in ((-1, 0.5), (0.5, 7.25), (float("nan"), 1)):
        with pytest.raises(UsageError, match="white is unknown"):
            grey(*bad)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (32, 16), "white")
    image.paste("red", (0, 0, 8, 8))  # the first stored corner
    upright = levels(images.load(encoded(image, "JPEG", exif=exif, quality=100, subsampling=0)))
    assert upright.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert upright[corner[orientation]][1] < 50


def test_icc_profiles():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(GRADIENT)
    same = images.load(encoded(image, icc_profile=srgb))
    assert not same.icc_converted and (levels(same) == GRADIENT).all()
    broken = images.load(encoded(image, icc_profile=b"not a profile"))
    assert not broken.icc_converted and (levels(broken) == GRADIENT).all()
    swapped = images.load(encoded(image, icc_profile=_swapped(srgb)))  # red and blue primaries exchanged
    assert swapped.icc_converted
    assert abs(levels(swapped).astype(int) - GRADIENT[..., ::-1]).max() <= 2
    cmyk = images.load(encoded(image.convert("CMYK"), "JPEG", icc_profile=srgb))  # a profile of the wrong kind
    assert not cmyk.icc_converted


def _swapped(profile: bytes) -> bytes:
    renamed = profile.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"tmp_", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmp_", b"bXYZ", 1)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime")]
    for format in ("GIF", "WEBP", "PNG"):
        picture = images.load(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
        assert abs(levels(picture)[0, 0].astype(int) - [255, 0, 0]).max() <= 2


def test_the_first_of_several_is_told(tmp_path, capsys):
    Console()
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif", "a.mpo"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        images.load(tmp_path / name)
    said = [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().err.splitlines()]
    moving = [f"a.{kind} is an animation: its first frame is taken" for kind in ("gif", "webp", "png")]
    assert said == [*moving, "a.tif has several pages: the first is taken"]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_cut_short_is_never_a_traceback(kind):
    noise = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8)
    first, *more = map(Image.fromarray, noise)
    data = encoded(first, kind, save_all=True, append_images=more)
    for length in range(1, len(data), 3):
        with suppress(UsageError):
            images.load(data[:length])


PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)))


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "empty"),
        (b"just some words\n", "a text file"),
        ("не картинка".encode(), "a text file"),
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04....", "zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypavif", "AVIF photo that cannot be read|is damaged"),
        (b"\0\0\0\x18ftypisom", "a film"),
        (b"II*\x00\x08\0\0\0\0\0", "TIFF"),
        (bytes(range(256)), "not an image"),
        (PNG[: len(PNG) // 2], "is cut short"),
        (PNG[:40] + b"\0\0\0\0" + PNG[44:], "is damaged"),
        (encoded(Image.new("RGB", (99, 99)), "JPEG")[:400], "is cut short"),
    ],
)
def test_bad_files_give_one_line(tmp_path, data, words):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words) as caught:
        images.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@given(position=st.integers(0, len(PNG) - 1), junk=st.binary(min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_damage_is_never_a_traceback(position, junk):
    data = PNG[:position] + junk + PNG[position + len(junk) :]
    try:
        images.load(data)
    except UsageError as error:
        assert "\n" not in str(error)


def test_heic_without_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UsageError, match=r"needs pillow-heif: pip install 'artgen\[heic\]'"):
        images.load(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))


def test_missing_and_folder(tmp_path):
    (tmp_path / "photo.png").write_bytes(PNG)
    with pytest.raises(UsageError, match=r"no file .*Did you mean 'photo\.png'"):
        images.load(tmp_path / "photo.pgn")
    with pytest.raises(UsageError, match="is a folder"):
        images.load(tmp_path)


def test_bombs_are_refused():
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UsageError, match="million pixels"):
        images.load(encoded(Image.new("1", (20_000, 20_000)), "PNG"))
    with pytest.raises(UsageError, match="million pixels"):
        images.load(PNG, max_pixels=64 * 64 - 1)
    assert images.load(PNG, max_pixels=64 * 64).rgb.shape == (64, 64, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


class Stdin:
    def __init__(self, data, tty=False):
        self.buffer, self.tty = io.BytesIO(data), tty

    def isatty(self):
        return self.tty


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(PNG))
    assert images.load("-").name == "stdin"
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    with pytest.raises(UsageError, match="standard input is empty"):
        images.load("-")
    monkeypatch.setattr(sys, "stdin", Stdin(PNG, tty=True))
    with pytest.raises(UsageError, match="terminal"):
        images.load("-")


# --- tensors -------------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_tensor_round_trip(pixels):
    tensor = images.to_tensor(images.load(images.encode(pixels)))
    assert tensor.shape == (3, *pixels.shape[:2]) and tensor.dtype == torch.float32
    assert (images.from_tensor(tensor) == pixels).all()


def test_from_tensor_rounds_clamps_and_refuses_nan():
    values = torch.tensor([-1.0, 0.0, 0.49 / 255, 0.5 / 255, 254.5 / 255, 1.0, 7.0]).expand(3, 1, 7)
    assert images.from_tensor(values.requires_grad_())[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 255]
    assert images.from_tensor(torch.ones(3, 1, 1, dtype=torch.bfloat16)).item(0) == 255
    with pytest.raises(ArtgenError, match="NaN"):
        images.from_tensor(torch.full((3, 2, 2), float("nan")))


def test_resize():
    assert images.resize(GRADIENT, (8, 6)).shape == (6, 8, 3)
    assert images.resize(GRADIENT[..., 0], (8, 6)).dtype == np.uint8
    step = torch.zeros(3, 8, 8)
    step[:, :, 4:] = 1
    bigger = images.resize(step, (20, 10))
    assert bigger.shape == (3, 10, 20) and bigger.min() >= 0 and bigger.max() <= 1
    assert np.allclose(images.resize(np.full((9, 9, 3), 0.3, np.float32), (4, 5)), 0.3, atol=1e-6)


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_lossless_round_trip(tmp_path_factory, suffix, data):
    pixels = data.draw(hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
    path = tmp_path_factory.mktemp("save") / f"a{suffix}"
    images.save(path, pixels, recipe={"seed": 1})
    assert (levels(images.load(path)) == pixels).all()
    assert list(path.parent.iterdir()) == [path]


def test_avif_in_and_out(tmp_path):
    pytest.importorskip("PIL.AvifImagePlugin")
    smooth = np.asarray(Image.fromarray(GRADIENT).resize((64, 48), Image.Resampling.BICUBIC))
    alpha = np.linspace(0, 1, 64, dtype=np.float32) * np.ones((48, 64), np.float32)
    for name in ("a.avif", "b.avif"):
        images.save(tmp_path / name, smooth, alpha=alpha, recipe={"seed": 1})
    back = images.load(tmp_path / "a.avif")
    shown = alpha > 0.1
    assert abs(levels(back).astype(int) - smooth)[shown].mean() < 4 and abs(back.alpha - alpha).mean() < 0.02
    assert record.read(tmp_path / "a.avif") == {"seed": 1}
    assert (tmp_path / "a.avif").read_bytes() == (tmp_path / "b.avif").read_bytes()


def test_heic(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.fromarray(GRADIENT).resize((64, 48)).save(tmp_path / "a.heic", quality=95)
    assert images.load(tmp_path / "a.heic").rgb.shape == (48, 64, 3)


def test_avif_where_pillow_has_none(monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(UsageError, match="update it, or use another format"):
        files.check_extension(Path("a.avif"), images.WRITABLE)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_close(tmp_path, suffix):
    smooth = np.asarray(Image.fromarray(GRADIENT).resize((64, 48), Image.Resampling.BICUBIC))
    images.save(tmp_path / f"a{suffix}", smooth)
    assert abs(levels(images.load(tmp_path / f"a{suffix}")).astype(int) - smooth).mean() < 4


def test_alpha_goes_to_formats_that_have_it(tmp_path, capsys):
    Console()
    alpha = np.linspace(0, 1, GRADIENT.shape[1], dtype=np.float32) * np.ones(GRADIENT.shape[:2], np.float32)
    for suffix in (".png", ".tif", ".webp"):
        images.save(tmp_path / f"a{suffix}", GRADIENT, alpha=alpha)
        assert np.allclose(images.load(tmp_path / f"a{suffix}").alpha, alpha, atol=0.003)
    images.save(tmp_path / "b.jpg", GRADIENT, alpha=np.ones(GRADIENT.shape[:2], np.float32))
    assert not capsys.readouterr().err
    images.save(tmp_path / "a.jpg", GRADIENT, alpha=np.zeros(GRADIENT.shape[:2], np.float32))
    assert capsys.readouterr().err.startswith("JPEG has no transparency: what was see-through is white")
    assert levels(images.load(tmp_path / "a.jpg")).min() >= 254


def test_a_png_that_is_written_fast_is_no_larger(tmp_path):
    photograph(tmp_path / "a.png", (256, 256))
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert len(images.encode(pixels)) < 1.1 * len(encoded(Image.fromarray(pixels)))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_same_pixels_same_bytes(format):
    assert images.encode(GRADIENT, format, {"seed": 1}) == images.encode(GRADIENT, format, {"seed": 1})


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("source", ["jpg", "webp", "tif"])
def test_exif_is_carried_over_beside_the_recipe(tmp_path, suffix, source):
    photo = images.load(with_exif(tmp_path / f"photo.{source}"))
    path = tmp_path / f"out{suffix}"
    images.save(path, GRADIENT, recipe={"seed": 1}, photo=photo.exif)
    found = exif_of(path)
    assert record.read(path) == {"seed": 1}
    assert (found[0x010E], found[0x0110], found[0x8298]) == ("a field", "ModelY", "(c) nobody")
    assert found[0x9003] == "2021:05:06 07:08:09" and found["gps", 2] == (47.0, 3.0, 1.5)
    assert found[0xA001] == 1 and not {0x0112, 0x927C, 0xA002} & found.keys()
    assert (levels(images.load(path)).astype(int) - GRADIENT).max() < 40
    images.save(path, GRADIENT, photo=photo.exif)  # without a recipe there are no metadata
    assert not {0x010E, 0x0110, 0x9003, exif.RECIPE} & exif_of(path).keys()


def test_exif_that_cannot_be_carried(tmp_path):
    Image.fromarray(GRADIENT).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert images.load(tmp_path / "a.jpg").exif is None
    old = Image.Exif()
    old[0x010E] = recipe_text.to_text({"seed": 1})
    Image.fromarray(GRADIENT).save(tmp_path / "b.jpg", exif=old)  # as artgen wrote it at first
    assert record.read(tmp_path / "b.jpg") == {"seed": 1}
    assert images.load(tmp_path / "b.jpg").exif is None
    old[0x010E] = "x" * 50_000
    Image.fromarray(GRADIENT).save(tmp_path / "c.jpg", exif=old)
    assert images.load(tmp_path / "c.jpg").exif is None


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_what_is_written_says_that_it_is_srgb(format):
    data = images.encode(GRADIENT, format)
    profile = Image.open(io.BytesIO(data)).info["icc_profile"]
    assert ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).startswith("sRGB")
    assert not images.load(data).icc_converted


def test_bad_targets(tmp_path):
    with pytest.raises(UsageError, match=r"use one of \.png"):
        images.save(tmp_path / "a.bmp", GRADIENT)
    with pytest.raises(ArtgenError, match="at most 16383 pixels a side"):
        images.save(tmp_path / "a.webp", np.zeros((1, 16_384, 3), np.uint8))
    with pytest.raises(ArtgenError, match=r"could not write .*no such file"):
        images.save(tmp_path / "gone" / "a.png", GRADIENT)
    assert not list(tmp_path.iterdir())
