"""CycleGAN ("Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", Zhu et al., 2017).

Two translators, from A to B and from B to A, learn from two sets of unpaired pictures.  The cycle loss asks that a
picture translated there and back stays the same; the adversarial loss asks that patch discriminators take translated
pictures for real ones of the other set.  `export` writes the translators alone, ready to be applied.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError
from artcli.nn import checks, zoom
from artcli.nn.features import FeatureNet
from artcli.nn.history import History
from artcli.nn.inference import inference
from artcli.nn.initialise import take_over
from artcli.nn.measure import middle, psnr
from artcli.nn.patchgan import PatchGAN, least_squares
from artcli.nn.precision import full
from artcli.nn.projected import Heads
from artcli.nn.schedule import trapezoid
from artcli.nn.translators import KINDS, NORMS, Sizes, Translator, draw, with_grain
from artcli.pretrained import feature_nets
from artcli.pretrained import translators as translator_files
from artcli.pretrained.find import DIRECTIONS
from artcli.training import parallel
from artcli.training.contract import Exported, Pair, pictures, sides

SIDES = "unpaired"
LEAST_CROP = 32  # pixels that the discriminator's layers need
_WAITING = 200  # steps in which only the discriminators learn, when training starts from finished translators
PATCHES = "patches"


@dataclass(frozen=True)
class Config:
    """The paper's, for 256 pixels.

    size: of the pictures; crop: side of the random crops that training uses.  net to grain: of the translators, see
    nn.translators.Sizes.  discriminator: "patches", the paper's; or the name or file of a pretrained net whose features
    the discriminators judge; or several of these.  discriminator_width: channels of their first layer;
    discriminator_lr: their learning rate; sight: the largest scale at which crops enter such a net, 2 for doubled; the
    smallest is half of it.
    cycle: weight of the cycle loss; identity: weight, as a factor of cycle, of the identity loss, which keeps colours;
    0 saves a quarter of the time.  softness: colour differences (in -1..1) below which both losses are quadratic:
    residual translators begin as the identity, a minimum that they would never leave with the paper's L1.  pool: number
    of earlier translations that the discriminators see again.  ema: decay of the running mean of the translators that
    is shown and exported; 0, as in the paper: the last weights.  flip: mirror pictures with probability 0.5.
    direction: AtoB or BtoA, the default of `artgen cyclegan`.  start: name or folder of two finished translators of
    these sizes to go on from; they are frozen until the new discriminators have learned something.
    """

    size: int = 286
    crop: int = 256
    channels: int = 3
    net: str = "resnet"
    width: int = 64
    blocks: int = 9
    norm: str = "instance"
    dropout: bool = False
    resize: bool = False
    depthwise: bool = False
    residual: bool = False
    grain: bool = False
    discriminator: tuple[str, ...] = (PATCHES,)
    discriminator_width: int = 64
    sight: float = 1.0
    cycle: float = 10.0
    softness: float = 0.0
    identity: float = 0.5
    pool: int = 50
    ema: float = 0.0
    flip: bool = True
    direction: str = "AtoB"
    start: str = ""
    batch: int = 1
    epochs: int = 200
    lr: float = 2e-4
    discriminator_lr: float = 2e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"identity", "pool", "softness", "ema"})
        if self.ema >= 1:
            raise UsageError(f"ema is the decay of a running mean, from 0 to less than 1, not {self.ema}")
        check_translator(self)
        if self.discriminator != (PATCHES,) and self.channels != 3:
            nets = ", ".join(look for look in self.discriminator if look != PATCHES)
            raise UsageError(
                f"discriminators look through {nets} at colour pictures: channels=3, or discriminator={PATCHES}"
            )

    @property
    def sizes(self) -> Sizes:
        return sizes(self)


def check_translator(config: Any) -> None:
    """What the settings of all translators have in common.  Raises UsageError."""
    checks.one_of(config, "net", KINDS)
    checks.one_of(config, "norm", NORMS)
    checks.one_of(config, "direction", DIRECTIONS)
    if not LEAST_CROP <= config.crop <= config.size:
        raise UsageError(f"crop has to be {LEAST_CROP} to the pictures' size {config.size}, not {config.crop}")
    if config.net == "unet" and config.norm == "none":
        raise UsageError("a U-Net needs a normalisation: norm=instance or batch, or net=resnet")
    if config.net == "unet" and not 3 <= config.blocks <= 10:
        raise UsageError(f"a U-Net halves the sides 3 to 10 times: blocks has to say so, not {config.blocks}")
    if config.crop % config.sizes.factor:
        raise UsageError(f"crop has to be a multiple of {config.sizes.factor} for this net, not {config.crop}")


def sizes(config: Any) -> Sizes:
    return Sizes(
        kind=config.net,
        width=config.width,
        blocks=config.blocks,
        norm=config.norm,
        dropout=config.dropout,
        resize=config.net == "resnet" and (config.resize or config.depthwise),
        depthwise=config.net == "resnet" and config.depthwise,
        residual=config.net == "resnet" and getattr(config, "residual", False),
        grain=config.net == "resnet" and getattr(config, "grain", False),
        channels=config.channels,
        drawn=config.channels,
    )


# Small crops of pictures as they are: many different ones, brush strokes at the size that they have.
_MINI = Config(
    size=256,
    crop=96,
    width=24,
    blocks=6,
    norm="none",
    resize=True,
    residual=True,
    grain=True,
    discriminator=(PATCHES, "vgg-slim"),
    discriminator_width=32,
    cycle=5.0,
    softness=0.3,
    identity=0.0,
    batch=2,
    lr=3e-4,
    discriminator_lr=5e-4,
)

PRESETS = {
    "paper": Config(),
    "paper-128": Config(size=143, crop=128, blocks=6),
    "light": Config(size=143, crop=128, width=32, blocks=6, resize=True, depthwise=True, discriminator_width=32),
    "mini": _MINI,
    # Discriminators on features of ImageNet classifiers, as KID uses, still tell translations from paintings when the
    # others no longer can.  The cycle loss has little weight, or the translator never paints strokes that the other
    # one cannot undo.
    "mini-128": replace(
        _MINI,
        crop=128,
        discriminator=("squeezenet1_1", "mobilenet_v2"),
        sight=2.1,
        cycle=0.25,
        pool=0,
        ema=0.997,
        batch=4,
        lr=5e-4,
    ),
}


class Model(nn.Module):
    """classes: unused; the two kinds of pictures are A and B."""

    training_only = ("discriminators", "histories")

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        self.average = config.ema
        self.translators = nn.ModuleDict({way: Translator(config.sizes) for way in DIRECTIONS})
        if config.start:
            for way, net in self.translators.items():
                take_over(net, _finished(config, way).state_dict(), config.start)
        self.discriminators, self.histories = nn.ModuleDict(), nn.ModuleDict()
        for kind in "AB":
            self.discriminators[kind] = self._discriminator()
            self.histories[kind] = History(config.pool, config.channels, config.crop)
        self._last: dict[str, float] = {}
        self._whole, self._side = (
            0,
            config.crop,
        )  # of the last batch: pictures, and the side in which discriminators see them

    def _discriminator(self) -> nn.Module:
        width = self.config.discriminator_width
        return nn.ModuleList(
            PatchGAN(self.config.channels, width, norm="instance")
            if look == PATCHES
            else Heads(self._eyes[look], width)
            for look in self.config.discriminator
        )

    @functools.cached_property
    def _eyes(self) -> dict[str, FeatureNet]:
        """The net whose features the discriminators judge; it is not trained and not part of the state."""
        nets = (look for look in self.config.discriminator if look != PATCHES)
        return {look: feature_nets.load(look, torch.device("cpu")) for look in nets}

    # training -------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        trained = {
            "translators": (self.translators, self.config.lr),
            "discriminators": (self.discriminators, self.config.discriminator_lr),
        }
        return {name: torch.optim.Adam(net.parameters(), rate, (0.5, 0.999)) for name, (net, rate) in trained.items()}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        """Constant for the first half, then straight to 0."""
        rate = trapezoid(step, total, fall=0.5)
        return {"translators": 0.0 if self.config.start and step < _WAITING else rate, "discriminators": rate}

    def train_step(self, batch: Pair) -> Iterator[tuple[str, torch.Tensor]]:
        a, b = (2 * side - 1 for side in batch.looks(self.config.crop, flip=self.config.flip, together=False))
        chance = batch.uniform(2, 2)
        self._whole = batch.whole
        self._side = zoom.side(round(self.config.sight * self.config.crop), LEAST_CROP, batch.rng)
        there, back = (functools.partial(self._carry, way, batch=batch) for way in DIRECTIONS)
        self.discriminators.requires_grad_(False)  # no gradients for them in the translators' step
        drawn = {"B": there(a), "A": back(b)}
        parts = {
            "cycle": self._far(back(drawn["B"]), a) + self._far(there(drawn["A"]), b),
            "fooled": self._judge("A", drawn["A"], 1.0) + self._judge("B", drawn["B"], 1.0),
        }
        loss = parts["fooled"] + self.config.cycle * parts["cycle"]
        if self.config.identity:
            parts["identity"] = self._far(there(b), b) + self._far(back(a), a)
            loss = loss + self.config.cycle * self.config.identity * parts["identity"]
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "translators", loss
        self.discriminators.requires_grad_(True)
        judged = torch.zeros((), device=a.device)
        for number, (kind, real) in enumerate((("A", a), ("B", b))):
            fake = self._history(kind).mix(drawn[kind].detach(), batch.first, chance[:, number])
            judged = judged + (self._judge(kind, real, 1.0) + self._judge(kind, fake, 0.0)) / 2
        yield "discriminators", judged

    def _carry(self, way: str, images: torch.Tensor, batch: Pair) -> torch.Tensor:
        """Translate pictures in -1..1, with fresh noise where the translators take it."""
        if self.config.sizes.grain:
            noise = 2 * batch.uniform(1, *images.shape[2:]) - 1
            images = torch.cat((images, noise), 1).contiguous(memory_format=torch.channels_last)
        return full(self.translators[way](images))

    def _judge(self, kind: str, images: torch.Tensor, wanted: float) -> torch.Tensor:
        """The mean of the discriminators' losses."""
        apart = []
        for number, look in enumerate(self.config.discriminator):
            discriminator = self.discriminators[kind][number]  # type: ignore[index]
            if look == PATCHES:
                judged = [discriminator(images)]
            else:
                judged = discriminator(self._eyes[look].to(images.device), zoom.seen(images, self._side))
            apart.append(torch.stack([least_squares(full(each), wanted) for each in judged]).mean())
        return torch.stack(apart).mean()

    def _far(self, drawn: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return F.smooth_l1_loss(drawn, real, beta=self.config.softness)

    def _history(self, kind: str) -> History:
        history = self.histories[kind]
        assert isinstance(history, History)
        return history

    def after_step(self, step: int) -> None:
        for kind in "AB":
            self._history(kind).keep(self._whole, parallel.all_sum)

    @inference
    def validate(self, batch: Pair) -> dict[str, torch.Tensor]:
        """loss: of the cycle, which does not measure how well the look is met; psnr of the cycle from A, in dB."""
        a, b = (middle(side, self.config.crop) for side in (batch.images, batch.others))
        back_a, back_b = self._there_and_back(a, "AtoB")[1], self._there_and_back(b, "BtoA")[1]
        return {"loss": F.l1_loss(back_a, a) + F.l1_loss(back_b, b), "psnr": psnr(back_a, a)}

    def _there_and_back(self, images: torch.Tensor, way: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures in 0..1 translated, and translated back."""
        other = "BtoA" if way == "AtoB" else "AtoB"
        drawn = _drawn(self.translators[way], images)
        return drawn, _drawn(self.translators[other], drawn)

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last step: cycle and identity, mean distances in -1..1; fooled: the adversarial loss."""
        return self._last

    # results --------------------------------------------------------------------------------------------------------

    @inference
    def show(self, batch: Pair) -> torch.Tensor:
        """Rows: A, A as B, back to A, B, B as A, back to B."""
        rows = []
        for images, way in ((batch.images, "AtoB"), (batch.others, "BtoA")):
            images = middle(images, self.config.crop)
            rows += [images, *self._there_and_back(images, way)]
        return torch.cat(rows)

    def export(self, folder: Path) -> None:
        export(self.translators, self.config, folder)

    def exports(self) -> dict[str, Exported]:
        return exports(self.translators, self.config)


def _finished(config: Config, way: str) -> Translator:
    """One of the translators that `start` names.  Raises UsageError: it is missing, or computes something else."""
    net = translator_files.load(config.start, torch.device("cpu"), direction=way).net
    if replace(net.sizes, dropout=config.sizes.dropout) != config.sizes:
        asked, found = config.sizes.describe(), net.sizes.describe()
        raise UsageError(
            f"start={config.start} is a {found} of other sizes than the {asked} that these settings ask for"
        )
    return net


def export(translators: nn.ModuleDict, config: Any, folder: Path) -> None:
    """Write every translator with what it needs to be applied."""
    folder.mkdir(parents=True, exist_ok=True)
    for way, net in translators.items():
        assert isinstance(net, Translator)
        path = folder / translator_files.NAMES[way]
        seen = {"size": config.crop, "scale": config.size}
        translator_files.save(path, net, direction=way, default=config.direction, **seen)


def exports(translators: nn.ModuleDict, config: Any) -> dict[str, Exported]:
    """Every translator as a part, under the name of the file that `export` writes."""
    size = sides(config.crop, config.sizes.factor, config.sizes.least)
    images, noise, drawn = (
        pictures(name, channels, *size)
        for name, channels in (("images", config.channels), ("noise", 1), ("drawn", config.channels))
    )
    given = (images, noise) if config.sizes.grain else (images,)
    return {
        Path(translator_files.NAMES[way]).stem: Exported(functools.partial(_drawn, net), (net,), given, (drawn,))
        for way, net in translators.items()
    }


def _drawn(net: nn.Module, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Translate pictures in 0..1, with the given noise in 0..1 or, where the translator takes it, the default noise."""
    assert isinstance(net, Translator)
    given = with_grain(images, net.sizes) if noise is None else torch.cat((images, noise), 1)
    return draw(net, given).clamp(0, 1)
