"""Films: a streaming writer of MP4, WebM, GIF and animated WebP, playable however the run ends, and a reader."""

from __future__ import annotations

import itertools
import logging
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from artcli.errors import ArtgenError, UsageError
from artcli.media import animation, ffmpeg, files, gif, recipe_text, record

if TYPE_CHECKING:
    import torch

Frame = np.ndarray[Any, Any]  # (H, W, 3) uint8, sRGB

WRITABLE = (".mp4", ".webm", ".gif", ".webp")
_SPOOLED = (".gif", ".webp")  # written at the end, from a lossless film of those frames that differ from the one before
_log = logging.getLogger(__name__)  # a console shows what it says

# Four threads everywhere: x264's output depends on their number, and a film must not depend on the machine's cores.
_THREADS = "4"
# Players take untagged HD for BT.709 and small films for BT.601; so convert to 709 and say so.
_TO_709 = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
_COLOURS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
_YUV = ["-vf", f"{_TO_709},format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709", *_COLOURS]
_X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-movflags", "+faststart", *_YUV]
_VP9 = ["-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1", *_YUV]
_PLAIN = ["-fflags", "+bitexact", "-flags:v", "+bitexact"]  # no dates, no version
# Only a local file: a playlist or container must not make ffmpeg open others or the network.
_LOCAL = ["-protocol_whitelist", "file,pipe"]
LOSSLESS = ["-c:v", "ffv1", "-pix_fmt", "bgr0"]
_PNG = b"\x89PNG\r\n\x1a\n"  # how one begins
_NARROW = ["-c:v", "png", "-pix_fmt", "rgb24"]  # lossless too, where a frame is too narrow for FFV1 to cut it up
_ENCODERS = {".mp4": _X264, ".webm": _VP9, ".gif": LOSSLESS, ".webp": LOSSLESS}
# Encoded again, as not every container takes every codec; silence fills up what the film is longer.
_SOUND = ["-af", "apad", "-ar", "48000", "-b:a", "192k", "-map_metadata", "0", *_PLAIN, "-flags:a", "+bitexact"]
_SOUND_CODECS = {".mp4": ["-c:a", "aac", "-movflags", "+faststart"], ".webm": ["-c:a", "libopus"]}


