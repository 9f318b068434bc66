"""How close paintings come to their photos, beside the same strokes on a regular grid; seconds and peak memory.

    python bench/paint.py PICTURES [--model painter] [--strokes 500 2000 8000] [--side 512]

The grid has as many strokes of the same sizes, layer by layer, level and evenly spread, in the photo's mean colours
there.  PSNR in dB, higher is closer; LPIPS-like: distance of clip-mini's features, lower is closer.  The last lines
are the means over all pictures and what the painter gains.
"""

import argparse
import math
import resource
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image

from artcli import device
from artcli.backends.paint import choose, layers
from artcli.backends.paint.settings import Settings
from artcli.media import files, images, raster
from artcli.media.brushes import Brush
from artcli.media.strokes import Painting, Strokes
from artcli.pretrained import painter as predictor
from artcli.pretrained.perceptual import Perceptual


def open_photo(path: Path, side: int) -> np.ndarray:
    """(H, W, 3) uint8, its longer side `side` pixels."""
    rgb = (images.load(path).rgb * 255 + 0.5).astype(np.uint8)
    factor = side / max(rgb.shape)
    return images.resize(rgb, (round(rgb.shape[1] * factor), round(rgb.shape[0] * factor)))


def paint(photo: np.ndarray, painter: predictor.Painter, count: int) -> Painting:
    ground = tuple(photo.mean((0, 1)) / 255)
    brush, settings = Brush.find("flat"), Settings(strokes=count)
    *_, last = layers.paint(photo, painter, settings, brush, ground)
    strokes = choose.best(last.strokes, count, photo, brush, ground)
    return Painting((photo.shape[1], photo.shape[0]), strokes, brush, ground)


def on_a_grid(painting: Painting, photo: np.ndarray) -> Painting:
    """As many strokes of the same sizes, coarse to fine."""
    parts = [_grid(painting.strokes[painting.strokes.layers == n], photo) for n in np.unique(painting.strokes.layers)]
    return Painting(painting.size, sum(parts, Strokes.none()), painting.brush, painting.background)


def _grid(strokes: Strokes, photo: np.ndarray) -> Strokes:
    height, width = photo.shape[:2]
    columns = max(1, round(math.sqrt(len(strokes) * width / height)))
    rows = math.ceil(len(strokes) / columns)
    row, column = np.divmod(np.arange(len(strokes)) * (rows * columns) // len(strokes), columns)
    colors = np.asarray(Image.fromarray(photo).resize((columns, rows), Image.Resampling.BOX))[row, column] / 255
    shapes = strokes.shapes.copy()
    shapes[:, 0], shapes[:, 1], shapes[:, 4] = (column + 0.5) / columns * width, (row + 0.5) / rows * height, 0
    ones = np.ones(len(strokes))
    return Strokes.make(shapes, colors, strokes.layers, ones, ones)


def closeness(painting: Painting, photo: np.ndarray, perceptual: Perceptual) -> tuple[float, float]:
    """PSNR and perceptual distance to the photo."""
    drawn = raster.rasterise(painting)
    psnr = 10 * math.log10(255**2 / np.square(drawn.astype(float) - photo).mean())
    pair = [torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1)))[None].float() / 255 for p in (drawn, photo)]
    with torch.no_grad():
        return psnr, perceptual(*pair).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--model", default="painter")
    parser.add_argument("--strokes", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--side", type=int, default=512)
    args = parser.parse_args()
    painter = predictor.load(args.model, device.choose("auto"))
    perceptual = Perceptual("clip-mini")
    found: dict[int, list[tuple[float, float, float, float]]] = {count: [] for count in args.strokes}
    for path in files.expand_inputs(args.pictures):
        photo = open_photo(Path(path), args.side)
        for count in args.strokes:
            started = time.perf_counter()
            painting = paint(photo, painter, count)
            seconds = time.perf_counter() - started
            ours, grid = (closeness(p, photo, perceptual) for p in (painting, on_a_grid(painting, photo)))
            found[count].append((*ours, *grid))
            print(
                f"{path} {len(painting.strokes):6} strokes {seconds:5.1f} s   painted {ours[0]:.2f} dB {ours[1]:.4f}   "
                f"grid {grid[0]:.2f} dB {grid[1]:.4f}",
                flush=True,
            )
    for count, rows in found.items():
        psnr, distance, grid_psnr, grid_distance = (fmean(column) for column in zip(*rows, strict=True))
        print(
            f"mean {count:6} strokes: {psnr:.2f} dB, {psnr - grid_psnr:+.2f} to the grid; {distance:.4f}, "
            f"ratio {distance / grid_distance:.2f} to the grid"
        )
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
