"""`artgen batch --watch FOLDER`: the jobs of a file for each picture or film that is dropped into a folder."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artcli.commands.batch import jobs, journal, sheet
from artcli.commands.batch.jobs import Task
from artcli.commands.batch.journal import Journal
from artcli.commands.batch.run import Alarm, Batch, log_of
from artcli.commands.batch.sheet import Sheet, parameters
from artcli.commands.shared import options
from artcli.console import Console
from artcli.errors import Interrupted, UsageError
from artcli.media import claims, files

if TYPE_CHECKING:
    from artcli.commands.batch.command import Options

NAME = "file"  # {file} in a job stands for what was dropped
LOOK_EVERY = 1.0  # seconds
STILL_FOR = 2.0  # seconds without a change after which a file counts as whole


def run(asked: "Options", settings: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """As `batch.run.run`, for what comes into a folder."""
    limit, found, log = options.seconds(asked.time_limit), sheet.read(asked.file), log_of(asked)
    with journal.alone(None if asked.dry_run else log, asked.file):
        Watch(asked, Journal(log), console, found, settings).watch(limit)


class Stamp(NamedTuple):
    """What changes when a file is written: bytes, and nanoseconds."""

    size: int
    time: int


class Inbox:
    """A folder, and since when each picture and film in it is as it is."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._since: dict[Path, tuple[Stamp, float]] = {}
        self._given: dict[Path, Stamp] = {}

    def look(self, now: float, still_for: float = STILL_FOR) -> list[tuple[Path, Stamp]]:
        """What is whole and was not given yet as it is now, the oldest first.  now: of `time.monotonic`.

        One that a program writes with long breaks may be given too early, and is given again when it has changed.
        """
        there = dict(_stamps(self.folder))
        kept = {path: self._since.get(path) for path in there}
        self._since = {
            path: before if before is not None and before[0] == there[path] else (there[path], now)
            for path, before in kept.items()
        }
        ready = [
            (path, stamp)
            for path, (stamp, since) in self._since.items()
            if now - since >= still_for and stamp.size and self._given.get(path) != stamp
        ]
        self._given = {path: stamp for path, stamp in self._given.items() if path in there} | dict(ready)
        return sorted(ready, key=lambda each: (each[1].time, each[0]))


def _stamps(folder: Path) -> Iterator[tuple[Path, Stamp]]:
    """Of pictures and films.  Raises UsageError: the folder is gone or cannot be read."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {files.reason(error)}") from error
    for entry in entries:
        known = Path(entry.name).suffix.lower() in (*files.IMAGE_SUFFIXES, *files.FILM_SUFFIXES)
        with suppress(FileNotFoundError):  # it has gone away since
            if known and not entry.name.startswith(".") and entry.is_file():
                found = entry.stat()
                yield folder / entry.name, Stamp(found.st_size, found.st_mtime_ns)


class Watch(Batch):
    """What comes into the folder is done until a signal or the time limit ends it."""

    def __init__(
        self,
        asked: "Options",
        kept: Journal,
        console: Console,
        found: Sheet,
        settings: Mapping[str, Mapping[str, Any]],
    ):
        super().__init__(asked, kept, console)
        self.found, self.settings = found, settings
        self.folder = asked.watch or Path()
        self.inbox = Inbox(self.folder)
        self.stamps: dict[str, Stamp] = {}  # by task, as what follows
        self.noted: dict[str, Mapping[str, Any]] = {}
        self.total = 0
        _check(found, settings, self.folder)

    def watch(self, limit: float | None) -> None:
        """Raises Interrupted after Ctrl-C and SIGTERM; ArtgenError when the time is over and jobs have failed."""
        started, alarm = time.monotonic(), Alarm(limit)
        if not self.asked.dry_run:
            self.console.info(f"batch: watching {self.folder}; Ctrl-C ends it")
        self.jobs.begin(Task(""))
        try:
            with alarm.set():
                while not alarm.rang:
                    self._do(self.inbox.look(time.monotonic(), 0.0 if self.asked.dry_run else STILL_FOR), alarm)
                    if self.asked.dry_run:
                        break
                    time.sleep(LOOK_EVERY)
        except (KeyboardInterrupt, Interrupted) as error:
            if not alarm.rang:
                where = f" in job {self.jobs.task.number}" if self.jobs.task.number else ""
                raise Interrupted(f"interrupted{where}; {self._tally()}") from error
        finally:
            claims.release()
        self._report(time.monotonic() - started, alarm)

    def _do(self, dropped: Sequence[tuple[Path, Stamp]], alarm: Alarm) -> None:
        tasks = [task for path, stamp in dropped for task in self._tasks(path, stamp)]
        self.total += len(tasks)
        for task in self._sound(tasks):
            if alarm.rang:
                return
            self._one(task)
        self.jobs.begin(Task(""))

    def _tasks(self, path: Path, stamp: Stamp) -> list[Task]:
        made = _of(self.found, self.settings, path)
        several = len(made) > 1
        made = [replace(task, number=f"{path.name} {task.number}" if several else path.name) for task in made]
        self.stamps |= {task.key: stamp for task in made}
        return made

    # what was done is done, wherever its results are now, until something else is dropped under its name --------------

    def _before(self, task: Task) -> Mapping[str, Any] | None:
        """What there is of the task, if need be of what had its file's name before."""
        return self.noted.get(task.key) or super()._last(task)

    def _last(self, task: Task) -> Mapping[str, Any] | None:
        found = self._before(task)
        return found if found is not None and found.get("dropped") == [*self.stamps[task.key]] else None

    def _is_done(self, task: Task) -> bool:
        last = self._last(task)
        if last is None or last["state"] != "done":
            return False
        self._remember(task, last["outputs"])
        return True

    def _request(self, task: Task) -> Any:
        before = self._before(task)
        anew = before is not None and self._last(task) is None and self._are_ours(before)
        if anew and "force" in parameters(task.verb):  # the result of what had this name before is replaced
            task = replace(task, values={**task.values, "force": True})
        return super()._request(task)

    def _note(self, task: Task, state: journal.State, **facts: Any) -> None:
        facts["dropped"] = [*self.stamps[task.key]]
        super()._note(task, state, **facts)
        self.noted[task.key] = {**self.noted.get(task.key, {}), "state": state, **facts}


def _of(found: Sheet, settings: Mapping[str, Mapping[str, Any]], path: Path) -> list[Task]:
    return jobs.expand(replace(found, variables={**found.variables, NAME: str(path)}), settings)


def _check(found: Sheet, settings: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Raises UsageError: no such folder, or jobs that are not about what is dropped, or drop their own results."""
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--watch is for one process, not for torchrun")
    if NAME in found.variables:
        raise UsageError(f"{{{NAME}}} stands for what is dropped into {folder}: give the variable another name")
    for number, job in enumerate(found.jobs, 1):
        if not isinstance(job, str) and not _names_it([job, found.defaults, found.variables]):
            raise UsageError(f"job {number} does not name {{{NAME}}}, which stands for what is dropped into {folder}")
    for task in _of(found, settings, folder / "dropped.png"):
        if task.problem:
            raise UsageError(f"job {task.number}: {task.problem}")
        out = {**task.defaults, **task.values}.get("out")
        if out is None or os.path.realpath(folder) in (os.path.realpath(out), os.path.realpath(Path(out).parent)):
            where = "needs an out" if out is None else f"has out = '{out}'"
            raise UsageError(f"job {task.number} {where}: results have to go to another folder than {folder}")


def _names_it(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _names_it(list(value.values()))
    if isinstance(value, list):
        return any(map(_names_it, value))
    return NAME in jobs.named(value)
