"""The ffmpeg program: found through imageio-ffmpeg, run whole or fed frame by frame, its errors as one line."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from artcli.errors import ArtgenError
from artcli.media.files import NO_SPACE

_QUEUED = 4  # frames in flight: the encoder works while the model computes, and memory stays bounded


def detached() -> dict[str, Any]:
    """Popen arguments that keep the terminal's Ctrl-C from the child: it must live to finish the film."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def command(args: Sequence[str]) -> list[str]:
    """The full command line.  Raises ArtgenError when there is no ffmpeg."""
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ArtgenError(
            "found no ffmpeg, which films need: pip install imageio-ffmpeg, or name one in IMAGEIO_FFMPEG_EXE."
        ) from error
    return [program, "-hide_banner", "-nostats", "-v", "error", "-y", *args]


def start(args: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start ffmpeg, out of reach of Ctrl-C.  Raises ArtgenError when it cannot run."""
    line = command(args)
    try:
        return subprocess.Popen(line, **streams, **detached())
    except OSError as error:
        raise ArtgenError(f"cannot run ffmpeg ({line[0]}): {error.strerror}; see IMAGEIO_FFMPEG_EXE.") from error


def run(args: Sequence[str], what: str, given: bytes = b"") -> bytes:
    """Run ffmpeg to its end with `given` on its input, and return its output.

    Raises ArtgenError "could not <what>: <ffmpeg's reason>".
    """
    process = start(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, log = process.communicate(given)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise failure(what, log)
    return output


def report(source: Sequence[str]) -> str:
    """What ffmpeg tells of an input: its container, streams, rates."""
    process = start(
        ["-v", "info", *source], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return process.communicate()[1].decode("utf-8", "replace")  # its status is 1, for there is no output to write


def failure(what: str, log: bytes) -> ArtgenError:
    """The error of a failed run: ffmpeg's first message, as the others only follow from it."""
    text = log.decode("utf-8", "replace")
    if "No space left on device" in text:
        return ArtgenError(f"could not {what}: {NO_SPACE}.")
    lines = [re.sub(r"^(\[[^]]*\] *)+", "", line).strip() for line in text.splitlines()]
    first = next((line for line in lines if line), "ffmpeg stopped without a word")
    return ArtgenError(f"could not {what}: {first.rstrip('.')}.")


class Sink:
    """A running ffmpeg that takes frames on its input.

    A thread of its own feeds the pipe.  Ctrl-C is raised in the main thread only, so it can never cut a frame in two.
    """

    def __init__(self, args: Sequence[str], what: str) -> None:
        self._what = what
        # A file, since a pipe that nobody reads could fill up and stall ffmpeg; closed by `finish` or `kill`.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = start(args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log)
        self._frames: queue.Queue[bytes | None] = queue.Queue(_QUEUED)
        self._broken = False
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        while (frame := self._frames.get()) is not None:
            if self._broken:
                continue  # keep emptying the queue, or `write` would wait for ever
            try:
                pipe.write(frame)
            except OSError:  # ffmpeg has died; its log says why
                self._broken = True
        with suppress(OSError):
            pipe.close()

    def write(self, frame: bytes) -> None:
        """Queue one frame.  Raises ArtgenError when ffmpeg has failed."""
        if self._broken:
            raise self._failure()
        self._frames.put(frame)

    def finish(self) -> None:
        """Wait until everything is encoded and the file closed.  Raises ArtgenError when ffmpeg failed."""
        self._frames.put(None)
        self._feeder.join()
        if self._process.wait() or self._broken:
            raise self._failure()
        self._log.close()

    def kill(self) -> None:
        """End ffmpeg now, whatever its state."""
        self._process.kill()
        self._process.wait()
        self._broken = True
        self._frames.put(None)
        self._feeder.join()
        self._log.close()

    def _failure(self) -> ArtgenError:
        self._process.wait()  # its pipe is closed: it is on its way out, and then its log is complete
        self._log.seek(0)
        return failure(self._what, self._log.read())
