"""The watchdogs bark at what is sick, once, and are silent at what is healthy."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.training.watch import DEAD, LOOKS, Watchdogs, diagnose_nan, variety


def advice(rows, watch=None):
    """Every line that a stream of (train, val) gives, with the number of the log; logs are 10 steps apart."""
    watch = watch or Watchdogs()
    return [
        (number, line)
        for number, (train, val) in enumerate(rows, 1)
        for line in watch.look(number * 10, train, val and {"loss": val})
    ]


def stream(loss, logs, noise=0.0, val=None, every=5, seed=0):
    rng = random.Random(seed)
    return [
        (
            {"loss": loss(i) + rng.gauss(0, noise)},
            val(i) + rng.gauss(0, noise / 3) if val and i % every == 0 else None,
        )
        for i in range(logs)
    ]


def falling(i):
    return 0.5 + 2 * math.exp(-i / 60)


# --- healthy runs ----------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    logs=st.integers(1, 600),
    floor=st.sampled_from([0.01, 0.56, 3.0, 150.0, 20_000.0]),
    fall=st.floats(0.1, 30),
    pace=st.floats(0.01, 0.5),
    noise=st.floats(0, 0.1),
    gap=st.floats(0, 0.5),
    every=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)
def test_a_run_that_learns_gives_no_alarm(logs, floor, fall, pace, noise, gap, every, seed):
    def loss(i):
        return floor * (1 + fall * math.exp(-i / (pace * logs + 1)))

    assert advice(stream(loss, logs, noise * floor, lambda i: loss(i) + gap * floor, every, seed)) == []


@settings(max_examples=60, deadline=None)
@given(critic=st.floats(-5, 2), swing=st.floats(0.1, 3), seed=st.integers(0, 10**6))
def test_adversaries_that_wrestle_give_no_alarm(critic, swing, seed):
    rng = random.Random(seed)
    rows = [
        ({"critic": critic * math.exp(-i / 100) + rng.gauss(0, swing), "generator": i / 50 + rng.gauss(0, swing)}, None)
        for i in range(300)
    ]
    assert advice(rows) == []


def test_parts_that_rise_while_the_loss_falls_are_no_matter():
    assert advice(({"loss": falling(i), "kl": 20 - 20 * math.exp(-i / 30)}, None) for i in range(400)) == []


def test_the_first_number_is_the_loss_unless_one_is_called_so():
    def rising(i):
        return falling(i) if i < 200 else falling(200) + (i - 200) * 0.01

    for names, barks in ((("vae", "kl"), True), (("kl", "loss"), False), (("generator", "kl"), False)):
        rows = [({names[0]: rising(i), names[1]: falling(i)}, None) for i in range(400)]
        assert bool(advice(rows)) == barks, names


def test_a_stage_whose_loss_is_higher_is_no_rise():
    rows = [({"first": falling(i)} if i < 200 else {"second": 5 + i / 10_000}, None) for i in range(280)]
    assert advice(rows) == []


def test_a_loss_below_zero_is_like_any_other():
    assert advice(stream(lambda i: falling(i) - 3, 400, 0.01, lambda i: falling(i) - 2.9)) == []


def test_a_penalty_near_zero_is_no_dead_critic():
    rows = [({"critic": -3.0, "critic_penalty": 0.001, "generator_weight": 0.0, "generator": 1.0}, None)] * 200
    assert advice(rows) == []


# --- sick runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0, 0.03, 0.1])
def test_a_loss_that_rises_for_long(noise):
    rows = stream(lambda i: falling(i) if i < 200 else falling(200) + (i - 200) * 0.01, 400, noise)
    (log, line), *more = advice(rows)
    assert not more and 220 < log < 350
    assert line.startswith("the training loss has been rising since step ") and "lower learning rate" in line
    assert 1500 <= int(line.split("since step ")[1].split()[0]) <= 2100


def test_it_is_said_again_only_after_it_had_passed():
    def loss(i):
        rising = max(0.0, (i % 400 - 200) * 0.01)
        return 0.5 + 2 * math.exp(-i / 60) + rising

    assert [line[:35] for _, line in advice(stream(loss, 800, 0.01))] == ["the training loss has been rising s"] * 2


def test_a_model_that_learns_by_heart():
    rows = stream(falling, 800, 0.01, lambda i: falling(i) + 0.2 + 0.001 * i)
    (_, line), *more = advice(rows)
    assert not more and "learns its pictures by heart" in line
    best = min(range(0, 800, 5), key=lambda i: rows[i][1])
    assert f"best at step {best * 10 + 10} ({rows[best][1]:.4g})" in line


def test_a_validation_loss_that_rises_alone_is_not_overfitting():
    rows = stream(lambda i: falling(min(i, 200)), 500, 0.01, lambda i: falling(min(i, 200)) + 0.002 * max(0, i - 200))
    assert advice(rows) == []


@pytest.mark.parametrize("noise", [0, 0.005])
def test_a_loss_that_never_falls(noise):
    (_, line), *more = advice(stream(lambda i: math.log(10), 500, noise))
    assert not more and "has not fallen in the first" in line
    rows = stream(lambda i: math.log(10), 500, noise)
    assert advice(rows, Watchdogs(fresh=False)) == []
    late = Watchdogs()
    assert [line for i, (train, _) in enumerate(rows) for line in late.look(50_000 + 10 * i, train)] == []


@pytest.mark.parametrize("name", ["critic", "discriminator", "discriminator_a", "critic_loss"])
@pytest.mark.parametrize("dead", [0.0, 1e-5, -0.003])
def test_a_critic_that_always_wins(name, dead):
    rows = [({name: 0.7, "generator": 1.0}, None)] * 20 + [({name: dead, "generator": 9.0}, None)] * 100
    ((log, line),) = advice(rows)
    assert log == 20 + DEAD and f"the {name} loss has been about 0" in line and "lower its learning rate" in line


def test_a_generator_that_always_wins():
    ((_, line),) = advice([({"discriminator": 3.0, "generator": 1e-4}, None)] * 60)
    assert "the generator loss has been about 0" in line


# --- samples ---------------------------------------------------------------------------------------------------------


def pictures(count=16, size=12, contrast=1.0, differ=1.0, seed=0):
    """uint8 (N, H, W, 3): one random picture, and how much each differs from it."""
    rng = np.random.default_rng(seed)
    one, each = rng.uniform(-1, 1, (size, size, 3)), rng.uniform(-1, 1, (count, size, size, 3))
    return np.clip(127.5 + 120 * contrast * (one * (1 - differ) + each * differ), 0, 255).astype(np.uint8)


def looks(sets, watch=None):
    watch = watch or Watchdogs()
    return [line for i, samples in enumerate(sets, 1) for line in watch.look(i * 500, {}, None, samples)]


def test_variety_against_all_pairs():
    images = pictures(7, differ=0.4).astype(float)
    pairs = [np.mean((a - b) ** 2) for i, a in enumerate(images) for b in images[:i]]
    expected = math.sqrt(np.mean(pairs)) / math.sqrt(np.mean((images - 127.5) ** 2))
    assert variety(images.astype(np.uint8))[0] == pytest.approx(expected, rel=1e-5)
    assert variety(np.full((4, 8, 8, 3), 90, np.uint8)) == (0.0, 0.0)
    assert variety(images.astype(np.uint8)[..., 0]) == pytest.approx(variety(images.astype(np.uint8)[..., :1]))


@settings(max_examples=40, deadline=None)
@given(differ=st.floats(0.08, 1), contrast=st.floats(0.15, 1), seed=st.integers(0, 10**6))
def test_samples_that_differ_give_no_alarm(differ, contrast, seed):
    assert looks([pictures(differ=differ, contrast=contrast, seed=seed + i) for i in range(9)]) == []


def test_a_generator_that_has_collapsed():
    good, bad = pictures(differ=0.8), pictures(differ=0.01)
    (line,) = looks([good] * 4 + [bad] * 12)
    assert "all but one picture" in line
    assert len(looks([bad] * LOOKS + [good] + [bad] * LOOKS)) == 2
    assert looks([bad] * (LOOKS - 1) + [good] + [bad] * (LOOKS - 1)) == []


def test_pictures_that_are_on_their_way_give_no_alarm():
    assert looks([pictures(differ=0.002 * 1.5**i) for i in range(12)]) == []
    assert looks([pictures(contrast=0.002 * 1.5**i) for i in range(14)]) == []


def test_grey_mush():
    (line,) = looks([pictures(contrast=0.01)] * 12)
    assert "plain colour without shapes" in line
    (line,) = looks([np.full((8, 16, 16, 3), 127, np.uint8)] * 12)
    assert "plain colour" in line


def test_samples_are_measured_by_what_they_learned_from():
    one_picture = np.repeat(pictures(1), 8, axis=0)
    assert looks([one_picture] * 12, Watchdogs(variety=variety(one_picture))) == []
    assert looks([one_picture] * 12) != []
    assert looks([one_picture[:2]] * 12) == []  # two tell nothing


# --- odd input -------------------------------------------------------------------------------------------------------

numbers = st.one_of(st.floats(), st.integers(-(10**40), 10**40), st.booleans(), st.none(), st.text(max_size=3))
names = st.sampled_from(["loss", "vae", "kl", "critic", "generator", "x/y", ""])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.dictionaries(names, numbers), st.none() | st.dictionaries(names, numbers)), max_size=60),
    st.integers(1, 4),
)
def test_nothing_that_is_logged_breaks_it(rows, times):
    watch = Watchdogs()
    for number, (train, val) in enumerate(rows * times):
        assert all("\n" not in line for line in watch.look(number, train, val))


# --- a loss that is not finite ---------------------------------------------------------------------------------------

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    "values, precision, words",
    [
        ([0.5, 0.6, NAN], "fp16", "bf16"),
        ([NAN], "fp32", "in the data"),
        ([], "bf16", "in the data"),
        ([0.5, 0.5, 0.6, 0.9, 3, 40, 900, INF], "fp32", "the run diverged; go on from the last checkpoint"),
        ([0.5, 0.6, 0.55, 0.52, NAN], "fp32", "all of a sudden (it was 0.52): clip"),
    ],
)
def test_a_loss_that_is_not_finite(values, precision, words):
    line = diagnose_nan(1200, "critic", values, precision)
    assert words in line and "critic loss is" in line and "step 1200" in line and "\n" not in line


@given(st.lists(st.floats()), st.sampled_from(["fp32", "bf16", "fp16"]))
def test_every_history_has_one_line(values, precision):
    line = diagnose_nan(7, "main", values, precision)
    assert line.startswith("the main loss is ") and len(line) < 220 and "\n" not in line


# --- diversity -------------------------------------------------------------------------------------------------------


def diverse(values, watch=None):
    watch = watch or Watchdogs()
    return [line for step, v in enumerate(values, 1) for line in watch.look(step, GAN, {"loss": 1.0, "diversity": v})]


GAN = {"discriminator": 0.6, "generator": 0.9}


def test_samples_of_a_few_kinds_are_told_once():
    watch = Watchdogs()
    found = diverse([0.9, 0.6, *[0.1] * 10], watch)
    assert len(found) == 1 and found[0].startswith("mode collapse") and f"last {LOOKS} looks" in found[0]
    assert diverse([0.8, *[0.1] * LOOKS], watch)  # again, as it had passed


@pytest.mark.parametrize(
    "values",
    [[0.9] * 20, [0.1] * 20, [0.9, *[0.1] * (LOOKS - 1)], [0.9, 0.02, 0.05, 0.1, 0.14, 0.2, 0.24, 0.3], [0.1, 0.5] * 9],
)
def test_silent_where_samples_differ_or_begin_to(values):
    assert not diverse(values)
