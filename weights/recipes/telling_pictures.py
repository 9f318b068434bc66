"""Keep the pictures that show their class best: what the last part of diffusion-mini's training learns from.

    python telling_pictures.py DATA SQUEEZENET OUT [--part 0.35]

DATA: the folder that text_image_data.py made.  SQUEEZENET: the ONNX file of SqueezeNet 1.1 in the source archive of the
registry package `skl2onnx` 1.14.0.  OUT receives the same sets; of the labelled ones the `part` of each class remains
to which a linear classifier gives its own class with most confidence.  The classifier sees the mean of SqueezeNet's
last features of the picture at 32 px, the size that is learned, and was trained on the other half of the set.
A picture of 32 px that such a net cannot read, a person cannot either (quality tuning: "Emu", Dai et al., 2023).

Needs `pip install onnx`, only here.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from artcli.training.pictures import TEACHER

CHOSEN = (
    "tiny-imagenet",
    "mini-imagenet",
    "food",
    "labelled-photos",
    "flowers",
)  # CIFAR's show one thing each as it is
SIDE, SEEN = 32, 128  # pixels: of a picture, and as SqueezeNet sees it
LEAST = 12  # pictures that a class keeps
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def squeezenet(path):
    """From ONNX into torchvision's net: both list the convolutions in the order of the forward pass."""
    import onnx
    from torchvision.models import squeezenet1_1

    arrays = [torch.tensor(onnx.numpy_helper.to_array(i)) for i in onnx.load(path).graph.initializer]
    kernels = [a for a in arrays if a.is_floating_point() and a.ndim == 4]
    biases = [a for a in arrays if a.is_floating_point() and a.ndim == 1]
    net = squeezenet1_1()
    net.load_state_dict({n: (kernels if n.endswith("weight") else biases).pop(0) for n in net.state_dict()})
    return net.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def features(net, images):
    """uint8 (N, S, S, 3) to (N, 512)."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    found = []
    for start in range(0, len(images), 64):
        x = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
        x = F.interpolate(x, (SEEN, SEEN), mode="bicubic").clamp(0, 1)
        with torch.autocast("cpu", torch.bfloat16):
            seen = net(((x - mean) / std).contiguous(memory_format=torch.channels_last))
        found.append(seen.float().mean((2, 3)))
    return torch.cat(found)


def confidence(found, labels, classes):
    """Log-probability (N,) of each picture's own class, by a linear classifier that was trained on the other half."""
    x = (found - found.mean(0)) / found.std(0).clamp_min(1e-3)
    half = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)) % 2 == 0
    told = torch.zeros(len(x))
    for asked in (half, ~half):
        layer = trained(x[~asked], labels[~asked], classes)
        told[asked] = -F.cross_entropy(layer(x[asked]), labels[asked], reduction="none").detach()
    return told


def trained(x, labels, classes, epochs=15):
    layer, rng = torch.nn.Linear(x.shape[1], classes), torch.Generator().manual_seed(0)
    torch.nn.init.zeros_(layer.weight)
    adam = torch.optim.AdamW(layer.parameters(), 2e-3, weight_decay=0.1)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=rng).split(256):
            adam.zero_grad()
            F.cross_entropy(layer(x[rows]), labels[rows]).backward()
            adam.step()
        falling.step()
    return layer


def best(told, labels, part):
    """Rows, the best `part` of every class."""
    kept = []
    for label in labels.unique():
        rows = (labels == label).nonzero().flatten()
        count = min(len(rows), max(LEAST, round(part * len(rows))))
        kept.append(rows[told[rows].argsort(descending=True)[:count]])
    return torch.cat(kept).sort().values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "squeezenet", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--part", type=float, default=0.35)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    net = squeezenet(args.squeezenet).features
    for path in sorted(args.data.glob("*.npz")):
        if path.name == TEACHER:  # speaks of all pictures, in their order
            continue
        if path.stem not in CHOSEN:
            shutil.copy(path, args.out)
            continue
        with np.load(path) as file:
            held = dict(file)
        labels = torch.from_numpy(held["labels"]).long()
        told = confidence(features(net, held["images"]), labels, len(held["names"]))
        rows = best(told, labels, args.part).numpy()
        np.savez(args.out / path.name, **{**held, "images": held["images"][rows], "labels": held["labels"][rows]})
        print(f"{path.stem}: {len(rows)} of {len(told)}, mean confidence {told.exp().mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
