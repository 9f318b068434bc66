"""Dry runs load and try no more than they must, and signals stop whatever is not waiting for them."""

import os
import signal

import pytest
from PIL import Image

from artcli.backends.stylize import optimise
from artcli.backends.stylize.schedule import Stage
from artcli.backends.stylize.settings import PRESETS
from artcli.commands.shared.loop import interruptible
from artcli.errors import UsageError
from artcli.media import decode, images
from tests.conftest import one_error_line, photograph
from tests.test_cyclegan_run import tiny_translator  # noqa: F401  (a fixture)


@pytest.fixture
def huge(folder):
    """A large photo in a small file, and a style."""
    Image.new("L", (9000, 6000), 90).save("huge.png")
    photograph(folder / "style.png", (64, 48))
    return "huge.png"


def call(verb, translator):
    return {
        "stylize": ["stylize", "huge.png", "style.png", "--time-limit", "1h", "--size", 8000],
        "stylize --fast": ["stylize", "huge.png", "style.png", "--fast", "--size", 1200],
        "cyclegan": ["cyclegan", "huge.png", "--model", translator],
        "paint": ["paint", "huge.png"],
    }[verb]


@pytest.mark.parametrize("verb", ["stylize", "stylize --fast", "cyclegan", "paint"])
def test_a_dry_run_of_a_huge_photo_does_not_read_its_pixels(invoke, huge, monkeypatch, tiny_translator, verb):  # noqa: F811
    original, tried = images.load, []
    judge = optimise._seconds_of_a_step
    monkeypatch.setattr(
        images, "load", lambda source, *more: original(source, *more) if source.stem == "style" else 1 / 0
    )
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda *a: tried.append(a[3]) or judge(*a))
    result = invoke(*call(verb, tiny_translator), "-n")
    assert result.exit_code == 0, result.stderr
    assert "would write" in result.stderr and all(side <= 1100 for side in tried)


def test_trying_stays_within_its_budget(monkeypatch):
    """A single large scale is tried on few pixels, further ones are guessed once the time is over."""
    tried = []
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda photo, styles, settings, side: tried.append(side) or 0.1)
    how = (None, None, PRESETS["slim"])
    assert optimise.seconds_per_step(*how, [Stage(8192, 1)], 1e9, budget=2.0) == [pytest.approx(0.1 * 32**2)]
    assert optimise.seconds_per_step(*how, [Stage(128, 1), Stage(256, 1), Stage(1024, 1)], 1e9, budget=2.5) == [
        0.1, 0.1, pytest.approx(1.6),
    ]  # fmt: skip
    assert tried == [256, 128, 256]


def test_the_size_from_the_header(folder):
    photo = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    photo.save("turned.jpg", exif=exif)
    photo.save("plain.png")
    assert [decode.size_of(folder / name) for name in ("turned.jpg", "plain.png")] == [(20, 30), (30, 20)]
    (folder / "none.png").write_bytes(b"none")
    with pytest.raises(UsageError, match=r"none\.png"):
        decode.size_of(folder / "none.png")


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("verb", ["stylize", "cyclegan", "paint"])
def test_a_signal_while_loading_stops_at_once(invoke, huge, monkeypatch, tiny_translator, verb, number):  # noqa: F811
    from artcli import device

    def choose(name):
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setattr(device, "choose", choose)
    result = invoke(*call(verb, tiny_translator), "-n", "-q")
    assert result.exit_code == 130 and "interrupted" in one_error_line(result.stderr)


def test_a_signal_while_steps_are_planned_stops_at_once(invoke, folder, huge, monkeypatch):
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
    result = invoke("stylize", "style.png", "style.png", "--time-limit", "1h", "-o", "out.png", "-q")
    assert result.exit_code == 130 and "interrupted" in one_error_line(result.stderr)
    assert sorted(path.name for path in folder.iterdir()) == ["huge.png", "style.png"]


def test_what_is_awaited_and_what_is_not():
    with interruptible() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        stop.requested = False
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            raise AssertionError("asked for before")
