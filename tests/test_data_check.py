"""`--check` says what a folder holds and what is odd about it, and fails on no file."""

import json

import numpy as np
import pytest
from PIL import Image

from artcli.errors import UsageError
from artcli.training.data import check

RNG = np.random.default_rng(0)


def noise(size=(40, 50), seed=None):
    rng = RNG if seed is None else np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def zoo(tmp_path):
    """One picture of every odd kind."""
    root = tmp_path / "zoo"
    (root / "x").mkdir(parents=True)
    (root / "y").mkdir()
    noise(seed=1).save(root / "x" / "plain.png")
    noise(seed=1).save(root / "y" / "again.bmp")
    noise((31, 60)).save(root / "x" / "tiny.png")
    noise((200, 90)).save(root / "x" / "large.png")
    noise().convert("L").save(root / "x" / "grey.jpg")
    noise().convert("L").convert("RGB").save(root / "y" / "grey too.JPG")
    noise().convert("CMYK").save(root / "y" / "print.jpg")
    clear = noise()
    clear.putalpha(Image.linear_gradient("L").resize((40, 50)))
    clear.save(root / "y" / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise().save(root / "y" / "turned.jpg", exif=exif)
    Image.fromarray(RNG.integers(0, 65536, (40, 40), dtype=np.uint16)).save(root / "y" / "deep.png")
    noise().save(root / "y" / "film.gif", save_all=True, append_images=[noise()])
    (root / "x" / "broken.png").write_bytes((root / "x" / "plain.png").read_bytes()[:300])
    (root / "x" / "words.jpg").write_text("words")
    (root / "x" / "nothing.png").write_bytes(b"")
    return root


def test_every_oddity_is_found(zoo):
    found = check.check(zoo)
    assert found.odd == {
        "unreadable": ["x/broken.png", "x/nothing.png", "x/words.jpg"],
        "tiny": ["x/tiny.png"],
        "duplicates": ["y/again.bmp (as x/plain.png)"],
        "grey": ["x/grey.jpg", "y/deep.png", "y/grey too.JPG"],
        "alpha": ["y/clear.png"],
        "cmyk": ["y/print.jpg"],
        "rotated": ["y/turned.jpg"],
        "deep": ["y/deep.png"],
        "animated": ["y/film.gif"],
    }
    assert [name for name, _ in found.reasons] == found.odd["unreadable"]
    assert found.classes == {"x": 7, "y": 7} and found.pictures == 14


def test_lines_for_people(zoo):
    lines = check.check(zoo).lines()
    assert lines[0] == f"{zoo}: 14 pictures, 2 class folders"
    assert "classes: x 7, y 7" in lines
    assert "width 31 to 200 (median 40), height 40 to 90 (median 50) pixels" in lines
    assert any(line.startswith("unreadable: 3 (left out): x/broken.png is ") for line in lines)
    assert "tiny: 1 (shorter side under 32 pixels: enlarged, and blurred by it): x/tiny.png" in lines
    assert all("\n" not in line for line in lines)


def test_a_dictionary_for_json(zoo):
    about = json.loads(json.dumps(check.check(zoo).as_dict()))
    assert about["width"] == {"min": 31, "median": 40, "max": 200}
    assert about["grey"] == ["x/grey.jpg", "y/deep.png", "y/grey too.JPG"]
    assert about["reasons"]["x/words.jpg"].startswith("is a text file")


def test_many_oddities_take_one_line(tmp_path):
    for number in range(9):
        noise((8, 8)).save(tmp_path / f"{number}.png")
    lines = check.check(tmp_path).lines()
    assert next(line for line in lines if line.startswith("tiny: 9")).endswith(": 0.png, 1.png, 2.png, ...")


def test_a_good_folder(tmp_path):
    for number in range(2):
        noise().save(tmp_path / f"{number}.png")
    lines = check.check(tmp_path).lines()
    assert lines == [f"{tmp_path}: 2 pictures, flat folder", "width 40, height 50 pixels", "nothing odd"]


def test_only_bad_files_are_no_failure(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("words")
    found = check.check(tmp_path)
    assert len(found.odd["unreadable"]) == 2 and found.as_dict()["width"] is None


def test_nothing_to_check(tmp_path):
    with pytest.raises(UsageError, match="is empty"):
        check.check(tmp_path)


def test_sixteen_bit_colour_and_damaged_exif_are_seen(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + RNG.bytes(40 * 6) for _ in range(40))
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    noise().save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    Image.fromarray(RNG.random((40, 40), dtype=np.float32)).save(tmp_path / "float.tif")
    found = check.check(tmp_path)
    assert found.odd["deep"] == ["deep.png", "float.tif"]
    assert found.odd["rotated"] == [] and found.odd["unreadable"] == []


def test_pixels_that_are_decoded_already(tmp_path):
    records = RNG.integers(0, 10, (5, 3073), dtype=np.uint8)
    records[4] = records[1]
    (tmp_path / "data_batch_1.bin").write_bytes(records.tobytes())
    found = check.check(tmp_path)
    assert found.layout == "5 pictures, CIFAR-10" and sum(found.classes.values()) == 5
    assert found.odd["duplicates"] == ["data_batch_1.bin/00004 (as data_batch_1.bin/00001)"]


def test_progress_and_the_same_answer_every_time(zoo):
    seen = []
    first = check.check(zoo, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 14) for n in range(1, 15)]
    assert check.check(zoo) == first
