"""Finished pictures pass through a chain before they are written; models stay loaded between calls from Python."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import artcli
from artcli.commands.shared.finish import Chain
from artcli.commands.shared.finisher import Finished
from artcli.commands.shared.loaded import once
from artcli.errors import ArtgenError, UsageError
from artcli.pretrained import translators
from tests import test_cyclegan_run
from tests.conftest import photograph

tiny_translator = test_cyclegan_run.tiny_translator


@dataclass
class Grow:
    """Adds a border and some brightness; fails on demand."""

    border: int
    option: str = "--grow"
    error: BaseException | None = None
    weights: dict = field(default_factory=dict)

    @property
    def note(self):
        return f", grown by {self.border}"

    def __call__(self, pixels):
        if self.error is not None:
            raise self.error
        return Finished(np.pad(pixels, ((self.border,) * 2, (self.border,) * 2, (0, 0))))

    def size(self, width, height):
        return width + 2 * self.border, height + 2 * self.border

    def check(self, path, width, height):
        if width > 20:
            raise UsageError(f"{width} is too wide")

    def seconds(self, width, height):
        return float(width)


PIXELS = np.full((6, 10, 3), 200, np.uint8)


def test_each_gets_what_the_one_before_made(folder):
    chain = Chain([Grow(1, weights={"a": "1"}), Grow(3, weights={"b": "2"})])
    assert chain.size(10, 6) == (18, 14) and chain.note == ", grown by 1, grown by 3"
    assert chain.weights == {"a": "1", "b": "2"} and chain.seconds(10, 6) == 10 + 12
    written = chain.save(Path("a.png"), PIXELS, alpha=np.ones((6, 10), np.float32), recipe=None)
    assert written.pixels.shape == (14, 18, 3) and written.painting is None
    made = np.asarray(Image.open("a.png"))
    assert made.shape == (14, 18, 4) and (made[4:10, 4:14, :3] == 200).all() and not made[:4, :, :3].any()
    chain.check(Path("a.png"), 18, 14)
    with pytest.raises(UsageError, match="21 is too wide"):
        chain.check(Path("a.png"), 19, 14)


@pytest.mark.parametrize("error, raised", [(MemoryError(), ArtgenError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_what_a_failing_one_was_given_is_written(folder, error, raised):
    with pytest.raises(raised) as caught:
        Chain([Grow(1), Grow(2, "--more", error), Grow(3)]).save(Path("a.png"), PIXELS, alpha=None, recipe=None)
    assert Image.open("a.png").size == (12, 8)
    if raised is ArtgenError:
        assert str(caught.value) == "out of memory: a.png was written without --more"


def test_calls_from_python_load_a_model_once(folder, tiny_translator, monkeypatch):
    real, calls = translators.load, []
    monkeypatch.setattr(translators, "load", lambda *args, **how: calls.append(args) or real(*args, **how))
    photograph(folder / "photo.png", (20, 16))
    for out in ("a.png", "b.png"):
        artcli.cyclegan("photo.png", model=str(tiny_translator), out=out)
    assert len(calls) == 1 and Path("a.png").read_bytes() == Path("b.png").read_bytes()
    artcli.cyclegan("photo.png", model=str(tiny_translator), no_dropout=True, out="c.png")
    assert len(calls) == 2


def test_what_has_changed_on_disk_is_loaded_again(folder):
    def load(spec, device, **how):
        return Path(spec).read_text()

    Path("net").write_text("one")
    assert [once(load, "net", "cpu"), once(load, "net", "cpu")] == ["one", "one"]
    Path("net").write_text("other")
    assert once(load, "net", "cpu") == "other"
