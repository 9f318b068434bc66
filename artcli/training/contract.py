"""What a model that can be trained looks like to the trainer, to `artgen sample` and to `--export onnx`.

A model's file holds `Config` (a frozen dataclass whose defaults are the first preset), `PRESETS` (name to Config) and
`Model(config, classes)`, a plain nn.Module with the methods below.  There is no base class: a model has the methods
that make sense for it, and the verbs say what it cannot do.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self

import torch
from torch import nn


@dataclass(frozen=True)
class Batch:
    """One process's part, or one micro-batch, of the pictures of a step.

    images: (B, C, H, W) in 0..1.  labels: (B,), all 0 where the data has no classes.  texts: a caption per picture, ""
    for a picture without one; () where the data has no captions.  facts: (B, F), what columns say of each picture, see
    `columns`; None without any.  The rows are `first` to `first + B` of the `whole` batch of all processes.
    """

    images: torch.Tensor
    labels: torch.Tensor
    first: int
    whole: int
    rng: torch.Generator
    texts: tuple[str, ...] = field(default=(), kw_only=True)
    facts: torch.Tensor | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.images)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers (B, *shape).

        Drawn for the whole batch, of which this part takes its rows: however a batch is split among processes and
        micro-batches, every picture gets the same numbers.
        """
        return self._mine(torch.randn((self.whole, *shape), generator=self.rng, device=self.rng.device))

    def uniform(self, *shape: int) -> torch.Tensor:
        """Numbers in 0..1, (B, *shape), drawn as `normal` draws."""
        return self._mine(torch.rand((self.whole, *shape), generator=self.rng, device=self.rng.device))

    def _mine(self, drawn: torch.Tensor) -> torch.Tensor:
        return drawn[self.first : self.first + len(self)].to(self.images.device)

    def crops(self, side: int) -> torch.Tensor:
        """A part (B, C, side, side) of each picture, at a place of its own."""
        room = self.images.shape[-1] - side + 1
        places = (self.uniform(2) * room).long().tolist()
        return torch.stack(
            [x[:, top : top + side, left : left + side] for x, (top, left) in zip(self.images, places, strict=True)]
        )

    def split(self, parts: int) -> list[Self]:
        """At most `parts` micro-batches of about one size, each with the same generator in the same state."""
        size = -(-len(self) // parts)
        tensors = [f.name for f in fields(self) if isinstance(getattr(self, f.name), torch.Tensor)]
        return [
            replace(
                self,
                **{name: getattr(self, name)[start : start + size] for name in [*tensors, "texts"]},
                first=self.first + start,
                rng=torch.Generator(self.rng.device).set_state(self.rng.get_state()),
            )
            for start in range(0, len(self), size)
        ]


@dataclass(frozen=True)
class Pair(Batch):
    """A batch of two kinds of pictures.  images, texts: of A.  others: of B, (B, C, H, W) in 0..1; see `Sides`."""

    others: torch.Tensor

    def looks(self, side: int, *, flip: bool, together: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Random parts (B, C, side, side) of both, mirrored with probability 0.5; `together`: of the same places."""
        if together:
            both = replace(self, images=torch.cat((self.images, self.others), 1))
            a, b = both._look(side, flip).chunk(2, 1)
            return a, b
        return self._look(side, flip), replace(self, images=self.others)._look(side, flip)

    def _look(self, side: int, flip: bool) -> torch.Tensor:
        images = self.crops(side).contiguous(memory_format=torch.channels_last)  # a third faster on CPUs
        return torch.where(self.uniform(1, 1, 1) < 0.5, images.flip(3), images) if flip else images


class Config(Protocol):
    """What every model's settings have; sizes in pixels."""

    size: int
    channels: int
    batch: int
    epochs: int


class Model(Protocol):
    """What the trainer needs of a module."""

    config: Any

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """New optimizers of the parameters as they are now, by name."""
        ...

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (optimizer name, loss); the trainer steps that optimizer before it asks for the next pair.

        Losses are means over the batch, so that equal parts average to the whole.
        """
        ...

    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Named mean losses of held-out pictures; "loss", the lower the better, decides which weights are the best."""
        ...


# What else `artgen train` uses where it is there; a test compares these lists with what the code looks up.

OF_A_MODEL = {
    "study": "(data): called once with the data, before anything is trained",
    "learning_rate": "(step, total) -> {optimizer: factor} of its rate; constant without it",
    "begin": "(step): called before each step, for models whose steps differ",
    "after_step": "(step): called when all optimizers of a step have stepped",
    "metrics": "{name: number} of the last step for the log, besides the losses (kl, codes in use)",
    "worst_step": "(total) -> int: the step that needs the most memory (a lazy regulariser's first)",
    "stages": "(total) -> {name: step}: parts of the run that need different memory, each with its worst step; "
    "instead of worst_step",
    "average": "float: decay of the running mean of the weights that samples are drawn from",
    "training_only": "names of modules that only training needs, such as discriminators: they are None in the running "
    "mean, and not in the weights that are exported",
    "grown": '(name) -> the name that a tensor of a model of half the size has here, "" for one that has no place; a '
    "model that has it can begin with the layers of another run (--init-from)",
    "unready": "see Generator: until it is ready, --metrics measures nothing",
    "fit": "(batches): look at training pictures before samples are drawn (latent statistics)",
    "generate": "see Generator: a grid of samples",
    "reconstruct": "see Generator: held-out pictures above what they become, where there is no `show`",
    "show": "(batch) -> pictures (R * B, C, H, W), rows of what becomes of the pictures of a held-out batch",
    "warnings": "() -> [str]: what looks wrong (dead codes, a collapsed posterior), with advice",
    "export": "(folder): write the finished model in another program's format",
    "exports": "() -> {name: Exported}: the parts that are one pass forward, for --export onnx",
}
OF_ITS_FILE = {
    "PRESETS": "{name: Config}",
    "SIDES": "it learns from two kinds of pictures, paired or unpaired; its batches are a Pair",
    "DATA_FREE": "it makes its own data where none are given",
    "open_data": "(path, config, seed, held_out) -> data of its own kind, or None for pictures as all others learn "
    "from; held_out: the part for validation, None where the data decide, or UsageError where they cannot be divided",
    "settle": "(config) -> config with what the files say that it names, before the run is described",
    "needs_words": "(config, pictures): it learns from `Batch.texts`; raises UsageError where there have to be some",
}
OF_ITS_SETTINGS = {
    "clip_gradient": "float: largest norm of the gradients of an optimizer, 0 for any",
    "start": "str: weights to go on from, none where it is empty",
    "memory": "float: GB that a step may take; it is computed in parts that do, 0 for any",
    "steps": "int: length of a run, which --steps and --epochs cannot change then",
}
OF_ITS_DATA = {  # besides `batch` and `validation`, see trainer.BatchSource
    "images": "(N, H, W, C) uint8: all pictures, which say how much samples can differ",
    "labels": "(N,) int64: the class of each of `images`, for --metrics",
    "preparation": "data.Preparation: its colour space is that of the pictures that the model draws",
    "steps_per_epoch": "(batch) -> steps; without it there are no epochs",
    "divides": "whether a batch may be computed in parts, to foresee what a step costs; without it, yes",
    "opened": "data.Dataset or None: the folder of pictures that it draws on, to say what is odd in it",
}


class Generator(Protocol):
    """What `artgen sample` uses; each method is there only where it makes sense for the model."""

    config: Any

    def generate(self, seeds: Sequence[int], labels: torch.Tensor | None = None, truncation: float = 1.0):
        """Pictures (N, C, H, W) in 0..1, one per seed; a picture depends on its own seed only."""
        ...

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 through the model and back."""
        ...

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1 to latents (N, D)."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D) to (N, C, H, W) in 0..1."""
        ...

    def drawn(self, latents: torch.Tensor) -> torch.Tensor:
        """What `decode` gives, with a gradient: models that have no `encode` find the latents of a picture by it."""
        ...

    def latents(self, seeds: Sequence[int], truncation: float = 1.0) -> torch.Tensor:
        """Random latents (N, D), row i from seeds[i] alone; `generate` decodes what this gives."""
        ...

    def unready(self) -> str:
        """Why it cannot draw yet, as the end of a sentence, "" when it can; where it is missing, it can."""
        ...

    def axis(self, number: int, labels: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The direction (D,), of length 1, in which latents vary most after `number` others, and their deviation.

        labels: (1,), the class whose latents are meant.
        """
        ...

    def mix(self, latents: torch.Tensor, others: torch.Tensor, part: str) -> torch.Tensor:
        """What `decode` takes for latents (N, D) with the coarse, middle or fine styles of others (N, D)."""
        ...

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """The latents `part` of the way between two, (N, D): spherical for Gaussian latents, straight for others."""
        ...


# --- for other programs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """An axis of any length.  usual: a length that the model knows from training.  step: lengths are multiples of it.
    least: the shortest length."""

    name: str
    usual: int
    step: int = 1
    least: int = 1


BATCH = Axis("batch", 1)


def sides(usual: int, step: int = 1, least: int = 1) -> tuple[Axis, Axis]:
    """Height and width of pictures that may be of any size."""
    return Axis("height", usual, step, least), Axis("width", usual, step, least)


@dataclass(frozen=True)
class Port:
    """What goes into a part of a model, or comes out of it.

    shape: the length of each axis; an Axis where any will do, or in outputs what it is worked out from, "2*height".
    low, high: range of the numbers.  whole: they are whole numbers (int64), not float32.
    """

    name: str
    shape: tuple[int | str | Axis, ...]
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False


def pictures(name: str, channels: int, *lengths: int | str | Axis) -> Port:
    """(B, channels, height, width) in 0..1."""
    return Port(name, (BATCH, channels, *lengths), 0, 1)


@dataclass(frozen=True)
class Exported:
    """A part of a model that one pass forward computes, for `--export onnx`.

    function: takes the inputs, returns the output, or a tuple of the outputs; it reads the length of an axis of any
    length off the shape, as len() makes a constant of it.  modules: what its weights are in.
    """

    function: Callable[..., Any]
    modules: tuple[nn.Module, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
