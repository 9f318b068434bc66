"""What does one wait for before there is a picture?  Small calls of the verbs, whole processes, beside `import torch`.

    python bench/start.py [CALL ...] [--repeats 3] [--side 512] [--beside TREE]

A line per call: processor time, seconds on the clock and peak memory, each the median, and how many times as long as
`python -c "import torch"` it takes, by either; the last line has paint's again.  Calls take turns, so that whatever
else the machine does falls on all; processor time hardly feels it.  TREE: another checkout of artgen, which does the
same calls by turns with this one; the last columns are then how many times as much it needs.
"""

import argparse
import os
import shutil
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
    "paint 1024": ["paint", "large.png"],
    "cyclegan": ["cyclegan", "photo.png", "--model", "monet-mini"],
    "fast": ["stylize", "photo.png", "style.png", "--fast", "--size", "{side}"],
    "stylize": ["stylize", "photo.png", "style.png", "--steps", "2", "--size", "128"],
    "dream": ["dream", "red car", "--steps", "2", "--size", "64"],
    "sample": ["sample", "diffusion-mini", "--prompt", "red car", "--count", "1"],
    "train": ["train", "vae", "pictures", "--steps", "2", "--set", "size=32"],
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


def run(command: list[str], tree: Path, folder: Path, code: int = 0) -> Spent:
    """One process in the folder, with artgen from the tree.  Ends the bench where it does not exit with the code."""
    started = time.perf_counter()
    env = os.environ | {"PYTHONPATH": str(tree)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled once, not at each start
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != code:
        sys.exit(f"exit code {os.waitstatus_to_exitcode(status)} of {' '.join(command[1:])} in {tree}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Spent(used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss * unit / 1e9)


def middle(found: list[Spent]) -> Spent:
    return Spent(*map(median, zip(*found, strict=True)))


def call(name: str, side: int) -> list[str]:
    words = [word.format(side=side) for word in CALLS[name]]
    seed = ["--seed", "0"] if name in ("stylize", "dream") else []
    more = {"version": [], "train": ["--out", "run", "-q"]}.get(name, [*seed, "--out", "out.png", "--force", "-q"])
    return [sys.executable, "-m", "artcli", *words, *more]


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
        photograph(folder / "large.png", 1024, 0)
        photograph(folder / "style.png", 256, 1)
        (folder / "pictures").mkdir()
        for seed in range(12):
            photograph(folder / "pictures" / f"{seed}.png", 48, seed)
        for _ in range(asked.repeats):
            for what, command in {"import torch": alone, **commands}.items():
                for tree in trees[: 1 if what == "import torch" else None]:
                    shutil.rmtree(folder / "run", ignore_errors=True)  # of train, which would go on
                    found.setdefault((what, tree), []).append(run(command, tree, folder, 2 if what == "refusal" else 0))
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
