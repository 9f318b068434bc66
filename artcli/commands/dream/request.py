"""What a call of `artgen dream` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from artcli.backends.dream import prompts as prompt_syntax
from artcli.backends.dream.settings import (
    DRAWERS,
    DRAWING,
    START,
    STARTS,
    Camera,
    Denoising,
    Redrawing,
    Settings,
    Sketching,
)
from artcli.commands.dream import film as dream_film
from artcli.commands.dream import of_model
from artcli.commands.dream.film import SourceFilm
from artcli.commands.shared import jobs, naming, options, request
from artcli.commands.shared.common import Common, Enlarging
from artcli.commands.shared.film import Reel
from artcli.commands.shared.finish import Wanted
from artcli.commands.shared.outputs import FILMS, PICTURES, film_suffix
from artcli.errors import UsageError
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
        tuple[str, ...],
        typer.Option(metavar="FILE[:W]", help="Draw towards a picture (repeatable).", rich_help_panel=PROMPTS),
    ] = ()
    noise_prompt: Annotated[
        tuple[str, ...],
        typer.Option(metavar="SEED[:W]", help="Draw towards a random direction.", rich_help_panel=PROMPTS),
    ] = ()
    negative: Annotated[
        tuple[str, ...],
        typer.Option(metavar="TEXT", help="With --model: keep away from this (repeatable).", rich_help_panel=PROMPTS),
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


@dataclass(frozen=True)
class PromptJob(jobs.Job):
    """One picture: its prompt line, its seed, its main output, and whether it comes of a film.

    gif, svg, strokes: what else is written of its painting.
    """

    prompt: str
    seed: int
    out: Path
    moving: bool = False
    gif: Path | None = None
    svg: Path | None = None
    strokes: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        return [*super().outputs, *(path for path in (self.gif, self.svg, self.strokes) if path is not None)]


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """All jobs of a call, and what they share.

    prior: what draws a sketch first, None for nothing.  source: the film that --init is, if it is one, drawn anew.
    denoising: how a Stable Diffusion model draws, None for an optimizer.  time_limit: seconds.
    """

    command, kind = "dream", Options

    jobs: tuple[PromptJob, ...]
    settings: Settings
    size: tuple[int, int] | None
    vqgan: str
    prior: str | None
    denoising: Denoising | None
    camera: Camera | None
    source: SourceFilm | None
    fps: float
    time_limit: float | None

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        _check_init(asked)
        _check_afterwards(ctx, asked)
        start = _start(asked)
        source = dream_film.find_source(asked.init, asked.out, asked.fps, asked.duration, exact=not asked.dry_run)
        denoising = of_model.denoising(ctx, asked)
        sketched = start == "prior" and source is None and denoising is None
        settings = _settings(asked, start, source, denoising)
        _check_drawing(ctx, asked, settings)
        lines = _lines(asked)
        if denoising is not None:
            of_model.check_words(lines, denoising)
        jobs = _jobs(lines, asked, source)
        _check_film(ctx, asked, source, jobs)
        prior = (asked.prior or PRIOR) if sketched and lines != [""] else None
        _check_idle(ctx, asked, prior is not None or denoising is not None, any(job.film for job in jobs))
        return cls.made(
            ctx,
            asked,
            settled={"steps": settings.steps} if denoising is None else of_model.settled(asked, denoising),
            jobs=tuple(jobs),
            settings=settings,
            size=None if asked.size is None else options.size(asked.size),
            vqgan=asked.vqgan or VQGAN,
            prior=prior,
            denoising=denoising,
            camera=_camera(asked) if asked.moving else None,
            source=source,
            fps=asked.fps or dream_film.FPS,
            enlargement=options.enlargement(ctx, asked.upscale, asked.upscaler),
            time_limit=options.seconds(asked.time_limit),
        )

    @classmethod
    def draws_a_seed(cls, values: Mapping[str, Any]) -> bool:
        return True

    @property
    def finishing(self) -> Wanted:
        return Wanted(self.enlargement, self.options.stylize, self.options.paint)

    def beside(self, job: PromptJob) -> list[Path]:
        return job.snapshots(self.options.save_every, self.reel.total)

    @property
    def ahead(self) -> int:
        """Steps of the prior, which come before the optimizer's."""
        return 0 if self.prior is None else self.options.sketching.steps

    @property
    def reel(self) -> Reel:
        """What a film shows of the run, and how many steps that has also without a film."""
        steps = self.ahead + self.settings.steps
        if self.source is not None:
            return dream_film.of_source(steps, self.source)
        if self.camera is not None:
            return dream_film.of_camera(steps, self.fps, self.options.duration)
        return dream_film.of_steps(steps, self.fps, self.options.duration)


