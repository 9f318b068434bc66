"""Prepared pictures on disk, built once and mapped into memory by every process that trains on them.

A cache is a folder named by a hash of the files' names, sizes and times and of the preparation.  It is written beside
its place and moved there whole, under a lock, so that a build which is killed leaves nothing that could be taken for
a cache, and several processes that start together build one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from artcli import weights
from artcli.errors import ArtgenError, UsageError
from artcli.media import decode, files
from artcli.training.data import pool, prepare, shelf
from artcli.training.data.items import Array, Item, Skipped, pictures, read
from artcli.training.data.layout import Layout

_VERSION = 1  # of what the preparation does: raise it when the same options make other pixels
_IMAGES, _INDEX = "images.npy", "index.json"


@dataclass(frozen=True)
class Cached:
    """images: (N, size, size, C) uint8, mapped from disk; writing to it changes this process's view only.

    rows: (N,), the number of each picture among the layout's items.  digests: (N,) uint64, a hash of each picture's
    file or pixels, by which copies are known.  skipped: the pictures that are not in it.  first_of_several: how many
    are the first of several frames or pages.
    """

    images: Array
    rows: Array
    digests: Array
    skipped: tuple[Skipped, ...]
    first_of_several: int


def open_cache(layout: Layout, preparation: prepare.Preparation, progress: pool.PicturesDone | None = None) -> Cached:
    """The cache of these pictures, built if it is not there.

    progress: called with (pictures done, pictures in all) during a build, and while another process builds.
    Raises UsageError: no picture can be read, or one of several.  ArtgenError: the disk is full or not writable.
    """
    place = shelf.folder() / _key(layout, preparation)
    cached = _load(place, layout)
    if cached is None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            cached = _load_or_build(place, layout, preparation, progress or (lambda done, total: None))
        except (OSError, NotImplementedError) as error:  # the latter where a file system has no locks
            reason = files.reason(error) if isinstance(error, OSError) else error
            raise ArtgenError(
                f"cannot write the prepared pictures to {place.parent}: {reason}; "
                "$ARTGEN_CACHE_DIR names another folder."
            ) from error
    if cached is None:
        raise ArtgenError(f"{place} was changed by another program: run again.")
    return cached


def _load_or_build(
    place: Path, layout: Layout, preparation: prepare.Preparation, progress: pool.PicturesDone
) -> Cached | None:
    with _locked(place, lambda: progress(0, len(layout.items))):
        if cached := _load(place, layout):
            return cached
        _build(place, layout, preparation, progress)
        shelf.trim(keep=place)
        return _load(place, layout)


def _key(layout: Layout, preparation: prepare.Preparation) -> str:
    content = {
        "version": _VERSION,
        "root": str(layout.root.resolve()),
        "preparation": preparation.as_dict(),
        "masks": prepare.mask_stamps(preparation),
        "items": [(item.name, *item.stamp) for item in layout.items],
    }
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


@contextmanager
def _locked(place: Path, waiting: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(shelf.lock_of(place))
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


# --- reading -------------------------------------------------------------------------------------------------------


def _load(place: Path, layout: Layout) -> Cached | None:
    """None where there is no cache, or none that is whole."""
    try:
        index = json.loads((place / _INDEX).read_text(encoding="utf-8"))
        images = np.load(place / _IMAGES, mmap_mode="c")  # "c": torch wants to be allowed to write
        rows, digests = np.array(index["rows"], np.int64), np.array(index["digests"], np.uint64)
        skipped = tuple(Skipped(layout.items[row].name, why) for row, why in index["skipped"])
        several = int(index["first_of_several"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    if not len(images) == len(rows) == len(digests) or images.dtype != np.uint8:
        return None
    with suppress(OSError):  # a cache on a read-only disk is good enough
        os.utime(place)  # marks the use, for `shelf.trim`
    return Cached(images, rows, digests, skipped, several)


# --- building ------------------------------------------------------------------------------------------------------


def _build(place: Path, layout: Layout, preparation: prepare.Preparation, progress: pool.PicturesDone) -> None:
    shelf.discard_leftovers(place)
    shape = (preparation.size, preparation.size, preparation.channels)
    _check_space(place.parent, len(layout.items), shape)
    temp = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    temp.mkdir()
    try:
        with (temp / _IMAGES).open("w+b") as file:
            index = _fill(file, layout, preparation, shape, progress)
            _check_count(index, layout)
            _flush(file)
        with (temp / _INDEX).open("w", encoding="utf-8") as text:
            json.dump(index, text)
            _flush(text)
        shelf.discard(place)  # an unfinished build
        temp.replace(place)
    except BaseException:
        shelf.discard(temp)
        raise


def _fill(
    file: BinaryIO,
    layout: Layout,
    preparation: prepare.Preparation,
    shape: tuple[int, int, int],
    progress: pool.PicturesDone,
) -> dict[str, Any]:
    """Write the array and say what is in it.

    Written, not mapped: a full disk is then an error to report, where storing into a mapped file kills the process.
    """
    items = layout.items
    work = _worker(preparation)
    header = _header((len(items), *shape))
    file.write(header)
    rows, digests, skipped, first_of_several = [], [], [], 0
    progress(0, len(items))
    for number, (pixels, digest, why, several) in enumerate(pool.in_order(work, items)):
        if pixels is None:
            skipped.append((number, why))
        else:
            file.write(pixels.data)
            rows.append(number)
            digests.append(digest)
            first_of_several += several
        progress(number + 1, len(items))
    file.seek(0)
    file.write(_header((len(rows), *shape)))  # numpy leaves room for any number of rows, so the length is the same
    return {"rows": rows, "digests": digests, "skipped": skipped, "first_of_several": first_of_several}


def _header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"shape": shape, "fortran_order": False, "descr": "|u1"})
    return out.getvalue()


Prepared = tuple[Array | None, int, str, bool]  # pixels, digest, why there are none, whether they are one of several


def _worker(preparation: prepare.Preparation) -> Callable[[Item], Prepared]:
    background = preparation.background_rgb()
    mask_of = prepare.mask_source(preparation)

    def work(item: Item) -> Prepared:
        try:
            data, several = read(item), False
            if isinstance(data, bytes):
                with pool.room_for(data) as image:
                    rgb, several = prepare.decode(data, background), decode.has_several(image)
            else:
                rgb = prepare.decode(data, background)
            mask = mask_of(item.name, rgb) if mask_of else None
            pixels = prepare.apply(rgb, mask, preparation)
        except (UsageError, MemoryError) as error:
            return None, 0, pool.reason(error), False
        return np.ascontiguousarray(pixels), digest(data), "", several

    return work


def digest(data: bytes | Array) -> int:
    """64 bits that say which picture this is."""
    content = data if isinstance(data, bytes) else np.ascontiguousarray(data).data
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _check_count(index: dict[str, Any], layout: Layout) -> None:
    count = len(index["rows"])
    if count >= min(2, len(layout.items)):
        return
    number, why = index["skipped"][0]
    left = "none" if count == 0 else "only one"
    raise UsageError(
        f"of the {pictures(len(layout.items))} in {layout.root} {left} can be used: {layout.items[number].name} {why}."
    )


def _check_space(where: Path, count: int, shape: tuple[int, ...]) -> None:
    need, free = count * int(np.prod(shape)), shutil.disk_usage(where).free
    if need > free:
        raise ArtgenError(
            f"the prepared pictures need {weights.human(need)}, and {weights.human(free)} are free in {where}: free "
            "some, choose a smaller size, or name another folder in $ARTGEN_CACHE_DIR."
        )


def _flush(file: BinaryIO | io.TextIOWrapper) -> None:
    file.flush()
    os.fsync(file.fileno())
