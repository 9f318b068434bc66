"""Directions among latents: written by a sweep, and gone along again."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from artcli.training import runs
from tests import tiny
from tests.conftest import one_error_line


@pytest.fixture(params=["stylegan", "vae"])
def run(invoke, folder, request):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line(request.param, "-q")).exit_code == 0
    kept = invoke("sample", "run", "--sweep", 1, "--seed", "0-1", "--direction-out", "d.safetensors", "-o", "sweep.png")
    assert kept.exit_code == 0 and kept.stdout.split() == ["d.safetensors", "sweep.png"], kept.stderr
    return request.param


def pixels(name):
    return np.asarray(Image.open(name))


def test_a_direction_is_gone_along_again(invoke, folder, run):
    def drawn(name, *directions, more=()):
        flags = [part for each in directions for part in ("--direction", f"d.safetensors:{each}")]
        done = invoke("sample", "run", "--seed", "3-4", *flags, *more, "-o", name)
        assert done.exit_code == 0 and "warning" not in done.stderr, done.stderr
        return pixels(name)

    model = runs.load_generator(folder / "run", torch.device("cpu")).model
    found = load_file("d.safetensors")
    torch.testing.assert_close(found["direction"].norm(), torch.tensor(1.0))
    wanted = model.decode(model.latents([3, 4]) + 2.5 * found["deviation"] * found["direction"])
    side = model.config.size
    shown = drawn("a.png", 2.5)
    first = (wanted[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(shown[:side, :side].astype(int) - first).max() <= 1
    assert np.array_equal(drawn("b.png", 1, 1.5), shown)  # they add
    assert np.abs(drawn("c.png", 2, -2).astype(int) - drawn("d.png")).max() <= 1
    film = drawn("way.png", 2.5, more=["--interpolate", "--columns", 3])
    assert np.array_equal(film[:side, :side], shown[:side, :side])


def test_directions_of_something_else(invoke, folder):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line("gan", "-q")).exit_code == 0
    assert invoke(*tiny.line("gan", "-q", "--seed", 1, out="again")).exit_code == 0
    assert invoke(*tiny.line("dcgan", "-q", out="other")).exit_code == 0
    assert invoke("sample", "run", "--sweep", 1, "--direction-out", "d.st", "-o", "a.png", "-q").exit_code == 0
    again = invoke("sample", "again", "--direction", "d.st", "-o", "b.png")
    assert again.exit_code == 0 and "d.st is a direction of other weights" in again.stderr
    for run, more, line in (
        ("other", ["--direction", "d.st:2"], "d.st is of latents of 4 numbers, and this model's have 8"),
        ("run", ["--direction", "none.st:2"], "none.st"),
        ("run", ["--direction", "d.st:inf"], "the amount has to be a number of deviations"),
        ("run", ["--direction", "data/000.png:1"], "data/000.png cannot be read"),
        ("run", ["--direction-out", "e.st"], "--direction-out has no meaning with --samples; it goes with --sweep."),
        ("run", ["--sweep", 0, "--direction-out", "d.st"], "d.st exists"),
    ):
        asked = invoke("sample", run, *more, "-o", "c.png", "-q")
        assert asked.exit_code == 2 and line in one_error_line(asked.stderr)
