"""What does the trainer cost?  Its pictures per second beside a bare loop of the same model, in one run.

    python bench/train.py [--model autoencoder] [--preset cifar10] [--steps 300]

Both loops take turns, a block of steps each, so that whatever else the machine does falls on both.  The bare loop has
its pictures in memory already, steps one optimizer and does nothing else.  A third figure is the rate at which
batches come out of the cache of decoded pictures alone.
"""

import argparse
import importlib
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from artcli.training.contract import Batch
from artcli.training.data.dataset import open_dataset
from artcli.training.data.prepare import Preparation
from artcli.training.registry import MODELS
from artcli.training.trainer import Plan, Trainer

BLOCK = 20
OWN_DATA = ("clip", "cyclegan", "diffusion", "painter", "pix2pix")  # not from one folder of pictures alone
CPU = torch.device("cpu")


def pictures(folder: Path, size: int, count: int) -> Path:
    """Noise, as JPEG: what is in it does not matter here."""
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (size, size, 3), np.uint8)).save(folder / f"{number:05d}.jpg")
    return folder


def bare(model, images: torch.Tensor, batch: int):
    """The least that trains: yields after every step."""
    optimizers = model.optimizers()
    rng = torch.Generator().manual_seed(0)
    model.train()
    while True:
        rows = torch.randint(len(images), (batch,), generator=rng)
        part = Batch(images[rows].float() / 255, torch.zeros(batch).long(), 0, batch, rng)
        for name, loss in model.train_step(part):
            optimizers[name].zero_grad(set_to_none=True)
            loss.backward()
            optimizers[name].step()
        yield


def seconds(steps, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        next(steps)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="autoencoder", choices=[name for name in MODELS if name not in OWN_DATA])
    parser.add_argument("--preset")
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    backend = importlib.import_module(MODELS[args.model])
    config = backend.PRESETS[args.preset] if args.preset else backend.Config()
    with tempfile.TemporaryDirectory() as folder:
        data = open_dataset(pictures(Path(folder), config.size, 1000), Preparation(size=config.size))
        torch.manual_seed(0)
        trainer = Trainer(backend.Model(config), data, Plan(10**9, config.batch), CPU)
        torch.manual_seed(0)
        plain = bare(
            backend.Model(config), torch.from_numpy(data.images[:]).permute(0, 3, 1, 2).contiguous(), config.batch
        )
        ours = trainer.run()
        seconds(ours, 5), seconds(plain, 5)  # warm
        blocks = [(seconds(ours, BLOCK), seconds(plain, BLOCK)) for _ in range(max(1, args.steps // BLOCK))]
        loading = (data.batch(step, config.batch) for step in range(10**9))
        alone = seconds(loading, 200) / 200
    done = BLOCK * config.batch
    trained, least = (done / float(np.median(times)) for times in zip(*blocks, strict=True))
    print(f"{args.model} {config.size} px, batches of {config.batch}, {torch.get_num_threads()} threads")
    print(f"trainer   {trained:9.0f} images/s")
    print(f"bare loop {least:9.0f} images/s")
    print(f"ratio     {trained / least:9.3f}")
    print(f"loading   {config.batch / alone:9.0f} images/s = {config.batch / alone / least:.1f} times the bare loop")


if __name__ == "__main__":
    main()
