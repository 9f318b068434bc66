"""Names of inputs and outputs, the checks before any compute, and writes that never leave half a file.

Imports neither torch nor numpy: a wrong file name is reported before anything heavy is loaded.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import logging
import os
import platform
import re
import secrets
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal

from artcli.errors import ArtgenError, UsageError, did_you_mean

Stdio = Literal["-"]


class Folder(type(Path())):  # type: ignore[misc]
    """A folder to write into, which is made when the outputs are checked, if it is not there; so is what lies in it."""


IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif")
FILM_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".m4v", ".avi")
_SIGNS = {  # what files begin with, by the ending that it stands for
    ".gif": rb"GIF8",
    ".png": rb"\x89PNG",
    ".jpg": rb"\xff\xd8\xff",
    ".tif": rb"II\*\0|MM\0\*",
    ".webp": rb"RIFF....WEBP",
    ".avi": rb"RIFF....AVI ",
    ".webm": rb"\x1aE\xdf\xa3.{,56}webm",
    ".mkv": rb"\x1aE\xdf\xa3",
    ".mp4": rb"....(moov|mdat|ftyp(?!avi[fs]|hei[cxms]|m[is]f1))",  # pictures are in such containers, too
}
_ALIKE = ({".png", ".apng"}, {".jpg", ".jpeg"}, {".tif", ".tiff"}, {".mp4", ".mov", ".m4v"}, {".mkv", ".webm"})
_OTHER_FORMATS = (*IMAGE_SUFFIXES, *FILM_SUFFIXES)  # no slips of the fingers

_log = logging.getLogger(__name__)  # a console shows what it says

NO_SPACE = "no space left on device (free some, or choose another folder)"
_REASONS = {
    errno.ENOSPC: NO_SPACE,
    errno.EACCES: "permission denied (or the file is open in another program)",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the name is too long",
}
if hasattr(errno, "EDQUOT"):  # not everywhere
    _REASONS[errno.EDQUOT] = "the disk quota is used up (free some, or choose another folder)"

_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


# --- writing -------------------------------------------------------------------------------------------------------


def reason(error: OSError) -> str:
    """The system's reason in words, with advice where there is any."""
    return _REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def temporary(path: Path) -> Path:
    """A fresh hidden name in the folder of `path` with its suffix; nothing is created.

    The suffix stays because encoders choose the format by it; the folder because `os.replace` cannot cross disks.
    It names the process, so that what a killed one leaves can be told from what is being written.
    """
    return _target(path).with_name(f".artgen-{os.getpid()}-{_here()}-{secrets.token_hex(6)}{path.suffix}")


def writer(path: Path) -> int | None:
    """The process whose `temporary` file this is; None for any other file, and where processes cannot be seen here."""
    found = re.match(r"\.artgen-(\d+)-([0-9a-f]{8})-[0-9a-f]{12}(\.|$)", path.name)
    return int(found[1]) if found and found[2] == _here() else None


