"""PixelSNAIL: no place sees itself or later ones, cached rows draw what the plain form draws, and it learns."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.nn.pixelsnail import PixelSNAIL, uniform
from tests.batches import before_and_after, seeded

quick = settings(deadline=None, max_examples=10)
CODES, SIDE, WIDTH = 5, 4, 8


def prior(heads=2, above=(), classes=0, side=SIDE, kernel=3, trained=True):
    """As far from uniform as a trained one."""
    model = seeded(lambda: PixelSNAIL(CODES, side, WIDTH, 2, 2, heads, kernel, classes, above))
    with torch.no_grad():
        for parameter in model.parameters() if trained else ():
            parameter.copy_(parameter + 0.3 * noise(*parameter.shape, seed=parameter.numel()))
    return model


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def grids(count, side=SIDE, seed=0):
    return torch.randint(CODES, (count, side, side), generator=torch.Generator().manual_seed(seed))


def labels(count, classes=0):
    return torch.full((count,), classes)


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_no_place_sees_itself_or_later_ones(heads, kernel):
    """By gradient, for every place: before it only with attention all, without it what the convolutions reach."""
    model = prior(heads, kernel=kernel)
    tokens = noise(1, WIDTH, SIDE, SIDE).requires_grad_()
    logits = model.logits(tokens, noise(1, WIDTH, SIDE, SIDE, seed=1)).flatten(2)
    for place in range(SIDE**2):
        (gradient,) = torch.autograd.grad(logits[0, :, place].square().sum(), tokens, retain_graph=True)
        seen = gradient[0].abs().sum(0).flatten() > 0
        assert not seen[place:].any(), place
        assert seen[:place].all() if heads else place == 0 or seen[place - 1] or place % SIDE == 0


def test_every_place_sees_the_whole_level_above():
    model = prior(0, above=(2,))
    told = model.upper.embed[0].weight
    grid = torch.arange(4).view(1, 2, 2)
    logits = model(torch.zeros(1, SIDE, SIDE, dtype=torch.long), labels(1), [grid])
    (gradient,) = torch.autograd.grad(logits[0, :, 1, 1].sum(), told)
    assert (gradient[:4].abs().sum(1) > 0).all() and (gradient[4] == 0).all()


@given(
    st.lists(st.integers(0, 2**32), min_size=1, max_size=4), st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([(0, ()), (2, ()), (2, (2,)), (0, (1, 2))]), st.sampled_from([3, 5]),
)  # fmt: skip
@quick
def test_cached_rows_draw_what_the_plain_form_draws(seeds, temperature, form, kernel):
    heads, above = form
    model = prior(heads, above, classes=2, kernel=kernel)
    (chances,) = uniform(seeds, [SIDE**2])
    told = [grids(len(seeds), side, seed=side) for side in above]
    asked = torch.arange(len(seeds)) % 3
    fast, plain = (model.sample(chances, asked, told, temperature, cached=c) for c in (True, False))
    assert fast.shape == (len(seeds), SIDE, SIDE) and torch.equal(fast, plain)
    alone = model.sample(chances[-1:], asked[-1:], [g[-1:] for g in told], temperature)
    assert torch.equal(alone[0], fast[-1])


def test_what_is_likeliest_in_training_is_drawn():
    model = prior()
    drawn = model.sample(torch.zeros(2, SIDE**2), labels(2), temperature=0.0)
    assert torch.equal(model(drawn, labels(2)).argmax(1), drawn)


def test_hidden_codes_are_not_seen():
    model, codes = prior(), grids(2)
    hidden = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    hidden[:, 0, 1] = True
    other = codes.clone()
    other[:, 0, 1] = (other[:, 0, 1] + 1) % CODES
    torch.testing.assert_close(model(codes, labels(2), hidden=hidden), model(other, labels(2), hidden=hidden))
    assert not torch.allclose(model(codes, labels(2)), model(other, labels(2)))


def test_class_and_level_above_count():
    model, codes = prior(above=(2,), classes=2), grids(1)
    known = model(codes, torch.tensor([0]), [grids(1, 2)])
    assert not torch.allclose(model(codes, torch.tensor([1]), [grids(1, 2)]), known)
    assert not torch.allclose(model(codes, torch.tensor([0]), [grids(1, 2, seed=1)]), known)


def test_a_fresh_one_knows_nothing():
    logits = prior(above=(2,), trained=False)(grids(3), labels(3), [grids(3, 2)])
    assert torch.equal(logits, torch.zeros(3, CODES, SIDE, SIDE))


def test_random_numbers_come_from_the_seed_alone():
    top, bottom = uniform([3, 4], [4, 9])
    assert top.shape == (2, 4) and bottom.shape == (2, 9)
    assert torch.equal(uniform([4], [4, 9])[1][0], bottom[1]) and not torch.equal(top[0], top[1])


def test_it_learns_grids_that_repeat_their_first_code():
    """Only attention, or many layers, carry the first code to the last; the codes above are the first code."""
    first = torch.arange(CODES).repeat(4)
    codes = first[:, None, None].expand(-1, SIDE, SIDE)

    def cost(model):
        with torch.no_grad():
            found = F.cross_entropy(model(codes, labels(len(codes)), [first.view(-1, 1, 1)]), codes)
        return found / math.log(2)

    def teach(model):
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(30):
            optimizer.zero_grad()
            F.cross_entropy(model(codes, labels(len(codes)), [first.view(-1, 1, 1)]), codes).backward()
            optimizer.step()

    before, after = before_and_after(lambda: prior(above=(1,), trained=False), teach, cost)
    assert before == pytest.approx([math.log2(CODES)] * 2) and after < 0.3
