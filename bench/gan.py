"""The GANs of `artgen train` beside plain PyTorch, by turns: whole steps of training, and the layers of stylegan.

    python bench/gan.py [models|layers ...] [--rounds 5] [--threads 2]

models: pictures a second of our trainer and of a plain loop (`plain_gans.py`) that trains the same nets, of each small
preset, in float32, step by step by turns.  In a round every regulariser is due as often as in training.  Ours reads its
pictures from a prepared folder and keeps a running mean of the generator; the plain ones have theirs in memory.
DiffAugment and ADA, which would be the same in both, are off.

layers: filters and modulated convolutions of the shapes of mini-64, forward and backward: the median times, the ratio
of the straightforward form to ours, and the largest difference.
"""

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import plain_gans
import torch
from plain_gans import doubled, halved, in_groups
from train import pictures

from artcli.models.stylegan import PRESETS
from artcli.nn import fir
from artcli.nn.stylegan import Sizes, modulated
from artcli.training.data.dataset import open_dataset
from artcli.training.data.prepare import Preparation
from artcli.training.registry import MODELS
from artcli.training.trainer import Plan, Trainer

Form = Callable[..., torch.Tensor]
ROUND = {"stylegan": 16}  # steps, of others 4
SMALL = {"gan": "mnist", "dcgan": "light", "wgan-gp": "light", "stylegan": "mini-64"}
OFF = {"diffaugment": "", "target": 0.0}  # in the settings of models that have them

# Whole steps ----------------------------------------------------------------------------------------------------------


def model_of(name: str) -> Any:
    backend = importlib.import_module(MODELS[name])
    config = backend.PRESETS[SMALL[name]]
    return backend.Model(replace(config, **{key: value for key, value in OFF.items() if hasattr(config, key)}))


def both(name: str) -> tuple[Iterator, Iterator, int]:
    """Our trainer and the plain loop, each yielding after a step, and the pictures of a step."""
    model = model_of(name)
    config = model.config
    with tempfile.TemporaryDirectory() as folder:
        preparation = Preparation(size=config.size, color="grey" if config.channels == 1 else "rgb")
        data = open_dataset(pictures(Path(folder), config.size, 300), preparation)
    images = torch.from_numpy(data.images[:]).permute(0, 3, 1, 2).contiguous()
    plain = plain_gans.LOOPS[name](model, images).run()
    return Trainer(model, data, Plan(10**9, config.batch), torch.device("cpu")).run(), plain, config.batch


def took(steps: Iterator) -> float:
    began = time.perf_counter()
    next(steps)
    return time.perf_counter() - began


def models(rounds: int) -> None:
    print("| model, preset | ours | plain | ratio |\n|---|---|---|---|")
    for name, preset in SMALL.items():
        ours, plain, batch = both(name)
        took(ours), took(plain)  # warm
        turns = [(took(ours), took(plain)) for _ in range(rounds * ROUND.get(name, 4))]
        fast, slow = (batch / fmean(seconds) for seconds in zip(*turns, strict=True))
        print(f"| {name}, {preset} | {fast:.0f} images/s | {slow:.0f} images/s | {fast / slow:.2f} |", flush=True)


# Layers ---------------------------------------------------------------------------------------------------------------


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


def layers(rounds: int, batch: int = 16) -> None:
    config = PRESETS["mini-64"]
    sizes = Sizes(config.size, config.channels, config.latent, config.layers, config.width, config.most)

    def random(*shape: int) -> torch.Tensor:
        x = torch.randn(shape)
        return (x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x).requires_grad_()

    print("| layer, from side and channels | ours | straightforward | ratio | apart |\n|---|---|---|---|---|")
    for side, channels in ((32, 3), (32, sizes.at(32))):
        compare(f"double {side}, {channels}", fir.double, doubled, [random(batch, channels, side, side)], rounds)
    for side in (64, 32):
        x = random(batch, sizes.at(side), side, side)
        compare(f"halve {side}, {x.shape[1]}", fir.halve, halved, [x], rounds)
    for side in sizes.sides[1:]:
        for doubles in (True, False):
            here = side // 2 if doubles else side
            before, after = sizes.at(here), sizes.at(side)
            inputs = [random(batch, before, here, here), random(after, before, 3, 3), random(batch, before)]
            forms = [lambda *parts, form=form, d=doubles: form(*parts, doubles=d) for form in (modulated, in_groups)]
            name = f"modulated{' and doubled' * doubles} {here}, {before} to {after}"
            compare(name, *forms, inputs, rounds)  # type: ignore[misc]


WHAT = {"models": models, "layers": layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="models|layers", choices=list(WHAT))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for name in args.what or WHAT:
        WHAT[name](args.rounds)


if __name__ == "__main__":
    main()
