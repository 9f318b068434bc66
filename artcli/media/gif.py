"""A lossless film to an animated GIF: one palette for all frames, bounded memory, the recipe as a GIF comment.

ffmpeg makes the pictures.  How long each is shown is set in what it writes, as it would show all equally long.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from artcli.media import ffmpeg

MAX_FPS = 50  # GIF delays are in 1/100 s, and viewers slow delays below 2/100 s to 1/10 s
_HEADER = 13
_EXTENSION, _PICTURE, _CONTROL = 0x21, 0x2C, 0xF9

# Colours enter the palette with 6 bits a channel: palettegen slows down with the number of distinct colours (0.5 s
# instead of 4.5 s for 40 smooth frames) and gains nothing from more.
# The top bits fill the low ones: white stays white.
_COARSE = "bitor(bitand(val\\,252)\\,floor(val/64))"
_PALETTE = f"format=gbrp,lutrgb=r={_COARSE}:g={_COARSE}:b={_COARSE},palettegen"


def from_film(
    film: Path, gif: Path, *, ends: Sequence[float] | None, comment: str | None, loop: bool, what: str
) -> None:
    """Read `film` twice, for its palette and for its frames: neither pass keeps more than a few frames in memory.

    ends: of each frame, in seconds from the start; None where the film has more than MAX_FPS, of which some are left
    out.  loop: repeat for ever.  Raises ArtgenError "could not <what>: ..." and OSError.
    """
    rate = f"fps={MAX_FPS}," if ends is None else ""
    source = ["-i", f"file:{film}"]
    palette = ffmpeg.run([*source, "-vf", rate + _PALETTE, "-c:v", "png", "-f", "image2pipe", "-"], what)
    # An ordered pattern stays where it is from frame to frame, where error diffusion would shimmer and compress badly.
    dither = f"[0:v]{rate}null[v];[v][1:v]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
    args = [*source, "-f", "png_pipe", "-i", "pipe:0", "-lavfi", dither, "-loop", "0" if loop else "-1", "-f", "gif"]
    with tempfile.TemporaryFile() as log, gif.open("wb") as out:
        with ffmpeg.start([*args, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
            try:
                assert process.stdin and process.stdout
                with suppress(BrokenPipeError):  # ffmpeg has died, and its status tells
                    process.stdin.write(palette)
                    process.stdin.close()
                _copy(process.stdout, out, comment, ends or [])
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            log.seek(0)
            raise ffmpeg.failure(what, log.read())


def _copy(stream: IO[bytes], out: IO[bytes], comment: str | None, ends: Sequence[float]) -> None:
    """Copy a GIF with a comment after its header and colour table, and with the delays of its frames."""
    header = stream.read(_HEADER)
    out.write(header)
    if len(header) < _HEADER:
        return
    out.write(_table(stream, header[10]))
    out.write(_comment(comment.encode("ascii")) if comment else b"")
    begun = 0
    delays = []
    for end in ends:
        delays.append(round(100 * end) - begun)
        begun += delays[-1]
    while (kind := stream.read(1)) and kind[0] in (_EXTENSION, _PICTURE):
        if kind[0] == _PICTURE:
            place = stream.read(9)
            if len(place) < 9:  # ffmpeg has died, and its status tells
                return
            out.write(kind + place + _table(stream, place[8]) + stream.read(1))
        else:
            kind += stream.read(1)
            out.write(kind)
        for block in _blocks(stream):
            if kind[-1] == _CONTROL and len(block) > 1 and delays:
                block = block[:2] + struct.pack("<H", min(delays.pop(0), 0xFFFF)) + block[4:]
            out.write(block)
    out.write(kind)
    shutil.copyfileobj(stream, out)


def _table(stream: IO[bytes], flags: int) -> bytes:
    """A table of colours, if the flags in front of it say that there is one."""
    return stream.read(6 << (flags & 7)) if flags & 0x80 else b""


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Blocks of data, each with its length in front, up to and with the empty one at their end."""
    while length := stream.read(1):
        yield length + stream.read(length[0])
        if length[0] == 0:
            return


def _comment(text: bytes) -> bytes:
    """A comment extension: the text in blocks of at most 255 bytes, each after its length, then an empty one."""
    blocks = (text[start : start + 255] for start in range(0, len(text), 255))
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
