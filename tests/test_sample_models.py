"""`artgen sample` on the models that `artgen train` makes, tiny and untrained, each way they can go."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from artcli.commands.sample import request as sample_request
from artcli.pretrained import inception
from artcli.training import checkpoint
from tests import tiny
from tests.batches import seeded
from tests.conftest import one_error_line, photograph
from tests.test_stylize_run import weights_file
from tests.tiny import TINY

CLASSES = ["cats", "dogs"]
OF_LATENTS = [["--walk"], ["--sweep", 1], ["--interpolate"]]
MIX = ["--mix", "coarse"]
OF_SAMPLES = [[], ["--neighbours"], ["--rate"]]
TO_AND_BACK, BETWEEN = ["--reconstruct", "data/cats/0.png"], ["--between", "data/*/[01].png", "--steps", 2]
PROJECT = ["--project", "data/cats/0.png", "--steps", 2]
OF_GANS = [*OF_SAMPLES, *OF_LATENTS, BETWEEN, PROJECT]
EVERY = [TO_AND_BACK, BETWEEN, PROJECT, MIX, *OF_SAMPLES, *OF_LATENTS]
WAYS = {
    "adain": [TO_AND_BACK],
    "clip": [],
    "cyclegan": [],
    "dcgan": OF_GANS,
    "diffusion": OF_SAMPLES + OF_LATENTS,
    "gan": OF_GANS,
    "painter": [TO_AND_BACK],
    "pix2pix": [],
    "prior": [TO_AND_BACK, *OF_SAMPLES],
    "stylegan": [MIX, *OF_GANS],
    "upscaler": [TO_AND_BACK],
    "vgg-slim": [],
    "vqgan": [TO_AND_BACK, BETWEEN],
    "vqvae": [TO_AND_BACK, BETWEEN, *OF_SAMPLES],
    "vqvae2": [TO_AND_BACK, BETWEEN, *OF_SAMPLES],
    "wgan-gp": OF_GANS,
}  # all others go every way but the mixing of styles and the search for pictures
CHANGES = {
    "adain": {"styles": "data/cats"},
    "dcgan": {"conditional": True},
    "stylegan": {"conditional": True},
    "vae": {"conditional": True},
}


def write_data(folder):
    """Eight pictures of noise in two classes."""
    rng = np.random.default_rng(0)
    for number in range(8):
        place = folder / CLASSES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(place / f"{number}.png")


@pytest.fixture
def runs(folder):
    """Makes the run folder of a model, described as `artgen train` describes it."""
    write_data(folder / "data")
    weights_file(folder / tiny.TEACHER, (8, 8, 12, 12, 12))
    tiny.write_stage(folder / tiny.STAGE)

    def make(name):
        run = folder / "runs" / name
        if run.exists():
            return
        config = tiny.config(name, **CHANGES.get(name, {}))
        model = seeded(lambda: tiny.backend(name).Model(config, len(CLASSES)))
        config = model.config
        if hasattr(model, "histogram"):
            model.histogram += 1  # as in the second stage
        data = {"path": str(folder / "data"), "preparation": {"size": config.size, "color": "rgb"}, "classes": CLASSES}
        data |= {"val_fraction": 0.25, "balanced": False, "augmentation": {}}
        description = {"model": name, "config": dataclasses.asdict(config), "data": data, "seed": 0, "step": 0}
        run.mkdir(parents=True)
        checkpoint.export(run / "weights.safetensors", model.state_dict(), description)

    return make


@pytest.fixture
def sample(invoke, runs):
    def run(name, *args, code=0):
        runs(name)
        result = invoke("sample", f"runs/{name}", *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.mark.parametrize("name", TINY)
def test_every_way_a_model_can_go_and_no_other(sample, name):
    for flags in EVERY:
        film = ["--fps", 4, "--duration", 0.5] if flags in (["--walk"], ["--interpolate"]) else []
        count = ["--count", 3] if flags not in (TO_AND_BACK, BETWEEN, PROJECT) else []
        still = ["--out", "b.png"] if flags == BETWEEN else []
        possible = flags in WAYS.get(name, [way for way in EVERY if way not in (MIX, PROJECT)])
        result = sample(name, *flags, *film, *count, *still, "-q", "--force", code=0 if possible else 2)
        if possible:
            written = result.stdout.splitlines()
            assert len(written) == (2 if flags == PROJECT else 1)
            assert all(Path(each).stat().st_size > 100 for each in written)
        else:
            assert name in one_error_line(result.stderr) and result.stdout == ""


def test_codes_have_no_latents_to_walk_through(sample):
    line = one_error_line(sample("vqvae", "--walk", "-q", code=2).stderr.splitlines()[-1])
    assert line.endswith(
        "cannot do --walk; it can do: random samples, --reconstruct, --between, --neighbours, --rate, --score."
    )


@pytest.mark.parametrize("name", [name for name in TINY if [] in WAYS.get(name, EVERY)])
def test_a_picture_depends_on_its_own_seed_only(sample, name):
    sample(name, "--seed", "0-17", "--separate", "--out", "a.png")
    for seed in (3, 17):
        sample(name, "--seed", f"{seed}-{seed}", "--separate", "--out", "b.png", "--force")
        assert Path(f"a-{seed}.png").read_bytes() == Path("b.png").read_bytes()


def test_classes_of_those_that_know_them(sample):
    sample("vae", "--class", "all", "--seed", "0-2", "--out", "a.png")
    rows = np.split(np.asarray(Image.open("a.png"))[:66].astype(int), [32, 34])
    assert np.abs(rows[0] - rows[2]).max() > 0
    sample("vqvae", "--class", "dogs", "--seed", "0-1", "--out", "b.png")
    assert "tell classes apart" in one_error_line(sample("autoencoder", "--class", "dogs", "-q", code=2).stderr)


def test_a_class_of_a_model_whose_latents_know_it(sample):
    made, swept = {}, {}
    for name in CLASSES:
        sample("stylegan", "--mix", "fine", "--class", name, "--seed", "0-3", "--out", "a.png", "--force")
        made[name] = np.asarray(Image.open("a.png"))
        sample("stylegan", "--sweep", 1, "--class", name, "--seed", "0-1", "--out", "b.png", "--force")
        swept[name] = np.asarray(Image.open("b.png"))
    assert all(picture.shape == (52, 52, 3) and (picture[:16, :16] == 255).all() for picture in made.values())
    assert (made["cats"] != made["dogs"]).any() and (swept["cats"] != swept["dogs"]).any()
    assert "two seeds or more" in one_error_line(sample("stylegan", "--mix", "fine", "--seed", "3-3", code=2).stderr)


def test_styles_of_columns_in_pictures_of_rows(sample):
    cells = {}
    for part in ("coarse", "fine"):
        sample("stylegan", "--mix", part, "--seed", "0-2", "--out", "a.png", "--force")  # a row, two columns
        cells[part] = np.asarray(Image.open("a.png"))
    places = [(0, 18), (0, 36), (18, 0), (18, 18), (18, 36)]  # of the columns' pictures, the row's, and the mixed
    coarse, fine = ([cells[part][y : y + 16, x : x + 16] for y, x in places] for part in ("coarse", "fine"))
    alike = [np.array_equal(one, other) for one, other in zip(coarse, fine, strict=True)]
    assert alike == [True, True, True, False, False]


def test_all_of_them_on_one_sheet(sample, runs):
    for name in ("autoencoder", "vqvae"):
        runs(name)
    said = json.loads(sample("vae", "--compare", "runs/autoencoder", "runs/vqvae", "--json", "--out", "a.png").stdout)
    for section in ("reconstructions", "interpolations", "samples"):
        assert list(said[section]) == ["runs/vae", "runs/autoencoder", "runs/vqvae"]
    assert sorted(said["pictures"]) == sorted(f"{CLASSES[n % 2]}/{n}.png" for n in range(8))


@pytest.mark.parametrize("name", ["vae", "diffusion"])
def test_scores_beside_a_folder(sample, folder, monkeypatch, name):
    """Its pictures are made as large as the model's; the model need not have learned from them."""
    seen = []

    class Net:
        name = "means"

        def __call__(self, pictures):
            seen.append(pictures)
            return pictures.double().mean((2, 3)) / 255

    monkeypatch.setattr(inception, "load", lambda spec, device: Net())
    monkeypatch.setattr(sample_request, "find_spec", lambda name: name)
    for number in range(9):
        photograph(folder / f"{number}.png", (60 + number, 40))
    (folder / "photos").mkdir()
    for path in folder.glob("*.png"):
        path.rename(folder / "photos" / path.name)
    said = json.loads(sample(name, "--score", "photos", "--count", 6, "--seed", 0, "--json").stdout)
    assert (said["generated"], said["real"], said["net"]) == (6, 6, "means")
    side = tiny.config(name).size
    assert torch.cat(seen).shape == (12, 3, side, side) and said["fid"] > 0


def test_through_the_executable(artgen, runs):
    runs("vae")
    flags = ["--interpolate", "--seed", "5-6", "--fps", 2, "--out", "a.gif", "--json"]
    code, out, err = artgen("sample", "runs/vae", *flags)
    assert code == 0, err
    film = Image.open("a.gif")  # in which frames that are alike are one, shown for longer
    shown = sum(frame.info["duration"] for frame in ImageSequence.Iterator(film))
    assert json.loads(out)["frames"] == 4 and shown >= 4 * 500
    assert "vae of runs/vae, step 0, 32x32, cpu" in err and "Traceback" not in err
