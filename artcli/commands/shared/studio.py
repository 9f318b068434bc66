"""What the verbs that make pictures do alike: load once, work on job after job, record, resume, report."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from artcli import device, weights
from artcli.commands.shared import costs, finish, jobs, recipe
from artcli.commands.shared.loaded import once
from artcli.console import Console, counted, duration
from artcli.errors import ArtgenError, Interrupted
from artcli.media import files

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import torch

    from artcli.backends.frame import Frame
    from artcli.commands.shared.film import Reel
    from artcli.commands.shared.loop import Film, Hooks, Outcome, Stop
    from artcli.commands.shared.unfinished import Unfinished
    from artcli.media.strokes import Painting

Item = TypeVar("Item")
# Their loaders say what to do where an installation lacks them.
_OURS = {"adain", "clip-mini", "diffusion-mini", "monet-mini", "painter", "upscaler", "vgg-slim", "vqgan-mini"}


@dataclass(frozen=True)
class Look:
    """How what a backend draws is shown.

    size: (width, height).  to_pixels: (3, H, W) in 0..1 to (H, W, 3) uint8.  alpha: (H, W) in 0..1, None for none.
    exif: of the photo that it comes from.
    """

    size: tuple[int, int]
    to_pixels: "Callable[[torch.Tensor], np.ndarray]"
    alpha: "np.ndarray | None"
    exif: bytes | None

    def save(self, path: Path, pixels: "np.ndarray") -> None:
        """Write a picture of a run that is not at its end."""
        from artcli.media import images

        images.save(path, pixels, alpha=self.alpha)


class Studio:
    """What is loaded once for the jobs of a call.

    A verb's has `prepare`, `expect`, `estimate` and `work`.  weights: fingerprints by name of the models that decide
    the result, with which an interrupted run has to go on.  foreseen: a dry run that loads nothing, as the table of
    costs has all that it needs.
    """

    label: ClassVar[str]  # in front of messages

    def __init__(self, request: Any, console: Console, stop: "Stop", foreseen: bool):
        self.request, self.console, self.stop, self.asked = request, console, stop, request.options
        self.weights: dict[str, str] = {}
        self.foreseen = foreseen
        (self.expect if self.foreseen else self.prepare)()

    @classmethod
    def run(cls, request: Any, console: Console) -> None:
        """Load what the jobs need, then do one after another, or only estimate them in a dry run.

        A signal while loading or estimating stops at once.  A failing job of a batch does not stop the others: raises
        ArtgenError at the end.  Raises Interrupted after Ctrl-C.
        """
        asked, wanted, failed = request.options, list(request.jobs), 0
        if asked.dry_run:
            wanted = jobs.would_be_left(wanted, asked, cls.label, console, request.beside)
        else:
            wanted, failed = jobs.left(wanted, asked, cls.label, console, request.beside)
        if mine := device.my_share(wanted):
            load_and_work(mine, request, console, cls, failed)
        elif failed:
            raise _some_failed(failed, failed)

    @classmethod
    def before_loading(cls, request: Any, mine: Sequence[Any], console: Console) -> None:
        """What does not wait for torch.  Raises UsageError or WeightsError: what the jobs need is not there."""
        weights.refuse_unknown(cls.needed(request) - _OURS, request.options.folders)
        if len(request.jobs) == 1 and cls.reads(mine[0]):  # of several, a bad one does not stop the others
            from artcli.media import decode

            decode.size_of(mine[0].source)

    @classmethod
    def needed(cls, request: Any) -> set[str]:
        """Names of weights, as users give them."""
        return {request.enlargement.net}

    @classmethod
    def can_foresee(cls, request: Any) -> bool:
        """Whether this is a dry run of which all is in the table of costs, so that torch is not needed.

        Raises WeightsError: a bundled file is damaged.
        """
        asked = request.options
        if not asked.dry_run or request.recorded_weights:  # to compare those, the weights have to be read
            return False
        return costs.known(cls.needed(request), asked.device, asked.folders)

    @classmethod
    def reads(cls, job: Any) -> bool:
        """Whether a job begins with a picture in a file, which can be read again."""
        if not isinstance(job, jobs.InputJob) or job.moving or getattr(job, "replays", False):
            return False
        return isinstance(job.source, Path) and files.kind(job.source) != "other"

    def prepare(self) -> None:
        """Load the models, and read what all jobs share."""
        raise NotImplementedError

    def expect(self) -> None:
        """In place of `prepare` where `foreseen`: check what does not need the models, and name these."""
        raise NotImplementedError

    def estimate(self, job: Any) -> None:
        """Say what the job would cost."""
        raise NotImplementedError

    def work(self, job: Any) -> None:
        """Do the job, and write what comes of it."""
        raise NotImplementedError

    def tell(self, message: str) -> None:
        self.console.info(f"{self.label}: {message}")

    # loading --------------------------------------------------------------------------------------------------------

    @cached_property
    def device(self) -> "torch.device":
        return device.choose(self.asked.device)

    def load(self, loader: Callable[..., Any], spec: str, **how: Any) -> Any:
        """A model by its family's `load`, where this call looks for weights.  Raises as that does."""
        return once(loader, spec, self.device, **self.where, **how)

    @property
    def where(self) -> dict[str, Any]:
        """Where weights are looked for, as every `load` takes it."""
        return {"weights_dirs": self.asked.folders, "offline": self.asked.offline}

    @cached_property
    def finish(self) -> finish.Chain:
        """What pictures pass through before they are written."""
        if self.foreseen:
            return finish.foreseen(self.request.finishing)
        return finish.load(self.request.finishing, self.device, **self.where)

    @property
    def recorded(self) -> dict[str, str]:
        """Fingerprints of all that made a picture."""
        return {**self.weights, **self.finish.weights}

    def tell_loaded(self, what: str, more: str = "") -> None:
        recipe.tell_other_weights(self.recorded, self.request.recorded_weights, self.console.warn)
        where = device.describe_processor(device.threads()) if self.foreseen else device.describe(self.device)
        self.tell(f"{what}, {where}{more}")

    # the record and what is left of an interrupted run --------------------------------------------------------------

    def record(self, weights: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any] | None:
        """The record of a job.  changes: as `recipe.of_job` has them."""
        return recipe.of_job(self.request.recipe, self.recorded if weights is None else weights, **changes)

    def saved(self, unfinished: "Unfinished", unit: str = "step") -> Mapping[str, Any] | None:
        """What an interrupted run saved, where this call goes on with one.  Raises as `Unfinished.load` does."""
        saved = unfinished.load() if self.asked.resume else None
        if saved is not None:
            self.tell(f"going on from {unit} {saved['state']['step']}")
        return saved

    # pictures that come about step by step --------------------------------------------------------------------------

    def make(
        self,
        job: jobs.Job,
        frames: "Iterator[Frame]",
        look: Look,
        reel: "Reel",
        record: dict[str, Any] | None,
        unfinished: "Unfinished",
        saved: Mapping[str, Any] | None,
        *,
        keep: Mapping[str, Any] | None = None,
        **limits: Any,
    ) -> "tuple[Outcome, Painting | None, int | None]":
        """Follow the frames with a preview, snapshots and the film; write the last one.

        Also its strokes, where it was painted, and the number of the film's frames.

        keep: for a resume, beside the state.  limits: of `Hooks`.
        """
        from artcli.commands.shared.loop import follow

        done = None if saved is None else saved["state"]["step"]
        film: AbstractContextManager[Any] = nullcontext()
        if job.film is not None:
            film = reel.filming(job.film, look.size, record, self.console, job.unfinished, done)
        with self._previewing(job) as preview, film as opened:
            limits["save_state"] = None if job.streamed else lambda state: unfinished.save(**(keep or {}), state=state)
            outcome = follow(frames, self._hooks(job, look, reel.total, opened, preview, **limits), self.stop)
            _, painting = self.finish.save(
                job.picture, outcome.pixels, alpha=look.alpha, recipe=record, photo=look.exif
            )
            shown = opened.writer.frames if opened else None
            if opened is not None and outcome.stopped is None:
                self.end_film(opened, reel.hold, painting)
        if outcome.stopped is None:
            shutil.rmtree(job.unfinished, ignore_errors=True)
        return outcome, painting, shown

    def _hooks(
        self, job: jobs.Job, look: Look, total: int, opened: "Film | None", preview: Path | None, **more: Any
    ) -> "Hooks":
        from artcli.commands.shared.loop import Hooks

        return Hooks(
            self.console, self.label, total, look.to_pixels, opened,
            preview=None if preview is None else lambda pixels: look.save(preview, pixels),
            snapshot=lambda step, pixels: look.save(job.at_step(step), pixels),
            save_every=self.asked.save_every,
            **more,
        )  # fmt: skip

    def end_film(self, opened: "Film", rest: float, painting: "Painting | None") -> None:
        """What a film shows behind its last step, when the picture is written.  rest: seconds on its last frame."""
        opened.writer.hold(rest)

    def redraw(
        self,
        job: jobs.InputJob,
        frames: "Iterator[Any]",
        draw: Callable[[Any], "np.ndarray"],
        record: dict[str, Any] | None,
        *,
        size: tuple[int, int] | None = None,
        unfinished: "Unfinished | None" = None,
        saved: Mapping[str, Any] | None = None,
        state: Callable[[], Mapping[str, Any]] = dict,
    ) -> "Outcome":
        """A film of a film, frame by frame, with its sound.

        frames: of the source.  draw: one to (H, W, 3) uint8.  size: (width, height) of these, None for the source's.
        state: what `draw` goes on from.
        """
        from artcli.commands.shared import film
        from artcli.media import video

        info, done = video.probe(job.path), None if saved is None else saved["state"]["step"]
        total = video.frame_count(job.path, info)
        return film.write(
            job.out,
            film.Reel(total, total, info.fps, sound=job.path, hold=0.0),
            size or info.size,
            lambda opened: film.redrawn(frames, draw, opened, done=done or 0, state=state),
            label=self.label,
            recipe=record,
            console=self.console,
            stop=self.stop,
            unfinished=unfinished,
            done=done,
        )

    @contextmanager
    def _previewing(self, job: jobs.Job) -> Iterator[Path | None]:
        """Where the preview goes while it is needed; None without one, and where a file of the user has its name."""
        if not self.asked.preview or job.streamed:
            yield None
        elif job.preview.exists() and not (self.asked.force or self.asked.resume):
            self.tell(f"{job.preview} exists, so there is no preview (--force replaces it)")
            yield None
        else:
            self.tell(f"preview in {job.preview}")
            try:
                yield job.preview
            finally:
                job.preview.unlink(missing_ok=True)

    def tell_stop(self, job: jobs.Job, outcome: "Outcome", total: int) -> None:
        """Say where a run stopped before its end, if it did.  Raises Interrupted when the user stopped it."""
        if outcome.stopped is None:
            return
        later = "" if job.streamed else "; saved, --resume goes on from here"
        note = f"{outcome.stopped} at step {outcome.step} of {total}{later}"
        if outcome.stopped == "interrupted":
            raise Interrupted(note)
        self.tell(note)


