"""Latents: one generator per seed, ways between two, and the Gaussian of what was seen; and what models share."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, initialise, latents
from artcli.nn.inference import inference
from artcli.nn.labels import forget, one_hot, unknown
from artcli.nn.parts import Parts
from artcli.nn.schedule import trapezoid

quick = settings(deadline=None, max_examples=30)
seeds = st.lists(st.integers(0, 2**32), min_size=1, max_size=6)


def rows(count, size, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


# --- random numbers -------------------------------------------------------------------------------------------------


@given(seeds)
@quick
def test_a_row_depends_on_its_own_seed_only(seeds):
    together = latents.normal(seeds, (3, 2))
    assert together.shape == (len(seeds), 3, 2)
    for row, seed in zip(together, seeds, strict=True):
        assert torch.equal(row, latents.normal([seed], (3, 2))[0])


def test_numbers_are_standard_normal():
    numbers = latents.normal(range(200), (100,))
    assert abs(numbers.mean()) < 0.03 and abs(numbers.std() - 1) < 0.03


# --- ways -----------------------------------------------------------------------------------------------------------

WAYS = {"straight": latents.lerp, "spherical": latents.slerp}


@pytest.mark.parametrize("way", WAYS)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
@quick
def test_a_way_leads_from_start_to_end(way, count, size, seed):
    start, end = rows(count, size, seed), rows(count, size, seed + 100)
    torch.testing.assert_close(WAYS[way](start, end, 0.0), start, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(WAYS[way](start, end, 1.0), end, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
@given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 99))
@quick
def test_the_way_back_is_the_same(way, size, part, seed):
    start, end = rows(2, size, seed), rows(2, size, seed + 100)
    torch.testing.assert_close(WAYS[way](start, end, part), WAYS[way](end, start, 1 - part), atol=1e-4, rtol=1e-3)


def test_a_quarter_circle():
    half = latents.slerp(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 0.5)
    torch.testing.assert_close(half, torch.tensor([[math.sqrt(2), math.sqrt(2)]]))
    third = latents.slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 1 / 3)
    torch.testing.assert_close(third, torch.tensor([[math.sqrt(3) / 2, 0.5]]))


@given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 99))
@quick
def test_lengths_change_evenly_on_the_sphere(size, part, seed):
    start, end = rows(3, size, seed), rows(3, size, seed + 100)
    expected = (1 - part) * start.norm(dim=1) + part * end.norm(dim=1)
    torch.testing.assert_close(latents.slerp(start, end, part).norm(dim=1), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.0, -1.0])
def test_where_no_shortest_turn_exists_the_way_is_straight(factor):
    start = torch.tensor([[0.6, -0.8, 1.0]])
    way = latents.slerp(start, factor * start, 0.25)
    torch.testing.assert_close(way, (0.75 + 0.25 * factor) * start, atol=1e-5, rtol=1e-4)


# --- the Gaussian ---------------------------------------------------------------------------------------------------


def covariance(gaussian):
    return gaussian.factor @ gaussian.factor.T + gaussian.spread.square().diag()


def correlated(count, size, seed=0):
    return rows(count, size, seed) @ rows(size, size, seed + 1) + rows(1, size, seed + 2)


def test_before_anything_was_seen_it_is_standard_normal():
    gaussian = latents.Gaussian(5)
    torch.testing.assert_close(covariance(gaussian), torch.eye(5))
    assert gaussian.mean.eq(0).all()


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 99))
@quick
def test_it_has_the_mean_and_the_covariance_of_what_it_saw(size, count, seed):
    """With more rows than numbers, and with fewer."""
    gaussian, seen = latents.Gaussian(size), correlated(count, size, seed)
    gaussian.fit(seen.split(7))
    torch.testing.assert_close(gaussian.mean, seen.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        covariance(gaussian), torch.cov(seen.T, correction=0).view(size, size), atol=1e-3, rtol=1e-3
    )


def test_what_few_directions_cannot_hold_stays_on_the_diagonal(monkeypatch):
    monkeypatch.setattr(latents, "_MOST_DIRECTIONS", 3)
    gaussian, seen = latents.Gaussian(8), correlated(100, 8)
    gaussian.fit([seen])
    assert gaussian.factor.shape == (8, 3)
    expected = torch.cov(seen.T, correction=0)
    torch.testing.assert_close(covariance(gaussian).diag(), expected.diag(), atol=1e-3, rtol=1e-3)
    largest = torch.linalg.eigvalsh(expected)[-3:]
    torch.testing.assert_close(torch.linalg.svdvals(gaussian.factor).square().flip(0), largest, atol=1e-3, rtol=1e-3)


def test_draws_have_the_covariance_too():
    gaussian, seen = latents.Gaussian(4), correlated(500, 4)
    gaussian.fit([seen])
    drawn = gaussian.draw(range(4000))
    torch.testing.assert_close(drawn.mean(0), seen.mean(0), atol=0.2, rtol=0.1)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(seen.T), atol=0.4, rtol=0.15)


def test_truncation_pulls_draws_to_the_mean():
    gaussian = latents.Gaussian(4)
    gaussian.fit([correlated(50, 4)])
    full, half, none = (gaussian.draw([1, 2], t) for t in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half - gaussian.mean, (full - gaussian.mean) / 2)
    torch.testing.assert_close(none, gaussian.mean.expand(2, -1))


def test_it_looks_at_no_more_than_it_needs(monkeypatch):
    monkeypatch.setattr(latents, "_MOST_ROWS", 10)

    def endless():
        while True:
            yield correlated(4, 3)

    gaussian = latents.Gaussian(3)
    gaussian.fit(endless())
    assert gaussian.factor.isfinite().all()


def test_large_latents_keep_few_directions():
    assert latents.Gaussian(2048).factor.shape == (2048, 512)
    assert latents.Gaussian(2**18).factor.numel() <= 2**20


def test_fitting_twice_is_fitting_once():
    gaussian, seen = latents.Gaussian(6), correlated(4, 6)
    gaussian.fit([correlated(40, 6, seed=9)])
    gaussian.fit([seen])
    torch.testing.assert_close(covariance(gaussian), torch.cov(seen.T, correction=0), atol=1e-3, rtol=1e-3)


# --- what models share ----------------------------------------------------------------------------------------------


def test_parts_of_a_step_add_up_in_any_order():
    parts = Parts()
    parts.add(2, 2, torch.tensor(10.0), torch.tensor([1.0]))
    parts.add(0, 2, torch.tensor(1.0), torch.tensor([2.0]))
    assert [t.tolist() for t in parts.take()] == [11.0, [3.0]]
    assert parts.take() == []


def test_a_step_that_is_done_again_in_smaller_parts_counts_once():
    parts = Parts()
    parts.add(0, 4, torch.tensor(100.0))
    parts.add(4, 4, torch.tensor(100.0))
    for first in (0, 2, 4, 6):
        parts.add(first, 2, torch.tensor(1.0))
    assert parts.take()[0] == 4


def test_labels():
    known = torch.tensor([0, 2, 1])
    assert one_hot(known, 3).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert one_hot(unknown(2, 3, known.device), 3).eq(0).all()
    assert one_hot(unknown(2, 0, known.device), 0).shape == (2, 0)
    assert forget(known, torch.tensor([0.5, 0.05, 0.99]), 3).tolist() == [0, 3, 1]


def test_inference_leaves_the_mode_as_it_was():
    class Net(nn.Linear):
        @inference
        def use(self, x):
            return self(x), self.training

    net = Net(2, 2)
    for mode in (True, False):
        made, inside = net.train(mode).use(torch.ones(1, 2))
        assert not made.requires_grad and not inside and net.training is mode


def test_the_rate_rises_stays_and_falls():
    factors = [trapezoid(step, 100, rise=9, fall=0.2) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and factors[9:80] == [1.0] * 71
    assert factors[90] == pytest.approx(0.5) and factors[99] == pytest.approx(0.05)
    assert trapezoid(0, 1) == 1.0


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_start_values_keep_the_signal(slope):
    """Through eight layers of every kind what comes out is about as large as what went in."""
    layers = [nn.Unflatten(1, (16, 4, 4))]
    for _ in range(2):
        layers += [nn.Conv2d(16, 64, 3, stride=2, padding=1), nn.LeakyReLU(slope)]
        layers += [nn.ConvTranspose2d(64, 16, 4, stride=2, padding=1), nn.LeakyReLU(slope)]
    net = nn.Sequential(nn.Linear(256, 256), nn.LeakyReLU(slope), *layers)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initialise.he(net, slope)
    size = net(rows(64, 256)).square().mean().sqrt().item()
    assert 0.3 < size < 2


class Settings:
    def __init__(self, **changed):
        self.__dict__ = {"size": 8, "rate": 0.5, "part": 0.0, "kind": "b", "flag": False} | changed


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: checks.positive(Settings(rate=0), {"part"}), "rate has to be above 0, not 0"),
        (lambda: checks.positive(Settings(rate=math.nan), {"part"}), "rate has to be above 0, not nan"),
        (lambda: checks.positive(Settings(part=-1), {"part"}), "part has to be at least 0, not -1"),
        (lambda: checks.below_one(Settings(part=1.0), "part"), "part has to be at least 0 and below 1, not 1.0"),
        (lambda: checks.one_of(Settings(kind="mode"), "kind", ("model", "b")), "kind 'mode' is none of model, b. Did"),
        (lambda: checks.divisible(50, 16), "size has to be a multiple of 16 for these layers, not 50; 48 works"),
        (lambda: checks.divisible(3, 16), "16 works"),
    ],
)
def test_settings_that_cannot_be(check, message):
    with pytest.raises(UsageError, match=message):
        check()


def test_settings_that_can_be():
    checks.positive(Settings(), {"part"})
    checks.below_one(Settings(), "part")
    checks.one_of(Settings(), "kind", ("a", "b"))
    checks.divisible(32, 16)
