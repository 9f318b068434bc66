"""Train diffusion-mini at 64 px within nine minutes of a GPU, from two parcels of `pack.py` and this checkout.

    python weights/recipes/gpu/diffusion_64.py OUT PARCEL PARCEL [--minutes 8] [--preset mini-64] [--set NAME=VALUE ...]

OUT receives, every two minutes and at the end, `diffusion.safetensors` in parts of 15 MB (`cat diffusion.part-*`), the
grid of samples, metrics.jsonl and figures.txt.  The first half minute measures the pace, which says how many steps fit,
so that the learning rate has fallen to 0 when the time is over.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = 50
PART = 15 * 10**6  # bytes
ROOT = Path(__file__).resolve().parents[3]
PACE = 40.0  # seconds in which the pace is measured, loading not counted


def unpack_set(described: Path, out: Path) -> str:
    """One picture set, as text_image_data.py writes it."""
    with np.load(described, allow_pickle=False) as data:
        known = {name: data[name] for name in data.files}
    side, count = int(known.pop("side")), len(known["labels"])
    sheets = [
        np.asarray(Image.open(p).convert("RGB")) for p in sorted(described.parent.glob(f"{described.stem}-*.webp"))
    ]
    cells = [s.reshape(-1, side, COLUMNS, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3) for s in sheets]
    images = np.concatenate(cells)[:count]
    np.savez(out / described.name, images=images, **known)
    return f"{described.stem}: {len(images)}"


def unpack(parcels: list[Path], work: Path) -> tuple[Path, Path]:
    """The data folder and a folder of what Python needs beside the machine's own packages."""
    data, packages = work / "data", work / "packages"
    data.mkdir(parents=True)
    packages.mkdir()
    for wheel in (path for parcel in parcels for path in parcel.glob("wheels/*.whl")):
        zipfile.ZipFile(wheel).extractall(packages)
    sets = sorted(path for parcel in parcels for path in parcel.glob("*.npz"))
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for line in pool.map(unpack_set, sets, [data] * len(sets)):
            print(line, flush=True)
    return data, packages


class Training:
    """`artgen train diffusion` as a process; the same line goes on where it stopped."""

    def __init__(self, run: Path, data: Path, packages: Path, clip: Path, preset: str, changes: list[str]):
        self.run, self.started = run, time.monotonic()
        paths = f"{ROOT}{os.pathsep}{packages}"
        self.environment = os.environ | {"PYTHONPATH": paths, "ARTGEN_CACHE_DIR": str(run.parent / "cache")}
        self.line = [
            sys.executable,
            "-m",
            "artcli",
            "train",
            "diffusion",
            str(data),
            "--preset",
            preset,
            "--out",
            str(run),
        ]
        for change in [f"clip={clip}", *changes]:
            self.line += ["--set", change]

    def go(self, steps: int, seconds: float, save_every: int) -> None:
        more = ["--steps", steps, "--time-limit", f"{seconds:.0f}s", "--save-every", save_every, "--keep", 1]
        done = subprocess.run([*self.line, *map(str, more)], env=self.environment, cwd=ROOT)
        if done.returncode:
            raise SystemExit(done.returncode)

    def rows(self) -> list[dict]:
        path = self.run / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def export(self, out: Path) -> None:
        """What is there so far, for whoever has to stop now."""
        code = "import sys, torch; from pathlib import Path; from artcli.training import runs; "
        code += "runs.load_generator(Path(sys.argv[1]), torch.device('cpu')).model.export(Path(sys.argv[2]))"
        made = self.run.parent / "model"
        subprocess.run(
            [sys.executable, "-c", code, str(self.run), str(made)], env=self.environment, cwd=ROOT, check=True
        )
        whole = (made / "diffusion.safetensors").read_bytes()
        for number, start in enumerate(range(0, len(whole), PART)):
            (out / f"diffusion.part-{number}").write_bytes(whole[start : start + PART])
        for grid in sorted(self.run.glob("samples/*.png"))[-1:]:
            shutil.copy(grid, out / "samples.png")
        shutil.copy(self.run / "metrics.jsonl", out / "metrics.jsonl")
        rows = self.rows()
        held = [row["val"]["loss"] for row in rows if row.get("val")]
        figures = f"step {rows[-1]['step']}, {rows[-1]['images_per_second']} images/s, held-out loss {held[-1:]}\n"
        (out / "figures.txt").write_text(figures)
        print(figures, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("parcels", type=Path, nargs=2)
    parser.add_argument("--minutes", type=float, default=8.0, help="of everything, unpacking and export included")
    parser.add_argument("--preset", default="mini-64")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="NAME=VALUE")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    work = Path(os.environ.get("TMPDIR", "/tmp")) / f"diffusion-{os.getpid()}"
    data, packages = unpack(args.parcels, work)
    clip = next(parcel / "clip-mini" for parcel in args.parcels if (parcel / "clip-mini").is_dir()).resolve()
    training = Training(work / "run", data, packages, clip, args.preset, args.changes)
    training.line += ["--precision", args.precision]

    before = time.monotonic()
    training.go(3000, PACE + 30, 10**6)
    loading = max(0.0, time.monotonic() - before - training.rows()[-1]["time"])
    last = training.rows()[-1]
    left = end - time.monotonic() - loading - 30  # the export
    pace = float(np.median([row["images_per_second"] for row in training.rows()[1:]] or [last["images_per_second"]]))
    batch = tomllib.loads((training.run / "run.toml").read_text())["config"]["batch"]
    steps = last["step"] + max(2, int(0.92 * left * pace / batch))
    print(f"pace {pace:.0f} images/s, batch {batch}: {steps} steps fit", flush=True)

    timer = threading.Event()

    def now_and_then() -> None:
        while not timer.wait(120):
            training.export(args.out)

    helper = threading.Thread(target=now_and_then, daemon=True)
    helper.start()
    training.go(steps, left, max(20, steps // 12))
    timer.set()
    helper.join()
    training.export(args.out)


if __name__ == "__main__":
    main()