def load_and_work(mine: Sequence[Any], request: Any, console: Console, studio: type[Studio], failed: int = 0) -> None:
    """failed: how many more there would be."""
    from artcli.commands.shared.loop import interruptible

    batch = len(request.jobs) > 1
    studio.before_loading(request, mine, console)
    with interruptible() as stop:
        with stop.at_once():
            foreseen = studio.can_foresee(request)
            if not (foreseen or all(getattr(job, "replays", False) for job in mine)):
                device.import_torch()
            made = studio(request, console, stop, foreseen)
            if request.options.dry_run:
                return one_by_one(mine, made.estimate, console, batch=batch)
        one_by_one(mine, made.work, console, batch=batch, failed=failed)


def one_by_one(
    mine: Sequence[jobs.Job], do: Callable[[Any], None], console: Console, *, batch: bool, failed: int = 0
) -> None:
    """batch: also a single job is what is left of several; it fails as they do.  failed: jobs before these."""
    total = failed + len(mine)
    for job in mine:
        try:
            do(job)
        except Interrupted:
            raise
        except ArtgenError as error:
            if not batch:
                raise
            named = str(error).startswith(str(job.name))
            console.error(str(error) if named else f"{job.name}: {error}")
            failed += 1
    if failed:
        raise _some_failed(failed, total)


def _some_failed(failed: int, total: int) -> ArtgenError:
    rest = "; the others are done" if failed < total else ""
    return ArtgenError(f"{failed} of {counted(total, 'picture')} failed{rest}")


def tell_cost(
    console: Console, outputs: Sequence[Path], what: str, seconds: float, pixels: int = 0, held: float | None = None,
    **facts: object,
) -> None:  # fmt: skip
    """The result of a dry run.  pixels: of a picture that is held beside the models.  held: GB that these take, None
    for what the process holds now."""
    if held is None:
        import psutil

        held = psutil.Process().memory_info().rss / 1e9
    memory = held + 60 * pixels / 1e9
    console.info(f"dry run: {what}, about {duration(seconds)}, {memory:.1f} GB; would write")
    console.result(outputs, dry_run=True, **facts, seconds=round(seconds, 1), memory_gb=round(memory, 2))
