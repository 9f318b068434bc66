"""The parts of the report's charts: round marks, thinned curves, choices of pictures, escaped markup."""

import math
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from artcli.durations import duration
from artcli.training.report import axes, chart, curves, pictures
from artcli.training.report.folder import Metric
from artcli.training.report.markup import Markup, tag

sizes = st.floats(-1e25, 1e25, allow_subnormal=False)
positive = st.floats(1e-25, 1e25, allow_subnormal=False)


def labels(axis):
    return [text for _, text in axis.marks]


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.51, 2.4, ["0.5", "1", "1.5", "2", "2.5"]),
        (0, 2e-4, ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]),
        (0, 812, ["0", "200", "400", "600", "800", "1k"]),
        (0.5501, 0.5523, ["0.55", "0.5505", "0.551", "0.5515", "0.552", "0.5525"]),
        (-3, 12, ["-5", "0", "5", "10", "15"]),
        (7, 7, ["6", "6.5", "7", "7.5", "8"]),
        (0, 0, ["-1", "-0.5", "0", "0.5", "1"]),
        (12_000, 47_000, ["10k", "20k", "30k", "40k", "50k"]),
    ],
)
def test_straight_marks(low, high, expected):
    assert labels(axes.straight(low, high)) == expected


@pytest.mark.parametrize(
    "last, expected",
    [
        (100_000, ["0", "20k", "40k", "60k", "80k", "100k"]),
        (12_000, ["0", "2k", "4k", "6k", "8k", "10k", "12k"]),
        (7, ["0", "2", "4", "6"]),
        (0, ["0", "1"]),
        (1_234_567, ["0", "250k", "500k", "750k", "1M"]),
    ],
)
def test_step_marks(last, expected):
    assert labels(axes.steps(last)) == expected


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.01, 100, ["0.01", "0.1", "1", "10", "100"]),
        (0.5, 2.4, ["0.5", "1", "2"]),
        (0.6, 30, ["1", "3", "10", "30"]),
        (1e-6, 1e-3, ["1e-6", "1e-5", "1e-4", "0.001"]),
    ],
)
def test_logarithmic_marks(low, high, expected):
    assert labels(axes.logarithmic(low, high)) == expected


@given(sizes, sizes)
def test_every_straight_axis_holds_its_values(one, other):
    low, high = sorted((one, other))
    axis = axes.straight(low, high)
    room = 1e-6 * (axis.high - axis.low)
    assert axis.low - room <= low <= high <= axis.high + room
    assert 3 <= len(axis.marks) <= 12 and len(set(labels(axis))) == len(axis.marks)
    assert all(len(text) <= 10 for text in labels(axis))
    assert -1e-6 <= axis.place(low) <= axis.place(high) <= 1 + 1e-6


@given(positive, positive)
def test_every_logarithmic_axis_holds_its_values(one, other):
    low, high = sorted((one, other))
    axis = axes.logarithmic(low, high)
    assert axis.low < low <= high < axis.high and 1 <= len(axis.marks) <= 14
    assert len(set(labels(axis))) == len(axis.marks)
    assert 0 <= axis.place(low) <= axis.place(high) <= 1


@given(positive, positive)
def test_labels_mean_their_values(low, high):
    assume(high > low * 1.01)
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    for axis in (axes.straight(low, high), axes.logarithmic(low, high)):
        gap = axis.marks[1][0] - axis.marks[0][0] if len(axis.marks) > 1 else axis.high
        for value, text in axis.marks:
            meant = float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)
            assert meant == pytest.approx(value, rel=1e-3, abs=gap * 0.1)


@given(st.lists(sizes, min_size=1, max_size=400), st.integers(4, 50))
def test_thinning_keeps_ends_peaks_and_order(values, limit):
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = chart.thin(points, limit)
    assert len(kept) <= max(limit, 4) and kept == sorted(set(kept)) and set(kept) <= set(points)
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert min(v for _, v in kept) == min(values) and max(v for _, v in kept) == max(values)


