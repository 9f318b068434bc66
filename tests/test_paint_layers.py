"""From photos to strokes, with a painter that fills each patch with four squares: where they land, which are kept."""

import numpy as np
import pytest
from PIL import Image

from artcli.backends.paint import choose, layers, palette
from artcli.backends.paint.settings import Settings
from artcli.errors import ArtgenError, UsageError
from artcli.media import raster
from artcli.media.brushes import Brush
from artcli.media.strokes import Painting, Strokes

FLAT = Brush.find("flat")
GREY = (0.5, 0.5, 0.5)


class Squares:
    """Four strokes that tile a patch, and four that it would rather not draw."""

    strokes, outline = 8, None

    def __call__(self, targets, canvases):
        assert targets.shape == canvases.shape and targets.shape[1:] == (32, 32, 3) and targets.dtype == np.uint8
        quarters = [(x, y, 0.56, 0.56, 0) for y in (0.25, 0.75) for x in (0.25, 0.75)]
        shapes = np.tile(np.array(quarters * 2, float), (len(targets), 1, 1))
        return shapes, np.tile([2.0] * 4 + [-2.0] * 4, (len(targets), 1))


def photo(width=120, height=72):
    y, x = np.mgrid[:height, :width] / max(width, height)
    rgb = np.stack((x, y, 0.5 + 0.4 * np.sin(20 * x * y)), 2)
    rgb[(x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.02] = (1, 0.9, 0.1)
    return (rgb.clip(0, 1) * 255).astype(np.uint8)


def painted(picture, settings=Settings(), mask=None, ground=GREY):
    return list(layers.paint(picture, Squares(), settings, FLAT, ground, mask))[-1].strokes


def distance(picture, strokes, ground=GREY):
    size = (picture.shape[1], picture.shape[0])
    return ((raster.rasterise(Painting(size, strokes, FLAT, ground)).astype(float) - picture) ** 2).mean()


# --- the plan -------------------------------------------------------------------------------------------------------


def test_each_layer_has_patches_half_as_long_and_the_last_is_painted_twice():
    passes = layers.plan((512, 300), Settings())
    assert [(p.layer, p.side, p.shifted) for p in passes] == [
        (0, 512, False), (1, 256, False), (2, 128, False), (3, 64, False), (4, 32, False), (4, 32, True),
    ]  # fmt: skip
    assert [layers.patches((512, 300), p) for p in passes] == [1, 4, 12, 40, 160, 187]


@pytest.mark.parametrize(
    ("settings", "finest", "count"),
    [
        (Settings(detail=2), 16, 7),
        (Settings(detail=0.5), 64, 5),
        (Settings(layers=2), 256, 3),
        (Settings(mode="quality"), 32, 10),
        (Settings(strokes=8000), 8, 8),
    ],
)
def test_settings_change_the_plan(settings, finest, count):
    passes = layers.plan((512, 512), settings)
    assert (passes[-1].side, len(passes)) == (finest, count)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (33, 31), (100, 7)])
def test_any_shape_is_painted(size):
    picture = photo(*size)
    strokes = painted(picture)
    assert len(strokes) and np.isfinite(strokes.table).all()
    assert distance(picture, strokes) < distance(picture, Strokes.none())


# --- where strokes land ---------------------------------------------------------------------------------------------


def test_a_photo_is_covered_without_holes_or_shifts():
    picture = photo()
    strokes = painted(picture, ground=(1.0, 0.0, 1.0))
    magenta = (1.0, 0.0, 1.0)
    result = raster.rasterise(Painting((120, 72), strokes, FLAT, magenta)).astype(int)
    holes = (result[..., 0] > 200) & (result[..., 1] < 60) & (picture[..., 0] < 150)
    assert not holes.any()
    away = [np.abs(np.roll(result, shift, (0, 1)) - picture).mean() for shift in ((0, 9), (9, 0), (0, -9), (-9, 0))]
    assert np.abs(result - picture).mean() < min(away)


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        (Settings(), True),
        (Settings(mode="quality"), True),
        (Settings(detail=2), True),  # for the thin lines the canvas becomes as large as the photo
        (Settings(detail=2, lines=False), False),
        (Settings(layers=1), False),
    ],
)
def test_the_last_canvas_is_the_painting(settings, drawn):
    picture = photo()
    *before, last = layers.paint(picture, Squares(), settings, FLAT, GREY)
    assert all(step.pixels is None for step in before) and (last.pixels is not None) == drawn
    if drawn:
        whole = Painting((picture.shape[1], picture.shape[0]), last.strokes, FLAT, GREY)
        assert (last.pixels == raster.rasterise(whole)).all()


