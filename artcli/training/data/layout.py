"""What kind of data set a path is: one picture, flat or class folders, train/val, trainA/trainB, or a known format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artcli.errors import UsageError, did_you_mean
from artcli.media import decode, files
from artcli.training.data import captions, formats, shards
from artcli.training.data.items import Item, Skipped, pictures, stamp
from artcli.training.data.walk import SUFFIXES, Found, kinds, walk

_DOMAINS = {"traina": ("A", False), "trainb": ("B", False)} | {
    f"{part}{domain}": (domain.upper(), True) for part in ("test", "val") for domain in "ab"
}
_TRAINING = ("train", "training")
_VALIDATION = ("val", "valid", "validation", "dev")
_TEST = ("test", "testing", "eval")
_PROBES = 8  # pictures whose size says whether the set is one of pairs


@dataclass(frozen=True)
class Layout:
    """kind: in words.  items: sorted by name.  classes: names by label, () without classes.

    notes: what a person should know, one sentence each.  problems: what could not be listed.
    """

    kind: str
    root: Path
    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Skipped, ...] = ()

    def describe(self) -> str:
        """One line: `680 pictures in 17 class folders`."""
        captioned = sum(bool(item.texts) for item in self.items)
        return f"{pictures(len(self.items))}, {self.kind}" + (f", {captioned} with captions" if captioned else "")


def read_layout(path: Path, exclude: Iterable[Path] = ()) -> Layout:
    """Understand `path`: a folder, one picture, or a file of a known format; no picture is decoded.

    exclude: folders inside that hold no training pictures, such as segmentation masks.
    Raises UsageError: nothing there, empty, no picture in it, a known format that is damaged.
    """
    found = files.kind(path)
    if found == "missing":
        raise _missing(path)
    if found == "other":
        raise UsageError(f"{path} is a device or pipe: name a folder of pictures.")
    return _of_file(path) if found == "file" else _of_folder(path, exclude)


def _missing(path: Path) -> UsageError:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return UsageError(f"there is no {path}: name a folder of pictures.{did_you_mean(path.name, siblings)}")


def _of_file(path: Path) -> Layout:
    file = Found((path.name,), path, stamp(path))
    if layout := _of_format(path, [file]):
        return layout
    if path.suffix.lower() not in SUFFIXES:
        decode.open_image(path)  # says what else it is
    return Layout("one picture, repeated", path.parent, (Item(file.name, path, file.stamp),))


def _of_folder(root: Path, exclude: Iterable[Path]) -> Layout:
    found, problems = walk(root, exclude)
    usable = [file for file in found if file.is_picture]
    if not usable:
        layout = _of_format(root, found)
        if layout is None:
            raise _no_picture(root, found, problems)
        return layout
    items, classes, kind, notes = _arrange(usable)
    items, told = captions.attach(items, found)
    notes = [*notes, *told]
    if len(items) == 1:
        kind = "one picture, repeated"
    notes = [*notes, *_pairs(items)]
    return Layout(kind, root, tuple(items), classes, tuple(notes), tuple(problems))


def _of_format(root: Path, found: list[Found]) -> Layout | None:
    for reader in (formats.cifar10, formats.mnist, shards.read):
        if listing := reader(found):
            return Layout(listing.kind, root, listing.items, listing.classes, listing.notes, listing.problems)
    return None


def _no_picture(root: Path, found: list[Found], problems: list[Skipped]) -> UsageError:
    if problems:
        return UsageError(f"no picture in {root}: {problems[0].name} {problems[0].reason}.")
    if not found:
        return UsageError(f"{root} is empty: put pictures in it, or name another folder.")
    return UsageError(f"no picture in {root}: it holds {kinds(found)}; pictures are {', '.join(SUFFIXES)}.")


# --- folders -------------------------------------------------------------------------------------------------------

Arranged = tuple[list[Item], tuple[str, ...], str, list[str]]  # items, classes, kind, notes


def _arrange(found: list[Found]) -> Arranged:
    """Classes and held-out parts from the names of folders."""
    depth = _wrappers(found)
    tops = _tops(found, depth)
    lower = {top.lower() for top in tops}
    if {"traina", "trainb"} <= lower:
        return _domains(found, depth)
    if lower & set(_TRAINING) and lower & {*_VALIDATION, *_TEST} and lower <= {*_TRAINING, *_VALIDATION, *_TEST}:
        return _parts(found, depth)
    classes, note = _classes(found, depth)
    label = _labeller(depth, classes)
    return [_item(file, label(file)) for file in found], classes, _kind(classes, found, depth), note


def _wrappers(found: list[Found]) -> int:
    """Depth of nested single folders at the top, which unpacked archives often have."""
    shortest = min(len(file.parts) for file in found) - 1
    depth = 0
    while depth < shortest and len({file.parts[depth] for file in found}) == 1:
        depth += 1
    return depth


def _tops(found: Iterable[Found], depth: int) -> Counter[str]:
    """Pictures by the folder at this depth, "" for those beside the folders."""
    return Counter(file.parts[depth] if len(file.parts) > depth + 1 else "" for file in found)


def _classes(found: list[Found], depth: int) -> tuple[tuple[str, ...], list[str]]:
    """The class folders at this depth, or () with a note where there are none but might have been."""
    tops = _tops(found, depth)
    folders = sorted(set(tops) - {""})
    if "" in tops and folders:
        return (), [f"Beside the folders lie {pictures(tops[''])}, so the folders are not taken as classes."]
    if len(folders) < 2:
        single = found[0].parts[depth - 1] if depth else ""
        return (), [f"All pictures are in one folder, {single}: there are no classes."] if single else []
    return tuple(folders), []


def _labeller(depth: int, classes: Sequence[str]) -> Callable[[Found], int]:
    """The label of a file by its folder at this depth; 0 without classes."""
    number = {name: number for number, name in enumerate(classes)}
    return lambda file: number.get(file.parts[depth], 0)


def _kind(classes: Sequence[str], found: list[Found], depth: int) -> str:
    if classes:
        return f"{len(classes)} class folders"
    nested = len(_tops(found, depth)) > 1
    return "nested folders without classes" if nested else "flat folder"


def _item(file: Found, label: int, held_out: bool = False) -> Item:
    return Item(file.name, file.path, file.stamp, label, held_out)


def _domains(found: list[Found], depth: int) -> Arranged:
    """CycleGAN's layout: two kinds of pictures as two classes."""
    items = []
    left_out = 0
    for file in found:
        known = _DOMAINS.get(file.parts[depth].lower())
        if known is None:
            left_out += 1
        else:
            items.append(_item(file, "AB".index(known[0]), known[1]))
    notes = [
        "trainA and trainB (CycleGAN) become the classes A and B; name one of the two folders to train on it alone."
    ]
    if left_out:
        notes.append(f"Left out: {pictures(left_out)} beside trainA and trainB.")
    return items, ("A", "B"), "trainA and trainB", notes


