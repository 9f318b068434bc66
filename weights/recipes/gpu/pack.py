"""Pack picture sets for a machine with a GPU and nothing else, into two parcels that travel one after the other.

    python pack.py DATA PARCELS [--quality 32] [--side 64]

DATA is what text_image_data.py makes.  PARCELS receives `first` and `second`, each with sheets of WebP pictures
(`NAME-000.webp`, 50 columns) and what is known of them (`NAME.npz`, as in DATA but without pictures); `first` also
gets clip-mini and the wheels of what that machine lacks, so that it works from these folders alone.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from artcli.training.pictures import is_set

COLUMNS, ROWS = 50, 60
WHEELS = ("open_clip_torch", "ftfy", "wcwidth", "platformdirs", "tomli_w")
SECOND = {"tiny-imagenet", "scenes", "cifar-10", "food", "things", "mini-imagenet"}  # the others travel first
MOST = {"tiny-imagenet": 48_000, "cifar-10": 30_000, "cifar-100": 40_000}  # pictures: a parcel holds 58 MiB


def write_set(path: Path, out: Path, side: int, quality: int) -> int:
    """Bytes written."""
    with np.load(path, allow_pickle=False) as data:
        known = {name: data[name] for name in data.files if name != "images"}
        images = data["images"]
    keep = np.random.default_rng(0).permutation(len(images))[: MOST.get(path.stem, len(images))]
    keep.sort()
    images, known["labels"] = images[keep], known["labels"][keep]
    small = min(side, images.shape[1])
    np.savez_compressed(out / path.name, side=small, **known)
    written = 0
    for number, start in enumerate(range(0, len(images), COLUMNS * ROWS)):
        part = images[start : start + COLUMNS * ROWS]
        if part.shape[1] != small:
            part = np.stack([np.asarray(Image.fromarray(p).resize((small, small), Image.LANCZOS)) for p in part])
        cells = np.zeros((-(-len(part) // COLUMNS) * COLUMNS, small, small, 3), np.uint8)
        cells[: len(part)] = part
        sheet = cells.reshape(-1, COLUMNS, small, small, 3).swapaxes(1, 2).reshape(-1, COLUMNS * small, 3)
        target = out / f"{path.stem}-{number:03d}.webp"
        Image.fromarray(sheet).save(target, quality=quality, method=4)
        written += target.stat().st_size
    print(f"{path.stem}: {len(images)} pictures of {small} px, {written / 2**20:.1f} MiB", flush=True)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("parcels", type=Path)
    parser.add_argument("--quality", type=int, default=32)
    parser.add_argument("--side", type=int, default=64)
    args = parser.parse_args()
    for parcel in ("first", "second"):
        (args.parcels / parcel).mkdir(parents=True, exist_ok=True)
    for path in sorted(args.data.glob("*.npz")):
        if is_set(path):
            parcel = args.parcels / ("second" if path.stem in SECOND else "first")
            write_set(path, parcel, args.side, args.quality)
    first = args.parcels / "first"
    shutil.copytree(Path(__file__).parents[2] / "clip-mini", first / "clip-mini", dirs_exist_ok=True)
    wheels = ["download", "-q", "--no-deps", "-d", str(first / "wheels"), *WHEELS]
    subprocess.run([sys.executable, "-m", "pip", *wheels], check=True)
    for parcel in ("first", "second"):
        size = sum(p.stat().st_size for p in (args.parcels / parcel).rglob("*") if p.is_file())
        print(f"{parcel}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
