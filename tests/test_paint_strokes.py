"""strokes.json: the same painting comes back, and every damage is one clear line."""

import json

import numpy as np
import pytest

from artcli.errors import UsageError
from artcli.media import raster
from artcli.media import strokes as stroke_files
from artcli.media.brushes import SIDE, Brush
from artcli.media.strokes import COLUMNS, Painting, Strokes


def painting(count=50, **options):
    rng = np.random.default_rng(0)
    shapes = rng.uniform((0, 0, 1, 1, -1), (64, 48, 30, 30, 2), (count, 5))
    made = Strokes.make(shapes, rng.random((count, 3)), np.arange(count) // 10, rng.random(count), rng.random(count))
    return Painting((64, 48), made, Brush.find("dry"), (0.5, 0.25, 1.0), **options)


@pytest.fixture
def saved(tmp_path):
    """strokes.json and what it says."""
    path = tmp_path / "strokes.json"
    stroke_files.save(path, painting())
    return path, json.loads(path.read_text())


def test_a_painting_comes_back_to_the_last_bit(tmp_path):
    alpha = np.linspace(0, 1, 48 * 64).reshape(48, 64)
    before = painting(alpha=np.floor(alpha * 255 + 0.5) / 255, recipe={"command": "paint"})
    stroke_files.save(tmp_path / "a.json", before)
    after = stroke_files.load(tmp_path / "a.json")
    assert (after.strokes.table == before.strokes.table).all()
    assert after.size == before.size and after.recipe == before.recipe
    assert np.abs(after.alpha - before.alpha).max() < 1e-6
    assert np.abs(raster.rasterise(after).astype(int) - raster.rasterise(before)).max() <= 1  # the ground, in 8 bits


def test_a_brush_of_the_users_own_travels_with_the_strokes(tmp_path):
    from dataclasses import replace

    paint = np.zeros((SIDE, SIDE), np.float32)
    paint[64:192] = 1
    own = Brush("own", paint, np.ones_like(paint))
    stroke_files.save(tmp_path / "a.json", replace(painting(), brush=own))
    assert np.abs(stroke_files.load(tmp_path / "a.json").brush.alpha - paint).max() < 0.01


def test_no_strokes_are_a_painting_too(tmp_path):
    stroke_files.save(tmp_path / "a.json", painting(0))
    assert len(stroke_files.load(tmp_path / "a.json").strokes) == 0


COLUMN = {name: number for number, name in enumerate(COLUMNS)}


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("x", float("nan"), "NaN"),
        ("y", float("inf"), "Infinity"),
        ("w", -3, "w -3"),
        ("h", 0, "h 0"),
        ("w", 1e300, "w 1e+300"),
        ("r", 256, "r 256"),
        ("alpha", 1.5, "alpha 1.5"),
        ("layer", -1, "layer -1"),
        ("theta", "1", "else than numbers"),
        ("theta", True, "else than numbers"),
        ("x", 10**400, "beyond"),
    ],
)
def test_values_that_cannot_be(saved, name, value, word):
    path, found = saved
    found["strokes"][7][COLUMN[name]] = value
    path.write_text(json.dumps(found))
    with pytest.raises(UsageError, match=word.replace("+", r"\+")):
        stroke_files.load(path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 2}, "version 2"),
        ({"artgen": "x"}, "no strokes file"),
        ({"columns": ["x"]}, "columns"),
        ({"size": [64]}, "size"),
        ({"size": [64, -1]}, "size"),
        ({"size": [10**9, 10**9]}, "size"),
        ({"strokes": {}}, "no list"),
        ({"strokes": [[1, 2]]}, "stroke 0"),
        ({"strokes": [3]}, "stroke 0"),
        ({"brush": "broom"}, "broom"),
        ({"brush": "data:image/png;base64,AAAA"}, "cannot be read"),
        ({"alpha": 3}, "cannot be read"),
        ({"background": [1, 2]}, "background"),
        ({"recipe": 3}, "recipe"),
    ],
)
def test_heads_that_cannot_be(saved, change, word):
    path, found = saved
    path.write_text(json.dumps(found | change))
    with pytest.raises(UsageError, match=word):
        stroke_files.load(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x89PNG", "[" * 100_000])
def test_files_that_are_something_else(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"a\.json is no strokes file"):
        stroke_files.load(path)


def test_too_many_strokes(saved, monkeypatch):
    path, _ = saved
    monkeypatch.setattr(stroke_files, "MAX_STROKES", 49)
    with pytest.raises(UsageError, match="50 strokes; 49 is the most"):
        stroke_files.load(path)
