"""The transformer over codes: what a place sees, and drawing with a cache, in windows, among the likeliest."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.nn.gpt import GPT, Choice
from tests.batches import seeded

quick = settings(deadline=None, max_examples=10)
CODES, SIDE, WIDTH = 7, 4, 12


def net(codes=CODES, length=SIDE**2, layers=2):
    """As far from uniform as a trained one."""
    made = seeded(lambda: GPT(codes, codes + 2, length, WIDTH, layers, 3))
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(0.3 * noise)
    return made


def starts(count, seed=0):
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def codes_of(count, length=SIDE**2, seed=0):
    return torch.randint(CODES, (count, length), generator=torch.Generator().manual_seed(seed))


def plainly(made, start, codes):
    """The logits (L, K) of one row, place by place, with attention written out."""
    state = made.state_dict()
    inputs = torch.cat((start[None], state["tok_emb.weight"][codes[:-1]])) + state["pos_emb"][0, : len(codes)]

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    x = inputs
    for layer in range(len(made.blocks)):
        at = f"blocks.{layer}"
        inside = norm(x, f"{at}.ln1")
        q, k, v = (linear(inside, f"{at}.attn.{part}") for part in ("query", "key", "value"))
        found = torch.zeros_like(x)
        each = WIDTH // made.heads
        for place in range(len(x)):
            for head in range(made.heads):
                own = slice(head * each, (head + 1) * each)
                weights = ((k[: place + 1, own] @ q[place, own]) / math.sqrt(each)).softmax(0)
                found[place, own] = weights @ v[: place + 1, own]
        x = x + linear(found, f"{at}.attn.proj")
        inside = linear(norm(x, f"{at}.ln2"), f"{at}.mlp.0")
        x = x + linear(F.gelu(inside), f"{at}.mlp.2")
    return norm(x, "ln_f") @ state["head.weight"].T


def test_it_is_the_papers_net_read_plainly():
    made, start, codes = net(), starts(2), codes_of(2)
    found = made(start, codes)
    assert found.shape == (2, SIDE**2, CODES)
    for row in range(2):
        torch.testing.assert_close(found[row], plainly(made, start[row], codes[row]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("place", range(SIDE**2))
def test_no_place_sees_itself_or_later_ones(place):
    """By the gradient of what is said of a place with respect to the inputs."""
    made, codes = net(), codes_of(1)
    inputs = made.tok_emb(codes).detach().requires_grad_()
    start = starts(1).requires_grad_()
    x = torch.cat((start[:, None], inputs[:, :-1]), 1)
    made.head(made._read(x))[0, place].square().sum().backward()
    moved = inputs.grad[0].abs().sum(1)
    assert (moved[place:] == 0).all() and (moved[:place] > 0).all() and start.grad.abs().sum() > 0


def test_fresh_it_knows_nothing():
    made = seeded(lambda: GPT(CODES, CODES, 9, WIDTH, 2, 2))
    loss = F.cross_entropy(made(starts(4), codes_of(4, 9)).flatten(0, 1), codes_of(4, 9).flatten())
    assert loss.item() == pytest.approx(math.log(CODES), abs=0.05)


# --- drawing ----------------------------------------------------------------------------------------------------------


SIZES = [(4, 4), (4, 9), (9, 4), (7, 6)]
CHOICES = [Choice(), Choice(0.7, top_k=3), Choice(1.2, top_p=0.8), Choice(0.0)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("choice", CHOICES)
def test_the_cache_changes_no_code(size, choice):
    made, start = net(), starts(3)
    drawn = made.sample([5, 6, 7], start, (SIDE, SIDE), size, choice=choice)
    again = made.sample([5, 6, 7], start, (SIDE, SIDE), size, choice=choice, cached=False)
    assert drawn.shape == (3, *size) and torch.equal(drawn, again)


def test_the_likeliest_codes_are_those_of_the_forward_pass():
    made, start = net(), starts(2)
    drawn = made.sample([1, 2], start, (SIDE, SIDE), choice=Choice(0.0)).flatten(1)
    assert torch.equal(made(start, drawn).argmax(2), drawn)


@pytest.mark.parametrize("size", SIZES[1:])
def test_in_a_larger_grid_a_place_sees_the_window_around_it(size):
    """As section 3.3 has it: the place is in the middle of its window, where the edges allow it."""
    made, start = net().double(), starts(1).double()
    drawn = made.sample([3], start, (SIDE, SIDE), size, choice=Choice(0.0))[0]
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = (min(max(0, at - 2), whole - 4) for at, whole in ((row, size[0]), (column, size[1])))
            seen = drawn[top : top + 4, left : left + 4].flatten()
            place = (row - top) * 4 + column - left
            assert made(start, seen[None])[0, place].argmax() == drawn[row, column]


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=4), st.sampled_from(CHOICES))
@quick
def test_a_grid_depends_on_its_own_seed_only(seeds, choice):
    made, start = net(), starts(len(seeds))
    together = made.sample(seeds, start, (SIDE, SIDE), choice=choice)
    for number, seed in enumerate(seeds):
        alone = made.sample([seed], start[number : number + 1], (SIDE, SIDE), choice=choice)
        assert torch.equal(alone[0], together[number])


@pytest.mark.parametrize("cached", [True, False])
def test_what_is_kept_stays_and_the_rest_follows_from_it(cached):
    made, start = net(), starts(1)
    grid = codes_of(1).view(1, SIDE, SIDE)
    keep = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    keep[0], keep[2, 1] = True, True
    drawn = made.sample([4], start, (SIDE, SIDE), given=grid, keep=keep, choice=Choice(0.0), cached=cached)
    assert torch.equal(drawn[0][keep], grid[0][keep])
    likeliest = made(start, drawn.flatten(1)).argmax(2).view(SIDE, SIDE)
    assert torch.equal(drawn[0][~keep], likeliest[~keep])
    whole = torch.ones(SIDE, SIDE, dtype=torch.bool)
    assert torch.equal(made.sample([4], start, (SIDE, SIDE), given=grid, keep=whole), grid)


def test_guidance_leads_away_from_the_other_start():
    made, start, away = net(), starts(2), starts(2, seed=9)

    def drawn(guidance, **more):
        return made.sample([1, 2], start, (SIDE, SIDE), choice=Choice(0.0, guidance=guidance), **more)

    assert torch.equal(drawn(1.0, away=away), drawn(1.0))
    led = drawn(3.0, away=away)
    flat = led.flatten(1)
    one, other = made(start, flat), made(away, flat)
    assert torch.equal((other + 3 * (one - other)).argmax(2), flat)
    assert torch.equal(
        led, made.sample([1, 2], start, (4, 4), away=away, choice=Choice(0.0, guidance=3.0), cached=False)
    )


def test_only_the_likeliest_are_drawn():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def left(choice):
        return choice.narrow(logits)[0].isfinite().nonzero().flatten().tolist()

    assert left(Choice()) == [0, 1, 2, 3] and left(Choice(top_k=2)) == [0, 1] and left(Choice(top_k=9)) == [0, 1, 2, 3]
    assert left(Choice(top_p=0.7)) == [0, 1] and left(Choice(top_p=0.9)) == [0, 1, 2] and left(Choice(top_p=0.0)) == [0]
    assert left(Choice(0.5, top_p=0.7)) == [0, 1]  # .68 of the sharper distribution is not enough
    assert left(Choice(top_k=3, top_p=0.5)) == [0]
    drawn = Choice(top_k=2).draw(logits.expand(2000, -1), torch.rand(2000, generator=torch.Generator().manual_seed(0)))
    parts = drawn.bincount(minlength=4) / 2000
    assert parts.tolist() == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
