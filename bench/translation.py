"""Do photographs look like paintings afterwards, and paintings like photographs?  KID of a translator's results.

    python bench/translation.py PHOTOS PAINTINGS TRAINED [--inception FILE] [--model monet-mini] [--out FOLDER]

PHOTOS and PAINTINGS are held out from training, TRAINED holds the paintings of training.  KID (see
artcli/nn/fidelity.py) is of all quarters of each picture (128 of 256 pixels).  FILE: Inception as torch-fidelity has it
(`pip install "artgen[metrics]"`), which downloads it otherwise.  Beside it the photographs as they are, and with the
colours of a painting each ("Color Transfer between Images", Reinhard et al., 2001).  Then what becomes of the
paintings: how near they come back (PSNR), and their colourfulness ("Measuring Colourfulness in Natural Images", Hasler
and Suesstrunk, 2003) before and after.  FOLDER gets two sheets of ten: pictures, what became of them, and back again.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import fmean

import pictures as folder
import torch

from artcli.backends import translate
from artcli.media import images
from artcli.nn.fidelity import kid
from artcli.nn.measure import psnr
from artcli.pretrained import inception
from artcli.pretrained import translators as translator_files
from artcli.pretrained.inception import Inception

CPU = torch.device("cpu")
SIDE, CROP, SHOWN = 256, 128, 10
# From linear RGB to the logarithmic, decorrelated space of Ruderman et al. that Reinhard et al. work in.
_LMS = torch.tensor([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_AXES = torch.tensor([[1.0, 1, 1], [1, 1, -2], [1, -1, 0]]) / torch.tensor([3.0, 6, 2]).sqrt()[:, None]


@torch.inference_mode()
def features(net: Inception, pictures: list[torch.Tensor]) -> torch.Tensor:
    """(4 N, 2048) of the quarters of pictures (3, SIDE, SIDE)."""
    crops = torch.stack(pictures).unfold(2, CROP, CROP).unfold(3, CROP, CROP)
    crops = crops.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, CROP, CROP)
    return torch.cat([net((255 * each.clamp(0, 1)).round().byte()) for each in crops.split(16)])


def reinhard(photo: torch.Tensor, painting: torch.Tensor) -> torch.Tensor:
    """The photo with the means and deviations of a painting's colours; both (3, H, W) in 0..1."""
    own, wanted = (_AXES @ (_LMS @ x.flatten(1).clamp_min(1 / 255)).log10() for x in (photo, painting))
    moved = (own - own.mean(1, True)) / own.std(1, keepdim=True) * wanted.std(1, keepdim=True) + wanted.mean(1, True)
    return (torch.linalg.inv(_LMS) @ (10 ** (_AXES.T @ moved))).view_as(photo).clamp(0, 1)


def colourfulness(picture: torch.Tensor) -> float:
    red, green, blue = 255 * picture
    axes = torch.stack((red - green, (red + green) / 2 - blue)).flatten(1)
    return float(axes.std(1).norm() + 0.3 * axes.mean(1).norm())


def translated(pictures: list[torch.Tensor], model: str, direction: str) -> list[torch.Tensor]:
    net = translator_files.load(model, CPU, direction=direction).net
    started = time.perf_counter()
    drawn = [translate.whole(picture, net).clamp(0, 1) for picture in pictures]
    print(f"{direction}: {(time.perf_counter() - started) / len(pictures):.2f} s a picture", file=sys.stderr)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "paintings", "trained"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--inception", default=inception.NAME)
    parser.add_argument("--model", default="monet-mini")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    photos, paintings, trained = (folder.read(each, SIDE) for each in (given.photos, given.paintings, given.trained))
    painted = translated(photos, given.model, "AtoB")
    photographed = translated(paintings, given.model, "BtoA")
    again = translated(photographed, given.model, "AtoB")

    net = inception.load(given.inception, CPU)
    goals = {"paintings of training": features(net, trained), "held-out paintings": features(net, paintings)}
    recoloured = [reinhard(photo, paintings[number % len(paintings)]) for number, photo in enumerate(photos)]
    for name, shown in {"unchanged": photos, "Reinhard": recoloured, given.model: painted}.items():
        found = features(net, shown)
        print(f"{name:24}", ", ".join(f"KID to {goal} {kid(found, wanted):.4f}" for goal, wanted in goals.items()))
    back = fmean(psnr(a[None], b[None]).item() for a, b in zip(again, paintings, strict=True))
    before, after = (fmean(map(colourfulness, each)) for each in (paintings, photographed))
    print(f"paintings there and back: {back:.2f} dB; colourfulness {before:.1f} before, {after:.1f} as photographs")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        returned = translated(painted[:SHOWN], given.model, "BtoA")
        for name, rows in {
            "painted": (photos, painted, returned),
            "photographed": (paintings, photographed, again),
        }.items():
            sheet = torch.cat([torch.cat(row[:SHOWN], 2) for row in rows], 1)
            images.save(given.out / f"{name}.png", sheet)


if __name__ == "__main__":
    main()
