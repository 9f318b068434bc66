"""Labelled picture sets as decoded arrays: one `NAME.npz` per set (images, labels, names, share)."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from artcli.errors import UsageError

TEXTS, TEACHER = "texts.npz", "teacher.npz"  # in the same folder, and no sets
HELD_OUT = 0.02  # part of every set that is for validation: every 50th picture


@dataclass(frozen=True)
class PictureSet:
    """One set: images uint8 (N, 3, S, S), labels (N,), a name per class, what kinds of things it is, its share of
    every batch."""

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    names: list[str]  # "name|synonym"
    kinds: list[str]  # "car|vehicle" of a sports car, or ""
    share: float
    attributes: bool  # whether "a red CLASS" makes sense

    def split(self, held_out: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Row numbers for training and for validation, which is spread evenly.

        held_out: the part for validation, 0..0.9; HELD_OUT where it is None.
        """
        part = Fraction(HELD_OUT if held_out is None else held_out).limit_denominator(10_000)  # exact, unlike floats
        rows = torch.arange(len(self.images))
        held = (rows + 1) * part.numerator // part.denominator > rows * part.numerator // part.denominator
        return rows[~held], rows[held]


def is_set(path: Path) -> bool:
    return path.name not in (TEXTS, TEACHER)


def load_sets(folder: Path) -> list[PictureSet]:
    """Every picture set in the folder, sorted by name.

    Raises UsageError when there is none or one cannot be read.
    """
    paths = sorted(p for p in folder.glob("*.npz") if is_set(p))
    if not paths:
        raise UsageError(
            f"{folder} holds no packed sets of pictures with names (*.npz); weights/recipes/text_image_data.py in "
            "artgen's source collects them"
        )
    return [_load(path) for path in paths]


def _load(path: Path) -> PictureSet:
    try:
        with np.load(path, allow_pickle=False) as data:
            images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)
            return PictureSet(
                path.stem,
                images,
                torch.from_numpy(data["labels"]).long(),
                [str(n) for n in data["names"]],
                [str(k) for k in data["kinds"]],
                float(data["share"]),
                bool(data["attributes"]),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UsageError(f"{path} is not a picture set: {error}") from error