class VideoWriter:
    """Write a film frame by frame; a context manager.

    path: .mp4 (H.264), .webm (VP9), .gif or .webp.  size: (width, height) of every frame; odd sizes get their last
    row or column twice, which the codecs need.  fps: above 0.  recipe: carried in the comment.  loop: GIF and WebP
    only, for ever; they show a frame that is given again for longer.
    sound: a film whose first sound track is taken over from its beginning, if it has one; a GIF stays silent.

    The constructor encodes one black frame the whole way, so a missing encoder or a full disk shows before any
    compute.  Leaving the block by an exception or Ctrl-C still finishes the film of the frames so far; `abort` drops
    it.  Same frames, same bytes.  Raises UsageError (suffix, size, fps), ArtgenError (ffmpeg, disk).
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: float,
        recipe: record.Recipe | None = None,
        *,
        loop: bool = True,
        sound: Path | None = None,
    ) -> None:
        suffix = files.check_extension(path, WRITABLE)
        _check_numbers(path, size, fps)
        self.path, self.size, self.fps, self.frames = path, size, fps, 0
        self._spooled, self._loop, self._what = suffix in _SPOOLED, loop, f"write {path}"
        self._recipe, self._comment = recipe, None if recipe is None else recipe_text.to_text(recipe)
        self._times: list[int] = []  # how often each frame was given, where equal ones are put together
        self._merges = self._spooled and (suffix != ".gif" or fps <= gif.MAX_FPS)
        self._temp = files.temporary(path)
        # A GIF needs two passes, so its frames wait in a lossless film, on the disk of the target: /tmp may be memory.
        self._stream = files.temporary(path.with_suffix(".mkv")) if self._spooled else self._temp
        self._encoder = _NARROW if self._spooled and min(size) < 16 else _ENCODERS[suffix]
        self._sound = sound if suffix in _SOUND_CODECS and sound is not None and has_sound(sound) else None
        self._last: bytes | None = None
        self._open = True
        self._try()
        self._sink = ffmpeg.Sink(self._command(), self._what)

    def _command(self) -> list[str]:
        width, height = self._even(self.size)
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", str(_rate(self.fps))]
        tags = ["-map_metadata", "-1", *_PLAIN]
        if self._comment and not self._spooled:
            tags += ["-metadata", f"comment={self._comment}"]
        return [*raw, "-i", "pipe:0", *self._encoder, "-threads", _THREADS, *tags, f"file:{self._stream}"]

    def _even(self, size: tuple[int, int]) -> tuple[int, int]:
        """The coded size: colour at half resolution (yuv420p) wants even sides; a GIF has no such need."""
        width, height = size
        return size if self._spooled else (width + width % 2, height + height % 2)

    def _try(self) -> None:
        width, height = self._even(self.size)
        try:
            ffmpeg.run(self._command(), self._what, bytes(width * height * 3))
            self._times = [1]
            self._convert(1)
        except OSError as error:
            raise ArtgenError(f"could not {self._what}: {files.reason(error)}.") from error
        finally:
            self._times = []
            files.discard(self._temp, self._stream)

    def write(self, frame: Frame) -> None:
        """Add one frame, (H, W, 3) uint8.  The array may be reused at once.  Raises ArtgenError when ffmpeg fails."""
        width, height = self.size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise ValueError(f"a frame is ({height}, {width}, 3) uint8, not {frame.shape} {frame.dtype}")
        coded_width, coded_height = self._even(self.size)
        if (coded_width, coded_height) != self.size:
            frame = np.pad(frame, ((0, coded_height - height), (0, coded_width - width), (0, 0)), mode="edge")
        self._push(frame.tobytes())

    def hold(self, seconds: float) -> None:
        """Repeat the last frame for this long."""
        if self._last is None:
            raise ValueError("nothing to hold: no frame has been written")
        for _ in range(round(seconds * self.fps)):
            self._push(self._last)

    def again(self) -> None:
        """Repeat the last frame once."""
        self.hold(1 / self.fps)

    def _push(self, frame: bytes) -> None:
        if not self._open:
            raise ValueError("the film is closed")
        if self._merges and frame == self._last:
            self._times[-1] += 1
        else:
            try:
                self._sink.write(frame)
            except ArtgenError:
                self.abort()
                raise
            self._times.append(1)
        self._last = frame
        self.frames += 1

    def close(self) -> None:
        """Finish the film and put it under its name.  A second call does nothing.

        Raises ArtgenError, with the old file untouched, when encoding or the disk fails or there was no frame.
        """
        if not self._open:
            return
        try:
            if not self.frames:
                raise ArtgenError(f"could not {self._what}: there was no frame.")
            self._sink.finish()
            self._convert(self.frames)
            files.publish(self._temp, self.path)
        except OSError as error:
            raise ArtgenError(f"could not {self._what}: {files.reason(error)}.") from error
        finally:
            self.abort()  # after success only the spool of a GIF is left to drop

    def abort(self) -> None:
        """Stop and leave nothing behind."""
        if self._open:
            self._open = False
            self._sink.kill()
            files.discard(self._temp, self._stream)

    def _convert(self, frames: int) -> None:
        """The work left for a film of that many frames."""
        if self._spooled:
            ends = [times / self.fps for times in accumulate(self._times)]
            if self._temp.suffix.lower() == ".gif":
                known = ends if self._merges else None
                gif.from_film(
                    self._stream, self._temp, ends=known, comment=self._comment, loop=self._loop, what=self._what
                )
            else:
                stills = _decoded(self._stream, self.size, ["-fps_mode", "passthrough"], self._what)
                animation.write_webp(self._temp, stills, ends, recipe=self._recipe, loop=self._loop)
        if self._sound is not None:
            self._add_sound(self._sound, frames / self.fps)

    def _add_sound(self, source: Path, seconds: float) -> None:
        voiced = files.temporary(self.path)
        picked = ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-t", f"{seconds:.6f}"]
        how = [*picked, *_SOUND_CODECS[self.path.suffix.lower()], *_SOUND]
        try:
            sources = ["-i", f"file:{self._temp}", *_LOCAL, "-i", f"file:{source}"]
            ffmpeg.run([*sources, *how, f"file:{voiced}"], self._what)
            voiced.replace(self._temp)
        finally:
            files.discard(voiced)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and not self.frames:
            self.abort()  # the exception says more than "there was no frame"
        self.close()


def _check_numbers(path: Path, size: tuple[int, int], fps: float) -> None:
    if min(size) < 1:
        raise UsageError(f"a film of {size[0]}x{size[1]} pixels cannot be written ({path}).")
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise UsageError(f"cannot write {path} at {fps:g} frames a second: use a number above 0, such as 30.")


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)  # exact for 30, 12.5 and 30000/1001


# --- reading -------------------------------------------------------------------------------------------------------


class VideoInfo(NamedTuple):
    """size: (width, height) as shown, rotation applied.  fps: frames a second, constant as `read_frames` gives them."""

    size: tuple[int, int]
    fps: float


def probe(path: Path) -> VideoInfo:
    """The size and frame rate of a film.  Raises UsageError: missing, folder, no film, no picture in it."""
    found = files.kind(path)
    if found == "missing":
        raise files.missing(path)
    if found == "folder":
        raise UsageError(f"{path} is a folder: name a film in it.")
    if animation.moves(path):
        return VideoInfo(animation.size(path), animation.rate(animation.delays(path)))
    # One frame as YUV4MPEG, whose first line gives size and exact rate; ffmpeg's own report is meant for people.
    args = [*_source(path), "-fps_mode", "cfr", "-frames:v", "1", "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "-"]
    try:
        output = ffmpeg.run(args, f"read {path} as a film")
    except ArtgenError as error:
        raise UsageError(_plain(path, str(error))) from error
    fields = {field[:1]: field[1:] for field in output.partition(b"\n")[0].decode("ascii", "replace").split()[1:]}
    if not {"W", "H", "F"} <= fields.keys():
        raise UsageError(_frameless(path))
    rate = float(Fraction(fields["F"].replace(":", "/")))
    return VideoInfo((int(fields["W"]), int(fields["H"])), _believable(path, rate))


def _believable(path: Path, rate: float) -> float:
    """`rate`, or that of its fast parts when the average is lower: the frames of a film may have different lengths."""
    average = re.search(r"Video: .* ([\d.]+) fps", ffmpeg.report([*_LOCAL, "-i", f"file:{path}"]))
    if average is None or not 0 < float(average[1]) < rate / 1.02:
        return rate
    lengths = _lengths(path)
    usual = animation.usual_rate(lengths) if lengths else float(average[1])
    return rate if abs(usual / rate - 1) < 0.02 else usual


def _lengths(path: Path) -> list[float]:
    """From each frame of a film to the next, in seconds; by its packets, without decoding them."""
    args = [*_LOCAL, "-i", f"file:{path}", "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = ffmpeg.run(args, f"read {path} as a film").decode("ascii", "replace").splitlines()
    base = next((Fraction(line.split()[-1]) for line in lines if line.startswith("#tb 0:")), Fraction(1))
    times = sorted(int(line.split(",")[2]) for line in lines if line and line[0].isdigit())
    return [float(base * (after - before)) for before, after in itertools.pairwise(times) if after > before]


def frame_count(path: Path, info: VideoInfo) -> int:
    """About how many frames a film has, by its length; 1 where it does not say."""
    return max(1, round(seconds(path) * info.fps))


def read_frames(path: Path, fps: float | None = None) -> Iterator[Frame]:
    """The frames of a film, (H, W, 3) uint8, one at a time, at a constant rate: the one that `probe` reports, or `fps`.

    Where its sound is longer than its picture, the last frame comes again until the sound has ended.
    Raises UsageError as `probe` does, at the first frame; ArtgenError when the film breaks off in the middle.
    """
    size, own = probe(path)
    rate = fps or own
    if animation.moves(path):
        yield from animation.frames(path, rate)
        return
    sped = [] if fps is None else ["-vf", f"fps={_rate(fps)}"]  # as -r drops frames here and there, not evenly
    how = [*sped, "-fps_mode", "cfr", "-r", str(_rate(rate))]
    count, last = 0, None
    for frame in _decoded(path, size, how, f"read {path} to its end"):
        count, last = count + 1, frame
        yield frame
    beyond = round(seconds(path) * rate) - count if last is not None and has_sound(path) else 0
    if last is None or beyond <= 1:  # so little is the rounding of codecs
        return
    _log.info("%s: the sound is %.1f s longer than the picture; the last frame is held", path, beyond / rate)
    for _ in range(beyond):
        yield last


def _decoded(path: Path, size: tuple[int, int], how: list[str], what: str) -> Iterator[Frame]:
    """The frames that ffmpeg gives, told `how`.  Raises ArtgenError "could not <what>"."""
    width, height = size
    count = width * height * 3
    with tempfile.TemporaryFile() as log:
        args = [*_source(path), *how, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
        process = ffmpeg.start(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        try:
            while len(data := process.stdout.read(count)) == count:
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
            if process.wait():
                log.seek(0)
                raise ffmpeg.failure(what, log.read())
        finally:  # also when the caller stops early
            process.kill()
            process.wait()
            process.stdout.close()


def read_tensors(path: Path, size: tuple[int, int] | None = None, fps: float | None = None) -> Iterator[torch.Tensor]:
    """As `read_frames`, but (3, H, W) in 0..1, of `size` = (width, height) or the film's own."""
    import torch

    from artcli.media import images

    for frame in read_frames(path, fps):
        sized = frame.copy() if size is None else images.resize(frame, size)
        yield torch.from_numpy(sized).permute(2, 0, 1).float().contiguous() / 255


