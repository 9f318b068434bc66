"""Pictures in the latent space of GANs: the search, its file, and ways between what was found."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from artcli.nn import project
from tests import tiny
from tests.conftest import one_error_line

GANS = ("dcgan", "stylegan")


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 1000))
def test_latents_of_a_linear_picture_are_found(seed):
    """A generator that can be inverted: the search ends at the latents that made the picture."""
    rng = torch.Generator().manual_seed(seed)
    mix = torch.linalg.qr(torch.randn(12, 4, generator=rng))[0]
    wanted = torch.randn(1, 4, generator=rng)
    candidates = torch.randn(5, 4, generator=rng)
    found = list(
        project.project(
            lambda z: z @ mix.T, lambda x: (x - wanted @ mix.T).square().mean(), candidates, deviation=2.0, steps=300
        )
    )
    torch.testing.assert_close(found[-1].latents, wanted, atol=1e-2, rtol=0)
    distances = [each.distance for each in found]
    assert distances == sorted(distances, reverse=True)


def test_the_schedule_is_the_papers():
    steps = [k / 1000 for k in range(1000)]
    rates, noise = list(map(project.rate, steps)), list(map(project.amount, steps))
    assert rates[0] == 0 and rates[25] == pytest.approx(0.5) and set(rates[50:750]) == {1.0} and rates[-1] < 1e-3
    assert rates[875] == pytest.approx(0.5)
    assert noise[0] == 0.05 and noise[375] == pytest.approx(0.05 / 4) and set(noise[750:]) == {0}


@pytest.fixture(params=GANS)
def run(invoke, folder, request):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line(request.param, "-q")).exit_code == 0
    return request.param


def test_a_sample_is_found_again(invoke, folder, run):
    assert invoke("sample", "run", "--seed", "100-101", "-o", "s/", "-q").exit_code == 0
    pictures = [str(path) for path in sorted((folder / "s").iterdir())]
    done = invoke("sample", "run", "--project", *pictures, "--steps", 12, "-o", "p.png")
    assert done.exit_code == 0 and done.stdout.split() == ["p.safetensors", "p.png"], done.stderr
    latents = load_file("p.safetensors")["latents"]
    assert latents.shape == (2, 8) and Image.open("p.png").size == (2 * 16 + 2, 2 * 16 + 2)
    shown = np.asarray(Image.open("p.png")).copy()
    (folder / "p.png").unlink()
    assert np.array_equal(shown[:16, :16], np.asarray(Image.open(pictures[0])))
    refused = invoke("sample", "run", "--project", pictures[0], "-o", "p.png", "-q")
    assert refused.exit_code == 2 and "p.safetensors" in one_error_line(refused.stderr)
    alone = invoke("sample", "run", "--project", pictures[1], "--steps", 12, "-o", "alone.png", "-q")
    assert alone.exit_code == 0 and torch.equal(load_file("alone.safetensors")["latents"][0], latents[1])
    way = ["--between", "alone.safetensors", pictures[0], "--steps", 2]
    assert invoke("sample", "run", *way, "--columns", 3, "-o", "way.png").exit_code == 0
    assert np.array_equal(np.asarray(Image.open("way.png"))[:16, :16], shown[18:, 18:])
    assert invoke("sample", "run", *way, "--fps", 4, "--duration", 1, "-o", "way.mp4", "-q").exit_code == 0


def test_latents_of_something_else(invoke, folder):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line("gan", "-q")).exit_code == 0
    save_file({"latents": torch.zeros(1, 7)}, "other.safetensors")
    save_file({"weights": torch.zeros(1, 4)}, "none.safetensors")
    (folder / "bad.safetensors").write_bytes(b"no")
    for name, line in {
        "other": "is of latents of 7 numbers, and this model's have 4",
        "none": "holds no latents",
        "bad": "cannot be read",
    }.items():
        asked = invoke("sample", "run", "--between", f"{name}.safetensors", "data/000.png", "-o", "a.png", "-q")
        assert asked.exit_code == 2 and line in one_error_line(asked.stderr)


def test_models_that_need_no_search(invoke, folder):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line("autoencoder", "-q")).exit_code == 0
    asked = invoke("sample", "run", "--project", "data/000.png", "-q")
    assert asked.exit_code == 2 and "cannot do --project; it can do:" in one_error_line(asked.stderr)
