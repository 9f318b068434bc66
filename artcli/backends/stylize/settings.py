"""Defaults of stylize, written once; no torch here, so that the command can show them in its help."""

from dataclasses import dataclass
from typing import Annotated

from artcli.setting import RUN, Setting

MEASURES = ("gram", "wasserstein")
OPTIMIZERS = ("adam", "lbfgs")
INITS = ("content", "gray", "noise", "style")
POOLINGS = ("max", "average", "l2")
KEEP_COLOR = ("luminance", "coral")
MASKS, LOSS = "Masks and styles", "Net, losses and optimizer"  # panels

_FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@dataclass(frozen=True)
class Basics:
    """What all presets leave as it is.

    init: one of INITS.  strength: 1 takes the style's statistics, 0 keeps the photo's.  style_scale: size of the
    style's pictures, 1: as large as the photo.  histogram: weight of that term.  pooling: one of POOLINGS.  tile:
    largest side in one piece, in pixels.
    """

    strength: Annotated[float, Setting("How much of the style.", min=0, max=1)] = 1.0
    init: Annotated[str, Setting("What the picture begins as.", choices=INITS)] = "content"
    style_scale: Annotated[
        float, Setting("Size of the style's picture beside the photo.", min=0.1, max=4, panel=MASKS)
    ] = 1.0
    histogram: Annotated[
        float, Setting("Weight of histograms, as a part of the style's.", min=0, metavar="W", panel=LOSS)
    ] = 0.0
    pooling: Annotated[str, Setting("Pooling in the net.", choices=POOLINGS, panel=LOSS)] = "max"
    tile: Annotated[
        int, Setting("Larger pictures are computed in tiles of this side.", min=128, metavar="S", panel=RUN)
    ] = 512


@dataclass(frozen=True)
class Settings(Basics):
    """How a picture is painted; the defaults are the preset slim.

    net: what describes pictures.  content_layers, style_layers: its layers.  content, style, tv: weights of the terms,
    with one style weight for all layers or one each; normalised: the style weights are divided by their sum.  sums_at:
    the weights belong to sums over a square picture of this side, 0: to means.  measure: of style, one of MEASURES.
    smooth_diagonals: tv looks along diagonals too.  size: longer side of the result, in pixels; smallest: that of the
    first of several scales, each sqrt 2 of the one before, 0: only one scale.  steps: of each scale; the first of
    several has twice as many, and each begins with the running mean of the one before.  lr: in 0..1 of colours; from
    the part `late` of a scale on, late_lr.  ema: decay of the running mean that is shown.  padding: of the net's first
    convolution, beyond the picture's edges, as torch names it; None: the net's own.
    """

    net: str = "vgg-slim"
    content_layers: tuple[str, ...] = ("relu4_2",)
    style_layers: tuple[str, ...] = _FIVE
    content: float = 0.01
    style: tuple[float, ...] = (256, 64, 16, 4, 1)
    normalised: bool = True
    tv: float = 0.25
    sums_at: int = 0
    measure: str = "wasserstein"
    smooth_diagonals: bool = True
    padding: str | None = None
    optimizer: str = "adam"
    lr: float = 0.05
    late: float = 1.0
    late_lr: float = 0.05
    betas: tuple[float, float] = (0.8, 0.99)
    size: int = 512
    smallest: int = 128
    steps: int = 50
    ema: float = 0.8


_STD = 0.226  # mean of ImageNet's deviations: the course steps in normalised colours

PRESETS = {
    "slim": Settings(),
    "modern": Settings(
        net="vgg19",
        content=0.015,
        tv=2.0,
        padding="replicate",
        steps=500,
        lr=0.02,
        late_lr=0.02,
        betas=(0.9, 0.99),
        ema=0.99,
    ),
    "vgg19": Settings(
        net="vgg19",
        content_layers=("conv2_2",),
        style_layers=("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"),
        content=1.0,
        style=(1e6,),
        normalised=False,
        tv=0.0,
        measure="gram",
        optimizer="lbfgs",
        lr=1.0,
        late_lr=1.0,
        smallest=0,
        steps=300,
        ema=0.0,
    ),
    "squeezenet": Settings(
        net="squeezenet1_1",
        content_layers=("layer3",),
        style_layers=("layer1", "layer4", "layer6", "layer7"),
        content=0.03,
        style=(200_000, 800, 12, 1),
        normalised=False,
        tv=2.0,
        sums_at=192,
        measure="gram",
        smooth_diagonals=False,
        lr=3 * _STD,
        late=0.9,
        late_lr=0.1 * _STD,
        betas=(0.9, 0.999),
        size=192,
        smallest=0,
        steps=200,
        ema=0.0,
    ),
}
