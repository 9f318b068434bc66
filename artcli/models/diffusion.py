"""Text to small pictures by rectified flow ("Flow Straight and Fast", Liu et al., 2022), in pixels.

A U-Net learns the velocity from a picture to noise, at times from a logit-normal distribution ("Scaling Rectified Flow
Transformers for High-Resolution Image Synthesis", Esser et al., 2024), told what the picture shows by the embedding of
a CLIP's text tower.  The text is dropped now and then, for classifier-free guidance (Ho and Salimans, 2022).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artcli import weights
from artcli.device import fast_dtype
from artcli.errors import UsageError, WeightsError
from artcli.nn import checks, flow
from artcli.nn.flow import Wish
from artcli.nn.inference import inference
from artcli.nn.initialise import take_over
from artcli.nn.latents import normal, slerp
from artcli.nn.muon import Muon
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.nn.unet import UNet
from artcli.nn.unfilled import unfilled
from artcli.pretrained import half
from artcli.pretrained.diffusion import FILE, SHAPE, assemble, description
from artcli.pretrained.text_tower import TextTower, text_tower
from artcli.training.contract import BATCH, Batch, Exported, Port, sides
from artcli.training.pictures import is_set
from artcli.training.texts import TextPictures

OPTIMIZERS = ("muon", "adamw")
SHOWN = 6  # prompts of the report's grid


@dataclass(frozen=True)
class Config:
    """size: of the pictures.  widths, blocks, attention: of the levels of the U-Net, the finest first; fold: pixels of
    either side that become one place; features: of time and text.

    texts: length of a text's embedding, 0 for an unconditional model.  clip: the CLIP whose text tower embeds.
    drop: share of the pictures whose text is dropped.  ema: decay of the running mean of the weights, which draws.
    rise: warm-up steps of the learning rate; fall: the last part of the run, in which it falls to 0.
    start: a bundled name, a run's model/ or a file: go on from its weights.
    prompts: what the report's grid shows; some texts of the data where none are given.
    """

    size: int = 32
    channels: int = 3
    widths: tuple[int, ...] = (96, 192, 320)
    blocks: tuple[int, ...] = (1, 2, 2)
    attention: tuple[bool, ...] = (False, True, True)
    fold: int = 2
    features: int = 256
    texts: int = 256
    clip: str = "clip-mini"
    drop: float = 0.1
    ema: float = 0.999
    optimizer: str = "muon"
    lr: float = 2e-3
    rise: int = 100
    fall: float = 0.2
    clip_gradient: float = 1.0  # largest norm
    start: str = ""
    prompts: tuple[str, ...] = ()
    batch: int = 128
    epochs: int = 10

    def __post_init__(self) -> None:
        checks.positive(self, {"texts", "drop", "ema", "rise", "fall", "clip_gradient", "attention"})
        checks.below_one(self, "drop", "ema")
        checks.one_of(self, "optimizer", OPTIMIZERS)
        if not len(self.widths) == len(self.blocks) == len(self.attention):
            raise UsageError("widths, blocks and attention have one number for each level of the U-Net")
        checks.divisible(self.size, self.fold * 2 ** (len(self.widths) - 1))

    def shape(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SHAPE}


PROMPTS = ("red car", "banana", "airplane", "a sunflower", "a castle", "a brown dog")
PRESETS = {
    "mini-32": Config(prompts=PROMPTS),
    "mini-64": Config(
        size=64,
        widths=(64, 128, 224, 304),
        blocks=(1, 1, 2, 2),
        attention=(False, False, True, True),
        batch=1024,
        lr=3e-3,
        prompts=PROMPTS,
    ),
    "tiny": Config(
        size=16, widths=(16, 32), blocks=(1, 1), attention=(False, True), features=32, batch=8, ema=0.9, rise=2
    ),
}


def open_data(folder: Path | None, config: Config, seed: int, held_out: float | None) -> TextPictures | None:
    """Picture sets as weights/recipes/text_image_data.py makes them; None for any other folder of pictures."""
    packed = folder is not None and folder.is_dir() and any(is_set(p) for p in folder.glob("*.npz"))
    return TextPictures(folder, config.size, seed, held_out) if packed and folder is not None else None


def needs_words(config: Config, pictures: Any) -> None:
    """Raises UsageError when the settings need captions and the pictures have none."""
    if config.texts and not pictures.texts and not pictures.classes:
        raise UsageError(
            "these pictures have no words: put them in one folder per class, or beside them captions (metadata.jsonl, "
            "captions.json, or NAME.txt beside NAME.jpg); --set texts=0 trains without words"
        )


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn.  guidance: towards the words, 1 for the words alone.  steps, solver: of flow.solve.
    negative: texts to keep away from, together as much as towards the words."""

    guidance: float = 3.0
    steps: int = 20
    solver: str = "multistep"
    negative: tuple[str, ...] = ()


