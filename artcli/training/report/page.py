"""The page: status, advice, curves, pictures, data, settings, commands."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

from artcli.durations import duration
from artcli.media import webpage
from artcli.training.report import chart, curves, pictures
from artcli.training.report.axes import short
from artcli.training.report.folder import Run, is_number, table
from artcli.training.report.markup import Markup, join, tag
from artcli.training.report.pictures import Grid
from artcli.training.watch import Watchdogs

HERE = Path(__file__).parent
LISTED = 200  # skipped files that are named
LONG = 300  # characters of a value
SHOWN_ABOVE = {"model", "preset", "seed", "version", "command", "format"}  # of run.toml, or of no use to a reader
KINDS = {
    "samples": ("Samples", "What the model makes of nothing, over time."),
    "reconstructions": ("Reconstructions", "Pictures that the model has not learned from, and what it makes of them."),
}


def render(run: Run) -> str:
    """The whole page."""
    galleries = _galleries(run)
    body = [
        _header(run),
        _advice(run),
        _curves(run),
        *galleries,
        _data(run),
        _settings(run),
        _commands(run),
        tag("footer", tag("p", f"Written by artgen {run.about.get('version', '')}".rstrip() + ".")),
    ]
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{_name(run)}, step {run.step:,}"),
        tag("style", Markup(style)),
    )
    page = tag("html", head, tag("body", tag("main", *body), tag("script", Markup(script))), lang="en")
    return f"<!doctype html>\n{page}\n"


def _policy(script: str) -> str:
    """No network, and no script but our own: a name with markup in it stays text even if it were not escaped."""
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {webpage.only(script)}"


# --- status ----------------------------------------------------------------------------------------------------------


def _name(run: Run) -> str:
    words = [run.about.get("model"), run.about.get("preset")]
    return " ".join(str(word) for word in words if word) or run.path.name or "run"


def _header(run: Run) -> Markup:
    status, words = _status(run)
    about = [
        f"on {data}" if (data := _data_name(run)) else "",
        f"seed {run.about['seed']}" if "seed" in run.about else "",
    ]
    return tag(
        "header",
        tag("p", "Training run", class_="over"),
        tag("h1", _name(run)),
        tag("p", ", ".join(filter(None, about)), class_="about") if any(about) else None,
        tag("p", tag("span", words, class_=f"status {status}")),
        _progress(run),
        _figures(run),
    )


def _status(run: Run) -> tuple[str, str]:
    total = run.total
    if not run.rows:
        return "new", "Just started: nothing is logged yet"
    if total is None:
        return "new", f"Step {run.step:,}"
    if run.step >= total:
        return "finished", f"Finished: {total:,} steps"
    return "open", f"Step {run.step:,} of {total:,}: interrupted, or still running"


def _data_name(run: Run) -> str:
    data = run.about.get("data")
    return str(data.get("name") or data.get("path") or "") if isinstance(data, dict) else str(data or "")


def _progress(run: Run) -> Markup | None:
    if not run.total:
        return None
    done = 100 * min(run.step / run.total, 1)
    return tag("div", tag("div", style=f"width:{done:.1f}%"), class_="progress", aria_hidden="true")


def _figures(run: Run) -> Markup | None:
    """The few numbers that one looks for first."""
    found: list[tuple[str, str, str]] = []
    for part, words, name in zip(("train", "val"), ("Training", "Validation"), curves.losses(run), strict=True):
        if name and (points := run.curve(part, name).points):
            found.append((f"{words} loss", short(points[-1][1]), f"at step {points[-1][0]:,.0f}"))
    if best := curves.best(run):
        found.append(("Best validation loss", short(best[1]), f"at step {best[0]:,.0f}"))
    if run.rows:
        epoch = run.rows[-1].get("epoch")
        passes = f"{short(epoch)} epochs" if is_number(epoch) and math.isfinite(epoch) else ""
        found.append(("Time", duration(run.seconds, spaced=True), passes))
    if speed := run.curve("", "images_per_second").points:
        middle = sorted(value for _, value in speed)[len(speed) // 2]
        found.append(("Images per second", short(float(f"{middle:.3g}")), "median"))
    cells = [tag("div", tag("dt", name), tag("dd", value, tag("small", note))) for name, value, note in found]
    return tag("dl", *cells, class_="figures") if cells else None


def _advice(run: Run) -> Markup | None:
    """What the watchdogs say of the metrics and the doctor of the data, and what of the folder could not be read."""
    watch = Watchdogs()
    lines = [
        f"Step {row['step']:,.0f}: {line}"
        for row in run.rows
        for line in watch.look(int(row["step"]), table(row, "train"), table(row, "val"))
    ]
    notes = table(run.about, "data").get("notes")
    lines = lines[-8:] + [f"Data: {note}" for note in (notes if isinstance(notes, list) else [])] + run.problems
    if not lines:
        return None
    return _section("Worth knowing", tag("ul", *(tag("li", line) for line in lines), class_="advice"))


def _section(title: str, *children: Markup | None) -> Markup:
    key = title.lower().replace(" ", "-")
    return tag("section", tag("h2", title, id=key), *children, aria_labelledby=key)


# --- curves and pictures ---------------------------------------------------------------------------------------------


def _curves(run: Run) -> Markup:
    found = curves.charts(run)
    if not found:
        return _section("Curves", tag("p", "They appear with the first logged step.", class_="quiet"))
    return _section("Curves", tag("div", chart.figures(found, run.step), class_="charts"))


def _galleries(run: Run) -> list[Markup]:
    """One for each kind of grid.  Pictures that cannot be read become problems of the run."""
    chosen = {kind: pictures.choose(found) for kind, found in run.grids.items() if found}
    allowance = pictures.allowance(sum(map(len, chosen.values())))
    return [
        _gallery(kind, pictures.embed(files, allowance, run.problems), len(run.grids[kind]))
        for kind, files in chosen.items()
    ]


def _gallery(kind: str, grids: list[Grid], there_are: int) -> Markup:
    title, words = KINDS[kind]
    if not grids:
        return _section(title, tag("p", "None of the grids can be read.", class_="quiet"))
    of = f" {len(grids)} of {there_are:,} grids; all are in the folder {kind}." if there_are > len(grids) else ""
    middle = (len(grids) - 1) // 2
    front = sorted({0, middle, len(grids) - 1})
    shown = [_grid(kind, index, grids[index]) for index in front]
    rest = [_grid(kind, index, grid) for index, grid in enumerate(grids) if index not in front]
    between = tag("details", tag("summary", f"The {len(rest)} grids between"), tag("div", *rest, class_="strip"))
    return _section(
        title,
        tag("p", words + of, class_="quiet"),
        _viewer(title, grids) if len(grids) > 1 else None,
        tag("div", *shown, class_=f"trio of{len(front)}"),
        between if rest else None,
    )


def _grid(kind: str, index: int, grid: Grid) -> Markup:
    image = tag(
        "img",
        src=grid.uri,
        width=grid.width,
        height=grid.height,
        alt=f"Grid of {kind} at step {grid.step:,}",
        class_="tiny" if grid.width <= 320 else None,
    )
    caption = tag("figcaption", f"Step {grid.step:,}")
    return tag("figure", image, caption, class_="grid-of-pictures", data_index=index, data_step=f"{grid.step:,}")


def _viewer(title: str, grids: list[Grid]) -> Markup:
    """The slider; hidden until the script fills it, so that no picture is in the page twice."""
    key = f"slider-{title.lower()}"
    slider = tag("input", type="range", id=key, min=0, max=len(grids) - 1, step=1, value=len(grids) - 1)
    label = tag("label", f"{title} at step ", tag("output", f"{grids[-1].step:,}", for_=key), for_=key)
    return tag("div", tag("img", alt=""), tag("div", label, slider, class_="slide"), class_="viewer", hidden=True)


# --- tables ----------------------------------------------------------------------------------------------------------


def _data(run: Run) -> Markup | None:
    data = table(run.about, "data")
    skipped = data.get("skipped")
    listed = [entry for entry in skipped if isinstance(entry, dict)] if isinstance(skipped, list) else []
    rows = _flat({key: value for key, value in data.items() if key not in ("skipped", "notes")})
    if not rows and not listed:
        return None
    return _section("Data", _table(rows) if rows else None, _skipped(listed) if listed else None)


def _skipped(entries: list[dict[str, Any]]) -> Markup:
    head = tag("thead", tag("tr", tag("th", "File", scope="col"), tag("th", "Why it was left out", scope="col")))
    rows = [tag("tr", tag("td", _text(e.get("name"))), tag("td", _text(e.get("reason")))) for e in entries[:LISTED]]
    more = len(entries) - LISTED
    return tag(
        "details",
        tag("summary", f"{len(entries):,} file{'s' if len(entries) > 1 else ''} skipped"),
        tag("div", tag("table", head, tag("tbody", *rows)), class_="scroll"),
        tag("p", f"And {more:,} more, in run.toml.", class_="quiet") if more > 0 else None,
        open=len(entries) <= 5,
    )


def _settings(run: Run) -> Markup | None:
    others = {k: v for k, v in run.about.items() if not isinstance(v, dict) and k not in SHOWN_ABOVE}
    parts = [
        ("Model", table(run.about, "config")),
        ("Training", others | table(run.about, "trainer")),
        ("Machine", run.environment),
    ]
    cards = [tag("div", tag("h3", name), _table(rows)) for name, values in parts if (rows := _flat(values))]
    return _section("Settings", tag("div", *cards, class_="cards")) if cards else None


def _table(rows: list[tuple[str, str]]) -> Markup:
    body = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows]
    return tag("div", tag("table", tag("tbody", *body)), class_="scroll")


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """`{"lr": {"main": 1}}` as rows `lr.main`, `1`."""
    rows = []
    for key, value in values.items():
        if isinstance(value, dict) and value and key != "classes":
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _text(value)))
    return rows


def _text(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, dict):
        value = [f"{name}: {_text(count)}" for name, count in value.items()]
    if isinstance(value, list):
        text = ", ".join(_text(item) for item in value)
        text = f"{len(value):,}: {text}" if len(value) > 8 else text
    elif isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, int):
        text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    else:
        text = str(value)
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


def _commands(run: Run) -> Markup | None:
    command = run.about.get("command")
    if isinstance(command, list):
        command = shlex.join(str(word) for word in command)
    folder = shlex.quote(str(run.path))
    lines = [("Go on, or train longer with more --steps", command)] if command else []
    lines.append(("Draw samples", f"artgen sample {folder} --out samples.png"))
    parts = [join([tag("dt", name), tag("dd", tag("code", str(line)))]) for name, line in lines]
    return _section("Commands", tag("dl", *parts, class_="commands"))
