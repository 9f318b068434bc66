"""The stroke predictor and its training: sizes, distances, matching, gradients, and that a tiny one learns."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from artcli.errors import UsageError, WeightsError
from artcli.media import brushes, raster
from artcli.media.strokes import Painting, Strokes
from artcli.models.painter import matching, render
from artcli.models.painter import model as painter
from artcli.models.painter.synthetic import Synthetic, not_hidden
from artcli.pretrained import painter as predictor
from tests.batches import assert_learns, seeded, train_step
from tests.conftest import one_error_line, photograph

TINY = painter.Config(width=32, ffn=32, layers=1, batch=16, held_out=16, samples=64, lr=2e-3, dropout=0.0)


@pytest.fixture(scope="module")
def tiny():
    return seeded(lambda: painter.Model(TINY))


def random_strokes(*shape, seed=0, dtype=torch.float32):
    drawn = torch.rand((*shape, 5), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.cat((drawn[..., :2], 0.1 + 0.6 * drawn[..., 2:4], drawn[..., 4:]), -1)


# --- the network ----------------------------------------------------------------------------------------------------


def test_it_has_the_papers_size_and_names():
    net = predictor.Predictor(predictor.Sizes())
    assert sum(p.numel() for p in net.parameters()) == 9_072_902
    state = net.state_dict()
    roots = {"enc_img", "enc_canvas", "conv", "transformer", "linear_param", "linear_decider"}
    assert {name.partition(".")[0] for name in state} == roots | {"query_pos", "row_embed", "col_embed"}
    convolutions = {name for name, t in state.items() if name.startswith("enc_img") and t.dim() == 4}
    assert convolutions == {f"enc_img.{i}.weight" for i in (1, 5, 9)}
    assert {f"enc_img.{i}.running_mean" for i in (2, 6, 10)} <= state.keys()
    assert {f"linear_param.{i}.weight" for i in (0, 2, 4)} <= state.keys()
    assert state["row_embed"].shape == state["col_embed"].shape == (8, 128) and state["query_pos"].shape == (8, 256)


def test_its_layers_begin_different():
    layers = predictor.Predictor(predictor.Sizes(32, 32, 2)).transformer.encoder.layers
    assert not torch.equal(layers[0].linear1.weight, layers[1].linear1.weight)


@pytest.mark.parametrize("name", ["model.pth", "painter.safetensors"])
def test_files_load_by_the_sizes_of_their_tensors(tmp_path, tiny, name):
    if name.endswith("pth"):
        torch.save(tiny.state_dict(), tmp_path / name)
    else:
        tiny.export(tmp_path)
    loaded = predictor.load(str(tmp_path / name), torch.device("cpu"))
    patches = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    shapes, logits = loaded(patches, patches[::-1])
    assert shapes.shape == (3, 8, 5) and logits.shape == (3, 8) and loaded.strokes == 8
    one, _ = loaded(patches[:1], patches[2:])
    assert np.abs(one - shapes[:1]).max() < 0.02, "a patch does not depend on the others"


def test_files_of_other_models_are_refused(tmp_path, tiny):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="no stroke predictor"):
        predictor.load(str(tmp_path / "a.pth"), torch.device("cpu"))
    part = {name: tensor for name, tensor in tiny.state_dict().items() if "decider" not in name}
    torch.save(part, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        predictor.load(str(tmp_path / "b.pth"), torch.device("cpu"))
    (tmp_path / "c.pth").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"c\.pth"):
        predictor.load(str(tmp_path / "c.pth"), torch.device("cpu"))


# --- distances ------------------------------------------------------------------------------------------------------


def covariance(stroke):
    turn = math.pi * float(stroke[4])
    axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return axes @ np.diag([float(stroke[2]) ** 2 / 4, float(stroke[3]) ** 2 / 4]) @ axes.T


def test_the_wasserstein_distance_is_that_of_matrix_roots():
    a, b = random_strokes(20, seed=1, dtype=torch.float64), random_strokes(20, seed=2, dtype=torch.float64)
    for one, other, found in zip(a, b, matching.wasserstein(a, b), strict=True):
        first, second = covariance(one), covariance(other)
        root = scipy.linalg.sqrtm(first)
        cross = np.trace(scipy.linalg.sqrtm(root @ second @ root)).real
        wanted = float(((one[:2] - other[:2]) ** 2).sum()) + np.trace(first) + np.trace(second) - 2 * cross
        assert found.item() == pytest.approx(wanted, abs=1e-5)


def test_its_gradient_is_right_and_finite_where_strokes_vanish():
    a, b = random_strokes(6, seed=1, dtype=torch.float64), random_strokes(6, seed=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(matching.wasserstein, (a.requires_grad_(), b.requires_grad_()))
    flat = torch.zeros(2, 5, requires_grad=True)
    (slope,) = torch.autograd.grad(matching.wasserstein(flat, flat.detach()).sum(), flat)
    assert slope.isfinite().all()


def test_equal_strokes_are_at_no_distance_however_they_are_written():
    a = random_strokes(5)
    turned = a.clone()
    turned[:, [2, 3]] = a[:, [3, 2]]
    turned[:, 4] += 0.5
    assert matching.wasserstein(a, turned).abs().max() < 1e-3


def test_sides_below_0_are_no_way_to_be_near():
    a = random_strokes(5)
    mirrored = a * torch.tensor([1, 1, -1, -1, 1])
    assert matching.wasserstein(a, mirrored).min() > 0.01


def test_it_begins_with_strokes_that_can_be_drawn(tiny):
    shapes, _ = tiny(torch.rand(4, 3, 32, 32), torch.zeros(4, 3, 32, 32))
    assert shapes[..., 2:4].min() > 0.02


def test_matching_finds_the_order_again():
    wanted = random_strokes(4, 8)
    shuffled = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(i)) for i in range(4)])
    shapes = torch.empty_like(wanted).scatter(1, shuffled[..., None].expand(-1, -1, 5), wanted)
    assert (matching.match(shapes, torch.zeros(4, 8), wanted, torch.ones(4, 8, dtype=torch.bool)) == shuffled).all()


def test_strokes_left_out_leave_the_matching_of_the_others_as_it_is():
    wanted, shapes = random_strokes(6, 8, seed=3), random_strokes(6, 8, seed=4)
    valid = torch.ones(6, 8, dtype=torch.bool)
    valid[:, 5:] = False
    whole = matching.match(shapes, torch.zeros(6, 8), wanted, valid)
    changed = wanted.clone()
    changed[:, 5:] += 9
    assert (matching.match(shapes, torch.zeros(6, 8), changed, valid)[:, :5] == whole[:, :5]).all()


# --- drawing --------------------------------------------------------------------------------------------------------


def test_what_it_learns_from_looks_like_what_is_painted():
    shapes = random_strokes(1, 6, seed=5)
    colors = torch.rand(1, 6, 3, generator=torch.Generator().manual_seed(6))
    black = torch.zeros(1, 3, 32, 32)
    drawn = render.render(black, shapes, colors, torch.ones(1, 6), render.prototype("flat"))[0].permute(1, 2, 0)
    pixels = shapes[0].numpy() * (32, 32, 32, 32, 1)
    strokes = Strokes.make(pixels, colors[0].numpy(), np.zeros(6), np.ones(6), np.ones(6))
    painted = raster.rasterise(Painting((32, 32), strokes, brushes.Brush.find("flat"), (0, 0, 0)))
    assert np.abs(drawn.numpy() * 255 - painted).mean() < 5


def test_decisions_are_hard_forwards_and_soft_backwards():
    logits = torch.tensor([-2.0, 0.5], requires_grad=True)
    drawn = render.Draws.apply(logits)
    assert drawn.tolist() == [0, 1]
    (slope,) = torch.autograd.grad(drawn.sum(), logits)
    chance = torch.sigmoid(logits.detach())
    assert torch.allclose(slope, chance * (1 - chance))


def test_a_stroke_that_hides_an_earlier_one_is_left_out():
    small, large, aside = [0.5, 0.5, 0.2, 0.2, 0], [0.5, 0.5, 0.6, 0.6, 0], [0.1, 0.1, 0.15, 0.1, 0]
    paint = render.paint(torch.tensor([[small, large, aside], [large, small, aside]]), render.prototype("flat"), 32)
    assert not_hidden(paint[:, :, 0]).tolist() == [[True, False, True], [True, True, True]]


# --- training -------------------------------------------------------------------------------------------------------


def test_from_one_to_all_strokes_are_missing():
    config = dataclasses.replace(TINY, fewest=1, strokes=3)
    missing = Synthetic(config, seed=0).batch(0, 200).valid.sum(1)
    assert missing.min() == 1 and missing.max() == 3
    assert (missing == 1).sum() < 150
    assert (Synthetic(TINY, seed=0).batch(0, 200).valid.sum(1) > 3).float().mean() > 0.9


def test_the_papers_settings_leave_the_number_of_strokes_free():
    assert painter.Model(dataclasses.replace(TINY, strokes=4)).config.strokes == 4


def test_strokes_lie_where_the_settings_say():
    config = dataclasses.replace(TINY, places=(0.4, 0.5), sides=(0.8, 0.9))
    strokes = Synthetic(config, seed=0).batch(0, 16).strokes
    assert 0.4 <= strokes[..., :2].min() < strokes[..., :2].max() <= 0.5
    assert 0.8 <= strokes[..., 2:4].min() < strokes[..., 2:4].max() <= 0.9


def test_grounds_are_black_or_of_any_colour():
    small = dataclasses.replace(TINY, sides=(0.1, 0.1))
    black = Synthetic(small, seed=0).batch(0, 64).canvases
    tinted = Synthetic(dataclasses.replace(small, tinted=True), seed=0).batch(0, 64).canvases
    assert black.median() == 0 and 0.3 < tinted.median() < 0.7


def test_batches_depend_on_the_step_and_not_on_how_they_are_divided():
    data = Synthetic(TINY, seed=3)
    whole, again, other = data.batch(5, 10), data.batch(5, 10), data.batch(6, 10)
    assert torch.equal(whole.images, again.images) and not torch.equal(whole.images, other.images)
    part = data.batch(5, 10, first=3, count=4)
    for name in ("images", "canvases", "strokes", "valid"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[3:7])
    assert whole.valid[:, 0].all() and whole.images.min() >= 0 and whole.images.max() < 1.3
    held = next(data.validation(8))
    assert len(held) == 8 and torch.equal(held.images, next(data.validation(8)).images)


def test_parts_of_a_batch_add_up_to_its_loss(tiny):
    tiny.eval()  # BatchNorm's statistics are those of a part
    batch = Synthetic(TINY, seed=0).batch(0, 12)
    whole = tiny.validate(batch)["loss"]
    parts = sum(len(part) / 12 * tiny.validate(part)["loss"] for part in batch.split(3))
    assert parts.item() == pytest.approx(whole.item(), rel=1e-4)


def test_a_tiny_one_learns():
    data = Synthetic(TINY, seed=0)

    def teach(model):
        optimizers = model.optimizers()
        for step in range(20):
            train_step(model, optimizers, step, data.batch(step, 8))

    def held_out(model):
        return model.validate(Synthetic(TINY, seed=1).batch(0, 16))["loss"]

    model = assert_learns(lambda: painter.Model(TINY), teach, held_out)
    assert set(model.metrics) == {"pixel", "shape", "gaussian", "decision"}


def test_the_rate_falls_at_the_end():
    rates = [painter.Model(TINY).learning_rate(step, 2200)["painter"] for step in (0, 2049, 2050, 2150, 2199)]
    assert rates == pytest.approx([1, 1, 0.3, 0.027, 0.027])


@pytest.mark.parametrize(
    "change",
    [
        {"width": 30},
        {"size": 64},
        {"brush": "broom"},
        {"lr": 0},
        {"dropout": 1},
        {"fewest": 9},
        {"places": (0.7, 0.2)},
        {"sides": (0.2,)},
    ],
)
def test_settings_that_cannot_be(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        dataclasses.replace(TINY, **change)


FLAGS = ["--preset", "tiny", "--set", "batch=8", "--set", "held_out=8", "--set", "samples=16"]


@pytest.mark.parametrize("data", ["none", "photos"])
def test_artgen_train_painter(invoke, folder, data):
    (folder / "photos").mkdir()
    for number in range(4):
        photograph(folder / "photos" / f"{number}.png")
    result = invoke("train", "painter", data, *FLAGS, "--steps", 2, "--out", "run")
    assert result.exit_code == 0, result.stderr
    assert (folder / "run/reconstructions/step-000002.png").is_file()
    for name in ("run", "run/model", "run/model/painter.safetensors", "run/weights.safetensors"):
        assert predictor.load(name, torch.device("cpu")).strokes == 8
    again = invoke("train", "painter", data, *FLAGS, "--steps", 2, "--out", "run")
    assert "is finished" in again.stderr


def test_the_part_of_the_photos_that_is_held_out(invoke, folder):
    (folder / "photos").mkdir()
    for number in range(10):
        photograph(folder / "photos" / f"{number}.png", (80 + number, 56))
    found = [Synthetic(TINY, 0, folder / "photos", part).photos for part in (None, 0.6, 0.0)]
    learned, held = ([len(each[side]) for each in found] for side in (0, 1))
    assert learned[0] > learned[1] and held[0] < held[1] and learned[2] == held[2] == 10
    refused = invoke("train", "painter", "none", "--val-fraction", 0.1, "-q")
    assert refused.exit_code == 2 and "leave out --val-fraction" in one_error_line(refused.stderr)


def test_artgen_sample_shows_what_it_paints(invoke, folder):
    invoke("train", "painter", "none", *FLAGS, "--steps", 1, "--out", "run", "-q")
    photograph(folder / "photo.png")
    result = invoke("sample", "run", "--reconstruct", "photo.png", "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    lacking = invoke("sample", "run", "-o", "b.png", "-q")
    assert lacking.exit_code == 2 and "painter" in one_error_line(lacking.stderr)


def test_only_models_that_need_none_train_without_data(invoke, folder):
    result = invoke("train", "vae", "none", "-q")
    assert result.exit_code == 2 and "vae learns from pictures" in one_error_line(result.stderr)
