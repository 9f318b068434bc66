"""What a batch has done, line by line beside its file, so that the next start does only what is left."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from artcli.errors import ArtgenError, UsageError
from artcli.media import files

State = Literal["begun", "stopped", "failed", "done"]


class Journal:
    """path: where it is kept, None for nowhere.  Several processes may write to one at once."""

    def __init__(self, path: Path | None):
        self.path = path
        self._last: dict[str, Mapping[str, Any]] = {}
        if path is not None and path.exists():
            try:
                text = path.read_bytes().decode("utf-8", "surrogateescape")  # names of files may be no text
            except OSError as error:
                raise UsageError(f"{path} cannot be read: {files.reason(error)}") from error
            self._last = {entry["key"]: entry for entry in _entries(text.split("\n"))}
            if text.strip() and not self._last and not text.startswith("\n{"):
                raise UsageError(f"{path} is not the log of a batch: give --log another name")

    def last(self, key: str) -> Mapping[str, Any] | None:
        """What was noted of a job the last time, None for nothing to go on from: one that failed without a result."""
        found = self._last.get(key)
        return None if found is None or (found["state"] == "failed" and not found.get("goes_on")) else found

    def note(self, key: str, number: str, state: State, **facts: Any) -> None:
        """Raises UsageError: it cannot be written."""
        if self.path is None:
            return
        line = json.dumps({"key": key, "job": number, "state": state, **facts}, ensure_ascii=False)
        try:
            # With a line's end in front: what a killed process wrote last may lack its own.
            with self.path.open("ab", buffering=0) as file:
                file.write(f"\n{line}\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be written: {files.reason(error)}; --log FILE puts it elsewhere"
            ) from error


@contextmanager
def alone(path: Path | None, batch: str) -> Iterator[None]:
    """Only one process, or one of each rank, works on a batch.  Raises UsageError: another one does."""
    if path is None:
        yield
        return
    from filelock import FileLock, Timeout

    rank = os.environ.get("RANK", "0")
    lock = FileLock(path.with_name(f".{path.name}.lock{'' if rank == '0' else rank}"), timeout=0)
    try:
        lock.acquire()  # which the system takes back from a killed process
    except Timeout:
        raise UsageError(f"a batch of {batch} is running already; wait until it is done") from None
    except OSError as error:
        raise UsageError(
            f"cannot write into {path.parent}: {files.reason(error)}; --log FILE puts what is done elsewhere"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _entries(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Whole ones: a killed process may have left half a line."""
    for line in lines:
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict) and {"key", "state"} <= set(found):
            yield found


def outputs(paths: Iterable[Path]) -> dict[str, Any]:
    """Of those that are there: size and recipe, by which they are known again."""
    return {str(path): [path.stat().st_size, _recipe(path)] for path in paths if path.exists()}


def same(told: Mapping[str, Any]) -> Iterator[tuple[Path, bool | None]]:
    """Of noted outputs, whether each is still of the recipe that it had; None for one that is not there.

    What carries no recipe is taken as it is: an editor may have removed it.
    """
    for name, (size, recipe) in told.items():
        path = Path(name)
        if not path.exists():
            yield path, None
        elif path.stat().st_size == size:
            yield path, True
        else:
            now = _recipe(path)
            yield path, now is None or recipe is None or now == recipe


def _recipe(path: Path) -> str | None:
    """A digest of the recipe that a file carries; None without one."""
    from artcli.media import record

    if path.suffix.lower() not in (*files.IMAGE_SUFFIXES, *files.FILM_SUFFIXES) or not path.is_file():
        return None
    try:
        return hashlib.sha256(json.dumps(record.read(path), sort_keys=True).encode()).hexdigest()[:16]
    except ArtgenError:
        return None
