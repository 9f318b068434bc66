"""Small files such as users really have: turned, transparent, moving, deep, thin, mislabelled, cut short."""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageCms

from tests.conftest import animation, with_exif, with_holes

LONG = f"{'long-' * 49}name"  # with an ending of four as long as most disks take names
GOOD = (  # pictures that every verb takes
    "plain.png", "turned.jpg", "hole.png", "hole0.png", "clear.png", "grey.png", "dim.png", "bits.png", "palette.png",
    "clear.gif", "cmyk.jpg", "profile.jpg", "deep.png", "float.tif", "thin.png", "tall.png", "speck.png",
    "mislabelled.jpg", "a name with ümläuts & 100%.png", "star[1]*.png", "~tilde.png", "v1.2.PNG", "bare", "link.png",
    f"{LONG}.png", "old.bmp", "old.ppm", "still.avif", "sub/deeper.png", "-",
)  # fmt: skip
UNSURE = ("twelve.png",)  # whose white is not known
MOVING = ("anim.gif", "anim.webp", "anim.png")
FIRST_ONLY = ("anim.avif", "pages.tif")  # which no verb goes through
FILMS = ("talk.mp4", "film.png")
CUT = ("cut.gif", "cut.webp", "cut.mp4")  # whose beginning may do
BAD = (
    "cut.jpg", "cut.png", "empty.png", "text.png", "no.png", "notes.txt", "two\nlines.png", "page.png", "pointer.png",
    "drawing.svg", "phone.heic", "zeros.png", "bomb.png", "sound.mp4", "dangling.png", "loop.png", "secret.png",
    "plain.png/x.png", f"{LONG * 2}.png", "no*.png",
)  # fmt: skip
TEXTS = ("text.png", "notes.txt", "two\nlines.png", "page.png", "pointer.png", "drawing.svg")
SOURCES = (*GOOD, *UNSURE, *MOVING, *FIRST_ONLY, *FILMS, *CUT, *BAD, "sub")
FOLDERS = ("photos", "twin", "mixed", "nothing", "photos/*.png", "photos/**/*.*")
STDIN = "plain.png"  # what "-" gives
CLOSED = ("secret.png", "locked")  # to all but root


def make(folder: Path) -> None:
    """Write SOURCES, but those that are to be missing, and FOLDERS into an empty folder."""
    for name in ("sub", "photos/sub", "twin", "mixed", "nothing", "locked"):
        (folder / name).mkdir(parents=True)
    with_holes(folder, (40, 28))  # and whole.png
    picture = Image.open(folder / "whole.png")
    (folder / "whole.png").rename(folder / "plain.png")
    pixels = np.asarray(picture)
    with_exif(folder / "turned.jpg", picture)
    grey = picture.convert("L")
    grey.save(folder / "grey.png")
    Image.merge("LA", (grey, grey)).save(folder / "dim.png")
    Image.new("RGBA", picture.size, (9, 99, 199, 0)).save(folder / "clear.png")
    picture.save(folder / "profile.jpg", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    picture.convert("1").save(folder / "bits.png")
    picture.quantize(7).save(folder / "palette.png", transparency=2)
    picture.quantize(7).save(folder / "clear.gif", transparency=2)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(np.asarray(grey, np.uint16) << 4).save(folder / "twelve.png")
    Image.fromarray(np.asarray(grey, np.float32) / 255).save(folder / "float.tif")
    picture.resize((70, 5)).save(folder / "thin.png")
    picture.resize((5, 70)).save(folder / "tall.png")
    Image.fromarray(pixels[:1, :1]).save(folder / "speck.png")
    names = [name for name in GOOD if name not in ("-", "bare") and not os.path.lexists(folder / name)]
    for name in (*names, "photos/a.png", "photos/b.jpg"):  # all that are odd by their names or endings only
        if name not in ("mislabelled.jpg", "link.png"):
            picture.save(folder / name)
    for name in ("photos/sub/c.png", "twin/IMG_1.jpg", "twin/IMG_1.png", "mixed/a.png"):
        picture.save(folder / name)
    for name in ("mislabelled.jpg", "bare", "secret.png"):
        shutil.copy(folder / "plain.png", folder / name)
    for suffix in (".gif", ".webp", ".png", ".avif"):
        animation(folder / f"anim{suffix}", (40, 28))
    picture.save(folder / "pages.tif", save_all=True, append_images=[picture.convert("RGB")])
    _talk(folder / "talk.mp4")
    shutil.copy(folder / "talk.mp4", folder / "film.png")
    _bad(folder)


def _bad(folder: Path) -> None:
    halves = {"cut.jpg": "turned.jpg", "cut.png": "plain.png", "mixed/bad.png": "plain.png"}
    for name, whole in (
        halves | {f"cut{Path(each).suffix}": each for each in ("anim.gif", "anim.webp", "talk.mp4")}
    ).items():
        data = (folder / whole).read_bytes()
        (folder / name).write_bytes(data[: len(data) * 2 // 3])
    for name in ("text.png", "notes.txt", "two\nlines.png"):
        (folder / name).write_text("no picture\n")
    (folder / "page.png").write_text("<!DOCTYPE html><title>Not found</title>\n")
    (folder / "pointer.png").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    (folder / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    (folder / "empty.png").write_bytes(b"")
    (folder / "zeros.png").write_bytes(bytes(900))
    whole = (folder / "plain.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    (folder / "bomb.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    _ffmpeg("-f", "lavfi", "-i", "sine=440:duration=1", "-c:a", "aac", str(folder / "sound.mp4"))
    for name, target in (("link.png", "plain.png"), ("dangling.png", "gone.png"), ("loop.png", "loop.png")):
        (folder / name).symlink_to(target)


def _talk(path: Path) -> None:
    """A film whose frames come at uneven times, with sound."""
    source = ["-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=1", "-f", "lavfi", "-i", "sine=440:duration=1"]
    uneven = ["-vf", "select='lt(n,3)+not(mod(n,4))'", "-fps_mode", "vfr", "-enc_time_base", "1/10"]
    codec = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0", "-c:a", "aac"]
    _ffmpeg(*source, *uneven, *codec, str(path))


def _ffmpeg(*arguments: str) -> None:
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    subprocess.run([*program, *arguments], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def closed(folder: Path) -> Iterator[None]:
    """CLOSED cannot be used."""
    for name in CLOSED:
        (folder / name).chmod(0o500 if (folder / name).is_dir() else 0)
    with as_anybody():
        yield
    for name in CLOSED:
        (folder / name).chmod(0o755)


@contextmanager
def as_anybody() -> Iterator[None]:
    """Permissions hold in this thread, also for root, who has the right to pass over them."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, left = ((ctypes.c_uint32 * 6)() for _ in range(2))  # effective, permitted, inheritable of numbers 0-31, 32-63
    if libc.capget(header, held):
        raise OSError(ctypes.get_errno(), "capget")
    left[:] = held[:]
    left[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(header, left):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, held)


if __name__ == "__main__":  # to look at them: python -m tests.odd_files FOLDER
    make(Path(sys.argv[1]))
