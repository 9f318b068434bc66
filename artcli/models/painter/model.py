"""Training the painter: Paint Transformer's stroke predictor (Liu et al., 2021), which needs no data.

From a canvas and the same canvas with up to eight more strokes it learns to say which strokes these are.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from artcli.errors import UsageError
from artcli.media import brushes
from artcli.models.painter import matching, render
from artcli.models.painter.synthetic import StrokeBatch, Synthetic
from artcli.nn import checks
from artcli.nn.inference import inference
from artcli.nn.stroke_predictor import HEADS, PATCH, Predictor, Sizes
from artcli.pretrained import half
from artcli.training.contract import BATCH, Exported, Port, pictures

DATA_FREE = True  # DATA may be "none"

_MAY_BE_ZERO = {"dropout", "fewest", "places", "pixel", "shape", "gaussian", "decision"}


@dataclass(frozen=True)
class Config:
    """The paper's settings.

    width, ffn, layers: of the transformer.  strokes: how many it predicts.  fewest: `fewest` to `strokes` strokes are
    missing on a patch; 0: always `strokes`.
    places, sides: ranges of the centres and the sides of random strokes, in sides of a patch.  tinted: the background
    has any colour; otherwise it is black.  samples: patches of an epoch.  pixel, shape, gaussian, decision: weights of
    the L1 distance of pictures, the L1 distance of parameters, the Wasserstein distance and the decisions.  positive:
    weight of a stroke that has to be drawn, relative to one that must not.  held_out: patches for validation.
    """

    size: int = PATCH
    channels: int = 3
    width: int = 256
    ffn: int = 2048
    layers: int = 3
    strokes: int = 8
    fewest: int = 0
    places: tuple[float, ...] = (0.2, 0.7)
    sides: tuple[float, ...] = (0.2, 0.7)
    tinted: bool = False
    dropout: float = 0.1
    brush: str = "flat"
    pixel: float = 10.0
    shape: float = 1.0
    gaussian: float = 10.0
    decision: float = 10.0
    positive: float = 10.0
    samples: int = 16_384
    held_out: int = 1024
    batch: int = 64
    epochs: int = 220
    lr: float = 1e-4

    def __post_init__(self) -> None:
        checks.positive(self, _MAY_BE_ZERO)
        checks.below_one(self, "dropout")
        checks.one_of(self, "brush", brushes.NAMES)
        if (self.size, self.channels) != (PATCH, 3):
            raise UsageError(
                f"a painter looks at colour patches of {PATCH} pixels: leave size and channels as they are"
            )
        if self.fewest > self.strokes:
            raise UsageError(
                f"fewest {self.fewest} is more than strokes {self.strokes}: at most {self.strokes} are missing"
            )
        for name, span in (("places", self.places), ("sides", self.sides)):
            if len(span) != 2 or not span[0] <= span[1]:
                raise UsageError(f"{name} goes from a smaller number to a larger one, such as 0.2,0.7, not {span}")
        if self.width % HEADS:
            raise UsageError(f"width {self.width} is no multiple of {HEADS}, the number of attention heads")


# Patches that miss a single stroke are easy, so the painter soon learns to locate strokes; with eight missing on every
# patch it learns nothing for thousands of steps.  Strokes that reach the corners or fill a patch leave no holes in the
# paintings.  The data are endless, so there is no dropout.
_SMALL = Config(
    width=128,
    ffn=512,
    dropout=0.0,
    fewest=1,
    places=(0.0, 1.0),
    sides=(0.1, 1.0),
    tinted=True,
    decision=2.0,
    lr=5e-4,
)
PRESETS = {"paper": Config(), "small": _SMALL, "tiny": replace(_SMALL, width=64, ffn=64, layers=1)}


class Model(Predictor):
    """The predictor and one step of its training."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__(Sizes(config.width, config.ffn, config.layers, config.strokes), config.dropout)
        self.config = config
        self.brush = render.prototype(config.brush)
        self.metrics: dict[str, float] = {}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"painter": torch.optim.Adam(self.parameters(), self.config.lr, (0.5, 0.999))}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Level for 200 of 220 parts of the run, then times 0.3 after every 5 parts."""
        part = 220 * step // max(1, total)
        return {"painter": 0.3 ** max(0, (part - 200) // 5)}

    def train_step(self, batch: StrokeBatch) -> Iterator[tuple[str, torch.Tensor]]:
        losses = self._losses(batch)
        self.metrics = {name: loss.item() for name, loss in losses.items() if name != "loss"}
        yield "painter", losses["loss"]

    @torch.no_grad()
    def validate(self, batch: StrokeBatch) -> dict[str, torch.Tensor]:
        return self._losses(batch)

    def _losses(self, batch: StrokeBatch) -> dict[str, torch.Tensor]:
        """Means over the patches; within each, over its own valid strokes, of which there is always one."""
        with _attention(batch.images.device):
            shapes, logits = self(batch.images, batch.canvases)
        shapes, logits = shapes.float(), logits.float()
        chosen = matching.match(shapes, logits, batch.strokes, batch.valid)  # (B, S)
        matched = shapes.gather(1, chosen[..., None].expand(-1, -1, 5))
        wanted = torch.zeros_like(logits).scatter(1, chosen, batch.valid.float())
        painted = self._painted(batch.images, batch.canvases, shapes, render.Draws.apply(logits))
        weight = torch.full((), self.config.positive, device=logits.device)
        found = {
            "pixel": F.l1_loss(painted, batch.images),
            "shape": _over_valid((matched - batch.strokes).abs().mean(-1), batch.valid),
            "gaussian": _over_valid(matching.wasserstein(matched, batch.strokes), batch.valid),
            "decision": F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight),
        }
        total = sum((getattr(self.config, name) * loss for name, loss in found.items()), torch.zeros_like(weight))
        return {"loss": total, **found}

    def _painted(
        self, targets: torch.Tensor, canvases: torch.Tensor, shapes: torch.Tensor, drawn: torch.Tensor
    ) -> torch.Tensor:
        return render.render(canvases, shapes, render.colors_at(targets, shapes), drawn, self.brush)

    # results --------------------------------------------------------------------------------------------------------

    @inference
    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) in 0..1 painted with one round of strokes on black."""
        canvases = torch.zeros_like(images)
        shapes, logits = self(images, canvases)
        return self._painted(images, canvases, shapes, (logits > 0).float()).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """Write painter.safetensors, in half precision, under the names of the paper's checkpoint."""
        half.export(folder / "painter.safetensors", self.state_dict())

    def exports(self) -> dict[str, Exported]:
        """Patches to strokes (x, y, w, h in sides of the patch, theta in units of pi) and to logits: draw above 0."""
        given = pictures("targets", 3, PATCH, PATCH), pictures("canvases", 3, PATCH, PATCH)
        found = Port("strokes", (BATCH, self.config.strokes, 5)), Port("logits", (BATCH, self.config.strokes))
        return {"painter": Exported(self, (self,), given, found)}


def open_data(folder: Path | None, config: Config, seed: int, held_out: float | None) -> Synthetic:
    """Raises UsageError: a part of pictures is to be held out, and there are none."""
    if folder is None and held_out is not None:
        raise UsageError(
            "painter holds no pictures out where it makes its own data: leave out --val-fraction; "
            "--set held_out=N says how many patches it is checked on"
        )
    return Synthetic(config, seed, folder, held_out)


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """On the CPU the plain form: of 64 places its gradient takes half as long as the one in blocks."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _over_valid(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The mean over the patches of their means over valid strokes."""
    return ((values * valid).sum(1) / valid.sum(1).clamp_min(1)).mean()
