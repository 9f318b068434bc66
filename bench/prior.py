"""How much faster are codes drawn with a cache than by computing the whole grid again for each?  A ratio per prior.

    python bench/prior.py [NAME ...] [--side 16] [--width 64] [--rounds 3]

Both forms draw a grid of side x side codes by the same random numbers, in turns; the codes have to be the same.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from artcli.models import prior
from artcli.nn.gpt import GPT
from artcli.nn.pixelsnail import PixelSNAIL, uniform

CODES, SEEDS = 512, [0, 1]
Draw = Callable[[bool], torch.Tensor]


def stirred(model: torch.nn.Module) -> torch.nn.Module:
    """As far from uniform as a trained one: a fresh one draws the same whatever it sees."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=rng)
    return model


def pixelsnail(side: int, width: int) -> Draw:
    """The priors of vqvae2: its topmost one, with attention, whatever the side."""
    model = stirred(PixelSNAIL(CODES, side, width, 2, 4, heads=4, kernel=3))
    (chances,), labels = uniform(SEEDS, [side**2]), torch.zeros(len(SEEDS), dtype=torch.long)
    return lambda cached: model.sample(chances, labels, cached=cached)


def gpt(side: int, width: int) -> Draw:
    """The model prior, as deep and wide as its defaults, whatever the width."""
    config = prior.Config()
    model = stirred(GPT(CODES, CODES + 2, side**2, config.width, config.layers, config.heads)).eval()
    start = model.tok_emb(torch.full((len(SEEDS),), CODES + 1)).detach()
    return lambda cached: model.sample(SEEDS, start, (side, side), cached=cached)


PRIORS: dict[str, Callable[[int, int], Draw]] = {
    "pixelsnail": pixelsnail,
    "gpt": gpt,
}  # to what draws with a cache or without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PRIORS], default=[])
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.manual_seed(0)
    for name in asked.names or PRIORS:
        draw = PRIORS[name](asked.side, asked.width)
        seconds: dict[bool, list[float]] = {True: [], False: []}
        drawn = {}
        for _ in range(asked.rounds):
            for cached, took in seconds.items():
                began = time.perf_counter()
                drawn[cached] = draw(cached)
                took.append(time.perf_counter() - began)
        fast, plain = median(seconds[True]), median(seconds[False])
        same = "the same codes" if torch.equal(drawn[True], drawn[False]) else "OTHER CODES"
        print(f"{name}: {len(SEEDS)} x {asked.side**2} codes in {fast:.2f} s with a cache, {plain:.2f} s without: "
              f"{plain / fast:.1f} times as fast, {same}")  # fmt: skip


if __name__ == "__main__":
    main()
