"""`artgen sample` of a prior: grids, classes, words, sizes, and pictures that it completes."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.models import first_stage, prior
from artcli.training import checkpoint, runs
from tests import tiny
from tests.batches import seeded
from tests.conftest import one_error_line, photograph

CLASSES = ["cats", "dogs"]


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def write_run(folder, classes=(), name="run", **changes):
    """A prior of a tiny VQ-VAE of 16 x 16 pixels, 4 x 4 codes, as far from uniform as a trained one."""
    if not (folder / "stage").exists():
        tiny.write_stage(folder / "stage")
    config = prior.settle(prior.Config(first_stage="stage", width=16, layers=1, heads=2, **changes))
    model = seeded(lambda: prior.Model(config, len(classes)))
    model.first.load_state_dict(first_stage.find("stage").stage.state_dict())
    with torch.no_grad():
        for number, parameter in enumerate(model.gpt.parameters()):
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    told = {"model": "prior", "config": dataclasses.asdict(config), "data": {"classes": list(classes)}, "step": 0}
    (folder / name).mkdir()
    checkpoint.export(folder / name / "weights.safetensors", model.state_dict(), told)
    return model.eval()


@pytest.fixture
def model(folder):
    return write_run(folder, CLASSES)


@pytest.fixture
def photo(folder):
    return photograph(folder / "photo.png", (16, 16))


def cells(path, columns, side=16):
    """The pictures of a sheet of one row."""
    sheet = pixels(path)
    assert sheet.shape[:2] == (side, columns * (side + 2) - 2)
    return [sheet[:, at * (side + 2) : at * (side + 2) + side] for at in range(columns)]


def near(found, tensor):
    return np.abs(found - 255 * tensor.permute(1, 2, 0).numpy()).max() < 0.6


# --- samples ----------------------------------------------------------------------------------------------------------


def test_grids_classes_and_how_codes_are_drawn(invoke, model):
    said = {}
    ways = {"plain": [], "cold": ["--temperature", "0"], "one": ["--top-k", "1"], "few": ["--top-p", "0.5"]}
    for name, flags in ways.items():
        result = invoke("sample", "run", "--class", "dogs", "--seed", "3-4", *flags, "-o", f"{name}.png")
        assert result.exit_code == 0, result.stderr
        said[name] = pixels(f"{name}.png")
    assert (said["cold"] == said["one"]).all() and (said["cold"][:, :16] == said["cold"][:, 18:]).all()
    assert (said["plain"] != said["cold"]).any() and (said["few"] != said["plain"]).any()
    drawn = model.generate([3, 4], torch.tensor([1, 1]))
    assert near(said["plain"][:, :16], drawn[0]) and near(said["plain"][:, 18:], drawn[1])
    result = invoke("sample", "run", "--from", "few.png", "-o", "again.png")
    assert result.exit_code == 0 and (pixels("again.png") == said["few"]).all(), "the record has how codes are drawn"


@pytest.mark.parametrize("size", ["48x32", "32x40"])
def test_larger_pictures_by_a_sliding_window(invoke, model, size):
    result = invoke("sample", "run", "--seed", "3-3", "--size", size, "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    width, height = map(int, size.split("x"))
    model.of_size(width, height)
    drawn = model.generate([3])[0]
    assert drawn.shape[1:] == (height, width) and near(pixels("a.png"), drawn)


def test_what_words_say(invoke, folder, tiny_clip):
    write_run(folder, texts=32, clip=str(tiny_clip))
    flags = ["--prompt", "red car", "--prompt", "sea", "--seed", "1-2"]
    assert invoke("sample", "run", *flags, "--guidance", 2, "--negative", "dog", "-o", "a.png").exit_code == 0
    assert pixels("a.png").shape == (34, 34, 3)
    assert "give --prompt" in one_error_line(invoke("sample", "run", "-q").stderr)
    photograph(folder / "photo.png", (16, 16))
    result = invoke("sample", "run", "--complete", "photo.png", "--prompt", "red car", "--seed", "1-3")
    assert result.exit_code == 0, result.stderr


# --- completions ------------------------------------------------------------------------------------------------------


def test_a_completion_is_shown_between_what_was_kept_and_the_original(invoke, model, photo):
    flags = ["--complete", "photo.png", "--keep", "top:1/4", "--seed", "5-6", "--class", "cats"]
    result = invoke("sample", "run", *flags, "--json", "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["seeds"], said["kept"], said["pictures"]) == ([5, 6], 0.25, ["photo.png"])
    kept, one, other, coded = cells("a.png", 4)
    image = torch.from_numpy(pixels("photo.png")).permute(2, 0, 1)[None] / 255
    assert (kept[:4] == pixels("photo.png")[:4]).all() and np.abs(kept[4:] - 127.5).max() < 1
    keep = torch.zeros(4, 4, dtype=torch.bool)
    keep[0] = True
    drawn = model.complete(image.expand(2, -1, -1, -1), keep, [5, 6], torch.tensor([0, 0]))
    assert near(one, drawn[0]) and near(other, drawn[1]) and (one != other).any()
    assert near(coded, model.reconstruct(image)[0])


@pytest.mark.parametrize(
    ("keep", "rows", "columns"),
    [("bottom:1/2", slice(2, 4), slice(4)), ("left:25%", slice(4), slice(1)), ("right:0.5", slice(4), slice(2, 4))],
)
def test_other_edges(invoke, model, photo, keep, rows, columns):
    assert invoke("sample", "run", "--complete", "photo.png", "--keep", keep, "-o", "a.png").exit_code == 0
    kept = cells("a.png", 3)[0]
    shown = (np.abs(kept - 127.5).max(2) > 1).reshape(4, 4, 4, 4).any((1, 3))
    wanted = np.zeros((4, 4), bool)
    wanted[rows, columns] = True
    assert (shown == wanted).all()


def test_an_eighth_is_two_of_sixteen_codes(invoke, model, photo):
    result = invoke("sample", "run", "--complete", "photo.png", "--keep", "top:1/8", "--json")
    assert json.loads(result.stdout)["kept"] == 0.125 and json.loads(result.stdout)["paths"] == ["run-complete.png"]


def test_by_a_mask(invoke, folder, model, photo):
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 8:12] = 255
    Image.fromarray(mask).save("mask.png")
    result = invoke("sample", "run", "--complete", "photo.png", "--keep", "mask.png", "--count", 2, "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    kept, _, _, _ = cells("a.png", 4)
    assert (kept[mask > 0] == pixels("photo.png")[mask > 0]).all() and np.abs(kept[mask == 0] - 127.5).max() < 1


def test_several_pictures_are_rows_and_larger_ones_take_a_window(invoke, folder, model, photo):
    photograph(folder / "other.png", (32, 32))
    result = invoke("sample", "run", "--complete", "photo.png", "other.png", "--size", 32, "--count", 2, "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    assert pixels("a.png").shape == (66, 4 * 34 - 2, 3)
    assert "photo.png has 16x16 pixels; it is scaled to 32x32" in result.stderr


def test_a_picture_of_another_shape_is_prepared_as_those_of_training(invoke, folder, model):
    photograph(folder / "wide.png", (48, 32))
    result = invoke("sample", "run", "--complete", "wide.png", "-o", "a.png")
    assert result.exit_code == 0, result.stderr
    assert "sample: wide.png has 48x32 pixels; it is cropped and scaled to 16x16, as training pictures" in result.stderr


REFUSED = [
    (["--keep", "0"], "--keep 0 keeps nothing, and there is nothing to complete: say an edge and a part"),
    (["--keep", "top:0"], "--keep top:0 keeps nothing"),
    (["--keep", "top:1"], "--keep top:1 keeps all, and there is nothing left to complete"),
    (["--keep", "top:a"], "--keep 'top:a': a is no part of a picture"),
    (["--keep", "top:1/0"], "1/0 is no part"),
    (["--keep", "gone.png"], "--keep 'gone.png' is neither a part nor a file"),
    (["--keep", "white.png"], "keeps all, and there is nothing left to complete"),
    (["--keep", "black.png"], "keeps nothing, and there is nothing to complete"),
    (["--keep", "wide.png"], "--keep wide.png has 20x16 pixels and photo.png 16x16: they have to be of one size"),
    (["--keep", "text.txt"], "text.txt"),
    (["--class", "birds"], "--class 'birds' is not known; there are: cats, dogs, all."),
    (["--prompt", "a"], "told nothing in words"),
    (["--size", "48x32"], "works on squares, not on 48x32 pixels: --size 32"),
    (["--size", "33"], "multiples of 4 pixels from 16 on, not on 33: --size 32"),
    (["--truncation", "0.5"], "--truncation has no meaning with --complete"),
    (["--reconstruct", "photo.png"], "--reconstruct and --complete do not go together"),
]


@pytest.mark.parametrize(("flags", "says"), REFUSED, ids=[" ".join(flags) for flags, _ in REFUSED])
def test_what_cannot_be_completed(invoke, folder, model, photo, flags, says):
    for name, size, value in (("white", (16, 16), 255), ("black", (16, 16), 0), ("wide", (20, 16), 255)):
        Image.new("L", size, value).save(f"{name}.png")
    (folder / "text.txt").write_text("no picture")
    result = invoke("sample", "run", "--complete", "photo.png", *flags, "-q", "-o", "a.png")
    assert result.exit_code == 2 and says in one_error_line(result.stderr), result.stderr
    assert not (folder / "a.png").exists()


def test_keep_alone_means_nothing(invoke, model):
    line = one_error_line(invoke("sample", "run", "--keep", "top:1/8", "-q").stderr)
    assert line == "--keep has no meaning with --samples; it goes with --complete."


@pytest.mark.parametrize(
    ("run", "flags", "command"),
    [
        ("stage", ["--complete", "photo.png"], "artgen train prior stage DATA"),
        ("vqgan-mini", ["--complete", "photo.png"], "artgen train prior vqgan-mini DATA"),
        ("vqgan-mini", [], "artgen train prior vqgan-mini DATA"),
        ("codes", [], "artgen train prior codes DATA"),
    ],
)
def test_without_a_second_stage_it_says_which_command_trains_one(invoke, folder, photo, run, flags, command):
    tiny.write_stage(folder / "stage")
    tiny.write_stage(folder / "codes", "vqgan")
    result = invoke("sample", run, *flags, "-q")
    assert result.exit_code == 2 and one_error_line(result.stderr).endswith(command)


def test_a_prior_of_another_codebook(invoke, folder, model):
    """Weights put together from two runs."""
    tensors, told = checkpoint.read(folder / "run" / "weights.safetensors")
    tensors["first.net.quantiser.codebook"] = torch.zeros(8, 4)
    checkpoint.export(folder / "run" / "weights.safetensors", tensors, told)
    result = invoke("sample", "run", "-q")
    assert result.exit_code == 2 and "does not fit its own description" in one_error_line(result.stderr)
    write_run(folder, name="whole")
    tensors, told = checkpoint.read(folder / "whole" / "weights.safetensors")
    tensors["first.net.quantiser.codebook"] += 1
    checkpoint.export(folder / "whole" / "weights.safetensors", tensors, told)
    result = invoke("sample", "whole", "-q")
    assert result.exit_code == 3 and "learned the codes of another codebook" in one_error_line(result.stderr)


def test_models_that_draw_no_codes_know_no_temperature(invoke, folder):
    tiny.write_stage(folder / "vae", "vae")
    line = one_error_line(invoke("sample", "vae", "--temperature", "0.5", "-q").stderr)
    assert line == "vae of vae knows no --temperature: leave it out."


def test_the_run_stands_alone(folder, model):
    assert runs.load_generator(folder / "run", torch.device("cpu")).classes == CLASSES
