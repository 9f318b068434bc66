"""What a call of `artgen dream` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import typer

from artcli.backends.dream.settings import Camera, Denoising, Settings
from artcli.commands.dream import film as dream_film
from artcli.commands.dream import of_model, pictures, refusals
from artcli.commands.dream.film import SourceFilm
from artcli.commands.dream.options import PRIOR, VQGAN, Options
from artcli.commands.dream.pictures import PromptJob
from artcli.commands.shared import options, request
from artcli.commands.shared.film import Reel
from artcli.commands.shared.finish import Wanted
from artcli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Request(request.Request[Options]):
    """All jobs of a call, and what they share.

    prior: what draws a sketch first, None for nothing.  source: the film that --init is, if it is one, drawn anew.
    denoising: how a Stable Diffusion model draws, None for an optimizer.  time_limit: seconds.  enlarged_first: before
    --stylize.
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
    enlarged_first: bool

    @classmethod
    def of(cls, ctx: typer.Context, asked: Options) -> Self:
        """Raises UsageError for what cannot work."""
        refusals.check_init(asked)
        refusals.check_afterwards(ctx, asked)
        start = _start(asked)
        source = dream_film.find_source(asked.init, asked.out, asked.fps, asked.duration, exact=not asked.dry_run)
        denoising = of_model.denoising(ctx, asked)
        sketched = start == "prior" and source is None and denoising is None
        settings = _settings(asked, start, source, denoising)
        refusals.check_drawing(ctx, asked, settings)
        lines = pictures.lines(asked)
        if denoising is not None:
            of_model.check_words(lines, denoising)
        jobs = pictures.jobs_of(lines, asked, source)
        refusals.check_film(ctx, asked, source, jobs)
        prior = (asked.prior or PRIOR) if sketched and lines != [""] else None
        refusals.check_idle(ctx, asked, prior is not None or denoising is not None, any(job.film for job in jobs))
        enlarged_first = _enlarged_first(ctx, asked)
        settled = {"steps": settings.steps} if denoising is None else of_model.settled(asked, denoising)
        return cls.made(
            ctx,
            asked,
            settled={**settled, "upscale_first": enlarged_first},
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
            enlarged_first=enlarged_first,
        )

    @classmethod
    def draws_a_seed(cls, values: Mapping[str, Any]) -> bool:
        return True

    @classmethod
    def usual(cls, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        if recorded.get("init") is not None or recorded.get("drawer") == "diffusers":
            return {}  # the picture, film or model decides
        return {"size": f"{Settings.width}x{Settings.height}", "steps": Settings.steps}

    @property
    def finishing(self) -> Wanted:
        return Wanted(self.enlargement, self.options.stylize, self.options.paint, self.enlarged_first)

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


def _enlarged_first(ctx: typer.Context, asked: Options) -> bool:
    """Whether --upscale comes before --stylize: where asked for, and where it is written before it on the line."""
    if asked.upscale is None or asked.stylize is None:
        if options.on_the_line(ctx, "upscale_first"):
            raise UsageError("--upscale-first is about the order of --upscale and --stylize: add both")
        return False
    written = list(ctx.params)  # in the order of the line, then what is not on it
    typed = all(options.on_the_line(ctx, name) for name in ("upscale", "stylize"))
    return asked.upscale_first or (typed and written.index("upscale") < written.index("stylize"))


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


def _camera(asked: Options) -> Camera:
    try:
        right, down = (float(part) for part in (asked.pan or "0,0").split(","))
    except ValueError:
        raise UsageError(f"--pan '{asked.pan}' has to be two numbers of pixels, such as 2,0") from None
    return Camera(1.0 if asked.zoom is None else asked.zoom, (right, down), asked.rotate or 0.0, asked.pace.steps)
