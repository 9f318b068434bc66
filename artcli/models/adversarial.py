"""What gan, dcgan and wgan-gp share: a generator and a discriminator that learn from each other ("Generative
Adversarial Nets", Goodfellow et al., 2014), classes, DiffAugment, the running mean that draws, and how much
samples differ beside the data."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, likeness, statistics
from artcli.nn.adam import fused
from artcli.nn.diffaugment import diffaugment, names
from artcli.nn.facts import Facts
from artcli.nn.inference import inference
from artcli.nn.labels import forget, learned, one_hot, unknown
from artcli.nn.latents import normal, slerp
from artcli.nn.patchgan import cross_entropy
from artcli.nn.precision import full
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

FEWEST = 16  # training pictures
FEW = 2000  # with fewer the discriminator learns them by heart, unless they are changed
_SAMPLES = 8, 64  # drawn for a batch of held-out pictures, at least and at most
_STANDING = 8, 64  # batches, and latents in each, that the statistics of the finished generator are of
_ALL = "color,translation,cutout"


@dataclass(frozen=True)
class Settings:
    """Of every model here.

    size: of the pictures.  latent: numbers of a latent.  conditional: generator and discriminator are told the class.
    diffaugment: how the discriminator's pictures are changed, some of color, translation and cutout with commas
    between; for small sets.  ema: decay of the running mean of the generator, which draws; 0 for the newest weights.
    """

    size: int = 64
    channels: int = 3
    latent: int = 100
    conditional: bool = False
    diffaugment: str = ""
    ema: float = 0.999
    batch: int = 64
    epochs: int = 100
    lr: float = 2e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"ema"})
        checks.below_one(self, "ema")
        names(self.diffaugment)


class Told(NamedTuple):
    """What both nets are told of pictures.  labels: (B,).  facts: (B, F)."""

    labels: torch.Tensor
    facts: torch.Tensor


class Adversarial(nn.Module):
    """Latents (B, D), standard normal, to pictures (B, C, H, W) in 0..1, which the discriminator cannot tell from real.

    A subclass makes both nets.  classes: of the training pictures.  facts: numbers that columns say of each.  Where
    labels are asked for, `classes` or None stands for an unknown class; where facts are, NaN or None for those that
    are to fit the others, as in training pictures.  Raises UsageError when the model is to be conditional and there are
    no classes.
    """

    training_only = ("discriminator",)
    betas = (0.5, 0.999)  # of Adam
    judge = "discriminator"  # what its optimizer and its loss are called
    layout = torch.channels_last  # of what it sees; faster on CPUs
    generator: nn.Module
    discriminator: Any  # None in the running mean

    def __init__(self, config: Any, classes: int = 0, facts: int = 0):
        super().__init__()
        self.config = config
        self.classes = learned(config.conditional, classes)
        self.told = self.classes + facts  # numbers, behind the latent
        self.facts = Facts(facts, self.classes) if facts else None
        self.average = config.ema
        self._changes = names(config.diffaugment)
        self._last: dict[str, float] = {}
        self._advice: list[str] = []

    @property
    def _device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def _draw(self, codes: torch.Tensor, known: Told) -> torch.Tensor:
        """Latents (B, D) and what is told of each to pictures (B, C, H, W) in -1..1."""
        return full(self.generator(self._told(codes, known)))

    def _told(self, codes: torch.Tensor, known: Told) -> torch.Tensor:
        """What the generator sees: latents with the class and the facts behind them."""
        return torch.cat((codes, one_hot(known.labels, self.classes), known.facts), 1)

    def _judged(self, images: torch.Tensor, known: Told) -> torch.Tensor:
        """Pictures as `_changed` gives them to a number each, (B, 1), high for real."""
        return full(self.discriminator(images, *known))

    def _changed(self, images: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What the discriminator sees of pictures, real or drawn."""
        changed = diffaugment(images, self._changes, batch.uniform)
        return changed.contiguous(memory_format=self.layout)

    def _labels(self, given: torch.Tensor | None, count: int) -> torch.Tensor:
        if given is None or not self.classes:
            return unknown(count, self.classes, self._device)
        return given

    def _facts(self, given: torch.Tensor | None, seeds: Sequence[int], labels: torch.Tensor | None) -> torch.Tensor:
        """(N, F), F of 0 where there are none; of these classes (N,) what is not given."""
        return self._no_facts(len(seeds)) if self.facts is None else self.facts(given, seeds, labels)

    def _no_facts(self, count: int) -> torch.Tensor:
        return torch.zeros(count, 0, device=self._device)

    def _in_turn(self, count: int, classes: int) -> torch.Tensor:
        """Labels (count,)."""
        return torch.arange(count, device=self._device) % classes

    # training -------------------------------------------------------------------------------------------------------

    def study(self, data: Any) -> None:
        """Raises UsageError: there are too few pictures.  What to say of few ones is said with the first samples."""
        count = len(data.training)
        if self.facts is not None:
            self.facts.fit(*(torch.from_numpy(each[data.training]) for each in (data.facts, data.labels)))
        if count < FEWEST:
            raise UsageError(
                f"{count} training pictures are too few for a GAN, which needs {FEWEST} at least and some hundreds for "
                f"samples that differ from them: add pictures, or cut large ones into parts"
            )
        if count < FEW and not self._changes:
            self._advice = [
                f"with {count} training pictures the discriminator soon knows them by heart and the samples get worse: "
                f"set diffaugment={_ALL}, or add pictures"
            ]

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        trained = {self.judge: self.discriminator, "generator": self.generator}
        return {name: fused(net.parameters(), self.config.lr, self.betas) for name, net in trained.items()}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        real, known = self._given(batch)
        drawn = self._draw(batch.normal(self.config.latent), known)
        sides = [self._judged(self._changed(x, batch), known) for x in (real, drawn.detach())]
        self._last = {
            "real_right": float((sides[0] > 0).float().mean()),
            "fake_right": float((sides[1] < 0).float().mean()),
        }
        yield self.judge, (cross_entropy(sides[0], 1.0) + cross_entropy(sides[1], 0.0)) / 2
        with self._frozen():
            loss = cross_entropy(self._judged(self._changed(drawn, batch), known), 1.0)
        yield "generator", loss

    def _given(self, batch: Batch) -> tuple[torch.Tensor, Told]:
        """Real pictures in -1..1, and what is told of them: labels of which some are unknown, and facts."""
        known = self._labels(batch.labels, len(batch))
        if self.classes:
            known = forget(known, batch.uniform(), self.classes)
        return batch.images * 2 - 1, Told(known, self._no_facts(len(batch)) if batch.facts is None else batch.facts)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """No gradients for the discriminator in the generator's step."""
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss: how badly samples foretell the held-out pictures; diversity: of samples over theirs, about 1 where it
        is as large.  Both in the space of `nn.likeness`, and of the same seeds every time.

        Samples are of all classes in turn: normalised by a batch of one class, they would lose what makes it one.
        """
        least, most = _SAMPLES
        count = min(most, max(least, len(batch)))
        with statistics.of_the_batch(self.generator):
            labels = self._in_turn(count, max(1, self.classes))
            known = Told(labels, self._facts(None, range(count), labels))
            images = self._draw(self.latents(range(count)), known) / 2 + 0.5
        real, drawn = likeness.features(batch.images), likeness.features(images)
        found = {"loss": likeness.energy_score(real, drawn)}
        if len(batch) > 1:
            found["diversity"] = likeness.diversity(real, drawn)
        return found

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last step: the parts of real and of drawn pictures that the discriminator judged right."""
        return self._last

    def fit(self, batches: Any) -> None:
        """Statistics of BatchNorm that fit the weights that draw; training pictures are not looked at."""
        count, size = _STANDING
        labels = self._in_turn(size, self.classes + 1)  # the last one is unknown
        parts = [range(k * size, (k + 1) * size) for k in range(count)]
        statistics.standing(
            self.generator,
            (self._told(self.latents(seeds), Told(labels, self._facts(None, seeds, labels))) for seeds in parts),
        )

    def warnings(self) -> list[str]:
        """What `study` found, once."""
        said, self._advice = self._advice, []
        return said

    def grown(self, name: str) -> str:
        """The name of a tensor of a model of half the size: layers of other shapes are left out by these."""
        return name

    # samples --------------------------------------------------------------------------------------------------------

    def generate(
        self,
        seeds: Sequence[int],
        labels: torch.Tensor | None = None,
        truncation: float = 1.0,
        facts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pictures (N, C, H, W) in 0..1, of the classes `labels` (N,) and the facts (N, F) that the model knows."""
        return self.decode(self.latents(seeds, truncation), labels, self._facts(facts, seeds, labels))

    @inference
    def decode(
        self, latents: torch.Tensor, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Latents (N, D) to (N, C, H, W) in 0..1."""
        return self.drawn(latents, labels, facts)

    def drawn(
        self, latents: torch.Tensor, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What `decode` gives, with a gradient."""
        count = latents.shape[0]
        facts = self._no_facts(count) if self.facts is None else self.facts.usual(facts, count, labels)
        return self._draw(latents, Told(self._labels(labels, count), facts)) / 2 + 0.5

    def latents(self, seeds: Sequence[int], truncation: float = 1.0) -> torch.Tensor:
        """Standard normal latents (N, D) times the truncation, row i from seeds[i] alone."""
        return truncation * normal(seeds, (self.config.latent,)).to(self._device)

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The way along the sphere on which Gaussian latents lie."""
        return slerp(start, end, part)

    def exports(self) -> dict[str, Exported]:
        """A conditional model also takes labels, where the number of classes stands for an unknown one, and facts."""
        told = [Port("labels", (BATCH,), 0, self.classes, whole=True)] if self.classes else []
        if self.facts is not None:
            told.append(Port("facts", (BATCH, self.told - self.classes)))
        inputs = (Port("latents", (BATCH, self.config.latent)), *told)
        images = pictures("images", self.config.channels, self.config.size, self.config.size)
        return {"generator": Exported(self._exported, (self.generator,), inputs, (images,))}

    @inference
    def _exported(self, latents: torch.Tensor, *told: torch.Tensor) -> torch.Tensor:
        """told: labels where there are classes, and facts, with no NaN in them, where there are such."""
        count = latents.shape[0]
        labels = told[0] if self.classes else self._labels(None, count)
        facts = self._no_facts(count) if self.facts is None else told[-1]
        return self._draw(latents, Told(labels, facts)) / 2 + 0.5
