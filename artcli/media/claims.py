"""Outputs that a run has taken, from the check of their names to its end: no two runs work on one file.

A taken name is a small hidden file beside the output, which says who has it.  It goes with the run; one that a killed
process has left is known by its process not being there.  So are temporary files, which are removed then.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artcli.errors import UsageError
from artcli.media import files

_TRIES = 5
_NEW = 10.0  # seconds within which a mark without a word is one that is just being made
_CLOCK = 2.0  # seconds by which clocks of files and processes may differ
_held: list[Path] = []


def take(paths: Iterable[Path | files.Stdio], *, force: bool, skip_existing: bool = False) -> None:
    """Take outputs until `release`; those that `skip_existing` leaves alone are not taken.

    Raises UsageError: what `files.check_outputs` refuses, and that another run, which is named, has one of them.
    """
    wanted = list(paths)
    files.check_outputs(wanted, force=force, skip_existing=skip_existing)
    for folder in {Path(os.path.realpath(path)).parent for path in wanted if str(path) != "-"}:
        sweep(folder)
    if os.environ.get("RANK", "0") != "0":  # of several processes of one run the first takes the names for all
        return
    for path in wanted:
        if not isinstance(path, Path) or str(path) == "-":
            continue
        if skip_existing and path.exists():
            _clear(path)
        else:
            _take(path)
    files.check_outputs(wanted, force=force, skip_existing=skip_existing)  # a run may have ended in between


@contextmanager
def released() -> Iterator[None]:
    """Give back at the end what was taken within the block."""
    before = set(_held)
    try:
        yield
    finally:
        for mark in [mark for mark in _held if mark not in before]:
            _held.remove(mark)
            files.discard(mark)


def release() -> None:
    """Give back all that this process has taken."""
    while _held:
        files.discard(_held.pop())


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes of this machine have left in a folder."""
    for path in folder.glob(".artgen-*"):
        with suppress(OSError):  # it has gone since
            if (pid := files.writer(path)) is not None and not _lives(pid, path.stat().st_mtime):
                files.discard(path)


def _clear(path: Path) -> None:
    """Remove what a run that was killed behind its last write has left beside a result."""
    mark = _mark(path)
    if mark not in _held and mark.exists() and _owner(mark) is None:
        files.discard(mark)


def _take(path: Path) -> None:
    mark = _mark(path)
    if mark in _held:
        return
    for _ in range(_TRIES):
        try:
            with mark.open("x", encoding="utf-8") as file:
                _held.append(mark)
                json.dump({"pid": os.getpid(), "host": platform.node(), "command": _command()}, file)
            return
        except FileExistsError:
            if (owner := _owner(mark)) is not None:
                raise UsageError(
                    f"{path} is in work: {owner} writes it; wait until that is done, or choose another --out"
                ) from None
            files.discard(mark)
        except OSError as error:
            raise UsageError(f"cannot write into {path.parent}: {files.reason(error)}.") from error
    raise UsageError(f"{path} is in work: {mark} cannot be taken; remove it if nothing else runs")


def _mark(path: Path) -> Path:
    real = Path(os.path.realpath(path))
    name = os.path.normcase(real.name).casefold()  # some disks do not tell A.png from a.png
    return real.with_name(f".artgen-{hashlib.sha1(os.fsencode(name)).hexdigest()[:16]}.lock")


def _command() -> str:
    line = shlex.join(["artgen", *sys.argv[1:]])
    return line if len(line) <= 100 else f"{line[:97]}..."


def _owner(mark: Path) -> str | None:
    """Who has a mark; None for one that is left over, or has gone."""
    try:
        text, made = mark.read_text(encoding="utf-8"), mark.stat().st_mtime
        told = json.loads(text)
        pid, host, command = int(told["pid"]), str(told["host"]), str(told["command"])
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):
        return "another run" if time.time() - made < _NEW else None
    if host != platform.node():  # whether it still runs cannot be seen from here
        return f"process {pid} on {host} (`{command}`; if it is gone, remove {mark})"
    return f"process {pid} (`{command}`)" if pid != os.getpid() and _lives(pid, made) else None


def _lives(pid: int, made: float) -> bool:
    """Whether that process is there, and is not one younger than its file that was given the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        there = process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= made + _CLOCK
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return there
