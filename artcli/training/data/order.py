"""Which pictures are for training, and in which order they come: functions of numbers, without any state to save."""

from __future__ import annotations

import numpy as np

from artcli.training.data.items import Array

# The purpose of a random stream is part of its seed, so that no two streams are alike.
SHUFFLE, CLASSES, AUGMENT, NOISE, VALIDATION, WORDS = range(6)

_KEPT = 4  # permutations: those of the epochs that a batch usually touches


def stream(seed: int, purpose: int, *place: int) -> np.random.Generator:
    """The generator of one purpose at one place (a step, an epoch); any two are independent."""
    return np.random.default_rng((seed % 2**64, purpose, *place))


def torch_seed(seed: int, purpose: int, *place: int) -> int:
    """The same for torch: a number of 32 bits, which is all that its CPU generator looks at."""
    return int(np.random.SeedSequence((seed % 2**64, purpose, *place)).generate_state(1)[0])


class Shuffled:
    """0 to n - 1 again and again, in a new order each time: the endless sequence of one seed and one purpose."""

    def __init__(self, count: int, seed: int, *purpose: int):
        self.count, self.seed, self.purpose = count, seed, purpose
        self._epochs: dict[int, Array] = {}

    def take(self, positions: Array) -> Array:
        """The numbers at these positions of the sequence, (B,) int64 each."""
        epochs, places = np.divmod(positions, self.count)
        taken = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            taken[here] = self._order(int(epoch))[places[here]]
        return taken

    def _order(self, epoch: int) -> Array:
        order = self._epochs.get(epoch)
        if order is None:
            order = stream(self.seed, *self.purpose, epoch).permutation(self.count)
            while len(self._epochs) >= _KEPT:
                self._epochs.pop(next(iter(self._epochs)))
            self._epochs[epoch] = order
        return order


class Balanced:
    """The same for pictures of several classes: every class equally often, and within each every picture.

    labels: (N,), the class of each picture.  Classes without a picture are left out.
    """

    def __init__(self, labels: Array, seed: int):
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.classes = Shuffled(len(self.members), seed, CLASSES)
        self.within = [Shuffled(len(rows), seed, SHUFFLE, number) for number, rows in enumerate(self.members)]

    def take(self, positions: Array) -> Array:
        """The pictures at these positions of the sequence, (B,) int64 each."""
        classes = self.classes.take(positions)
        rounds = positions // len(self.members)  # every class comes once in a round
        taken = np.empty(len(positions), np.int64)
        for number in np.unique(classes):
            here = classes == number
            taken[here] = self.members[number][self.within[number].take(rounds[here])]
        return taken


# --- training and validation ---------------------------------------------------------------------------------------


def held_out(digests: Array, fraction: float) -> Array:
    """Which pictures are for validation, (N,) bool: those whose digest (uint64) is in the lowest `fraction`.

    So a picture stays where it is when others come or go or names change, and copies of it are never on both sides.
    Of ten or more at least one is held out, and two are left to train on where there are two.
    """
    count = len(digests)
    place = digests.astype(np.float64) / 2**64  # 0..1
    held = place < fraction
    if fraction > 0 and count >= 10 and not held.any():
        held = place == place.min()
    short = min(2, count) - int((~held).sum())
    if short > 0:
        held[np.argsort(place, kind="stable")[-2:][:count]] = False
    return held


def spread(rows: Array, limit: int | None) -> Array:
    """At most `limit` of the rows, evenly from first to last: of sorted rows some of every class."""
    if limit is None or limit >= len(rows):
        return rows
    return rows[np.arange(limit) * len(rows) // max(1, limit)]
