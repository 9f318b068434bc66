"""What bench/fast.py measures, on pictures of which it is known, and on the bundled weights."""

import importlib
from pathlib import Path
from statistics import fmean

import pytest
import torch

from artcli.backends.stylize.fast import Stylizer
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import Style
from artcli.media import images
from artcli.pretrained import adain

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("fast")


def test_sharp_and_soft_edges_have_no_overshoot(bench):
    scene = bench.edges()
    soft = torch.nn.functional.avg_pool2d(scene, (1, 9), 1, (0, 4), count_include_pad=False)
    for picture in (scene, soft, 0.3 + 0.5 * scene):
        assert max(bench.overshoot(picture)) == pytest.approx(0, abs=1e-3)


def test_a_halo_is_measured_in_levels(bench):
    scene = bench.edges()
    middle = scene.shape[2] // 2
    scene[..., middle : middle + 5] += 10 / 255  # beyond the right fields where these are the lighter ones
    found = bench.overshoot(scene)
    assert max(found) == pytest.approx(10, abs=1e-3)
    assert sum(value > 1 for value in found) == 10  # 3 channels of the first two pairs, and 2 of the others


def test_waves_that_fields_share_are_found_in_grain(bench):
    flat = 2 * torch.randn(8, 96, 96, generator=torch.Generator().manual_seed(0))
    wave = 3 * torch.cos(torch.arange(96) * torch.pi / 4)  # of 8 pixels
    without, found = bench.strongest_wave(flat), bench.strongest_wave(flat + wave)
    assert without < 0.3 and found == pytest.approx(3, abs=0.3)
    long = 30 * torch.cos(torch.arange(96) * 2 * torch.pi / 48)
    assert bench.strongest_wave(flat + long) < 0.3, "a slope is no pattern"
    assert 0 < bench.pattern(bench.grainy(bench.edges())) < 0.3


def test_the_bundled_decoder_keeps_halos_and_patterns_small(bench):
    style = images.to_tensor(images.load(ROOT / "examples" / "paint" / "golden-gate.webp"))
    painter = Stylizer(adain.load("adain", torch.device("cpu"), offline=True), [Style(style)], Settings(size=384))
    scene = bench.edges()[:, :384]
    assert fmean(bench.overshoot(painter(scene))) < 25
    assert bench.pattern(painter(bench.grainy(scene))) < 3
