"""Frames kept on disk, lossless, for a run that may have to go on later."""

from pathlib import Path

import numpy as np

from artcli.media import ffmpeg

_CODEC = ["-c:v", "utvideo", "-pix_fmt", "gbrp"]


class Spool:
    """A growing .mkv of Ut Video, which takes a quarter of FFV1's time.

    It has its own name from the start, and what was written is readable after `kill -9`.

    size: (width, height) of every uint8 frame.  Raises ArtgenError when ffmpeg or the disk fails.
    """

    def __init__(self, path: Path, size: tuple[int, int]):
        width, height = size
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", "30", "-i", "pipe:0"]
        self._sink = ffmpeg.Sink([*raw, *_CODEC, f"file:{path}"], f"keep frames in {path}")

    def write(self, frame: np.ndarray) -> None:
        self._sink.write(frame.tobytes())

    def close(self) -> None:
        self._sink.finish()
