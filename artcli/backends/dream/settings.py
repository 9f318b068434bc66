"""Settings of dream with all that users are told of them; no torch here, as the command shows them in its help."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from artcli.setting import FILM, Setting

START, DRAWING = "Start", "Drawing"  # panels of the help
DRAWERS = ("vqgan", "fft", "diffusers")
STARTS = ("prior", "sketch", "codes", "range", "noise", "gradient")
OPTIMIZERS = ("adam", "adamw", "radam")
LOSSES = ("contrast", "spherical", "cosine")
RENEWED = 0.8  # how much of a sketch the next scene draws anew: its layout stays in part
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
    shifts: of the grid of codes, over which the last picture is averaged.
    """

    width: int = 256
    height: int = 256
    steps: int = 300
    drawer: str = "vqgan"
    optimizer: Annotated[str, Setting("Optimizer of the picture.", choices=OPTIMIZERS, panel=DRAWING)] = "adam"
    lr: Annotated[
        float | None,
        Setting(
            "Learning rate.", min=1e-6, max=1e6, default="0.05 for fft, 0.1 for vqgan; --init FILM half", panel=DRAWING
        ),
    ] = None
    cutouts: Annotated[int, Setting("Crops per step.", min=1, panel=DRAWING)] = 24
    cut_power: Annotated[float, Setting("Above 1: smaller crops.", min=0.01, max=100, panel=DRAWING)] = 1.0
    augment: Annotated[
        tuple[str, ...],
        Setting(f"Of crops: none, or any of {', '.join(AUGMENTATIONS)}.", choices=AUGMENTATIONS, panel=DRAWING),
    ] = ("flip", "affine", "noise")
    loss: Annotated[str, Setting("How CLIP's distance from the words is measured.", choices=LOSSES, panel=DRAWING)] = (
        "contrast"
    )
    init_weight: Annotated[
        float, Setting("Pull towards the init picture; 1000 is strong.", min=0, max=1e9, panel=START)
    ] = 0.0
    init_decay: Annotated[float, Setting("Factor of that pull from step to step: 0.98.", min=0, max=1, panel=START)] = (
        1.0
    )
    start: str = "prior"
    hold: float = 1500.0
    tileable: Annotated[bool, Setting("Edges that fit onto the opposite ones.")] = False
    low_res: Annotated[int, Setting("Shorter side of the first stage; 0 for none.", min=0, panel=DRAWING)] = 64
    low_part: Annotated[
        float | None,
        Setting("Part of the steps in the first stage.", min=0, max=1, default="0.8; 0.6 for fft", panel=DRAWING),
    ] = None
    shifts: Annotated[
        int,
        Setting("Average the last picture over so many shifts of the codes' grid.", min=1, max=8, panel=DRAWING),
    ] = 1
    ema: float = 0.9
    chunk: Annotated[int, Setting("Crops at once; fewer need less memory.", min=1, panel=DRAWING)] = 64

    @property
    def small_part(self) -> float:
        """The part of the steps that a first stage gets: a VQGAN's steps cost more, and fewer of them do."""
        suits = 0.8 if self.drawer == "vqgan" else 0.6
        return suits if self.low_part is None else self.low_part

    @property
    def starts_small(self) -> bool:
        """Whether there is a first stage at low resolution: not for pictures that are as small themselves."""
        return self.small_part > 0 and 0 < self.low_res < min(self.width, self.height)

    @property
    def tried(self) -> Self:
        """For a seed that is only tried: short, and at low resolution."""
        return replace(self, steps=max(10, self.steps // 5), low_part=1.0)


@dataclass(frozen=True)
class Sketching:
    """How a prior draws.  candidates: pictures that CLIP picks from.  steps: of the solver.  guidance: how far beyond
    what the text alone says; 1 is the text alone.  clip_guidance: how far CLIP moves the pictures at
    every step, as root mean square in -1..1.  strength: how much of a photograph is drawn anew, 0..1."""

    candidates: Annotated[int, Setting("Sketches of the prior that CLIP picks from.", min=1, max=64, panel=START)] = 16
    steps: int = 20
    guidance: Annotated[
        float,
        Setting("How closely a sketch follows the words.", min=0, max=30, default="4; --model its own", panel=START),
    ] = 4.0
    clip_guidance: Annotated[
        float,
        Setting("How much CLIP leads the sketch; 0 not.", min=0, max=10, default="0.3; --model 0", panel=START),
    ] = 0.3
    strength: Annotated[
        float,
        Setting(
            "With --init and --start prior or --model: how much is drawn anew.",
            key="prior_strength",
            min=0.05,
            max=1,
            default="0.7; --model with --mask 1",
            panel=START,
        ),
    ] = 0.7


@dataclass(frozen=True)
class Denoising:
    """How a Stable Diffusion model draws.  model: its folder, or its name on the hub.  steps: of the solver, from noise
    alone.  guidance: how far beyond what the texts alone say; 1 and below: what a single text says, in half the time.
    negative: stands for the empty text that guidance leads away from.  clip_guidance: how far CLIP moves what the net
    expects at every step, as root mean square of latents, whose own is about 1.  strength: how much of a photograph
    is drawn anew, 0..1; 1 without one."""

    model: str
    steps: int
    guidance: float
    negative: str = ""
    clip_guidance: float = 0.0
    strength: float = 1.0

    @property
    def taken(self) -> int:
        """Steps that are made: over a photograph the later ones, as diffusers counts them."""
        return max(1, int(self.steps * self.strength))


@dataclass(frozen=True)
class Redrawing:
    """How a film is drawn anew: steps of the optimizer for each frame; steady, the part of a frame's start that is the
    frame before it, 0 to below 1."""

    steps: Annotated[
        int, Setting("Optimizer steps for each such frame, and of --init FILM.", key="frame_steps", min=1, panel=FILM)
    ] = 4
    steady: Annotated[float, Setting("How much less --init FILM flickers.", min=0, max=0.98, panel=FILM)] = 0.9

    @property
    def first(self) -> int:
        """Steps of the first frame: as many as the later ones have behind them on average."""
        return max(1, round(self.steps / (1 - self.steady)))


@dataclass(frozen=True)
class Camera:
    """What happens to the picture from one frame of the film to the next.

    zoom: factor, above 1 moves in.  pan: pixels to the right and down that the view moves.  rotate: degrees
    clockwise.  steps: of the optimizer, for each frame.
    """

    zoom: float = 1.0
    pan: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0
    steps: int = 4
