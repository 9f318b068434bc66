"""Every bench at small sizes, as one table: ratio, seconds, peak memory, and the machine that it ran on.

    python bench/all.py [NAME ...] [--out bench.md] [--json bench.json] [--list]

Without NAME all that run offline with what ships; what is left out is listed with the reason.  A bench that fails gets
a line, too, and the exit code is 1 then.  Ratios are those that the benches print, see there; each was measured by
turns in one run, so that it means the same on a busy machine.  Seconds and memory are of the bench as a whole, but for
bench/start.py: it has a line for a small call of every verb, with the call's own seconds and memory.

Two quiet cores take about ten minutes for all.  `bench/start.py --beside TREE` compares memory with another version.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PICTURES = ("barn", "castle", "lighthouse")  # in examples/
_RATIO = r"ratio:? +(\d+\.\d+)"
# A line of start.py: name, processor time, clock, memory, and times as long as to import torch by both clocks.
_CALL = (
    r"(?m)^(?P<call>[a-z][a-z0-9 ]*?) +[\d.]+ s +(?P<seconds>[\d.]+) s +(?P<memory>[\d.]+) GB"
    r" +[\d.]+ +(?P<ratio>[\d.]+)"
)


@dataclass(frozen=True)
class Bench:
    """words: of its command line; {pictures} is a folder.  ratio: finds the ratios in what it prints.

    Where its groups have names, what it finds becomes a row of its own, with seconds and memory.
    """

    script: str
    words: str
    about: str
    ratio: str = _RATIO


BENCHES = {
    "start": Bench("start", "--repeats 3", "times as long as to import torch", _CALL),
    "dream": Bench("dream", "--drawer vqgan --steps 2", "a step, plain form to ours"),
    "dream-float32": Bench("dream", "--drawer vqgan --steps 2 --float32", "a step, plain form to ours"),
    "dream-fft": Bench("dream", "--steps 2 --cutouts 8", "a step, plain form to ours"),
    "stylize": Bench("stylize", "--steps 3", "a step, plain form to ours"),
    "stylize-vgg19": Bench("stylize", "--preset vgg19 --steps 5", "a step, plain form to ours"),
    "stylize-float32": Bench("stylize", "--preset vgg19 --steps 5 --float32", "a step, plain form to ours"),
    "together": Bench("together", "--rounds 1 --steps 4 --size 192", "two at once to one after the other"),
    "cyclegan": Bench("cyclegan", "--side 256 --repeat 2", "a picture, plain form to ours"),
    "paint": Bench("paint", "{pictures} --strokes 500 --side 256", "perceptual distance, painted to a grid"),
    "upscale": Bench("upscale", "{pictures} --side 192", "dB of x2, Lanczos and ours", r"x2 \w+ +(\d+\.\d+) dB"),
    "vqgan": Bench("vqgan", "{pictures} vqgan-mini --side 192", "dB to the picture", r"(\d+\.\d+) dB"),
    "costs": Bench("costs", "fast cyclegan stylize", "dry runs, seconds foreseen to taken"),
    "prior": Bench("prior", "--side 8 --rounds 1", "codes drawn anew to a cache", r"(\d+\.\d+) times as fast"),
    "gan": Bench("gan", "layers --rounds 2", "layers, formula to ours", r"ms \| (\d+\.\d+) \|"),
    "gan-models": Bench("gan", "models --rounds 1", "images/s, ours to plain PyTorch", r"/s \| (\d+\.\d+) \|"),
    "train": Bench("train", "--steps 60", "images/s, trainer to a bare loop"),
    "diffusion": Bench(
        "diffusion", "speed --batch 16 --blocks 2", "images/s, trainer to a bare loop", r"bare loop: (\d+\.\d+)"
    ),
}
LEFT_OUT = {
    "diffusion kid": "needs held-out pictures with their texts, and an Inception (artgen[metrics])",
    "fast": "needs AdaIN's own decoder and its VGG19",
    "judge": "needs an ImageNet network's weights, which took no part in training",
    "stylize_pairs": "needs VGG19's weights and an hour",
    "strokes": "needs held-out photographs and paintings, and an Inception (artgen[metrics])",
    "translation": "needs held-out photographs and paintings, and an Inception (artgen[metrics])",
    "vae_sweep": "trains for hours on a data set",
}


@dataclass(frozen=True)
class Row:
    name: str
    about: str
    ratio: list[float]
    seconds: float
    memory_gb: float
    failed: str = ""


def machine() -> dict[str, str]:
    """What the figures depend on."""
    import torch

    from artcli.device import describe, fast_dtype

    cpu, here = torch.device("cpu"), Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", here.read_text()) if here.exists() else []
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "torch": f"{torch.__version__}, {describe(cpu)}, {str(fast_dtype(cpu)).removeprefix('torch.')}",
        "load": f"{os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
    }


def run(name: str, pictures: Path) -> list[Row]:
    """One row, or one a call where the bench tells them apart."""
    bench = BENCHES[name]
    line = [sys.executable, str(HERE / f"{bench.script}.py"), *bench.words.format(pictures=pictures).split()]
    started = time.perf_counter()
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        process = subprocess.Popen(line, stdout=said, stderr=wrong, env=env)
        _, status, used = os.wait4(process.pid, 0)
        said.seek(0), wrong.seek(0)
        text, trouble = said.read(), wrong.read().strip().splitlines()
    failed = "" if status == 0 else trouble[-1] if trouble else f"exit code {os.waitstatus_to_exitcode(status)}"
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    seconds, found = round(time.perf_counter() - started, 1), list(re.finditer(bench.ratio, text))
    if not failed and "call" in re.compile(bench.ratio).groupindex:
        return [_of_call(name, bench, one) for one in found]
    return [Row(name, bench.about, [float(one[1]) for one in found], seconds, round(memory, 2), failed)]


def _of_call(name: str, bench: Bench, found: re.Match[str]) -> Row:
    ratio, seconds, memory = map(float, found.group("ratio", "seconds", "memory"))
    return Row(f"{name}: {found['call']}", bench.about, [ratio], seconds, memory)


def markdown(rows: Sequence[Row], here: dict[str, str]) -> str:
    lines = [", ".join(f"{name}: {value}" for name, value in here.items()), ""]
    lines += ["| bench | ratio | seconds | peak memory | what the ratio is |", "|---|---|---|---|---|"]
    for row in rows:
        shown = f"failed: {row.failed}" if row.failed else ", ".join(f"{ratio:g}" for ratio in row.ratio)
        lines.append(f"| {row.name} | {shown} | {row.seconds:.1f} | {row.memory_gb:.2f} GB | {row.about} |")
    lines += ["", "Left out:", "", *(f"- `{name}`: {reason}" for name, reason in LEFT_OUT.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], default=[])
    parser.add_argument("--out", type=Path, help="the table as Markdown; it is printed, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", action="store_true", help="only say what would run, and what is left out")
    asked = parser.parse_args()
    if asked.list:
        for name, bench in BENCHES.items():
            print(f"{name:14} bench/{bench.script}.py {bench.words}")
        for name, reason in LEFT_OUT.items():
            print(f"{name:14} left out: {reason}")
        return
    here, rows, started = machine(), list[Row](), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in PICTURES:
            (Path(folder) / f"{name}.webp").write_bytes((HERE.parent / "examples" / f"{name}.webp").read_bytes())
        for name in asked.names or BENCHES:
            for row in run(name, Path(folder)):
                rows.append(row)
                print(f"{row.name}: {row.failed or row.ratio}, {row.seconds} s", file=sys.stderr, flush=True)
            here["took"] = f"{(time.perf_counter() - started) / 60:.1f} minutes"
            text = markdown(rows, here)
            if asked.out is not None:
                asked.out.write_text(text, encoding="utf-8")
            if asked.json is not None:
                facts = {"machine": here, "benches": [asdict(row) for row in rows], "left_out": LEFT_OUT}
                asked.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(text)
    sys.exit(any(row.failed for row in rows))


if __name__ == "__main__":
    main()
