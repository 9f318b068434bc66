"""`--metrics kid,fid`: how near a model's pictures are to the data, at checkpoints of its training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from artcli.errors import UsageError
from artcli.media import images
from artcli.nn import fidelity
from artcli.training.data import order
from artcli.training.data.augment import to_float, to_rgb

if TYPE_CHECKING:
    from artcli.commands.train.options import Options
    from artcli.pretrained.inception import Inception

FIGURES = {"kid": fidelity.kid, "fid": fidelity.fid}
_AT_ONCE = 16
_LEAST = 8  # pictures of each kind


@dataclass
class Metrics:
    """names: of FIGURES.  every: so many checkpoints, and at the end.  count: pictures of each kind, at most."""

    names: tuple[str, ...]
    every: int
    count: int
    net: "Inception"
    _real: torch.Tensor | None = field(default=None, init=False)

    def due(self, step: int, save_every: int, total: int) -> bool:
        """At a checkpoint after this step: the same ones however often the run was interrupted."""
        return step == total or (step // save_every) % self.every == 0

    def look(
        self, model: Any, data: Any, classes: int, device: torch.device, stop: Callable[[], bool]
    ) -> tuple[dict[str, float], str]:
        """The figures, and a line that says of what they are.

        None when `stop` says so, or the model cannot draw yet.
        """
        unready = getattr(model, "unready", None)
        if unready is not None and unready():
            return {}, ""
        color = data.preparation.color if hasattr(data, "preparation") else "rgb"
        rows = order.spread(np.arange(len(data.images)), self.count)  # as `artgen sample --score` takes them
        if self._real is None:
            self._real = self._features(_pictures(data, rows, color), stop)
        drawn = self._features(_drawn(model, len(rows), _labels(data, rows, classes, device), color), stop)
        if self._real is None or drawn is None:
            return {}, ""
        found = {name: round(FIGURES[name](drawn, self._real), 6) for name in self.names}
        said = ", ".join(f"{name.upper()} {value:.4g}" for name, value in found.items())
        return found, f"{said} of {len(drawn)} samples beside {len(self._real)} pictures, by {self.net.name}"

    def _features(self, batches: Iterator[torch.Tensor], stop: Callable[[], bool]) -> torch.Tensor | None:
        """(N, D) of uint8 pictures (B, 3, H, W); None when it was stopped."""
        found = []
        for batch in batches:
            if stop():
                return None
            found.append(self.net(batch))
        return torch.cat(found)


def _labels(data: Any, rows: np.ndarray, classes: int, device: torch.device) -> list[torch.Tensor | None]:
    """The classes of the real pictures for as many samples, in batches."""
    starts = range(0, len(rows), _AT_ONCE)
    if not classes:
        return [None] * len(starts)
    return [torch.from_numpy(data.labels[rows[at : at + _AT_ONCE]]).to(device) for at in starts]


@torch.no_grad()
def _drawn(model: Any, total: int, labels: list[torch.Tensor | None], color: str) -> Iterator[torch.Tensor]:
    """Of the seeds from 0 on, always the same."""
    model.eval()
    for number, told in enumerate(labels):
        first = number * _AT_ONCE
        count = min(_AT_ONCE, total - first)
        yield _bytes(model.generate(range(first, first + count), told), color)


def _pictures(data: Any, rows: np.ndarray, color: str) -> Iterator[torch.Tensor]:
    for at in range(0, len(rows), _AT_ONCE):
        yield _bytes(to_float(torch.from_numpy(np.array(data.images[rows[at : at + _AT_ONCE]]))), color)


def _bytes(pictures: torch.Tensor, color: str) -> torch.Tensor:
    shown = to_rgb(pictures.float().cpu(), color)
    return torch.stack([torch.from_numpy(images.from_tensor(each)) for each in shown]).permute(0, 3, 1, 2)


# --- before the first step -------------------------------------------------------------------------------------------


def load(asked: "Options", backend: Any, device: torch.device) -> Metrics | None:
    """What --metrics asks for; None without.

    Raises UsageError: the model draws nothing, or torch-fidelity is not installed.  WeightsError: no weights of
    Inception, with how to name them.
    """
    if not asked.metrics:
        return None
    if not hasattr(backend.Model, "generate"):
        raise UsageError(f"{asked.model} draws nothing that --metrics could measure: leave it out")
    if find_spec("torch_fidelity") is None:
        raise UsageError("--metrics needs torch-fidelity: pip install 'artgen[metrics]'")
    from artcli.pretrained import inception

    net = inception.load(str(asked.inception or inception.NAME), device, offline=asked.offline)
    return Metrics(asked.metrics, asked.metrics_every, asked.metrics_pictures, net)


def check(metrics: Metrics | None, data: Any) -> None:
    """Raises UsageError: there are too few pictures, or none that samples could be compared with."""
    if metrics is None:
        return
    if not hasattr(data, "images") or not hasattr(data, "labels"):
        raise UsageError("--metrics compares with pictures, and these data are of another kind: leave it out")
    if len(data.images) < _LEAST:
        raise UsageError(f"--metrics needs {_LEAST} pictures or more, not {len(data.images)}")
