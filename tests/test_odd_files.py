"""One rule for odd files in every verb: animated GIF, WebP and PNG, photos with EXIF."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.commands.shared import outputs
from artcli.media import record, video
from tests.conftest import DELAYS, animation, delays, exif_of, one_error_line, photograph, snapshot, with_exif
from tests.test_cyclegan_run import tiny_translator  # noqa: F401 (a fixture)
from tests.test_stylize_fast import decoder  # noqa: F401
from tests.test_stylize_run import painting

NOTE = "is an animation: its first frame is taken"


@pytest.fixture
def calls(request, folder, tiny_painter, tiny_clip):
    """The beginning of each verb's line, up to its input, and what comes behind."""
    painting(folder / "painting.png")
    flags = ["--drawer", "fft", "--size", 48, "--steps", 2, "--frame-steps", 1, "--cutouts", 2, "--seed", 1]
    values = {
        "paint": (["paint"], ["--model", tiny_painter]),
        "cyclegan": (["cyclegan"], ["--model", request.getfixturevalue("tiny_translator")]),
        "fast": (["stylize"], ["painting.png", "--fast", "--size", 48, "--model", request.getfixturevalue("decoder")]),
        "dream": (["dream", "red car", "--clip", tiny_clip, *flags, "--init"], []),
    }
    return values


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast", "dream"])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_a_film_where_the_output_can_be_one(invoke, folder, calls, verb, suffix):
    animation(folder / f"a{suffix}")
    before, behind = calls[verb]
    to = ".webp" if suffix == ".gif" else ".gif"
    result = invoke(*before, f"a{suffix}", *behind, "-o", f"out{to}")
    assert result.exit_code == 0, result.stderr
    assert NOTE not in result.stderr
    found = delays(f"out{to}")
    assert sum(found) == sum(DELAYS)
    assert found == DELAYS or verb == "dream"  # which goes on drawing where its source rests
    result = invoke(*before, f"a{suffix}", *behind, "-o", "still.png")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count(NOTE) == 1
    assert not getattr(Image.open("still.png"), "is_animated", False)


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast", "dream"])
def test_the_content_of_a_film_decides_and_not_its_name(invoke, folder, calls, verb):
    with video.VideoWriter(folder / "a.mp4", (48, 32), 10) as film:
        for number in range(3):
            film.write(np.full((32, 48, 3), 60 * number, np.uint8))
    (folder / "a.mp4").rename(folder / "a.gif")
    animation(folder / "b.gif").rename(folder / "b.mp4")
    photograph(folder / "c.png", (48, 32)).rename(folder / "c.mp4")
    before, behind = calls[verb]
    for name, seconds in (("a.gif", 0.3), ("b.mp4", 1.5)):
        result = invoke(*before, name, *behind, "-o", f"{name}.webm")
        assert result.exit_code == 0, result.stderr
        assert abs(video.seconds(Path(f"{name}.webm")) - seconds) < 0.02
    for name, note in (("b.mp4", NOTE), ("c.mp4", "")):
        result = invoke(*before, name, *behind, "-o", f"still-{name}.png")
        assert result.exit_code == 0 and note in result.stderr, result.stderr
    result = invoke(*before, "a.gif", *behind, "-o", "still.png", "-q")
    assert result.exit_code == 2 and ".mp4" in one_error_line(result.stderr), "a film becomes a film"


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast", "dream"])
def test_exif_of_the_photo(invoke, folder, calls, verb):
    """Who, when and where a photo was made goes with it; --no-metadata drops all."""
    with_exif(folder / "photo.jpg")
    before, behind = calls[verb]
    for name, more in (("a.jpg", []), ("b.jpg", ["--no-metadata"])):
        result = invoke(*before, "photo.jpg", *behind, *more, "-o", name)
        assert result.exit_code == 0, result.stderr
    found = exif_of("a.jpg")
    assert (found[0x010E], found[0x0110], found[0x9003]) == ("a field", "ModelY", "2021:05:06 07:08:09")
    assert record.read(Path("a.jpg"))["command"] and 0x0112 not in found
    assert Image.open("a.jpg").height > Image.open("a.jpg").width or verb == "dream"
    assert not exif_of("b.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast", "dream"])