def last_picture(path: Path, side: int) -> bytes:
    """The last frame of a film, or the first where its sound goes on for long, as a PNG.

    side: the most pixels of a side.  Not of animated pictures, which Pillow reads.  Raises UsageError: no film, or no
    frame in it.
    """
    fitted = f"scale='min(iw,{side})':'min(ih,{side})':force_original_aspect_ratio=decrease,setsar=1"
    for before, after in ((["-sseof", "-1"], []), ([], ["-frames:v", "1"])):
        args = [*before, *_source(path), *after, "-vf", fitted, "-c:v", "png", "-f", "image2pipe", "-"]
        try:
            frames = ffmpeg.run(args, f"read {path} as a film")
        except ArtgenError as error:
            raise UsageError(_plain(path, str(error))) from error
        if frames:
            return frames[frames.rindex(_PNG) :]
    raise UsageError(_frameless(path))


def has_sound(path: Path) -> bool:
    """Whether a film has a sound track."""
    return bool(re.search(r"Stream #.*: Audio: ", ffmpeg.report([*_LOCAL, "-i", f"file:{path}"])))


def seconds(path: Path) -> float:
    """The length that a film says it has; 0 for one that does not say."""
    if animation.moves(path):
        return sum(animation.delays(path))
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", ffmpeg.report([*_LOCAL, "-i", f"file:{path}"]))
    return 3600 * float(found[1]) + 60 * float(found[2]) + float(found[3]) if found else 0.0


def _source(path: Path) -> list[str]:
    return [*_LOCAL, "-i", f"file:{path}", "-map", "0:v:0"]


def _frameless(path: Path) -> str:
    return f"{path} holds no frame: it may be cut short; copy it again."


def _plain(path: Path, message: str) -> str:
    if "matches no streams" in message:
        return f"{path} has no picture track (only sound, perhaps): give a film."
    if "Invalid data" in message or "moov atom" in message:
        return f"{path} is not a film, or is damaged: give an MP4, WebM, MOV, MKV or GIF that plays."
    return message
