"""Build, run and save what `artgen dream` was asked for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import weights
from artcli.backends.dream import prompts as prompt_syntax
from artcli.backends.dream.settings import RENEWED, Settings, Sketching
from artcli.commands.dream.pictures import PromptJob
from artcli.commands.dream.request import Request
from artcli.commands.shared import afterwards, costs, studio
from artcli.commands.shared.unfinished import Unfinished, fingerprint
from artcli.console import Console, counted, duration
from artcli.errors import Interrupted, UsageError
from artcli.pretrained import find

if TYPE_CHECKING:
    import numpy as np
    import torch

    from artcli.backends.dream.canvas import Edit
    from artcli.backends.dream.prior import Prior
    from artcli.backends.dream.steer import Target
    from artcli.backends.dream.story import Story
    from artcli.backends.frame import Frame
    from artcli.commands.shared.loop import Film, Outcome, Stop
    from artcli.media.strokes import Painting
    from artcli.nn.vqgan import VQGAN
    from artcli.pretrained.clip import Clip
    from artcli.pretrained.diffusion import Diffusion

_SEEN = 64  # pixels of the side of what clip-mini looks at
LARGEST_INIT_SIDE = 512
_TRIED = 256  # pixels of the longer side of what a dry run draws


class Studio(studio.Studio):
    """The loaded models and the settled size.

    A dry run only estimates jobs, for which no more than the size of an init picture is read.
    """

    label = "dream"
    usual_side, largest_init_side = Settings.width, LARGEST_INIT_SIDE

    def prepare(self) -> None:
        from artcli.pretrained import clip

        request, asked, self.told = self.request, self.asked, set[str]()
        width, height = self.settle()
        note = self.finish.note  # what is missing of small nets shows before a large one is loaded
        self.clip = self.load(clip.load, asked.clip)
        self.others = self._read_others()
        self.vqgan = self._load_vqgan()
        self.weights = {self.clip.name: weights.fingerprint(self.clip.model)}
        if self.vqgan is not None:
            self.weights[request.vqgan] = weights.fingerprint(self.vqgan)
        self.diffusion, self.referee = self._load_diffusion()
        if self.diffusion is not None and request.prior is not None:
            self.weights[request.prior] = weights.fingerprint(self.diffusion.net)
        if self.referee is not None:
            self.weights[self.referee.name] = weights.fingerprint(self.referee.model.visual)
        self.tell_loaded(f"{width}x{height}{note}, {self.clip.name} ({self.clip.side} px)")

    def settle(self) -> tuple[int, int]:
        """Read what is started from; (width, height) of what is drawn."""
        asked = self.asked
        self.edit = self._blank_init() if asked.dry_run and asked.mask is None else self._read_init()
        width, height = self._size()
        self.settings = replace(self.request.settings, width=width, height=height)
        return width, height

    def expect(self) -> None:
        self.told, self.edit = set[str](), None
        width, height = self._whole_size()
        self.settings = replace(self.request.settings, width=width, height=height)
        self.tell_loaded(f"{width}x{height}{self.finish.note}, {self.asked.clip} ({_SEEN} px)")

    @classmethod
    def can_foresee(cls, request: Request) -> bool:
        """What else steers or is kept is not in the table, and long or foreign words may not be heard."""
        asked = request.options
        if request.denoising is not None:
            return False
        if asked.mask or str(asked.init) == "-" or asked.image_prompt or asked.noise_prompt or asked.settings.tileable:
            return False
        heard = costs.hears(text for job in request.jobs for text in _texts(job.prompt))
        return heard and asked.clip in cls.needed(request) and super().can_foresee(request)

    @classmethod
    def before_loading(cls, request: Request, mine: Sequence[PromptJob], console: Console) -> None:
        super().before_loading(request, mine, console)
        first, count = mine[0], len(mine)
        words = f"'{first.prompt}'" if first.prompt else "no words"
        what = words if len({job.prompt for job in mine}) == 1 else f"{count} prompts"
        seeds = f"seed {first.seed}" if count == 1 else f"{count} pictures"
        steps = counted(request.settings.steps, "step")
        if request.source is not None:
            steps += f" for the first of {request.source.frames} frames, {request.options.pace.steps} for each other"
        console.info(f"dream: {what}, {steps}, {seeds}, to {first.out}{' ...' if count > 1 else ''}")

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        clip = request.options.clip  # open_clip has names of its own
        names = {clip} if not any(mark in clip for mark in "=:/") else set()
        names |= {request.vqgan} if request.settings.drawer == "vqgan" else set()
        names |= {afterwards.DECODER} if request.options.stylize is not None else set()
        names |= {find.PAINTER} if request.options.paint else set()
        return names | super().needed(request) | ({request.prior} if request.prior is not None else set())

    def _blank_init(self) -> "Edit | None":
        """Grey, of the size that the init picture or film would have."""
        import numpy as np

        from artcli.backends.dream import canvas

        if self.asked.init is None or str(self.asked.init) == "-":
            return self._read_init()
        width, height = self._whole_size()
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

    def _whole_size(self) -> tuple[int, int]:
        """(width, height) of what is drawn, without a mask, from no more than the header of an init picture."""
        from artcli.media import decode

        if self.request.source is not None:
            return self._size_from(*self.request.source.size)
        if self.asked.init is None:
            return self.request.size or (self.usual_side, self.usual_side)
        return self._size_from(*decode.size_of(self.asked.init))

    def _size_from(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of what is drawn from a picture or film of this size, without a mask."""
        shrink = min(1.0, self.largest_init_side / max(width, height))
        return self.request.size or (max(32, round(width * shrink)), max(32, round(height * shrink)))

    def _load_vqgan(self) -> "VQGAN | None":
        from artcli.pretrained import vqgan as vqgan_files

        if self.request.settings.drawer != "vqgan":
            return None
        model: VQGAN = self.load(vqgan_files.load, self.request.vqgan, encodes=self._encodes())
        factor = model.sizes.factor
        if self.settings.tileable and (self.settings.width % factor or self.settings.height % factor):
            raise UsageError(f"--tileable needs a --size of multiples of {factor}, the pixels of one code")
        return model

    def _load_diffusion(self) -> "tuple[Diffusion | None, Clip | None]":
        """What draws a sketch, and who picks among its sketches, if the CLIP has such a referee."""
        from artcli.pretrained import diffusion as diffusion_files
        from artcli.pretrained import referee

        if self.request.prior is None:
            return None, None
        loaded: Diffusion = self.load(diffusion_files.load, self.request.prior)
        return loaded, referee.load(self.clip)

    def _prior(self, job: PromptJob) -> "Prior | None":
        """What draws the words before the loop does."""
        from artcli.backends.dream.prior import Prior

        if self.diffusion is None:
            return None
        words, *later = prompt_syntax.parse_story(job.prompt)
        return Prior(self.diffusion, self.clip, words, self.asked.sketching, later, self.referee)

    def _encodes(self) -> bool:
        """Whether pictures become codes, and not only codes pictures."""
        moves, calms = self.request.camera is not None, self.settings.shifts > 1
        return (
            self.edit is not None or moves or calms or self.settings.start in {"prior", "sketch", "noise", "gradient"}
        )

    def _size(self) -> tuple[int, int]:
        """(width, height) of what is drawn."""
        if self.edit is None:
            return self._whole_size()
        return self.edit.canvas.photo.shape[2], self.edit.canvas.photo.shape[1]

    # one job --------------------------------------------------------------------------------------------------

    def work(self, job: PromptJob) -> None:
        started, request = time.monotonic(), self.request
        with self.stop.at_once():
            self.finish.check(job.picture, *self._shown)
            targets = self._targets(job)
            seed = self._best_seed(job, targets) if self.asked.best_of > 1 else job.seed
        keeps = self.asked.mask is not None and request.size is None  # the photo's own size, which may be any
        size = None if keeps else "x".join(map(str, self._shown))
        record = self.record(seed=seed, prompt=job.prompt or None, size=size)
        unfinished = self._unfinished(job, seed)
        saved = self.saved(unfinished)
        frames = self._frames(job, targets, seed, saved and saved["state"])
        alpha, exif = (self.edit.alpha, self.edit.exif) if self.edit else (None, None)
        look = studio.Look(self._shown, self._to_pixels, alpha, exif)
        frames, limit = _first_at_once(frames, self.stop), request.time_limit
        outcome, painting, shown = self.make(
            job, frames, look, request.reel, record, unfinished, saved, time_limit=limit
        )
        beside = self._write_painting(job, painting, record) if outcome.stopped is None else []
        self._report(job, outcome, painting, seed, time.monotonic() - started, shown, beside)

    def end_film(self, opened: "Film", rest: float, painting: "Painting | None") -> None:
        from artcli.commands.dream import painted

        if painting is not None:
            painted.grow(opened, painting, rest, self.stop)
        super().end_film(opened, rest, painting)

    def _write_painting(
        self, job: PromptJob, painting: "Painting | None", record: Mapping[str, Any] | None
    ) -> list[Path]:
        from artcli.commands.dream import painted

        return [] if painting is None else list(painted.write(job, painting, record, self.stop, self.console))

    @property
    def _shown(self) -> tuple[int, int]:
        """(width, height) of the whole picture, of which a mask may leave only a part to be drawn."""
        return self.edit.size if self.edit else (self.settings.width, self.settings.height)

    def _frames(
        self, job: PromptJob, targets: "Story", seed: int, state: Mapping[str, Any] | None
    ) -> Iterator["Frame"]:
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

    def _to_pixels(self, image: "torch.Tensor") -> "np.ndarray":
        from artcli.media import images

        pixels = images.from_tensor(image)
        return self.edit.paste(pixels) if self.edit else pixels

    def _report(
        self, job: PromptJob, outcome: "Outcome", painting: "Painting | None", seed: int, seconds: float,
        shown: int | None, beside: list[Path],
    ) -> None:  # fmt: skip
        """shown: frames of the film, None without one; one without a frame was not written.  beside: of a painting."""
        stopped_painting = painting is not None and self.stop.requested  # the user did not wait for its films
        facts = {
            "prompt": job.prompt, **self._words(job.prompt), "seed": seed, "steps": outcome.step,
            "seconds": round(seconds, 2), "finished": outcome.stopped is None and not stopped_painting,
            **{k: round(v, 4) for k, v in outcome.metrics.items()},
        }  # fmt: skip
        if self.request.source is not None:
            facts["frames"] = shown
            change = f"they change {facts['flicker']:.2f} times as much as the source from frame to frame"
            self.tell(f"{counted(shown or 0, 'frame')}; {change}")
        if painting is not None:
            facts["strokes"] = len(painting.strokes)
            self.tell(f"painted with {counted(facts['strokes'], 'stroke')}")
        if not job.streamed:
            film = [job.film] if job.film is not None and shown != 0 else []
            self.console.result([*film, job.picture, *beside], **facts)
        self.tell(f"seed {seed}, {counted(outcome.step, 'step')} in {duration(seconds)}")
        self.tell_stop(job, outcome, self.request.reel.total)
        if stopped_painting:
            raise Interrupted(f"interrupted; {job.picture} is painted, but not all that shows how was written")

    # what steers ----------------------------------------------------------------------------------------------

    def _targets(self, job: PromptJob) -> "Story":
        """The scenes of the prompt; pictures and noise steer in all of them."""
        from artcli.backends.dream import steer
        from artcli.backends.dream.story import Story

        scenes = prompt_syntax.parse_story(job.prompt) if job.prompt else [[]]
        self._tell_words(job.prompt)
        return Story([steer.texts(self.clip, scene) + self.others for scene in scenes])

    def _read_others(self) -> "list[Target]":
        """What pictures and noise steer towards, the same in all jobs."""
        from artcli.backends.dream import steer

        pictures = [steer.image(self.clip, prompt_syntax.parse_one(line)) for line in self.asked.image_prompt]
        noise = [steer.noise(self.clip, prompt_syntax.parse_one(line)) for line in self.asked.noise_prompt]
        return pictures + noise

    def _tell_words(self, line: str) -> None:
        """How a prompt was read where it is more than text, and what of it CLIP does not hear; each line once."""
        if line in self.told:
            return
        self.told.add(line)
        if line and (read := prompt_syntax.understood(line)):
            self.tell(f"the prompt is read as {read}")
        for note in self._unheard(line):
            self.console.warn(note)

    def _unheard(self, line: str) -> list[str]:
        """Lines about what CLIP does not hear of a prompt: nothing, where all was foreseen."""
        return [] if self.foreseen else [note for text in _texts(line) for note in self.clip.unheard(text)]

    def _words(self, line: str) -> dict[str, Any]:
        """For JSON: how a prompt was understood where it is more than text, and what of it CLIP does not hear."""
        read, unheard = prompt_syntax.understood(line) if line else "", self._unheard(line)
        return ({"read_as": read} if read else {}) | ({"unheard": unheard} if unheard else {})

    def _best_seed(self, job: PromptJob, targets: "Story") -> int:
        from artcli.backends.dream.begin import try_seed

        canvas = self.edit.canvas if self.edit else None
        prior = self._prior(job)
        scores: dict[int, float] = {}
        for seed in range(job.seed, job.seed + self.asked.best_of):
            scores[seed] = try_seed(targets, self.clip, self.settings, seed, canvas, self.vqgan, prior)
            self.tell(f"trying seeds: {seed} reaches {scores[seed]:.3f}")
        best = max(scores, key=lambda seed: scores[seed])
        self.tell(f"seed {best} looks best")
        return best

    def _unfinished(self, job: PromptJob, seed: int) -> Unfinished:
        request, asked = self.request, self.asked
        what = {
            "prompt": job.prompt, "seed": seed, "settings": asdict(self.settings), "weights": self.weights,
            "images": asked.image_prompt, "noise": asked.noise_prompt, "feather": asked.feather,
            "init": fingerprint(asked.init), "mask": fingerprint(asked.mask),
            "film": job.film and (request.reel.fps, asked.duration),
            "prior": request.prior and asdict(asked.sketching),
            "camera": request.camera and asdict(request.camera), "pace": request.source and asdict(asked.pace),
            "denoising": request.denoising and asdict(request.denoising),
        }  # fmt: skip
        return Unfinished(job.unfinished, what)

    # dry run --------------------------------------------------------------------------------------------------

    def estimate(self, job: PromptJob) -> None:
        """Say what the whole would cost, by the steps of each stage."""
        self._tell_words(job.prompt)
        full, small, sketch = self._known_steps() if self.foreseen else self._tried_steps(job)
        settings, request = self.settings, self.request
        scenes = len(prompt_syntax.parse_story(job.prompt)) if job.prompt else 1
        sketches = sketch * request.ahead * self._sketches(scenes)
        part = self._small_part(1 if request.camera else scenes)  # whose first picture is of the first scene
        total = settings.steps * (part * small + (1 - part) * full) + sketches
        later = (request.camera or self.asked.pace).steps
        total += (request.reel.total - settings.steps - request.ahead) * later * full
        total = min(total, request.time_limit or total) + self.finish.seconds(*self._shown)
        if self.asked.best_of > 1:
            total += self.asked.best_of * (settings.tried.steps * (small if part else full) + sketches)
        held = costs.memory("dream", self.settings.width * self.settings.height) if self.foreseen else None
        studio.tell_cost(self.console, job.outputs, f"seed {job.seed}", total, held=held, **self._words(job.prompt))

    def _small_part(self, scenes: int) -> float:
        """Of the steps, those of the first stage.  A photograph has no room in a grid of codes that starts small."""
        coded = self.settings.drawer == "vqgan" and self.asked.init is not None and self.request.prior is None
        return 0.0 if coded or not self.settings.starts_small else self.settings.small_part / scenes

    def _sketches(self, scenes: int) -> float:
        """How often the cost of the first scene's sketch: those of later scenes have candidates of their own number."""
        usual = Sketching()
        each = RENEWED * usual.candidates / self.asked.sketching.candidates
        return 1 + each * (scenes - 1)

    def _known_steps(self) -> tuple[float, float, float]:
        """Seconds of a step at full size, of one at the small size, and of the prior's."""
        settings, request = self.settings, self.request
        width, height = settings.width, settings.height
        smaller = width * height * (settings.low_res / min(width, height)) ** 2
        looks = costs.seconds(self.asked.clip, settings.cutouts)
        full = looks + costs.seconds("fft" if settings.drawer == "fft" else request.vqgan, width * height)
        sketch = costs.seconds("sketch", self.asked.sketching.candidates) if request.prior is not None else 0.0
        return full, looks + costs.seconds("fft", smaller), sketch

    def _tried_steps(self, job: PromptJob) -> tuple[float, float, float]:
        """As `_known_steps`, by two steps of each; of large pictures at small sizes."""
        targets, prior = self._targets(job), self._prior(job)
        if prior is not None:
            prior.how = replace(prior.how, steps=2)
        full, sketch = self._seconds_per_step(targets, prior, 0.0)
        if (pixels := self.settings.width * self.settings.height) > _TRIED**2:  # CLIP's part does not grow with them
            less = self._seconds_per_step(targets, None, 0.0, _TRIED // 2)[0]
            full += max(0.0, full - less) / (_TRIED**2 * 3 / 4) * (pixels - _TRIED**2)
        small = self._seconds_per_step(targets, None, 1.0)[0] if self.settings.starts_small else 0.0
        return full, small, 0.0 if prior is None else sketch / 2

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
        for frame in begin(targets, self.clip, trial, prior=prior, **how):
            if not frame.draft:
                marks.append(time.monotonic())
        return marks[-1] - marks[-2], marks[1] - marks[0]


run = Studio.run


def _texts(line: str) -> list[str]:
    """What a prompt line says, each text once."""
    scenes = prompt_syntax.parse_story(line) if line else []
    return list(dict.fromkeys(prompt.text for scene in scenes for prompt in scene))


def _first_at_once(frames: "Iterator[Frame]", stop: "Stop") -> "Iterator[Frame]":
    """The frames; a signal before the first stops at once: a sketch, or codes of an init picture, come before it."""
    ahead = True
    while ahead:
        with stop.at_once():
            frame = next(frames)
        yield frame
        ahead = frame.draft
    yield from frames
