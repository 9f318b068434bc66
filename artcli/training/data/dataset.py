"""A data set ready for training: batches that are a function of the seed and the step, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artcli.errors import UsageError
from artcli.training import words as wording
from artcli.training.colors import dominant_color
from artcli.training.columns import Column
from artcli.training.contract import Batch
from artcli.training.data import augment, cache, known, order
from artcli.training.data.augment import Augmentation
from artcli.training.data.items import Array, Skipped
from artcli.training.data.layout import Layout, read_layout
from artcli.training.data.pool import PicturesDone
from artcli.training.data.prepare import Preparation


@dataclass(frozen=True, eq=False)
class Dataset:
    """images: (N, size, size, C) uint8, mapped from the cache.  labels: (N,) int64, 0 without classes.

    classes: names by label.  names: of the pictures, relative to the data set.  training, held_out: row numbers,
    ascending.  skipped: pictures left out, with reasons.  layout: one line.  notes: what a person should know.
    first_of_several: pictures that are the first of several frames or pages.  divided: they came with a part for
    validation.
    texts: captions of each row, () without any.  worded: batches say in words what they show.
    facts: (N, F) float32, the inputs that `columns` make of what is known of each row; None without any.
    fingerprint: the same for the same pictures, captions, labels, facts and preparation, wherever they lie on the disk.
    """

    images: Array
    labels: Array
    classes: tuple[str, ...]
    names: list[str]
    training: Array
    held_out: Array
    skipped: tuple[Skipped, ...]
    layout: str
    notes: tuple[str, ...]
    fingerprint: str
    preparation: Preparation
    augmentation: Augmentation
    seed: int
    balanced: bool
    texts: tuple[tuple[str, ...], ...] = ()
    worded: bool = False
    first_of_several: int = 0
    divided: bool = False
    facts: Array | None = None
    columns: tuple[Column, ...] = ()
    _order: order.Shuffled | order.Balanced = field(init=False, repr=False)
    _pixels: torch.Tensor = field(init=False, repr=False)
    _labels: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        seed, labels = self.seed, self.labels[self.training]
        chosen = order.Balanced(labels, seed) if self.balanced else order.Shuffled(len(labels), seed, order.SHUFFLE)
        object.__setattr__(self, "_order", chosen)
        object.__setattr__(self, "_pixels", torch.from_numpy(self.images))
        object.__setattr__(self, "_labels", torch.from_numpy(self.labels))

    def batch(
        self,
        step: int,
        size: int,
        *,
        device: torch.device | str = "cpu",
        first: int = 0,
        count: int | None = None,
    ) -> Batch:
        """Rows `first` to `first + count` of the `size` training pictures of a step, augmented.

        A function of the seed and these numbers alone.  The pictures run on through epochs, each in its own order, so
        that every batch is full; step k starts where step k - 1 ended.
        """
        count = size - first if count is None else count
        places = np.arange(step * size + first, step * size + first + count)
        rows = self.training[self._order.take(places)]
        chance = augment.draws(self.seed, step, first, count, size)
        pixels = augment.mirror(self._gather(rows), chance, self.augmentation)
        images = augment.to_float(pixels.to(device))  # bytes travel to an accelerator, where they become floats
        images = augment.change(images, chance, self.augmentation, self.preparation.color)
        chances = order.stream(self.seed, order.WORDS, step).random((size, wording.CHANCES))[first : first + count]
        words = self._words(rows, images, chances)
        return Batch(
            images, self._labels_of(rows, device), first, size, self._rng(order.NOISE, step, device),
            texts=words, facts=self._facts_of(rows, device),
        )  # fmt: skip

    def validation(self, size: int, limit: int | None = None, *, device: torch.device | str = "cpu") -> Iterator[Batch]:
        """The held-out pictures, at most `limit` spread over all of them, in batches of at most `size`.

        Neither shuffled nor augmented, and with the same random numbers every time.
        """
        return self._in_turn(order.spread(self.held_out, limit), size, device)

    def training_rows(self, limit: int | None = None) -> Array:
        """The rows that `training_pictures` gives, in its order."""
        return order.spread(self.training, limit)

    def training_pictures(
        self, limit: int | None = None, *, size: int = 64, device: torch.device | str = "cpu"
    ) -> Iterator[Batch]:
        """The training pictures as they are, at most `limit` spread over all of them, in batches of at most `size`."""
        return self._in_turn(self.training_rows(limit), size, device)

    def steps_per_epoch(self, size: int) -> int:
        """Batches of `size` until every training picture was seen: the last one reaches into the next epoch."""
        return -(-len(self.training) // size)

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: counts (of pictures per class), layout, notes, what was skipped."""
        counts = np.bincount(self.labels, minlength=len(self.classes)) if self.classes else np.array([], np.int64)
        return {
            "layout": self.layout,
            "pictures": len(self.images),
            "training": len(self.training),
            "validation": len(self.held_out),
            "classes": list(self.classes),
            "counts": counts.tolist(),
            "size": self.preparation.size,
            "color": self.preparation.color,
            "skipped": [entry._asdict() for entry in self.skipped],
            "notes": list(self.notes),
            "fingerprint": self.fingerprint,
        } | ({"columns": [column.as_dict() for column in self.columns]} if self.columns else {})

    def _in_turn(self, rows: Array, size: int, device: torch.device | str) -> Iterator[Batch]:
        for number, start in enumerate(range(0, len(rows), size)):
            part = rows[start : start + size]
            images = augment.to_float(self._gather(part).to(device))
            rng = self._rng(order.VALIDATION, number, device)
            words = self._words(part, images, np.tile(wording.PLAINEST, (len(part), 1)))
            facts = self._facts_of(part, device)
            yield Batch(images, self._labels_of(part, device), 0, len(part), rng, texts=words, facts=facts)

    def _gather(self, rows: Array) -> torch.Tensor:
        """A copy of these rows, uint8 (B, H, W, C)."""
        return self._pixels.index_select(0, torch.from_numpy(rows))

    def _labels_of(self, rows: Array, device: torch.device | str) -> torch.Tensor:
        return self._labels[torch.from_numpy(rows)].to(device)

    def _facts_of(self, rows: Array, device: torch.device | str) -> torch.Tensor | None:
        return None if self.facts is None else torch.from_numpy(self.facts[rows]).to(device)

    def _words(self, rows: Array, images: torch.Tensor, chances: Array) -> tuple[str, ...]:
        """A caption of each picture, or a phrase with the name of its class; () where there is neither."""
        if not self.worded:
            return ()
        if self.texts:
            own = [self.texts[row] for row in rows]
            return tuple(wording.noun(t, (), chance) if t else "" for t, chance in zip(own, chances, strict=True))
        if not self.classes:
            return ()
        names = [wording.of_folder(self.classes[self.labels[row]]) for row in rows]
        colors = dominant_color(images).tolist() if images.shape[1] == 3 else [-1] * len(names)
        return tuple(wording.phrase(*each) for each in zip(names, colors, chances, strict=True))

    def _rng(self, purpose: int, place: int, device: torch.device | str) -> torch.Generator:
        """On the model's device: noise is drawn where it is wanted."""
        return torch.Generator(device).manual_seed(order.torch_seed(self.seed, purpose, place))


