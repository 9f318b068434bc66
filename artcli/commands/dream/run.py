"""Build, run and save what `artgen dream` was asked for."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device, weights
from artcli.backends.dream import prompts as prompt_syntax
from artcli.commands.dream.request import Job, Request
from artcli.commands.shared import enlarge, target
from artcli.commands.shared.outputs import one_by_one, tell_stop
from artcli.commands.shared.recipe import tell_other_weights
from artcli.commands.shared.unfinished import Unfinished, fingerprint
from artcli.console import Console, counted, duration
from artcli.errors import UsageError
from artcli.media import recipe_text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import torch

    from artcli.backends.dream.canvas import Edit
    from artcli.backends.dream.prior import Prior
    from artcli.backends.dream.story import Story
    from artcli.backends.frame import Frame
    from artcli.commands.shared.loop import Film, Outcome, Stop
    from artcli.nn.vqgan import VQGAN
    from artcli.pretrained.diffusion import Diffusion

DEFAULT_SIDE, LARGEST_INIT_SIDE = 256, 512
_TRIED = 256  # pixels of the longer side of what a dry run draws


def run(request: Request, console: Console) -> None:
    """Load the models once, then draw job after job.

    A failing job of a batch does not stop the others: raises ArtgenError at the end.  Raises Interrupted after Ctrl-C.
    """
    asked = request.options
    jobs = device.my_share(list(request.jobs) if asked.dry_run else _left(request, console))
    if not jobs:
        return
    console.info(_headline(jobs, request))
    from artcli.commands.shared.loop import interruptible

    batch = len(request.jobs) > 1
    with interruptible() as stop:
        with stop.at_once():
            studio = Studio(request, console)
            if asked.dry_run:
                return one_by_one(jobs, studio.estimate, lambda job: job.out, console, batch=batch)
        one_by_one(jobs, lambda job: studio.draw(job, stop), lambda job: job.out, console, batch=batch)


def _left(request: Request, console: Console) -> list[Job]:
    """Refuse, before any compute, what could not be written; the jobs that are left to do."""
    asked = request.options
    return target.check(
        request.jobs,
        lambda job: _snapshots(job, request),
        label="dream",
        resume=asked.resume,
        force=asked.force,
        skip_existing=asked.skip_existing,
        console=console,
    )


def _headline(jobs: Sequence[Job], request: Request) -> str:
    first = jobs[0]
    what = f"'{first.prompt}'" if len({job.prompt for job in jobs}) == 1 else f"{len(jobs)} prompts"
    seeds = f"seed {first.seed}" if len(jobs) == 1 else f"{len(jobs)} pictures"
    steps = counted(request.settings.steps, "step")
    if request.source is not None:
        steps += f" for the first of {request.source.frames} frames, {request.options.pace.steps} for each other"
    return f"dream: {what}, {steps}, {seeds}, to {first.out}{' ...' if len(jobs) > 1 else ''}"


class Studio:
    """The loaded models and the settled size; draws jobs one after another.

    A dry run only estimates them, for which no more than the size of an init picture is read.
    """

    def __init__(self, request: Request, console: Console):
        from artcli.pretrained import clip

        self.request, self.console, self.told = request, console, set[str]()
        asked = self.asked = request.options
        self.edit = self._blank_init() if asked.dry_run and asked.mask is None else self._read_init()
        width, height = self._size()
        self.settings = replace(request.settings, width=width, height=height)
        self.device = device.choose(asked.device)
        where: dict[str, Any] = {"weights_dirs": asked.folders, "offline": asked.offline}
        self.enlarger = enlarge.load(request.enlargement, self.device, **where)
        self.clip = clip.load(asked.clip, self.device, **where)
        self.vqgan = self._load_vqgan()
        self.weights = {self.clip.name: weights.fingerprint(self.clip.model)}
        if self.vqgan is not None:
            self.weights[request.vqgan] = weights.fingerprint(self.vqgan)
        self.diffusion = self._load_diffusion()
        if self.diffusion is not None and request.prior is not None:
            self.weights[request.prior] = weights.fingerprint(self.diffusion.net)
        self.recorded = {**self.weights, **self.enlarger.weights}
        tell_other_weights(self.recorded, request.recorded_weights, console.warn)
        what = f"{width}x{height}{self.enlarger.note}, {self.clip.name} ({self.clip.side} px)"
        console.info(f"dream: {what}, {device.describe(self.device)}")

    def _blank_init(self) -> "Edit | None":
        """Grey, of the size that the init picture or film would have."""
        import numpy as np

        from artcli.backends.dream import canvas
        from artcli.media import decode

        source, init = self.request.source, self.asked.init
        if source is not None:
            width, height = self._size_from(*source.size)
        elif init is None or str(init) == "-":
            return self._read_init()
        else:
            width, height = self._size_from(*decode.size_of(init))
        return canvas.whole(np.full((height, width, 3), 0.5, np.float32))

    def _read_init(self) -> "Edit | None":
        from artcli.backends.dream import canvas
        from artcli.media import images

        if self.request.source is not None:
            source = self.request.source
            return canvas.Edit(canvas.Canvas(next(source.read(self._size_from(*source.size)))))
        if self.asked.init is None:
            return None
        photo = images.load("-" if str(self.asked.init) == "-" else self.asked.init)
        if self.asked.mask is not None:
            found = canvas.edit(photo, images.load(self.asked.mask), self.asked.feather, self.request.size)
            return replace(found, exif=photo.exif)
        height, width = photo.rgb.shape[:2]
        size = self._size_from(width, height)
        alpha = None if photo.alpha is None else images.resize(photo.alpha, size)
        return replace(canvas.whole(images.resize(photo.rgb, size), alpha), exif=photo.exif)

    def _size_from(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of what is drawn from a picture or film of this size, without a mask."""
        shrink = min(1.0, LARGEST_INIT_SIDE / max(width, height))
        return self.request.size or (max(32, round(width * shrink)), max(32, round(height * shrink)))

    def _load_vqgan(self) -> "VQGAN | None":
        from artcli.pretrained import vqgan as vqgan_files

        if self.request.settings.drawer != "vqgan":
            return None
        model = vqgan_files.load(
            self.request.vqgan,
            self.device,
            encodes=self._encodes(),
            weights_dirs=self.asked.folders,
            offline=self.asked.offline,
        )
        factor = model.sizes.factor
        if self.settings.tileable and (self.settings.width % factor or self.settings.height % factor):
            raise UsageError(f"--tileable needs a --size of multiples of {factor}, the pixels of one code")
        return model

    def _load_diffusion(self) -> "Diffusion | None":
        from artcli.pretrained import diffusion as diffusion_files

        if self.request.prior is None:
            return None
        where: dict[str, Any] = {"weights_dirs": self.asked.folders, "offline": self.asked.offline}
        return diffusion_files.load(self.request.prior, self.device, **where)

    def _prior(self, job: Job) -> "Prior | None":
        """What draws the words before the loop does."""
        from artcli.backends.dream.prior import Prior

        if self.diffusion is None:
            return None
        words, *later = prompt_syntax.parse_story(job.prompt)
        return Prior(self.diffusion, self.clip, words, self.asked.sketching, later)

    def _encodes(self) -> bool:
        """Whether pictures become codes, and not only codes pictures."""
        moves = self.request.camera is not None
        return self.edit is not None or moves or self.settings.start in {"prior", "sketch", "noise", "gradient"}

    def _size(self) -> tuple[int, int]:
        """(width, height) of what is drawn."""
        if self.edit is None:
            return self.request.size or (DEFAULT_SIDE, DEFAULT_SIDE)
        return self.edit.canvas.photo.shape[2], self.edit.canvas.photo.shape[1]

    # one job --------------------------------------------------------------------------------------------------

    def draw(self, job: Job, stop: "Stop") -> None:
        started = time.monotonic()
        with stop.at_once():
            self.enlarger.check(job.picture, *self._shown)
            targets = self._targets(job)
            seed = self._best_seed(job, targets) if self.asked.best_of > 1 else job.seed
        recipe = self._recipe(job, seed)
        unfinished = self._unfinished(job, seed)
        saved = self._saved(unfinished)
        frames = self._frames(job, targets, seed, saved and saved["state"])
        preview = self._preview(job)
        try:
            with self._film(job, recipe, saved) as film:
                outcome = self._follow(job, frames, film, preview, unfinished, stop)
                exif = self.edit.exif if self.edit else None
                self.enlarger.save(job.picture, outcome.pixels, alpha=self._alpha, recipe=recipe, photo=exif)
                shown = film.writer.frames if film else None
                if film is not None and outcome.stopped is None:
                    film.writer.hold(self.request.reel.hold)
        finally:
            if preview is not None:
                preview.unlink(missing_ok=True)
        self._report(job, outcome, seed, time.monotonic() - started, shown)

    @property
    def _shown(self) -> tuple[int, int]:
        """(width, height) of the whole picture, of which a mask may leave only a part to be drawn."""
        return self.edit.size if self.edit else (self.settings.width, self.settings.height)

    @property
    def _alpha(self) -> "np.ndarray | None":
        return self.edit.alpha if self.edit else None

    def _frames(self, job: Job, targets: "Story", seed: int, state: Mapping[str, Any] | None) -> Iterator["Frame"]:
        from artcli.backends.dream.begin import begin
        from artcli.backends.dream.restyle import restyle
        from artcli.backends.dream.travel import travel

        how: dict[str, Any] = {"seed": seed, "vqgan": self.vqgan, "state": state}
        source, camera, length = self.request.source, self.request.camera, self.request.reel.length
        if source is not None:
            film = source.read((self.settings.width, self.settings.height))
            return restyle(targets, self.clip, self.settings, self.asked.pace, film, length, **how)
        how |= {"canvas": self.edit.canvas if self.edit else None, "prior": self._prior(job)}
        if camera is not None:
            return travel(targets, self.clip, self.settings, camera, length, **how)
        return begin(targets, self.clip, self.settings, **how)

    def _follow(
        self,
        job: Job,
        frames: Any,
        film: "Film | None",
        preview: Path | None,
        unfinished: Unfinished,
        stop: "Stop",
    ) -> "Outcome":
        from artcli.commands.shared.loop import Watch, follow
        from artcli.media import images

        watch = Watch(
            console=self.console,
            label="dream",
            total=self.request.reel.total,
            to_pixels=self._to_pixels,
            film=film,
            preview=None if preview is None else lambda pixels: images.save(preview, pixels, alpha=self._alpha),
            snapshot=lambda step, pixels: images.save(job.at_step(step), pixels, alpha=self._alpha),
            save_every=self.asked.save_every,
            save_state=None if job.streamed else lambda state: unfinished.save(state=state),
            time_limit=self.request.time_limit,
        )
        with stop.at_once():  # a sketch, or codes of an init picture, come before it
            first = next(frames)
        return follow(chain([first], frames), watch, stop)

    def _to_pixels(self, image: "torch.Tensor") -> "np.ndarray":
        from artcli.media import images

        pixels = images.from_tensor(image)
        return self.edit.paste(pixels) if self.edit else pixels

    def _preview(self, job: Job) -> Path | None:
        """Where the preview goes; None without one, and where a file of the user has its name."""
        if not self.asked.preview or job.streamed:
            return None
        if job.preview.exists() and not (self.asked.force or self.asked.resume):
            self.console.info(f"dream: {job.preview} exists, so there is no preview (--force replaces it)")
            return None
        self.console.info(f"dream: preview in {job.preview}")
        return job.preview

    def _report(self, job: Job, outcome: "Outcome", seed: int, seconds: float, shown: int | None) -> None:
        """shown: frames of the film, None without one; one without a frame was not written."""
        if outcome.stopped is None:
            shutil.rmtree(job.unfinished, ignore_errors=True)
        facts = {
            "prompt": job.prompt, **self._words(job.prompt), "seed": seed, "steps": outcome.step,
            "seconds": round(seconds, 2), "finished": outcome.stopped is None,
            **{k: round(v, 4) for k, v in outcome.metrics.items()},
        }  # fmt: skip
        if self.request.source is not None:
            facts["frames"] = shown
            change = f"they change {facts['flicker']:.2f} times as much as the source from frame to frame"
            self.console.info(f"dream: {counted(shown or 0, 'frame')}; {change}")
        if not job.streamed:
            self.console.result([job.picture] if shown == 0 else job.outputs, **facts)
        self.console.info(f"dream: seed {seed}, {counted(outcome.step, 'step')} in {duration(seconds)}")
        tell_stop("dream", outcome, self.request.reel.total, streamed=job.streamed, console=self.console)

    # what steers ----------------------------------------------------------------------------------------------

    def _targets(self, job: Job) -> "Story":
        """The scenes of the prompt; pictures and noise steer in all of them."""
        from artcli.backends.dream import steer
        from artcli.backends.dream.story import Story

        other = [steer.image(self.clip, prompt_syntax.parse_one(line)) for line in self.asked.image_prompt]
        other += [steer.noise(self.clip, prompt_syntax.parse_one(line)) for line in self.asked.noise_prompt]
        scenes = prompt_syntax.parse_story(job.prompt) if job.prompt else [[]]
        self._tell_words(job.prompt)
        return Story([steer.texts(self.clip, scene) + other for scene in scenes])

    def _tell_words(self, line: str) -> None:
        """How a prompt was read where it is more than text, and what of it CLIP does not hear; each line once."""
        if line in self.told:
            return
        self.told.add(line)
        if line and (read := prompt_syntax.understood(line)):
            self.console.info(f"dream: the prompt is read as {read}")
        for note in self._unheard(line):
            self.console.warn(note)

    def _unheard(self, line: str) -> list[str]:
        """Lines about what CLIP does not hear of a prompt."""
        scenes = prompt_syntax.parse_story(line) if line else []
        texts = dict.fromkeys(prompt.text for scene in scenes for prompt in scene)
        return [note for text in texts for note in self.clip.unheard(text)]

    def _words(self, line: str) -> dict[str, Any]:
        """For JSON: how a prompt was understood where it is more than text, and what of it CLIP does not hear."""
        read, unheard = prompt_syntax.understood(line) if line else "", self._unheard(line)
        return ({"read_as": read} if read else {}) | ({"unheard": unheard} if unheard else {})

    def _best_seed(self, job: Job, targets: "Story") -> int:
        from artcli.backends.dream.begin import try_seed

        canvas = self.edit.canvas if self.edit else None
        prior = self._prior(job)
        scores: dict[int, float] = {}
        for seed in range(job.seed, job.seed + self.asked.best_of):
            scores[seed] = try_seed(targets, self.clip, self.settings, seed, canvas, self.vqgan, prior)
            self.console.info(f"dream: trying seeds: {seed} reaches {scores[seed]:.3f}")
        best = max(scores, key=lambda seed: scores[seed])
        self.console.info(f"dream: seed {best} looks best")
        return best

    def _recipe(self, job: Job, seed: int) -> dict[str, Any] | None:

        if self.request.recipe is None:
            return None
        parameters = {**self.request.recipe["parameters"], "prompt": job.prompt}
        keeps = self.asked.mask is not None and self.request.size is None  # the photo's own size, which may be any
        parameters["size"] = None if keeps else "x".join(map(str, self._shown))
        kept = {k: v for k, v in parameters.items() if v is not None and v != ""}
        made = {**self.request.recipe, "parameters": kept, "seed": seed, "weights": self.recorded}
        recipe_text.to_text(made)  # one that is too long shows before any compute
        return made

    # films and resuming ---------------------------------------------------------------------------------------

    def _film(
        self, job: Job, recipe: dict[str, Any] | None, saved: Mapping[str, Any] | None
    ) -> "AbstractContextManager[Film | None]":
        if job.film is None:
            return nullcontext()
        done = None if saved is None else saved["state"]["step"]
        return self.request.reel.open(job, self._shown, recipe, done, self.console)

    def _unfinished(self, job: Job, seed: int) -> Unfinished:
        request, asked = self.request, self.asked
        what = {
            "prompt": job.prompt, "seed": seed, "settings": asdict(self.settings), "weights": self.weights,
            "images": asked.image_prompt, "noise": asked.noise_prompt, "feather": asked.feather,
            "init": fingerprint(asked.init), "mask": fingerprint(asked.mask),
            "film": job.film and (request.reel.fps, asked.duration),
            "prior": request.prior and asdict(asked.sketching),
            "camera": request.camera and asdict(request.camera), "pace": request.source and asdict(asked.pace),
        }  # fmt: skip
        return Unfinished(job.unfinished, what)

    def _saved(self, unfinished: Unfinished) -> Mapping[str, Any] | None:
        saved = unfinished.load() if self.asked.resume else None
        if saved is not None:
            self.console.info(f"dream: going on from step {saved['state']['step']}")
        return saved

    # dry run --------------------------------------------------------------------------------------------------

    def estimate(self, job: Job) -> None:
        """Time two steps of each stage, of large pictures at small sizes, and say what the whole would cost."""
        import psutil

        targets, prior = self._targets(job), self._prior(job)
        if prior is not None:
            prior.how = replace(prior.how, steps=2)
        part = self.settings.small_part if self.settings.starts_small else 0
        full, sketch = self._seconds_per_step(targets, prior, 0.0)
        if (pixels := self.settings.width * self.settings.height) > _TRIED**2:  # CLIP's part does not grow with them
            less = self._seconds_per_step(targets, None, 0.0, _TRIED // 2)[0]
            full += max(0.0, full - less) / (_TRIED**2 * 3 / 4) * (pixels - _TRIED**2)
        small = self._seconds_per_step(targets, None, 1.0)[0] if part else 0.0
        total = self.settings.steps * (part * small + (1 - part) * full)
        total += 0 if prior is None else sketch / 2 * self.request.ahead
        later = (self.request.camera or self.asked.pace).steps
        total += (self.request.reel.total - self.settings.steps - self.request.ahead) * later * full
        total = min(total, self.request.time_limit or total) + self.enlarger.seconds(*self._shown)
        memory = psutil.Process().memory_info().rss / 1e9
        self.console.info(f"dry run: seed {job.seed}, about {duration(total)}, {memory:.1f} GB; would write")
        self.console.result(
            job.outputs, dry_run=True, **self._words(job.prompt), seconds=round(total, 1), memory_gb=round(memory, 2)
        )

    def _seconds_per_step(
        self, targets: "Story", prior: "Prior | None", part: float, side: int = _TRIED
    ) -> tuple[float, float]:
        """Of the optimizer at the small size (part 1) or the full one (0), and of the prior's two steps.

        side: pixels of the longer side at most.
        """
        from artcli.backends.dream.begin import begin

        width, height = self.settings.width, self.settings.height
        if max(width, height) > side:  # in multiples of a code's pixels
            width, height = (max(32, round(length * side / max(width, height) / 32) * 32) for length in (width, height))
        trial = replace(self.settings, steps=3, low_part=part, width=width, height=height)
        how: dict[str, Any] = {"canvas": self.edit and self.edit.canvas.resized(width, height), "vqgan": self.vqgan}
        marks = [time.monotonic()]
        for _ in begin(targets, self.clip, trial, prior=prior, **how):
            marks.append(time.monotonic())
        return marks[-1] - marks[-2], marks[1] - marks[0]


def _snapshots(job: Job, request: Request) -> list[Path]:
    """The pictures that --save-every leaves beside the last one."""
    every = request.options.save_every
    return [job.at_step(step) for step in range(every, request.reel.total, every)] if every else []
