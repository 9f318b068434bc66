"""Distances and prompt losses, against numbers worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.backends.dream.losses import distance, prompt_loss
from artcli.backends.dream.prompts import Prompt

KINDS = ("spherical", "cosine")
X = torch.tensor([1.0, 0.0], dtype=torch.float64)


def at(*degrees):
    """Unit vectors (N, 2) at these angles to X."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack((angles.cos(), angles.sin()), 1)


def crops(seed=0, count=5, dims=6):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(seed=1, dims=6):
    return torch.nn.functional.normalize(crops(seed, 1, dims)[0], dim=0)


def test_the_spherical_distance_is_half_the_squared_angle():
    """2 arcsin(|u - v| / 2)^2, and |u - v| = 2 sin(angle / 2)."""
    expected = [math.radians(a) ** 2 / 2 for a in (0, 30, 60, 90, 135)]
    assert distance(at(0, 30, 60, 90, 135), X, "spherical").tolist() == pytest.approx(expected, abs=1e-12)
    assert distance(at(180), X, "spherical").item() == pytest.approx(math.pi**2 / 2, rel=2e-3)  # clamped for its slope


def test_the_cosine_distance():
    assert distance(at(0, 60, 90, 180), X, "cosine").tolist() == pytest.approx([0, 0.5, 1, 2], abs=1e-12)


def test_a_loss_by_hand():
    """Two crops at 60 and 90 degrees; features may have any length."""
    features = at(60, 90) * torch.tensor([[3.0], [0.2]], dtype=torch.float64)
    mean = (math.radians(60) ** 2 / 2 + math.radians(90) ** 2 / 2) / 2
    for weight in (1.0, 2.5, -2.5):  # a negative weight turns the sign of the distance
        expected = weight * mean
        assert prompt_loss(features, X, Prompt("a", weight), "spherical").item() == pytest.approx(expected, abs=1e-12)
    assert prompt_loss(features, X, Prompt("a", 2.0), "cosine").item() == pytest.approx(2 * (0.5 + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [1.0, -0.5])
def test_the_gradient_is_the_slope(kind, weight):
    features = crops().requires_grad_()
    target = unit()
    assert torch.autograd.gradcheck(lambda f: prompt_loss(f, target, Prompt("a", weight), kind), features)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_down_the_gradient_comes_nearer_and_a_negative_weight_goes_away(kind):
    for weight, nearer in ((1.0, True), (-1.0, False)):
        features = crops().requires_grad_()
        (slope,) = torch.autograd.grad(prompt_loss(features, unit(), Prompt("a", weight), kind), features)
        moved = torch.nn.functional.normalize(features - 1e-3 * slope, dim=1)
        before = torch.nn.functional.normalize(features, dim=1)
        assert ((moved @ unit()) > (before @ unit())).all() == nearer


@pytest.mark.parametrize("kind", KINDS)
@given(stop=st.floats(-3, 3), weight=st.floats(0.1, 5) | st.floats(-5, -0.1))
@settings(deadline=None)
def test_the_stop_hides_nothing_and_ends_the_pull(kind, stop, weight):
    """Forward the true value; backward only the crops whose signed distance is still above `stop`."""
    features = crops().requires_grad_()
    free, stopped = Prompt("a", weight), Prompt("a", weight, stop)
    loss = prompt_loss(features, unit(), stopped, kind)
    assert loss.item() == prompt_loss(features, unit(), free, kind).item()
    signed = math.copysign(1, weight) * distance(torch.nn.functional.normalize(features, dim=1), unit(), kind)
    (pull,) = torch.autograd.grad(loss, features)
    (full,) = torch.autograd.grad(prompt_loss(features, unit(), free, kind), features)
    above = signed > stop
    torch.testing.assert_close(pull[above], full[above])
    assert (pull[~above] == 0).all()


def test_no_gradient_once_every_crop_is_near_enough():
    features = at(5, 10).requires_grad_()
    (pull,) = torch.autograd.grad(prompt_loss(features, X, Prompt("a", 1.0, 0.5), "spherical"), features)
    assert (pull == 0).all()


@pytest.mark.parametrize("angle", [0.0, 180.0])
@pytest.mark.parametrize("kind", KINDS)
def test_exactly_at_the_target_and_opposite_to_it_the_gradient_is_finite(kind, angle):
    features = at(angle).float().requires_grad_()
    (pull,) = torch.autograd.grad(prompt_loss(features, X.float(), Prompt("a"), kind), features)
    assert pull.isfinite().all()


def test_contrast_is_the_cross_entropy_of_the_target_among_its_rivals():
    """By hand: logits 2 * (0.6, 0.8, 0) for the target and two rivals."""
    features = torch.tensor([[0.6, 0.8, 0.0]], dtype=torch.float64)
    rivals = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    expected = math.log(math.exp(1.2) + math.exp(1.6) + 1) - 1.2
    found = prompt_loss(3 * features, target, Prompt("a", 2.0), "contrast", rivals, 2.0)
    assert found.item() == pytest.approx(2 * expected, abs=1e-12)


def test_contrast_has_the_gradient_of_its_value():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    rivals = F.normalize(torch.randn(4, 5, generator=rng, dtype=torch.float64), dim=1)
    target = F.normalize(torch.randn(5, generator=rng, dtype=torch.float64), dim=0)
    assert torch.autograd.gradcheck(lambda f: prompt_loss(f, target, Prompt("a"), "contrast", rivals, 7.0), features)


def test_rivals_leave_out_what_says_the_same_as_a_prompt(clip):
    from artcli.backends.dream import rivals

    target = clip.encode_text(["goldfish"])
    found = rivals.embed(clip, target)
    words = [" ".join(word.split()) for word in rivals.NOUNS.split(",")]
    assert 0 < len(found) < len(words) and len(words) == len(set(words)) and all(words)
    assert (found @ target.T).max() < 0.999  # "goldfish" itself is gone
