"""Small files such as users really have: turned, transparent, moving, deep, thin, mislabelled, cut short."""

import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from tests.conftest import animation, with_exif, with_holes

GOOD = (  # pictures that every verb takes
    "plain.png", "turned.jpg", "hole.png", "hole0.png", "grey.png", "bits.png", "palette.png", "clear.gif", "cmyk.jpg",
    "deep.png", "twelve.png", "float.tif", "thin.png", "speck.png", "mislabelled.jpg", "a name with ümläuts & 100%.png",
    "old.bmp", "sub/deeper.png",
)  # fmt: skip
MOVING = ("anim.gif", "anim.webp", "anim.png")
FILMS = ("talk.mp4",)
BAD = ("cut.jpg", "cut.png", "empty.png", "text.png", "no.png", "notes.txt")
SOURCES = (*GOOD, *MOVING, *FILMS, *BAD, "sub")
FOLDERS = ("photos", "twin", "mixed", "nothing")


def make(folder: Path) -> None:
    """Write all of SOURCES but no.png, and FOLDERS, into an empty folder."""
    for name in ("sub", "photos/sub", "twin", "mixed", "nothing"):
        (folder / name).mkdir(parents=True)
    with_holes(folder, (40, 28))  # and whole.png
    picture = Image.open(folder / "whole.png")
    (folder / "whole.png").rename(folder / "plain.png")
    pixels = np.asarray(picture)
    with_exif(folder / "turned.jpg", picture)
    grey = picture.convert("L")
    grey.save(folder / "grey.png")
    picture.convert("1").save(folder / "bits.png")
    picture.quantize(7).save(folder / "palette.png", transparency=2)
    picture.quantize(7).save(folder / "clear.gif", transparency=2)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(folder / "deep.png")
    Image.fromarray(np.asarray(grey, np.uint16) << 4).save(folder / "twelve.png")
    Image.fromarray(np.asarray(grey, np.float32) / 255).save(folder / "float.tif")
    picture.resize((70, 5)).save(folder / "thin.png")
    Image.fromarray(pixels[:1, :1]).save(folder / "speck.png")
    for name in ("a name with ümläuts & 100%.png", "old.bmp", "sub/deeper.png", "photos/a.png", "photos/b.jpg"):
        picture.save(folder / name)
    for name in ("photos/sub/c.png", "twin/IMG_1.jpg", "twin/IMG_1.png", "mixed/a.png"):
        picture.save(folder / name)
    shutil.copy(folder / "plain.png", folder / "mislabelled.jpg")
    for suffix in (".gif", ".webp", ".png"):
        animation(folder / f"anim{suffix}", (40, 28))
    for name, whole in (("cut.jpg", "turned.jpg"), ("cut.png", "plain.png"), ("mixed/bad.png", "plain.png")):
        (folder / name).write_bytes((folder / whole).read_bytes()[:900])
    (folder / "empty.png").write_bytes(b"")
    for name in ("text.png", "notes.txt"):
        (folder / name).write_text("no picture\n")
    _talk(folder / "talk.mp4")


def _talk(path: Path) -> None:
    """A film whose frames come at uneven times, with sound."""
    source = ["-f", "lavfi", "-i", "testsrc2=size=48x32:rate=10:duration=1", "-f", "lavfi", "-i", "sine=440:duration=1"]
    uneven = ["-vf", "select='lt(n,3)+not(mod(n,4))'", "-fps_mode", "vfr", "-enc_time_base", "1/10"]
    codec = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0", "-c:a", "aac"]
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    subprocess.run([*program, *source, *uneven, *codec, str(path)], check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":  # to look at them: python -m tests.odd_files FOLDER
    make(Path(sys.argv[1]))
