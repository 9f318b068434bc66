"""Style in one pass ("Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", Huang and Belongie,
2017): a photo's features get the style's means and deviations, and a decoder that is learned here paints them.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from artcli.errors import UsageError
from artcli.media import files, images
from artcli.nn import checks, fields
from artcli.nn.adain import CONVS, FACTOR, GIVEN, Decoder, Moments, adapt, moments
from artcli.nn.features import FeatureNet
from artcli.nn.inference import inference
from artcli.nn.initialise import take_over
from artcli.nn.precision import full
from artcli.nn.schedule import trapezoid
from artcli.pretrained import adain as adain_files
from artcli.pretrained import feature_nets
from artcli.training.contract import Axis, Batch, Exported, pictures, sides

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_FIELDS = 3  # of a synthetic picture
_RIM = 2  # pixels beside an edge where a colour may change
_LEAST = 32  # pixels that the encoder looks at


@dataclass(frozen=True)
class Config:
    """size: of the pictures; crop: side of the random parts of photos that training looks at.

    net: the encoder, a name or a file, or nothing for that of `start`.  judge: the net whose features the losses
    compare, where it is another one; a small net takes textures for style that a large one sees through.  styles:
    folder of pictures whose style is learned.  widths: channels of the decoder's blocks, the deepest first.  gain: the
    most that adapting amplifies a feature by.  style: weight of the style loss, relative to the content loss.  halo:
    weight of the variance of the colours within the fields of a synthetic picture: each has one colour, and shall have
    one in the result, up to its edges.  identity: weight of the squared colour error of pictures reconstructed from
    their own features; it teaches the decoder what pictures look like much earlier than the losses on features do
    ("Arbitrary Style Transfer with Style-Attentional Networks", Park and Lee, 2019); 0, as in the paper: without it.
    inversion: first steps, with the identity loss alone ("Universal Style Transfer via Feature Transforms", Li et al.,
    2017, trains only so); they take half the time.  start: name, file or run folder of a finished decoder for the same
    net and of these widths to go on from; it skips the inversion.
    """

    size: int = 256
    crop: int = 192
    channels: int = 3
    net: str = "vgg-slim"
    judge: str = ""
    styles: str = ""
    widths: tuple[int, ...] = (128, 96, 48, 24)
    gain: float = 2.0
    style: float = 10.0
    halo: float = 1000.0
    identity: float = 300.0
    inversion: int = 500
    start: str = ""
    batch: int = 8
    epochs: int = 20
    lr: float = 1e-4

    def __post_init__(self) -> None:
        checks.positive(self, {"style", "halo", "identity", "inversion"})
        checks.divisible(self.crop, FACTOR)
        if len(self.widths) != len(CONVS):
            raise UsageError(f"widths are those of four blocks, such as 128,96,48,24, not {self.widths}")
        if self.inversion and not self.identity:
            raise UsageError("inversion steps learn the identity loss alone, and identity is 0: set inversion=0")
        if self.gain <= 1:
            raise UsageError(f"gain has to be above 1, not {self.gain}")
        if not (self.net or self.start):
            raise UsageError("net is empty, and there is no start whose net to take: set net=vgg-slim")
        if not _LEAST <= self.crop <= self.size:
            raise UsageError(f"crop has to be {_LEAST} to the pictures' size {self.size}, not {self.crop}")
        if self.channels != 3:
            raise UsageError("style is learned from colour pictures: channels=3")


PRESETS = {"default": Config()}


class Model(nn.Module):
    """classes: unused."""

    def __init__(self, config: Config, classes: int = 0):
        super().__init__()
        self.config = config
        with torch.no_grad():
            found = self._encoder(torch.zeros(1, 3, 32, 32), GIVEN)
        decoder = Decoder([found[tap].shape[1] for tap in GIVEN], config.widths)
        if config.start:
            finished = self._finished_decoder()
            fewer = len(finished.taps) < len(decoder.taps)
            take_over(decoder, finished.state_dict(), config.start, narrower=fewer)
        self.decoder = decoder.to(memory_format=torch.channels_last)  # a quarter faster on CPUs
        self._last: dict[str, float] = {}
        self._inverting, self._step = False, 0
        self._known: dict[int, tuple[dict[str, Moments], dict[str, Moments]]] = {}  # the moments of styles, by number

    @functools.cached_property
    def _encoder(self) -> FeatureNet:
        if not self.config.net:
            return self._finished.encoder
        net = feature_nets.load(self.config.net, torch.device("cpu"))
        if not net.name.startswith("vgg"):
            raise UsageError("adain's decoder mirrors a VGG; set net=vgg19 or a vgg-slim")
        return net

    @functools.cached_property
    def _judge(self) -> FeatureNet:
        return feature_nets.load(self.config.judge, torch.device("cpu")) if self.config.judge else self._encoder

    @functools.cached_property
    def _finished(self) -> adain_files.Stylist:
        return adain_files.load(self.config.start, torch.device("cpu"))

    def _finished_decoder(self) -> Decoder:
        """That of `start`.  Raises UsageError: it is of another net."""
        given = self._finished
        layers = self._encoder.layers.state_dict()
        for name, theirs in given.encoder.layers.state_dict().items():
            if layers[name].shape != theirs.shape or not torch.equal(layers[name].half(), theirs.half()):
                raise UsageError(f"start={self.config.start} was made for another net than net={self.config.net}")
        return given.decoder

    @functools.cached_property
    def _styles(self) -> torch.Tensor:
        """The middle square of every style, (N, 3, size, size) uint8."""
        if not self.config.styles:
            raise UsageError("adain learns from a second folder, of pictures with style: --set styles=PAINTINGS")
        found = [_square(path, self.config.size) for path in files.expand_inputs([self.config.styles])]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"adain": torch.optim.Adam(self.decoder.parameters(), self.config.lr)}

    def learning_rate(self, step: int, total: int) -> dict[str, float]:
        return {"adain": trapezoid(step, total, min(500, total // 20), fall=0.5)}

    def begin(self, step: int) -> None:
        self._step, self._inverting = step, step < self.config.inversion and not self.config.start

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        drawn = (batch.uniform() * len(self._styles)).long().cpu()
        styles = replace(batch, images=self._pictures(drawn, batch.images))
        photos, paintings = (side.crops(self.config.crop) for side in (batch, styles))
        parts = {}
        if not self._inverting:
            parts = self._errors(photos, drawn)
        # these two by turns, which costs half the time
        if self.config.halo and self._step % 2 and not self._inverting:
            parts["halo"] = self._halo(photos, drawn, batch.uniform(_FIELDS, 6))
        elif self.config.identity:
            parts["identity"] = self._identity(torch.where(batch.uniform(1, 1, 1) < 0.5, photos, paintings))
        self._last = {name: float(value.detach()) for name, value in parts.items()}
        yield "adain", self._loss(parts)

    def _errors(self, photos: torch.Tensor, styles: torch.Tensor) -> dict[str, torch.Tensor]:
        """content: distance of the painted picture's features from the adapted ones; style: of its moments from the
        style's.  styles: numbers (B,)."""
        given, wanted = self._moments(styles, photos.device)
        judge = self._judge.to(photos.device)
        deepest = TAPS[-1]
        with torch.no_grad():
            target = adapt(judge(photos, [deepest]), wanted)[deepest]
        found = judge(full(self.decoder(self._adapted(photos, given))), TAPS)
        style = [
            F.mse_loss(one, other) for tap in TAPS for one, other in zip(moments(found[tap]), wanted[tap], strict=True)
        ]
        return {"content": F.mse_loss(found[deepest], target), "style": torch.stack(style).sum()}

    def _halo(self, photos: torch.Tensor, styles: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Variance of the colours of fields, painted as parts of the photos and as pictures of their own by turns."""
        scene, own = fields.scene(numbers, photos.shape[-1])
        around = {tap: moments(x) for tap, x in self._encoder(photos, GIVEN).items()} if self._step % 4 == 1 else None
        drawn = full(self.decoder(self._adapted(scene, self._moments(styles, photos.device)[0], around)))
        return fields.unevenness(drawn, own, _RIM)

    def _seen(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features that the decoder is given, of pictures (B, 3, H, W) in 0..1."""
        if next(self._encoder.parameters()).device != pictures.device:  # to ask for it again would stop torch.export
            self._encoder.to(pictures.device)
        return self._encoder(pictures, GIVEN)

    def _adapted(
        self, photos: torch.Tensor, wanted: dict[str, Moments], own: dict[str, Moments] | None = None
    ) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return adapt(self._seen(photos), wanted, self.config.gain, own)

    @torch.no_grad()
    def _moments(self, styles: torch.Tensor, device: torch.device) -> tuple[dict[str, Moments], dict[str, Moments]]:
        """Of the styles with these numbers (B,), as the encoder and as the judge sees them.

        In full precision, whoever asks first: a resumed run may ask in another order.
        """
        for number in styles.tolist():
            if number not in self._known:
                picture = self._styles[number : number + 1].to(device) / 255
                with torch.autocast(device.type, enabled=False):
                    self._known[number] = tuple(  # type: ignore[assignment]
                        {tap: moments(x) for tap, x in net.to(device)(picture, taps).items()}
                        for net, taps in ((self._encoder, GIVEN), (self._judge, TAPS))
                    )
        rows = [self._known[number] for number in styles.tolist()]
        seen, judged = ([row[k] for row in rows] for k in (0, 1))
        return _stacked(seen), _stacked(judged)

    def _identity(self, pictures: torch.Tensor) -> torch.Tensor:
        """Of pictures painted from their own features."""
        with torch.no_grad():
            own = self._seen(pictures)
        return F.mse_loss(full(self.decoder(own)), pictures)

    def _loss(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        weights = {"content": 1.0} | {name: getattr(self.config, name) for name in ("style", "halo", "identity")}
        return torch.stack([weights[name] * part for name, part in parts.items()]).sum()

    @inference
    def validate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """loss; content; style; identity: with the first styles, one for each picture."""
        side = self.config.size // FACTOR * FACTOR
        drawn = self._first(len(batch.images))
        photos, styles = batch.images[..., :side, :side], self._pictures(drawn, batch.images)[..., :side, :side]
        parts = self._errors(photos, drawn)
        if self.config.identity:
            parts["identity"] = self._identity(torch.cat((photos, styles)))
        return {"loss": self._loss(parts), **parts}

    @property
    def metrics(self) -> dict[str, float]:
        return self._last

    @inference
    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in 0..1 in the first styles, one for each picture."""
        return self._paint(images, self._pictures(self._first(len(images)), images))

    def _first(self, count: int) -> torch.Tensor:
        """The numbers of the first styles, (count,)."""
        return torch.arange(count) % len(self._styles)

    def _pictures(self, styles: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Styles by their numbers (B,), (B, 3, size, size) in 0..1."""
        return self._styles[styles].to(like) / 255

    def _paint(self, photos: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        """Photos (N, 3, H, W) in 0..1, sides multiples of 8, in styles (N, 3, h, w) in 0..1: (N, 3, H, W) in 0..1."""
        with torch.no_grad():
            style = {tap: moments(x) for tap, x in self._seen(styles).items()}
        return full(self.decoder(self._adapted(photos, style))).clamp(0, 1)

    def export(self, folder: Path) -> None:
        """Write fp16 safetensors of the decoder with the encoder that it belongs to, up to relu4_1."""
        adain_files.save(folder, self._encoder, self.decoder, self.config.gain)

    def exports(self) -> dict[str, Exported]:
        """With the encoder: a photo and a painting, each of a size of its own, to the painted photo."""
        size = sides(self.config.crop, FACTOR, _LEAST)
        of_style = (Axis(f"style_{side.name}", side.usual, least=_LEAST) for side in size)
        given = pictures("photos", 3, *size), pictures("styles", 3, *of_style)
        return {"adain": Exported(self._paint, (self._encoder, self.decoder), given, (pictures("painted", 3, *size),))}


def _stacked(rows: list[dict[str, Moments]]) -> dict[str, Moments]:
    """The moments of several pictures as those of one batch."""
    return {tap: tuple(torch.cat(part) for part in zip(*(row[tap] for row in rows), strict=True)) for tap in rows[0]}  # type: ignore[misc]


def _square(path: Path | files.Stdio, side: int) -> np.ndarray:
    """(side, side, 3) uint8, from the middle."""
    rgb = images.load(path).rgb
    height, width = rgb.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    found = images.resize(np.ascontiguousarray(rgb[top : top + edge, left : left + edge]), (side, side))
    return np.floor(found * 255 + 0.5).astype(np.uint8)
