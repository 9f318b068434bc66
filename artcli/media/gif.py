"""A lossless film to an animated GIF: one palette for all frames, bounded memory, the recipe as a GIF comment."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from artcli.media import ffmpeg

_MAX_FPS = 50  # frame times are hundredths of a second, and viewers slow anything below two of them to a tenth
_HEADER = 13

# Colours enter the palette with 6 bits a channel: palettegen slows down with the number of distinct colours (0.5 s
# instead of 4.5 s for 40 smooth frames) and gains nothing from more.
# The top bits fill the low ones: white stays white.
_COARSE = "bitor(bitand(val\\,252)\\,floor(val/64))"
_PALETTE = f"format=gbrp,lutrgb=r={_COARSE}:g={_COARSE}:b={_COARSE},palettegen"


def from_film(film: Path, gif: Path, *, fps: float, comment: str | None, loop: bool, what: str) -> None:
    """Read `film` twice, for its palette and for its frames: neither pass keeps more than a few frames in memory.

    loop: repeat for ever.  Raises ArtgenError "could not <what>: ..." and OSError.
    """
    rate = f"fps={_MAX_FPS}," if fps > _MAX_FPS else ""
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
                _copy(process.stdout, out, comment)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            log.seek(0)
            raise ffmpeg.failure(what, log.read())


def _copy(stream: IO[bytes], out: IO[bytes], comment: str | None) -> None:
    """Copy a GIF with a comment after its header and colour table: ffmpeg itself writes no comments."""
    header = stream.read(_HEADER)
    out.write(header)
    if len(header) == _HEADER and comment:
        has_colours, bits = header[10] & 0x80, (header[10] & 7) + 1
        out.write(stream.read(3 << bits) if has_colours else b"")
        out.write(_comment(comment.encode("ascii")))
    shutil.copyfileobj(stream, out)


def _comment(text: bytes) -> bytes:
    """A comment extension: the text in blocks of at most 255 bytes, each after its length, then an empty one."""
    blocks = (text[start : start + 255] for start in range(0, len(text), 255))
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
