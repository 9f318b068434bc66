"""Paint Transformer's authors' own weights: how far artgen's paintings with them are from those of their program."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from artcli.backends.paint import layers
from artcli.backends.paint.settings import Settings
from artcli.media import brushes, raster
from artcli.media.strokes import Painting
from artcli.pretrained import painter as predictor
from tests.conftest import photograph

GOLDEN = Path(__file__).parent / "golden" / "paint-transformer.npz"  # see its README.md


def golden():
    """Their figures, and their net of random weights as artgen loads it."""
    return np.load(GOLDEN), predictor.load(str(GOLDEN.with_suffix(".pth")), torch.device("cpu"))


def test_their_net_predicts_the_same(monkeypatch):
    monkeypatch.setattr(predictor, "fast_dtype", lambda device: torch.float32)
    kept, painter = golden()
    shapes, logits = painter(kept["target"], kept["canvas"])
    assert np.abs(shapes - kept["strokes"]).max() < 1e-5 and np.abs(logits - kept["logits"]).max() < 1e-4


class Recorded:
    """What their net said in each pass of a whole inference; a random net's logits lie too near 0 to say it again."""

    strokes = 8

    def __init__(self, kept, side, outline):
        self.kept, self.side, self.outline, self.passes = kept, side, outline, 0

    def __call__(self, targets, canvases):
        found = self.kept[f"params{self.side}_{self.passes}"].reshape(-1, 8, 8).astype(float)
        logits = self.kept[f"logits{self.side}_{self.passes}"].astype(float)
        self.passes += 1
        places, sides = (found[..., :2] - 0.25) * 2, found[..., 2:4] * 2  # of a window twice as wide as the patch
        return np.concatenate((places, sides, found[..., 4:5]), -1), logits


def before_the_last_pass(kept, side):
    """(side, side, 3): what they have painted by then.  In it they draw every stroke, a slip that is not copied."""
    patches = kept[f"canvas{side}_{side // 32}"]
    count = math.isqrt(len(patches))
    whole = patches.reshape(count, count, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(32 * count, 32 * count, 3)
    edge = (len(whole) - side) // 2
    return whole[edge : edge + side, edge : edge + side].astype(int)


@pytest.mark.parametrize("side", [32, 64])
def test_a_whole_inference_covers_what_theirs_covers(side):
    kept, painter = golden()
    wanted, black, far = before_the_last_pass(kept, side), (0.0, 0.0, 0.0), {}
    for name, outline in ((painter.brush, painter.outline), ("flat", None)):
        brush = brushes.Brush.find(name)
        steps = list(layers.paint(kept[f"photo{side}"], Recorded(kept, side, outline), Settings(), brush, black))
        shown = raster.rasterise(Painting((side, side), steps[-2].strokes, brush, black)).astype(int)
        covered = (shown.max(2) > 15).sum() / (wanted.max(2) > 15).sum()
        far[name] = np.abs(shown - wanted).mean(), covered
    assert far["classic"][0] < 10 and 0.8 < far["classic"][1] < 1.25
    assert far["flat"][0] > 15 and far["flat"][1] > 1.8, "as boxes that are filled, strokes are much too large"


def test_their_weights_choose_the_brush_that_they_are_meant_for(invoke, folder, tiny_painter):
    photograph(folder / "photo.png", (64, 64))
    chosen = {}
    for model in (GOLDEN.with_suffix(".pth"), tiny_painter):
        assert invoke("paint", "photo.png", "--model", model, "--strokes-out", "s.json", "-f").exit_code == 0
        chosen[str(model)[-3:]] = json.loads(Path("s.json").read_text())["brush"]
    assert [*chosen.values()] == ["classic", "flat"]
    args = ("photo.png", "--model", GOLDEN.with_suffix(".pth"), "--brush", "dry", "--strokes-out", "s.json", "-f")
    assert invoke("paint", *args).exit_code == 0
    assert json.loads(Path("s.json").read_text())["brush"] == "dry"


def test_the_paints_box_within_a_turned_box():
    """By hand: a box of 40 x 20 turned by a quarter, whose paint begins half-way along it."""
    outline = layers.Outline(0.5, 0.0, 1.0, 1.0, back=1.0)
    found = layers.painted(np.array([[100.0, 50.0, 40.0, 20.0, 0.5], [0, 0, 8.0, 20.0, 0.0]]), outline, 2.0)
    np.testing.assert_allclose(found[0], [100, 60, 16, 16, 0.5], atol=1e-9)
    assert found[1, 2] == 0, "nothing is left of a stroke as thin as what is taken off"
