"""The command line of `artgen sample`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from artcli.commands.sample import keeping
from artcli.commands.shared import complete, options
from artcli.commands.shared.common import Enlarging, Making
from artcli.setting import FILM, Setting

ALL = "all"  # as a class: each of them
STYLES = ("coarse", "middle", "fine")  # that --mix takes from other pictures
LATENTS = ".safetensors"  # of projected pictures, beside the sheet of them
DRAWING = ("vqgan", "diffusion")  # kinds of weights that need no run to be sampled from
_WAYS, _WORDS = "Other than random samples", "Models that draw from words"


@dataclass(frozen=True, kw_only=True)
class Options(Enlarging, Making):
    """The command line."""

    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A run, a VQGAN or diffusion model: folder, file or name.",
            autocompletion=lambda incomplete: complete.runs(incomplete) + complete.weights(incomplete, *DRAWING),
        ),
    ] = None
    seed: Annotated[str | None, Setting("First seed, or exactly these seeds.", metavar="INT|A-B")] = None
    count: Annotated[
        int | None, Setting("Pictures, from a first seed on.", min=1, max=10_000, metavar="N", default="36 in a grid")
    ] = None
    columns: Annotated[int | None, Setting("Pictures in a row.", min=1, metavar="N")] = None
    size: Annotated[str | None, Setting("Pixels of each picture.", metavar="S|WxH", default="the model's")] = None
    classes: Annotated[
        tuple[str, ...], Setting("Draw this class (repeatable), or all.", metavar="NAME", name="--class")
    ] = ()
    prompts: Annotated[
        tuple[str, ...], Setting("Draw what this says (repeatable).", metavar="TEXT", name="--prompt")
    ] = ()
    where: Annotated[
        tuple[str, ...], Setting("Of a model that was told a table (repeatable).", metavar="COLUMN=VALUE")
    ] = ()
    color: Annotated[
        tuple[str, ...], Setting("Of one trained with --by-color: blue (repeatable).", metavar="WORD")
    ] = ()
    truncation: Annotated[
        float | None, Setting("Below 1: more usual, less varied pictures.", min=0, max=2, metavar="T")
    ] = None
    separate: Annotated[bool, Setting("A file per picture, as with --out FOLDER.")] = False
    temperature: Annotated[
        float | None, Setting("Of a prior of codes: below 1 likelier, less varied codes.", min=0, max=10, metavar="T")
    ] = None
    top_k: Annotated[int | None, Setting("Draw among the K likeliest codes.", min=1, metavar="K")] = None
    top_p: Annotated[
        float | None, Setting("Draw among the likeliest codes of this probability.", min=0, max=1, metavar="P")
    ] = None
    checkpoint: Annotated[
        str | None, Setting("best: the lowest loss.", offered=("best",), metavar="NAME", default="the newest")
    ] = None

    reconstruct: Annotated[
        tuple[str, ...], Setting("These above, what the model makes of them below.", metavar="PICTURES...", panel=_WAYS)
    ] = ()
    complete: Annotated[
        tuple[str, ...],
        Setting(
            "The kept part of these, completed, and the original out of its codes.", metavar="PICTURES...", panel=_WAYS
        ),
    ] = ()
    project: Annotated[
        tuple[str, ...],
        Setting(
            "These, beside the nearest picture that a GAN can draw, and its latents.",
            metavar="PICTURES...",
            panel=_WAYS,
        ),
    ] = ()
    steps: Annotated[
        int | None,
        Setting("Of the search of --project, and of a GAN's --between.", min=1, metavar="N", default="500",
                panel=_WAYS),
    ] = None  # fmt: skip
    keep: Annotated[
        str | None,
        Setting("What --complete keeps: top, bottom, left, right, or a mask.", metavar="EDGE:PART|MASK",
                default=keeping.USUAL, panel=_WAYS),
    ] = None  # fmt: skip
    interpolate: Annotated[bool, Setting("From seed to seed, as a film; as a .png, step by step.", panel=_WAYS)] = False
    between: Annotated[
        tuple[str, ...], Setting("Interpolate between these instead of seeds.", metavar="PICTURES...", panel=_WAYS)
    ] = ()
    loop: Annotated[bool, Setting("Interpolate back to the start.", panel=_WAYS)] = False
    walk: Annotated[bool, Setting("A film of an endless walk for each seed.", panel=_WAYS)] = False
    sweep: Annotated[
        int | None,
        Setting("Latent or direction N from -3 to 3 deviations: sheet or film.", min=0, metavar="N", panel=_WAYS),
    ] = None
    direction_out: Annotated[
        Path | None, Setting("Also write the direction of --sweep to a file.", metavar="FILE", panel=_WAYS)
    ] = None
    direction: Annotated[
        tuple[str, ...],
        Setting("Move along it by so many deviations (repeatable).", metavar="FILE:AMOUNT", panel=_WAYS),
    ] = ()
    mix: Annotated[
        str | None,
        Setting("Pictures of half of the seeds with styles of the others'.", choices=STYLES, panel=_WAYS),
    ] = None
    neighbours: Annotated[bool, Setting("Beside each sample the nearest training picture.", panel=_WAYS)] = False
    compare: Annotated[
        tuple[Path, ...],
        typer.Option(
            "--compare",
            metavar="RUNS...",
            help="One sheet of what this and other runs have learned.",
            rich_help_panel=_WAYS,
            autocompletion=lambda incomplete: complete.runs(incomplete),
        ),
    ] = ()
    rate: Annotated[bool, Setting("A page to score real and generated pictures on, unlabelled.", panel=_WAYS)] = False
    score: Annotated[
        Path | None,
        Setting("KID, FID, precision and recall beside these pictures.", metavar="DATA", panel=_WAYS),
    ] = None
    inception: Annotated[
        Path | None,
        Setting(
            "The weights of Inception, for --score.", metavar="FILE", default="torch-fidelity's download", panel=_WAYS
        ),
    ] = None

    negative: Annotated[
        tuple[str, ...], Setting("Keep away from this (repeatable).", metavar="TEXT", panel=_WORDS)
    ] = ()
    guidance: Annotated[
        float | None, Setting("How closely words are followed.", min=0, max=30, default="3", panel=_WORDS)
    ] = None

    fps: options.Fps = 30.0
    duration: Annotated[
        float | None,
        Setting(
            "Length of the film.", min=0.1, max=3600, metavar="SECONDS", default="2 a stop; walk 12; sweep 4",
            panel=FILM,
        ),
    ] = None  # fmt: skip
