"""CIFAR-10, MNIST and webdataset shards in the files that people download, and what damaged ones say."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import UsageError
from artcli.training.data import items, pickles
from artcli.training.data.layout import read_layout

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) % 10
PLANES = PIXELS.transpose(0, 3, 1, 2).reshape(12, 3072)  # as both versions of CIFAR-10 store them


class Py2:
    """Writes opcodes as Python 2's pickle did, which Python 3 cannot be asked for: strings are byte strings."""

    def __init__(self):
        self.out = b"\x80\x02"

    def put(self, value):
        if isinstance(value, bytes):
            self.out += b"T" + struct.pack("<i", len(value)) + value
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.out += b"J" + struct.pack("<i", value)
        elif isinstance(value, tuple):
            self.out += b"("
            for part in value:
                self.put(part)
            self.out += b"t"
        elif isinstance(value, list):
            self.out += b"]("
            for part in value:
                self.put(part)
            self.out += b"e"
        elif isinstance(value, np.ndarray):
            self.call(b"numpy.core.multiarray", b"_reconstruct", (b"G" + b"numpy ndarray", (0,), b"b"))
            self.out += b"("
            for part in (1, tuple(int(side) for side in value.shape)):
                self.put(part)
            self.call(b"numpy", b"dtype", (b"u1", 0, 1))
            self.out += b"("
            for part in (3, b"|"):
                self.put(part)
            self.out += b"NNN"
            for part in (-1, -1, 0):
                self.put(part)
            self.out += b"tb"
            self.put(False)
            self.put(value.tobytes())
            self.out += b"tb"
        else:
            raise TypeError(value)

    def call(self, module, name, arguments):
        self.out += b"c" + module + b"\n" + name + b"\n("
        for part in arguments:
            if isinstance(part, bytes) and part.startswith(b"G"):
                self.out += b"c" + part[1:].replace(b" ", b"\n") + b"\n"
            else:
                self.put(part)
        self.out += b"tR"

    def dictionary(self, entries):
        self.out += b"}("
        for key, value in entries.items():
            self.put(key)
            self.put(value)
        return self.out + b"u."


def python2_batch(pixels, labels):
    return Py2().dictionary({b"batch_label": b"testing", b"labels": [int(n) for n in labels], b"data": pixels})


def cifar_python(folder, write=python2_batch):
    folder.mkdir(exist_ok=True)
    (folder / "data_batch_1").write_bytes(write(PLANES[:5], LABELS[:5]))
    (folder / "data_batch_2").write_bytes(write(PLANES[5:10], LABELS[5:10]))
    (folder / "test_batch").write_bytes(write(PLANES[10:], LABELS[10:]))
    (folder / "batches.meta").write_bytes(Py2().dictionary({b"label_names": [name.encode() for name in CLASSES]}))
    (folder / "readme.html").write_text("<html>")
    return folder


def cifar_binary(folder):
    records = np.concatenate([LABELS[:, None].astype(np.uint8), PLANES], axis=1)
    (folder / "data_batch_1.bin").write_bytes(records[:10].tobytes())
    (folder / "test_batch.bin").write_bytes(records[10:].tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CLASSES) + "\n\n")
    return folder


def check_cifar(layout):
    assert layout.kind == "CIFAR-10" and list(layout.classes) == CLASSES
    assert (np.stack([item.source for item in layout.items]) == PIXELS).all()
    assert [item.label for item in layout.items] == LABELS.tolist()
    assert [item.held_out for item in layout.items] == [False] * 10 + [True] * 2
    assert len({item.name for item in layout.items}) == 12


def python3_batch(protocol):
    return lambda pixels, labels: pickle.dumps({b"labels": labels.tolist(), b"data": pixels}, protocol)


@pytest.mark.parametrize("write", [python2_batch, *[python3_batch(p) for p in (2, 3, 4, 5)]])
def test_cifar_python(tmp_path, write):
    check_cifar(read_layout(cifar_python(tmp_path, write)))


def test_cifar_binary(tmp_path):
    check_cifar(read_layout(cifar_binary(tmp_path)))


@pytest.mark.parametrize("where", ["the archive", "its folder", "the folder around the batches"])
def test_cifar_as_downloaded(tmp_path, where):
    batches = cifar_python(tmp_path / "cifar-10-batches-py")
    archive = tmp_path / "dl" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(batches, batches.name)
    path = {"the archive": archive, "its folder": archive.parent}.get(where)
    if path is None:
        archive.unlink()
        archive.parent.rmdir()
        path = tmp_path
    check_cifar(read_layout(path))