def _parts(found: list[Found], depth: int) -> Arranged:
    """train beside val or test, each flat or of class folders; where there is val, test is not used."""
    part = {file: file.parts[depth].lower() for file in found}
    training = [file for file in found if part[file] in _TRAINING]
    validation = [file for file in found if part[file] in _VALIDATION]
    test = [file for file in found if part[file] in _TEST]
    notes = [f"Left out: the test part with {pictures(len(test))}."] if validation and test else []
    held_out = set(validation or test)
    chosen = [file for file in found if part[file] in _TRAINING or file in held_out]
    classes, note = _classes_of_parts(training, chosen, depth + 1)
    label = _labeller(depth + 1, classes)
    items = [_item(file, label(file), file in held_out) for file in chosen]
    inside = f" with {len(classes)} class folders" if classes else ""
    name = "val" if validation else "test"
    return items, classes, f"train and {name} parts{inside}", [*notes, *note]


def _classes_of_parts(training: list[Found], chosen: list[Found], depth: int) -> tuple[tuple[str, ...], list[str]]:
    """The classes of the training part, which all other pictures must have one of too."""
    classes, note = _classes(training, depth)
    if not classes:
        return classes, note if _tops(training, depth).keys() != {""} else []
    folders = _tops(chosen, depth)
    return (tuple(sorted(set(folders))), note) if "" not in folders else ((), note)


def _pairs(items: list[Item]) -> list[str]:
    """A note when pictures are twice as wide as high, as pix2pix keeps its pairs."""
    if len(items) < 2:
        return []
    probes = items[:: max(1, len(items) // _PROBES)][:_PROBES]
    sizes = []
    for item in probes:
        try:
            assert isinstance(item.source, Path)
            sizes.append(decode.open_image(item.source).size)
        except UsageError:
            continue  # the build of the cache lists it
    if not sizes or any(width != 2 * height for width, height in sizes):
        return []
    return ["The pictures are twice as wide as high: pairs side by side (pix2pix)? They are taken as single pictures."]
