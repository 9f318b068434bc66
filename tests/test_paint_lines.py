"""Thin lines get thin strokes; edges, grain and dots get none."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from artcli.backends.paint import layers, lines
from artcli.backends.paint.moving import Moving
from artcli.backends.paint.settings import Settings
from artcli.media import raster
from artcli.media.strokes import Painting
from tests.test_paint_golden import GOLDEN
from tests.test_paint_layers import FLAT, GREY, Squares


def drawing(draw, size=(160, 120), ground=(150, 170, 190)):
    """(H, W, 3) uint8 and where something is drawn; drawn four times as large, so that edges are soft."""
    large = Image.new("L", (4 * size[0], 4 * size[1]))
    draw(ImageDraw.Draw(large))
    ink = np.asarray(large.resize(size, Image.Resampling.BOX))[..., None] / 255
    return (np.array(ground) * (1 - ink) + 40 * ink + 0.5).astype(np.uint8), ink[..., 0] > 0.5


def rope(pen):
    pen.line((40, 60, 600, 380), fill=255, width=8)


def ring(pen):
    pen.ellipse((120, 40, 520, 440), outline=255, width=8)


def found(picture, canvas=None):
    """The strokes for a canvas of the picture's mean colour."""
    blank = np.full_like(picture, picture.mean((0, 1)))
    return lines.strokes(picture, blank if canvas is None else canvas, 1.0, 3, 1.0)


def covered(strokes, mask):
    """The share of a mask that strokes cover."""
    height, width = mask.shape
    shown = raster.rasterise(Painting((width, height), strokes, FLAT, None))
    return (shown[..., 3] > 128)[mask].mean()


def test_a_rope_is_a_few_long_thin_strokes_in_its_place_and_colour():
    picture, ink = drawing(rope)
    strokes = found(picture)
    x, y, w, h, theta = strokes.shapes.T
    assert 4 <= len(strokes) <= 10 and covered(strokes, ink) > 0.9
    assert (w > 4 * h).all() and (h > 1.2).all() and (h < 3.5).all() and (w < 60).all()
    slope = np.tan(theta * np.pi)
    assert np.abs(slope - 320 / 560).max() < 0.06 and np.abs(y - (15 + (x - 10) * 320 / 560)).max() < 1
    assert strokes.rgb.max() < 0.4 and (strokes.layers == 3).all()


def test_bright_lines_and_bent_ones():
    for draw in (rope, ring):
        picture, ink = drawing(draw)
        for each in (picture, 255 - picture):
            strokes = found(each)
            assert covered(strokes, ink) > 0.85 and len(strokes) < 40


def test_what_is_painted_already_gets_no_strokes():
    picture, _ = drawing(rope)
    assert not len(found(picture, picture))


@pytest.mark.parametrize("kind", ["edge", "grain", "dots", "slope"])
def test_no_lines(kind):
    picture = np.full((120, 160, 3), 120, np.uint8)
    y, x = np.mgrid[:120, :160]
    if kind == "edge":
        picture[x > y + 20] = 30
    elif kind == "slope":
        picture[:] = x[..., None]
    elif kind == "dots":
        picture[8::16, 8::16] = 0
    else:
        picture = np.random.default_rng(0).normal(120, 9, picture.shape).clip(0, 255).astype(np.uint8)
    assert len(found(picture)) <= 3


def test_a_line_across_two_bands_stays_whole(monkeypatch):
    picture, ink = drawing(rope)
    monkeypatch.setattr(lines, "_BAND", 40)
    strokes = found(picture)
    assert covered(strokes, ink) > 0.9 and len(strokes) <= 16


def error(picture, ink, settings):
    *_, last = layers.paint(picture, Squares(), settings, FLAT, GREY)
    size = (picture.shape[1], picture.shape[0])
    shown = raster.rasterise(Painting(size, last.strokes, FLAT, GREY)).astype(int)
    return np.abs(shown - picture)[ink].mean()


@pytest.mark.parametrize("mode", ["fast", "quality"])
@pytest.mark.parametrize("detail", [0.5, 1, 2])
def test_a_painting_has_the_lines_of_its_photo(mode, detail):
    picture, ink = drawing(rope)
    off = [error(picture, ink, Settings(mode=mode, detail=detail, lines=each)) for each in (None, True, False)]
    assert off[0] == off[1] < 0.5 * off[2]


def test_no_lines_before_all_layers_are_there():
    picture, ink = drawing(rope)
    few, all_of_them = ([error(picture, ink, Settings(layers=n, lines=each)) for each in (True, False)] for n in (2, 4))
    assert few[0] == few[1] and all_of_them[0] < all_of_them[1]


def test_lines_only_where_the_mask_is_white():
    picture, _ = drawing(rope)
    mask = np.zeros(picture.shape[:2])
    mask[:, 80:] = 1
    kept = [list(layers.paint(picture, Squares(), Settings(), FLAT, GREY, each))[-1].strokes for each in (None, mask)]
    left = [(each.shapes[:, 0] < 75) & (each.shapes[:, 2] > 4 * each.shapes[:, 3]) for each in kept]
    assert left[0].any() and not left[1].any()


def test_films_have_lines_where_they_are_painted():
    picture, ink = drawing(rope)
    both = [Moving(Squares(), Settings(lines=each), FLAT, None).paint(picture) for each in (None, False)]
    off = [np.abs(each.astype(int) - picture)[ink].mean() for each in both]
    assert off[0] < 0.5 * off[1]
    moving = Moving(Squares(), Settings(), FLAT, None)
    moving.paint(picture)
    bare = picture.copy()
    bare[:, 100:] = (60, 90, 60)
    second = moving.paint(bare)
    away = np.abs(second.astype(int) - bare)[ink & (np.arange(160) > 110)]
    assert away.mean() < 15, "no line stays where the rope was"


def test_the_authors_weights_paint_as_their_program_does(invoke, folder, tiny_painter):
    picture, _ = drawing(rope)
    Image.fromarray(picture).save("photo.png")
    counts = {}
    for model in (GOLDEN.with_suffix(".pth"), tiny_painter):
        for flag in ((), ("--lines",), ("--no-lines",)):
            args = ("photo.png", "--model", model, "--strokes-out", "s.json", "-f", *flag)
            assert invoke("paint", *args).exit_code == 0
            counts[str(model)[-3:], flag] = len(json.loads(Path("s.json").read_text())["strokes"])
    kinds = {kind for kind, _ in counts}
    for kind in kinds:
        usual, with_lines, without = (counts[kind, flag] for flag in ((), ("--lines",), ("--no-lines",)))
        assert without < with_lines and usual == (without if kind == "pth" else with_lines)
