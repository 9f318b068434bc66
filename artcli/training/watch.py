"""Watchdogs on the numbers of a run: what looks wrong, since when, and what to try.

A false alarm is worse than silence: each watchdog needs many logs and a margin far above the noise, and warns once
until the problem has passed.  Adversarial losses rise and fall with each other, so runs with a discriminator get only
the watchdogs made for them.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Wasserstein models have a critic.
ADVERSARY = re.compile(r"(loss_)?(critic|discriminator)s?(_?\w)?(_loss)?")
GENERATOR = re.compile(r"(loss_)?generators?(_?\w)?(_loss)?")

BLOCK = 10  # logs whose mean stands against the mean of others
RISING = 3  # blocks, each above the one before
JUDGED = (10, 20, 40)  # blocks since the start after which a plateau is looked for
VALIDATIONS = 10  # since the best one
DEAD = 30  # logs near 0
NEAR_ZERO = 0.01
LOOKS = 5  # at samples
ALIKE = 0.03  # mean distance between samples, over their mean distance to grey
DIVERSE = 0.25  # of samples, over that of held-out pictures, as a model with an adversary measures it
FLAT = 4.0  # levels of 255: spread of the pixels within one picture


def diagnose_nan(step: int, name: str, values: Sequence[float], precision: str = "fp32") -> str:
    """One line about a loss that is not finite: what happened before, and what to try.

    values: what that loss was lately, oldest first; the bad value at the end may be among them.  precision: fp32, bf16
    or fp16.
    """
    finite = [value for value in values if math.isfinite(value)]
    what = f"the {name} loss is not finite at step {step}"
    if values and not math.isfinite(values[-1]):
        what = f"the {name} loss is {values[-1]} at step {step}"
    if precision == "fp16":
        return f"{what}: numbers beyond fp16's 65,504 are a likely cause; use bf16 or fp32, or a lower learning rate"
    if not finite:
        return (
            f"{what}, the first one seen: look for values that are not finite in the data, and lower the learning rate"
        )
    usual = sorted(map(abs, finite))[len(finite) // 2]
    if len(finite) >= 4 and abs(finite[-1]) > 5 * usual:
        return (
            f"{what}, after growing from about {usual:.4g} to {finite[-1]:.4g}: the run diverged; "
            "go on from the last checkpoint with a lower learning rate, or clip the gradients harder"
        )
    return (
        f"{what}, all of a sudden (it was {finite[-1]:.4g}): clip the gradients, lower the learning rate, "
        "and look for a logarithm, root or division near 0"
    )


@dataclass
class Watchdogs:
    """The watchdogs of one run.

    fresh: the run starts from random weights, so that its loss has to fall at first.  variety: of the training pictures
    (see `variety`); samples cannot differ more than what was learned from does, so None is for pictures that differ.
    """

    fresh: bool = True
    variety: tuple[float, float] | None = None
    main: str | None = None
    losses: "_Losses" = field(default_factory=lambda: _Losses())
    held_out: "_HeldOut" = field(default_factory=lambda: _HeldOut())
    near_zero: dict[str, int] = field(default_factory=dict)
    diversities: list[float] = field(default_factory=list)
    diverse: bool = False  # samples have been
    seen: list[tuple[float, float]] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def look(self, step: int, train: dict, val: dict | None = None, samples: "np.ndarray | None" = None) -> list[str]:
        """Take in one log and return the advice it gives rise to, one line each; mostly none.

        train: numbers by name; the first is the loss that has to fall, unless one is called "loss".  val: of held-out
        pictures, "loss" above all.  What is not a finite number is passed over.  samples: uint8 (N, H, W, C) or
        (N, H, W), where some were drawn.  Each thing is said once; again only after it had passed.
        """
        train, val = _finite(train), _finite(val or {})
        found: dict[str, str | None] = self._adversaries(train)
        if (name := main_loss(train)) is not None:
            if name != self.main:  # another stage has begun, whose loss begins anew
                self.main, self.losses, self.held_out = name, _Losses(), _HeldOut()
            self.losses.add(step, train[name])
            found |= {"rising": self.losses.rising()}
            found |= {"plateau": self.losses.plateau() if self.fresh else None}
            if (held_out := val.get("loss", val.get(name))) is not None:
                self.held_out.add(step, train[name], held_out)
                found |= {"overfit": self.held_out.overfit()}
        if "diversity" in val:
            self.diversities = [*self.diversities, val["diversity"]][-LOOKS:]
            found |= {"diversity": self._repeating(step)}
        if samples is not None and len(samples) >= 4:
            self.seen = [*self.seen, variety(samples)][-LOOKS:]
            found |= self._samples(step)
        return self._say(found)

    def _say(self, found: dict[str, str | None]) -> list[str]:
        lines = [line for key, line in found.items() if line and key not in self.said]
        self.said |= {key for key, line in found.items() if line}
        self.said -= {key for key, line in found.items() if line is None}  # "" is neither: wait
        return lines

    def _adversaries(self, train: dict[str, float]) -> dict[str, str | None]:
        """Warn when the discriminator or the generator always wins: then the other one learns nothing."""
        if not any(ADVERSARY.fullmatch(name) for name in train):
            return {}
        found: dict[str, str | None] = {}
        for name, value in train.items():
            judge = bool(ADVERSARY.fullmatch(name))
            if not judge and not GENERATOR.fullmatch(name):
                continue
            self.near_zero[name] = self.near_zero.get(name, 0) + 1 if abs(value) < NEAR_ZERO else 0
            found[name] = None if not self.near_zero[name] else ""
            if self.near_zero[name] >= DEAD:
                found[name] = (
                    f"the {name} loss has been about 0 for {DEAD} logs: the generator learns nothing from it; "
                    "lower its learning rate, step it less often, or regularise it"
                    if judge
                    else f"the {name} loss has been about 0 for {DEAD} logs: the discriminator cannot tell real from "
                    "made; step that more often, or lower the generator's learning rate"
                )
        return found

    def _repeating(self, step: int) -> str | None:
        """Samples of a few kinds only, and not because the first shapes are still to come: mode collapse."""
        self.diverse = self.diverse or self.diversities[-1] >= DIVERSE
        stuck = _stuck_below(self.diversities, DIVERSE) if self.diverse else None
        return (
            stuck
            and f"mode collapse: in the last {LOOKS} looks samples were less than {DIVERSE:.0%} as diverse as held-out "
            f"pictures; go back to a checkpoint before step {step}, with diffaugment, a larger batch or a lower lr, or "
            "take wgan-gp"
        )

    def _samples(self, step: int) -> dict[str, str | None]:
        """Alike or flat for several looks, and not on the way to something better."""
        apart_floor, flat_floor = ALIKE, FLAT
        if self.variety:
            apart_floor, flat_floor = min(ALIKE, self.variety[0] / 10), min(FLAT, self.variety[1] / 10)
        apart, spread = ([look[i] for look in self.seen] for i in (0, 1))
        flat = _stuck_below(spread, flat_floor)
        alike = "" if flat else _stuck_below(apart, apart_floor)  # flat ones are alike too: one line is enough
        return {
            "flat": flat
            and f"the last {LOOKS} sets of samples are plain colour without shapes: the decoder has learned nothing, "
            "or has died; try a lower learning rate, and compare the reconstructions",
            "alike": alike
            and f"the last {LOOKS} sets of samples are all but one picture: the generator has collapsed, or ignores "
            f"its latent; go back to a checkpoint before step {step}, with a weaker generator or a larger batch",
        }


def main_loss(names: Iterable[str]) -> str | None:
    """The loss that has to fall: the one called "loss", or the first; None in adversarial training."""
    names = list(names)
    if any(ADVERSARY.fullmatch(name) or GENERATOR.fullmatch(name) for name in names):
        return None
    return "loss" if "loss" in names else next(iter(names), None)


def variety(pictures: "np.ndarray") -> tuple[float, float]:
    """(distance, spread) of N >= 2 pictures, uint8 (N, H, W, C) or (N, H, W).

    distance: between two of them over that to plain mid-grey, both as root mean squares; about 1 for photographs.
    spread: standard deviation of the pixels within a picture, 0..127.5, of the picture in the middle of the ranking.
    """
    import numpy as np

    rows = np.asarray(pictures[:64], dtype=np.float32).reshape(len(pictures[:64]), *np.shape(pictures)[1:3], -1)
    grey = float(np.sqrt(np.mean((rows - 127.5) ** 2)))
    apart = float(np.sqrt(2 * np.mean(np.var(rows, axis=0, ddof=1))))  # over all pairs, without forming them
    spread = np.sqrt(np.var(rows, axis=(1, 2)).mean(axis=1))
    return (apart / grey if grey > 1e-6 else 1.0), float(np.median(spread))


def _stuck_below(values: list[float], floor: float) -> str | None:
    """What `_say` understands: "yes" when all looks are below the floor and not rising, None when the last is above."""
    if values[-1] >= floor:
        return None
    stuck = len(values) >= LOOKS and max(values) < floor and values[-1] < 1.5 * values[0] + 1e-9
    return "yes" if stuck else ""


def _finite(values: dict) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
    }


@dataclass
class _Losses:
    """A loss that has to fall, in means of BLOCK logs each: neighbours among logs are alike, among blocks hardly."""

    first_two: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)  # of the first two logs, then of the end of each block
    open: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    best: int = 0

    def add(self, step: int, value: float) -> None:
        if len(self.first_two) < 2:
            self.first_two.append(value)
            self.steps.append(step)
        self.open.append(value)
        if len(self.open) == BLOCK:
            self.blocks.append(fmean(self.open))
            self.steps.append(step)
            self.open = []
            self.best = self.best if self.blocks[self.best] <= self.blocks[-1] else len(self.blocks) - 1

    def rising(self) -> str | None:
        """The last blocks each above the one before, and far above the best; None when it is nearly back."""
        count, best = len(self.blocks), self.best
        if self.open or count < 8 or count - 1 - best < RISING:
            return None if best == count - 1 else ""
        newest, lowest = self.blocks[-RISING:], self.blocks[best]
        noise = _jitter(self.blocks[-20:-RISING])
        times, part = (10, 0.25) if count >= 4 * RISING else (20, 1.0)  # of few blocks the noise is hardly known
        margin = max(times * noise, part * (self.blocks[0] - lowest), 0.03 * abs(lowest))
        if newest[-1] < lowest + margin / 2:
            return None
        if newest[-1] < lowest + margin or newest[0] < lowest + margin / 3 or newest != sorted(newest):
            return ""
        return (
            f"the training loss has been rising since step {self.steps[best + 2]} ({lowest:.4g}, now {newest[-1]:.4g})"
            ": unless a part of it grows on schedule, go back to an earlier checkpoint with a lower learning rate"
        )

    def plateau(self) -> str | None:
        """Sure that the loss has not fallen since the start: noise that could hide a fall means silence."""
        count = len(self.blocks)
        if self.open or count not in JUDGED or self.steps[0] > 2 * (self.steps[1] - self.steps[0]):
            return ""  # between two verdicts, or not at the start of the run
        before, after = self.blocks[: count // 2], self.blocks[count // 2 :]
        level, error = fmean(after), 2 * _jitter(self.blocks) / math.sqrt(count)  # of the difference of the halves
        sure = fmean(before) - level + 3 * error < 0.002 * abs(level)
        if not sure or max(self.first_two) - level > 0.01 * abs(level):
            return ""
        return (
            f"the training loss has not fallen in the first {count * BLOCK} logs (about {level:.4g}): unless the model "
            "was as good as it gets from the start, try another learning rate, and look at the pictures that go in"
        )


@dataclass
class _HeldOut:
    """Validation losses beside the training loss of the same logs."""

    train: list[float] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    best: int = 0
    best_step: int = 0

    def add(self, step: int, train: float, val: float) -> None:
        self.train.append(train)
        self.val.append(val)
        if val < self.val[self.best]:
            self.best, self.best_step = len(self.val) - 1, step
        if len(self.val) == 1:
            self.best_step = step

    def overfit(self) -> str | None:
        """The last six well above the best, while the training loss went on falling; None after a new best."""
        since = len(self.val) - 1 - self.best
        if since == 0:
            return None
        if since < VALIDATIONS or self.best < 2:
            return ""
        newest, best = self.val[-6:], self.val[self.best]
        margin = max(6 * _jitter(self.val[-24:]), 0.05 * (self.val[0] - best), 0.03 * abs(best))
        around = fmean(self.train[self.best - 2 : self.best + 3])
        learned = around - fmean(self.train[-6:])
        if min(newest) < best + margin or learned < max(3 * _jitter(self.train[-24:]), 0.01 * abs(around)):
            return ""
        return (
            f"the validation loss was best at step {self.best_step} ({best:.4g}) and is {newest[-1]:.4g} now, while "
            "the training loss still falls: the model learns its pictures by heart; take the best checkpoint, or add "
            "pictures, augmentation or weight decay"
        )


def _jitter(values: list[float]) -> float:
    """The noise of a curve, untouched by a slow trend: from differences, also wider ones where neighbours are alike."""
    return max(_spread([b - a for a, b in zip(values, values[lag:], strict=False)]) for lag in (1, 2, 3)) / math.sqrt(2)


def _spread(values: list[float]) -> float:
    """The standard deviation; statistics.pstdev is exact, and a hundred times slower."""
    mean = fmean(values)
    return math.sqrt(fmean((value - mean) ** 2 for value in values))
