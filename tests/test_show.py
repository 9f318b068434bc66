"""`--show`: the picture in work in the terminal, as text or as graphics, for never more than a little of the time."""

import base64
import io
import os
import re
import sys
import threading
import time

import numpy as np
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artcli import show
from artcli.console import Console
from tests import warm
from tests.conftest import photograph

PIXELS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)  # (2, 2, 3)
RED_ON_BLUE = "\x1b[38;2;255;0;0;48;2;0;0;255m▀"
KITTY, SIXEL = {"KITTY_WINDOW_ID": "1"}, {"TERM_PROGRAM": "WezTerm"}


# --- how it is drawn --------------------------------------------------------------------------------------------------


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 300), st.integers(1, 100))
def test_a_picture_fills_what_there_is(width, height, columns, rows):
    found = show.place(width, height, columns, rows)
    assert 1 <= found.columns <= min(columns, show.WIDEST) and 1 <= found.rows <= rows
    assert found.columns == min(columns, show.WIDEST) or found.rows == rows


def test_a_half_block_holds_two_pixels():
    text = io.StringIO()
    console = rich.console.Console(file=text, force_terminal=True, color_system="truecolor", width=10)
    console.print(show.Blocks(PIXELS, show.Place(2, 1)), end="")
    assert text.getvalue() == f"{RED_ON_BLUE}\x1b[0m\x1b[38;2;0;255;0;48;2;255;255;255m▀\x1b[0m\n"


def test_kitty_gets_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    sent = show.kitty(pixels, show.Place(40, 15), 7)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert "".join(f"\x1b_G{told};{data}\x1b\\" for told, data in parts) == sent
    assert parts[0][0] == "a=T,f=100,i=7,p=1,q=2,C=1,c=40,r=15,m=1"
    assert len(parts) > 2 and {told for told, _ in parts[1:-1]} == {"m=1"} and parts[-1][0] == "m=0"
    assert max(len(data) for _, data in parts) <= 4096
    drawn = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts))))
    assert (np.asarray(drawn) == pixels).all()


def _draw(made, x, y, colour, sign, count):
    for row in range(6):
        if (ord(sign) - 63) >> row & 1:
            made[y + row, x : x + count] = colour
    return x + count


def test_sixels_are_the_picture():
    pixels = np.repeat(np.repeat(PIXELS, 12, 0), 12, 1)
    sent = show.sixel(pixels, (24, 24))
    width, height, body = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', sent, re.DOTALL).groups()
    made, colours, place, colour = np.zeros((int(height), int(width), 3)), {}, [0, 0], 0
    for number, told, count, sign, alone in re.findall(r"#(\d+)(?:;2;([\d;]+))?|!(\d+)(.)|([-$?-~])", body):
        if told:
            colours[int(number)] = [round(int(part) * 2.55) for part in told.split(";")]
        elif number:
            colour = int(number)
        elif alone == "-":
            place = [0, place[1] + 6]
        elif alone == "$":
            place[0] = 0
        else:
            place[0] = _draw(made, *place, colours[colour], sign or alone, int(count or 1))
    assert np.abs(made - pixels).max() <= 8