def _check_init(asked: Options) -> None:
    for path in (asked.init, asked.mask):
        if path is not None and str(path) != "-":
            files.check_input(path)
    if asked.init is None and (asked.mask is not None or asked.settings.init_weight):
        option = "--mask" if asked.mask else "--init-weight"
        raise UsageError(f"{option} needs --init, the picture that it is about")


def _check_afterwards(ctx: typer.Context, asked: Options) -> None:
    if asked.stylize is not None:
        files.check_input(asked.stylize)
    if not asked.paint and (given := options.on_the_line(ctx, "gif", "svg", "strokes_out")):
        raise UsageError(f"{given} is of a painting: add --paint")
    if str(asked.out) == "-" and (given := options.on_the_line(ctx, "gif", "svg")):
        raise UsageError(f"--out - gives the picture alone; name a file for {given} to be beside")


def _start(asked: Options) -> str:
    """What the drawing begins with, as settled by --start, --prior and --init together."""
    start, prior = asked.start, asked.prior
    if start is None:
        return "sketch" if prior == "none" or (asked.init is not None and prior is None) else "prior"
    if asked.init is not None and start != "prior":
        raise UsageError(f"--start {start} says what the drawing begins with where there is no --init")
    if start == "prior" and prior == "none":
        raise UsageError("--start prior and --prior none do not go together: leave one out")
    if start != "prior" and prior not in (None, "none"):
        raise UsageError(f"--start {start} does without a prior: leave out --prior")
    return start


def _settings(asked: Options, start: str, source: SourceFilm | None, denoising: Denoising | None) -> Settings:
    """Those of the options, with what depends on several of them."""
    if denoising is not None:
        return replace(asked.settings, steps=denoising.taken, drawer="diffusers", start=start)
    # Frequencies keep a picture that is given as it is, codes only about.
    given = asked.vqgan is None and (asked.init is not None or asked.moving)
    return replace(
        asked.settings,
        steps=asked.steps or (Settings.steps if source is None else asked.pace.first),
        drawer=asked.drawer or ("fft" if given else Settings.drawer),
        start=start,
        # A film's later frames are drawn at full size, and so is the first.
        low_res=asked.settings.low_res if source is None else 0,
    )


def _check_drawing(ctx: typer.Context, asked: Options, settings: Settings) -> None:
    """What belongs to one drawer, or to none of a photograph."""
    if settings.start not in ("prior", "sketch") and settings.drawer != "vqgan":
        raise UsageError(f"--start {settings.start} goes with --drawer vqgan")
    if settings.tileable and asked.mask is not None:
        raise UsageError("--tileable and --mask do not go together: a photograph's edges stay as they are")
    if (given := options.on_the_line(ctx, "vqgan", "shifts")) and settings.drawer != "vqgan":
        raise UsageError(f"{given} goes with --drawer vqgan")
    if asked.moving and options.on_the_line(ctx, "shifts"):
        raise UsageError("--shifts is for the last picture of a drawing, not for films that move")


def _lines(asked: Options) -> list[str]:
    """The prompt lines of the batch, each checked; one empty line when only pictures or noise steer."""
    if asked.story is not None and (asked.prompt is not None or asked.prompts_file is not None):
        raise UsageError("--story goes without PROMPT and --prompts: its lines are the scenes")
    if asked.prompt is not None and asked.prompts_file is not None:
        raise UsageError("give either PROMPT or --prompts FILE, not both")
    prompt = asked.prompt if asked.story is None else " ^ ".join(_read_lines(asked.story))
    lines = [prompt or ""] if asked.prompts_file is None else _read_lines(asked.prompts_file)
    if prompt is not None or asked.prompts_file is not None or not (asked.image_prompt or asked.noise_prompt):
        for line in lines:
            prompt_syntax.parse_story(line)
    if lines == [""] and (asked.start == "prior" or asked.prior not in (None, "none")):
        raise UsageError("a prior draws from words: give a PROMPT, or leave out --prior and --start prior")
    return lines


