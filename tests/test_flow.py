"""Rectified flow: targets and solvers against closed forms, guidance, windows."""

import copy
import math

import pytest
import torch
from torch import nn

from artcli.nn import flow
from artcli.nn.flow import Wish, guided, solve, windowed
from artcli.nn.muon import Muon, orthogonal

MEAN, SPREAD = 0.7, 0.3


def gaussian(x, time):
    """The exact velocity where the pictures are N(MEAN, SPREAD^2): the mean of noise - picture, given x."""
    t = time.view(-1, *[1] * (x.ndim - 1))
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    away = x - (1 - t) * MEAN
    return t / variance * away - (MEAN + (1 - t) * SPREAD**2 / variance * away)


def last(velocity, x, steps, solver):
    *_, state = solve(velocity, x, steps, solver)
    return state.picture


def error(solver, steps):
    """How far a solver ends from the closed form: noise z becomes MEAN + SPREAD z."""
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    return (last(gaussian, noise, steps, solver) - (MEAN + SPREAD * noise)).abs().max().item()


def test_mix_is_the_picture_at_0_and_the_noise_at_1():
    pictures, noise = torch.rand(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    mixed = flow.mix(pictures, noise, torch.tensor([0.0, 1.0, 0.25]))
    assert torch.equal(mixed[0], pictures[0]) and torch.equal(mixed[1], noise[1])
    assert torch.allclose(mixed[2], 0.75 * pictures[2] + 0.25 * noise[2])


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("multistep", 2)])
def test_a_solver_has_its_order(solver, order):
    """Twice the steps, 2 ** order times nearer."""
    assert error(solver, 32) / error(solver, 64) == pytest.approx(2**order, rel=0.25)


@pytest.mark.parametrize("solver", flow.SOLVERS)
def test_a_solver_finds_a_single_picture_in_one_step(solver):
    picture, noise = torch.rand(2, 3), torch.randn(2, 3)
    found = last(lambda x, time: (x - picture) / time[:, None], noise, 1, solver)
    assert torch.allclose(found, picture, atol=1e-6)


def test_steps_are_counted_and_the_last_one_is_the_picture():
    states = list(solve(gaussian, torch.randn(2, 1), 5))
    assert [(s.step, s.total) for s in states] == [(n, 5) for n in range(1, 6)]
    assert torch.equal(states[-1].x, states[-1].picture)


def test_solving_may_begin_in_the_middle():
    """From x at time 0.6 the way is a part of the whole one."""
    noise = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    at = 0.4 * MEAN + math.sqrt(0.4**2 * SPREAD**2 + 0.6**2) * noise
    *_, state = solve(gaussian, at, 200, "heun", start=0.6)
    assert torch.allclose(state.picture, MEAN + SPREAD * noise, atol=1e-3)


# --- guidance ---------------------------------------------------------------------------------------------------------


def net(x, time, text):
    """A linear net that is told a direction."""
    return 0.5 * x + time[:, None] + text @ torch.tensor([[1.0, -2.0], [0.5, 3.0]])


CAT, DOG = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
X, T = torch.randn(4, 2), torch.full((4,), 0.3)


def plain(text):
    return net(X, T, text.expand(4, -1))


def test_guidance_1_is_the_conditional_net():
    assert torch.equal(guided(net, [Wish(CAT)], 1.0)(X, T), plain(CAT))


def test_guidance_0_is_the_unconditional_net():
    assert torch.allclose(guided(net, [Wish(CAT)], 0.0)(X, T), plain(0 * CAT), atol=1e-6)


def test_wishes_are_composed_by_their_weights():
    nothing = plain(0 * CAT)
    found = guided(net, [Wish(CAT, 3.0), Wish(DOG, 1.0)], 2.0)(X, T)
    right = nothing + 2 * (0.75 * (plain(CAT) - nothing) + 0.25 * (plain(DOG) - nothing))
    assert torch.allclose(found, right, atol=1e-5)


def test_a_negative_wish_pushes_away():
    nothing = plain(0 * CAT)
    found = guided(net, [Wish(CAT, 1.0), Wish(DOG, -0.5)], 2.0)(X, T)
    right = nothing + 2 * (plain(CAT) - nothing) - (plain(DOG) - nothing)
    assert torch.allclose(found, right, atol=1e-5)


