"""Which charts a run has: one per group of metrics, the loss first."""

import re
from collections.abc import Iterable
from dataclasses import replace

from artcli.training.report.axes import short
from artcli.training.report.chart import COLOURS, Chart, Series
from artcli.training.report.folder import Run
from artcli.training.watch import ADVERSARY, GENERATOR, main_loss

ADVERSARIES = "Adversaries"
SHORT_FORMS = {"kl", "mse", "bce", "fid", "kid", "ssim", "psnr", "gp", "lpips", "vgg", "l1", "l2"}


def charts(run: Run) -> list[Chart]:
    """Every chart of the run; those without any value are left out."""
    trained, held_out = losses(run)
    names = [*run.names("train"), *run.names("val"), *run.names("score")]
    found = [_loss(run, trained, held_out)] if trained or held_out else []
    for heading, group in _groups(name for name in names if name not in (trained, held_out)):
        found += _metrics(run, heading, group)
    found = [chart for chart in found if any(s.metric.points or s.metric.lost for s in chart.series)]
    if found:
        found[0] = replace(found[0], wide=True)
    return found + _machine(run)


def losses(run: Run) -> tuple[str | None, str | None]:
    """The names of the loss that the run is about, in training and of held-out pictures."""
    trained, held_out = main_loss(run.names("train")), run.names("val")
    return trained, "loss" if "loss" in held_out else trained if trained in held_out else None


def best(run: Run) -> tuple[float, float] | None:
    """(step, value) of the lowest validation loss."""
    _, held_out = losses(run)
    points = run.curve("val", held_out).points if held_out else []
    return min(points, key=lambda point: point[1]) if points else None


def title(name: str) -> str:
    """`kl` is KL, and `codes_in_use` Codes in use."""
    words = [word.upper() if word.lower() in SHORT_FORMS else word for word in re.split(r"[_\s]+", name) if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:] or "(no name)"


def _groups(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Names that belong into one chart: `codes/used` with `codes/dead`, generator with discriminator, others alone."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        prefix, slash, _ = name.partition("/")
        wrestles = ADVERSARY.fullmatch(name) or GENERATOR.fullmatch(name)
        group = ADVERSARIES if wrestles else prefix if slash else name
        groups.setdefault(group, []).append(name)
    parts = [
        (group, names[start : start + COLOURS])
        for group, names in groups.items()
        for start in range(0, len(names), COLOURS)
    ]
    return [(group if group == ADVERSARIES else title(group), names) for group, names in parts]


def _loss(run: Run, trained: str | None, held_out: str | None) -> Chart:
    series = [Series("Training", run.curve("train", trained))] if trained else []
    series += [Series("Validation", run.curve("val", held_out), 1)] if held_out else []
    notes = [f"Best validation {short(found[1])} at step {found[0]:,.0f}."] if (found := best(run)) else []
    return Chart("Loss", series, " ".join([*notes, *_lost(series)]))


def _metrics(run: Run, heading: str, names: list[str]) -> list[Chart]:
    series = []
    for colour, name in enumerate(names):
        alone = len(names) == 1
        what = title(name.rpartition("/")[2])
        train, held_out = run.curve("train", name), run.curve("val", name)
        if train.points or train.lost:
            series.append(Series("Training" if alone else what, train, colour))
        if held_out.points or held_out.lost:
            label = "Validation" if alone else f"{what} (validation)"
            series.append(Series(label, held_out, 1 if alone else colour, dashed=not alone))
        if (score := run.curve("score", name)).points:
            series.append(Series("Samples beside the data" if alone else what, score, colour))
    return [Chart(heading, series, " ".join(_lost(series)))] if series else []


def _lost(series: list[Series]) -> list[str]:
    return [
        f"{one.name}: {len(lost):,} value{'s' if len(lost) > 1 else ''} not finite, first at step {lost[0]:,.0f}."
        for one in series
        if (lost := one.metric.lost)
    ]


def _machine(run: Run) -> list[Chart]:
    """Learning rates and speed."""
    rates = [
        Series(title(name), metric, colour)
        for colour, name in enumerate(run.names("rate"))
        if (metric := run.curve("rate", name)).points
    ]
    found = [Chart("Learning rate", rates, exact=True)] if rates else []
    speed = run.curve("", "images_per_second")
    if speed.points:
        found.append(Chart("Images per second", [Series("Images per second", speed, 2)], from_zero=True))
    return found