def test_the_running_mean_follows_the_curve():
    rng = random.Random(0)
    points = [(float(i), math.exp(-i / 500) + rng.gauss(0, 0.1)) for i in range(5000)]
    means = chart.smooth(points)
    assert len(means) == 300 and means[0] == points[0] and means[-1][0] == 4999
    assert all(abs(value - math.exp(-step / 500)) < 0.06 for step, value in means[3:])


def test_a_flattened_curve_starts_on_the_logarithmic_scale():
    squashed = Metric([(float(i), 1000 * math.exp(-i) + 0.5) for i in range(100)])
    usual = Metric([(float(i), math.exp(-i / 30) + 0.5) for i in range(100)])
    for metric, scale in ((squashed, "log"), (usual, "linear")):
        html = chart.draw(chart.Chart("Loss", [chart.Series("Training", metric)]), 0, 99, 1000)
        assert f'class="pick-{scale}" checked' in html


def test_values_around_zero_have_no_logarithmic_scale():
    metric = Metric([(float(i), math.sin(i)) for i in range(100)])
    assert "pick-log" not in chart.draw(chart.Chart("x", [chart.Series("x", metric)]), 0, 99, 1000)


def test_groups():
    names = ["critic", "kl", "codes/used", "generator", "codes/dead", "discriminator_a", "kl"]
    assert curves._groups(names) == [
        ("Adversaries", ["critic", "generator", "discriminator_a"]),
        ("KL", ["kl"]),
        ("Codes", ["codes/used", "codes/dead"]),
    ]
    assert [len(names) for _, names in curves._groups([f"a/{n}" for n in range(14)])] == [6, 6, 2]


@given(st.integers(0, 3000), st.integers(2, 12))
def test_grids_are_chosen_from_first_to_last(there_are, most):
    found = [(step, Path(f"{step}.png")) for step in range(there_are)]
    chosen = pictures.choose(found, most)
    assert len(chosen) == min(there_are, most) and chosen == sorted(set(chosen))
    assert chosen[:1] == found[:1] and chosen[-1:] == found[-1:]


@pytest.mark.parametrize(
    "value, text",
    [
        (0.51234, "0.5123"),
        (12_340.4, "12,340"),
        (1.2e-5, "1.2e-5"),
        (0, "0"),
        (-2.5e9, "-2.5e9"),
        (38.4615, "38.46"),
        (math.nan, "nan"),
    ],
)
def test_short_numbers(value, text):
    assert axes.short(value) == text


@pytest.mark.parametrize("seconds, text", [(41.6, "42 s"), (200, "3 min 20 s"), (7530, "2 h 05 min"), (0, "0 s")])
def test_durations(seconds, text):
    assert duration(seconds, spaced=True) == text


# --- markup ----------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=30))
def test_any_text_comes_back_as_text(text):
    seen = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)["title"]))

        def handle_data(self, data):
            seen.append(data)

    html = tag("p", text, title=text)
    html.encode("utf-8")
    reader = Reader(convert_charrefs=True)
    reader.feed(html)
    reader.close()
    kept = "".join(char if char.isprintable() and not "\ud800" <= char <= "\udfff" else "?" for char in text)
    (name, title), *data = seen
    same = ["".join(c if c.isprintable() and c != "\ufffd" else "?" for c in t) for t in (title, "".join(data))]
    assert name == "p" and same == [kept.replace("\ufffd", "?")] * 2


def test_markup_is_left_alone():
    inner = tag("b", "<x>", None, hidden=True, title=None, open=False)
    assert inner == "<b hidden>&lt;x&gt;</b>"
    assert tag("p", inner, "&", class_="a", aria_label="b") == (
        '<p class="a" aria-label="b"><b hidden>&lt;x&gt;</b>&amp;</p>'
    )
    assert tag("img", alt="") == '<img alt="">' and isinstance(inner, Markup)
