"""What does training diffusion cost, and what do solvers and guidance give?  Ratios in one run.

    python bench/diffusion.py speed [--preset mini-32] [--batch 64] [--blocks 4]
    python bench/diffusion.py kid MODEL DATA [--inception FILE] [--count 500]

speed: pictures a second of the trainer beside a bare loop of the same net and, where `diffusers` is installed, beside
its UNet2DModel with about as many numbers; all take turns, a step each.  kid: KID (artcli/nn/fidelity.py) of samples
of held-out pictures' own texts to other held-out pictures, by solver, steps and guidance.  MODEL: what --prior takes.
DATA: made by weights/recipes/text_image_data.py.  FILE: Inception as torch-fidelity has it, which downloads it
otherwise.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from artcli.device import fast_dtype
from artcli.models import diffusion
from artcli.nn.fidelity import kid
from artcli.nn.flow import Wish
from artcli.pretrained import diffusion as diffusion_files
from artcli.pretrained import inception
from artcli.training.contract import Batch
from artcli.training.texts import TextPictures
from artcli.training.trainer import Plan, Trainer

CPU = torch.device("cpu")
WORDS = ("a red car", "a photo of a cat", "banana", "a castle", "a brown dog", "airplane", "coast", "a teapot")


class Noise:
    """Batches of random pictures with words, from memory."""

    def __init__(self, size: int):
        self.pixels = torch.randint(0, 255, (2000, 3, size, size), dtype=torch.uint8)

    def batch(self, step: int, size: int, *, device: torch.device, first: int = 0, count: int | None = None) -> Batch:
        rng = torch.Generator().manual_seed(step)
        images = self.pixels[torch.randint(len(self.pixels), (size,), generator=rng)].float() / 255
        texts = tuple(WORDS[n % len(WORDS)] for n in range(size))
        return Batch(images, torch.zeros(size).long(), 0, size, rng, texts=texts)


def bare(net, step_with, texts: int, size: int, batch: int):
    """The least that trains: noise, a forward and a backward pass, an optimizer's step; yields after each."""
    while True:
        pictures, noise, time_ = torch.rand(batch, 3, size, size), torch.randn(batch, 3, size, size), torch.rand(batch)
        step_with.zero_grad(set_to_none=True)
        with torch.autocast("cpu", fast_dtype(CPU), enabled=fast_dtype(CPU) != torch.float32):
            x = torch.lerp(pictures, noise, time_.view(-1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
            found = net(x, time_, torch.randn(batch, texts))
        (found.float() - (noise - pictures)).square().mean().backward()
        step_with.step()
        yield


def diffusers_net(numbers: int, size: int):
    """UNet2DModel with attention where ours has it, its widths chosen for about as many numbers; None without it."""
    try:
        from diffusers import UNet2DModel
    except ImportError:
        return None

    def made(width: int):
        kinds = ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]
        return UNet2DModel(
            sample_size=size // 2, in_channels=12, out_channels=12, layers_per_block=2,
            block_out_channels=(width, 2 * width, 3 * width), down_block_types=kinds, norm_num_groups=16,
            up_block_types=[kind.replace("Down", "Up") for kind in reversed(kinds)],
        )  # fmt: skip

    widths = range(32, 160, 16)
    net = min((made(w) for w in widths), key=lambda net: abs(sum(p.numel() for p in net.parameters()) - numbers))
    net = net.to(memory_format=torch.channels_last)

    def call(x, time_, text):
        folded = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        return F.pixel_shuffle(net(folded, time_ * 1000).sample, 2)

    return net, call


def seconds(steps) -> float:
    started = time.perf_counter()
    next(steps)
    return time.perf_counter() - started


def speed(args: argparse.Namespace) -> None:
    config = replace(diffusion.PRESETS[args.preset], batch=args.batch)
    half = "bf16" if fast_dtype(CPU) == torch.bfloat16 else "fp32"
    trainer = Trainer(diffusion.Model(config), Noise(config.size), Plan(10**9, args.batch, precision=half), CPU)
    model = diffusion.Model(config)
    how = (config.texts, config.size, args.batch)
    runs = {"trainer": trainer.run(), "bare loop": bare(model.net, model.optimizers()["flow"], *how)}
    numbers = sum(p.numel() for p in model.parameters())
    print(f"ours: {numbers / 1e6:.1f} million numbers, {half}, {torch.get_num_threads()} threads")
    if (other := diffusers_net(numbers, config.size)) is not None:
        net, call = other
        print(f"diffusers' UNet2DModel: {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million numbers, AdamW")
        runs["diffusers"] = bare(call, torch.optim.AdamW(net.parameters(), 1e-4), *how)
    for steps in runs.values():
        next(steps)
    times = [{name: seconds(steps) for name, steps in runs.items()} for _ in range(args.blocks)]
    rates = {name: args.batch / float(np.median([each[name] for each in times])) for name in runs}
    for name, rate in rates.items():
        print(f"{name:10} {rate:7.1f} images/s   trainer / {name}: {rates['trainer'] / rate:.3f}")


def kids(args: argparse.Namespace) -> None:
    model = diffusion_files.load(args.model, CPU)
    held = [part for part in TextPictures(args.data, model.size).validation(64, device=CPU)]
    pictures, texts = torch.cat([part.images for part in held]), [text for part in held for text in part.texts]
    net = inception.load(args.inception, CPU)

    def features(images: torch.Tensor) -> torch.Tensor:
        return torch.cat([net((255 * each.clamp(0, 1)).round().byte()) for each in images.split(16)])

    goal = features(pictures[1::2])
    print(f"held-out pictures: {kid(features(pictures[::2]), goal):.4f}")
    wanted = [texts[n * 2 % len(texts)] for n in range(args.count)]
    for solver, steps, guidance in (
        ("euler", 100, 1.5), ("euler", 20, 1.5), ("heun", 20, 1.5), ("multistep", 20, 1.5), ("multistep", 40, 1.5),
        ("multistep", 20, 1.0), ("multistep", 20, 3.0), ("multistep", 20, 5.0),
    ):  # fmt: skip
        started = time.perf_counter()
        found = [
            diffusion.draw(model.net, [Wish(model.tower([text])[0])], [seed], model.size, guidance, steps, solver)
            for seed, text in enumerate(wanted)
        ]
        spent = (time.perf_counter() - started) / args.count
        print(
            f"{solver:9} {steps:3} steps, guidance {guidance}: KID {kid(features(torch.cat(found)), goal):.4f}, "
            f"{spent:.2f} s a picture",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    fast = verbs.add_parser("speed")
    fast.add_argument("--preset", default="mini-32", choices=list(diffusion.PRESETS))
    fast.add_argument("--batch", type=int, default=64)
    fast.add_argument("--blocks", type=int, default=4)
    fast.set_defaults(run=speed)
    good = verbs.add_parser("kid")
    good.add_argument("model")
    good.add_argument("data", type=Path)
    good.add_argument("--inception", default=inception.NAME)
    good.add_argument("--count", type=int, default=500)
    good.set_defaults(run=kids)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