def test_strokes_come_coarse_to_fine_and_only_those_that_are_wanted():
    strokes = painted(photo())
    assert (np.diff(strokes.layers) >= 0).all()
    sides = [strokes.shapes[strokes.layers == layer, 2].max() for layer in range(3)]
    assert sides == pytest.approx([128 * 0.56, 64 * 0.56, 32 * 0.56], rel=0.01)
    assert strokes.table[:, -1].min() > 0.5


def test_a_flat_photo_gives_its_colour():
    picture = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    assert (painted(picture).table[:, 6:9] == (200, 100, 50)).all()


def test_min_stroke_opacity_and_mask():
    assert painted(photo(), Settings(min_stroke=40)).layers.max() < painted(photo()).layers.max()
    assert (painted(photo(), Settings(opacity=0.5)).alphas == 0.5).all()
    mask = np.zeros((72, 120))
    mask[:, 60:] = 1
    strokes = painted(photo(), mask=mask)
    fine = strokes.shapes[strokes.layers == 2]
    assert len(fine) and fine[:, 0].min() >= 60


def test_numbers_that_are_none_are_an_error():
    class Broken(Squares):
        def __call__(self, targets, canvases):
            shapes, logits = super().__call__(targets, canvases)
            return shapes * np.nan, logits

    with pytest.raises(ArtgenError, match="weights"):
        list(layers.paint(photo(), Broken(), Settings(), FLAT, GREY))


# --- choosing -------------------------------------------------------------------------------------------------------


def test_quality_mode_is_closer_with_fewer_strokes():
    picture = photo()
    fast, careful = painted(picture), painted(picture, Settings(mode="quality"))
    most = 4 * sum(layers.patches((120, 72), p) for p in layers.plan((120, 72), Settings(mode="quality")))
    assert len(careful) < most
    assert distance(picture, careful) < distance(picture, fast)


class Gappy(Squares):
    """Leaves a stripe between its squares bare, as a dry brush does."""

    def __call__(self, targets, canvases):
        shapes, logits = super().__call__(targets, canvases)
        return shapes - (0, 0, 0.3, 0, 0), logits


def test_quality_mode_leaves_no_gaps_where_the_photo_is_even():
    picture = np.full((30, 32, 3), (40, 80, 160), np.uint8)
    far = {}
    for mode in ("fast", "quality"):
        steps = list(layers.paint(picture, Gappy(), Settings(mode=mode), FLAT, (1.0, 0.0, 0.0)))
        result = raster.rasterise(Painting((32, 30), steps[-1].strokes, FLAT, (1.0, 0.0, 0.0))).astype(int)
        far[mode] = (np.abs(result - picture).max(2) > 60).mean()
    assert far["fast"] > 0.05 and far["quality"] < 0.005


class Dabs(Squares):
    """Where there is hardly anything to see, a small dab in each patch, as a trained painter does."""

    def __call__(self, targets, canvases):
        shapes, logits = super().__call__(targets, canvases)
        off = np.abs(targets.astype(int) - canvases).mean((1, 2, 3)) < 12
        shapes[off] *= (1, 1, 0.4, 0.4, 1)
        return shapes, logits


def test_even_parts_have_no_pattern_of_dabs(monkeypatch):
    """Without their colour first, dabs of the right one stand on a ground that is slightly off."""
    y, x = np.mgrid[:256, :256]
    sky = np.stack((100 + x / 10, 130 + y / 10, 180 + (x + y) / 20), 2).astype(np.uint8)
    far = []
    for _ in range(2):
        strokes = list(layers.paint(sky, Dabs(), Settings(), FLAT, GREY))[-1].strokes
        shown = raster.rasterise(Painting((256, 256), strokes, FLAT, GREY))
        off = layers._cells(shown, 0).mean((2, 3)) - layers._cells(sky, 0).mean((2, 3))
        far.append(np.abs(off[2:-2, 2:-2]).mean())
        monkeypatch.setattr(layers, "evens", lambda *_: False)
    assert far[0] < 0.6 * far[1]


