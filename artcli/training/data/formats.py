"""CIFAR-10 and MNIST in the files that their authors publish, to uint8 pixels, labels and class names.

Krizhevsky, "Learning multiple layers of features from tiny images" (2009): the python and the binary version, also
the .tar.gz as downloaded.  LeCun, Cortes, Burges, "The MNIST database": IDX files, as they are or gzipped.
"""

from __future__ import annotations

import gzip
import math
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from artcli.errors import UsageError
from artcli.training.data import pickles
from artcli.training.data.items import Array, Item, Skipped, pictures, read_file
from artcli.training.data.walk import Found

_BATCH = re.compile(r"(data_batch_\d+|test_batch)(\.bin)?")
_ARCHIVE = re.compile(r"cifar-10-(python|binary)\.(tar\.gz|tgz|tar)")
_IDX = re.compile(r"(.*)images([-.])idx3-ubyte(\.gz)?")
_CIFAR_RECORD = 1 + 3 * 32 * 32
_UBYTE = 8  # IDX's code for unsigned bytes

Read = Callable[[], bytes]
Member = tuple[str, Read, tuple[int, int]]  # file name, its bytes, stamp of the file on disk


@dataclass(frozen=True)
class Listing:
    """What a data set in a known format holds; the fields are those of layout.Layout."""

    kind: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[Skipped, ...] = ()


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def cifar10(found: Iterable[Found]) -> Listing | None:
    """The batches among these files, or None where there are none.  Raises UsageError: a batch is damaged."""
    sources = [source for file in found for source in _cifar_sources(file)]
    batches = [source for source in sources if _BATCH.fullmatch(source[0])]
    if not batches:
        return None
    classes = _cifar_classes(sources)
    items = []
    for name, read, stamp in sorted(batches, key=lambda batch: batch[0]):
        pixels, labels = _cifar_binary(name, read()) if name.endswith(".bin") else _cifar_python(name, read())
        if len(labels) and labels.max() >= len(classes):
            raise UsageError(f"{name} has the label {labels.max()}, but CIFAR-10 has {len(classes)} classes.")
        items += _items(name, pixels, labels, stamp, held_out=name.startswith("test"))
    return Listing("CIFAR-10", tuple(items), classes)


def _cifar_sources(file: Found) -> list[Member]:
    if _ARCHIVE.fullmatch(file.path.name):
        return _members(file)
    return [(file.path.name, lambda: read_file(file.path), file.stamp)]


def _members(file: Found) -> list[Member]:
    """The batches inside the archive as it is downloaded; compressed, so all is read in one go."""
    try:
        with tarfile.open(file.path) as archive:
            names = {member: PurePosixPath(member.name).name for member in archive if member.isfile()}
            wanted = [m for m, name in names.items() if _BATCH.fullmatch(name) or name.startswith("batches.meta")]
            contents = [(names[m], stream.read()) for m in wanted if (stream := archive.extractfile(m))]
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file.path} is damaged ({error}): download it again.") from error
    return [(name, lambda data=data: data, file.stamp) for name, data in contents]  # type: ignore[misc]


def _cifar_classes(sources: list[Member]) -> tuple[str, ...]:
    by_name = {name: read for name, read, _ in sources}
    if "batches.meta.txt" in by_name:
        return tuple(by_name["batches.meta.txt"]().decode("utf-8", "replace").split())
    if "batches.meta" in by_name:
        names = pickles.load(by_name["batches.meta"](), "batches.meta").get("label_names", [])
        return tuple(pickles.text(name) for name in names)
    return tuple(str(number) for number in range(10))


def _cifar_binary(name: str, data: bytes) -> tuple[Array, Array]:
    if len(data) % _CIFAR_RECORD:
        raise UsageError(
            f"{name} is cut short: {len(data)} bytes are no multiple of {_CIFAR_RECORD}; download it again."
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_RECORD)
    return _from_planes(records[:, 1:]), records[:, 0]


def _cifar_python(name: str, data: bytes) -> tuple[Array, Array]:
    content = pickles.load(data, name)
    pixels, labels = content.get("data"), content.get("labels")
    if not isinstance(pixels, pickles.Pixels) or not isinstance(labels, list):
        raise UsageError(f"{name} is no batch of CIFAR-10: it lacks data or labels.")
    array = pixels.array()
    if array.ndim != 2 or array.shape != (len(labels), _CIFAR_RECORD - 1):
        raise UsageError(f"{name} is no batch of CIFAR-10: its data is {array.shape} for {len(labels)} labels.")
    return _from_planes(array), np.array(labels, np.int64)


def _from_planes(rows: Array) -> Array:
    """(N, 3072) red, green, blue planes to (N, 32, 32, 3)."""
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


# --- MNIST ---------------------------------------------------------------------------------------------------------


def mnist(found: Iterable[Found]) -> Listing | None:
    """The IDX files among these, or None where there are none.  Raises UsageError: one is damaged."""
    by_name = {file.path.name: file for file in found}
    items: list[Item] = []
    notes = []
    for name in sorted(by_name):
        match = _IDX.fullmatch(name)
        if not match:
            continue
        pixels = _idx(by_name[name], 3)
        stem = f"{match[1]}labels{match[2]}idx1-ubyte"
        partner = by_name.get(stem) or by_name.get(f"{stem}.gz")
        if partner is None:
            notes.append(f"{name} has no {stem} beside it: all its pictures are taken as class 0.")
        labels = _idx(partner, 1) if partner else np.zeros(len(pixels), np.uint8)
        if len(labels) != len(pixels):
            raise UsageError(
                f"{name} has {pictures(len(pixels))}, but {stem} {len(labels)} labels: download both again."
            )
        held_out = bool(re.search(r"t10k|test", match[1]))
        items += _items(name, pixels, labels, by_name[name].stamp, held_out)
    if not items:
        return None
    classes = tuple(str(number) for number in range(max(item.label for item in items) + 1))
    return Listing("MNIST", tuple(items), classes if len(classes) > 1 else (), tuple(notes))


def _idx(file: Found, dimensions: int) -> Array:
    """The unsigned bytes of an IDX file: two zeros, type, number of dimensions, their big-endian sizes, the values."""
    data = _unzipped(file)
    header = 4 + 4 * dimensions
    if data[:4] != bytes((0, 0, _UBYTE, dimensions)) or len(data) < header:
        raise UsageError(f"{file.path} is no IDX file of {dimensions} dimensions of bytes: download it again.")
    shape = [int(size) for size in np.frombuffer(data, ">u4", dimensions, 4)]
    if len(data) - header != math.prod(shape):
        what = "cut short" if len(data) - header < math.prod(shape) else "too long"
        raise UsageError(f"{file.path} is {what}: {len(data) - header} bytes for {shape}; download it again.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _unzipped(file: Found) -> bytes:
    data = read_file(file.path)
    if not data.startswith(b"\x1f\x8b"):  # browsers unpack on the way and keep the name
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{file.path} is damaged ({error}): download it again.") from error


def _items(name: str, pixels: Array, labels: Array, stamp: tuple[int, int], held_out: bool) -> list[Item]:
    return [
        Item(f"{name}/{row:05}", pixels[row], stamp, int(label), held_out) for row, label in enumerate(labels.tolist())
    ]
