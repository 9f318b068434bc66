"""`artgen dream`: words to a picture, and to a film of how it came about."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artcli import options, recipe
from artcli.backends.dream import prompts as prompt_syntax
from artcli.backends.dream.settings import AUGMENTATIONS, DRAWERS, LOSSES, OPTIMIZERS, STARTS, Pace, Settings, Sketching
from artcli.commands import dream_film, dream_run, naming
from artcli.commands.dream_film import Source
from artcli.commands.dream_request import Job, Request
from artcli.commands.outputs import FILMS, PICTURES, film_suffix
from artcli.console import Console
from artcli.errors import UsageError
from artcli.media import files

if TYPE_CHECKING:
    from artcli.backends.dream.travel import Camera

DEFAULT, PACE, SKETCHING = Settings(), Pace(), Sketching()
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


def dream(
    ctx: typer.Context,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="'text', 'text:weight', 'one | another:-0.5', 'a ^ then b'.")
    ] = None,
    out: options.Out = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", is_eager=True, callback=_preset, help="bundled, or official: larger models (1.3 GB)."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", metavar="S|WxH", help=f"Pixels.  [default: {DEFAULT.width}]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help=f"Optimizer steps.  [default: {DEFAULT.steps}; --init FILM {PACE.first}]"),
    ] = None,
    seed: options.Seed = None,
    best_of: Annotated[int, typer.Option("--best-of", min=1, help="Try N seeds briefly, draw CLIP's favourite.")] = 1,
    prompts_file: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="A prompt per line, each its own picture.")
    ] = None,
    story: Annotated[
        Path | None, typer.Option("--story", metavar="FILE", help="Scenes of one picture, a line each; as 'a ^ b'.")
    ] = None,
    image_prompt: Annotated[
        list[str] | None,
        typer.Option("--image-prompt", metavar="FILE[:W]", help="Draw towards a picture (repeatable)."),
    ] = None,
    noise_prompt: Annotated[
        list[str] | None, typer.Option("--noise-prompt", metavar="SEED[:W]", help="Draw towards a random direction.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option("--init", metavar="FILE", help="Start from this picture, or film; - for stdin."),
    ] = None,
    init_weight: Annotated[
        float, typer.Option("--init-weight", min=0, max=1e9, help="Pull towards the init picture; 1000 is strong.")
    ] = DEFAULT.init_weight,
    init_decay: Annotated[
        float, typer.Option("--init-decay", min=0, max=1, help="Factor of that pull from step to step: 0.98.")
    ] = DEFAULT.init_decay,
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="Change --init only where this is white.")
    ] = None,
    feather: Annotated[
        float, typer.Option("--feather", min=0, max=1000, help="Softness of the mask's edge, in pixels.")
    ] = 8.0,
    clip: Annotated[
        str, typer.Option("--clip", help="Bundled name, ARCH/TAG of open_clip, hf-hub:NAME, folder or ARCH=FILE.")
    ] = "clip-mini",
    vqgan: Annotated[
        str | None,
        typer.Option("--vqgan", help=f"A name, a checkpoint, or a run's folder.  [default: {VQGAN}]"),
    ] = None,
    drawer: Annotated[
        str | None,
        typer.Option(
            "--drawer", help=f"{' or '.join(DRAWERS)}.  [default: vqgan; fft with --init, --zoom, --pan, --rotate]"
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", help=f"What it begins with: {', '.join(STARTS)}.  [default: {DEFAULT.start}, or --init]"
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option("--prior", help=f"A name, a run's folder, or none.  [default: {PRIOR}]")
    ] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, max=64, help="Sketches of the prior that CLIP picks from.")
    ] = SKETCHING.candidates,
    guidance: Annotated[
        float, typer.Option("--guidance", min=0, max=30, help="How closely a sketch follows the words.")
    ] = SKETCHING.guidance,
    prior_strength: Annotated[
        float,
        typer.Option(
            "--prior-strength", min=0.05, max=1, help="With --init and --start prior: how much is drawn anew."
        ),
    ] = SKETCHING.strength,
    tileable: Annotated[bool, typer.Option("--tileable", help="Edges that fit onto the opposite ones.")] = False,
    optimizer: Annotated[str, typer.Option("--optimizer", help=f"One of {', '.join(OPTIMIZERS)}.")] = DEFAULT.optimizer,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr",
            min=1e-6,
            max=1e6,
            help="Learning rate.  [default: 0.05 for fft, 0.1 for vqgan; --init FILM half]",
        ),
    ] = DEFAULT.lr,
    loss: Annotated[str, typer.Option("--loss", help=f"One of {', '.join(LOSSES)}.")] = DEFAULT.loss,
    cutouts: Annotated[int, typer.Option("--cutouts", min=1, help="Crops per step.")] = DEFAULT.cutouts,
    cut_power: Annotated[
        float, typer.Option("--cut-power", min=0.01, max=100, help="Above 1: smaller crops.")
    ] = DEFAULT.cut_power,
    augment: Annotated[
        str, typer.Option("--augment", help=f"Comma-separated, or none: {', '.join(AUGMENTATIONS)}.")
    ] = ",".join(DEFAULT.augment),
    low_res: Annotated[
        int, typer.Option("--low-res", min=0, help="Shorter side of the first stage; 0 for none.")
    ] = DEFAULT.low_res,
    low_part: Annotated[
        float | None,
        typer.Option(
            "--low-part", min=0, max=1, help="Part of the steps in the first stage.  [default: 0.8; 0.6 for fft]"
        ),
    ] = DEFAULT.low_part,
    chunk: Annotated[
        int, typer.Option("--chunk", min=1, help="Crops at once; fewer need less memory.")
    ] = DEFAULT.chunk,
    zoom: Annotated[
        float | None, typer.Option("--zoom", min=0.5, max=2, help="Film: zoom by this factor per frame, such as 1.01.")
    ] = None,
    pan: Annotated[
        str | None, typer.Option("--pan", metavar="X,Y", help="Film: move the view by so many pixels per frame.")
    ] = None,
    rotate: Annotated[
        float | None, typer.Option("--rotate", min=-90, max=90, help="Film: turn by so many degrees per frame.")
    ] = None,
    frame_steps: Annotated[
        int,
        typer.Option("--frame-steps", min=1, help="Optimizer steps for each such frame, and of --init FILM."),
    ] = PACE.steps,
    steady: Annotated[
        float, typer.Option("--steady", min=0, max=0.98, help="How much less --init FILM flickers.")
    ] = PACE.steady,
    upscale: options.Upscale = None,
    upscaler: options.Upscaler = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps",
            min=1,
            max=120,
            help=f"Frames per second of a film.  [default: {dream_film.FPS:g}; --init FILM its own]",
        ),
    ] = None,
    duration: options.Duration = None,
    save_every: options.SaveEvery = 0,
    time_limit: options.TimeLimit = None,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Keep NAME.preview.png up to date while drawing.")
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same command.")
    ] = False,
    from_file: options.FromFile = None,
    device: options.Device = "auto",
    weights_dirs: options.WeightsDirs = None,
    offline: options.Offline = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    no_metadata: options.NoMetadata = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Draw what the words say (VQGAN+CLIP's loop).

    artgen dream "red car" --steps 300 --out car.mp4
    """
    moving = (zoom, pan, rotate) != (None, None, None)
    if drawer is None:  # frequencies keep a picture that is given as it is, codes only about
        drawer = "fft" if vqgan is None and (init is not None or moving) else DEFAULT.drawer
    options.one_of("--drawer", drawer, DRAWERS)
    _check_init(init, mask, init_weight)
    begun = _start(start, prior, init)
    source, pace = dream_film.find_source(init, out, fps, duration, exact=not dry_run), Pace(frame_steps, steady)
    settings = Settings(
        steps=steps or (DEFAULT.steps if source is None else pace.first),
        drawer=drawer,
        optimizer=options.one_of("--optimizer", optimizer, OPTIMIZERS),
        lr=lr,
        cutouts=cutouts,
        cut_power=cut_power,
        augment=_augmentations(augment),
        loss=options.one_of("--loss", loss, LOSSES),
        init_weight=init_weight,
        init_decay=init_decay,
        start=begun,
        tileable=tileable,
        low_res=low_res if source is None else 0,  # later frames are drawn at full size, and so is the first
        low_part=low_part,
        chunk=chunk,
    )
    if begun not in ("prior", "sketch") and drawer != "vqgan":
        raise UsageError(f"--start {begun} goes with --drawer vqgan")
    if tileable and mask is not None:
        raise UsageError("--tileable and --mask do not go together: a photograph's edges stay as they are")
    if options.on_the_line(ctx, "vqgan") and drawer != "vqgan":
        raise UsageError("--vqgan goes with --drawer vqgan")
    if story is not None and (prompt is not None or prompts_file is not None):
        raise UsageError("--story goes without PROMPT and --prompts: its lines are the scenes")
    told = prompt if story is None else " ^ ".join(_read_lines(story))
    lines = _lines(told, prompts_file, bool(image_prompt or noise_prompt))
    if lines == [""] and (start == "prior" or prior not in (None, "none")):
        raise UsageError("a prior draws from words: give a PROMPT, or leave out --prior and --start prior")
    seeds = options.seeds(seed)
    jobs = _jobs(lines, seeds if best_of == 1 else seeds[:1], out, source)
    if source is not None:
        _check_source(source, mask, moving)
    if moving and (mask is not None or any(job.film is None for job in jobs)):
        raise UsageError("--zoom, --pan and --rotate make a film (--out NAME.mp4, .webm or .gif), without --mask")
    request = Request(
        settings=settings,
        size=None if size is None else options.size(size),
        image_prompts=tuple(image_prompt or ()),
        noise_prompts=tuple(noise_prompt or ()),
        init=init,
        mask=mask,
        feather=feather,
        clip=clip,
        vqgan=vqgan or VQGAN,
        prior=(prior or PRIOR) if begun == "prior" and lines != [""] and source is None else None,
        sketching=Sketching(candidates=candidates, guidance=guidance, strength=prior_strength),
        camera=_camera(zoom, pan, rotate, frame_steps) if moving else None,
        source=source,
        pace=pace,
        enlargement=options.enlargement(ctx, upscale, upscaler),
        device=device,
        weights_dirs=tuple(weights_dirs or ()),
        offline=offline,
        best_of=best_of,
        fps=fps or dream_film.FPS,
        duration=duration,
        save_every=save_every,
        time_limit=options.seconds(time_limit),
        preview=preview,
        resume=resume,
        force=force,
        recipe=None if no_metadata else recipe.make("dream", {**options.given(ctx), "steps": settings.steps}),
        recorded_weights={} if from_file is None else recipe.weights_of(from_file),
    )
    console, batch = Console(quiet=quiet, json_lines=as_json), len(jobs) > 1
    if not dry_run:
        jobs = dream_run.check(jobs, request, skip_existing=skip_existing, console=console)
    dream_run.run(jobs, request, console, dry_run=dry_run, batch=batch)