def test_a_pipe_is_read_once(invoke, folder, calls, verb):
    """As shells have it: artgen paint <(program)."""
    data = photograph(folder / "photo.png", (40, 30)).read_bytes()
    before, behind = calls[verb]
    assert invoke(*before, "photo.png", *behind, "--no-metadata", "-o", "a.png").exit_code == 0
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    result = invoke(*before, f"/dev/fd/{reading}", *behind, "--no-metadata", "-o", "b.png")
    os.close(reading)
    assert result.exit_code == 0, result.stderr
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast"])
def test_subfolders(invoke, folder, calls, verb):
    for name in ("photos/a.png", "photos/sub/c.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        photograph(folder / name, (40, 30))
    before, behind = calls[verb]
    ending = {"fast": "stylized"}.get(verb, "painted" if verb == "paint" else verb)
    result = invoke(*before, "photos", *behind, "-o", "flat/")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"flat/a-{ending}.png\n"
    assert "photos: 1 taken, 1 in its subfolders; --recursive takes them, too" in result.stderr
    result = invoke(*before, "photos", *behind, "-o", "out/", "--recursive")
    assert result.stdout == f"out/a-{ending}.png\nout/sub/c-{ending}.png\n"
    assert "subfolders" not in result.stderr


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast"])
def test_a_batch_with_a_bad_file_ends_alike_when_only_that_is_left(invoke, folder, calls, verb):
    (folder / "photos").mkdir()
    photograph(folder / "photos" / "a.png", (40, 30))
    (folder / "photos" / "b.png").write_text("no picture")
    before, behind = calls[verb]
    for _ in range(2):
        result = invoke(*before, "photos", *behind, "-o", "out/", "--skip-existing")
        assert result.exit_code == 1 and result.stderr.count("b.png") == 1, result.stderr
    assert invoke(*before, "photos/b.png", *behind, "-o", "b.png").exit_code == 2


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast", "dream", "sample"])
def test_a_dry_run_says_what_would_be_refused(invoke, folder, calls, verb):
    for name in ("photo.png", "there.png"):
        photograph(folder / name, (40, 30))
    before, behind = {**calls, "sample": (["sample", "vqgan-mini", "--reconstruct"], [])}[verb]
    files = snapshot(folder)

    def dry(*more):
        result = invoke(*before, "photo.png", *behind, "-n", *more)
        assert result.exit_code == 0 and snapshot(folder) == files, result.stderr
        return result

    said = "without --dry-run this is refused: there.png exists"
    assert said in dry("-o", "there.png").stderr and "refused" not in dry("-o", "there.png", "--force").stderr
    skipped = dry("-o", "there.png", "--skip-existing")
    assert "1 of 1 exist already" in skipped.stderr and not skipped.stdout
    assert dry("-o", "new/").stdout.startswith("new/")


def test_a_dry_run_sees_pictures_that_are_none(invoke, folder, calls):
    for name in ("photo.png", "other.png"):
        photograph(folder / name, (40, 30))
    (folder / "bad.png").write_text("no picture")
    refused = (
        [*calls["fast"][0], "photo.png", *calls["fast"][1], "--mask", "bad.png"],
        ["stylize", "photo.png", "other.png", "--mask", "bad.png"],
        ["sample", "vqgan-mini", "--reconstruct", "bad.png"],
    )
    for line in refused:
        result = invoke(*line, "-n", "-q")
        assert result.exit_code == 2 and one_error_line(result.stderr).startswith("bad.png is a text file"), line
    result = invoke("sample", "vqgan-mini", "--reconstruct", "bad.png", "photo.png", "-n", "-q")
    assert result.exit_code == 0 and one_error_line(result.stderr).startswith("bad.png is a text file")


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "fast"])
def test_two_inputs_of_one_name_and_another_format(invoke, folder, calls, verb):
    (folder / "twin").mkdir()
    for kind in ("jpg", "png"):
        photograph(folder / "twin" / f"IMG_1.{kind}", (40, 30))
    before, behind = calls[verb]
    result = invoke(*before, "twin", *behind, "-o", "out/*.jpg")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "out/IMG_1.jpg\nout/IMG_1-2.jpg\n"
    assert Image.open("out/IMG_1-2.jpg").format == "JPEG"


def test_default_names(folder):
    for suffix in (".gif", ".webp", ".png"):
        animation(folder / f"a{suffix}")
        photograph(folder / f"b{suffix}")
    assert [outputs.is_film(f"a{suffix}") for suffix in (".gif", ".webp", ".png")] == [True, True, False]
    assert not any(outputs.is_film(f"b{suffix}", Path("x.gif")) for suffix in (".gif", ".webp", ".png"))
    assert outputs.is_film("a.png", Path("x.mp4")) and not outputs.is_film("a.gif", Path("x.jpg"))
    assert [outputs.film_suffix(name) for name in ("a.gif", "a.webp", "a.mov", "a.webm")] == [
        ".gif", ".webp", ".mp4", ".webm",
    ]  # fmt: skip
    (folder / "a.gif").rename("a.mp4")
    (folder / "b.png").rename("b.mp4")
    assert outputs.is_film("a.mp4") and outputs.film_suffix("a.mp4") == ".gif"
    assert not outputs.is_film("a.mp4", Path("x.png")) and not outputs.is_film("b.mp4") and outputs.is_film("none.mp4")


def test_a_film_behind_a_pictures_name_is_a_bad_file_of_a_batch_of_photos(invoke, folder, calls):
    before, _ = calls["fast"]
    (folder / "a.gif").write_bytes(b"\0\0\0\x18ftypisom" + bytes(90))
    result = invoke(*before, "a.gif", "painting.png", "-o", "b.png", "-q")
    assert result.exit_code == 2 and "a.gif is a film" in one_error_line(result.stderr)


def test_what_stands_still_is_not_computed_again(invoke, folder, calls, monkeypatch):
    from artcli.backends import translate

    animation(folder / "a.gif")
    done = []
    real = translate.translate
    monkeypatch.setattr(translate, "translate", lambda *args: done.append(1) or real(*args))
    before, behind = calls["cyclegan"]
    result = invoke(*before, "a.gif", *behind, "-o", "out.mp4", "--json")
    assert result.exit_code == 0 and '"frames": 15' in result.stdout
    assert len(done) == 6
    assert abs(video.seconds(Path("out.mp4")) - 1.5) < 0.01
