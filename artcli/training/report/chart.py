"""One chart: a figure with curves as SVG, a switch between scales in plain CSS, and its numbers for the read-out.

The SVG is stretched to the width there is, and the labels are HTML beside it, so that their size never changes.
"""

import json
from bisect import bisect_right
from dataclasses import dataclass

from artcli.training.report import axes
from artcli.training.report.axes import Axis, short
from artcli.training.report.folder import Metric
from artcli.training.report.markup import Markup, join, tag

SIDE = 1000  # of the SVG's own coordinates
COLOURS = 6  # that the style sheet has
SPARSE = 40  # points, up to which each has a dot
NOISY = 150  # points from which a running mean is drawn over a pale curve
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """A named curve; `colour` counts from 0; held-out numbers are dashed where colours mean something else."""

    name: str
    metric: Metric
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    title: str
    series: list[Series]
    note: str = ""
    wide: bool = False
    exact: bool = False  # without noise, so that no running mean is drawn
    from_zero: bool = False  # for amounts: a small change must not look like a large one


def draw(chart: Chart, number: int, last: float, limit: int) -> Markup:
    """The figure.  number: makes ids unique.  last: the end of the step axis.  limit: points per curve at most."""
    thinned = [(series, thin(series.metric.points, limit)) for series in chart.series]
    values = [value for _, points in thinned for _, value in points]
    if not values:
        return tag("figure", _caption(chart), tag("p", "No finite values.", class_="quiet"), class_="chart")
    scales = _scales(values, chart.from_zero)
    log_first = len(scales) == 2 and _is_flattened(values)
    return tag(
        "figure",
        _caption(chart),
        *(_switch(chart.title, number, log_first) if len(scales) == 2 else ()),
        *(_plot(chart, name, axis, axes.steps(last), thinned) for name, axis in scales.items()),
        _numbers(chart, scales, last, thinned),
        class_="chart wide" if chart.wide else "chart",
    )


