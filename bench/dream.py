"""Seconds per step and peak memory of dream's loop, beside a straightforward form of the same loss.

    python bench/dream.py [--drawer fft] [--steps 5] [--size 256] [--cutouts 32] [--float32]

Both forms draw the same picture, by its Fourier spectrum or by a VQGAN of 16 pixels a code, and look at it with the
same ViT-B/32 (random weights: only the cost counts).  The straightforward form crops and encodes one crop after another
in float32, finds a VQGAN's codes by a product with one-hot rows, and draws the frame again.  Each runs in a process
of its own, so that peak memory can be told apart; the last line is the ratio.  --float32: ours computes in float32,
too, as on machines without bfloat16 units.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from artcli.backends.dream import codes
from artcli.backends.dream.fft import FFTImage
from artcli.backends.dream.losses import distance
from artcli.backends.dream.optimise import dream
from artcli.backends.dream.prompts import Prompt
from artcli.backends.dream.settings import Settings
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.pretrained import clip as clip_files
from artcli.pretrained.clip import Clip

ARCH = "ViT-B-32-quickgelu"


def load() -> Clip:
    import open_clip

    torch.manual_seed(0)
    return Clip(open_clip.create_model(ARCH), open_clip.get_tokenizer(ARCH), torch.device("cpu"), ARCH)


def load_vqgan() -> VQGAN:
    torch.manual_seed(0)
    return VQGAN(Sizes(), encodes=False).eval().requires_grad_(False)


def artgen_steps(clip: Clip, drawer: str, size: int, cutouts: int, steps: int) -> list[float]:
    settings = Settings(width=size, height=size, steps=steps, drawer=drawer, cutouts=cutouts, low_res=0)
    targets = [(Prompt("red car"), clip.encode_text(["red car"])[0])]
    vqgan = load_vqgan().to(memory_format=torch.channels_last) if drawer == "vqgan" else None
    marks = [time.perf_counter()]
    for frame in dream(targets, clip, settings, vqgan=vqgan):
        frame.image()
        marks.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(marks)]


class PlainCodes:
    """A VQGAN's picture as it is written down first."""

    def __init__(self, size: int, rng: torch.Generator):
        self.model = load_vqgan()
        side = size // self.model.sizes.factor
        self.features = torch.randn((1, self.model.sizes.code_width, side, side), generator=rng).requires_grad_()

    def parameters(self) -> list[torch.Tensor]:
        return [self.features]

    def draw(self, height: int, width: int) -> torch.Tensor:
        book = self.model.quantize.vectors
        flat = self.features.permute(0, 2, 3, 1)
        distance = flat.square().sum(3, keepdim=True) + book.square().sum(1) - 2 * flat @ book.T
        chosen = F.one_hot(distance.argmin(3), len(book)).float() @ book
        vectors = flat + (chosen - flat).detach()
        return self.model.decode(vectors.permute(0, 3, 1, 2)).clamp(0, 1)


def plain_steps(clip: Clip, kind: str, size: int, cutouts: int, steps: int) -> list[float]:
    rng = torch.Generator().manual_seed(0)
    target = clip.encode_text(["red car"])[0]
    drawer = FFTImage(size, size, rng, clip.device) if kind == "fft" else PlainCodes(size, rng)
    optimizer = torch.optim.Adam(drawer.parameters(), lr=0.05)
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        optimizer.zero_grad()
        image = drawer.draw(size, size)
        losses = []
        for _ in range(cutouts):
            side = int(torch.randint(int(size * 0.4), size + 1, (), generator=rng))
            left, top = (int(torch.randint(size - side + 1, (), generator=rng)) for _ in range(2))
            crop = image[:, :, top : top + side, left : left + side]
            crop = F.interpolate(crop, (clip.side,) * 2, mode="bilinear", antialias=True)
            crop = crop + 0.05 * torch.randn(crop.shape, generator=rng)
            features = clip.model.encode_image((crop - clip.mean) / clip.std)
            losses.append(distance(F.normalize(features, dim=1), target, "spherical").mean())
        torch.stack(losses).mean().backward()
        optimizer.step()
        with torch.no_grad():
            drawer.draw(size, size)  # the frame
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(form: str, drawer: str, size: int, cutouts: int, steps: int) -> dict[str, float]:
    """Median seconds per step after one step of warm-up, and peak memory in GB."""
    seconds = {"artgen": artgen_steps, "plain": plain_steps}[form](load(), drawer, size, cutouts, steps + 1)[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": sorted(seconds)[len(seconds) // 2], "memory": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawer", choices=("fft", "vqgan"), default="fft")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--form", choices=("artgen", "plain"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.float32:
        codes.fast_dtype = clip_files.fast_dtype = lambda place: torch.float32
    if args.form:
        print(json.dumps(measure(args.form, args.drawer, args.size, args.cutouts, args.steps)))
        return
    found = {}
    for form in ("plain", "artgen"):
        answer = subprocess.run([sys.executable, *sys.argv, "--form", form], check=True, capture_output=True, text=True)
        found[form] = json.loads(answer.stdout.splitlines()[-1])
        print(f"{form:7} {found[form]['seconds']:.2f} s a step, peak {found[form]['memory']:.2f} GB", flush=True)
    print(f"ratio   {found['plain']['seconds'] / found['artgen']['seconds']:.2f} times faster")


if __name__ == "__main__":
    main()
