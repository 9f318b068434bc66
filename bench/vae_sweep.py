"""Which settings of the VAE pay?  Equal short runs of `artgen train vae` over a grid of settings, as a table.

    python bench/vae_sweep.py DATA OUT [--pictures 20000] [--preset abstract-64]

Every run sees the same number of pictures.  Runs that are there already are not repeated.
"""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

BATCHES, LATENTS, RATES = (32, 100), (100, 200), (1e-4, 2e-4, 3e-4)


def train(data: Path, run: Path, preset: str, pictures: int, batch: int, latent: int, lr: float) -> dict[str, float]:
    """What the finished run measured on the held-out pictures."""
    steps = pictures // batch
    sets = [word for pair in (f"batch={batch}", f"latent={latent}", f"lr={lr}") for word in ("--set", pair)]
    command = ["train", "vae", str(data), "--preset", preset, "--precision", "bf16", "--flip", "--steps", str(steps)]
    command += [*sets, "--save-every", str(steps), "--out", str(run), "-q"]
    subprocess.run([sys.executable, "-m", "artcli", *command], check=True, stdout=subprocess.DEVNULL)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return last["val"] | {"active": last["train"]["active"], "seconds": last["time"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--preset", default="abstract-64")
    args = parser.parse_args()
    print("| batch | latent | lr | held-out loss | squared error | KL, nats | latents in use | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, latent, lr in itertools.product(BATCHES, LATENTS, RATES):
        run = args.out / f"batch-{batch}-latent-{latent}-lr-{lr:g}"
        found = train(args.data, run, args.preset, args.pictures, batch, latent, lr)
        print(
            f"| {batch} | {latent} | {lr:g} | {found['loss']:.1f} | {found['error']:.1f} | {found['kl']:.1f} | "
            f"{found['active']:.0f} | {found['seconds']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
