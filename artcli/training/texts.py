"""Pictures with words as decoded arrays: what `artgen train diffusion` takes beside folders of pictures."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from artcli.training import words
from artcli.training.colors import dominant_color
from artcli.training.contract import Batch
from artcli.training.data import order
from artcli.training.pictures import load_sets

LOOKED_AT = 1024  # held-out pictures at most: enough for a precise mean loss


class TextPictures:
    """Batches of pictures with words from a folder of picture sets; a function of the seed and the step alone.

    size: side of the pictures.  held_out: see PictureSet.split.  Raises UsageError when the folder holds no picture
    sets.
    """

    def __init__(self, folder: Path, size: int, seed: int = 0, held_out: float | None = None):
        self.seed, self.size = seed, size
        self.sets = load_sets(folder)
        self.pixels = torch.cat([_resized(s.images, size) for s in self.sets])  # (N, 3, size, size) uint8
        self.owner = torch.repeat_interleave(torch.tensor([len(s.images) for s in self.sets]))  # which set a row is of
        self.labels = torch.cat([s.labels for s in self.sets])
        firsts = torch.tensor([0, *(len(s.images) for s in self.sets)]).cumsum(0)[:-1].tolist()
        split = [s.split(held_out) for s in self.sets]
        self.learned = [first + rows for first, (rows, _) in zip(firsts, split, strict=True)]  # training rows of a set
        self.training = torch.cat(self.learned).numpy()
        self.held_out = torch.cat([first + rows for first, (_, rows) in zip(firsts, split, strict=True)]).numpy()
        self.shares = torch.tensor([s.share for s in self.sets])
        self.nouns = [[line.split("|") for line in s.names] for s in self.sets]
        self.kinds = [[[kind for kind in line.split("|") if kind] for line in s.kinds] for s in self.sets]
        for pictures in self.sets:
            pictures.images.resize_(0)  # they are in `pixels` now

    @property
    def images(self) -> np.ndarray:
        """uint8 (N, size, size, 3), a view, as the folders of pictures have them."""
        return self.pixels.permute(0, 2, 3, 1).numpy()

    @cached_property
    def names(self) -> list[str]:
        """Of every picture: its set, its row there and what it shows.  Training does not need them."""
        return [
            f"{s.name}-{row}-{s.names[label].partition('|')[0]}"
            for s in self.sets
            for row, label in enumerate(s.labels.tolist())
        ]

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Batch:
        """Rows `first` to `first + count` of the `size` pictures of a step, each mirrored with probability 0.5."""
        rng = torch.Generator().manual_seed(order.torch_seed(self.seed, order.SHUFFLE, step))
        chosen = torch.multinomial(self.shares, size, True, generator=rng)
        places, mirrored = torch.rand(size, generator=rng), torch.rand(size, generator=rng) < 0.5
        wording = torch.rand(size, words.CHANCES, generator=rng)
        lengths = torch.tensor([len(rows) for rows in self.learned])
        inside = (places.double() * lengths[chosen]).long()
        rows = torch.stack([self.learned[s][i] for s, i in zip(chosen.tolist(), inside.tolist(), strict=True)])
        mine = slice(first, size if count is None else first + count)
        noise = torch.Generator(device).manual_seed(order.torch_seed(self.seed, order.NOISE, step))
        return self._batch(rows[mine], wording[mine], mirrored[mine], device, first, size, noise)

    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Batch]:
        """Held-out pictures, at most LOOKED_AT spread over all sets, each with its plainest text."""
        held = order.spread(self.held_out, min(limit or LOOKED_AT, LOOKED_AT))
        for number, rows in enumerate(torch.from_numpy(held).split(size)):
            rng = torch.Generator(device).manual_seed(order.torch_seed(self.seed, order.VALIDATION, number))
            plain = torch.tensor([words.PLAINEST]).expand(len(rows), -1)
            yield self._batch(rows, plain, torch.zeros(len(rows), dtype=torch.bool), device, 0, len(rows), rng)

    def _batch(
        self,
        rows: torch.Tensor,
        wording: torch.Tensor,
        mirrored: torch.Tensor,
        device: torch.device,
        first: int,
        whole: int,
        rng: torch.Generator,
    ) -> Batch:
        if self.pixels.device != device:
            self.pixels = self.pixels.to(device)  # once: an accelerator is fed from its own memory
        images = self.pixels[rows.to(device)].float() / 255
        images = torch.where(mirrored.to(device).view(-1, 1, 1, 1), images.flip(3), images)
        colors = dominant_color(images).tolist()
        texts = [self._text(*each) for each in zip(rows.tolist(), colors, wording.tolist(), strict=True)]
        labels = torch.zeros(len(rows), dtype=torch.long, device=device)
        return Batch(images, labels, first, whole, rng, texts=tuple(texts))

    def _text(self, row: int, color: int, chance: list[float]) -> str:
        number, label = int(self.owner[row]), int(self.labels[row])
        noun = words.noun(self.nouns[number][label], self.kinds[number][label], chance)
        return words.phrase(noun, color, chance) if self.sets[number].attributes else noun


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 (N, 3, S, S) to (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images.contiguous()
    parts = [
        F.interpolate(part.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for part in images.split(1000)
    ]
    return torch.cat(parts)
