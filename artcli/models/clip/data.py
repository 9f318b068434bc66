"""What clip-mini learns from: texts with a teacher's embeddings, and labelled pictures with their colour words."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F

from artcli.errors import UsageError
from artcli.models.clip.concepts import Concepts
from artcli.models.clip.phrases import STYLES
from artcli.nn import augment
from artcli.pretrained.clip import library
from artcli.training.colors import COLORS, dominant_color
from artcli.training.contract import Batch
from artcli.training.pictures import TEACHER, TEXTS, PictureSet, load_sets
from artcli.training.trainer import step_rng

if TYPE_CHECKING:
    from artcli.models.clip.model import Config

ATTRIBUTES = tuple(f"a {color} {{}}" for color in COLORS) + STYLES[:2]  # the styles augment can make
BLACK_AND_WHITE, SKETCH = len(COLORS), len(COLORS) + 1


@dataclass(frozen=True)
class TextBatch(Batch):
    """tokens (B, L), targets (B, D) of the teacher; no pictures."""

    targets: torch.Tensor

    @property
    def tokens(self) -> torch.Tensor:
        return self.labels


@dataclass(frozen=True)
class PictureBatch(Batch):
    """labels: rows of the concepts.  hidden: (B, rows) left out of the softmax.  attribute: (B,), -1 for none.

    turned: (B,), True where the hue was changed.  part: of the run, 0..1.  told: (B, names), a teacher's probabilities.
    """

    hidden: torch.Tensor
    attribute: torch.Tensor
    turned: torch.Tensor
    part: float
    told: torch.Tensor | None = None


@functools.cache
def tokenizer(length: int) -> Any:
    """open_clip's, for texts of so many tokens; made once a process, as it reads a long vocabulary."""
    return library().tokenizer.SimpleTokenizer(context_length=length)


class ClipData:
    """Batches of the text tower's part of a run, then of the image tower's.

    folder: made by weights/recipes/text_image_data.py (picture sets and texts.npz).  held_out: see PictureSet.split.
    Raises UsageError when it lacks either; without text steps the texts are not asked for.
    """

    divides = False  # a batch is taken whole

    def __init__(self, folder: Path, config: "Config", seed: int = 0, held_out: float | None = None):
        self.config, self.seed = config, seed
        if config.text_steps:  # half a minute for a table that a run without the text part does not need
            self.texts, self.targets = load_texts(folder, tokenizer(config.context_length), config.embed_dim)
        self.sets = load_sets(folder)
        self.taught: list[str] = []
        if config.teacher_weight:
            self.taught, self.teacher = load_teacher(folder, self.sets)
        self.rows = [s.split(held_out) for s in self.sets]
        self.concepts = Concepts(self.sets)

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Batch:
        """The batch of a step; its size is the settings', and it is not divided among processes."""
        if count is not None and count != size:
            raise UsageError("clip trains in one process: start it without torchrun")
        rng = step_rng(self.seed, step)
        if step < self.config.text_steps:
            return self._texts(rng, device)
        part = (step - self.config.text_steps) / self.config.image_steps
        return self._pictures(part, rng, device)

    def validation(self, size: int, *, device: torch.device, limit: int | None = None) -> Iterator[Batch]:
        """Every set's held-out pictures, never two sets in one batch.  `labels` are rows of the concepts."""
        side = self.config.size
        for number, (pictures, (_, held)) in enumerate(zip(self.sets, self.rows, strict=True)):
            for part in held.split(size) if len(held) else ():
                images = F.interpolate(
                    pictures.images[part].float() / 255, (side, side), mode="bilinear", antialias=True
                )
                if self.config.seen:
                    images = as_seen(images, self.config.seen)
                labels = pictures.labels[part] + self.concepts.first_class[number]
                yield Batch(images.to(device), labels.to(device), 0, len(part), torch.Generator())

    def _texts(self, rng: torch.Generator, device: torch.device) -> TextBatch:
        rows = self._similar_lengths(rng)
        tokens, targets = self.texts[rows].to(device).long(), self.targets[rows].to(device)
        return TextBatch(targets, tokens, 0, len(rows), rng, targets)

    def _similar_lengths(self, rng: torch.Generator) -> torch.Tensor:
        """Random rows of about one length: a batch costs as much as its longest text.

        A quarter, drawn at random, of four batches sorted by length; over many steps every text is equally likely.
        """
        count = self.config.text_batch
        rows = torch.randint(len(self.texts), (4 * count,), generator=rng)
        rows = rows[(self.texts[rows] != 0).sum(1).argsort(stable=True)]
        quarter = int(torch.randint(4, (), generator=rng))
        return rows[quarter * count : (quarter + 1) * count]

    def _pictures(self, part: float, rng: torch.Generator, device: torch.device) -> PictureBatch:
        side = self.config.side(part)
        shares = torch.tensor([s.share for s in self.sets])
        drawn = torch.multinomial(shares, self.config.batch, True, generator=rng)
        images, labels, attributed, told = [], [], [], []
        for number, count in enumerate(torch.bincount(drawn, minlength=len(shares)).tolist()):
            if count:
                pictures, rows = self.sets[number], self.rows[number][0]
                rows = rows[torch.randint(len(rows), (count,), generator=rng)]
                images.append(augment.random_crops(pictures.images[rows].float() / 255, side, rng, (0.4, 1.0)))
                labels.append(pictures.labels[rows] + self.concepts.first_class[number])
                attributed.append(torch.full((count,), pictures.attributes))
                if self.taught:
                    told.append(self.teacher[number][rows].float().softmax(1))
        batch, attribute, turned = attribute_batch(augment.jitter(torch.cat(images), rng), torch.cat(attributed), rng)
        if self.config.seen:
            batch = as_seen(batch, self.config.seen)
        batch = batch.contiguous(memory_format=torch.channels_last)
        rows, hidden = self.concepts.draw(torch.cat(labels), rng)
        hidden, attribute, turned = hidden.to(device), attribute.to(device), turned.to(device)
        taught = torch.cat(told).to(device) if told else None
        return PictureBatch(
            batch.to(device), rows.to(device), 0, len(batch), rng, hidden, attribute, turned, part, taught
        )