def test_large_pictures_are_sent_smaller():
    pixels = np.zeros((1500, 2000, 3), np.uint8)
    assert show.sixel(pixels, (2000, 1500)).startswith('\x1bPq"1;1;480;360')
    data = re.search(r";([^\x1b]*)\x1b", show.kitty(pixels, show.Place(80, 30), 1))[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (480, 360)


@pytest.mark.parametrize(
    ("environment", "cell", "sent"),
    [
        ({}, (8, 16), None),
        ({"TERM": "xterm-256color"}, (8, 16), None),
        ({"TERM": "xterm-kitty"}, None, "\x1b_G"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, None, "\x1b_G"),
        (KITTY, None, "\x1b_G"),
        (KITTY | {"TMUX": "/tmp/tmux-0/default"}, None, None),
        (SIXEL, (8, 16), "\x1bPq"),
        (SIXEL, None, None),  # how many rows a picture takes is not known
        ({"TERM": "foot-extra"}, (8, 16), "\x1bPq"),
        ({"TERM": "xterm-sixel"}, (8, 16), "\x1bPq"),
    ],
)
def test_what_the_terminal_says_that_it_can(environment, cell, sent):
    found = show.graphics(environment, cell)
    assert (found is None) == (sent is None)
    assert found is None or found(PIXELS, show.Place(2, 1), 1).startswith(sent)


# --- how often --------------------------------------------------------------------------------------------------------


def test_what_takes_long_is_done_rarely():
    share = show.Share(0.02, least=0.4)
    assert share.due(100.0)
    share.spent(100.0, 100.001)
    assert not share.due(100.3) and share.due(100.5)
    share.spent(100.5, 100.6)
    assert not share.due(105.5) and share.due(105.7)


# --- in a terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal of 100 columns, 30 rows and cells of 10 by 20 pixels, all of whose output is kept."""

    def __init__(self):
        import fcntl
        import struct
        import termios

        self.mine, self.theirs = os.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 1000, 600))
        self.parts = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                part = os.read(self.mine, 65536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            self.parts.append(part)

    def said(self):
        """All that was written, when nobody will write any more."""
        self.reader.join(60)
        os.close(self.mine)
        return b"".join(self.parts).decode()


posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


def shown(monkeypatch, environment, quiet=False):
    """What a terminal gets of a progress of three steps with two pictures."""
    for name in ("NO_COLOR", "TMUX", "STY", "KITTY_WINDOW_ID", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "100", "LINES": "30"}  # rich asks file 2
    for name, value in (usual | environment).items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    with open(terminal.theirs, "w", encoding="utf-8") as file, monkeypatch.context() as patched:  # noqa: PTH123
        patched.setattr(sys, "stderr", file)
        with Console(show=True, quiet=quiet).progress("dream", 3, picture=True) as progress:
            for step in range(1, 4):
                now = time.monotonic()
                if progress.wants_picture(now, step == 3):
                    progress.picture(PIXELS, now)
                progress.update(step)
    return terminal.said()


@posix
def test_half_blocks_in_any_terminal(monkeypatch):
    said = shown(monkeypatch, {})
    assert RED_ON_BLUE in said and "1/3" in said and "\x1b_G" not in said and "\x1bPq" not in said
    rows = said.split("\x1b[?25h")[-1].split("\r\n")  # the live display is over
    assert sum("▀" in row for row in rows) == 27, "the last picture stays"


@posix
@pytest.mark.parametrize(("environment", "sent"), [(KITTY, "\x1b_G"), (SIXEL, "\x1bPq")])
def test_graphics_where_there_are_some(monkeypatch, environment, sent):
    said = shown(monkeypatch, environment)
    assert "▀" not in said
    assert f"\x1b7\x1b[27A\r{sent}" in said and "\x1b\\\x1b8" in said, "over blank lines, and the cursor goes back"


@posix
def test_also_when_quiet(monkeypatch):
    assert RED_ON_BLUE in shown(monkeypatch, {}, quiet=True)


@posix
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_one_line_says_so(monkeypatch, environment):
    said = shown(monkeypatch, environment)
    assert "▀" not in said and said.count("--show needs a terminal with colours") == 1


@posix
def test_a_dream_is_shown(folder, tiny_clip, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("NO_COLOR", "TMUX", "STY", "KITTY_WINDOW_ID", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    line = ["dream", "red car", "--clip", tiny_clip, "--drawer", "fft", "--prior", "none", "--size", 64, "--steps", 3]
    terminal = Terminal()
    how = ["--cutouts", 4, "--seed", 1, "--show", "-o", "-"]
    with warm.Process([*line, *how], stdout=warm.PIPE, stderr=terminal.theirs) as process:
        os.close(terminal.theirs)
        drawn, _ = process.communicate(300)
        said = terminal.said()
    assert process.returncode == 0, said
    assert Image.open(io.BytesIO(drawn)).size == (64, 64)
    assert said.count("▀") > 2 * 54 * 27 and said.rstrip().splitlines()[-1].startswith("dream: seed 1, 3 steps")


# --- without one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--gif"]])
def test_without_a_terminal_one_line_says_so(invoke, folder, tiny_painter, flags):
    photograph(folder / "photo.png")
    line = ["paint", "photo.png", "--model", tiny_painter, *flags]
    said = invoke(*line, "--show")
    assert said.exit_code == 0 and said.stderr.count("paint: --show needs a terminal") == 1
    shown = (folder / "photo-painted.png").read_bytes()
    assert invoke(*line, "--force").exit_code == 0
    assert (folder / "photo-painted.png").read_bytes() == shown


def test_a_painting_is_shown_after_every_pass(invoke, folder, tiny_painter, monkeypatch):
    from artcli import console

    seen = []

    class Always(console.ProgressBar):
        def wants_picture(self, now, last):
            return True

        def picture(self, pixels, started):
            seen.append(pixels.shape)

    monkeypatch.setattr(console.Console, "progress", lambda *args, **options: Always())
    photograph(folder / "photo.png", (400, 300))
    assert invoke("paint", "photo.png", "--model", tiny_painter, "--layers", 2, "--show").exit_code == 0
    assert seen[0] == (240, 320, 3) and len(seen) == 3
