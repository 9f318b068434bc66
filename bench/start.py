"""What does one wait for before there is a picture?  Small calls of the verbs, whole processes, beside `import torch`.

    python bench/start.py [CALL ...] [--repeats 3] [--side 512] [--beside TREE]

A line per call: processor time, seconds on the clock and peak memory, each the median, and how many times as long as
`python -c "import torch"` it takes, by either.  Calls take turns, so that whatever else the machine does falls on all;
processor time hardly feels it.  TREE: another checkout of artgen, which does the same calls by turns with this one; the
last columns are then how many times as much it needs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent.parent
CALLS = {
    "version": ["--version"],
    "refusal": ["paint", "missing.png"],
    "dry run": ["paint", "photo.png", "--dry-run"],
    "paint": ["paint", "photo.png"],
    "cyclegan": ["cyclegan", "photo.png", "--model", "monet-mini"],
    "fast": ["stylize", "photo.png", "style.png", "--fast", "--size", "{side}"],
    "stylize": ["stylize", "photo.png", "style.png", "--steps", "2", "--size", "128"],
    "dream": ["dream", "red car", "--steps", "2", "--size", "64"],
    "sample": ["sample", "diffusion-mini", "--prompt", "red car", "--count", "1"],
}


class Spent(NamedTuple):
    processor: float  # seconds
    clock: float  # seconds
    memory: float  # GB, at its peak


def photograph(path: Path, side: int, seed: int) -> None:
    """Soft colours with a little grain, the same each time."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 4, (side, side, 1))
    Image.fromarray((np.asarray(soft) + grain).clip(0, 255).astype(np.uint8)).save(path)


def run(command: list[str], tree: Path, folder: Path) -> Spent:
    """One process in the folder, with artgen from the tree."""
    started = time.perf_counter()
    env = os.environ | {"PYTHONPATH": str(tree)}
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    unit = 1 if sys.platform == "darwin" else 1024
    return Spent(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss * unit / 1e9)


def middle(found: list[Spent]) -> Spent:
    return Spent(*map(median, zip(*found, strict=True)))


def call(name: str, side: int) -> list[str]:
    words = [word.format(side=side) for word in CALLS[name]]
    more = [] if name == "version" else ["--seed", "0"] * (name in ("stylize", "dream")) + ["--out", "out.png", "-q"]
    return [sys.executable, "-m", "artcli", *words, *more, *["--force"] * bool(more)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", nargs="*", choices=[[], *CALLS], default=[])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--beside", type=Path)
    asked = parser.parse_args()
    commands = {name: call(name, asked.side) for name in asked.calls or CALLS}
    trees = [HERE, *([] if asked.beside is None else [asked.beside.resolve()])]
    alone = [sys.executable, "-c", "import torch"]
    found: dict[tuple[str, Path], list[Spent]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photograph(folder / "photo.png", asked.side, 0)
        photograph(folder / "style.png", 256, 1)
        for _ in range(asked.repeats):
            for what, command in {"import torch": alone, **commands}.items():
                for tree in trees[: 1 if what == "import torch" else None]:
                    found.setdefault((what, tree), []).append(run(command, tree, folder))
    torch = middle(found["import torch", HERE])
    print(
        f"{'':12} processor   clock   memory   to import torch" + "   the other: processor, memory" * (len(trees) > 1)
    )
    for (what, tree), spent in found.items():
        if tree == HERE:
            now = middle(spent)
            line = f"{what:12} {now.processor:7.2f} s {now.clock:6.2f} s {now.memory:5.2f} GB"
            line += f"   {now.processor / torch.processor:5.2f} {now.clock / torch.clock:5.2f}"
            if (other := found.get((what, trees[-1]))) and trees[-1] != HERE:
                before = middle(other)
                line += f"        {before.processor / now.processor:5.2f} {before.memory / now.memory:5.2f}"
            print(line)
    if "paint" in commands:
        print(f"ratio        {middle(found['paint', HERE]).clock / torch.clock:.2f}, paint to import torch")


if __name__ == "__main__":
    main()