def as_seen(images: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 3, S, S) with no more detail than pictures of this side have."""
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="bicubic").clamp(0, 1)


def attribute_batch(images: torch.Tensor, allowed: torch.Tensor, rng: torch.Generator):
    """Turn some hues, make some pictures black and white or a sketch, then read off every picture's attribute.

    Returns images, attribute (index into ATTRIBUTES, -1 where none) and which hues were turned.
    """
    images, turned = augment.random_hue(images, rng, 0.12)
    style = torch.rand(len(images), generator=rng)
    grey, drawn = (style < 0.03) & allowed, (style > 0.97) & allowed
    images = torch.where(grey.view(-1, 1, 1, 1), augment.black_and_white(images), images)
    images = torch.where(drawn.view(-1, 1, 1, 1), augment.sketch(images), images)
    attribute = torch.where(allowed, dominant_color(images), -1)
    attribute[grey], attribute[drawn] = BLACK_AND_WHITE, SKETCH
    return images, attribute, turned


def load_texts(data: Path, tokenize, dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token rows (N, L) as int32 and the teacher's targets (N, dims)."""
    path = data / TEXTS
    if not path.is_file():
        raise UsageError(
            f"{data} has no {TEXTS}: clip learns from texts and from packed sets of pictures with names; "
            "weights/recipes/text_image_data.py in artgen's source collects both"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            texts, vectors = [str(t) for t in file["texts"]], torch.from_numpy(file["vectors"]).float()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}); weights/recipes/text_image_data.py makes it") from error
    if dims > vectors.shape[1]:
        raise UsageError(f"embed_dim {dims} is more than the {vectors.shape[1]} of the teacher in {path}")
    return tokenize(texts).int(), whiten(vectors, dims)


def load_teacher(data: Path, sets: list[PictureSet]) -> tuple[list[str], list[torch.Tensor]]:
    """Names that the teacher knows, and its logits (N, names) for every set's pictures."""
    path = data / TEACHER
    if not path.is_file():
        raise UsageError(f"{data} has no {TEACHER}: weights/recipes/teacher.py in artgen's source makes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            names, told = [str(n) for n in file["names"]], [torch.from_numpy(file[s.name]) for s in sets]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UsageError(f"{path} does not fit the sets beside it ({error})") from error
    for pictures, rows in zip(sets, told, strict=True):
        if rows.shape != (len(pictures.images), len(names)):
            raise UsageError(f"{path} tells of {len(rows)} pictures of {pictures.name}, not {len(pictures.images)}")
    return names, told


def whiten(vectors: torch.Tensor, dims: int) -> torch.Tensor:
    """Teacher embeddings (N, D) centred, in their first `dims` principal directions, half whitened, unit length."""
    centred = vectors - vectors.mean(0)
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    scaled = directions[:, -dims:] * variance[-dims:].clamp_min(1e-8) ** -0.25
    return F.normalize(centred @ scaled, dim=1)
