"""`artgen sample --neighbours` and `--compare`: does a model remember, and what have several of them learned?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.commands.sample import compare, neighbours, sheet
from artcli.media import images, record
from tests import sample_fake
from tests.conftest import one_error_line, photograph
from tests.sample_fake import Coder, Drawing, Model, pictures_of

workshop, sample = sample_fake.workshop, sample_fake.sample


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def facts(result):
    return json.loads(result.stdout)


def blocks(path, side):
    """Every picture of a sheet of neighbours: rows of samples of rows of pictures; the text above is left out."""
    whole = pixels(path)
    start = next(y for y in range(len(whole)) if (whole[y : y + side, :side] != 255).any(2).all())
    step = sheet.GAP + side
    return lambda row, column, place, wide: whole[
        start + row * (side + neighbours.BETWEEN) :,
        column * (wide * step - sheet.GAP + neighbours.BETWEEN) + place * step :,
    ][:side, :side]


# --- neighbours -----------------------------------------------------------------------------------------------------


def test_a_remembered_picture_is_found_in_both_spaces(sample, workshop):
    result = sample("--neighbours", "--seed", "2-5", "--columns", 2, "--out", "a.png", "--json")
    said, data = facts(result), workshop.data["tiny"]
    for measure in ("pixels", "latents"):
        assert said[measure][1]["name"] == "drawn-3.png" and said[measure][1]["distance"] < 0.01
        assert said[measure][2]["name"] != "drawn-4.png", "what was held out is no training picture"
        assert said[measure][0]["distance"] > 0.05
    assert "seed 3: nearest in pixels (16x16 averages) drawn-3.png" in result.stderr
    assert "in latent space drawn-3.png" in result.stderr
    at = blocks("a.png", 16)
    for number in range(4):
        row, column = divmod(number, 2)
        drawn = images.from_tensor(workshop.models["tiny"].generate([2 + number])[0])
        assert (at(row, column, 0, 3) == drawn).all()
        for place, measure in enumerate(("pixels", "latents"), 1):
            assert (at(row, column, place, 3) == data.images[said[measure][number]["row"]]).all()


def test_the_nearest_of_all(sample, workshop, monkeypatch):
    """Against one slow look at everything, and whatever the size of the chunks."""
    monkeypatch.setattr(neighbours, "AT_ONCE", 7)
    said = facts(sample("--neighbours", "--seed", "0-9", "--out", "a.png", "--json"))
    data, model = workshop.data["tiny"], workshop.models["tiny"]
    training = torch.tensor(data.images[data.training]).permute(0, 3, 1, 2) / 255
    for form, measure in ((lambda x: x, "pixels"), (model.encode, "latents")):
        theirs = form(training).flatten(1)
        for seed, near in enumerate(said[measure]):
            mine = form(model.generate([seed])).flatten(1)
            apart = (theirs - mine).square().mean(1).sqrt()
            assert near["distance"] == pytest.approx(apart.min().item(), abs=2e-4)
            assert near["row"] == data.training[apart.argmin()]


def test_without_an_encoder_pixels_alone(sample, workshop, folder):
    workshop.add(folder / "runs" / "drawing", Drawing(), data=workshop.data["tiny"])
    said = facts(sample("--neighbours", "--seed", "0-2", "--out", "a.png", "--json", run="runs/drawing"))
    assert "pixels" in said and "latents" not in said


def test_training_pictures_that_are_gone(sample, workshop):
    workshop.data["tiny"] = None
    assert "are gone" in one_error_line(sample("--neighbours", "-q", "--out", "a.png", code=2).stderr.splitlines()[-1])


# --- several models -------------------------------------------------------------------------------------------------


def height_of(text, width):
    return sheet.text(text, width).shape[0] + sheet.GAP


@pytest.fixture
def three(workshop, folder):
    """`tiny` of 16 pixels, `big` of 32 with other weights, and `drawing`, which cannot do much."""
    big = workshop.add(folder / "runs" / "big", Model(32, seed=1), data=pictures_of(Model(32, seed=1), range(20)))
    workshop.add(folder / "runs" / "drawing", Drawing())
    return big


def test_one_sheet_in_one_size(sample, three, folder):
    photograph(folder / "photo.png")
    flags = ["--compare", "runs/big", "runs/drawing", "--reconstruct", "photo.png", "runs/../photo.png"]
    result = sample(*flags, "--seed", "3-10", "--out", "a.png", "--json")
    said = facts(result)
    assert said["runs"] == ["runs/tiny", "runs/big", "runs/drawing"]
    assert set(said["reconstructions"]) == set(said["interpolations"]) == {"runs/tiny", "runs/big"}
    assert said["samples"]["runs/tiny"][0]["name"] == "drawn-3.png" and len(said["samples"]["runs/big"]) == 8
    assert said["samples"]["runs/drawing"] is None and "no training pictures beside the samples" in result.stderr
    photo = images.resize(pixels("photo.png")[:, 12:68], (32, 32))
    whole, top = pixels("a.png"), height_of(compare.TITLES["reconstructions"], 8 * 34 - 2)
    assert np.abs(whole[top : top + 32, :32].astype(int) - photo).max() <= 1, "every picture has 32 pixels here"
    assert whole.shape[1] == 8 * 34 - 2


def test_each_model_sees_the_pictures_in_its_own_form(sample, workshop, three, folder):
    """What a model codes without loss comes back as it was; the numbers tell the models apart."""
    workshop.add(folder / "runs" / "coder", Coder())
    grey = workshop.add(folder / "runs" / "grey", Model(channels=1))
    said = facts(
        sample("--compare", "runs/coder", "runs/grey", "--columns", 4, "--seed", 0, "--out", "a.png", "--json")
    )
    assert said["reconstructions"]["runs/coder"] > 60 and said["reconstructions"]["runs/tiny"] > 35
    assert said["reconstructions"]["runs/grey"] < 30 and grey.calls
    assert said["pictures"][-1] == "drawn-4.png" and len(said["pictures"]) == 4, "held-out pictures come first"
    assert said["samples"].keys() == {"runs/tiny", "runs/grey"}


def test_the_ends_of_the_interpolation(sample, workshop, folder):
    for seed in (1, 2):
        Image.fromarray(images.from_tensor(workshop.models["tiny"].generate([seed])[0])).save(f"{seed}.png")
    flags = ["--between", "1.png", "2.png", "--columns", 3, "--seed", "5-5"]
    sample("--compare", "runs/tiny", *flags, "--out", "a.png")
    whole, line = pixels("a.png"), height_of("tiny of runs/tiny", 240)
    # Below the first section: its title, the pictures, and for two models a line of text and a row.
    top = height_of(compare.TITLES["reconstructions"], 240) + 18 + 2 * (line + 18) - sheet.GAP
    top += compare.BETWEEN_SECTIONS + height_of(compare.TITLES["interpolations"], 240) + line
    for place, seed in ((0, 1), (2, 2)):
        found = whole[top : top + 16, place * 18 : place * 18 + 16].astype(int)
        assert np.abs(found - pixels(f"{seed}.png")).max() < 8
    line = one_error_line(sample("--compare", "runs/tiny", "--between", "1.png", "2.png", "1.png", "-q", code=2).stderr)
    assert "between two pictures" in line


def test_a_comparison_runs_again_and_names_all_weights(sample, three, folder):
    photograph(folder / "photo.png")
    sample("--compare", "runs/big", "--reconstruct", "photo.png", "--seed", 1, "--out", "a.png")
    assert set(record.read(Path("a.png"))["weights"]) == {"runs/tiny", "runs/big"}
    sample("--from", "a.png", "--out", "b.png", run=None)
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_without_data_pictures_have_to_be_named(sample, workshop, three):
    line = one_error_line(sample("--compare", "runs/tiny", "-q", "--out", "a.png", run="runs/drawing", code=2).stderr)
    assert "are gone" in line and "--reconstruct PICTURES" in line
