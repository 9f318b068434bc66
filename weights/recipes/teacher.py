"""What a net that knows ImageNet says of every picture: what clip-mini's referee learns beside the pictures' own names.

    python teacher.py DATA SQUEEZENET

DATA: the folder that text_image_data.py made.  SQUEEZENET: as telling_pictures.py takes it.  DATA receives
`teacher.npz`: the names of ImageNet's classes, and for every set the net's logits, float16 (N, 1000), for its pictures
at 128 px.  A softmax over a thousand names says more of a picture than one name does ("Distilling the Knowledge in a
Neural Network", Hinton et al., 2015), and it also speaks of pictures whose set has other names.

Needs `pip install onnx`, only here.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from telling_pictures import MEAN, SEEN, STD, squeezenet
from torchvision.models import SqueezeNet1_1_Weights

from artcli.training.pictures import TEACHER, is_set


@torch.inference_mode()
def logits(net, images):
    """uint8 (N, S, S, 3) to float16 (N, 1000)."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    found = []
    for start in range(0, len(images), 64):
        x = torch.from_numpy(images[start : start + 64]).permute(0, 3, 1, 2).float() / 255
        x = F.interpolate(x, (SEEN, SEEN), mode="bicubic", antialias=True).clamp(0, 1)
        with torch.autocast("cpu", torch.bfloat16):
            found.append(net(((x - mean) / std).contiguous(memory_format=torch.channels_last)).half())
    return torch.cat(found).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "squeezenet"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    net = squeezenet(args.squeezenet)
    told = {"names": np.array(SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"])}
    for path in sorted(args.data.glob("*.npz")):
        if is_set(path):
            with np.load(path) as file:
                told[path.stem] = logits(net, file["images"])
            print(f"{path.stem}: {len(told[path.stem])}", flush=True)
    np.savez(args.data / TEACHER, **told)


if __name__ == "__main__":
    main()
