"""Six photos in six styles: stylize's default beside optimising on VGG19 itself, both judged by VGG19.

    python bench/stylize_pairs.py PICTURES OUT --vgg19 FILE [--net vgg-slim] [--size 512] [--rival-steps 500]

PICTURES is the folder with the pictures of PAIRS.  The loss is the style term of the preset modern on VGG19, as a part
of what the photo itself has.  Results of VGG19, which take long, stay in OUT and are not painted again.  The contact
sheet shows the middles of photo, the default's result, VGG19's and style, a pair a row.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

import pictures as folder
import torch

from artcli.backends.stylize import losses
from artcli.backends.stylize.moments import Moments
from artcli.backends.stylize.objective import Weights
from artcli.backends.stylize.schedule import fit
from artcli.backends.stylize.settings import PRESETS
from artcli.backends.stylize.styles import measure, resize
from artcli.media import images
from artcli.pretrained import feature_nets

PAIRS = (
    ("golden_gate.jpg", "la_muse.jpg"),
    ("chicago.jpg", "brushstrokes.jpg"),
    ("kodak-04.png", "woman_with_hat_matisse.jpg"),
    ("kodak-03.png", "mondrian.jpg"),
    ("sailboat.jpg", "la_muse.jpg"),
    ("kodak-05.png", "woman_with_hat_matisse.jpg"),
)
_MODERN = PRESETS["modern"]


def open_tensor(path: Path, size: int) -> torch.Tensor:
    """(1, 3, H, W), its longer side `size` pixels."""
    picture = images.to_tensor(images.load(path))[None]
    return resize(picture, fit(tuple(picture.shape[-2:]), size))  # type: ignore[arg-type]


def paint(photo: Path, style: Path, out: Path, options: list[str]) -> float:
    """Seconds that the command takes."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "artcli", "stylize", str(photo), str(style), "-o", str(out), "-q", "--no-preview"]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


class Judge:
    """VGG19's distance of styles."""

    def __init__(self, weights: str):
        self.net = feature_nets.load(weights, torch.device("cpu"))
        self.weights = Weights.of(_MODERN, self.net).style

    @torch.no_grad()
    def __call__(self, pictures: list[torch.Tensor], style: torch.Tensor) -> list[float]:
        wanted = {tap: losses.Gaussian(each) for tap, each in measure(style, self.net, _MODERN).items()}
        return [self._apart(measure(picture, self.net, _MODERN), wanted) for picture in pictures]

    def _apart(self, found: dict[str, Moments], wanted: dict[str, losses.Gaussian]) -> float:
        return float(sum(weight * wanted[tap].distance(found[tap]) for tap, weight in self.weights.items()))


def by_vgg19(photo: Path, style: Path, out: Path, given: argparse.Namespace) -> float:
    """Seconds, also those of an earlier run of this bench."""
    noted = out.with_suffix(".json")
    if not (out.exists() and noted.exists()):
        options = ["--preset", "modern", "--net", given.vgg19, "--steps", str(given.rival_steps)]
        seconds = paint(photo, style, out, [*options, "--size", str(given.size), "--force"])
        noted.write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
    return json.loads(noted.read_text(encoding="utf-8"))["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vgg19", required=True, help="a file with its weights, or vgg19")
    parser.add_argument("--net", default="vgg-slim")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rival-steps", type=int, default=_MODERN.steps)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    judge, rows, parts, ratios = Judge(given.vgg19), [], [], []
    for photo, style in ((given.pictures / a, given.pictures / b) for a, b in PAIRS):
        own, rival = (given.out / f"{photo.stem}-{style.stem}-{kind}.png" for kind in ("artgen", "vgg19"))
        rival_seconds = by_vgg19(photo, style, rival, given)
        seconds = paint(photo, style, own, ["--net", given.net, "--size", str(given.size), "--force"])
        shown = [open_tensor(path, given.size) for path in (photo, own, rival, style)]
        before, found, reached = judge(shown[:3], shown[3])
        rows.append([image[0] for image in shown])
        parts.append(found / before)
        ratios.append(found / reached)
        print(
            f"{photo.stem:12} {style.stem:24} of the photo's loss: {found / before:.3f} in {seconds:.0f} s, VGG19 "
            f"{reached / before:.3f} in {rival_seconds:.0f} s; ratio {ratios[-1]:.2f}, "
            f"time {seconds / rival_seconds:.3f}",
            flush=True,
        )
    folder.write_sheet(given.out / "contact-sheet.png", rows)
    print(f"mean: part of the photo's loss {fmean(parts):.3f}, ratio to VGG19's {fmean(ratios):.2f}")


if __name__ == "__main__":
    main()
