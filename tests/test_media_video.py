"""Films: whole, playable after Ctrl-C, the same bytes each time; and the recipe of every kind of output."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import ArtgenError, UsageError
from artcli.media import decode, ffmpeg, images, recipe_text, record, video
from tests.conftest import DELAYS, animation, delays

RECIPE = {
    "version": "1.0",
    "command": "dream",
    "prompt": "a \"red\" car;\nété 赤い 🚗 = # \\ 'x' \t%d $HOME",
    "seed": 3,
    "weights": {"clip": "sha256:ab"},
}
FILMS = [".mp4", ".webm", ".gif"]


def frames(count, width=32, height=24):
    ramp = np.linspace(0, 200, width, dtype=np.uint8)
    for index in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[..., 0], frame[..., 1] = ramp, 30 * index % 256
        yield frame


def write(path, count=5, size=(32, 24), **options):
    with video.VideoWriter(path, size, 10, **options) as film:
        for frame in frames(count, *size):
            film.write(frame)
    return path


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FILMS)
def test_frames_come_back(tmp_path, suffix):
    path = write(tmp_path / f"film{suffix}", 5)
    assert list(tmp_path.iterdir()) == [path]
    assert video.probe(path) == ((32, 24), 10)
    back = list(video.read_frames(path))
    assert len(back) == 5
    for got, sent in zip(back, frames(5), strict=True):
        assert abs(got.astype(int) - sent).mean() < 6


@pytest.mark.parametrize("suffix", FILMS)
@pytest.mark.parametrize("size", [(33, 25), (1, 1)])
def test_odd_sizes(tmp_path, suffix, size):
    path = write(tmp_path / f"film{suffix}", 2, size)
    coded = size if suffix == ".gif" else (size[0] + 1, size[1] + 1)
    assert video.probe(path).size == coded
    assert len(list(video.read_frames(path))) == 2


def with_tone(path, seconds, pitch=440):
    """A film of one colour that hums."""
    lavfi = ["-f", "lavfi", "-i", f"sine=frequency={pitch}:duration={seconds}"]
    lavfi += ["-f", "lavfi", "-i", f"color=red:size=16x16:rate=10:duration={seconds}"]
    ffmpeg.run([*lavfi, "-map", "0:a", "-map", "1:v", f"file:{path}"], f"write {path}")
    return path


def heard(path):
    """The sound of a film: mono samples at 8 kHz, (N,) in -1..1."""
    raw = ffmpeg.run(["-i", f"file:{path}", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"], f"hear {path}")
    return np.frombuffer(raw, np.int16) / 32768


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_sound_of_another_film(tmp_path, suffix):
    """As long as the picture: the rest of the sound is left out, and what is missing is silence."""
    source = with_tone(tmp_path / "source.mp4", 1.0)
    assert video.has_sound(source) and not video.has_sound(write(tmp_path / f"still{suffix}"))
    for count in (5, 20):
        film = write(tmp_path / f"{count}{suffix}", count, sound=source, recipe=RECIPE)
        assert record.read(film) == RECIPE
        assert len(list(video.read_frames(film))) == count
        sound = heard(film)
        assert len(sound) / 8000 == pytest.approx(count / 10, abs=0.1)
        spectrum = np.abs(np.fft.rfft(sound[800:3200]))
        assert abs(spectrum.argmax() * 8000 / 2400 - 440) < 10
        assert np.abs(sound[9600:]).max(initial=0) < 0.01
    assert (tmp_path / f"5{suffix}").read_bytes() == write(
        tmp_path / f"b{suffix}", 5, sound=source, recipe=RECIPE
    ).read_bytes()


def test_what_has_no_sound(tmp_path):
    source = write(tmp_path / "still.mp4")
    assert not video.has_sound(write(tmp_path / "a.mp4", sound=source))
    assert not video.has_sound(write(tmp_path / "a.gif", sound=with_tone(tmp_path / "tone.mp4", 0.5)))


@pytest.mark.parametrize("suffix", FILMS)
def test_same_frames_same_bytes(tmp_path, suffix):
    one, two = (write(tmp_path / f"{name}{suffix}", 6, recipe=RECIPE) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_hold_repeats_the_last_frame(tmp_path):
    with video.VideoWriter(tmp_path / "a.mp4", (32, 24), 10) as film:
        with pytest.raises(ValueError, match="nothing to hold"):
            film.hold(1)
        film.write(next(frames(1)))
        film.hold(0.5)
        assert film.frames == 6
    assert len(list(video.read_frames(tmp_path / "a.mp4"))) == 6


def test_gif_keeps_white_and_loops(tmp_path):
    for loop in (True, False):
        with video.VideoWriter(tmp_path / f"{loop}.gif", (8, 8), 12.5, loop=loop) as film:
            film.write(np.full((8, 8, 3), 255, np.uint8))
            film.write(np.zeros((8, 8, 3), np.uint8))
        with Image.open(tmp_path / f"{loop}.gif") as image:
            assert (image.n_frames, image.info.get("loop"), image.info["duration"]) == (2, 0 if loop else None, 80)
            image.seek(0)
            assert image.convert("RGB").getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", FILMS)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_exception_still_leaves_a_playable_film(tmp_path, suffix, stop):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(stop), video.VideoWriter(path, (32, 24), 10) as film:
        for frame in frames(3):
            film.write(frame)
        raise stop
    assert len(list(video.read_frames(path))) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_without_frames_or_after_abort(tmp_path):
    with pytest.raises(KeyboardInterrupt), video.VideoWriter(tmp_path / "a.mp4", (32, 24), 10):
        raise KeyboardInterrupt
    with pytest.raises(ArtgenError, match="there was no frame"), video.VideoWriter(tmp_path / "a.mp4", (32, 24), 10):
        pass
    with video.VideoWriter(tmp_path / "a.gif", (32, 24), 10) as film:
        film.write(next(frames(1)))
        film.abort()
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys, numpy as np
from pathlib import Path
from signal import SIGINT, default_int_handler, signal
from artcli.media.video import VideoWriter
signal(SIGINT, default_int_handler)  # a shell's background job starts with Ctrl-C ignored
try:
    with VideoWriter(Path(sys.argv[1]), (64, 48), 25) as film:
        while True:
            film.write(np.full((48, 64, 3), film.frames % 256, np.uint8))
            if film.frames == 20:
                print("ready", flush=True)
except KeyboardInterrupt:
    print(film.frames)
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups as POSIX has them")
def test_ctrl_c_of_a_terminal_leaves_a_playable_film(tmp_path):
    """The terminal sends SIGINT to the whole group, ffmpeg's would-be group included."""
    path = tmp_path / "a.mp4"
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )
    assert child.stdout.readline() == b"ready\n"
    os.killpg(child.pid, signal.SIGINT)
    try:
        rest, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    # the interrupt may fall between queueing a frame and counting it
    assert len(list(video.read_frames(path))) - int(rest) in (0, 1)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_disk_full_at_the_end(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")

    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ArtgenError, match="no space left on device"), video.VideoWriter(path, (32, 24), 10) as film:
        film.write(next(frames(1)))
        monkeypatch.setattr(os, "fsync", refuse)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def fake_ffmpeg(monkeypatch, folder, script):
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(program))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays ffmpeg")
def test_ffmpeg_failures_are_one_line(tmp_path, monkeypatch):
    path = tmp_path / "out" / "a.mp4"
    path.parent.mkdir()
    fake_ffmpeg(monkeypatch, tmp_path, "echo '[enc @ 0x1] Unknown encoder x' >&2; exit 8")
    with pytest.raises(ArtgenError, match=r"could not write .*a\.mp4: Unknown encoder x\.$"):
        video.VideoWriter(path, (32, 24), 10)

    fake_ffmpeg(monkeypatch, tmp_path, "cat > /dev/null")  # the probe goes well,
    film = video.VideoWriter(path, (32, 24), 10)
    film.abort()
    monkeypatch.setattr(video.VideoWriter, "_try", lambda self: None)
    fake_ffmpeg(monkeypatch, tmp_path, "head -c 100 > /dev/null; echo 'x: No space left on device' >&2; exit 1")
    with pytest.raises(ArtgenError, match=r"a\.mp4: no space left"), video.VideoWriter(path, (320, 240), 10) as film:
        while True:  # later the disk is full
            film.write(np.zeros((240, 320, 3), np.uint8))
    assert not list(path.parent.iterdir())

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(tmp_path / "nothing"))
    with pytest.raises(ArtgenError, match="IMAGEIO_FFMPEG_EXE"):
        ffmpeg.run([], "do it")


