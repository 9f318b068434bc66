"""Pictures that the user gives, in the form the model was trained on, and how near two pictures are."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from artcli.console import Console
from artcli.errors import ArtgenError, UsageError
from artcli.media import files
from artcli.training.data import prepare
from artcli.training.data.prepare import Preparation

if TYPE_CHECKING:
    from artcli.training.runs import Loaded


class Given(NamedTuple):
    """names: as the user wrote them.  pictures: (N, C, S, S) uint8.  failed: how many could not be read."""

    names: list[str]
    pictures: torch.Tensor
    failed: int


def preparation_of(loaded: "Loaded") -> Preparation:
    """What was done to the training pictures, without their masks, which belong to them alone."""
    known = {field.name for field in fields(Preparation)}
    told = {k: v for k, v in loaded.spec.data.preparation.items() if k in known}
    told = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()} | {"size": int(loaded.config.size)}
    if int(loaded.config.channels) == 1:
        told["color"] = "grey"
    if told.get("maskrcnn") is not None:
        told["maskrcnn"] = Path(told["maskrcnn"])
    return Preparation(**told | {"masks": None})


def read(sources: Sequence[Path | files.Stdio], preparation: Preparation, console: Console) -> Given:
    """Read every picture; one that cannot be read is reported and left out.  Raises UsageError when none can be."""
    mask_of = prepare.mask_source(preparation)
    names, pictures, failed = [], [], 0
    for source in sources:
        try:
            rgb = prepare.decode(cast(Any, source), preparation.background_rgb())  # which opens names just as well
            mask = None if mask_of is None else mask_of(str(source), rgb)
            pictures.append(torch.tensor(prepare.apply(rgb, mask, preparation)).permute(2, 0, 1))
            names.append(str(source))
        except UsageError as error:
            if len(sources) == 1:
                raise
            console.error(str(error))
            failed += 1
    if not pictures:
        raise UsageError(f"none of the {len(sources)} pictures can be read")
    return Given(names, torch.stack(pictures), failed)


def read_stops(sources: Sequence[Path], preparation: Preparation, console: Console) -> Given:
    """Read the pictures of --between.  Raises UsageError for the first that cannot be read: each is needed."""
    found = [read([source], preparation, console) for source in sources]
    return Given([name for one in found for name in one.names], torch.cat([one.pictures for one in found]), 0)


def in_one_size(preparation: Preparation, size: int) -> Preparation:
    """The same, in colours and with another size: for pictures that several models get."""
    return replace(preparation, size=size, color="rgb")


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of two pictures in 0..1; infinite for equal ones."""
    error = (one.clamp(0, 1) - other.clamp(0, 1)).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def report_failed(given: Given) -> None:
    """Raises ArtgenError, after the work on the others is done, when some could not be read."""
    if given.failed:
        whole = given.failed + len(given.names)
        raise ArtgenError(f"{given.failed} of {whole} pictures could not be read; the others are done")
