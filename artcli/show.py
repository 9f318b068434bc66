"""Pictures in the terminal: half blocks in any, or graphics where the terminal says that it has them."""

import base64
import io
import os
import re
import secrets
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

WIDEST = 80  # columns
_SIXELS = {"WezTerm", "iTerm.app", "mintty"}  # TERM_PROGRAM
_KITTY_CHUNK = 4096  # bytes of one command, at most
_LARGEST = 480  # pixels of the longer side that graphics send: what a slow line carries in time
_COLOURS = 64  # of a sixel picture


class Share:
    """Says when something may be done again, so that it takes at most a share of the time.

    part: of the time, 0..1.  least: seconds from one time to the next.
    """

    def __init__(self, part: float, least: float):
        self.part, self.least, self.next = part, least, 0.0

    def due(self, now: float) -> bool:
        return now >= self.next

    def spent(self, started: float, now: float) -> None:
        """It was done from `started` to `now`, in seconds."""
        self.next = now + max(self.least, (now - started) / self.part)


class Place(NamedTuple):
    """The cells that a picture fills."""

    columns: int
    rows: int


def place(width: int, height: int, columns: int, rows: int) -> Place:
    """As large as a terminal of this size lets a picture of (width, height) be; a cell is twice as high as wide."""
    factor = min(min(columns, WIDEST) / width, 2 * rows / height)
    return Place(max(1, round(width * factor)), max(1, round(height * factor / 2)))


class Blocks:
    """A picture, (H, W, 3) uint8, as text: each cell is an upper half block, two pixels one above the other."""

    def __init__(self, pixels: np.ndarray, where: Place):
        small = _resized(pixels, where.columns, 2 * where.rows)
        self.lines = [list(_cells(upper, lower)) for upper, lower in zip(small[::2], small[1::2], strict=True)]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        for line in self.lines:
            yield from line
            yield Segment.line()


class Blank:
    """Empty lines, over which graphics are drawn."""

    def __init__(self, rows: int):
        self.rows = rows

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        for _ in range(self.rows):
            yield Segment.line()


Graphics = Callable[[np.ndarray, Place, int], str]  # a picture, its place and its number to what the terminal is sent


def graphics(environment: Mapping[str, str], cell: tuple[int, int] | None) -> Graphics | None:
    """How this terminal draws pictures, as its environment says; None where it may only have text.

    cell: (width, height) of a cell in pixels, None where the terminal does not say.
    """
    if environment.get("TMUX") or environment.get("STY"):  # which pass on what they know
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return kitty
    if cell is not None and (program in _SIXELS or "sixel" in term or term.startswith(("foot", "mlterm"))):
        return lambda pixels, where, number: sixel(pixels, (where.columns * cell[0], where.rows * cell[1]))
    return None


def cell_size(file: int) -> tuple[int, int] | None:
    """(width, height) in pixels of a cell of the terminal behind a file's number; None where it does not say."""
    try:
        import fcntl
        import termios

        found = fcntl.ioctl(file, termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError):
        return None
    rows, columns, width, height = struct.unpack("HHHH", found)
    cell = (width // columns, height // rows) if rows and columns else (0, 0)
    return cell if min(cell) > 0 else None


def kitty(pixels: np.ndarray, where: Place, number: int) -> str:
    """Kitty's graphics: a PNG that the terminal scales to the place, instead of the image that had its number."""
    file = io.BytesIO()
    Image.fromarray(_shrunk(pixels)).save(file, "png", compress_level=1)
    text = base64.b64encode(file.getvalue()).decode()
    parts = [text[start : start + _KITTY_CHUNK] for start in range(0, len(text), _KITTY_CHUNK)]
    told = f"a=T,f=100,i={number},p=1,q=2,C=1,c={where.columns},r={where.rows},"
    return "".join(
        f"\x1b_G{'' if place else told}m={int(place + 1 < len(parts))};{part}\x1b\\" for place, part in enumerate(parts)
    )


def sixel(pixels: np.ndarray, size: tuple[int, int]) -> str:
    """Sixel graphics of (width, height) at most: six rows a band, each colour of it in turn."""
    factor = min(1.0, _LARGEST / max(size))
    width, height = (max(6, int(side * factor) // 6 * 6) for side in size)
    image = Image.fromarray(_resized(pixels, width, height)).quantize(_COLOURS)
    numbers = np.asarray(image)
    table = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    named = "".join(
        f"#{number};2;{';'.join(str(round(part / 2.55)) for part in colour)}" for number, colour in enumerate(table)
    )
    bands = "-".join("$".join(_band(numbers[top : top + 6])) for top in range(0, height, 6))
    return f'\x1bPq"1;1;{width};{height}{named}{bands}\x1b\\'


def _band(rows: np.ndarray) -> Iterator[str]:
    """What sets six rows of colour numbers, (6, W), colour by colour."""
    bits = (1 << np.arange(6))[:, None]
    for number in np.unique(rows):
        signs = ((rows == number) * bits).sum(0) + 63
        text = signs.astype(np.uint8).tobytes().decode("ascii")
        yield f"#{number}" + re.sub(r"(.)\1{3,}", lambda found: f"!{len(found[0])}{found[1]}", text)


def _cells(upper: np.ndarray, lower: np.ndarray) -> Iterator[Segment]:
    for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
        yield Segment("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = min(1.0, _LARGEST / max(width, height))
    return _resized(pixels, max(1, round(width * factor)), max(1, round(height * factor)))


def _resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


class Screen:
    """Where pictures are drawn: above a live display, on standard error.

    environment: of the process, which says what the terminal can.
    """

    def __init__(self, console: "Console", environment: Mapping[str, str] | None = None):
        self.console = console
        file: Any = console.file
        self.graphics = graphics(os.environ if environment is None else environment, cell_size(file.fileno()))
        self.number = secrets.randbelow(2**31) + 1  # pictures of earlier runs stay
        self.where = Place(1, 1)
        self.sent = ""
        self.text: Blocks | Blank = Blank(0)

    def take(self, pixels: np.ndarray) -> None:
        """The next picture, (H, W, 3) uint8."""
        size = self.console.size
        self.where = place(pixels.shape[1], pixels.shape[0], size.width, max(1, size.height - 3))
        if self.graphics is None:
            self.text = Blocks(pixels, self.where)
        else:
            self.sent, self.text = self.graphics(pixels, self.where, self.number), Blank(self.where.rows)

    def draw_above(self, lines: int) -> None:
        """Send the graphics, if there are any, to the blank lines above the last `lines`, in which the cursor is."""
        if self.sent:
            up = self.where.rows + lines - 1
            self._send(f"\x1b7\x1b[{up}A\r{self.sent}\x1b8")

    def leave(self) -> None:
        """Leave the last picture in the terminal, when the live display is gone."""
        self.console.print(self.text, end="")
        if self.sent:
            self.draw_above(1)

    def _send(self, text: str) -> None:
        self.console.file.write(text)
        self.console.file.flush()
