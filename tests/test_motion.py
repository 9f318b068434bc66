"""What moved where between two frames, and how much a film flickers."""

import pytest
import torch
import torch.nn.functional as F

from artcli.backends import motion
from artcli.backends.flicker import Flicker


def scene(height=96, width=128, seed=0):
    """A picture (3, height, width) with soft spots of many sizes."""
    rng = torch.Generator().manual_seed(seed)
    layers = [torch.rand(1, 3, height // side, width // side, generator=rng) for side in (4, 8, 16)]
    return sum(F.interpolate(layer, (height, width), mode="bicubic") for layer in layers)[0].div(3).clamp(0, 1)


def view(right, down, height=64, width=80):
    """A part of the scene, seen from further to the right and below."""
    return scene()[:, 12 + down : 12 + down + height, 20 + right : 20 + right + width]


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (3, -2), (-6, 4)])
def test_a_moving_view(right, down):
    before, now = view(0, 0), view(right, down)
    found = motion.flow(before, now)
    error = (found - torch.tensor([right, down])[:, None, None]).square().sum(0).sqrt()
    assert found.shape == (2, 64, 80) and error.median() < 0.5
    arrived = motion.carried(before, found)
    assert (arrived - now)[:, 8:-8, 8:-8].abs().mean() < 0.02
    assert motion.trust(arrived, now).mean() > 0.9


def test_what_stands_still_is_carried_as_it_is():
    still = view(0, 0)
    found = motion.flow(still, still)
    assert found.abs().max() == 0
    torch.testing.assert_close(motion.carried(still, found), still, atol=1e-4, rtol=0)


def test_only_a_part_moves():
    before, now = view(0, 0).clone(), view(0, 0).clone()
    spot = 0.5 + 0.5 * scene(seed=1)[:, :20, :20]
    before[:, 20:40, 20:40], now[:, 20:40, 24:44] = spot, spot
    found = motion.flow(before, now)
    assert found[0, 26:34, 30:38].median() == pytest.approx(-4, abs=0.6)
    assert found[:, :, 60:].abs().median() == 0


def test_another_scene_is_not_trusted():
    before, now = 0.5 * scene(), 1 - 0.5 * scene(seed=1)
    assert motion.trust(motion.carried(before, motion.flow(before, now)), now).mean() < 0.2


def test_flicker():
    still, moved = torch.zeros(3, 2, 2), torch.full((3, 2, 2), 0.1)
    found = Flicker()
    assert found.ratio() == 1
    for before, after in ((still, still), (moved, 3 * moved), (still, still)):
        found.see(before, after)
    assert found.ratio() == pytest.approx(3)
    again = Flicker(found.changes, found.last)
    for film in (found, again):
        film.see(moved, moved)
    assert found.ratio() == again.ratio() == pytest.approx(7 / 3)
