"""Defaults of dream, written once; no torch here, so that the command can show them in its help."""

from dataclasses import dataclass

DRAWERS = ("vqgan", "fft")
STARTS = ("prior", "sketch", "codes", "range", "noise", "gradient")
OPTIMIZERS = ("adam", "adamw", "radam")
LOSSES = ("contrast", "spherical", "cosine")
AUGMENTATIONS = ("flip", "affine", "perspective", "jitter", "sharpen", "erase", "noise")


@dataclass(frozen=True)
class Settings:
    """How one picture is drawn.

    width, height: pixels, at least 32.  steps: optimizer steps, at least 1.  lr: learning rate; None takes the one that
    suits the drawer.  cutouts: crops that CLIP looks at in every step.  cut_power: exponent of the crop sizes, above 1
    favours small ones.  augment: any of AUGMENTATIONS.  init_weight: pull towards the init image; every step multiplies
    it by init_decay.  start: one of STARTS, what the drawing begins with.  hold: pull towards a prior's sketch,
    which fades over the run.  tileable: the edges fit onto the opposite ones.
    low_res: side of the first stage, in pixels along the shorter edge (0: none); low_part: the part of the steps it
    gets; None takes the one that suits the drawer.  chunk: crops per forward pass.
    """

    width: int = 256
    height: int = 256
    steps: int = 300
    drawer: str = "vqgan"
    optimizer: str = "adam"
    lr: float | None = None
    cutouts: int = 24
    cut_power: float = 1.0
    augment: tuple[str, ...] = ("flip", "affine", "noise")
    loss: str = "contrast"
    init_weight: float = 0.0
    init_decay: float = 1.0
    start: str = "prior"
    hold: float = 1500.0
    tileable: bool = False
    low_res: int = 64
    low_part: float | None = None
    ema: float = 0.9
    chunk: int = 64

    @property
    def small_part(self) -> float:
        """The part of the steps that a first stage gets: a VQGAN's steps cost more, and fewer of them do."""
        suits = 0.8 if self.drawer == "vqgan" else 0.6
        return suits if self.low_part is None else self.low_part

    @property
    def starts_small(self) -> bool:
        """Whether there is a first stage at low resolution: not for pictures that are as small themselves."""
        return 0 < self.low_res < min(self.width, self.height)


@dataclass(frozen=True)
class Sketching:
    """How a prior draws.  candidates: pictures that CLIP picks from.  steps: of the solver.  guidance: how far beyond
    what the text alone says; 1 is the text alone.  strength: how much of a photograph is drawn anew, 0..1."""

    candidates: int = 12
    steps: int = 20
    guidance: float = 4.0
    strength: float = 0.7


@dataclass(frozen=True)
class Pace:
    """How a film is drawn anew: steps of the optimizer for each frame; steady, the part of a frame's start that is the
    frame before it, 0 to below 1."""

    steps: int = 4
    steady: float = 0.9

    @property
    def first(self) -> int:
        """Steps of the first frame: as many as the later ones have behind them on average."""
        return max(1, round(self.steps / (1 - self.steady)))
