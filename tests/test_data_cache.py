"""The prepared pictures on disk: built once, whole or not at all, and bounded."""

import errno
import os
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image

from artcli.errors import ArtgenError, UsageError
from artcli.training.data import cache, prepare, shelf
from artcli.training.data.layout import read_layout
from artcli.training.data.prepare import Preparation
from tests import warm

SMALL = Preparation(size=8)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def data(tmp_path):
    """Twelve pictures of which each says its number, two of them damaged."""
    root = tmp_path / "data"
    root.mkdir()
    for number in range(12):
        Image.new("RGB", (10, 10), (number, 0, 0)).save(root / f"{number:02}.png")
    (root / "03.png").write_bytes((root / "03.png").read_bytes()[:40])
    (root / "07.png").write_text("no picture at all")
    return root


def opened(path, preparation=SMALL, progress=None):
    return cache.open_cache(read_layout(path), preparation, progress)


def built(monkeypatch):
    """Counts how many pictures are decoded from now on."""
    count = []
    decode = prepare.decode
    monkeypatch.setattr(prepare, "decode", lambda *args: count.append(1) or decode(*args))
    return count


def whole(folder):
    return sorted(p.name for p in folder.glob("*") if p.is_dir())


def test_good_pictures_are_there_and_bad_ones_listed(data):
    cached = opened(data)
    good = [n for n in range(12) if n not in (3, 7)]
    assert cached.images.shape == (10, 8, 8, 3) and cached.images.dtype == np.uint8
    assert cached.images[:, 0, 0, 0].tolist() == good and cached.rows.tolist() == good
    assert [skip.name for skip in cached.skipped] == ["03.png", "07.png"]
    assert cached.skipped[0].reason.startswith(("is cut short", "is damaged"))
    assert cached.skipped[1].reason == "is a text file, not an image, whatever its name says"


def test_it_is_a_npy_file_that_anyone_can_read(data, cache_folder):
    cached = opened(data)
    (path,) = cache_folder.glob("pictures/*/images.npy")
    assert (np.load(path) == cached.images).all()


def test_the_second_time_nothing_is_decoded(data, monkeypatch):
    first = opened(data)
    count = built(monkeypatch)
    second = opened(data)
    assert not count
    for name in ("images", "rows", "digests"):
        assert (getattr(first, name) == getattr(second, name)).all()
    assert first.skipped == second.skipped


@pytest.mark.parametrize("change", ["preparation", "content", "new file", "renamed"])
def test_a_change_builds_anew(data, monkeypatch, change):
    opened(data)
    count = built(monkeypatch)
    preparation = SMALL
    if change == "preparation":
        preparation = Preparation(size=8, filter="box")
    if change == "content":
        os.utime(data / "00.png", ns=(1, 1))
    if change == "new file":
        Image.new("RGB", (10, 10), (99, 0, 0)).save(data / "99.png")
    if change == "renamed":
        (data / "00.png").rename(data / "zz.png")
    opened(data, preparation)
    assert count


def test_one_changed_picture_builds_anew(data, monkeypatch):
    opened(data / "00.png")
    count = built(monkeypatch)
    opened(data / "00.png")
    assert not count
    os.utime(data / "00.png", ns=(1, 1))
    opened(data / "00.png")
    assert count


def test_a_changed_mask_builds_anew(data, tmp_path, monkeypatch):
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(12):
        Image.new("L", (10, 10), 255).save(masks / f"{number:02}.png")
    preparation = Preparation(size=8, masks=masks)
    opened(data, preparation)
    count = built(monkeypatch)
    opened(data, preparation)
    assert not count
    Image.new("L", (10, 10), 254).save(masks / "00.png")
    (masks / "01.png").unlink()
    cached = opened(data, preparation)
    assert count and cached.skipped[0].name == "01.png" and "has no mask 01.*" in cached.skipped[0].reason


def test_writing_into_the_pictures_does_not_reach_the_disk(data):
    opened(data).images[:] = 255
    assert opened(data).images[0, 0, 0].tolist() == [0, 0, 0]


def test_equal_files_have_equal_digests(data):
    (data / "copy.png").write_bytes((data / "05.png").read_bytes())
    digests = opened(data).digests
    assert len(set(digests.tolist())) == len(digests) - 1 and digests[-1] == digests[4]


def test_progress_counts_every_picture(data):
    seen = []
    opened(data, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(13)]
    opened(data, progress=lambda *args: pytest.fail("nothing to do"))


def test_pictures_that_are_pixels_already(tmp_path):
    records = np.random.default_rng(0).integers(0, 10, (4, 3073), dtype=np.uint8)
    (tmp_path / "data_batch_1.bin").write_bytes(records.tobytes())
    cached = opened(tmp_path, Preparation(size=32))
    assert (cached.images == records[:, 1:].reshape(4, 3, 32, 32).transpose(0, 2, 3, 1)).all()


# --- errors --------------------------------------------------------------------------------------------------------


def test_nothing_is_left(tmp_path):
    data = tmp_path / "d"
    data.mkdir()
    for name in "abc":
        (data / f"{name}.png").write_text("words")
    with pytest.raises(UsageError, match=r"of the 3 pictures in .* none can be used: a\.png is a text file"):
        opened(data)
    Image.new("RGB", (9, 9)).save(data / "b.png")
    with pytest.raises(UsageError, match="only one can be used"):
        opened(data)
    (data / "a.png").unlink()
    (data / "c.png").unlink()
    assert len(opened(data).images) == 1, "one picture on purpose"


