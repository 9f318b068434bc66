"""Strokes to pixels, against a slow form that looks at one pixel of one stroke at a time."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.media import raster, svg
from artcli.media.brushes import NAMES, SIDE, Brush
from artcli.media.strokes import Painting, Strokes

BRUSHES = {name: Brush.find(name) for name in NAMES}


def strokes(rows, rgb=(0.8, 0.3, 0.2), alpha=1.0):
    """Strokes of these (x, y, w, h, theta)."""
    shapes = np.array(rows, float).reshape(-1, 5)
    ones = np.ones(len(shapes))
    return Strokes.make(shapes, np.broadcast_to(rgb, (len(shapes), 3)), 0 * ones, alpha * ones, ones)


def painting(rows, size=(40, 30), brush="flat", background=(0.0, 0.0, 0.0), **options):
    return Painting(size, strokes(rows, **options), BRUSHES[brush], background)


# --- the oracle -----------------------------------------------------------------------------------------------------


def averaged(plane, columns, rows):
    """The tile in blocks: (rows, columns)."""
    found = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            block = plane[r * SIDE // rows : (r + 1) * SIDE // rows, c * SIDE // columns : (c + 1) * SIDE // columns]
            found[r, c] = block.mean(dtype=np.float64)
    return found


def looked_up(plane, along, across):
    """Bilinearly at a place in -1..1 each; around the tile there is nothing."""
    rows, columns = plane.shape
    column, row = (along + 1) / 2 * columns - 0.5, (across + 1) / 2 * rows - 0.5
    left, top = math.floor(column), math.floor(row)
    total = 0.0
    for r, share_r in ((top, top + 1 - row), (top + 1, row - top)):
        for c, share_c in ((left, left + 1 - column), (left + 1, column - left)):
            if 0 <= r < rows and 0 <= c < columns:
                total += share_r * share_c * plane[r, c]
    return total


def slowly(what, size):
    """The painting at this size, in float64."""
    scale = max(size) / max(what.size)
    picture = np.tile(np.array(what.background), (size[1], size[0], 1))
    for shape, rgb, alpha in zip(what.strokes.shapes, what.strokes.rgb, what.strokes.alphas, strict=True):
        x, y, w, h = (value * scale for value in shape[:4])
        turn = shape[4] * math.pi
        if h > w:
            w, h, turn = h, w, turn + math.pi / 2
        alpha = alpha * min(w, 1) * min(h, 1)
        w, h = max(w, 1), max(h, 1)
        columns, rows = (2 ** min(8, max(1, math.ceil(math.log2(side)))) for side in (w, h))
        paint = averaged(what.brush.alpha, columns, rows)
        tone = averaged(what.brush.alpha * what.brush.tone, columns, rows)
        for row in range(size[1]):
            for column in range(size[0]):
                dx, dy = column + 0.5 - x, row + 0.5 - y
                along = (math.cos(turn) * dx + math.sin(turn) * dy) / (w / 2)
                across = (-math.sin(turn) * dx + math.cos(turn) * dy) / (h / 2)
                cover = alpha * looked_up(paint, along, across)
                lit = alpha * looked_up(tone, along, across)
                picture[row, column] = picture[row, column] * (1 - cover) + rgb * lit
    return np.clip(picture, 0, 1) * 255


place = st.floats(-30, 70, width=32)
shape = st.tuples(place, place, st.floats(0.05, 90), st.floats(0.05, 90), st.floats(-2, 2))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(shape, min_size=1, max_size=4),
    st.sampled_from(NAMES),
    st.floats(0.2, 1),
    st.sampled_from([(24, 17), (1, 1), (30, 2)]),
)
def test_it_agrees_with_one_pixel_at_a_time(rows, brush, alpha, size):
    what = painting(rows, (40, 30), brush, (0.2, 0.5, 0.9), alpha=alpha)
    what = replace(what, size=size if size[0] > 24 else (max(size), size[1]))
    difference = raster.rasterise(what).astype(float) - slowly(what, what.size)
    assert np.abs(difference).max() <= 2


def test_it_agrees_at_another_size():
    what = painting([(12, 9, 30, 8, 0.15), (25, 20, 9, 21, 0.6)], brush="dry")
    difference = raster.rasterise(what, (20, 15)).astype(float) - slowly(what, (20, 15))
    assert np.abs(difference).max() <= 2


# --- properties -----------------------------------------------------------------------------------------------------


def many(count=300, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform((-20, -20, 1, 1, 0), (320, 220, 60, 60, 2), (count, 5))


def test_bands_and_groups_do_not_change_a_byte(monkeypatch):
    what = painting(many(), (300, 200), "bristle", alpha=0.7)
    whole = raster.rasterise(what)
    for name, value in {"_BAND_PIXELS": 300 * 7, "_CHUNK_STROKES": 11, "_GROUP_PIXELS": 1000}.items():
        monkeypatch.setattr(raster, name, value)
        assert (raster.rasterise(what) == whole).all(), name


def test_a_canvas_that_grows_ends_as_the_picture_does():
    what = painting(many(), (300, 200))
    canvas = raster.Canvas(what.size, what.background)
    for start in range(0, 300, 50):
        canvas.draw(what.strokes[start : start + 50], what.brush, 1.0)
    assert (canvas.pixels() == raster.rasterise(what)).all()


def test_later_strokes_lie_above_earlier_ones():
    over = strokes([(20, 15, 20, 20, 0)], rgb=(0, 1, 0))
    what = painting([(20, 15, 30, 30, 0)], background=(1, 1, 1))
    both = replace(what, strokes=what.strokes + over)
    assert raster.rasterise(both)[15, 20, 1] > 200
    assert raster.rasterise(replace(what, strokes=over + what.strokes))[15, 20, 1] < 120


def test_a_transparent_ground_shows_through_and_no_rim_is_dark():
    what = painting([(20, 15, 25, 18, 0.1)], rgb=(1, 1, 1))
    clear = raster.rasterise(replace(what, background=None))
    assert clear.shape == (30, 40, 4) and clear[0, 0, 3] == 0
    seen = clear[..., 3] > 20
    assert clear[seen][:, :3].min() > 200, "the rim of a white stroke is white"


def test_half_a_turn_of_an_upright_stroke_lies_down():
    upright = raster.rasterise(painting([(20, 20, 8, 30, 0)], (40, 40)))
    turned = raster.rasterise(painting([(20, 20, 30, 8, 0.5)], (40, 40)))
    assert (upright == turned).all()


@pytest.mark.parametrize("name", NAMES)
def test_brushes_touch_all_edges_and_keep_the_colour(name):
    brush = BRUSHES[name]
    for edge in (brush.alpha[0], brush.alpha[-1], brush.alpha[:, 0], brush.alpha[:, -1]):
        assert edge.max() > 0.2
    assert brush.alpha.min() >= 0 and brush.alpha.max() <= 1
    inside = brush.alpha > 0.5
    assert brush.tone[inside].mean() == pytest.approx(1, abs=0.02) and brush.tone[inside].std() > 0.01


def test_brushes_are_the_same_every_time_and_all_different():
    assert all((Brush.find(name).alpha == BRUSHES[name].alpha).all() for name in NAMES)
    assert len({BRUSHES[name].alpha.tobytes() for name in NAMES}) == len(NAMES)


# --- SVG ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("brush", ["flat", "dry"])
def test_a_browser_shows_the_svg_as_the_raster(started, tmp_path, brush):
    what = painting(many(400), (300, 200), brush, (1, 1, 1))
    what = replace(what, strokes=what.strokes.colored(np.random.default_rng(1).random((400, 3))))
    svg.save(tmp_path / "a.svg", what)
    started.open(tmp_path / "a.svg", 300, 200)
    shown = np.asarray(Image.open(io.BytesIO(started.shot())).convert("RGB")).astype(float)
    difference = np.abs(shown - raster.rasterise(what))
    assert difference.mean() < 9
    assert np.abs(shown.mean((0, 1)) - raster.rasterise(what).mean((0, 1))).max() < 4


def test_an_svg_has_a_copy_of_the_brush_for_each_stroke(tmp_path):
    what = replace(painting(many(20), (300, 200)), alpha=np.full((200, 300), 0.5))
    svg.save(Path(tmp_path / "a.svg"), what)
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<use ") == 20 and 'mask="url(#m)"' in text
