"""Ctrl-C, SIGTERM and kill -9 on the real executable: what there is stays usable, and going on changes no byte."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from artcli.commands.shared import loop
from artcli.media import video
from tests import warm
from tests.conftest import one_error_line

STEPS = 100  # a second or two: enough to be interrupted in
PATIENCE = 100  # seconds to wait for a sign of life on a busy machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def arguments(clip, out):
    flags = ["--clip", clip, "--size", 64, "--steps", STEPS, "--cutouts", 4, "--low-res", 32, "--seed", 1, "--out", out]
    return ["dream", "red car", "--drawer", "fft", "--prior", "none", *map(str, flags)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_clip):
    """The bytes of the uninterrupted run: picture and film."""
    from typer.testing import CliRunner

    from artcli.cli import app

    out = tmp_path_factory.mktemp("whole") / "a.mp4"
    result = CliRunner().invoke(app, arguments(tiny_clip, out))
    assert result.exit_code == 0, result.stderr
    return out.with_suffix(".png").read_bytes(), out.read_bytes()


def wait_for(path, process):
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline, f"no {path} after {PATIENCE} s"
        time.sleep(0.02)


def finish(invoke, clip, whole):
    """Go on with the run in this process; its files have to be those of the uninterrupted one."""
    result = invoke(*arguments(clip, "a.mp4"), "--resume")
    assert result.exit_code == 0 and "going on from step" in result.stderr, result.stderr
    assert (Path("a.png").read_bytes(), Path("a.mp4").read_bytes()) == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_orderly_stop(invoke, folder, tiny_clip, whole, number):
    process = warm.Process(arguments(tiny_clip, "a.mp4"), stdout=warm.PIPE, stderr=warm.PIPE)
    wait_for(folder / "a.preview.png", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out == b"a.mp4\na.png\n"
    last = err.decode().splitlines()[-1]
    assert "interrupted at step" in one_error_line(last) and "--resume" in last
    assert Image.open("a.png").size == (64, 64)
    assert 1 <= len(list(video.read_frames(Path("a.mp4")))) < STEPS
    assert sorted(p.name for p in folder.iterdir()) == ["a.mp4", "a.mp4.resume", "a.png"]
    finish(invoke, tiny_clip, whole)
    assert sorted(p.name for p in folder.iterdir()) == ["a.mp4", "a.png"]


def test_killed(invoke, folder, tiny_clip, whole):
    """No chance to save anything: the last state that was saved on the way is what the run goes on from."""
    often = "import artcli.commands.shared.loop as loop; loop.STATE_EVERY = 0.3; from artcli.cli import app; app()"
    process = warm.Process(arguments(tiny_clip, "a.mp4"), stdout=warm.PIPE, stderr=warm.PIPE, code=often)
    wait_for(folder / "a.mp4.resume" / "state.pt", process)
    time.sleep(0.2)  # beyond the moment of saving, with steps done that are lost
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert not (folder / "a.mp4").exists() and not (folder / "a.png").exists(), "no half file under a final name"
    finish(invoke, tiny_clip, whole)


# --- the second signal ----------------------------------------------------------------------------------------------


def test_the_first_signal_asks_and_the_second_stops_at_once():
    with loop.interruptible() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with loop.interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_even_a_stop_at_once_leaves_a_film_that_plays(invoke, folder, tiny_clip, monkeypatch):
    add = loop.Film.add

    def impatient(self, step, pixels):
        add(self, step, pixels)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Film, "add", impatient)
    result = invoke(*arguments(tiny_clip, "a.mp4"), "-q")
    assert result.exit_code == 130 and one_error_line(result.stderr) == "interrupted"
    assert len(list(video.read_frames(Path("a.mp4")))) == 3
    assert [p.name for p in folder.iterdir()] == ["a.mp4"]