# --- opening -------------------------------------------------------------------------------------------------------


def open_dataset(
    path: Path,
    preparation: Preparation,
    *,
    val_fraction: float = 0.1,
    balanced: bool = False,
    augment: Augmentation = Augmentation(),
    seed: int = 0,
    words: bool = False,
    table: Path | None = None,
    by_color: bool = False,
    progress: PicturesDone | None = None,
) -> Dataset:
    """The pictures at `path`, prepared, cached and divided.

    val_fraction: the part held out, 0..0.9.  Where the data set has its own validation or test part, that is held out
    instead; with 0 it is left out.  balanced: draw every class equally often.  words: batches say in words what they
    show, from captions or the names of classes.  table, by_color: what is known of pictures, see data.known.  progress:
    see cache.open_cache.
    Raises UsageError: no usable pictures, no classes to balance, or a table of no use.  ArtgenError: no
    space for the cache.
    """
    if not 0 <= val_fraction <= 0.9:
        raise UsageError(f"{val_fraction:g} of the pictures cannot be held out: choose 0 to 0.9.")
    layout = read_layout(path, [] if preparation.masks is None else [preparation.masks])
    if balanced:
        require_classes(layout)
    cached = cache.open_cache(layout, preparation, progress)
    items = [layout.items[row] for row in cached.rows]
    own = np.array([item.held_out for item in items])
    official = own.any() and not own.all()  # a test part alone is what there is to train on
    held = own if official else order.held_out(cached.digests, val_fraction)
    labels = np.array([item.label for item in items], np.int64)
    names = [item.name for item in items]
    texts = tuple(item.texts for item in items) if any(item.texts for item in items) else ()
    told = known.gather(table, by_color, names, cached.images, preparation.color)
    return Dataset(
        images=cached.images,
        labels=labels,
        classes=layout.classes,
        names=names,
        training=np.flatnonzero(~held),
        held_out=np.flatnonzero(held if val_fraction else np.zeros_like(held)),
        skipped=(*layout.problems, *cached.skipped),
        layout=layout.describe(),
        notes=(*layout.notes, *told.notes),
        fingerprint=_fingerprint(names, labels, cached.digests, preparation, texts if words else (), told.facts),
        preparation=preparation,
        augmentation=augment,
        seed=seed,
        balanced=balanced,
        texts=texts,
        worded=words,
        first_of_several=cached.first_of_several,
        divided=bool(official),
        facts=told.facts,
        columns=told.columns,
    )


def require_classes(layout: Layout) -> None:
    """Raises UsageError where there are none, with what there is instead."""
    if layout.classes:
        return
    found = layout.notes[0] if layout.notes else f"it is {layout.describe()}."
    raise UsageError(f"{layout.root} has no classes: {found} Put the pictures in one folder per class.")


def _fingerprint(
    names: list[str], labels: Array, digests: Array, preparation: Preparation, texts: tuple[tuple[str, ...], ...],
    facts: Array | None,
) -> str:  # fmt: skip
    options = preparation.as_dict() | {"masks": preparation.masks is not None, "maskrcnn": None}  # not where they lie
    content = [names, labels.tolist(), digests.tolist(), options, *([texts] if texts else [])]
    content += [] if facts is None else [facts.tolist()]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
