"""Films painted frame by frame: what stands still keeps its strokes, the sound stays, an interrupted one goes on."""

import json
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.backends.paint import layers
from artcli.backends.paint.moving import Moving
from artcli.backends.paint.settings import Settings
from artcli.media import ffmpeg, record, video
from tests.conftest import one_error_line, photograph
from tests.test_paint_layers import FLAT, Squares

COUNT = 6


def frames():
    """A disc that moves over a still ground."""
    y, x = np.mgrid[:64, :96]
    ground = np.stack((x * 2, y * 3, 200 - x), 2).astype(np.uint8)
    for number in range(COUNT):
        frame = ground.copy()
        frame[(x - 20 - 6 * number) ** 2 + (y - 32) ** 2 < 100] = (250, 240, 20)
        yield frame


@pytest.fixture
def film(folder):
    """film.mp4 with a tone."""
    with video.VideoWriter(folder / "silent.mp4", (96, 64), 12) as writer:
        for frame in frames():
            writer.write(frame)
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.5", "-c:v", "copy", "-c:a", "aac", "-shortest"]
    ffmpeg.run(["-i", "silent.mp4", *tone, "film.mp4"], "make a film with sound")
    Path("silent.mp4").unlink()
    return folder


@pytest.fixture
def paint(invoke, tiny_painter):
    """Fails unless it exits as expected."""

    def run(*args, code=0):
        result = invoke("paint", *args, "--model", tiny_painter)
        assert result.exit_code == code, result.stderr
        return result

    return run


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [48, 96, 144])
def test_a_film_at_another_size(paint, film, size):
    """Smaller frames are shrunk before they are painted, larger ones get the strokes of the film's own size."""
    planned = paint("film.mp4", "--size", size, "-n").stderr
    paint("film.mp4", "--size", size, "-o", "a.mp4")
    made = video.probe(Path("a.mp4"))
    assert (made.size, made.fps, len(list(video.read_frames(Path("a.mp4"))))) == ((size, size * 2 // 3), 12, COUNT)
    work = [int(text.split(" patches")[0].split()[-1]) for text in (planned, paint("film.mp4", "-n").stderr)]
    assert (work[0] < work[1]) == (size < 96)


def test_larger_frames_have_the_same_strokes_and_keep_what_stands_still():
    sizes = [(96, 64), (192, 128)]
    both = [Moving(Squares(), Settings(detail=2), FLAT, None, None, size) for size in sizes]
    usual, large = ([moving.paint(frame) for frame in frames()] for moving in both)
    for one, other in zip(usual, large, strict=True):
        shrunk = np.asarray(Image.fromarray(other).resize((96, 64), Image.Resampling.BOX))
        assert other.shape == (128, 192, 3) and np.abs(one.astype(int) - shrunk).mean() < 4
    for number, (one, other) in enumerate(pairwise(large)):
        assert (one != other)[:, 2 * (60 + 6 * number) :].any(2).mean() < 0.02, "ahead of the disc nothing has happened"


def test_what_does_not_move_keeps_its_strokes():
    moving = Moving(Squares(), Settings(detail=2), FLAT, None)
    painted = [moving.paint(frame) for frame in frames()]
    changed = [(a != b).any(2) for a, b in pairwise(painted)]
    for number, change in enumerate(changed):
        assert change[:, 60 + 6 * number :].mean() < 0.02, "ahead of the disc nothing has happened yet"
        assert change.any()
    away = [np.abs(p.astype(int) - f).mean() for p, f in zip(painted, frames(), strict=True)]
    assert max(away) < 1.5 * away[0], "what was there before does not stay behind"


def test_frames_are_not_drawn_twice_and_are_the_same(monkeypatch):
    def painted():
        moving = Moving(Squares(), Settings(), FLAT, None)
        return [moving.paint(frame).tobytes() for frame in frames()]

    once = painted()
    monkeypatch.setattr(layers.Easel, "whole", None)
    assert painted() == once


def test_the_same_frame_again_gives_the_same_picture():
    moving = Moving(Squares(), Settings(), FLAT, None)
    frame = next(frames())
    first = moving.paint(frame)
    noise = np.random.default_rng(0).integers(-3, 4, frame.shape)
    assert (moving.paint((frame.astype(int) + noise).clip(0, 255).astype(np.uint8)) == first).all()


def test_a_film_keeps_its_frames_its_rate_and_its_sound(film, paint):
    result = paint("film.mp4", "--json")
    assert json.loads(result.stdout)["frames"] == COUNT
    assert visible(film) == ["film-painted.mp4", "film.mp4"]
    painted = Path("film-painted.mp4")
    assert video.probe(painted) == ((96, 64), 12)
    assert len(list(video.read_frames(painted))) == COUNT
    assert "Audio: aac" in ffmpeg.report(["-i", "film-painted.mp4"])
    assert record.read(painted)["parameters"]["inputs"] == ["film.mp4"]


def test_an_interrupted_film_goes_on_to_the_same_bytes(film, paint, monkeypatch):
    paint("film.mp4", "-o", "whole.mp4", "-q")
    real, seen = Moving.paint, []

    def stopping(self, frame):
        seen.append(frame)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, frame)

    monkeypatch.setattr(Moving, "paint", stopping)
    result = paint("film.mp4", "-o", "parts.mp4", "-q", code=130)
    assert "--resume" in one_error_line(result.stderr)
    assert len(list(video.read_frames(Path("parts.mp4")))) == 3 and Path("parts.mp4.resume").is_dir()
    refused = paint("film.mp4", "-o", "parts.mp4", "-q", "--resume", "--brush", "dry", code=2)
    assert "other brush" in one_error_line(refused.stderr)
    paint("film.mp4", "-o", "parts.mp4", "-q", "--resume")
    assert len(seen) == COUNT and not Path("parts.mp4.resume").exists()
    assert Path("parts.mp4").read_bytes() == Path("whole.mp4").read_bytes()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["film.mp4", "--gif", "--strokes", 9], "--strokes, --gif is for pictures"),
        (["film.mp4", "--background", "transparent"], "transparency"),
        (["film.mp4", "-o", "a.png"], ".png"),
        (["photo.png", "--resume"], "--resume"),
        (["text.mp4"], "not a film"),
    ],
)
def test_what_films_cannot_have(film, paint, flags, word):
    Path("text.mp4").write_text("hello")
    photograph(film / "photo.png")
    before = visible(film)
    assert word in one_error_line(paint(*flags, "-q", code=2).stderr)
    assert visible(film) == before


def test_a_setting_for_photos_leaves_films_alone(film, paint, monkeypatch):
    monkeypatch.setenv("ARTGEN_GIF", "1")
    assert paint("film.mp4", "-q").stdout == "film-painted.mp4\n"
    assert visible(film) == ["film-painted.mp4", "film.mp4"]
