"""Values of shared options: what is understood, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcli.commands.shared import options, recipe
from artcli.durations import duration
from artcli.errors import UsageError

sides = st.integers(options.MIN_SIDE, options.MAX_SIDE)
words = st.text(max_size=12)


@given(sides, sides)
def test_sizes(width, height):
    assert options.size(f"{width}x{height}") == options.size(f" {width} X {height}") == (width, height)
    assert options.size(str(width)) == (width, width)


@given(st.one_of(st.integers(-99, options.MIN_SIDE - 1), st.integers(options.MAX_SIDE + 1, 10**9)), sides)
def test_sizes_out_of_range(wrong, right):
    for text in (f"{wrong}", f"{wrong}x{right}", f"{right}x{wrong}"):
        with pytest.raises(UsageError, match="--size"):
            options.size(text)


@given(st.integers(0, options.MAX_SEED), st.integers(0, 50))
def test_seeds(first, more):
    assert options.seeds(str(first)) == [first]
    if first + more <= options.MAX_SEED:
        assert options.seeds(f"{first}-{first + more}") == list(range(first, first + more + 1))
    else:
        with pytest.raises(UsageError, match="at most"):
            options.seeds(f"{first}-{first + more}")


def test_a_seed_is_drawn_when_none_is_given():
    drawn = {options.seeds(None)[0] for _ in range(20)}
    assert len(drawn) > 1 and all(0 <= seed <= options.MAX_SEED for seed in drawn)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_times(hours, minutes, seconds):
    total = hours * 3600 + minutes * 60 + seconds
    if total:
        assert options.seconds(f"{hours}h{minutes}m{seconds}s") == total
        assert options.seconds(f"{total}") == options.seconds(f"{total}s") == total


def test_parts_of_a_second():
    assert options.seconds("1.5") == 1.5 and options.seconds("1m0.5s") == 60.5 and options.seconds(None) is None


@given(words)
def test_any_text_is_understood_or_refused_in_one_line(text):
    for parse in (options.size, options.seeds, options.seconds):
        try:
            parse(text)
        except UsageError as error:
            assert str(error).startswith("--")


@pytest.mark.parametrize("text", ["", "0", "0h0m0s", "-5", "5 minutes", "1m1h", "1.5h", "inf", "nan"])
def test_no_times(text):
    with pytest.raises(UsageError, match="write 90s, 5m or 1h30m"):
        options.seconds(text)


def test_durations_read_well():
    assert [duration(s) for s in (0.2, 59.4, 60, 200, 3600, 7500)] == ["0s", "59s", "1m00s", "3m20s", "1h00m", "2h05m"]


def test_one_of_suggests():
    assert options.one_of("--loss", "cosine", ("cosine", "spherical")) == "cosine"
    with pytest.raises(UsageError, match=r"there are: cosine, spherical\. Did you mean 'cosine'\?"):
        options.one_of("--loss", "cosin", ("cosine", "spherical"))


def test_a_record_holds_what_shapes_the_picture_and_nothing_of_the_machine():
    given = {"steps": 3, "out": "a.png", "force": True, "clip": options.Path("x/y"), "mask": None, "device": "cuda"}
    made = recipe.make("dream", given, seed=4)
    assert made["parameters"] == {"steps": 3, "clip": "x/y"}
    assert (made["command"], made["seed"]) == ("dream", 4)
