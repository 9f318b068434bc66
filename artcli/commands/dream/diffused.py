"""`artgen dream --drawer diffusers`: pictures by Stable Diffusion."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from artcli import weights
from artcli.backends.dream import prompts as prompt_syntax
from artcli.commands.dream import run as optimised
from artcli.commands.dream.pictures import PromptJob
from artcli.commands.dream.request import Request
from artcli.commands.shared import studio
from artcli.console import Console, counted
from artcli.errors import UsageError

if TYPE_CHECKING:
    from artcli.backends.dream.canvas import Canvas
    from artcli.backends.frame import Frame

_TRIED, _STEPS = 256, 2  # of a dry run: pixels of the longer side, and steps


class Studio(optimised.Studio):
    """The loaded model, and a CLIP where one leads."""

    def prepare(self) -> None:
        from artcli.pretrained import clip, pipelines

        how, self.told = self.request.denoising, set[str]()
        self.how = how
        folder = pipelines.get(how.model, **self.where)
        self.usual_side = pipelines.side(folder)
        self.largest_init_side = max(self.largest_init_side, self.usual_side)
        width, height = self.settle()
        if pipelines.inside(folder) and (self.edit is None or self.edit.canvas.mask is None):
            raise UsageError(f"{how.model} fills what a mask leaves out: add --init and --mask, or take another model")
        note = self.finish.note
        self.clip = self.load(clip.load, self.asked.clip) if how.clip_guidance else None
        self.model = self.load(pipelines.load, how.model)
        self.weights = {how.model: self.model.fingerprint}
        if self.clip is not None:
            self.weights[self.clip.name] = weights.fingerprint(self.clip.model)
        led = "" if self.clip is None else f", led by {self.clip.name}"
        steps = counted(how.taken, "step")
        self.tell_loaded(f"{width}x{height}{note}, {how.model}, {steps}, guidance {how.guidance:g}{led}")

    @classmethod
    def before_loading(cls, request: Request, mine: Sequence[PromptJob], console: Console) -> None:
        from artcli.pretrained import pipelines

        assert request.denoising is not None
        pipelines.require()
        pipelines.check(request.denoising.model, weights_dirs=request.options.folders, offline=request.options.offline)
        super().before_loading(request, mine, console)

    @classmethod
    def needed(cls, request: Request) -> set[str]:
        led = request.denoising is not None and request.denoising.clip_guidance
        return super().needed(request) - (set() if led else {request.options.clip})

    def _targets(self, job: PromptJob) -> Any:
        """Its words: nothing else steers."""
        self._tell_words(job.prompt)
        return prompt_syntax.parse(job.prompt)

    def _unheard(self, line: str) -> list[str]:
        texts = dict.fromkeys(prompt.text for prompt in prompt_syntax.parse(line))
        return [note for text in texts for note in self.model.unheard(text)]

    def _frames(self, job: PromptJob, targets: Any, seed: int, state: Mapping[str, Any] | None) -> Iterator["Frame"]:
        size = self.settings.width, self.settings.height
        return self._draw(targets, size, self.edit.canvas if self.edit else None, seed=seed, state=state)

    def _draw(self, words: Any, size: tuple[int, int], canvas: "Canvas | None", **how: Any) -> Iterator["Frame"]:
        from artcli.backends.dream.denoise import denoise

        return denoise(self.model, words, self.how, size, canvas=canvas, clip=self.clip, **how)

    # dry run --------------------------------------------------------------------------------------------------

    def estimate(self, job: PromptJob) -> None:
        """Time steps and a decoded picture, of large pictures at a small size, and say what the whole would cost."""
        words, taken, size = self._targets(job), self.how.taken, "x".join(map(str, self._shown))
        step, shown = self._seconds(words, job.seed)
        pictures = min(taken, self.request.reel.length) if job.film is not None else 1
        total = taken * step + pictures * shown
        total = min(total, self.request.time_limit or total) + self.finish.seconds(*self._shown)
        facts = {"model": self.how.model, "steps": taken, "size": size, **self._words(job.prompt)}
        studio.tell_cost(self.console, job.outputs, f"seed {job.seed}", total, **facts)

    def _seconds(self, words: Any, seed: int) -> tuple[float, float]:
        """Of a step, and to decode what it shows."""
        width, height = self.settings.width, self.settings.height
        canvas = self.edit.canvas if self.edit else None
        # What is within a mask is drawn as large as the model draws, whatever its size.
        scale = 1.0 if self.asked.mask is not None else min(1.0, _TRIED / max(width, height))
        small = max(32, round(width * scale)), max(32, round(height * scale))
        marks = [time.monotonic()]
        for frame in islice(self._draw(words, small, canvas and canvas.resized(*small), seed=seed), _STEPS):
            marks.append(time.monotonic())
            show = frame.image
        show()
        more = width * height / (small[0] * small[1])
        return more * (marks[-1] - marks[-2]), more * (time.monotonic() - marks[-1])


run = Studio.run
