"""The second stage of VQGAN ("Taming Transformers", Esser et al., 2021, section 3.2): a GPT over a first stage's codes.

The first stage is a finished model of ours or of the paper; it is part of the weights that are exported.  The GPT may
be told a class, or a text by the embedding of a CLIP's text tower.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError, WeightsError
from artcli.models import first_stage
from artcli.models.diffusion import needs_words, open_data
from artcli.nn import checks
from artcli.nn.gpt import GPT, Choice
from artcli.nn.inference import inference
from artcli.nn.labels import forget, unknown
from artcli.nn.parts import Parts
from artcli.nn.schedule import trapezoid
from artcli.nn.unfilled import unfilled
from artcli.pretrained.text_tower import TextTower, text_tower
from artcli.training import parallel
from artcli.training.contract import Batch

__all__ = ["PRESETS", "Config", "Model", "needs_words", "open_data", "settle"]

SHOWN = 6  # prompts of the report's grid


@dataclass(frozen=True)
class Config:
    """first_stage: a run of vqgan, vqvae or vqvae2, a bundled name, or a VQGAN checkpoint.  stage, codebook: what it is
    made of and the fingerprint of its codebook, which are found.  size: of the pictures, 0 for those of the first
    stage; channels likewise.

    width, layers, heads: of the transformer.  hidden: part of the codes that it cannot see in training, so that it does
    not learn small sets by heart.  unconditional: learn no classes where there are some.  texts: length of a text's
    embedding, 0 for a model that is told nothing in words.  clip: the CLIP whose text tower embeds.  drop: share of the
    pictures whose text is dropped.  prompts: what the report's grid shows; some texts of the data where none are given.
    """

    first_stage: str = ""
    stage: str = ""
    codebook: str = ""
    size: int = 0
    channels: int = 0
    width: int = 256
    layers: int = 8
    heads: int = 8
    hidden: float = 0.1
    unconditional: bool = False
    texts: int = 0
    clip: str = "clip-mini"
    drop: float = 0.1
    prompts: tuple[str, ...] = ()
    clip_gradient: float = 1.0  # largest norm
    batch: int = 32
    epochs: int = 40
    lr: float = 6e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"size", "channels", "hidden", "texts", "drop", "clip_gradient"})
        checks.below_one(self, "hidden", "drop")
        if self.width % self.heads:
            raise UsageError(f"width {self.width} cannot be shared by {self.heads} heads")


PRESETS = {"default": Config(), "cifar10": Config(width=192, layers=6, heads=6, batch=64, epochs=10, lr=1e-3)}


def settle(config: Config) -> Config:
    """The settings with what the first stage says.  Raises UsageError: it has other pictures, or is none."""
    if not config.first_stage:
        raise UsageError("a prior learns the codes of another model, its first stage: artgen train prior RUN DATA")
    stage, usual = first_stage.find(config.first_stage)
    if config.channels not in (0, stage.channels):
        raise UsageError(f"{config.first_stage} codes pictures of {stage.channels} channels, not {config.channels}")
    size = config.size or usual
    if stage.fixed and size != usual:
        raise UsageError(f"{config.first_stage} codes pictures of {usual} pixels only, not of {size}")
    checks.divisible(size, stage.factor)
    told: dict[str, Any] = {
        "stage": stage.describe(),
        "codebook": stage.fingerprint(),
        "size": size,
        "channels": stage.channels,
    }
    return dataclasses.replace(config, **told)


@dataclass(frozen=True)
class Drawing(Choice):
    """How pictures are drawn.  guidance: towards the words, 1 for the words alone.  negative: texts to avoid."""

    guidance: float = 3.0
    negative: tuple[str, ...] = ()


class Model(nn.Module):
    """classes: of the training pictures; where there are any, the prior learns each class for itself."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        fresh = not config.stage
        self.config = config = settle(config) if fresh else config
        self.classes = 0 if config.unconditional or config.texts else classes
        self.drawing = Drawing()
        self.first = first_stage.build(config.stage)
        side = config.size // self.first.factor
        self.window = self.grid = (side, side)  # rows and columns of codes: of the training pictures, of what is drawn
        codes = self.first.codes
        # Behind the codes: a hidden one, then the starts, the classes and the unknown class.
        self.hides, self.starts = codes, codes + 1
        self.always: str = ""  # "any" or "first": such a class stands for no class, in models that do not know that
        self.gpt = GPT(codes, codes + 2 + self.classes, side**2, config.width, config.layers, config.heads)
        self.said = nn.Linear(config.texts, config.width, bias=False) if config.texts else None
        self.register_buffer("seen", torch.zeros(codes, dtype=torch.long))  # codes of the training pictures so far
        self._parts = Parts()
        self.shown = config.prompts
        if fresh:
            self._take_over()

    seen: torch.Tensor

    @property
    def tower(self) -> TextTower:
        return text_tower(self.config.clip, self.device, self.config.texts)

    @property
    def device(self) -> torch.device:
        return self.seen.device

    def study(self, data: Any) -> None:
        """Take over the first stage, and choose what the report shows where the settings name no texts."""
        self._take_over()
        if self.config.texts and not self.shown:
            found = data.batch(0, 4 * SHOWN, device=torch.device("cpu")).texts
            self.shown = tuple(dict.fromkeys(text for text in found if text))[:SHOWN] or ("a picture",)

    def _take_over(self) -> None:
        self.first.load_state_dict(first_stage.find(self.config.first_stage).stage.state_dict())

    def check_codebook(self) -> None:
        """Raises WeightsError: the first stage is not the one whose codes were learned."""
        if self.config.codebook and self.first.fingerprint() != self.config.codebook:
            raise WeightsError("this prior learned the codes of another codebook than that of its first stage")

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        learned = [*self.gpt.parameters(), *(self.said.parameters() if self.said is not None else ())]
        return {"prior": torch.optim.AdamW(learned, self.config.lr, (0.9, 0.95), weight_decay=0.01)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"prior": trapezoid(step, total, min(500, total // 20))}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        codes = self.first.encode(batch.images)
        self._parts.add(batch.first, len(batch), codes.flatten().bincount(minlength=self.first.codes))
        labels = self._labels(batch.labels, len(batch))
        if self.classes:
            labels = forget(labels, batch.uniform(), self.classes)
        told = (batch.uniform() >= self.config.drop).float() if self.config.texts else 1.0
        hidden = batch.uniform(*codes.shape[1:]) < self.config.hidden
        yield "prior", self._loss(codes, self._start(labels, batch.texts, told), hidden)

    def _loss(self, codes: torch.Tensor, start: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """Cross-entropy in nats a code."""
        seen = codes if hidden is None else torch.where(hidden, self.hides, codes)
        return F.cross_entropy(self.gpt(start, seen.flatten(1)).flatten(0, 1), codes.flatten())

    def _labels(self, given: torch.Tensor | None, count: int) -> torch.Tensor:
        if given is None or not self.classes:
            return unknown(count, self.classes, self.device)
        return given

    def _start(self, labels: torch.Tensor, texts: Sequence[str] = (), told: torch.Tensor | float = 1.0) -> torch.Tensor:
        """What stands before the codes, (B, width).  told: 0 where a text is not to be heard, (B,)."""
        start = self.gpt.tok_emb(self.starts + labels)
        if self.said is None:
            return start
        heard = torch.tensor([bool(text) for text in texts], device=self.device) * told
        return start + self.said(self.tower(texts) * heard.view(-1, 1))

    def after_step(self, step: int) -> None:
        (counts,) = self._parts.take()
        self.seen += parallel.all_sum(counts)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss in nats a code; in bits a code: the prior's, `uniform` of all codes alike, `histogram` of codes as
        frequent as they were in the training pictures so far, each for itself."""
        codes = self.first.encode(batch.images)
        loss = self._loss(codes, self._start(self._labels(batch.labels, len(batch)), batch.texts))
        frequent = ((self.seen + 1) / (self.seen + 1).sum()).log()
        found = {
            "bits": loss,
            "uniform": loss.new_tensor(math.log(self.first.codes)),
            "histogram": -frequent[codes].mean(),
        }
        return {"loss": loss} | {name: nats / math.log(2) for name, nats in found.items()}

    # drawing --------------------------------------------------------------------------------------------------------

    def of_size(self, width: int, height: int) -> None:
        """Draw pictures of about this size from now on, larger than those learned from by a sliding window, no side
        smaller than theirs; pixels.  A first stage of one size draws none but that."""
        if self.first.fixed:
            return
        scale = max(1.0, self.config.size / min(width, height))
        self.grid = (round(height * scale / self.first.factor), round(width * scale / self.first.factor))

    @inference
    def generate(
        self, seeds: Sequence[int], labels: torch.Tensor | None = None, prompts: Sequence[str] | None = None
    ) -> torch.Tensor:
        """Pictures (N, C, H, W) in 0..1, one per seed, of the classes (N,), or of prompts, without any of the report's
        own in turn."""
        return self.first.decode(self._sample(seeds, labels, prompts))

    @inference
    def complete(
        self,
        images: torch.Tensor,
        keep: torch.Tensor,
        seeds: Sequence[int],
        labels: torch.Tensor | None = None,
        prompts: Sequence[str] | None = None,
    ) -> torch.Tensor:
        """Pictures (N, C, H, W) in 0..1, the kept codes of which are those of the images, (N, C, H, W).

        keep: (H / factor, W / factor), true for kept codes.  A code is drawn from those above it and to its left.
        """
        return self.first.decode(self._sample(seeds, labels, prompts, self.first.encode(images), keep))

    def _sample(
        self,
        seeds: Sequence[int],
        labels: torch.Tensor | None,
        prompts: Sequence[str] | None,
        given: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Grids of codes, one per seed."""
        count = len(seeds)
        if labels is None and self.always:
            labels = torch.tensor([seed % self.classes if self.always == "any" else 0 for seed in seeds])
            labels = labels.to(self.device)
        words = self.shown if prompts is None else prompts
        texts = [words[place % len(words)] for place in range(count)] if self.config.texts else []
        size = self.grid if given is None else (given.shape[1], given.shape[2])
        start, away = self._start(self._labels(labels, count), texts), self._away(count)
        how: dict[str, Any] = {"choice": self.drawing, "given": given, "keep": keep}
        return self.gpt.sample(seeds, start, self.window, size, away=away, **how)

    def _away(self, count: int) -> torch.Tensor | None:
        """What guidance leads away from, (N, width): the negative texts, or what is told nothing."""
        if not self.config.texts:
            return None
        nothing = self._labels(None, count)
        texts = self.drawing.negative
        if not texts:
            return self._start(nothing, [""] * count)
        return self._start(nothing[:1].expand(len(texts)), texts).mean(0).expand(count, -1)

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 through the first stage and back: what its codes can say."""
        return self.first.decode(self.first.encode(images))

    @inference
    def show(self, batch: Batch) -> torch.Tensor:
        """Rows: the upper halves of held-out pictures, completed, and the whole pictures out of their codes."""
        images, rows = batch.images, batch.images.shape[2] // self.first.factor
        keep = torch.zeros(rows, images.shape[3] // self.first.factor, dtype=torch.bool)
        keep[: rows // 2] = True
        labels = batch.labels if self.classes else None
        texts = list(batch.texts) if self.config.texts else None
        drawn = self.complete(images, keep, range(len(images)), labels, texts)
        return torch.cat((self.kept_part(images, keep), drawn, self.reconstruct(images)))

    def kept_part(self, images: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), grey where the codes (h, w) are not kept."""
        shown = keep.repeat_interleave(self.first.factor, 0).repeat_interleave(self.first.factor, 1)
        return torch.where(shown.to(images.device), images, 0.5)


def of_parts(first: first_stage.FirstStage, gpt: GPT, side: int, classes: int, *, usual: bool) -> Model:
    """A finished model of the paper, whose tokens of classes are also those of the first codes.

    side: codes of the window.  usual: without a class draw token 0, which starts pictures of models without classes;
    else each seed draws a class of its own.
    """
    config = Config(
        stage=first.describe(), size=side * first.factor, channels=first.channels, width=gpt.pos_emb.shape[2],
        layers=len(gpt.blocks), heads=gpt.heads,
    )  # fmt: skip
    with unfilled():
        model = Model(config)
    model.first, model.gpt, model.starts, model.classes = first, gpt, 0, classes
    model.always = "" if not classes else "first" if usual else "any"
    model.seen = torch.zeros(first.codes, dtype=torch.long, device=gpt.pos_emb.device)
    return model.eval()