def test_a_cut_archive(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(cifar_python(tmp_path / "batches"), "cifar-10-batches-py")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UsageError, match=r"python\.tar\.gz is damaged"):
        read_layout(path)


def test_a_cut_binary_batch(tmp_path):
    path = cifar_binary(tmp_path) / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"data_batch_1\.bin is cut short"):
        read_layout(tmp_path)


def test_a_label_that_no_class_has(tmp_path):
    path = cifar_binary(tmp_path) / "data_batch_1.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(UsageError, match="label 10, but CIFAR-10 has 10 classes"):
        read_layout(tmp_path)


# --- pickles run nothing -------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Evil(eval, "open('ran', 'w')"),
        Evil(getattr, "text", "upper"),
        Evil(np.fromfile, "somewhere"),
        Evil(np.load, "somewhere"),
        np.array([{}], dtype=object),
        np.zeros(3, np.float32),
        lambda: None,
    ],
)
def test_a_pickle_cannot_run_code(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    try:
        data = pickle.dumps({"data": value, "labels": []}, 2)
    except (pickle.PicklingError, AttributeError):
        data = b"cos\nsystem\n(S'touch ran'\ntR."
    folder = cifar_python(tmp_path / "set")
    (folder / "data_batch_1").write_bytes(data)
    with pytest.raises(UsageError, match="data_batch_1 is no batch of CIFAR-10"):
        read_layout(folder)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_cannot_change_what_reads_it():
    # GLOBAL _codecs.encode, then BUILD with the state (None, {"_make": ...}): sets attributes of what it is given.
    attack = b"\x80\x02c_codecs\nencode\nN}(X\x05\x00\x00\x00_makeK\x01u\x86b."
    with pytest.raises(UsageError, match="change a function"):
        pickles.load(attack, "x")
    assert pickles.load(pickle.dumps({"a": b"bytes"}, 2), "x") == {"a": b"bytes"}


def test_a_pickle_cannot_take_all_memory():
    """The number of a value makes the reader lay out a table that long: 4 bytes of file ask for 34 GB."""
    with pytest.raises(UsageError, match="it numbers a value 2147483647"):
        pickles.load(b"\x80\x02}r\xff\xff\xff\x7f.", "x")


@given(st.binary(max_size=60), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_no_bytes_end_in_anything_but_one_line(data, cut):
    good = pickle.dumps({"data": PLANES[:1, :40], "labels": [1]}, 2)
    for attempt in (data, good[:cut] + data, good[: len(good) - cut] + data + good[len(good) - cut :]):
        try:
            assert isinstance(pickles.load(attempt, "x"), dict)
        except UsageError as error:
            assert str(error).startswith("x is no batch")


# --- MNIST ---------------------------------------------------------------------------------------------------------


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


GREY = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8)


def mnist(folder, suffix="", dash="-", test=True):
    pack = gzip.compress if suffix else bytes
    for part, rows in (("train", slice(0, 10)), ("t10k", slice(10, 12))) if test else (("train", slice(0, 10)),):
        (folder / f"{part}-images{dash}idx3-ubyte{suffix}").write_bytes(pack(idx(GREY[rows])))
        (folder / f"{part}-labels{dash}idx1-ubyte{suffix}").write_bytes(pack(idx(LABELS[rows].astype(np.uint8))))
    return folder


@pytest.mark.parametrize("suffix, dash", [("", "-"), (".gz", "-"), ("", ".")])
def test_mnist(tmp_path, suffix, dash):
    layout = read_layout(mnist(tmp_path, suffix, dash))
    assert layout.kind == "MNIST" and layout.classes == tuple("0123456789")
    by_part = {False: GREY[:10], True: GREY[10:]}
    for part, pixels in by_part.items():
        own = [item for item in layout.items if item.held_out == part]
        assert (np.stack([item.source for item in own]) == pixels).all()
    assert [item.label for item in layout.items if not item.held_out] == list(range(10))


def test_mnist_without_labels(tmp_path):
    mnist(tmp_path, test=False)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    layout = read_layout(tmp_path)
    assert layout.classes == () and {item.label for item in layout.items} == {0}
    assert "has no train-labels-idx1-ubyte beside it" in layout.notes[0]


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:-1], "is cut short"),
        (lambda data: data + b"x", "is too long"),
        (lambda data: b"\x00\x00\x0d" + data[3:], "is no IDX file"),
        (lambda data: data[:3], "is no IDX file"),
        (lambda data: b"", "is no IDX file"),
        (lambda data: gzip.compress(data)[:-9], "is damaged"),
    ],
)
def test_damaged_idx(tmp_path, damage, message):
    path = mnist(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=f"train-images-idx3-ubyte {message}"):
        read_layout(tmp_path)