def thin(points: Points, limit: int) -> Points:
    """At most `limit` (4 or more) of the points: of every stretch the lowest and the highest, so that peaks stay."""
    if len(points) <= limit:
        return points
    stretches = (limit - 2) // 2
    inner = points[1:-1]
    kept = [points[0]]
    for index in range(stretches):
        part = inner[index * len(inner) // stretches : (index + 1) * len(inner) // stretches]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def smooth(points: Points) -> Points:
    """The running mean of a noisy curve over a fortieth of its length, at most 300 points of it."""
    half = max(1, len(points) // 80)
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    means = []
    for index in sorted({round(i * (len(points) - 1) / 299) for i in range(300)}):
        start = index - min(half, index)
        end = min(index + min(half, index) + 1, len(points))  # even-sided, so that a steep start does not lag behind
        means.append((points[index][0], (sums[end] - sums[start]) / (end - start)))
    return means


# --- parts of the figure ---------------------------------------------------------------------------------------------


def _scales(values: list[float], from_zero: bool) -> dict[str, Axis]:
    """The straight axis, and the logarithmic one where nearly all values are above 0."""
    low = min(values)
    scales = {"linear": axes.straight(min(low, 0.0) if from_zero else low, max(values))}
    positive = [value for value in values if value > 0]
    if not from_zero and len(positive) > 0.9 * len(values):
        scales["log"] = axes.logarithmic(min(positive), max(positive))
    return scales


def _is_flattened(values: list[float]) -> bool:
    """Whether most of a curve lies at the bottom, below a few high values."""
    low, middle, high = min(values), sorted(values)[len(values) // 2], max(values)
    return middle - low < 0.03 * (high - low)


def _caption(chart: Chart) -> Markup:
    legend = None
    if len(chart.series) > 1:
        entries = [
            tag("li", tag("span", class_=f"key {_style(series)}", aria_hidden="true"), series.name)
            for series in chart.series
        ]
        legend = tag("ul", *entries, class_="legend")
    note = tag("p", chart.note, class_="note") if chart.note else None
    return tag("figcaption", tag("h3", chart.title), legend, note)


def _style(series: Series) -> str:
    return f"s{series.colour % COLOURS}" + (" dashed" if series.dashed else "")


def _switch(title: str, number: int, log_first: bool) -> list[Markup]:
    parts = []
    for name, words in (("linear", "Linear"), ("log", "Log")):
        key = f"scale-{number}-{name}"
        parts += [
            tag(
                "input",
                type="radio",
                name=f"scale-{number}",
                id=key,
                class_=f"pick-{name}",
                checked=(name == "log") == log_first,
                aria_label=f"{title}: {words.lower()} scale",
            ),
            tag("label", words, for_=key),
        ]
    return parts


def _plot(chart: Chart, name: str, axis: Axis, across: Axis, thinned: list[tuple[Series, Points]]) -> Markup:
    curves = [
        curve
        for series, points in thinned
        for curve in _curves(series, points, axis, across, may_smooth=not chart.exact)
    ]
    svg = tag(
        "svg",
        tag("path", class_="grid", d="".join(f"M0 {_y(axis, value)}H{SIDE}" for value, _ in axis.marks)),
        *curves,
        role="img",
        aria_label=describe(chart),
        viewBox=f"0 0 {SIDE} {SIDE}",
        preserveAspectRatio="none",
    )
    down = [_mark("y", "top", 1 - axis.place(value), text) for value, text in axis.marks]
    right = [_mark("x", "left", across.place(value), text) for value, text in across.marks]
    return tag("div", tag("div", svg, *down, *right, class_="frame"), class_=f"plot {name}", data_scale=name)


def _mark(kind: str, side: str, part: float, text: str) -> Markup:
    return tag("span", text, class_=kind, style=f"{side}:{100 * part:.2f}%", aria_hidden="true")


def _curves(series: Series, points: Points, axis: Axis, across: Axis, *, may_smooth: bool) -> list[Markup]:
    """A curve, with its running mean over it where there are many points, and with dots where there are few."""
    full = series.metric.points
    noisy = may_smooth and len(full) >= NOISY and not series.metric.lost
    parts = [("raw" if noisy else "line", points)] + ([("line", smooth(full))] if noisy else [])
    curves = [(kind, _path(part, series.metric.lost, axis, across)) for kind, part in parts]
    if len(points) <= SPARSE:
        curves.append(("points", "".join(_path([point], [], axis, across) for point in points)))
    return [tag("path", class_=f"{kind} {_style(series)}", d=path) for kind, path in curves]


def _path(points: Points, lost: list[float], axis: Axis, across: Axis) -> str:
    """The path through the points, broken where a value was lost; a point alone becomes a dot."""
    pieces: list[list[str]] = []
    before: int | None = None
    for step, value in points:
        if axis.log and value <= 0:
            before = None
            continue
        gap = bisect_right(lost, step)
        if gap != before:
            pieces.append([])
        before = gap
        pieces[-1].append(f"{_number(SIDE * across.place(step))} {_y(axis, value)}")
    return "".join(f"M{piece[0]}L{' '.join(piece[1:])}" if piece[1:] else f"M{piece[0]}h0" for piece in pieces)


def _y(axis: Axis, value: float) -> str:
    return _number(SIDE * (1 - axis.place(value)))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def describe(chart: Chart) -> str:
    """What the curves show, in words."""
    parts = []
    for series in chart.series:
        points = series.metric.points
        if not points:
            continue
        (start, first), (end, final) = points[0], points[-1]
        low = min(points, key=lambda point: point[1])
        parts.append(
            f"{series.name}: {short(first)} at step {start:,.0f}, {short(final)} at step {end:,.0f}, "
            f"lowest {short(low[1])} at step {low[0]:,.0f}"
        )
    return f"{chart.title}. {'; '.join(parts)}."


def _numbers(chart: Chart, scales: dict[str, Axis], last: float, thinned: list[tuple[Series, Points]]) -> Markup:
    """What the read-out under the pointer needs."""
    content = {
        "last": max(last, 1.0),
        "scales": {name: [axis.low, axis.high] for name, axis in scales.items()},
        "series": [
            {
                "name": series.name if len(chart.series) > 1 else "",
                "style": _style(series),
                "points": [[int(step), float(f"{value:.5g}")] for step, value in points],
            }
            for series, points in thinned
            if points
        ],
    }
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return tag("script", Markup(text), type="application/json")


def figures(charts: list[Chart], last: float) -> Markup:
    """All charts.  The more curves, the fewer points each has, so that the page stays small."""
    curves = sum(len(chart.series) for chart in charts) or 1
    limit = max(100, min(1000, 30_000 // curves))
    return join([draw(chart, number, last, limit) for number, chart in enumerate(charts)])
