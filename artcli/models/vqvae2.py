"""VQ-VAE-2 ("Generating Diverse High-Fidelity Images with VQ-VAE-2", Razavi et al., 2019).

Grids of codes at two or three sides: the topmost says what is in the picture, those below add what it leaves out.  A
run has two stages.  In the first, nets and codebooks learn to rebuild pictures.  In the second, a PixelSNAIL for each
grid learns the codes of the training pictures: the topmost by itself, with attention, the others given those above.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, strided
from artcli.nn.inference import inference
from artcli.nn.labels import forget, unknown
from artcli.nn.latents import lerp
from artcli.nn.measure import VARIANCE
from artcli.nn.parts import Parts
from artcli.nn.pixelsnail import PixelSNAIL, uniform
from artcli.nn.precision import full
from artcli.nn.quantise import VectorQuantiser
from artcli.nn.schedule import trapezoid
from artcli.training import parallel
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

_NAMES = {2: ("top", "bottom"), 3: ("top", "middle", "bottom")}  # of the levels
_NATS = math.log(2)  # in a bit


@dataclass(frozen=True)
class Config:
    """The preset 2gb: 128 px on two processor cores.

    factor: how many times smaller than the picture the lowest grid is, a power of two; each level above halves the
    sides again.  levels: 2 or 3.  width: channels; residuals: blocks of each net, with residual_width inside.  codes,
    code_width: of each level's codebook.  commitment: weight of the features' distance from their codes.  decay: of
    the codebooks' running means; at 0 gradients move them.
    prior_width: channels of each PixelSNAIL; it has prior_blocks, each of prior_residuals gated ones, and the topmost
    also attention of prior_heads; prior_kernel: columns that its convolutions see.  prior_hidden: part of the codes
    that it cannot see in training, so that it does not learn small sets by heart.
    codes_steps, prior_steps: length of the stages.  memory: GB that a step may take.
    """

    size: int = 128
    channels: int = 3
    factor: int = 4
    levels: int = 2
    width: int = 64
    residuals: int = 2
    residual_width: int = 32
    codes: int = 512
    code_width: int = 64
    commitment: float = 0.25
    decay: float = 0.99
    prior_width: int = 64
    prior_blocks: int = 2
    prior_residuals: int = 4
    prior_heads: int = 4
    prior_kernel: int = 3
    prior_hidden: float = 0.1
    batch: int = 16
    codes_steps: int = 10_000
    prior_steps: int = 20_000
    lr: float = 1e-3
    prior_lr: float = 5e-4
    memory: float = 2.0

    def __post_init__(self) -> None:
        checks.positive(self, {"commitment", "decay", "residuals", "prior_hidden", "memory"})
        checks.below_one(self, "decay", "prior_hidden")
        if self.levels not in _NAMES:
            raise UsageError(f"levels has to be 2 or 3, not {self.levels}")
        if self.factor < 2 or self.factor & (self.factor - 1):
            raise UsageError(f"factor has to be 2, 4, 8 or a further power of two, not {self.factor}")
        checks.divisible(self.size, self.factor * 2 ** (self.levels - 1))
        if self.prior_width % self.prior_heads:
            raise UsageError(f"prior_width {self.prior_width} cannot be shared by {self.prior_heads} prior_heads")
        if self.prior_kernel % 2 == 0:
            raise UsageError(f"prior_kernel has to be odd, not {self.prior_kernel}")

    @property
    def steps(self) -> int:
        return self.codes_steps + self.prior_steps

    @property
    def epochs(self) -> int:
        return 0  # the stages have a length in steps

    @property
    def names(self) -> tuple[str, ...]:
        """Of the levels, as all that there is one of for each: the topmost first."""
        return _NAMES[self.levels]

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the grids of codes."""
        lowest = self.size // self.factor
        return tuple(lowest // 2**above for above in reversed(range(self.levels)))


_PAPER = Config(width=128, prior_width=128, prior_kernel=5, batch=32, memory=8.0)
PRESETS = {
    "2gb": Config(),
    "8gb": _PAPER,
    "16gb": replace(_PAPER, size=256, batch=16, prior_blocks=3, memory=16.0),
}


class Model(nn.Module):
    """Pictures (B, C, H, W) in 0..1 to grids of codes (B, s, s), one per level, and back.

    classes: of the training pictures; where there are any, the priors learn each class for itself.
    """

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config, self.classes = config, classes
        width, code, each = config.width, config.code_width, range(config.levels)
        rest = config.residuals, width, config.residual_width
        self.encoders = nn.ModuleList([strided.encoder(width, width, 2, *rest) for _ in each[1:]])
        self.encoders.append(strided.encoder(config.channels, width, config.factor, *rest))
        self.choosers = nn.ModuleList([nn.Conv2d(width + code * (level > 0), code, 1) for level in each])
        self.quantisers: Any = nn.ModuleList([VectorQuantiser(config.codes, code, config.decay) for _ in each])
        known = [code, *[2 * code for _ in each[1:]]]  # channels of all that is known at a level
        there = config.residuals, code, config.residual_width
        self.hints = nn.ModuleList([strided.decoder(known[level], width, 2, *there) for level in each[:-1]])
        self.enlargers = nn.ModuleList([nn.ConvTranspose2d(known[level], code, 4, 2, 1) for level in each[:-1]])
        drawn = config.residuals, config.channels, config.residual_width
        self.decoder = strided.decoder(known[-1], width, config.factor, *drawn)
        strided.start(self.encoders, self.hints, self.decoder)
        self.priors: Any = nn.ModuleList(
            [
                PixelSNAIL(
                    config.codes, config.sides[level], config.prior_width, config.prior_blocks, config.prior_residuals,
                    0 if level else config.prior_heads, config.prior_kernel, classes, config.sides[:level],
                )
                for level in each
            ]
        )  # fmt: skip
        self.register_buffer("histogram", torch.zeros(config.levels, config.codes))  # of the second stage's pictures
        self.register_buffer("rebuilding", torch.zeros(()))  # running mean of the first stage's loss
        self._parts = Parts()
        self._error = torch.zeros(())
        self._last: torch.Tensor | None = None  # `loss` of the last step, as in `validate`
        self.step = 0

    histogram: torch.Tensor
    rebuilding: torch.Tensor

    # pictures and codes ---------------------------------------------------------------------------------------------

    def _walk(self, images: torch.Tensor) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
        """Features (B, code_width, s, s) and codes (B, s, s) of every level, and the vectors of all at the lowest."""
        found = [images * 2 - 1]
        for encoder in reversed(self.encoders):
            found.append(encoder(found[-1]))
        levels, known = [], None
        for level, seen in enumerate(reversed(found[1:])):
            if known is not None:
                seen = torch.cat((seen, self.hints[level - 1](known)), 1)
            features = full(self.choosers[level](seen))
            vectors, codes = self.quantisers[level](features)
            levels.append((features, codes))
            known = self._join(level, vectors, known)
        assert known is not None
        return levels, known

    def _join(self, level: int, vectors: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
        """A level's vectors beside what is known of those above."""
        return vectors if known is None else torch.cat((vectors, self.enlargers[level - 1](known)), 1)

    def _picture(self, known: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) around 0..1."""
        return full(self.decoder(known)) / 2 + 0.5

    @inference
    def choose(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, C, H, W) in 0..1 to the codes of every level, (N, s, s)."""
        return tuple(codes for _, codes in self._walk(images)[0])

    def draw(self, *grids: torch.Tensor) -> torch.Tensor:
        """The codes of every level to (N, C, H, W) in 0..1."""
        known = None
        for level, codes in enumerate(grids):
            known = self._join(level, self.quantisers[level].look_up(codes), known)
        assert known is not None
        return self._picture(known).clamp(0, 1)

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        priors = {
            name: torch.optim.AdamW(prior.parameters(), self.config.prior_lr, (0.9, 0.95), weight_decay=0.01)
            for name, prior in zip(self.config.names, self.priors, strict=True)
        }
        of_priors = {id(p) for p in self.priors.parameters()}
        nets = [p for p in self.parameters() if id(p) not in of_priors]
        return {"codes": torch.optim.Adam(nets, self.config.lr), **priors}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Every stage's rate decays at its end; those of the priors warm up."""
        first, second = self.config.codes_steps, self.config.prior_steps
        prior = trapezoid(step - first, second, min(500, second // 20))
        return {"codes": trapezoid(step, first), **dict.fromkeys(self.config.names, prior)}

    def stages(self, total: int) -> dict[str, int]:
        return {"codes": 0, "priors": self.config.codes_steps}

    def begin(self, step: int) -> None:
        self.step = step

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        if self.step < self.config.codes_steps:
            yield "codes", self._codes_loss(batch)
            return
        grids = self.choose(batch.images)
        known = self._known(batch.labels, len(batch))
        if self.classes:
            known = forget(known, batch.uniform(), self.classes)
        costs: list[torch.Tensor] = []
        for level, (name, side) in enumerate(zip(self.config.names, self.config.sides, strict=True)):
            cost = self._cost(level, grids, known, batch.uniform(side, side) < self.config.prior_hidden)
            costs.append(cost.detach())
            if len(costs) == self.config.levels:  # nobody may ask for more than the last cost
                self._note(batch, self._mean(costs), self._count(grids))
            yield name, cost

    def _codes_loss(self, batch: Batch) -> torch.Tensor:
        levels, known = self._walk(batch.images)
        for quantiser, (features, codes) in zip(self.quantisers, levels, strict=True):
            quantiser.observe(features, codes, batch.first, batch.whole, batch.rng)
        error = F.mse_loss(self._picture(known), batch.images)
        self._error, loss = error.detach(), self._loss(error, levels)
        self._note(batch, loss.detach(), torch.zeros_like(self.histogram))
        return loss

    def _loss(self, error: torch.Tensor, levels: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        pulls = [
            quantiser.loss(features, codes, self.config.commitment)
            for quantiser, (features, codes) in zip(self.quantisers, levels, strict=True)
        ]
        return error / VARIANCE + torch.stack(pulls).sum()

    def _cost(
        self, level: int, grids: Sequence[torch.Tensor], labels: torch.Tensor, hidden: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Cross-entropy in nats per code."""
        logits = self.priors[level](grids[level], labels, grids[:level], hidden)
        return F.cross_entropy(full(logits), grids[level])

    def _mean(self, costs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Over the codes of all levels."""
        areas = costs[0].new_tensor([side**2 for side in self.config.sides])
        return (torch.stack(tuple(costs)) * areas).sum() / areas.sum()

    def _count(self, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        """For the histogram that the priors have to beat."""
        return torch.stack([grid.flatten().bincount(minlength=self.config.codes) for grid in grids]).to(self.histogram)

    def _note(self, batch: Batch, loss: torch.Tensor, counts: torch.Tensor) -> None:
        self._parts.add(batch.first, len(batch), loss * (len(batch) / batch.whole), counts)

    def _known(self, given: torch.Tensor | None, count: int) -> torch.Tensor:
        if given is None or not self.classes:
            return unknown(count, self.classes, self.histogram.device)
        return given

    def after_step(self, step: int) -> None:
        loss, counts = (parallel.all_sum(total) for total in self._parts.take())
        if step >= self.config.codes_steps:
            self.histogram += counts
            self._last = self.rebuilding + loss
            return
        for quantiser in self.quantisers:
            quantiser.update(parallel.all_sum)
        self.rebuilding.lerp_(loss, max(0.01, 1 / (1 + step)))
        self._last = loss + math.log(self.config.codes)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss: of the pictures, and what the priors take in nats per code.  error: the mean squared one in 0..1.

        In the second stage also, of every level, bits per code by the prior, by how common each code is among the
        training pictures (histogram), and where all codes are as likely (uniform).
        """
        levels, known = self._walk(batch.images)
        error = F.mse_loss(self._picture(known), batch.images)
        loss, ignorance = self._loss(error, levels), math.log(self.config.codes)
        if self.step < self.config.codes_steps:
            return {"loss": loss + ignorance, "error": error}
        grids, labels = [codes for _, codes in levels], self._known(batch.labels, len(batch))
        costs = [self._cost(level, grids, labels) for level in range(self.config.levels)]
        found = {"loss": loss + self._mean(costs), "error": error}
        for level, name in enumerate(self.config.names):
            chances = self.histogram[level].double() + 1  # a code that was never seen is possible
            common = -(chances / chances.sum()).log()[grids[level]].mean().to(error)
            bits = {"prior": costs[level], "histogram": common, "uniform": error.new_tensor(ignorance)}
            found |= {f"{name}_bits/{by}": nats / _NATS for by, nats in bits.items()}
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """loss of the last step, as `validate` has it; in the first stage also error and the use of each codebook."""
        found = {} if self._last is None else {"loss": float(self._last)}
        if self.step >= self.config.codes_steps:
            return found
        uses = zip(self.config.names, self.quantisers, strict=True)
        used = {f"{key}/{name}": value for name, book in uses for key, value in book.use().items()}
        return {**found, "error": float(self._error), **used}

    def warnings(self) -> list[str]:
        """A line for every codebook of which the last step used little."""
        books = zip(self.config.names, self.quantisers, strict=True)
        return [f"{name}: {line}" for name, book in books for line in book.warnings()]

    # samples --------------------------------------------------------------------------------------------------------

    def unready(self) -> str:
        return "" if self.histogram.any() else "has not reached its second stage, which learns to draw"

    @inference
    def generate(self, seeds: Sequence[int], labels: torch.Tensor | None = None, truncation: float = 1.0):
        """Pictures (N, C, H, W) in 0..1, one per seed, of the classes `labels` (N,) where there are classes.

        truncation: the temperature of the priors; below 1 likelier and less varied, at 0 all seeds give the same.
        """
        known, grids = self._known(labels, len(seeds)), list[torch.Tensor]()
        for prior, chances in zip(self.priors, uniform(seeds, [s**2 for s in self.config.sides]), strict=True):
            if self.unready():  # all codes are as likely: no need to ask for each
                codes = (chances * self.config.codes).long().view(-1, prior.side, prior.side).to(known.device)
            else:
                codes = prior.sample(chances, known, grids, truncation)
            grids.append(codes)
        return self.draw(*grids)

    def exports(self) -> dict[str, Exported]:
        """Pictures to codes and back; the priors, which draw one code after the other, are no single pass."""
        size, books = self.config.size, (self.choosers, self.quantisers, self.hints, self.enlargers)
        images = pictures("images", self.config.channels, size, size)
        grids = tuple(
            Port(name, (BATCH, side, side), 0, self.config.codes - 1, whole=True)
            for name, side in zip(self.config.names, self.config.sides, strict=True)
        )
        return {
            "encoder": Exported(self._choices, (self.encoders, *books), (images,), grids),
            "decoder": Exported(self.draw, (self.decoder, self.quantisers, self.enlargers), grids, (images,)),
        }

    def _choices(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(codes for _, codes in self._walk(images)[0])

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(images))

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D): the features of all levels before they are quantised."""
        return torch.cat([features.flatten(1) for features, _ in self._walk(images)[0]], 1)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D), which are quantised, to (N, C, H, W) in 0..1."""
        parts = latents.split([self.config.code_width * side**2 for side in self.config.sides], 1)
        return self.draw(
            *(
                book.nearest(part.view(len(part), -1, side, side))
                for book, part, side in zip(self.quantisers, parts, self.config.sides, strict=True)
            )
        )

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way between features."""
        return lerp(start, end, part)
