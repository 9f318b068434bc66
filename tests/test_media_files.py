"""Names, the checks before compute, and writes that are whole or not at all."""

import errno
import logging
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcli.errors import ArtgenError, UsageError
from artcli.media import files


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


# --- atomic --------------------------------------------------------------------------------------------------------


@given(chunks=st.lists(st.binary(max_size=50), max_size=5), fail_at=st.none() | st.integers(0, 5), old=st.booleans())
def test_atomic_is_all_or_nothing(tmp_path_factory, chunks, fail_at, old):
    folder = tmp_path_factory.mktemp("atomic")
    path = folder / "car.png"
    if old:
        path.write_bytes(b"old")
    before = sorted(folder.iterdir())
    try:
        with files.atomic(path) as temp:
            assert temp.suffix == ".png" and temp.parent == folder and temp.name.startswith(".")
            with temp.open("wb") as file:
                for index, chunk in enumerate(chunks):
                    if index == fail_at:
                        raise KeyboardInterrupt
                    file.write(chunk)
    except KeyboardInterrupt:
        assert sorted(folder.iterdir()) == before
        assert not old or path.read_bytes() == b"old"
    else:
        assert list(folder.iterdir()) == [path]
        assert path.read_bytes() == b"".join(chunks)


@pytest.mark.parametrize(
    "code, words", [(errno.ENOSPC, "no space left on device"), (errno.EACCES, "permission denied")]
)
def test_atomic_names_the_reason_and_keeps_the_old_file(tmp_path, monkeypatch, code, words):
    path = touched(tmp_path / "car.png")

    def refuse(_):
        raise OSError(code, "as the system says")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ArtgenError, match=f"car.png: {words}"), files.atomic(path) as temp:
        temp.write_bytes(b"new")
    assert path.read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_writes_through_a_link(tmp_path):
    real = touched(tmp_path / "disk" / "real.png")
    link = tmp_path / "link.png"
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("no links here")
    with files.atomic(link) as temp:
        temp.write_bytes(b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"


# --- outputs -------------------------------------------------------------------------------------------------------


def test_existing_output_needs_force(tmp_path):
    path = touched(tmp_path / "car.png")
    with pytest.raises(UsageError, match=r"exists: add --force to replace it\.$"):
        files.check_outputs([path], force=False)
    with pytest.raises(UsageError, match="--skip-existing"):
        files.check_outputs([path, tmp_path / "b.png"], force=False)
    files.check_outputs([path], force=True)
    files.check_outputs([path], force=False, skip_existing=True)
    assert sorted(tmp_path.iterdir()) == [path]


def test_missing_parent_names_the_nearest_folder(tmp_path):
    with pytest.raises(UsageError, match=r"no folder .*mkdir") as caught:
        files.check_outputs([tmp_path / "a" / "b" / "car.png"], force=False)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_of_outputs_is_made_once_nothing_speaks_against_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = files.output("new/deep/") / "car.png"
    with pytest.raises(UsageError, match="no folder gone"):
        files.check_outputs([wanted, Path("gone/b.png")], force=False)
    assert not list(tmp_path.iterdir())
    files.check_outputs([wanted, files.output("new/deep/") / "sub" / "b.png"], force=False)
    assert Path("new/deep/sub").is_dir() and not list(Path("new/deep/sub").iterdir())
    files.check_outputs([wanted], force=False)
    touched(tmp_path / "file.txt")
    with pytest.raises(UsageError, match="is not a folder"):
        files.check_outputs([files.output("file.txt/") / "a.png"], force=False)


def test_other_outputs_that_cannot_be(tmp_path):
    a_file = touched(tmp_path / "file.txt")
    for bad, words in [(tmp_path, "is a folder"), (a_file / "car.png", "not a folder"), (Path("x" * 300), "too long")]:
        with pytest.raises(UsageError, match=words):
            files.check_outputs([bad], force=True)
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="same name"):
        files.check_outputs([tmp_path / "a.png", tmp_path / "b" / ".." / "a.png"], force=True)
    with pytest.raises(UsageError, match="not a valid file name"):
        files.check_outputs([tmp_path / "a\0.png"], force=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev")
def test_devices_are_not_replaced():
    with pytest.raises(UsageError, match="device"):
        files.check_outputs([Path("/dev/null")], force=True)


def test_unwritable_folder_is_found_by_trying(tmp_path, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UsageError, match=r"cannot write into .*permission denied"):
        files.check_outputs([tmp_path / "car.png"], force=False)


def test_no_binary_to_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        files.check_outputs(["-"], force=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    files.check_outputs(["-"], force=False)


def test_extension():
    assert files.check_extension(Path("a.PNG"), (".png", ".jpg")) == ".png"
    with pytest.raises(UsageError, match=r"use one of \.png, \.jpg.*Did you mean '\.png'"):
        files.check_extension(Path("a.pngg"), (".png", ".jpg"))
    with pytest.raises(UsageError, match="no file extension"):
        files.check_extension(Path("a"), (".png",))


# --- inputs --------------------------------------------------------------------------------------------------------


def test_expand_inputs(tmp_path):
    b, a, deep = (touched(tmp_path / name) for name in ("b.JPG", "a.png", "sub/c.webp"))
    for other in (".hidden.png", "notes.txt"):
        touched(tmp_path / other)
    assert files.expand_inputs([str(tmp_path)]) == [a, b]
    assert files.expand_inputs([str(tmp_path / "*"), "-", str(a)]) == [a, b, "-"]
    assert files.expand_inputs([str(tmp_path / "**" / "*.webp")]) == [deep]
    assert files.expand_inputs([]) == []


def test_subfolders(tmp_path, caplog):
    caplog.set_level("INFO", logger="artcli.media")
    logging.getLogger("artcli.media").propagate = True
    a, b, c = (touched(tmp_path / name) for name in ("a.png", "sub/b.jpg", "sub/deep/c.webp"))
    for other in ("sub/.hidden.png", ".thumbs/d.png", "sub/notes.txt"):
        touched(tmp_path / other)
    assert files.expand_inputs([str(tmp_path)]) == [a]
    assert files.expand_inputs([str(tmp_path)], recursive=False) == [a]
    assert files.expand_inputs([str(tmp_path)], recursive=True) == [a, b, c]
    assert files.expand_inputs([str(tmp_path)], recursive=True, apart=tmp_path / "sub" / "deep") == [a, b]
    assert files.expand_inputs([str(tmp_path)], recursive=True, apart=tmp_path) == [a, b, c]
    told = f"{tmp_path}: 1 taken, 2 in its subfolders"
    said = list(dict.fromkeys(record.getMessage() for record in caplog.records))  # two loggers may hear it
    assert said == [f"{told}; {how} takes them, too" for how in (f"'{tmp_path}/**'", "--recursive")]
    assert files.expand_inputs([f"{tmp_path}/**"]) == [a, b, c]
    a.unlink()
    with pytest.raises(UsageError, match="but 2 in its subfolders; --recursive"):
        files.expand_inputs([str(tmp_path)], recursive=False)


def test_films_in_a_folder_are_told_and_taken_by_name(tmp_path, caplog):
    caplog.set_level("INFO", logger="artcli.media")
    logging.getLogger("artcli.media").propagate = True
    a, film, _ = (touched(tmp_path / name) for name in ("a.png", "b.MP4", "sub/c.mov"))
    assert files.expand_inputs([str(tmp_path)]) == files.expand_inputs([str(tmp_path)], recursive=False) == [a]
    assert files.expand_inputs([str(tmp_path)], recursive=True) == [a]
    said = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert said == [
        f"{tmp_path}: 1 taken, {films} to be named" for films in ("1 film, which has", "2 films, which have")
    ]
    assert files.expand_inputs([f"{tmp_path}/*.MP4"]) == [film]
    a.unlink()
    with pytest.raises(UsageError, match=r"no image in folder .* but 1 film, which has to be named: looked for"):
        files.expand_inputs([str(tmp_path)], recursive=False)
    with pytest.raises(UsageError, match=r"no film in pattern .*: looked for \.mp4"):
        files.expand_inputs([f"{tmp_path}/*.mkv"])


def test_a_link_to_nowhere(tmp_path):
    (tmp_path / "a.png").symlink_to("gone.png")
    with pytest.raises(UsageError, match=r"a\.png is a link to gone\.png, which is not there"):
        files.expand_inputs([str(tmp_path / "a.png")])


def test_a_name_with_brackets_is_a_file_first(tmp_path):
    odd = touched(tmp_path / "car[1].png")
    assert files.expand_inputs([str(odd)]) == [odd]


@pytest.mark.parametrize(
    "arg, words",
    [
        ("phto.png", "Did you mean 'photo.png'"),
        ("nowhere/photo.png", "there is no folder"),
        ("*.webp", "no image in pattern"),
        ("empty", "no image in folder"),
        ("a red car " * 40, "too long"),
    ],
)
def test_inputs_that_are_not_there(tmp_path, monkeypatch, arg, words):
    monkeypatch.chdir(tmp_path)
    touched(tmp_path / "photo.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=words) as caught:
        files.expand_inputs([arg])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, name",
    [
        ("red car", "red-car"),
        ("A Red Car!! at night?", "a-red-car-at-night"),
        ("été à Paris", "été-à-paris"),
        ("赤い 車", "赤い-車"),
        ("con", "con-art"),
        ("...", "untitled"),
        ("", "untitled"),
        ("../../etc/passwd", "etc-passwd"),
        ("word " * 30, "-".join(["word"] * 12)),
    ],
)
def test_slug(text, name):
    assert files.slug(text) == name


@given(st.text(), st.integers(8, 80))
def test_slug_is_always_a_file_name(text, limit):
    name = files.slug(text, limit)
    assert 0 < len(name) <= limit and len(name.encode()) <= 200
    assert not set(name) & set('<>:"/\\|?*. ') and name[0] != "-" != name[-1]
    assert all(unicodedata.category(char)[0] in "LMN" or char == "-" for char in name)
    assert name not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


def test_numbered():
    assert files.numbered(Path("out/car.v2.png"), 3) == Path("out/car.v2-3.png")


@pytest.mark.parametrize(
    ("name", "head", "ending"),
    [
        ("a.gif", b"\0\0\0\x18ftypisom", ".mp4"),
        ("a.mov", b"\0\0\0\x14ftypqt  ", ".mov"),
        ("a.avif", b"\0\0\0\x20ftypavif", ".avif"),
        ("a.mp4", b"\0\0\0\x18ftypheic", ".mp4"),
        ("a.mp4", b"GIF89a", ".gif"),
        ("a.mp4", b"RIFF\x10\0\0\0WEBPVP8 ", ".webp"),
        ("a.png", b"RIFF\x10\0\0\0AVI LIST", ".avi"),
        ("a", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", ".webm"),
        ("a.webm", b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", ".webm"),
        ("a.MP4", b"MM\0*", ".tif"),
        ("a.JPG", b"", ".jpg"),
    ],
)
def test_what_is_in_a_file_by_its_first_bytes(tmp_path, name, head, ending):
    (tmp_path / name).write_bytes(head)
    assert files.ending(tmp_path / name) == ending
    assert files.ending(tmp_path / "none.mkv") == ".mkv" and files.ending(tmp_path) == tmp_path.suffix
