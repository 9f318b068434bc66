"""VQ-VAE ("Neural Discrete Representation Learning", van den Oord et al., 2017) with a transformer as its prior.

The prior learns the codes while they form, with an optimizer of its own, and draws new grids of codes for samples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, strided
from artcli.nn.inference import inference
from artcli.nn.labels import forget, unknown
from artcli.nn.latents import lerp
from artcli.nn.measure import VARIANCE
from artcli.nn.precision import full
from artcli.nn.prior import GridPrior
from artcli.nn.quantise import VectorQuantiser
from artcli.nn.schedule import trapezoid
from artcli.training import parallel
from artcli.training.contract import BATCH, Axis, Batch, Exported, Port, pictures, sides


@dataclass(frozen=True)
class Config:
    """Light enough for two processor cores at 64 px.

    factor: how many times smaller the grid of codes is than the picture, a power of two.  width: channels.
    residuals: residual blocks on either side.  codes, code_width: number and length of the codebook's vectors.
    commitment: weight of the features' distance from their codes.  decay: of the codebook's running means; at 0
    gradients move it.
    prior_width, prior_layers, prior_heads: the transformer; prior_hidden: part of the codes that it cannot see in
    training, so that it does not learn small sets by heart.
    """

    size: int = 64
    channels: int = 3
    factor: int = 4
    width: int = 64
    residuals: int = 2
    codes: int = 512
    code_width: int = 32
    commitment: float = 0.25
    decay: float = 0.99
    prior_width: int = 128
    prior_layers: int = 4
    prior_heads: int = 4
    prior_hidden: float = 0.1
    batch: int = 32
    epochs: int = 100
    lr: float = 1e-3
    prior_lr: float = 1e-3

    def __post_init__(self) -> None:
        checks.positive(self, {"commitment", "decay", "residuals", "prior_hidden"})
        checks.below_one(self, "decay", "prior_hidden")
        if self.factor < 2 or self.factor & (self.factor - 1):
            raise UsageError(f"factor has to be 2, 4, 8 or a further power of two, not {self.factor}")
        checks.divisible(self.size, self.factor)
        if self.prior_width % self.prior_heads:
            raise UsageError(f"prior_width {self.prior_width} cannot be shared by {self.prior_heads} prior_heads")

    @property
    def side(self) -> int:
        """Of the grid of codes."""
        return self.size // self.factor


PRESETS = {"default": Config(), "objects": Config(size=128, factor=8, epochs=400)}


class Model(nn.Module):
    """Pictures (B, C, H, W) in 0..1 to grids of codes (B, side, side) and back.

    classes: of the training pictures; where there are any, the prior learns each class for itself.
    """

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config, self.classes = config, classes
        sizes = config.width, config.factor, config.residuals
        self.encoder = strided.encoder(config.channels, *sizes, config.code_width)
        self.decoder = strided.decoder(config.code_width, *sizes, config.channels)
        self.quantiser = VectorQuantiser(config.codes, config.code_width, config.decay)
        strided.start(self.encoder, self.decoder)
        self.prior = GridPrior(
            config.codes, config.side, config.prior_width, config.prior_layers, config.prior_heads, classes
        )
        self._error = torch.zeros(())

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in 0..1 to (B, code_width, side, side)."""
        return full(self.encoder(images * 2 - 1))

    def _picture(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, code_width, side, side) to (B, C, H, W) around 0..1."""
        return full(self.decoder(vectors)) / 2 + 0.5

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        nets = [*self.encoder.parameters(), *self.decoder.parameters(), *self.quantiser.parameters()]
        return {
            "vqvae": torch.optim.Adam(nets, self.config.lr),
            "prior": torch.optim.AdamW(self.prior.parameters(), self.config.prior_lr, (0.9, 0.95), weight_decay=0.01),
        }

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Both rates decay at the end, so that codes and prior settle; the prior's warms up, as transformers need."""
        rise = min(500, total // 20)
        return {"vqvae": trapezoid(step, total), "prior": trapezoid(step, total, rise)}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        features = self._features(batch.images)
        vectors, codes = self.quantiser(features)
        self.quantiser.observe(features, codes, batch.first, batch.whole, batch.rng)
        error = F.mse_loss(self._picture(vectors), batch.images)
        self._error = error.detach()
        yield "vqvae", self._loss(error, features, codes)
        yield "prior", self._prior_loss(codes, *self._withheld(batch))

    def _loss(self, error: torch.Tensor, features: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return error / VARIANCE + self.quantiser.loss(features, codes, self.config.commitment)

    def _prior_loss(self, codes: torch.Tensor, known: torch.Tensor, hidden: torch.Tensor | None) -> torch.Tensor:
        """Cross-entropy in nats per code."""
        return F.cross_entropy(full(self.prior(codes, known, hidden)).flatten(0, 1), codes.flatten())

    def _withheld(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Labels (B,) of which some are unknown, and which codes (B, side, side) are hidden."""
        known = self._known(batch.labels, len(batch))
        if self.classes:
            known = forget(known, batch.uniform(), self.classes)
        return known, batch.uniform(self.config.side, self.config.side) < self.config.prior_hidden

    def _known(self, given: torch.Tensor | None, count: int) -> torch.Tensor:
        if given is None or not self.classes:
            return unknown(count, self.classes, self.quantiser.codebook.device)
        return given

    def after_step(self, step: int) -> None:
        self.quantiser.update(parallel.all_sum)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss without the prior's; error, the mean squared one in 0..1; prior, nats per code."""
        features = self._features(batch.images)
        vectors, codes = self.quantiser(features)
        error = F.mse_loss(self._picture(vectors), batch.images)
        prior = self._prior_loss(codes, self._known(batch.labels, len(batch)), None)
        return {"loss": self._loss(error, features, codes), "error": error, "prior": prior}

    @property
    def metrics(self) -> dict[str, float]:
        """error of the last step, and what it used of the codebook."""
        return {"error": float(self._error), **self.quantiser.use()}

    def warnings(self) -> list[str]:
        return self.quantiser.warnings()

    # samples --------------------------------------------------------------------------------------------------------

    @inference
    def generate(self, seeds: Sequence[int], labels: torch.Tensor | None = None, truncation: float = 1.0):
        """Pictures (N, C, H, W) in 0..1, one per seed, of the classes `labels` (N,) where there are classes.

        truncation: the temperature of the prior; below 1 likelier and less varied, at 0 all seeds give the same.
        """
        return self.draw(self.prior.sample(seeds, self._known(labels, len(seeds)), truncation))

    def choose(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to codes (N, H / factor, W / factor)."""
        return self.quantiser.nearest(self._features(images))

    def draw(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (N, h, w) to (N, C, h * factor, w * factor) in 0..1."""
        return self._picture(self.quantiser.look_up(codes)).clamp(0, 1)

    def exports(self) -> dict[str, Exported]:
        """Pictures to codes and back; the prior, which draws one code after the other, is no single pass."""
        grid = Grid(self.config.channels, self.config.size, self.config.factor, self.config.codes)
        return grid.exports(self.choose, (self.encoder, self.quantiser), self.draw, (self.decoder, self.quantiser))

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D): the features before they are quantised."""
        return self._features(images).flatten(1)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D), which are quantised, to (N, C, H, W) in 0..1."""
        side = self.config.side
        vectors, _ = self.quantiser(latents.view(-1, self.config.code_width, side, side))
        return self._picture(vectors).clamp(0, 1)

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way between features."""
        return lerp(start, end, part)


@dataclass(frozen=True)
class Grid:
    """What stands for pictures in models with a codebook: a grid of codes.

    channels, size: of the pictures that were learned from.  factor: pixels of a code along a side.  codes: in the book.
    """

    channels: int
    size: int
    factor: int
    codes: int

    def exports(
        self,
        choose: Callable[[torch.Tensor], torch.Tensor],
        choosing: tuple[nn.Module, ...],
        draw: Callable[[torch.Tensor], torch.Tensor],
        drawing: tuple[nn.Module, ...],
    ) -> dict[str, Exported]:
        """Encoder and decoder as parts, for pictures of any size.

        choose: (N, C, H, W) in 0..1 to codes (N, h, w), with the modules `choosing`; draw: the way back.
        """
        places = (Axis(name, self.size // self.factor) for name in ("rows", "columns"))
        written = Port("codes", (BATCH, f"height/{self.factor}", f"width/{self.factor}"), 0, self.codes - 1, whole=True)
        read = Port("codes", (BATCH, *places), 0, self.codes - 1, whole=True)
        seen = pictures("images", self.channels, *sides(self.size, self.factor, self.factor))
        drawn = pictures("images", self.channels, f"{self.factor}*rows", f"{self.factor}*columns")
        return {
            "encoder": Exported(choose, choosing, (seen,), (written,)),
            "decoder": Exported(draw, drawing, (read,), (drawn,)),
        }
