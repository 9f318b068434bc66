"""What does a picture cost?  Seconds per megapixel beside plain float32 PyTorch, and how far the results are apart.

    python bench/cyclegan.py [--model MODEL] [--direction AtoB] [--side 512] [--repeat 3] [--photo FILE]

Without --model a ResNet-9 with random weights in the upstream layout.  The plain form is what upstream does: the
network in float32, channels first, nn.InstanceNorm2d.  Both take turns, so that whatever else the machine does falls
on both.  With a side above 1024 ours works in tiles and the plain form does not; the difference includes that.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from artcli.backends import translate
from artcli.device import describe, fast_dtype
from artcli.media import images
from artcli.nn.translators import EPSILON, InstanceNorm, Sizes, Translator, draw
from artcli.pretrained import translators as translator_files

CPU = torch.device("cpu")


def picture(file: Path | None, side: int) -> torch.Tensor:
    """A photo cut to a square, or soft colours with a little grain."""
    if file is not None:
        photo = images.to_tensor(images.load(file))
        scale = side / min(photo.shape[1:])
        return images.resize(photo, (round(photo.shape[2] * scale), round(photo.shape[1] * scale)))[:, :side, :side]
    rng = torch.Generator().manual_seed(0)
    soft = F.interpolate(torch.rand(1, 3, 12, 12, generator=rng), (side, side), mode="bicubic")[0]
    return (soft + 0.02 * torch.randn(3, side, side, generator=rng)).clamp(0, 1)


class Upstream(nn.Module):
    """nn.InstanceNorm2d of any number of channels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.instance_norm(x, eps=EPSILON)


def plain(net: Translator) -> nn.Module:
    """The same weights as upstream would run them."""
    made = Translator(net.sizes)
    made.load_state_dict({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    for parent in list(made.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(parent, name, Upstream())
    return made.eval().requires_grad_(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--direction", choices=translator_files.DIRECTIONS)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--photo", type=Path)
    args = parser.parse_args()
    if args.model:
        net = translator_files.load(args.model, CPU, direction=args.direction).net
    else:
        torch.manual_seed(0)
        net = Translator(Sizes()).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    image, simple = picture(args.photo, args.side), plain(net)
    side = args.side // net.sizes.factor * net.sizes.factor  # the plain form takes nothing else
    image = image[:, :side, :side]
    ours: list[float] = []
    theirs: list[float] = []
    with torch.no_grad():
        small = image[:, :256, :256]
        translate.whole(small, net), draw(simple, small[None])  # warm
        for _ in range(args.repeat):
            started = time.perf_counter()
            drawn = list(translate.translate(image, net))[-1].image()
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            wanted = draw(simple, image[None])[0].clamp(0, 1)
            theirs.append(time.perf_counter() - started)
    pixels = image.shape[1] * image.shape[2] / 1e6
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    print(f"{net.sizes.describe()}, {args.side} px, {describe(CPU)}, {fast_dtype(CPU)}")
    print(f"artgen     {min(ours) / pixels:8.2f} s per megapixel")
    print(f"plain      {min(theirs) / pixels:8.2f} s per megapixel")
    print(f"ratio      {min(theirs) / min(ours):8.2f}")
    print(f"difference {float((drawn - wanted).abs().mean()) * 255:8.2f} / 255 on average")
    print(f"memory     {memory:8.2f} GB, both together")


if __name__ == "__main__":
    main()