def test_no_ffmpeg(monkeypatch):
    def none():
        raise RuntimeError("none found")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    with pytest.raises(ArtgenError, match="pip install imageio-ffmpeg"):
        ffmpeg.run([], "do it")


def test_bad_requests(tmp_path):
    for bad, size, fps in [("a.avi", (8, 8), 10), ("a.mp4", (0, 8), 10), ("a.mp4", (8, 8), 0)]:
        with pytest.raises(UsageError):
            video.VideoWriter(tmp_path / bad, size, fps)
    with video.VideoWriter(tmp_path / "a.mp4", (8, 6), 10) as film:
        for wrong in (np.zeros((8, 6, 3), np.uint8), np.zeros((6, 8, 3), np.float32)):
            with pytest.raises(ValueError, match="a frame is"):
                film.write(wrong)
        film.write(np.zeros((6, 8, 3), np.uint8))


# --- reading -------------------------------------------------------------------------------------------------------


def test_what_is_not_a_film(tmp_path):
    words = tmp_path / "a.mp4"
    words.write_text("words")
    sound = tmp_path / "b.wav"
    ffmpeg.run(["-f", "u8", "-ar", "8000", "-i", "pipe:0", f"file:{sound}"], "make sound", bytes(4000))
    for path, says in [
        (words, "is not a film"),
        (sound, "no picture"),
        (tmp_path, "folder"),
        (tmp_path / "c", "no file"),
    ]:
        with pytest.raises(UsageError, match=says) as caught:
            next(video.read_frames(path))
        assert "\n" not in str(caught.value)


