"""Do strokes have the size of a picture, however many pixels it has?  `artgen cyclegan` at several sizes.

    python bench/strokes.py PHOTOS PAINTINGS SCENE ... [--inception FILE] [--model NAME] [--detail D] [--out FOLDER]

PHOTOS and PAINTINGS are held out from training; photos below 512 px (the shorter side) are enlarged to that by the
bundled upscaler.  KID (see bench/translation.py) to the paintings is of what becomes of them, shrunk to 256 px: as they
are, with the net at the photo's own size, and with the net at its own.  Then every SCENE, a photo, at 256, 512 and
1024 px: how far the results, shrunk to 256 px, are from that of 256 px, as a part of how far that is from its photo.
FOLDER gets the scenes and what became of them.  The last line is the most memory that the process had.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import pictures as folder
import torch
from translation import features

import artcli
from artcli.backends import upscale
from artcli.media import images
from artcli.nn.fidelity import kid
from artcli.pretrained import inception, upscaler

CPU = torch.device("cpu")
SHOWN, LARGE, SIDES = 256, 512, (256, 512, 1024)


class Painter:
    """The command, on pictures in memory."""

    def __init__(self, model: str, detail: float | None):
        self.how = {"model": model, "detail": detail}

    def __call__(self, photo: torch.Tensor, size: int | None = None) -> torch.Tensor:
        with tempfile.TemporaryDirectory() as place:
            given, made = Path(place) / "photo.png", Path(place) / "made.png"
            images.save(given, photo)
            artcli.cyclegan(given, out=made, size=size, **self.how)
            return read(made)


def read(path: Path) -> torch.Tensor:
    return images.to_tensor(images.load(path))


def sized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """(3, H, W) with a shorter side of so many pixels, by the bundled upscaler where it is enlarged."""
    height, width = picture.shape[1:]
    part = side / min(height, width)
    wanted = round(width * part), round(height * part)
    return upscale.to_size(picture, upscaler.load("upscaler", CPU), wanted)


def likeness(photos: list[torch.Tensor], paintings: list[torch.Tensor], painter: Painter, net: str) -> None:
    judge = inception.load(net, CPU)
    goal = features(judge, paintings)
    ways = {"photographs": lambda photo: photo, "net at the photo's size": lambda photo: painter(photo, LARGE)}
    for name, draw in {**ways, "net at its own size": painter}.items():
        started = time.perf_counter()
        drawn = [draw(photo) for photo in photos]
        spent = (time.perf_counter() - started) / len(photos)
        found = kid(features(judge, [images.resize(each, (SHOWN, SHOWN)) for each in drawn]), goal)
        print(f"{name:24} KID {found:.4f}  {spent:5.1f} s a picture", flush=True)


def steadiness(scene: Path, painter: Painter, out: Path | None) -> None:
    photo = read(scene)
    photos = [sized(photo, side) for side in SIDES]
    least = photos[0].shape[2], photos[0].shape[1]
    for name, native in (("net at the photo's size", True), ("net at its own size", False)):
        made = [painter(each, side if native else None) for each, side in zip(photos, SIDES, strict=True)]
        shrunk = [images.resize(each, least) for each in made]
        own = float((shrunk[0] - photos[0]).abs().mean())
        apart = [float((each - shrunk[0]).abs().mean()) / own for each in shrunk[1:]]
        told = ", ".join(f"{side} px {far:.2f}" for side, far in zip(SIDES[1:], apart, strict=True))
        print(f"{scene.stem:12} {name:24} {told}  ({255 * own:.1f} of 255 from the photo)", flush=True)
        if out is not None:
            for side, each in zip(SIDES, made, strict=True):
                images.save(out / f"{scene.stem}-{side}{'-native' * native}.png", each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "paintings"):
        parser.add_argument(name, type=Path)
    parser.add_argument("scenes", type=Path, nargs="*")
    parser.add_argument("--inception", default=inception.NAME)
    parser.add_argument("--model", default="monet-mini")
    parser.add_argument("--detail", type=float)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    painter = Painter(given.model, given.detail)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    for scene in given.scenes:
        steadiness(scene, painter, given.out)
    photos = [sized(each, LARGE) for each in folder.read(given.photos, LARGE)]
    likeness(photos, folder.read(given.paintings, SHOWN), painter, given.inception)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    print(f"memory {memory:.2f} GB")


if __name__ == "__main__":
    main()
