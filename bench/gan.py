"""Filters and modulated convolutions of `artgen train stylegan` beside their straightforward forms, by turns.

    python bench/gan.py [--batch 16] [--rounds 7] [--threads 2]

The straightforward forms are those of the formulas: zeros between pixels and one filter in two dimensions; a
convolution in groups, with weights of its own for every picture.  Shapes are those of the preset mini-64.  Each line
has the median times, forward and backward, the ratio of the straightforward form to ours, and the largest difference.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F

from artcli.models.stylegan import PRESETS
from artcli.nn import fir
from artcli.nn.stylegan import Sizes, modulated

Form = Callable[..., torch.Tensor]


def filtered(x: torch.Tensor, gain: float, left: int, right: int) -> torch.Tensor:
    taps = torch.tensor([1.0, 3, 3, 1])
    kernel = (taps[:, None] * taps / 64 * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (left, right, left, right)), kernel, groups=x.shape[1])


def doubled(x: torch.Tensor) -> torch.Tensor:
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return filtered(wide, 4, 2, 1)


def halved(x: torch.Tensor) -> torch.Tensor:
    return filtered(x, 1, 1, 1)[:, :, ::2, ::2]


def in_groups(x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, *, doubles: bool = False) -> torch.Tensor:
    own = weight * style[:, None, :, None, None]  # (B, O, I, k, k)
    own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    count, side = len(x), x.shape[2]
    x = x.reshape(1, -1, side, side)
    if not doubles:
        return F.conv2d(x, own.flatten(0, 1), padding=1, groups=count).unflatten(1, (count, -1))[0]
    wide = F.conv_transpose2d(x, own.transpose(1, 2).flatten(0, 1), stride=2, groups=count)
    return filtered(wide.unflatten(1, (count, -1))[0], 4, 1, 1)


def seconds(form: Form, inputs: list[torch.Tensor]) -> float:
    began = time.perf_counter()
    drawn = form(*inputs)
    torch.autograd.grad(drawn, inputs, torch.ones_like(drawn))
    return time.perf_counter() - began


def compare(name: str, ours: Form, plain: Form, inputs: list[torch.Tensor], rounds: int) -> None:
    apart = (ours(*inputs) - plain(*inputs)).abs().max().item()
    took: dict[Form, list[float]] = {ours: [], plain: []}
    for _ in range(rounds):
        for form in took:
            took[form].append(seconds(form, inputs))
    fast, slow = median(took[ours]), median(took[plain])
    ratio = median(b / a for a, b in zip(took[ours], took[plain], strict=True))
    print(f"| {name} | {1e3 * fast:.1f} ms | {1e3 * slow:.1f} ms | {ratio:.1f} | {apart:.1e} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = PRESETS["mini-64"]
    sizes = Sizes(config.size, config.channels, config.latent, config.layers, config.width, config.most)

    def random(*shape: int) -> torch.Tensor:
        x = torch.randn(shape)
        return (x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x).requires_grad_()

    print("| layer, from side and channels | ours | straightforward | ratio | apart |\n|---|---|---|---|---|")
    for side, channels in ((32, 3), (32, sizes.at(32))):
        compare(
            f"double {side}, {channels}", fir.double, doubled, [random(args.batch, channels, side, side)], args.rounds
        )
    for side in (64, 32):
        x = random(args.batch, sizes.at(side), side, side)
        compare(f"halve {side}, {x.shape[1]}", fir.halve, halved, [x], args.rounds)
    for side in sizes.sides[1:]:
        for doubles in (True, False):
            here = side // 2 if doubles else side
            before, after = sizes.at(here), sizes.at(side)
            inputs = [random(args.batch, before, here, here), random(after, before, 3, 3), random(args.batch, before)]
            forms = [lambda *parts, form=form, d=doubles: form(*parts, doubles=d) for form in (modulated, in_groups)]
            name = f"modulated{' and doubled' * doubles} {here}, {before} to {after}"
            compare(name, *forms, inputs, args.rounds)  # type: ignore[misc]


if __name__ == "__main__":
    main()
