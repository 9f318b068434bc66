"""The command line of `artgen dream`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from artcli.backends.dream.settings import DRAWERS, DRAWING, START, STARTS, Redrawing, Settings, Sketching
from artcli.commands.dream import film as dream_film
from artcli.commands.shared import options
from artcli.commands.shared.common import Common, Enlarging
from artcli.media import files
from artcli.setting import FILM, Setting

PROMPTS, AFTERWARDS = "Prompts", "Afterwards"  # panels of the help
VQGAN, PRIOR = "vqgan-mini", "diffusion-mini"
PRESETS: dict[str, dict[str, Any]] = {
    "bundled": {"clip": "clip-mini", "vqgan": VQGAN},
    # What these two are known to draw best with (Crowson et al., 2022, and the tools that followed).
    "official": {
        "clip": "ViT-B-32-quickgelu/openai", "vqgan": "vqgan-imagenet-f16-16384", "loss": "spherical", "lr": 0.05,
        "cutouts": 32, "augment": "flip,affine,perspective,jitter,noise",
    },
}  # fmt: skip


def _preset(ctx: typer.Context, name: str | None) -> str | None:
    """Make a preset's values the defaults of this run; flags beside it still win."""
    if name is not None:
        ctx.default_map = {**(ctx.default_map or {}), **PRESETS[options.one_of("--preset", name, tuple(PRESETS))]}
    return name


@dataclass(frozen=True, kw_only=True)
class Options(Enlarging, Common):
    """The command line.  settings: as far as they are options; `Request.settings` are those that the drawing has."""

    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="'text', 'text:weight', 'one | another:-0.5', 'a ^ then b'.")
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            is_eager=True,
            callback=_preset,
            metavar="|".join(PRESETS),
            autocompletion=lambda incomplete: [name for name in PRESETS if name.startswith(incomplete)],
            help="Models, and what suits them; official: larger ones (1.3 GB).",
        ),
    ] = None
    size: Annotated[str | None, Setting("Pixels.", metavar="S|WxH", default=f"{Settings.width}; --model its own")] = (
        None
    )
    steps: Annotated[
        int | None,
        Setting(
            "Of the optimizer, or the solver.",
            min=1,
            default=f"{Settings.steps}; --init FILM {Redrawing().first}; --model its own",
        ),
    ] = None
    seed: options.Seed = None
    best_of: Annotated[int, Setting("Try N seeds briefly, draw CLIP's favourite.", min=1)] = 1
    init: Annotated[Path | None, Setting("Start from this picture, or film; - for stdin.", metavar="FILE")] = None
    mask: Annotated[Path | None, Setting("Change --init only where this is white.", metavar="FILE")] = None
    prompts_file: Annotated[
        Path | None,
        Setting("A prompt per line, each its own picture.", metavar="FILE", name="--prompts", panel=PROMPTS),
    ] = None
    story: Annotated[
        Path | None, Setting("Scenes of one picture, a line each; as 'a ^ b'.", metavar="FILE", panel=PROMPTS)
    ] = None
    image_prompt: Annotated[
        tuple[str, ...], Setting("Draw towards a picture (repeatable).", metavar="FILE[:W]", panel=PROMPTS)
    ] = ()
    noise_prompt: Annotated[
        tuple[str, ...], Setting("Draw towards a random direction.", metavar="SEED[:W]", panel=PROMPTS)
    ] = ()
    negative: Annotated[
        tuple[str, ...], Setting("With --model: keep away from this (repeatable).", metavar="TEXT", panel=PROMPTS)
    ] = ()
    start: Annotated[
        str | None,
        Setting("What it begins with.", choices=STARTS, default=f"{Settings.start}, or --init", panel=START),
    ] = None
    prior: Annotated[
        str | None, Setting("What sketches: a name, a run's folder, or none.", default=PRIOR, panel=START)
    ] = None
    sketching: Sketching = field(default_factory=Sketching)
    drawer: Annotated[
        str | None,
        Setting(
            "What draws: a VQGAN's codes, frequencies, --model.",
            choices=DRAWERS,
            default=f"{Settings.drawer}; fft with --init, --zoom, --pan, --rotate",
            panel=DRAWING,
        ),
    ] = None
    clip: Annotated[
        str, Setting("Bundled name, ARCH/TAG of open_clip, hf-hub:NAME, folder or ARCH=FILE.", panel=DRAWING)
    ] = "clip-mini"
    vqgan: Annotated[str | None, Setting("A name, a checkpoint, or a run's folder.", default=VQGAN, panel=DRAWING)] = (
        None
    )
    model: Annotated[
        str | None,
        Setting(
            "Stable Diffusion for --drawer diffusers: a folder, or OWNER/NAME of the hub.",
            metavar="MODEL",
            panel=DRAWING,
        ),
    ] = None
    settings: Settings = field(default_factory=Settings)
    feather: Annotated[float, Setting("Softness of the mask's edge, in pixels.", min=0, max=1000, panel=START)] = 8.0
    zoom: Annotated[
        float | None, Setting("Zoom by this factor per frame, such as 1.01.", min=0.5, max=2, panel=FILM)
    ] = None
    pan: Annotated[str | None, Setting("Move the view by so many pixels per frame.", metavar="X,Y", panel=FILM)] = None
    rotate: Annotated[float | None, Setting("Turn by so many degrees per frame.", min=-90, max=90, panel=FILM)] = None
    pace: Redrawing = field(default_factory=Redrawing)
    fps: Annotated[
        float | None,
        Setting(
            "Frames per second of a film.",
            min=1,
            max=120,
            default=f"{dream_film.FPS:g}; --init FILM its own",
            panel=FILM,
        ),
    ] = None
    duration: options.Duration = None
    stylize: Annotated[
        Path | None, Setting("Take on the style of this picture, in one pass.", metavar="PICTURE", panel=AFTERWARDS)
    ] = None
    upscale_first: Annotated[
        bool, Setting("--upscale before --stylize, as when it is written before it.", panel=AFTERWARDS)
    ] = False
    paint: Annotated[bool, Setting("Paint it stroke by stroke; a film shows that, too.", panel=AFTERWARDS)] = False
    gif: Annotated[bool, Setting("With --paint: also a GIF of the painting growing.", panel=AFTERWARDS)] = False
    svg: Annotated[bool, Setting("With --paint: also an SVG.", panel=AFTERWARDS)] = False
    strokes_out: Annotated[
        Path | None,
        Setting("With --paint: also the strokes.", metavar="FILE", panel=AFTERWARDS, parse=files.output),
    ] = None
    save_every: options.SaveEvery = 0
    time_limit: options.TimeLimit = None
    preview: options.Preview = True
    show: options.Show = False
    resume: options.Resume = False

    @property
    def moving(self) -> bool:
        """Whether a camera moves."""
        return (self.zoom, self.pan, self.rotate) != (None, None, None)

    @property
    def way(self) -> str:
        """The module that carries it out."""
        return "diffused" if self.drawer == "diffusers" else "run"