def test_outside_its_interval_guidance_is_1():
    assert torch.equal(guided(net, [Wish(CAT)], 5.0, (0.4, 0.9))(X, T), plain(CAT))
    assert not torch.allclose(guided(net, [Wish(CAT)], 5.0, (0.2, 0.9))(X, T), plain(CAT))


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (8, 20), (30, 8), (16, 24)])
def test_windows_of_a_velocity_that_looks_at_single_places_change_nothing(shape):
    x = torch.randn(2, 1, *shape)
    assert torch.allclose(windowed(lambda x, time: 2 * x, 8)(x, T[:2]), 2 * x, atol=1e-6)


def test_windows_are_of_the_side_that_the_net_knows():
    seen = set()
    windowed(lambda x, time: seen.add(tuple(x.shape[2:])) or x, 8)(torch.randn(1, 1, 8, 30), T[:1])
    assert seen == {(8, 8)}


# --- learning ---------------------------------------------------------------------------------------------------------


def test_a_trained_toy_recovers_a_mixture_of_gaussians():
    """Two clouds in the plane: their shares, means and covariances come back from noise."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    means, spreads = torch.tensor([[-1.0, 0.5], [1.2, -0.4]]), torch.tensor([[0.2, 0.4], [0.35, 0.15]])

    def draw(count):
        which = (torch.rand(count, generator=rng) < 0.3).long()
        return means[which] + spreads[which] * torch.randn((count, 2), generator=rng)

    toy = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    adam = torch.optim.Adam(toy.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.05, 1500)
    for _ in range(1500):
        points, noise, time = draw(512), torch.randn((512, 2), generator=rng), torch.rand(512, generator=rng)
        found = toy(torch.cat((flow.mix(points, noise, time), time[:, None]), 1))
        loss = (found - (noise - points)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    with torch.no_grad():
        start = torch.randn((8000, 2), generator=rng)
        points = last(lambda x, time: toy(torch.cat((x, time[:, None]), 1)), start, 40, "heun")
    left = points[:, 0] < 0.1
    assert left.float().mean() == pytest.approx(0.7, abs=0.05)
    for cloud, mean, spread in zip((points[left], points[~left]), means, spreads, strict=True):
        assert torch.allclose(cloud.mean(0), mean, atol=0.08)
        assert torch.allclose(torch.cov(cloud.T), torch.diag(spread**2), atol=0.04)


# --- Muon -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_orthogonal_keeps_the_directions_and_evens_out_their_lengths(shape):
    u, s, v = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(1)), full_matrices=False)
    around = u.T @ orthogonal(u @ torch.linspace(0.2, 4, len(s)).diag() @ v) @ v.T
    assert (around.diag() > 0.6).all() and (around.diag() < 1.3).all()
    assert (around - around.diag().diag()).abs().max() < 0.1


def test_muon_steps_its_matrices_and_adam_the_rest_and_goes_on_from_its_state():
    def made():
        torch.manual_seed(0)
        layer = nn.Linear(6, 4)
        return layer, Muon([layer.weight], torch.optim.Adam([layer.bias], 0.1), 0.1)

    def step(layer, optimizer, number):
        optimizer.zero_grad()
        x = torch.randn((8, 6), generator=torch.Generator().manual_seed(number))
        (layer(x) - x[:, :4]).square().mean().backward()
        optimizer.step()

    layer, optimizer = made()
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    for number in range(3):
        step(layer, optimizer, number)
    assert all(not torch.equal(before[name], p) for name, p in layer.named_parameters())
    other, again = made()
    other.load_state_dict(layer.state_dict())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # a file has tensors of its own
    step(layer, optimizer, 3)
    step(other, again, 3)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), other.parameters(), strict=True))


def test_a_steered_picture_moves_by_the_strength_and_only_in_between():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    way = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    told = flow.steered(lambda x, time: x, lambda pictures, time: 7 * way, 0.2, within=(0.3, 0.8))

    def moved(time):
        before, after = (x - time * v for v in (x, told(x, torch.full((2,), time))))
        return after - before

    rms = moved(0.5).square().flatten(1).mean(1).sqrt()
    assert torch.allclose(rms, torch.tensor(0.2)) and (moved(0.5) * way).sum() > 0
    assert not moved(0.25).any() and not moved(0.9).any()
    nowhere = flow.steered(lambda x, time: x, lambda pictures, time: torch.zeros_like(x), 0.2)
    assert torch.equal(nowhere(x, torch.full((2,), 0.5)), x)
