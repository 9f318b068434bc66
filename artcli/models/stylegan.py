"""StyleGAN2 with ADA ("Training Generative Adversarial Networks with Limited Data", Karras et al., 2020).

A mapping net turns a latent z into a style w, which scales the channels of every convolution of the generator.  What
the discriminator sees is changed at random with a probability that rises when it becomes too sure (`nn.ada`), so that a
few thousand pictures are enough.  Both regularisers are computed only every so many steps, and count for these.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli import weights
from artcli.errors import UsageError
from artcli.nn import ada, checks
from artcli.nn.adam import fused
from artcli.nn.facts import Facts
from artcli.nn.inference import inference
from artcli.nn.initialise import take_over
from artcli.nn.labels import learned
from artcli.nn.latents import lerp, normal
from artcli.nn.measure import patch_distance
from artcli.nn.parts import Parts
from artcli.nn.stylegan import Discriminator, Generator, Sizes, layers_of, mixed, path_lengths, steepness
from artcli.training import parallel, runs
from artcli.training.contract import BATCH, Batch, Exported, Port, pictures

R1_EVERY, PATH_EVERY, ADAPT_EVERY = 16, 4, 4  # steps
_LEAST = 16  # pixels of a side
_FOR_AXES = 4096  # styles
_MIDDLE_DECAY, _PATH_DECAY = 0.995, 0.99  # of the running means of w and of path lengths
Told = tuple[torch.Tensor | None, torch.Tensor | None]  # labels (B,), facts (B, F)


@dataclass(frozen=True)
class Config:
    """The paper's, for 256 pixels.

    size: of the pictures, a power of two.  latent: numbers of z and of w.  layers: of the mapping net.  width: channels
    at side s are width / s, at most `most`.  conditional: both nets are told the class.
    mixing: part of the training pictures that have two styles.  r1: weight of the discriminator's slope; more for few
    pictures or when training diverges.  path: weight of the path lengths; 0 saves a tenth of the time.
    target: of ADA, the mean sign of the discriminator's logits of real pictures; 0 switches ADA off.  ada_pictures: in
    which its probability can go from 0 to 1.  ema: decay of the running mean of the generator that samples come from.
    start: a run, or a file with the weights of a generator of these sizes, to go on from.
    """

    size: int = 256
    channels: int = 3
    latent: int = 512
    layers: int = 8
    width: int = 16384
    most: int = 512
    conditional: bool = False
    mixing: float = 0.9
    r1: float = 1.0
    path: float = 2.0
    target: float = 0.6
    ada_pictures: int = 500_000
    ema: float = 0.998
    start: str = ""
    batch: int = 64
    epochs: int = 1000
    lr: float = 2.5e-3

    def __post_init__(self) -> None:
        checks.positive(self, {"mixing", "r1", "path", "target", "ema"})
        checks.below_one(self, "mixing", "target", "ema")
        if self.size < _LEAST or self.size & (self.size - 1):
            near = max(_LEAST, 2 ** (self.size - 1).bit_length())
            raise UsageError(f"size has to be a power of two from {_LEAST} on, not {self.size}; {near} works")


PRESETS = {
    "paper-256": Config(),
    "mini-64": Config(
        size=64, latent=128, layers=2, width=1024, most=128, r1=0.05, ada_pictures=100_000, batch=16, epochs=30
    ),
    "tiny": Config(
        size=16, latent=16, layers=2, width=128, most=16, r1=0.01, ada_pictures=10_000, ema=0.99, batch=8, epochs=10
    ),
}


class Model(nn.Module):
    """classes: of the training pictures.  facts: numbers that columns say of each.  Where facts are asked for, NaN or
    None stand for those that are to fit the others, as in training pictures.

    Raises UsageError when the model is to be conditional and there are none, and for a `start` of other sizes;
    WeightsError for one that is missing or damaged.
    """

    training_only = ("discriminator", "augment")

    path_mean: torch.Tensor  # (), running mean of the path lengths

    def __init__(self, config: Config, classes: int = 0, facts: int = 0):
        super().__init__()
        self.config, self.average = config, config.ema
        self.classes = learned(config.conditional, classes)
        self.facts = Facts(facts, self.classes) if facts else None
        sizes = Sizes(
            config.size, config.channels, config.latent, config.layers, config.width, config.most, self.classes, facts
        )
        self.generator, self.discriminator = Generator(sizes), Discriminator(sizes)
        self.parts_of_a_style = layers_of(sizes.styles, sizes.sides)
        self.augment = ada.Augment(config.target, config.ada_pictures)
        self.register_buffer("path_mean", torch.zeros(()))
        if config.start:
            take_over(self.generator, _finished(Path(config.start)), config.start)
        self._step = 0
        self._styles, self._signs, self._lengths = Parts(), Parts(), Parts()  # sums over the pictures of a step
        self._last: dict[str, float] = {}

    # training -------------------------------------------------------------------------------------------------------

    def study(self, data: Any) -> None:
        """The facts of training pictures, of which samples are drawn."""
        if self.facts is not None:
            self.facts.fit(*(torch.from_numpy(each[data.training]) for each in (data.facts, data.labels)))

    def grown(self, name: str) -> str:
        """The name of a tensor of a model of half the size: the layers of each side are called after it."""
        return name

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Without the paper's correction of rate and betas for lazy regularisers: there they make steps of their own,
        here they are part of the step in which they are due."""
        nets = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: fused(net.parameters(), self.config.lr, (0.0, 0.99)) for name, net in nets.items()}

    def begin(self, step: int) -> None:
        self._step = step

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        told = batch.labels if self.classes else None, batch.facts
        self.discriminator.requires_grad_(False)  # no gradients for it in the generator's step
        drawn = self.generator.synthesis(self._new_styles(batch, told), self._noise(batch))
        loss = F.softplus(-self.discriminator(self._seen(drawn, batch), *told)).mean()
        if self.config.path and self._step % PATH_EVERY == 0:
            loss = loss + _unseen(PATH_EVERY * self.config.path * self._path_penalty(batch, told))
        yield "generator", loss
        self.discriminator.requires_grad_(True)
        fooled = F.softplus(self.discriminator(self._seen(drawn.detach(), batch), *told)).mean()
        yield "discriminator", fooled + self._judge_real(batch, told)

    def _new_styles(self, batch: Batch, told: Told) -> torch.Tensor:
        """Random styles (B, styles, D), a part of them mixed of two."""
        z, chance, count = batch.normal(2, self.config.latent), batch.uniform(2), self.generator.styles
        w = self.generator.mapping(z[:, 0], *told)
        seen = w.detach()
        self._styles.add(batch.first, len(batch), seen.sum(0), seen.new_tensor(len(batch)))
        if not self.config.mixing:
            return w[:, None].expand(-1, count, -1)
        first = 1 + (chance[:, 1] * (count - 1)).floor()
        first = torch.where(chance[:, 0] < self.config.mixing, first, count)
        return mixed(w, self.generator.mapping(z[:, 1], *told), first, count)

    def _noise(self, batch: Batch) -> torch.Tensor:
        return batch.normal(self.generator.synthesis.noise_count)

    def _seen(self, images: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Pictures as the discriminator sees them."""
        return self.augment(images, batch.uniform(ada.UNIFORM), batch.normal(ada.NORMAL))

    def _path_penalty(self, batch: Batch, told: Told) -> torch.Tensor:
        """Of every second picture, which halves the memory; those of the parts of a batch average to the whole's."""
        z, noise = batch.normal(self.config.latent), self._noise(batch)
        change = batch.normal(self.config.channels, self.config.size, self.config.size)
        chosen = slice(batch.first % 2, None, 2)
        z, noise, change = z[chosen], noise[chosen], change[chosen]
        if not len(z):
            return z.sum()
        w = self.generator.mapping(z, *(None if each is None else each[chosen] for each in told))
        styles = w[:, None].repeat(1, self.generator.styles, 1)
        lengths = path_lengths(self.generator.synthesis(styles, noise), styles, change)
        seen = lengths.detach()
        self._lengths.add(batch.first, len(batch), seen.sum(), seen.new_tensor(len(seen)))
        self._last["path"] = float(seen.mean())
        share = batch.whole / len(batch) / -(-batch.whole // 2)
        return (lengths - self.path_mean).square().sum() * share

    def _judge_real(self, batch: Batch, told: Told) -> torch.Tensor:
        """The loss of real pictures, with the penalty of their slope where it is due."""
        due = bool(self.config.r1) and self._step % R1_EVERY == 0
        real = (batch.images * 2 - 1).requires_grad_(due)
        judged = self.discriminator(self._seen(real, batch), *told)
        signs = judged.detach().sign()
        self._signs.add(batch.first, len(batch), signs.sum(), signs.new_tensor(len(batch)))
        self._last |= {"sure": float(signs.mean()), "p": float(self.augment.p)}
        loss = F.softplus(-judged).mean()
        if not due:
            return loss
        steep = steepness(judged, real).mean()
        self._last["steep"] = float(steep.detach())
        return loss + _unseen(R1_EVERY * self.config.r1 / 2 * steep)

    def after_step(self, step: int) -> None:
        total, count = (parallel.all_sum(each) for each in self._styles.take())
        self.generator.mapping.w_avg.lerp_((total / count).to(self.path_mean), 1 - _MIDDLE_DECAY)
        self.augment.watch(*(parallel.all_sum(each) for each in self._signs.take()))
        if (step + 1) % ADAPT_EVERY == 0:
            self.augment.adapt()
        if self.config.path and step % PATH_EVERY == 0:
            none = [torch.zeros_like(self.path_mean)] * 2  # of a process without a chosen picture
            total, count = (parallel.all_sum(each.to(self.path_mean)) for each in self._lengths.take() or none)
            self.path_mean.lerp_(total / count, 1 - _PATH_DECAY)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss: how far the patches of as many samples are from those of held-out pictures."""
        drawn = self.generate(range(batch.first, batch.first + len(batch)), batch.labels, facts=batch.facts)
        return {"loss": patch_distance(drawn, batch.images)}

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last step, besides the losses, in which no regulariser shows.

        sure: mean sign of the logits of real pictures.  p: of ADA.  path: mean length, and steep: squared slope of the
        logits, of the last step that computed them.
        """
        return self._last

    # samples --------------------------------------------------------------------------------------------------------

    def generate(
        self,
        seeds: Sequence[int],
        labels: torch.Tensor | None = None,
        truncation: float = 1.0,
        facts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pictures (N, C, H, W) in 0..1, of the classes `labels` (N,) and the facts (N, F) that the model knows."""
        return self.decode(self.latents(seeds, truncation, labels, facts))

    @inference
    def latents(
        self,
        seeds: Sequence[int],
        truncation: float = 1.0,
        labels: torch.Tensor | None = None,
        facts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Styles w (N, D), row i from seeds[i] alone; truncation scales the distance from the mean of all w."""
        mapping = self.generator.mapping
        if self.classes and labels is None:
            labels = torch.tensor([seed % self.classes for seed in seeds], device=self.path_mean.device)
        known = None if self.facts is None else self.facts(facts, seeds, labels)
        w = mapping(normal(seeds, (self.config.latent,)).to(self.path_mean), labels, known)
        return lerp(mapping.w_avg, w, truncation)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Styles w (N, D), or of each layer (N, styles, D), to (N, C, H, W) in 0..1; the noise is always the same."""
        return self.drawn(latents)

    def drawn(self, latents: torch.Tensor) -> torch.Tensor:
        """What `decode` gives, with a gradient."""
        styles = latents if latents.dim() == 3 else self._spread(latents)
        return (self.generator.synthesis(styles) / 2 + 0.5).clamp(0, 1)

    def _spread(self, w: torch.Tensor) -> torch.Tensor:
        return w[:, None].expand(-1, self.generator.styles, -1)

    def mix(self, latents: torch.Tensor, others: torch.Tensor, part: str) -> torch.Tensor:
        """Styles (N, styles, D): of `latents` (N, D), but for the coarse, middle or fine ones, of `others` (N, D)."""
        styles, taken = self._spread(latents).clone(), self.parts_of_a_style[part]
        styles[:, taken.start : taken.stop] = others[:, None]
        return styles

    @inference
    def axis(
        self, number: int, labels: torch.Tensor | None = None, facts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The direction (D,) in which styles vary most, the next one, and so on, of length 1, and their standard
        deviation along it ("GANSpace", Härkönen et al., 2020).  labels, facts: (1,) and (1, F) of those that are meant;
        without, of all."""
        told = (None if each is None else each.expand(_FOR_AXES, *each.shape[1:]) for each in (labels, facts))
        styles = self.latents(range(_FOR_AXES), 1.0, *told).double()
        _, lengths, axes = torch.linalg.svd(styles - styles.mean(0), full_matrices=False)
        axis = axes[number] * axes[number][axes[number].abs().argmax()].sign()
        return axis.to(self.path_mean), (lengths[number] / math.sqrt(len(styles) - 1)).to(self.path_mean)

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The straight way between styles."""
        return lerp(start, end, part)

    def exports(self) -> dict[str, Exported]:
        """The mapping net gives a style for each layer, so that a program can mix and truncate them."""
        latent, count, size = self.config.latent, self.generator.styles, self.config.size
        labels = (Port("labels", (BATCH,), 0, self.classes - 1, whole=True),) if self.classes else ()
        known = () if self.facts is None else (Port("facts", (BATCH, self.facts.rows.shape[1])),)
        styles, mapping = Port("styles", (BATCH, count, latent)), self.generator.mapping
        return {
            "mapping": Exported(
                self._styles_of, (mapping,), (Port("latents", (BATCH, latent)), *labels, *known), (styles,)
            ),
            "synthesis": Exported(
                self.decode,
                (self.generator.synthesis,),
                (styles,),
                (pictures("images", self.config.channels, size, size),),
            ),
        }

    @inference
    def _styles_of(self, z: torch.Tensor, *told: torch.Tensor) -> torch.Tensor:
        """told: labels where there are classes, facts where there are such."""
        return self._spread(self.generator.mapping(z, *(told if self.classes else (None, *told))))


def _unseen(penalty: torch.Tensor) -> torch.Tensor:
    """Its gradient without its value: losses in the log are of one kind, whether a regulariser was due or not."""
    return penalty - penalty.detach()


def _finished(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a generator, from a run, its file, or a file of the paper's own code.

    Raises WeightsError for what is missing, damaged or a program.
    """
    given = weights.load_state(path / runs.WEIGHTS if path.is_dir() else path)
    own = {name.removeprefix("generator."): t for name, t in given.items() if name.startswith("generator.")}
    return {name: t for name, t in (own or given).items() if not name.endswith("resample_filter")}