def _read_lines(path: Path) -> list[str]:
    """What the lines of a file say, without comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise files.missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
    if "\0" in text:
        raise UsageError(f"{path} cannot be read as text: it holds bytes that are no letters")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path} has no prompts; write one per line")
    return lines


def _jobs(lines: list[str], asked: Options, source: SourceFilm | None) -> list[PromptJob]:
    """Every line with every seed, and where it goes."""
    seeds = options.seeds(asked.seed)
    if asked.best_of > 1:
        seeds = seeds[:1]
    suffix = ".png" if source is None else film_suffix(source.path)
    count = len(lines) * len(seeds)
    slugs = [files.slug(line) for line in lines]
    jobs = []
    targets = naming.places(slugs, asked.out, lambda slug: f"{slug}{suffix}", count=count, what="prompts")
    strokes = _stroke_files(asked, slugs, count)
    for line, target, of_strokes in zip(lines, targets, strokes, strict=True):
        if str(target) != "-":
            files.check_extension(target, PICTURES + FILMS)
        for seed in seeds:
            name, beside = (
                files.numbered(path, seed) if path is not None and len(seeds) > 1 else path
                for path in (target, of_strokes)
            )
            assert name is not None
            jobs.append(_job(line, seed, name, beside, asked, source is not None))
    return jobs


def _job(line: str, seed: int, out: Path, strokes: Path | None, asked: Options, moving: bool) -> PromptJob:
    gif, svg = (out.with_suffix(suffix) for suffix in (".gif", ".svg"))
    grows = asked.paint and asked.gif and gif != out  # a GIF of the dream shows the painting growing at its end
    painted = asked.paint and asked.svg
    return PromptJob(line, seed, out, moving, gif if grows else None, svg if painted else None, strokes)


def _stroke_files(asked: Options, slugs: list[str], count: int) -> list[Path] | list[None]:
    if asked.strokes_out is None or not asked.paint:
        return [None] * len(slugs)
    name = lambda slug: f"{slug}-strokes.json"  # noqa: E731
    found = naming.places(slugs, asked.strokes_out, name, count=count, what="prompts", option="--strokes-out")
    for path in found:
        files.check_extension(path, (".json",))
    return found


def _check_film(ctx: typer.Context, asked: Options, source: SourceFilm | None, jobs: list[PromptJob]) -> None:
    """What belongs to a picture, and means nothing for a film; and what makes one."""
    if source is not None and asked.drawer == "diffusers":
        raise UsageError(f"--drawer diffusers draws pictures, and {source.path} is a film; leave out one of them")
    if source is not None and (given := options.on_the_line(ctx, *_of_one_picture(asked))):
        raise UsageError(f"{given} goes with a picture, and {source.path} is a film; leave it out")
    if source is not None and asked.mask is not None:
        raise UsageError(f"--mask belongs to one picture, and {source.path} is a film; leave it out")
    if source is not None and (asked.paint or asked.stylize is not None):
        verb = "paint" if asked.paint else "stylize"
        raise UsageError(f"--{verb} is for a picture, and {source.path} is a film: leave it out, and artgen {verb} OUT")
    if source is not None and asked.moving:
        raise UsageError(f"--zoom, --pan and --rotate move a picture, and {source.path} is a film; leave them out")
    if asked.moving and (asked.mask is not None or any(job.film is None for job in jobs)):
        raise UsageError("--zoom, --pan and --rotate make a film (--out NAME.mp4, .webm or .gif), without --mask")


def _check_idle(ctx: typer.Context, asked: Options, sketched: bool, filmed: bool) -> None:
    """What was typed to no effect, as what it is about is not there."""
    anew = sketched and asked.init is not None
    sketch = "a sketch to begin with" if asked.init is None else "--start prior beside --init"
    missing = {
        sketch: () if sketched else ("candidates", "guidance", "clip_guidance"),
        "--init PICTURE --start prior": () if anew else ("prior_strength",),
        "--init and --mask": () if asked.mask is not None else ("feather",),
    }
    for needed, names in missing.items():
        if given := options.on_the_line(ctx, *names):
            raise UsageError(f"{given} needs {needed}")
    options.check_films(ctx, filmed, "fps", "duration")


def _of_one_picture(asked: Options) -> list[str]:
    """Options with which a film's frames have nothing to do: they are not sketched, and drawn at full size only."""
    sketches = ("prior", "start", "candidates", "guidance", "clip_guidance", "prior_strength")
    of_small = ("low_part", *(("low_res",) if asked.settings.low_res else ()))
    return ["shifts", *of_small, *(sketches if asked.prior != "none" else sketches[2:])]


def _camera(asked: Options) -> Camera:
    try:
        right, down = (float(part) for part in (asked.pan or "0,0").split(","))
    except ValueError:
        raise UsageError(f"--pan '{asked.pan}' has to be two numbers of pixels, such as 2,0") from None
    return Camera(1.0 if asked.zoom is None else asked.zoom, (right, down), asked.rotate or 0.0, asked.pace.steps)
