"""How well do VQGANs keep pictures?  PSNR, perceptual distance and use of the codebook, side by side.

    python bench/vqgan.py PICTURES MODEL [MODEL ...] [--side 512] [--net clip-mini] [--out SHEET.png]

PICTURES is a folder; a MODEL is what `artgen dream --vqgan` takes.  Every picture is made small enough for its shorter
side to be --side pixels, and goes through each model as a whole.  The sheet shows the middle of each picture and below
it what became of it.
"""

import argparse
import math
from pathlib import Path

import pictures as folder
import torch

from artcli.nn.measure import psnr
from artcli.pretrained import vqgan as vqgan_files
from artcli.pretrained.perceptual import Perceptual


@torch.inference_mode()
def measure(model, pictures: list[torch.Tensor], distance: Perceptual) -> tuple[str, list[torch.Tensor]]:
    near, apart, rebuilt, codes = [], [], [], []
    for image in pictures:
        found = model.quantize.nearest(model.encode(image))
        codes.append(found.flatten())
        rebuilt.append(model.decode(model.quantize.look_up(found)).clamp(0, 1))
        near.append(psnr(rebuilt[-1], image).item())
        apart.append(distance(rebuilt[-1], image).item())
    count = torch.bincount(torch.cat(codes), minlength=len(model.quantize.vectors)).double()
    perplexity = math.exp(torch.special.entr(count / count.sum()).sum().item())
    mean = f"{sum(near) / len(near):.2f} dB ({min(near):.1f}..{max(near):.1f}), {sum(apart) / len(apart):.4f} apart"
    used = (count > 0).double().mean().item()
    return f"{mean}, {used:.1%} of {len(count)} codes in use, perplexity {perplexity:.0f}", rebuilt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--net", default="clip-mini", help="measures the perceptual distance")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    distance = Perceptual(given.net)
    pictures = [image[None] for image in folder.read(given.pictures, given.side)]
    rows = [pictures]
    for name in given.models:
        text, rebuilt = measure(vqgan_files.load(name, torch.device("cpu"), encodes=True), pictures, distance)
        print(f"{name}: {text}", flush=True)
        rows.append(rebuilt)
    if given.out is not None:
        folder.write_sheet(given.out, [[image[0] for image in row] for row in rows])


if __name__ == "__main__":
    main()
