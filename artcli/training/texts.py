"""Pictures with words as decoded arrays: what `artgen train diffusion` takes beside folders of pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from artcli.training import words
from artcli.training.contract import Batch
from artcli.training.data import order
from artcli.training.pictures import PictureSet, load_sets

LOOKED_AT = 1024  # held-out pictures at most: their mean loss is sharp enough, and the clock belongs to training


class TextPictures:
    """Batches of pictures with words from a folder of picture sets; a function of the seed and the step alone.

    size: side of the pictures.  Raises UsageError when the folder holds no picture sets.
    """

    def __init__(self, folder: Path, size: int, seed: int = 0):
        self.seed, self.size = seed, size
        self.sets = [replace(s, images=_resized(s.images, size)) for s in load_sets(folder)]
        self.rows = [s.split() for s in self.sets]
        self.shares = torch.tensor([s.share for s in self.sets])

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Batch:
        """Rows `first` to `first + count` of the `size` pictures of a step, each mirrored with probability 0.5."""
        rng = torch.Generator().manual_seed(order.torch_seed(self.seed, order.SHUFFLE, step))
        chosen = torch.multinomial(self.shares, size, True, generator=rng)
        places, mirrored = torch.rand(size, generator=rng), torch.rand(size, generator=rng) < 0.5
        wording = torch.rand(size, words.CHANCES, generator=rng)
        images, texts = [], []
        for row in range(first, size if count is None else first + count):
            number = int(chosen[row])
            rows = self.rows[number][0]
            image, text = _one(self.sets[number], int(rows[int(places[row] * len(rows))]), wording[row].tolist())
            images.append(image.flip(-1) if mirrored[row] else image)
            texts.append(text)
        noise = torch.Generator().manual_seed(order.torch_seed(self.seed, order.NOISE, step))
        return _batch(images, texts, device, first, size, noise)

    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Batch]:
        """Held-out pictures, at most LOOKED_AT spread over all sets, each with its plainest text."""
        held = [(number, int(row)) for number, (_, rows) in enumerate(self.rows) for row in rows]
        held = [held[i] for i in order.spread(torch.arange(len(held)).numpy(), min(limit or LOOKED_AT, LOOKED_AT))]
        for number, start in enumerate(range(0, len(held), size)):
            pairs = [_one(self.sets[s], row, words.PLAINEST) for s, row in held[start : start + size]]
            rng = torch.Generator().manual_seed(order.torch_seed(self.seed, order.VALIDATION, number))
            yield _batch([i for i, _ in pairs], [t for _, t in pairs], device, 0, len(pairs), rng)


def _one(pictures: PictureSet, row: int, chance: list[float]) -> tuple[torch.Tensor, str]:
    """A picture (3, S, S) uint8 and a text for it."""
    image, label = pictures.images[row], int(pictures.labels[row])
    names, kinds = pictures.names[label].split("|"), [k for k in pictures.kinds[label].split("|") if k]
    noun = words.noun(names, kinds, chance)
    return image, words.phrase(noun, image.float() / 255, chance) if pictures.attributes else noun


def _batch(
    images: list[torch.Tensor], texts: list[str], device: torch.device, first: int, whole: int, rng: torch.Generator
) -> Batch:
    pixels = torch.stack(images).to(device).float() / 255
    return Batch(pixels, torch.zeros(len(images), dtype=torch.long), first, whole, rng, texts=tuple(texts))


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 (N, 3, S, S) to (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images.contiguous()
    parts = [
        F.interpolate(part.float(), (size, size), mode="bicubic", antialias=True).round().clamp(0, 255).byte()
        for part in images.split(1000)
    ]
    return torch.cat(parts)