def _start(start: str | None, prior: str | None, init: Path | None) -> str:
    """What the drawing begins with, as settled by --start, --prior and --init together."""
    if start is None:
        return "sketch" if prior == "none" or (init is not None and prior is None) else "prior"
    options.one_of("--start", start, STARTS)
    if init is not None and start != "prior":
        raise UsageError(f"--start {start} says what the drawing begins with where there is no --init")
    if start == "prior" and prior == "none":
        raise UsageError("--start prior and --prior none do not go together: leave one out")
    if start != "prior" and prior not in (None, "none"):
        raise UsageError(f"--start {start} does without a prior: leave out --prior")
    return start


def _camera(zoom: float | None, pan: str | None, rotate: float | None, steps: int) -> "Camera":
    from artcli.backends.dream.travel import Camera

    try:
        right, down = (float(part) for part in (pan or "0,0").split(","))
    except ValueError:
        raise UsageError(f"--pan '{pan}' has to be two numbers of pixels, such as 2,0") from None
    return Camera(1.0 if zoom is None else zoom, (right, down), rotate or 0.0, steps)


def _augmentations(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names == ("none",):
        return ()
    return tuple(options.one_of("--augment", name, AUGMENTATIONS) for name in names)


def _check_init(init: Path | None, mask: Path | None, init_weight: float) -> None:
    for path in (init, mask):
        if path is not None and str(path) != "-" and not path.is_file():
            raise files.missing(path)
    if init is None and (mask is not None or init_weight):
        raise UsageError(f"{'--mask' if mask else '--init-weight'} needs --init, the picture that it is about")


def _check_source(source: Source, mask: Path | None, moving: bool) -> None:
    """What belongs to a picture, and means nothing for a film."""
    if mask is not None:
        raise UsageError(f"--mask belongs to one picture, and {source.path} is a film; leave it out")
    if moving:
        raise UsageError(f"--zoom, --pan and --rotate move a picture, and {source.path} is a film; leave them out")


def _lines(prompt: str | None, prompts_file: Path | None, other: bool) -> list[str]:
    """The prompt lines of the batch, each checked; one empty line when only pictures or noise steer."""
    if prompt is not None and prompts_file is not None:
        raise UsageError("give either PROMPT or --prompts FILE, not both")
    if prompts_file is None:
        if prompt is None and other:
            return [""]
        prompt_syntax.parse_story(prompt or "")
        return [prompt or ""]
    lines = _read_lines(prompts_file)
    for line in lines:
        prompt_syntax.parse_story(line)
    return lines


def _read_lines(path: Path) -> list[str]:
    """What the lines of a file say, without comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise files.missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path} has no prompts; write one per line")
    return lines


def _jobs(lines: list[str], seeds: list[int], out: Path | None, source: Source | None) -> list[Job]:
    """Every line with every seed, and where it goes."""
    suffix = ".png" if source is None else film_suffix(source.path)
    count = len(lines) * len(seeds)
    slugs = [files.slug(line) for line in lines]
    jobs = []
    targets = naming.places(slugs, out, lambda slug: f"{slug}{suffix}", count=count, what="prompts")
    for line, target in zip(lines, targets, strict=True):
        if str(target) != "-":
            files.check_extension(target, PICTURES + FILMS)
        names = [files.numbered(target, seed) if len(seeds) > 1 else target for seed in seeds]
        jobs += [Job(line, seed, name, source is not None) for seed, name in zip(seeds, names, strict=True)]
    return jobs