def test_stopping_early_ends_ffmpeg(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 8, (320, 240))
    started, start = [], ffmpeg.start

    def watched(*args, **streams):
        started.append(start(*args, **streams))
        return started[-1]

    monkeypatch.setattr(ffmpeg, "start", watched)
    reader = video.read_frames(path)
    next(reader)
    reader.close()
    assert started and all(process.poll() is not None for process in started)


def uneven(path):
    """30 frames a second, then two a second, with 4 s of sound; like a phone's or a conference's film."""
    source = "testsrc2=size=96x64:rate=30:duration=4,select='lt(n,30)+not(mod(n,15))'"
    inputs = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=440:duration=4"]
    how = ["-fps_mode", "vfr", "-enc_time_base", "1/30", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0"]
    ffmpeg.run([*inputs, *how, "-c:a", "aac", f"file:{path}"], "make a film")
    return path


def changes(path, fps=None):
    """When the picture of a film changes, in frames."""
    shown = list(video.read_frames(path, fps))
    return [k for k in range(1, len(shown)) if abs(shown[k].astype(int) - shown[k - 1]).mean() > 0.5], len(shown)


def test_frames_of_different_length_keep_their_time_and_the_sound_its_length(tmp_path, caplog):
    path = uneven(tmp_path / "talk.mp4")
    assert video.probe(path) == ((96, 64), 30)
    whole = round(video.seconds(path) * 30)
    assert changes(path) == ([*range(1, 31), *range(45, 106, 15)], whole)
    assert abs(whole - 120) <= 1
    with video.VideoWriter(tmp_path / "b.mp4", (96, 64), 30, sound=path) as film:
        for frame in video.read_frames(path):
            film.write(frame)
    assert changes(tmp_path / "b.mp4")[0] == changes(path)[0]
    assert abs(video.seconds(tmp_path / "b.mp4") - video.seconds(path)) <= 1 / 30


def test_a_still_end_under_sound_is_told(tmp_path, capsys):
    from artcli.console import Console

    path = uneven(tmp_path / "talk.mp4")
    Console()
    for _ in range(2):
        list(video.read_frames(path))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "the sound is 0.5 s longer than the picture" in said[0]


def test_the_last_picture(tmp_path):
    """Of a short film, of one that is longer than what is looked at, and of one whose sound goes on alone."""
    last = list(frames(40))[-1]
    for count, name in ((3, "short.mp4"), (40, "long.webm")):
        shown = decode.open_image(video.last_picture(write(tmp_path / name, count), 400)).convert("RGB")
        expected = last if count == 40 else list(frames(count))[-1]
        assert np.abs(np.asarray(shown).astype(int) - expected).mean() < 5
    assert decode.open_image(video.last_picture(tmp_path / "long.webm", 16)).size == (16, 12)
    source = [
        "-f",
        "lavfi",
        "-i",
        "color=red:size=16x16:rate=10:duration=0.5",
        "-f",
        "lavfi",
        "-i",
        "sine=440:duration=4",
    ]
    ffmpeg.run([*source, f"file:{tmp_path / 'sound.mp4'}"], "make a film")
    assert (
        np.asarray(decode.open_image(video.last_picture(tmp_path / "sound.mp4", 400)).convert("RGB")).mean((0, 1))[0]
        > 200
    )
    (tmp_path / "none.mp4").write_text("no film")
    with pytest.raises(UsageError, match="is not a film, or is damaged"):
        video.last_picture(tmp_path / "none.mp4", 400)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("to", [".gif", ".webp"])
def test_an_animation_keeps_its_delays(tmp_path, suffix, to):
    path = animation(tmp_path / f"a{suffix}")
    info = video.probe(path)
    assert info == ((48, 32), 10) and abs(video.seconds(path) - 1.5) < 1e-6
    shown = list(video.read_frames(path))
    assert len(shown) == 15 == video.frame_count(path, info)
    with video.VideoWriter(tmp_path / f"b{to}", info.size, info.fps, RECIPE) as film:
        for frame in shown:
            film.write(frame)
    assert delays(tmp_path / f"b{to}") == DELAYS
    assert record.read(tmp_path / f"b{to}") == RECIPE
    again = list(video.read_frames(tmp_path / f"b{to}"))
    assert max(abs(a.astype(int) - b).mean() for a, b in zip(shown, again, strict=True)) < 8


def test_odd_delays(tmp_path):
    stills = [Image.fromarray(frame) for frame in frames(6)]
    lengths = [30, 40, 30, 40, 30, 500]
    stills[0].save(tmp_path / "a.gif", save_all=True, append_images=stills[1:], duration=lengths)
    info = video.probe(tmp_path / "a.gif")
    assert 25 <= info.fps <= 34
    moments, count = changes(tmp_path / "a.gif")
    wanted = np.cumsum(lengths)[:-1] / 1000
    assert len(moments) == 5 and np.abs(np.array(moments) / info.fps - wanted).max() <= 0.5 / info.fps + 1e-6
    assert abs(count / info.fps - 0.67) <= 0.5 / info.fps


def test_a_fast_gif(tmp_path):
    with video.VideoWriter(tmp_path / "a.gif", (32, 24), 100) as film:
        for frame in frames(20):
            film.write(frame)
    assert sum(delays(tmp_path / "a.gif")) == 200 and min(delays(tmp_path / "a.gif")) >= 20


# --- recipes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", *FILMS])
def test_recipe_round_trip(tmp_path, suffix):
    path = tmp_path / f"été a{suffix}"
    if suffix in FILMS:
        write(path, 1, recipe=RECIPE)
    else:
        images.save(path, next(frames(1)), recipe=RECIPE)
    assert record.read(path) == RECIPE


@given(
    st.dictionaries(
        st.text(),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4),
        max_size=4,
    )
)
@settings(max_examples=30, deadline=None)
def test_any_recipe_survives_a_picture(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("recipe")
    for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
        images.save(folder / name, np.zeros((2, 2, 3), np.uint8), recipe=recipe)
        assert record.read(folder / name) == recipe


@pytest.mark.parametrize("suffix", [".png", ".jpg", *FILMS])
def test_no_recipe(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, 1) if suffix in FILMS else images.save(path, next(frames(1)))
    assert record.find(path) is None
    with pytest.raises(UsageError, match="no artgen recipe"):
        record.read(path)


@pytest.mark.parametrize("suffix", [".m4v", ".avi"])
def test_the_recipe_of_a_film_in_another_container(tmp_path, suffix):
    source, path = write(tmp_path / "a.mp4", 2, recipe={"command": "dream"}), tmp_path / f"b{suffix}"
    ffmpeg.run(["-i", f"file:{source}", "-c", "copy", f"file:{path}"], "copy")
    assert record.read(path) == {"command": "dream"}


def test_recipes_of_other_programs_and_bad_files(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = '{"other": 1}'
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.mp4").write_text("words")
    for name in ("a.jpg", "b.mp4", "c.png"):
        with pytest.raises(UsageError):
            record.read(tmp_path / name)
    with pytest.raises(ArtgenError, match="--no-metadata"):
        recipe_text.to_text({"prompt": "x" * 20_000})
    assert recipe_text.from_text(recipe_text.to_text({"file": Path("a.png")})) == {"file": "a.png"}