def test_only_what_is_even_is_evened():
    picture = photo(96, 96)
    picture[:, 48:] = np.random.default_rng(0).integers(0, 255, (96, 48, 3))
    easel = layers.Easel(picture, FLAT, GREY)
    easel.resize(layers.PATCH)
    found = layers.evened(easel, 0, Settings())
    assert len(found) > 30 and found.shapes[:, 0].max() < 51
    easel.add(found)
    assert len(layers.evened(easel, 0, Settings())) < len(found) / 5


def test_the_dots_of_a_dithered_picture_are_its_tones():
    grey = np.linspace(30, 220, 96)[None].repeat(64, 0)
    dithered = np.asarray(Image.fromarray(grey.astype(np.uint8)).convert("1").convert("RGB"))
    tones = layers.undithered(dithered).astype(float)
    assert np.abs(dithered - grey[..., None]).mean() > 80 and np.abs(tones - grey[..., None]).mean() < 20
    drawing = np.full((64, 96, 3), 255, np.uint8)
    drawing[20:22] = drawing[:, 40] = 0  # lines are no dots
    for other in (drawing, photo(), dithered.repeat(2, 0).repeat(2, 1), drawing[:2], drawing[:, :1]):
        assert layers.undithered(other) is other


def test_colours_are_counted():
    pixels = np.random.default_rng(0).integers(0, 6, (500, 3)).astype(np.uint8)
    assert layers._count_colors(pixels) == len(np.unique(pixels, axis=0)) > 100
    assert layers._count_colors(pixels[:1]) == 1


def test_more_strokes_are_always_closer_and_never_more_than_asked_for():
    picture = photo(200, 150)
    every = painted(picture, Settings(strokes=600))
    found = []
    for count in (10, 50, 200, 600):
        strokes = choose.best(every, count, picture, FLAT, GREY)
        assert 0.7 * count <= len(strokes) <= count
        found.append(distance(picture, strokes))
    assert found == sorted(found, reverse=True) and found[-1] < 0.3 * found[0]
    assert found[1] < distance(picture, every[:50])


def test_gains_are_the_fall_of_the_error():
    picture = photo()
    strokes = painted(picture)[:30]
    target = picture.transpose(2, 0, 1).astype(np.float32) / 255
    canvas = np.full_like(target, 0.5)
    covers = raster.covers(strokes, FLAT, 1.0, raster.Window(0, 0, *target.shape[:0:-1]))
    gains = choose.gains(strokes, target, canvas, covers, -np.inf)
    before, after = (float(((c - target) ** 2).sum()) for c in (np.full_like(target, 0.5), canvas))
    assert gains.sum() == pytest.approx(before - after, rel=1e-3)


def test_changes_follow_what_is_seen():
    picture = photo()
    strokes = painted(picture)
    changes = choose.changes(strokes, (120, 72), FLAT, GREY)
    assert (changes >= 0).all() and changes[:4].mean() > 10 * changes[-20:].mean()


# --- palettes -------------------------------------------------------------------------------------------------------


def test_few_colours(tmp_path):
    strokes = painted(photo())
    few = palette.apply(strokes, palette.read("5"))
    assert len(np.unique(few.rgb, axis=0)) == 5
    assert np.abs(few.rgb - strokes.rgb).mean() < 0.15
    (tmp_path / "a.txt").write_text("#ff0000\n00ff00 green\n")
    two = palette.apply(strokes, palette.read(str(tmp_path / "a.txt")))
    assert {tuple(c) for c in np.unique(two.rgb, axis=0)} <= {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)}
    (tmp_path / "b.gpl").write_text("GIMP Palette\nName: x\n#\n  0   0 255\tBlue\n")
    assert palette.read(str(tmp_path / "b.gpl")).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("text", ["0", "300", "none.txt", "empty.txt"])
def test_palettes_that_are_none(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("nothing here\n")
    with pytest.raises(UsageError, match="--palette"):
        palette.read(text)