@cache
def _here() -> str:
    """Stands for the machine, and for the container that numbers its processes by itself."""
    container = Path("/proc/self/ns/pid")  # of Linux
    whole = f"{platform.node()} {container.readlink() if container.is_symlink() else ''}"
    return hashlib.sha1(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def publish(temp: Path, path: Path) -> None:
    """Move the finished `temp` onto `path` in one step, its bytes on the disk first.  Raises OSError."""
    with temp.open("r+b") as file:
        os.fsync(file.fileno())
    temp.replace(_target(path))  # os.replace: over an existing file too, also on Windows


def discard(*temps: Path) -> None:
    """Remove temporary files; one that is gone, or still held by a dying process, is no reason to fail."""
    for temp in temps:
        with suppress(OSError):
            temp.unlink()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write; on success it becomes `path` at once, on any exception it is removed.

    Raises ArtgenError, `path` untouched, when the system refuses the write (disk full, permission).
    """
    temp = temporary(path)
    try:
        yield temp
        publish(temp, path)
    except OSError as error:
        discard(temp)
        raise ArtgenError(f"could not write {path}: {reason(error)}.") from error
    except BaseException:
        discard(temp)
        raise


def _target(path: Path) -> Path:
    """Where a link leads: writing to a link must not turn it into a file."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


# --- outputs -------------------------------------------------------------------------------------------------------


def check_extension(path: Path, allowed: Sequence[str]) -> str:
    """The lower-case suffix of `path` if it is one of `allowed` (".png", ...); UsageError otherwise."""
    suffix = path.suffix.lower()
    if suffix in allowed:
        if suffix == ".avif" and not _writes_avif():
            raise UsageError(f"this Pillow cannot write {suffix} ({path}): update it, or use another format.")
        return suffix
    known = ", ".join(allowed)
    if not suffix:
        raise UsageError(
            f"{path} has no file extension, which chooses the format: add one of {known}, or / for a folder."
        )
    meant = "" if suffix in _OTHER_FORMATS else did_you_mean(suffix, tuple(allowed))  # .bmp is no slip for .mp4
    raise UsageError(f"cannot write {suffix} ({path}): use one of {known}.{meant}")


def _writes_avif() -> bool:
    from PIL import features

    return bool(features.check("avif")) if "avif" in features.modules else False


def check_outputs(
    paths: Iterable[Path | Stdio], *, force: bool, skip_existing: bool = False, make: bool = True
) -> None:
    """Make sure, before any compute, that every output can be written.  "-" is standard output.

    A `Folder` that is not there is made, once nothing speaks against any of them, where `make` says so.
    Raises UsageError: no such folder, folder not writable, a folder or device under that name, a file that exists
    (unless `force` or `skip_existing`), one name for two outputs, binary data to a terminal.
    """
    outputs = list(paths)
    if "-" in map(str, outputs):
        _refuse_terminal()
    files = [path for path in outputs if isinstance(path, Path) and str(path) != "-"]
    for folder in dict.fromkeys(file.parent for file in files):
        _check_folder(folder)
    for file in files:
        _check_target(file, force=force, skip_existing=skip_existing, batch=len(files) > 1)
    _refuse_twice(files)
    for folder in {file.parent for file in files if isinstance(file, Folder) and make}:
        _make(folder)


def _refuse_terminal() -> None:
    if sys.stdout.isatty():
        raise UsageError("will not write an image to the terminal: redirect it (> picture.png) or use --out FILE.")


def _refuse_twice(files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        key = os.path.normcase(os.path.realpath(file))
        key = key.casefold() if sys.platform == "darwin" else key  # its disks do not tell A.png from a.png
        if key in seen:
            raise UsageError(f"two outputs have the same name, {file}: give each its own (--out).")
        seen[key] = file


def _check_folder(folder: Path) -> None:
    found = kind(folder)
    if found == "missing":
        nearest = next(parent for parent in [*folder.parents, Path()] if kind(parent) != "missing")
        if isinstance(folder, Folder):
            return _check_folder(nearest)
        make = "mkdir" if sys.platform == "win32" else "mkdir -p"
        raise UsageError(
            f"no folder {folder} (the nearest that exists is {nearest.resolve()}): make it with {make} '{folder}'."
        )
    if found != "folder":
        raise UsageError(f"{folder} is not a folder: choose another place for the output.")
    probe = temporary(folder / "x")
    try:
        probe.touch()  # permission bits say little: root ignores them, network disks invent them
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {reason(error)}.") from error
    finally:
        discard(probe)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {reason(error)}.") from error


def _check_target(file: Path, *, force: bool, skip_existing: bool, batch: bool) -> None:
    found = kind(file)
    if found == "folder":
        raise UsageError(f"{file} is a folder: name a file in it, such as {file / 'picture.png'}.")
    if found == "other":  # replacing /dev/null by a picture would break the machine
        raise UsageError(f"{file} is a device or pipe: name a file, or use - for standard output.")
    if found == "file" and not (force or skip_existing):
        also = ", or --skip-existing to leave such files alone" if batch else ""
        raise UsageError(f"{file} exists: add --force to replace it{also}.")


def kind(path: Path) -> Literal["missing", "file", "folder", "other"]:
    """What a path is.  Raises UsageError for names that the system cannot look up."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        raise UsageError(f"cannot use {short(path)}: {reason(error)}.") from error
    except ValueError as error:  # a NUL byte
        raise UsageError(f"{short(path)!r} is not a valid file name.") from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


# --- inputs --------------------------------------------------------------------------------------------------------


def expand_inputs(args: Iterable[str], recursive: bool | None = None, apart: Path | None = None) -> list[Path | Stdio]:
    """The input files that the arguments name, each once, in their order; "-" (standard input) stays as it is.

    A folder stands for the image files in it, sorted, hidden ones left out; a pattern (`*.jpg`, `**/*.png`) for the
    image files it matches, or for films where it ends as they do (`*.mp4`), for shells that do not expand it.
    Raises UsageError when an argument names nothing.
    recursive: also those in subfolders; otherwise it is told how many there are, and how many films are left out.
    None for a verb without that option, which takes no films either.
    apart: a subfolder that is not meant, as results go there.
    """
    found: dict[Path | Stdio, None] = {}
    for arg in args:
        found.update(dict.fromkeys(["-"] if arg == "-" else _expand(arg, recursive, apart)))
    return list(found)


def _expand(arg: str, recursive: bool | None, apart: Path | None) -> list[Path | Stdio]:
    path = home(arg)
    found = kind(path)
    if found == "folder":
        return list(_of_folder(path, recursive, apart))
    if found == "missing" and glob.has_magic(arg):
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        wanted = FILM_SUFFIXES if path.suffix.lower() in FILM_SUFFIXES else IMAGE_SUFFIXES
        return list(_chosen(matches, f"pattern {arg}", wanted))
    if found == "missing":
        raise missing(path)
    return [path]  # a named file is taken at its word; the decoder judges the contents


def _of_folder(folder: Path, recursive: bool | None, apart: Path | None) -> list[Path]:
    """The pictures in a folder, with a word about what else there is."""
    tree = list(_tree(folder, apart))
    here = tree if recursive else _listing(folder)
    below = 0 if recursive else sum(_has(file, IMAGE_SUFFIXES) for file in tree if file.parent != folder)
    films = 0 if recursive is None else sum(_has(file, FILM_SUFFIXES) for file in here)
    how = f"'{folder}/**'" if recursive is None else "--recursive"
    left = [f"{below} in its subfolders; {how} takes them, too"] if below else []
    left += [f"{films} film{'s, which have' if films > 1 else ', which has'} to be named"] if films else []
    told = "; ".join(left)
    chosen = _chosen(here, f"folder {folder}{f' but {told}' if told else ''}")
    if told:
        _log.info("%s: %d taken, %s", folder, len(chosen), told)
    return chosen


def pictures_and_films(folder: Path, recursive: bool) -> list[Path]:
    """What there is of both in a folder, sorted, hidden ones left out; it may be nothing.

    Raises UsageError: the folder cannot be read.
    """
    found = _tree(folder, None) if recursive else _listing(folder)
    wanted = (*IMAGE_SUFFIXES, *FILM_SUFFIXES)
    return sorted(path for path in found if _has(path, wanted) and kind(path) == "file")


def home(arg: str) -> Path:
    """A path in which ~ and ~name stand for folders of users; a name that only begins alike stays as it is."""
    try:
        return Path(arg).expanduser()
    except RuntimeError:  # ~nobody
        return Path(arg)


def _has(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _tree(folder: Path, apart: Path | None) -> Iterator[Path]:
    """Every file below a folder; not what lies in hidden folders, nor in the one `apart`."""
    left_out = None if apart is None else apart.resolve()
    for root, folders, names in os.walk(folder):
        inside = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in inside if left_out is None or Path(root, name).resolve() != left_out]
        yield from (Path(root, name) for name in names)


def _chosen(paths: Iterable[Path], source: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    chosen = sorted(path for path in paths if _has(path, suffixes) and kind(path) == "file")
    if not chosen:
        what = "film" if suffixes is FILM_SUFFIXES else "image"
        raise UsageError(f"no {what} in {source}: looked for {', '.join(suffixes)}.")
    return chosen


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot read folder {folder}: {reason(error)}.") from error


def check_input(path: Path) -> None:
    """Raises UsageError: no such file, or a folder.  A pipe is a file that can be read once."""
    if kind(path) in ("missing", "folder"):
        raise missing(path)


def missing(path: Path) -> UsageError:
    """The error for a file that is not there, with the nearest name that is."""
    folder = path.parent
    if kind(path) == "folder":
        return UsageError(f"{short(path)} is a folder: name a file in it.")
    if path.is_symlink():
        return UsageError(f"{short(path)} is a link to {short(path.readlink())}, which is not there.")
    if kind(folder) != "folder":
        return UsageError(f"no file {short(path)}: there is no folder {folder}.")
    hint = did_you_mean(path.name, [file.name for file in _listing(folder)])
    return UsageError(f"no file {short(path)}.{hint}")


def short(path: Path | str) -> str:
    """As much of a name as an error line has room for."""
    text = str(path)
    return text if len(text) <= 120 else f"{text[:117]}..."


def subfolder(source: str, folders: Iterable[str]) -> Path:
    """Where a file lies below the first of these folders that it is in; an empty path for one in none of them."""
    parent = Path(source).parent
    inside = (parent.relative_to(home(folder)) for folder in folders if parent.is_relative_to(home(folder)))
    return next(inside, Path())


# --- default names -------------------------------------------------------------------------------------------------


def slug(text: str, limit: int = 60) -> str:
    """A file name (no suffix) for a prompt: "A red car!" -> "a-red-car".  Valid on every system and never empty.

    Letters, marks and digits of every script stay; at most `limit` characters (8 or more), cut between words.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in text)
    name = _cut("-".join(kept.split()), limit)
    if not name:
        return "untitled"
    return f"{name}-art" if name in _WINDOWS_DEVICES else name


def _cut(name: str, limit: int) -> str:
    while len(name) > limit or len(name.encode()) > 200:  # file systems count bytes, up to 255
        head, dash, _ = name.rpartition("-")
        name = head if dash else name[:-1]
    return name


def output(text: str | Path) -> Path:
    """What --out names: with a slash at its end a folder, which may still have to be made."""
    text = str(text)
    is_folder = text.endswith(tuple(sep for sep in (os.sep, os.altsep) if sep))
    return Folder(text) if is_folder else Path(text)


def ending(path: Path) -> str:
    """The lower-case ending that an input's content stands for, whatever its name says.

    That of its name where the two agree, where there is nothing to read, and for formats that are not known here.
    """
    named, head = path.suffix.lower(), b""
    with suppress(OSError):  # its reader will say what is wrong
        if path.is_file():  # what a pipe gives could not be read again
            with path.open("rb") as file:
                head = file.read(64)
    found = next((suffix for suffix, sign in _SIGNS.items() if re.match(sign, head, re.DOTALL)), named)
    return named if any({named, found} <= alike for alike in _ALIKE) else found


def stem(source: object) -> str:
    """What an input is called, without its ending."""
    return "stdin" if str(source) == "-" else Path(str(source)).stem


def numbered(path: Path, seed: int) -> Path:
    """The name of one seed's output: car.png and 3 -> car-3.png."""
    return path.with_name(f"{path.stem}-{seed}{path.suffix}")
