"""Two programs at once: what do they lose to each other, and what does the remedy cost a program alone?

    python bench/together.py [--rounds 3] [--steps 12] [--size 256]

`artgen stylize` with as many threads as there are cores, by three ways of waiting for other threads: as artgen sets it,
as OpenMP has it (threads spin for milliseconds), and without any spinning.  Each round runs each way alone, twice one
after the other, and twice at once.  Ratios: at once to one after the other, 1 is perfect; alone to OpenMP's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from start import HERE, photograph

WAYS = {
    "artgen": {},
    "openmp": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}


def seconds(way: str, folder: Path, steps: int, size: int, programs: int) -> float:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    env |= WAYS[way] | {"PYTHONPATH": str(HERE)}
    line = [sys.executable, "-m", "artcli", "stylize", "photo.png", "style.png", "--seed", "0", "--force", "-q"]
    line += ["--steps", str(steps), "--size", str(size)]
    started = time.perf_counter()
    running = [
        subprocess.Popen([*line, "--out", f"{way}-{n}.png"], cwd=folder, env=env, stdout=subprocess.DEVNULL)
        for n in range(programs)
    ]
    assert not any(process.wait() for process in running)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    asked = parser.parse_args()
    alone: dict[str, list[float]] = {way: [] for way in WAYS}
    both: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photograph(folder / "photo.png", asked.size, 0)
        photograph(folder / "style.png", asked.size, 1)
        for _ in range(asked.rounds):
            for way in WAYS:
                alone[way] += [seconds(way, folder, asked.steps, asked.size, 1) for _ in range(2)]
            for way in WAYS:
                both[way].append(seconds(way, folder, asked.steps, asked.size, 2))
    for way in WAYS:
        one, two = median(alone[way]), median(both[way])
        own = f"{one / median(alone['openmp']):.3f} of OpenMP's own"
        print(f"{way:8} alone {one:6.2f} s ({own}), two at once {two:6.2f} s: ratio {two / (2 * one):.2f}")


if __name__ == "__main__":
    main()
