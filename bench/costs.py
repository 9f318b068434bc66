"""How far are dry runs from the truth?  What they foresee beside the processor time of the same calls, with one thread.

    OMP_NUM_THREADS=1 python bench/costs.py [CALL ...] [--plain]

A line per call: seconds foreseen, seconds taken by the second of two such calls, as models are loaded in the first, and
their ratio.  Processor time hardly feels what else the machine does.  --plain: in float32, as machines without bfloat16
units work.  From these lines the table in `artcli/commands/shared/costs.py` was made.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from start import photograph

import artcli
from artcli import device
from artcli.commands.shared import costs

STEPS = {"steps": 4, "seed": "0", "preview": False}
STYLE = ("photo.png", "style.png")
CALLS = {
    "paint": partial(artcli.paint, "photo.png"),
    "paint 1024": partial(artcli.paint, "large.png"),
    "cyclegan": partial(artcli.cyclegan, "photo.png"),
    "cyclegan 1024": partial(artcli.cyclegan, "large.png"),
    "fast": partial(artcli.stylize, *STYLE, fast=True),
    "stylize": partial(artcli.stylize, *STYLE, size=256, steps=10, preview=False),
    "dream": partial(artcli.dream, "red car", **{**STEPS, "steps": 20}),
    "dream codes": partial(artcli.dream, "red car", prior="none", low_res=0, **STEPS),
    "dream fft": partial(artcli.dream, "red car", prior="none", drawer="fft", low_res=0, **STEPS),
    "sample": partial(artcli.sample, "diffusion-mini", prompts=["red car"], seed="0"),
    "reconstruct": partial(artcli.sample, "vqgan-mini", reconstruct=["photo.png"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", nargs="*", choices=[[], *CALLS], default=[])
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    if asked.plain:
        device.fast_dtype = lambda place: torch.float32
        costs.has_bfloat16 = lambda: False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        photograph(Path("photo.png"), 512, 0)
        photograph(Path("large.png"), 1024, 1)
        photograph(Path("style.png"), 256, 2)
        for name in asked.calls or CALLS:
            call = partial(CALLS[name], out="out.png", force=True)
            foreseen = call(dry_run=True)[0].facts["seconds"]
            call()
            started = time.process_time()
            call()
            taken = time.process_time() - started
            print(f"{name:14} {foreseen:6.1f} s {taken:6.1f} s   ratio {foreseen / taken:.2f}", flush=True)


if __name__ == "__main__":
    main()
