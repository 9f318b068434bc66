"""Grids of what a model draws while it learns: always the same seeds and the same held-out pictures."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.utils import make_grid

from artcli.media import images
from artcli.training.contract import Batch
from artcli.training.data.augment import to_rgb

COUNT, COLUMNS = 36, 6
REBUILT = 8


SLOW = 20.0  # seconds, for a grid that is not drawn at every save
EVERY = 600.0  # seconds between such grids


class Turn:
    """Whether a grid is due: of a slow sampler only every so often, and always at the end."""

    def __init__(self) -> None:
        self.took, self.ended = 0.0, -math.inf  # seconds of the last grid; when it was done

    def due(self, last: bool) -> bool:
        return last or self.took < SLOW or time.monotonic() - self.ended >= EVERY

    @contextmanager
    def draw(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.ended = time.monotonic()
        self.took = self.ended - began


@torch.no_grad()
def fit(model: Any, source: Any, device: torch.device) -> None:
    """Let the model look at training pictures; what it learns of them is part of its weights."""
    model.eval()
    if hasattr(model, "fit"):
        model.fit(batches(source, device))


@torch.no_grad()
def write(run: Path, step: int, model: Any, source: Any, classes: int, device: torch.device) -> np.ndarray | None:
    """Draw what the model can draw into RUN/samples and RUN/reconstructions; the samples as uint8 (N, H, W, C)."""
    model.eval()
    color = source.preparation.color if hasattr(source, "preparation") else "rgb"
    drawn = None
    if hasattr(model, "generate"):
        labels = torch.arange(COUNT, device=device) % classes if classes else None
        pictures = model.generate(range(COUNT), labels)
        pictures = to_rgb(pictures.float(), color)
        _save(path(run, "samples", step), pictures, COLUMNS)
        drawn = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    held = next(source.validation(REBUILT, device=device, limit=REBUILT), None)
    if hasattr(model, "show") and held is not None:
        _save(path(run, "reconstructions", step), to_rgb(model.show(held).float(), color), len(held))
    elif hasattr(model, "reconstruct") and held is not None:
        both = to_rgb(torch.cat((held.images, model.reconstruct(held.images))).float(), color)
        _save(path(run, "reconstructions", step), both, len(held))
    return drawn


def path(run: Path, kind: str, step: int) -> Path:
    return run / kind / f"step-{step:06d}.png"


def batches(source: Any, device: torch.device, limit: int = 2048) -> Iterator[Batch]:
    """Training pictures for statistics of the latents."""
    yield from source.training_pictures(limit, size=256, device=device)


def _save(to: Path, pictures: torch.Tensor, columns: int) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    grid = make_grid(pictures.clamp(0, 1).float().cpu(), nrow=columns, padding=2, pad_value=1.0)
    images.save(to, images.from_tensor(grid))
