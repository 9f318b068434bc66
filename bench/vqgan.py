"""How well do VQGANs keep pictures?  PSNR, perceptual distance and use of the codebook, side by side.

    python bench/vqgan.py PICTURES MODEL [MODEL ...] [--side 512] [--net clip-mini] [--out SHEET.png]

PICTURES is a folder; a MODEL is what `artgen dream --vqgan` takes.  Every picture is made small enough for its shorter
side to be --side pixels, and goes through each model as a whole.  The sheet shows the middle of each picture and below
it what became of it.
"""

import argparse
import math
from pathlib import Path

import torch
from torchvision.transforms.v2.functional import center_crop

from artcli.backends import vqgan_files
from artcli.backends.perceptual import Perceptual
from artcli.media import images

SHOWN = 192  # pixels of each picture on the sheet


def read(path: Path, side: int) -> torch.Tensor:
    """(1, 3, H, W) in 0..1, sides multiples of 16."""
    image = images.to_tensor(images.load(path))
    height, width = image.shape[1:]
    part = min(1.0, side / min(height, width))
    image = images.resize(image, (round(width * part), round(height * part)))
    return center_crop(image, [length // 16 * 16 for length in image.shape[1:]])[None]


@torch.inference_mode()
def measure(model, pictures: list[torch.Tensor], distance: Perceptual) -> tuple[str, list[torch.Tensor]]:
    psnr, apart, rebuilt, codes = [], [], [], []
    for image in pictures:
        found = model.quantize.nearest(model.encode(image))
        codes.append(found.flatten())
        rebuilt.append(model.decode(model.quantize.look_up(found)).clamp(0, 1))
        psnr.append(-10 * math.log10((rebuilt[-1] - image).square().mean().item()))
        apart.append(distance(rebuilt[-1], image).item())
    count = torch.bincount(torch.cat(codes), minlength=len(model.quantize.vectors)).double()
    perplexity = math.exp(torch.special.entr(count / count.sum()).sum().item())
    mean = f"{sum(psnr) / len(psnr):.2f} dB ({min(psnr):.1f}..{max(psnr):.1f}), {sum(apart) / len(apart):.4f} apart"
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
    found = sorted(path for path in given.pictures.iterdir() if path.suffix.lower() in images.WRITABLE)
    pictures = [read(path, given.side) for path in found]
    rows = [pictures]
    for name in given.models:
        text, rebuilt = measure(vqgan_files.load(name, torch.device("cpu"), encodes=True), pictures, distance)
        print(f"{name}: {text}", flush=True)
        rows.append(rebuilt)
    if given.out is not None:
        shown = [torch.cat([center_crop(image[0], [SHOWN]) for image in row], 2) for row in rows]
        images.save(given.out, torch.cat(shown, 1))


if __name__ == "__main__":
    main()
