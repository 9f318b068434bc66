"""Pictures with words: labelled picture sets whose batches say in words what each picture shows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F

from artcli.backends.clip_phrases import COLORS
from artcli.training.colors import dominant_color
from artcli.training.concepts import KIND_PART
from artcli.training.contract import Batch
from artcli.training.data import order
from artcli.training.pictures import PictureSet, load_sets

LOOKED_AT = 1024  # held-out pictures at most: their mean loss is sharp enough, and the clock belongs to training
COLOR_PART = 0.5  # of the pictures with a leading colour whose text names it
FORMS = ("{}", "a {}", "a photo of a {}")


@dataclass(frozen=True)
class TextBatch(Batch):
    """texts: what each picture shows, one a row."""

    texts: tuple[str, ...]

    def split(self, parts: int) -> list[Self]:
        pieces = super().split(parts)
        starts = [piece.first - self.first for piece in pieces]
        return [
            replace(piece, texts=self.texts[start : start + len(piece)])
            for piece, start in zip(pieces, starts, strict=True)
        ]


class TextPictures:
    """Batches of pictures with words from a folder of picture sets; a function of the seed and the step alone.

    size: side of the pictures.  Raises UsageError when the folder holds no picture sets.
    """

    def __init__(self, folder: Path, size: int, seed: int = 0):
        self.seed, self.size = seed, size
        self.sets = [replace(s, images=_resized(s.images, size)) for s in load_sets(folder)]
        self.rows = [s.split() for s in self.sets]
        self.shares = torch.tensor([s.share for s in self.sets])

    def batch(
        self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None
    ) -> TextBatch:
        """Rows `first` to `first + count` of the `size` pictures of a step, every second one mirrored by chance."""
        rng = torch.Generator().manual_seed(order.torch_seed(self.seed, order.SHUFFLE, step))
        chosen = torch.multinomial(self.shares, size, True, generator=rng)
        places, mirror = torch.rand(size, generator=rng), torch.rand(size, generator=rng) < 0.5
        wording = torch.rand(size, 5, generator=rng)
        mine = slice(first, size if count is None else first + count)
        images, texts = [], []
        for number, place, flip, words in zip(
            chosen[mine].tolist(), places[mine].tolist(), mirror[mine].tolist(), wording[mine].tolist(), strict=True
        ):
            rows = self.rows[number][0]
            image, text = self._one(self.sets[number], int(rows[int(place * len(rows))]), words)
            images.append(image.flip(-1) if flip else image)
            texts.append(text)
        noise = torch.Generator().manual_seed(order.torch_seed(self.seed, order.NOISE, step))
        pixels = torch.stack(images).to(device)
        return TextBatch(_floats(pixels), torch.zeros(len(pixels), dtype=torch.long), first, size, noise, tuple(texts))

    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[TextBatch]:
        """Held-out pictures, at most `limit` spread over all sets, each with its plainest text."""
        held = [(number, int(row)) for number, (_, rows) in enumerate(self.rows) for row in rows]
        held = [held[i] for i in order.spread(torch.arange(len(held)).numpy(), min(limit or LOOKED_AT, LOOKED_AT))]
        for number, start in enumerate(range(0, len(held), size)):
            pairs = [self._one(self.sets[s], row, [0.0, 1.0, 0.0, 1.0, 0.0]) for s, row in held[start : start + size]]
            rng = torch.Generator().manual_seed(order.torch_seed(self.seed, order.VALIDATION, number))
            pixels = torch.stack([image for image, _ in pairs]).to(device)
            labels = torch.zeros(len(pairs), dtype=torch.long)
            yield TextBatch(_floats(pixels), labels, 0, len(pairs), rng, tuple(text for _, text in pairs))

    def _one(self, pictures: PictureSet, row: int, chance: list[float]) -> tuple[torch.Tensor, str]:
        """A picture and a text for it: one of its names or kinds, with its colour and in a form by chance."""
        image, label = pictures.images[row], int(pictures.labels[row])
        names, kinds = pictures.names[label].split("|"), [k for k in pictures.kinds[label].split("|") if k]
        pool = kinds if kinds and chance[1] < KIND_PART else names
        words = pool[int(chance[0] * len(pool))]
        if not pictures.attributes:
            return image, words
        if chance[3] < COLOR_PART:
            color = int(dominant_color(_floats(image[None])))
            words = f"{COLORS[color]} {words}" if color >= 0 else words
        return image, FORMS[int(chance[4] * len(FORMS))].format(words)


def _floats(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 255


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 (N, 3, S, S) to (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images.contiguous()
    parts = [
        F.interpolate(part.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for part in images.split(1000)
    ]
    return torch.cat(parts)
