"""Do the jobs of a batch that are left, one after another."""

import _thread
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli import device
from artcli.commands.batch import jobs, journal, sheet
from artcli.commands.batch.jobs import Task
from artcli.commands.batch.journal import Journal
from artcli.commands.shared import call, options, verb
from artcli.console import Console, counted, duration
from artcli.errors import ArtgenError, Interrupted, UsageError
from artcli.media import claims, files

if TYPE_CHECKING:
    from artcli.commands.batch.command import Options

_SHOWN = 10  # numbers of failed jobs that the last line names


def run(asked: "Options", settings: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """settings: defaults by verb and parameter.

    Raises UsageError: the file is wrong as a whole, or a batch of it is running.  ArtgenError: jobs failed, after all
    others were done.  Interrupted: after Ctrl-C.
    """
    limit = options.seconds(asked.time_limit)
    tasks = jobs.expand(sheet.read(asked.file), settings)
    log = log_of(asked)
    mine = device.my_share(tasks)
    with journal.alone(None if asked.dry_run else log, asked.file), device.alone():
        Batch(asked, Journal(log), console).work(mine, limit)


def log_of(asked: "Options") -> Path | None:
    """Where what is done is kept, None for nowhere."""
    return asked.log or (None if asked.file == "-" else Path(f"{asked.file}.done"))


class JobConsole(Console):
    """Says which job it is; keeps what was written."""

    def __init__(self, asked: "Options"):
        super().__init__(quiet=asked.quiet, json_lines=asked.as_json)
        self.foreseen: dict[str, float] = {}  # seconds by job, of a dry run
        self.begin(Task(""))

    def begin(self, task: Task) -> None:
        self.task = task
        self.written: list[Path] = []
        self.unfinished: list[Path] = []
        self.stopped = False  # before its end

    def warn(self, message: str) -> None:
        super().warn(f"job {self.task.number}: {message}")

    def error(self, message: str) -> None:
        super().error(f"job {self.task.number}: {message}")

    def result(self, paths: Sequence[Path | str], **facts: Any) -> None:
        self.written += map(Path, paths)
        if facts.get("finished") is False:
            self.stopped = True
            self.unfinished += map(Path, paths)
        if "dry_run" in facts:
            self.foreseen[self.task.number] = self.foreseen.get(self.task.number, 0.0) + facts["seconds"]
        super().result(paths, job=self.task.number, verb=self.task.verb, **facts)


class Alarm:
    """Stops the work as Ctrl-C does, which saves what there is.  rang: whether it has."""

    def __init__(self, seconds: float | None):
        self.seconds, self.rang = seconds, False

    def _ring(self) -> None:
        self.rang = True
        _thread.interrupt_main()

    @contextmanager
    def set(self) -> Iterator[None]:
        timer = None if self.seconds is None else threading.Timer(self.seconds, self._ring)
        if timer is None:
            yield
            return
        timer.daemon = True
        timer.start()
        try:
            with _interruptible():
                yield
        finally:
            timer.cancel()


@contextmanager
def _interruptible() -> Iterator[None]:
    """A shell has its background jobs ignore Ctrl-C; within the block they hear it, and with it an alarm."""
    deaf = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if deaf:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if deaf:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class Batch:
    """The jobs of this process, and how they went."""

    def __init__(self, asked: "Options", kept: Journal, console: Console):
        self.asked, self.kept, self.console = asked, kept, console
        self.jobs = JobConsole(asked)
        self.makers: dict[str, str] = {}  # of the results so far: the numbers of their jobs
        self.done, self.skipped = 0, 0
        self.failed: list[str] = []

    def work(self, tasks: Sequence[Task], limit: float | None) -> None:
        """Raises as `run` does."""
        started, alarm, self.total = time.monotonic(), Alarm(limit), len(tasks)
        left = self._sound(tasks)
        try:
            with alarm.set():
                for task in left:
                    if alarm.rang:
                        break
                    self._one(task)
        except (KeyboardInterrupt, Interrupted) as error:
            if not alarm.rang:
                raise Interrupted(f"interrupted in job {self.jobs.task.number}; {self._tally()}") from error
        finally:
            claims.release()
        self._report(time.monotonic() - started, alarm)

    def _sound(self, tasks: Sequence[Task]) -> list[Task]:
        """Those that are not done and can be asked for as they are written; what is wrong with others is told first."""
        left, before = [], self.skipped
        for task in tasks:
            if not task.problem and self._is_done(task):
                self.skipped += 1
            elif problem := task.problem or _problem(task):
                self._fail(task, problem)
            else:
                left.append(task)
        if self.skipped > before:
            self.console.info(f"batch: {self.skipped} of {self.total} are done already")
        return left

    def _last(self, task: Task) -> Mapping[str, Any] | None:
        """What there is to go on from."""
        return None if self.asked.force else self.kept.last(task.key)

    def _is_done(self, task: Task) -> bool:
        last = self._last(task)
        if last is None or last["state"] != "done" or not all(now for _, now in journal.same(last["outputs"])):
            return False
        self._remember(task, last["outputs"])
        return True

    # one job --------------------------------------------------------------------------------------------------------

    def _one(self, task: Task) -> None:
        self.jobs.begin(task)
        place = self.done + self.skipped + len(self.failed) + 1
        self.console.info(f"batch: job {task.number} ({place} of {self.total}): {task.title}")
        try:
            self._carry_out(task)
        except (Interrupted, KeyboardInterrupt):
            self._note(task, "stopped", unfinished=journal.outputs(self.jobs.unfinished))
            raise
        except ArtgenError as error:
            self._fail(task, str(error))
        except Exception as error:  # a bug, or memory that is not enough: other jobs may do without
            if not device.is_out_of_memory(error):
                traceback.print_exc()
            line = " ".join(str(error).split()) or "without a word"
            self._fail(task, f"unexpected {type(error).__name__}: {line}")
        finally:
            claims.release()

    def _carry_out(self, task: Task) -> None:
        request = self._request(task)
        self._check_places(task, request)
        self._note(task, "begun")
        call.carry_out(request, self.jobs)
        if self.jobs.stopped:
            self._note(task, "stopped", unfinished=journal.outputs(self.jobs.unfinished))
            return
        written = dict.fromkeys([*request.known_outputs, *self.jobs.written])
        self._remember(task, written)
        self._note(task, "done", outputs={} if self.asked.dry_run else journal.outputs(written))
        self.done += 1

    def _check_places(self, task: Task, request: Any) -> None:
        """Raises UsageError: a result would replace another job's, which only the job itself may ask for."""
        said = {**task.defaults, **task.values}
        if said.get("force", False) or said.get("skip_existing", False):
            return
        for path in request.known_outputs:
            if (other := self.makers.get(os.path.realpath(path), task.number)) != task.number:
                raise UsageError(f"{path} is the result of job {other}: give each an out of its own")

    def _remember(self, task: Task, written: Iterable[Path | str]) -> None:
        self.makers |= {os.path.realpath(path): task.number for path in written}

    def _request(self, task: Task) -> Any:
        """What to do of a job: all, or what is left of it.  Raises UsageError for what cannot work."""
        kind, known = call.request_of(task.verb), sheet.parameters(task.verb)
        values = dict(task.values)
        if task.mark:
            values["out"] = _marked(task, kind.from_values(values, task.defaults), dry=self.asked.dry_run)
        replaces = {**task.defaults, **values}.get("force", False)
        last = self._last(task)
        if self.asked.dry_run:
            values["dry_run"] = True
        elif self.asked.force and "force" in known:
            values["force"] = True
        elif last is not None and self._are_ours(last):
            if "skip_existing" in known and not replaces:
                values["skip_existing"] = True
            if kind.from_values(values, task.defaults).waits:
                values["resume"] = True
        return kind.from_values(values, task.defaults)

    def _are_ours(self, last: Mapping[str, Any]) -> bool:
        """Whether what lies at the names of a job that was begun is its own; half a picture is put out of the way.

        One that has changed since is somebody's work.
        """
        told = last.get("unfinished", {}).items()
        half = {Path(name): size for name, (size, _) in told if not Path(f"{name}.resume").is_dir()}
        there = [path for path in half if path.is_file()]
        if any(path.stat().st_size != half[path] for path in there):
            return False
        files.discard(*there)
        return all(now is not False for _, now in journal.same(last.get("outputs", {})))

    def _note(self, task: Task, state: journal.State, **facts: Any) -> None:
        if not self.asked.dry_run:
            self.kept.note(task.key, task.number, state, **facts)

    def _fail(self, task: Task, problem: str) -> None:
        half = journal.outputs(self.jobs.unfinished)
        whole = {name: told for name, told in journal.outputs(self.jobs.written).items() if name not in half}
        self.jobs.begin(task)
        self.failed.append(task.number)
        line = " ".join(problem.split())
        self.jobs.error(line)
        if self.asked.as_json:
            self.jobs.result([], error=line)
        if not task.problem:
            before = self.kept.last(task.key) or {}
            whole, half = {**before.get("outputs", {}), **whole}, {**before.get("unfinished", {}), **half}
            self._note(task, "failed", outputs=whole, unfinished=half, goes_on=bool(before or whole or half))

    # at the end -----------------------------------------------------------------------------------------------------

    def _tally(self) -> str:
        """`3 done, 1 done before, 2 left`."""
        left = self.total - self.done - self.skipped - len(self.failed)
        told = {"done": self.done, "done before": self.skipped, "failed": len(self.failed), "left": left}
        return ", ".join(f"{number} {what}" for what, number in told.items() if number or what == "done")

    def _report(self, seconds: float, alarm: Alarm) -> None:
        left = self.total - self.done - self.skipped - len(self.failed)
        foreseen = self.jobs.foreseen
        if self.asked.as_json:
            told = {"done": self.done, "skipped": self.skipped, "failed": len(self.failed), "left": left}
            cost = {"foreseen": len(foreseen), "seconds": round(sum(foreseen.values()), 1)} if foreseen else {}
            self.console.result([], **told, **cost)
        if foreseen:
            jobs_foreseen = f"{len(foreseen)} of {counted(self.total, 'job')}"
            self.console.info(f"batch: about {duration(sum(foreseen.values()))} for {jobs_foreseen}, one after another")
        if alarm.rang and left:
            self.console.info("batch: the time limit is reached; the same line goes on")
        if self.failed:
            more = f" and {len(self.failed) - _SHOWN} more" if len(self.failed) > _SHOWN else ""
            which = f"{', '.join(self.failed[:_SHOWN])}{more}"
            raise ArtgenError(f"{len(self.failed)} of {counted(self.total, 'job')} failed ({which}): {self._tally()}")
        self.console.info(f"batch: {self._tally()}, in {duration(seconds)}")


def _problem(task: Task) -> str:
    """What is wrong with a job as it is written, whatever files there are; "" for nothing."""
    if {"from_file"} & {*task.values, *task.defaults}:  # which a job before it may make
        return ""
    try:
        verb.read(task.verb, call.request_of(task.verb).kind, task.values, task.defaults)
    except UsageError as error:
        return str(error)
    return ""


def _marked(task: Task, made: Any, *, dry: bool) -> Any:
    """--out with the mark behind its name; as it is where one call writes several."""
    given = {**task.defaults, **task.values}.get("out")
    if task.verb == "train":  # which numbers its folders itself
        return given if given is None else _behind(Path(given), task.mark)
    targets = [made.out] if hasattr(made, "out") else list(dict.fromkeys(job.out for job in made.jobs))
    if len(targets) != 1:
        return given
    if isinstance(targets[0], files.Folder) and not dry:  # one that would be made
        targets[0].parent.mkdir(parents=True, exist_ok=True)
    return _behind(targets[0], task.mark)


def _behind(path: Path, mark: str) -> str:
    return str(path.with_name(f"{path.stem}-{mark}{path.suffix}"))
