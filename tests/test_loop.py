"""The one loop: what is done beside the steps stays a small part of a run."""

from types import SimpleNamespace

import numpy as np

from artcli.backends.frame import Frame
from artcli.commands.shared import loop
from artcli.console import Console


def test_previews_and_states_take_little_of_the_time(monkeypatch):
    """Steps of a second, previews of two and states of ten: as of pictures of many megapixels."""
    now, spent = [0.0], {"preview": 0, "state": 0}
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def takes(what, seconds):
        now[0] += seconds
        spent[what] += seconds

    def frames():
        for step in range(1, 1001):
            now[0] += 1
            yield Frame(step, 1000, lambda: None, {}, dict)

    hooks = loop.Hooks(
        Console(quiet=True), "x", 1000, to_pixels=lambda image: np.zeros((2, 2, 3), np.uint8),
        preview=lambda pixels: takes("preview", 2), save_state=lambda state: takes("state", 10),
    )  # fmt: skip
    loop.follow(frames(), hooks, loop.Stop())
    assert 0.01 < spent["preview"] / now[0] < 0.05 and 0.01 < spent["state"] / now[0] < 0.05
