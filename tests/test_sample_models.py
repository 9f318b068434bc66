"""`artgen sample` on the models that `artgen train` makes, tiny and untrained, each way they can go."""

import dataclasses
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from artcli.training import checkpoint
from artcli.training.registry import MODELS
from tests.conftest import one_error_line

TINY = {
    "vae": {"size": 32, "latent": 4, "width": 2, "conditional": True},
    "autoencoder": {"size": 16, "width": 4},
    "vqvae": {"size": 16, "width": 8, "codes": 16, "code_width": 4, "prior_width": 16, "prior_layers": 1},
    "vqgan": {"size": 32, "crop": 0, "widths": (8, 16), "groups": 4, "codes": 16, "code_width": 4, "critic_width": 4},
    "upscaler": {"size": 32, "crop": 16, "width": 4, "blocks": 1},
}
CLASSES = ["cats", "dogs"]
OF_LATENTS = [["--walk"], ["--sweep", 1], ["--interpolate"]]
OF_SAMPLES = [[], ["--neighbours"], ["--rate"]]
OF_PICTURES = [["--reconstruct", "data/cats/0.png"], ["--between", "data/*/[01].png"]]
LACKS = {"vqvae": OF_LATENTS, "vqgan": OF_LATENTS + OF_SAMPLES, "upscaler": OF_LATENTS + OF_SAMPLES + OF_PICTURES[1:]}


def write_data(folder):
    """Eight pictures of noise in two classes."""
    rng = np.random.default_rng(0)
    for number in range(8):
        place = folder / CLASSES[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(place / f"{number}.png")


@pytest.fixture
def runs(folder):
    """A run folder of every model, described as `artgen train` describes them."""
    write_data(folder / "data")
    for name, settings in TINY.items():
        backend = importlib.import_module(MODELS[name])
        config = backend.Config(**settings)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = backend.Model(config, len(CLASSES))
        data = {"path": str(folder / "data"), "preparation": {"size": config.size, "color": "rgb"}, "classes": CLASSES}
        data |= {"val_fraction": 0.25, "balanced": False, "augmentation": {}}
        description = {"model": name, "config": dataclasses.asdict(config), "data": data, "seed": 0, "step": 0}
        (folder / "runs" / name).mkdir(parents=True)
        checkpoint.export(folder / "runs" / name / "weights.safetensors", model.state_dict(), description)
    return folder / "runs"


@pytest.fixture
def sample(invoke, runs):
    def run(name, *args, code=0):
        result = invoke("sample", f"runs/{name}", *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.mark.parametrize("name", TINY)
def test_every_way_a_model_can_go(sample, name):
    for flags in (flags for flags in OF_PICTURES + OF_SAMPLES + OF_LATENTS if flags not in LACKS.get(name, [])):
        film = ["--fps", 4, "--duration", 0.5] if flags in (["--walk"], ["--interpolate"]) else []
        count = ["--count", 3] if "--reconstruct" not in flags and "--between" not in flags else []
        still = ["--out", "b.png"] if "--between" in flags else []
        result = sample(name, *flags, *film, *count, *still, "-q", "--force")
        (written,) = result.stdout.splitlines()
        assert Path(written).stat().st_size > 100


def test_codes_have_no_latents_to_walk_through(sample):
    line = one_error_line(sample("vqvae", "--walk", "-q", code=2).stderr.splitlines()[-1])
    assert line.endswith("cannot do --walk; it can do: random samples, --reconstruct, --between, --neighbours, --rate.")


@pytest.mark.parametrize("name", [name for name in TINY if OF_SAMPLES[0] not in LACKS.get(name, [])])
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


def test_all_of_them_on_one_sheet(sample):
    said = json.loads(sample("vae", "--compare", "runs/autoencoder", "runs/vqvae", "--json", "--out", "a.png").stdout)
    for section in ("reconstructions", "interpolations", "samples"):
        assert list(said[section]) == ["runs/vae", "runs/autoencoder", "runs/vqvae"]
    assert sorted(said["pictures"]) == sorted(f"{CLASSES[n % 2]}/{n}.png" for n in range(8))


def test_through_the_executable(artgen, runs):
    flags = ["--interpolate", "--seed", "5-6", "--fps", 2, "--out", "a.gif", "--json"]
    code, out, err = artgen("sample", "runs/vae", *flags)
    assert code == 0, err
    film = Image.open("a.gif")  # in which frames that are alike are one, shown for longer
    shown = sum(frame.info["duration"] for frame in ImageSequence.Iterator(film))
    assert json.loads(out)["frames"] == 4 and shown >= 4 * 500
    assert "vae of runs/vae, step 0, 32x32, cpu" in err and "Traceback" not in err
