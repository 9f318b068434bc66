"""The folder of cached pictures, and the removal of old ones."""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from artcli import weights

MAX_BYTES = 20_000_000_000  # of all caches together; the least recently used go first


def folder() -> Path:
    """`pictures` in `$ARTGEN_CACHE_DIR` or the user's cache folder; one folder per cache, `.NAME-*` unfinished."""
    return weights.cache_dir() / "pictures"


def lock_of(place: Path) -> Path:
    """The lock file of the cache at `place`: who holds it may build or remove it."""
    return place.with_name(f"{place.name}.lock")


def trim(limit: int = MAX_BYTES, keep: Path | None = None) -> int:
    """Remove the least recently used caches until all are at most `limit` bytes or only `keep` is left; bytes freed.

    What killed builds have left goes too.  A process that trains on a removed cache keeps its pictures: the system
    frees them when it ends.
    """
    _sweep()
    entries = [entry for entry in _folders() if entry != keep and not entry.name.startswith(".")]
    sizes = {entry: size(entry) for entry in entries}
    total = sum(sizes.values()) + (size(keep) if keep else 0)
    freed = 0
    for entry in sorted(entries, key=_last_use):
        if total - freed <= limit:
            break
        if _remove(entry):
            freed += sizes[entry]
    return freed


def clear() -> int:
    """Remove all caches and what killed builds have left; the bytes freed."""
    return trim(limit=0)


def size(place: Path) -> int:
    """Bytes of a cache; 0 where there is none."""
    with suppress(OSError):
        return sum(file.stat().st_size for file in place.iterdir())
    return 0


def discard(place: Path) -> None:
    """Remove a folder, as far as the system allows it."""
    shutil.rmtree(place, ignore_errors=True)


def discard_leftovers(place: Path) -> None:
    """What builds of this cache that were killed have left; the caller holds its lock."""
    for leftover in place.parent.glob(f".{place.name}-*"):
        discard(leftover)


def _sweep() -> None:
    """Remove what killed builds have left, of caches that no process is building."""
    for place in {folder() / entry.name[1:].partition("-")[0] for entry in _folders() if entry.name.startswith(".")}:
        with suppress(Timeout, OSError), FileLock(lock_of(place), timeout=0):
            discard_leftovers(place)


def _folders() -> list[Path]:
    return [entry for entry in folder().iterdir() if entry.is_dir()] if folder().is_dir() else []


def _last_use(place: Path) -> float:
    with suppress(OSError):
        return place.stat().st_mtime
    return 0.0


def _remove(place: Path) -> bool:
    """Under another name first, so that nobody opens half of it; not while a process builds it."""
    gone = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    try:
        with FileLock(lock_of(place), timeout=0):
            place.replace(gone)  # Windows refuses while a process has it open
    except (Timeout, OSError):
        return False
    discard(gone)
    return True