class Model(nn.Module):
    """classes: of the training pictures, which texts stand for."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.drawing = Drawing()
        self.config = config
        self.net = UNet(**config.shape()).to(memory_format=torch.channels_last)
        self.average = config.ema
        self.shown = config.prompts
        if config.start:
            file = weights.inside(weights.find(config.start), FILE)
            take_over(self.net, weights.load_state(file), config.start)

    @property
    def tower(self) -> TextTower:
        return text_tower(self.config.clip, self.device, self.config.texts)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def study(self, data: Any) -> None:
        """Choose what the report shows: some texts of the data, where the settings name none."""
        if self.config.texts and not self.shown:
            found = data.batch(0, 4 * SHOWN, device=torch.device("cpu")).texts
            self.shown = tuple(dict.fromkeys(text for text in found if text))[:SHOWN] or ("a picture",)

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Muon for the matrices inside the net, Adam for its ends and all that is no matrix."""
        lr, inside = self.config.lr, (self.net.down, self.net.up, self.net.shrink, self.net.grow)
        matrices = [p for part in inside for p in part.parameters() if p.ndim > 1]
        if self.config.optimizer == "adamw":
            matrices = []
        chosen = {id(p) for p in matrices}
        others = [p for p in self.net.parameters() if id(p) not in chosen]
        adam = torch.optim.AdamW(others, lr, betas=(0.9, 0.98), weight_decay=0.0)
        return {"flow": Muon(matrices, adam, lr) if matrices else adam}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"flow": trapezoid(step, total, self.config.rise, self.config.fall)}

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        kept = (batch.uniform() >= self.config.drop).to(batch.images.dtype)
        yield "flow", self._loss(batch, kept).mean()

    def _loss(self, batch: Batch, kept: torch.Tensor | float) -> torch.Tensor:
        """Mean squared error of each picture's velocity, (B,)."""
        pictures = batch.images * 2 - 1
        noise, time = batch.normal(*pictures.shape[1:]), batch.normal().sigmoid()
        text = None
        if self.config.texts:
            said = torch.tensor([bool(text) for text in batch.texts], device=self.device)
            text = self.tower(batch.texts) * (said * kept).view(-1, 1)
        found = full(self.net(flow.mix(pictures, noise, time), time, text))
        return (found - (noise - pictures)).square().flatten(1).mean(1)

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": self._loss(batch, 1.0).mean()}

    # drawing --------------------------------------------------------------------------------------------------------

    @inference
    def generate(
        self, seeds: Sequence[int], labels: torch.Tensor | None = None, prompts: Sequence[str] | None = None
    ) -> torch.Tensor:
        """Pictures (N, C, H, W) in 0..1, one per seed and prompt, without prompts of the report's own in turn.

        labels: mean nothing here, as words do.
        """
        return self.decode(self.latents(seeds, prompts=prompts))

    def latents(self, seeds: Sequence[int], prompts: Sequence[str] | None = None) -> torch.Tensor:
        """Noise and, behind it, the embedding of the words, (N, C * H * W + D)."""
        noise = start_noise(self.net, seeds, self.config.size, self.config.size).flatten(1)
        if not self.config.texts:
            return noise
        words = self.shown if prompts is None else prompts
        return torch.cat((noise, self.tower([words[place % len(words)] for place in range(len(seeds))])), 1)

    @inference
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in 0..1; a picture does not depend on the others of a batch of one size."""
        shape, how = (self.config.channels, self.config.size, self.config.size), self.drawing
        noise, texts = latents.split((math.prod(shape), self.config.texts), 1)
        wishes = [Wish(texts), *(Wish(text, -weight) for text, weight in self._negative())] if self.config.texts else []
        *_, state = sample(self.net, wishes, noise.view(-1, *shape), how.guidance, how.steps, how.solver)
        return to_picture(state.picture)

    def _negative(self) -> list[tuple[torch.Tensor, float]]:
        words = self.drawing.negative
        return [(text, 1.0 / len(words)) for text in self.tower(words)] if words else []

    def blend(self, start: torch.Tensor, end: torch.Tensor, part: float) -> torch.Tensor:
        """Noise and words on their spheres, each by itself, (N, C * H * W + D)."""
        sizes = (start.shape[1] - self.config.texts, self.config.texts)
        pairs = zip(start.split(sizes, 1), end.split(sizes, 1), strict=True)
        return torch.cat([slerp(a, b, part) if a.shape[1] else a for a, b in pairs], 1)

    # for other programs ---------------------------------------------------------------------------------------------

    def export(self, folder: Path) -> None:
        """Write fp16 safetensors with the net's shape, its pictures' size and whose texts it understands."""
        told = {**self.config.shape(), "size": self.config.size, "clip": self.config.clip}
        half.export(folder / FILE, self.net.state_dict(), diffusion=told)

    def exports(self) -> dict[str, Exported]:
        """The net: noisy pictures in -1..1, times and text embeddings to velocities."""
        side = sides(self.config.size, self.net.factor, self.net.factor)
        inputs = [Port("pictures", (BATCH, self.config.channels, *side)), Port("times", (BATCH,), 0, 1)]
        if self.config.texts:
            inputs.append(Port("texts", (BATCH, self.config.texts)))
        out = Port("velocities", (BATCH, self.config.channels, *side))
        return {"flow": Exported(self.net, (self.net,), tuple(inputs), (out,))}


@torch.no_grad()
def draw(
    net: UNet,
    wishes: Sequence[Wish],
    seeds: Sequence[int],
    size: int,
    guidance: float = 3.0,
    steps: int = 20,
    solver: str = "multistep",
) -> torch.Tensor:
    """Pictures (N, C, size, size) in 0..1, one per seed, of what the wishes say."""
    for state in sample(net, wishes, start_noise(net, seeds, size, size), guidance, steps, solver):  # noqa: B007
        pass
    return to_picture(state.picture)


def sample(
    net: UNet,
    wishes: Sequence[Wish],
    noise: torch.Tensor,
    guidance: float = 3.0,
    steps: int = 20,
    solver: str = "multistep",
    start: float = 1.0,
    window: int | None = None,
    steer: Callable[[flow.Velocity], flow.Velocity] | None = None,
) -> Iterator[flow.State]:
    """Solve from x (N, C, H, W) at time `start`, in -1..1 where it is picture; yields after every step.

    window: side of the square windows in which pictures are drawn that are longer than the net knows.  steer: what
    changes the velocity of whole pictures, as `flow.steered` does.
    """

    def velocity(x: torch.Tensor, time: torch.Tensor, text: torch.Tensor | None = None) -> torch.Tensor:
        dtype = fast_dtype(x.device)
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            return net(x, time, text).float()

    told = flow.guided(velocity, wishes, guidance) if wishes else velocity
    told = told if window is None else flow.windowed(told, window)
    return flow.solve(told if steer is None else steer(told), noise, steps, solver, start)


def start_noise(net: UNet, seeds: Sequence[int], height: int, width: int) -> torch.Tensor:
    """Noise (N, C, H, W), each row from its own seed, on the net's device."""
    return normal(seeds, (net.channels, height, width)).to(net.last.weight.device)


def to_picture(x: torch.Tensor) -> torch.Tensor:
    return ((x + 1) / 2).clamp(0, 1)


def finished(path: Path, device: torch.device) -> Model:
    """The model that a file holds, as `artgen sample` asks for it, in evaluation mode; also one that knows no words.

    Raises WeightsError: it is damaged.
    """
    told = description(path) or {}
    net = assemble(path, told)
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        with unfilled():  # the weights come from the file
            model = Model(Config(**values))
    except (UsageError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged: what it says of itself is no diffusion model") from error
    model.net = net.to(device)
    return model.eval()
