"""Prompt syntax: `text:weight:stop`, several joined by `|`; only trailing numbers are numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcli.backends.dream.prompts import Prompt, parse, parse_one, understood
from artcli.errors import UsageError


def is_text(text):
    """Whether a text stays what it is: nothing to strip, no separator, no number at its end."""
    last = text.split(":")[-1]
    try:
        float(last)
    except ValueError:
        return bool(text) and text == text.strip() and "|" not in text
    return False


texts = st.text(min_size=1, max_size=20).filter(is_text)
weights = st.floats(-1e6, 1e6, allow_nan=False).filter(bool)
stops = st.floats(-10, 10) | st.just(-math.inf)


@pytest.mark.parametrize(
    ("line", "prompts"),
    [
        ("red car", [Prompt("red car")]),
        ("  red car  ", [Prompt("red car")]),
        ("red car:2", [Prompt("red car", 2.0)]),
        ("red car : 2", [Prompt("red car", 2.0)]),
        ("red car:-0.5:0.1", [Prompt("red car", -0.5, 0.1)]),
        ("red car:1:-inf", [Prompt("red car", 1.0, -math.inf)]),
        ("red car:2|blur:-1 | a hat", [Prompt("red car", 2.0), Prompt("blur", -1.0), Prompt("a hat")]),
        ("a city: night", [Prompt("a city: night")]),
        ("a city: night:2", [Prompt("a city: night", 2.0)]),
        ("12:30:45:2:0.5", [Prompt("12:30:45", 2.0, 0.5)]),
        ("2:3", [Prompt("2", 3.0)]),
        ("C:\\photos\\a.png:0.5", [Prompt("C:\\photos\\a.png", 0.5)]),
        ("das Jahr 1984", [Prompt("das Jahr 1984")]),
        ("红色的车:1.5", [Prompt("红色的车", 1.5)]),
    ],
)
def test_reading(line, prompts):
    assert parse(line) == prompts


@pytest.mark.parametrize("line", ["", " ", "|", "a|", "|a", "a||b", ":2", " : 2", "a:0", "a:nan", "a:inf", "a:1:nan"])
def test_no_prompt(line):
    with pytest.raises(UsageError):
        parse(line)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("red car", ""),
        ("a city: night | fog", ""),
        ("time 10:30", "'time 10' (weight 30)"),
        ("red car:2:0.1 | blur", "'red car' (weight 2, stop at 0.1) | 'blur'"),
        ("red car ^ a cat:1:0.5 | blur:-0.5", "'red car' ^ 'a cat' (weight 1, stop at 0.5) | 'blur' (weight -0.5)"),
    ],
)
def test_what_was_read_is_said(line, read):
    assert understood(line) == read


@given(texts)
def test_text_without_a_number_is_all_text(text):
    assert parse(text) == [Prompt(text)]


@given(texts, weights, stops)
def test_round_trip(text, weight, stop):
    assert parse_one(f"{text}:{weight!r}:{stop!r}") == Prompt(text, weight, stop)
    assert parse_one(f"{text}:{weight!r}") == Prompt(text, weight)


@given(st.lists(st.tuples(texts, weights), min_size=1, max_size=4))
def test_several(prompts):
    line = " | ".join(f"{text}:{weight!r}" for text, weight in prompts)
    assert parse(line) == [Prompt(text, weight) for text, weight in prompts]


@given(st.text(max_size=30))
def test_every_line_is_read_or_refused(line):
    try:
        prompts = parse(line)
    except UsageError:
        return
    assert len(prompts) == line.count("|") + 1
    assert all(p.text and p.text == p.text.strip() and math.isfinite(p.weight) and p.weight != 0 for p in prompts)
