"""`artgen dream --drawer diffusers`: pictures by Stable Diffusion."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from artcli import weights
from artcli.backends.dream import prompts as prompt_syntax
from artcli.commands.dream import run as optimised
from artcli.commands.dream.request import PromptJob, Request
from artcli.commands.shared import studio
from artcli.console import Console, counted

if TYPE_CHECKING:
    from artcli.backends.frame import Frame

_TRIED = 2  # steps of a dry run


class Studio(optimised.Studio):
    """The loaded model, and a CLIP where one leads."""

    def prepare(self) -> None:
        from artcli.pretrained import clip, pipelines

        how, self.told = self.request.denoising, set[str]()
        self.how = how
        self.usual_side = pipelines.side(pipelines.get(how.model, **self.where))
        self.largest_init_side = max(self.largest_init_side, self.usual_side)
        width, height = self.settle()
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
        from artcli.backends.dream.denoise import denoise

        size, canvas = (self.settings.width, self.settings.height), self.edit.canvas if self.edit else None
        return denoise(self.model, targets, self.how, size, seed=seed, canvas=canvas, clip=self.clip, state=state)

    # dry run --------------------------------------------------------------------------------------------------

    def estimate(self, job: PromptJob) -> None:
        """Time a step and a decoded picture, and say what the whole would cost."""
        words = self._targets(job)
        taken, size = self.how.taken, "x".join(map(str, self._shown))
        marks = [time.monotonic()]
        for frame in islice(self._frames(job, words, job.seed, None), _TRIED):
            marks.append(time.monotonic())
        frame.image()
        shown = time.monotonic() - marks[-1]
        pictures = self.request.reel.length if job.film is not None else 1
        total = marks[1] - marks[0] + (taken - 1) * (marks[-1] - marks[-2]) + min(pictures, taken) * shown
        total = min(total, self.request.time_limit or total) + self.finish.seconds(*self._shown)
        facts = {"model": self.how.model, "steps": taken, "size": size, **self._words(job.prompt)}
        studio.tell_cost(self.console, job.outputs, f"seed {job.seed}", total, **facts)


run = Studio.run