def test_labels_of_another_set(tmp_path):
    (mnist(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:9].astype(np.uint8)))
    with pytest.raises(UsageError, match=r"has 10 pictures, but train-labels-idx1-ubyte 9 labels"):
        read_layout(tmp_path)


# --- shards --------------------------------------------------------------------------------------------------------


def png(level):
    out = io.BytesIO()
    Image.new("RGB", (6, 6), (level, level, 0)).save(out, "PNG")
    return out.getvalue()


def shard(path, contents, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_shards(tmp_path):
    shard(tmp_path / "train-000.tar", {"0001.png": png(1), "0001.cls": b"10", "0002.cls": b"2\n", "0002.PNG": png(2)})
    shard(tmp_path / "train-001.tar", {"a/3.png": png(3), "a/3.json": b"{}", "a/3.cls": b"2", "a/._3.png": b"junk"})
    shard(tmp_path / "val-000.tar", {"9.png": png(9), "9.cls": b"10"})
    layout = read_layout(tmp_path)
    assert layout.kind == "3 webdataset shards" and layout.classes == ("2", "10")
    assert {item.name: item.label for item in layout.items} == {
        "train-000/0001.png": 1,
        "train-000/0002.PNG": 0,
        "train-001/a/3.png": 0,
        "val-000/9.png": 1,
    }
    assert [item.name for item in layout.items if item.held_out] == ["val-000/9.png"]
    assert [items.read(item) for item in layout.items] == [png(n) for n in (1, 2, 3, 9)]


def test_captions_in_shards(tmp_path):
    """In .txt or in .json, which is about other things too; .txt counts where there are both."""
    given = {
        "1": {"json": b'{"caption": " a dog ", "width": 3}'}, "2": {"json": b'{"text": ["a cat", "cats"]}'},
        "3": {"txt": b"a car\nred\n", "json": b'{"caption": "no car"}'}, "4": {"json": b"{"},
        "5": {"json": b'{"caption": 3}'}, "6": {"json": b"[1]"}, "7": {},
    }  # fmt: skip
    members = {f"{key}.{suffix}": data for key, of_one in given.items() for suffix, data in of_one.items()}
    shard(tmp_path / "a.tar", {f"{key}.png": png(int(key)) for key in given} | members)
    texts = [item.texts for item in read_layout(tmp_path).items]
    assert texts == [("a dog",), ("a cat", "cats"), ("a car", "red"), (), (), (), ()]


def test_shards_without_classes(tmp_path):
    shard(tmp_path / "a.tar", {"1.png": png(1), "2.png": png(2), "2.cls": b"1"})
    layout = read_layout(tmp_path / "a.tar")
    assert layout.classes == () and "Without .cls: 1 picture" in layout.notes[0]


def test_names_can_be_classes(tmp_path):
    shard(tmp_path / "a.tar", {"1.png": png(1), "1.cls": b"dog", "2.png": png(2), "2.cls": b"cat"})
    layout = read_layout(tmp_path)
    assert layout.classes == ("cat", "dog") and [item.label for item in layout.items] == [1, 0]


def test_a_cut_shard_gives_what_is_whole(tmp_path):
    shard(tmp_path / "a.tar", {f"{n}.png": png(n) for n in range(5)})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: 3 * 1024 + 700])  # each takes 512 for the header and 512 for the picture
    layout = read_layout(tmp_path)
    assert 3 <= len(layout.items) <= 4
    assert [items.read(item) for item in layout.items[:3]] == [png(n) for n in range(3)]
    assert layout.problems and layout.problems[0].name == "a.tar"


def test_a_compressed_shard(tmp_path):
    shard(tmp_path / "a.tar", {"1.png": png(1)}, "w:gz")
    with pytest.raises(UsageError, match=r"a\.tar is compressed: unpack it"):
        read_layout(tmp_path)


def test_shards_of_sounds(tmp_path):
    shard(tmp_path / "a.tar", {"1.wav": b"1"})
    with pytest.raises(UsageError, match=r"no picture in .*a\.tar, only other files"):
        read_layout(tmp_path)