def test_an_error_leaves_nothing_behind(tmp_path, cache_folder):
    (tmp_path / "a.png").write_text("words")
    (tmp_path / "b.png").write_text("words")
    with pytest.raises(UsageError):
        cache.open_cache(read_layout(tmp_path), SMALL)
    assert whole(cache_folder / "pictures") == []


def test_a_disk_that_is_too_small(data, cache_folder, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ArtgenError, match=r"need 2\.3 kB, and 1\.0 kB are free in .*ARTGEN_CACHE_DIR"):
        opened(data)
    assert whole(cache_folder / "pictures") == []


def test_a_disk_that_fills_up(data, cache_folder, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "_flush", full)
    with pytest.raises(ArtgenError, match=r"cannot write the prepared pictures to .*: no space left on device"):
        opened(data)
    assert whole(cache_folder / "pictures") == []
    monkeypatch.undo()


def test_a_cache_on_a_read_only_disk_is_used(data, monkeypatch):
    opened(data)

    def refuse(*args, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(cache, "FileLock", refuse)
    monkeypatch.setattr(cache.os, "utime", refuse)
    assert len(opened(data).images) == 10


def test_a_cache_folder_that_is_a_file(data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ArtgenError, match="ARTGEN_CACHE_DIR names another folder"):
        opened(data)


@pytest.mark.parametrize("damage", ["images cut", "index cut", "index gone", "images gone", "other rows"])
def test_a_damaged_cache_is_built_again(data, cache_folder, damage):
    before = opened(data).images.copy()
    (place,) = (p for p in (cache_folder / "pictures").iterdir() if p.is_dir())
    images, index = place / "images.npy", place / "index.json"
    if damage.endswith("gone"):
        (place / ("index.json" if "index" in damage else "images.npy")).unlink()
    elif damage == "images cut":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "index cut":
        index.write_text(index.read_text()[:20])
    else:
        index.write_text(index.read_text().replace('"rows": [0, ', '"rows": ['))
    assert (opened(data).images == before).all()


# --- killed, and several at once -----------------------------------------------------------------------------------

BUILD = """
import sys, time
from pathlib import Path
from artcli.training.data import cache, prepare
from artcli.training.data.layout import read_layout
decode, slow = prepare.decode, float(sys.argv[2])
def slowly(*args):
    time.sleep(slow)
    print("decoding", flush=True)
    return decode(*args)
prepare.decode = slowly
cached = cache.open_cache(read_layout(Path(sys.argv[1])), prepare.Preparation(size=8))
print("images", len(cached.images), flush=True)
"""


def build(data, slow):
    return warm.Process([data, slow], code=BUILD, stdout=warm.PIPE, text=True)


def test_a_killed_build_leaves_nothing_that_counts(data, cache_folder):
    process = build(data, 0.2)
    process.stdout.readline()
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    (left,) = whole(cache_folder / "pictures")
    assert left.startswith(".")
    assert len(opened(data).images) == 10
    assert [name.startswith(".") for name in whole(cache_folder / "pictures")] == [False], "and it is tidied up"


def test_several_processes_build_one(data):
    processes = [build(data, 0.02) for _ in range(3)]
    outputs = [process.communicate()[0] for process in processes]  # of threads: lines may run together
    assert sorted(out.count("decoding") for out in outputs) == [0, 0, 10]
    assert all("images 10" in out for out in outputs)


# --- old ones ------------------------------------------------------------------------------------------------------


def make(data, size, age):
    """A cache that was used `age` seconds ago; its folder."""
    before = set(whole(shelf.folder()))
    opened(data, Preparation(size=size))
    (name,) = set(whole(shelf.folder())) - before
    os.utime(shelf.folder() / name, (time.time() - age, time.time() - age))
    return shelf.folder() / name


def test_the_least_recently_used_go_first(data):
    old, used, new = make(data, 8, 300), make(data, 9, 200), make(data, 10, 100)
    opened(data, Preparation(size=9))  # now the newest
    assert shelf.trim(limit=10**9) == 0
    freed = shelf.trim(limit=sum(shelf.size(place) for place in (used, new)))
    assert freed > 0 and not old.exists() and used.exists() and new.exists()
    shelf.trim(limit=shelf.size(used))
    assert not new.exists() and used.exists()
    assert shelf.trim(limit=0, keep=used) == 0 and used.exists()


def test_a_build_keeps_the_total_bounded(data, monkeypatch):
    old = make(data, 8, 300)
    monkeypatch.setattr(shelf.trim, "__defaults__", (10, None))
    assert len(opened(data, Preparation(size=9)).images) == 10
    assert not old.exists() and len(whole(shelf.folder())) == 1


def test_clear_takes_all_but_a_build_that_is_going_on(data):
    make(data, 9, 10)
    (shelf.folder() / ".0123-dead").mkdir()
    process = build(data, 0.2)
    process.stdout.readline()
    shelf.clear()
    (going_on,) = whole(shelf.folder())
    assert going_on.startswith(".")
    assert "images 10" in process.communicate()[0]
    assert shelf.clear() > 0 and whole(shelf.folder()) == []


def test_a_cleared_cache_stays_readable_for_who_has_it_open(data):
    if sys.platform == "win32":
        pytest.skip("Windows keeps open files")
    cached = opened(data)
    shelf.clear()
    assert cached.images[1, 0, 0, 0] == 1
