"""How much of a picture does the super-resolver bring back?  Beside Lanczos, in one run.

    python bench/upscale.py PICTURES [--net upscaler] [--side 384] [--out SHEET.png]

Every picture of a folder is made half and a quarter as large, and enlarged again.  Prints PSNR, the perceptual distance
to the picture as it was, and seconds per million pixels drawn.  The sheet shows middles: as it was, Lanczos, ours, of
the quarters.
"""

import argparse
import time
from pathlib import Path

import pictures as folder
import torch

from artcli.backends import upscale
from artcli.commands.shared.enlarge import FACTORS
from artcli.media import images
from artcli.nn.measure import psnr
from artcli.pretrained import upscaler
from artcli.pretrained.perceptual import Perceptual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--net", default="upscaler")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    net, distance = upscaler.load(given.net, torch.device("cpu")), Perceptual("clip-mini")
    pictures = folder.read(given.pictures, given.side)
    shown = [pictures]
    for factor in FACTORS:
        forms = {
            "lanczos": lambda small, factor=factor: images.resize(small, tuple(factor * n for n in small.shape[:0:-1])),
            "ours": lambda small, factor=factor: upscale.upscale(small, net, factor),
        }
        for name, enlarge in forms.items():
            near = apart = seconds = 0.0
            drawn = []
            for image in pictures:
                small = images.resize(image, tuple(n // factor for n in image.shape[:0:-1]))
                started = time.perf_counter()
                drawn.append(enlarge(small).clamp(0, 1))
                seconds += time.perf_counter() - started
                near += psnr(drawn[-1][None], image[None]).item()
                with torch.inference_mode():
                    apart += distance(drawn[-1][None], image[None]).item()
            count, million = len(pictures), sum(image[0].numel() for image in pictures) / 1e6
            print(f"x{factor} {name:8} {near / count:.2f} dB, {apart / count:.4f} apart, {seconds / million:.2f} s/MP")
            if factor == max(FACTORS):
                shown.append(drawn)
    if given.out is not None:
        folder.write_sheet(given.out, shown)


if __name__ == "__main__":
    main()
