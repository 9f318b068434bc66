"""Seconds per step and loss against time of stylize's loop, beside a straightforward form of the same loss.

    python bench/stylize.py [--preset slim] [--net NET] [--size 256] [--steps 10] [--float32]

Without --net the preset's network has random weights: then only the cost counts, and the losses are equal but for
rounding.  The straightforward form computes the features of photo and style again in every step, in float32 and in
PyTorch's own layout, and differentiates the root of the covariance through its iteration.  Both begin with the photo
and step by Adam at one scale.  Each runs in a process of its own; the last line is the ratio.  --float32: ours computes
in float32, too, as on machines without bfloat16 units.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import torch
import torch.nn.functional as F

from artcli import device
from artcli.backends.stylize import schedule
from artcli.backends.stylize.losses import root
from artcli.backends.stylize.objective import Weights
from artcli.backends.stylize.optimise import stylize
from artcli.backends.stylize.settings import PRESETS, Settings
from artcli.backends.stylize.styles import Style, Styles
from artcli.models.vgg_slim import Config
from artcli.nn.features import STD, FeatureNet, slim_layers
from artcli.pretrained import feature_nets

CPU = torch.device("cpu")
Run = tuple[list[float], list[float]]  # seconds and losses of the steps


def load(settings: Settings, spec: str | None) -> FeatureNet:
    if spec is not None:
        return feature_nets.load(spec, CPU, pooling=settings.pooling)
    import torchvision

    torch.manual_seed(0)
    if settings.net == feature_nets.SLIM:
        layers = slim_layers(Config().widths)
    else:
        layers = getattr(torchvision.models, settings.net)(weights=None).features
    return FeatureNet(settings.net, layers, settings.pooling).eval().requires_grad_(False)


def pictures(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A photo and a style (3, size, size): soft spots, and fine stripes."""
    rng = torch.Generator().manual_seed(0)
    soft = F.interpolate(torch.rand(1, 3, 6, 6, generator=rng), (size, size), mode="bicubic")[0]
    stripes = (torch.arange(size).view(-1, 1) + 2 * torch.arange(size)) // 6 % 3 / 2
    return soft.clamp(0, 1), torch.stack((stripes, 1 - stripes, stripes.flip(0))) * 0.8 + 0.1


def artgen_steps(net: FeatureNet, settings: Settings) -> Run:
    net = net.to(memory_format=torch.channels_last)
    net.compute_in(device.fast_dtype(CPU))
    photo, style = pictures(settings.size)
    marks, losses = [time.perf_counter()], []
    for frame in stylize(photo, Styles([Style(style)], net, settings), settings, schedule.stages(settings)):
        marks.append(time.perf_counter())
        losses.append(frame.metrics["loss"])
    return [b - a for a, b in itertools.pairwise(marks)], losses


def plain_steps(net: FeatureNet, settings: Settings) -> Run:
    photo, style = (x[None] for x in pictures(settings.size))
    image = photo.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], settings.lr, settings.betas)
    weights = Weights.of(settings, net)
    seconds, losses = [], []
    for _ in range(settings.steps):
        started = time.perf_counter()
        optimizer.zero_grad()
        loss = plain_loss(net, settings, weights, image, photo, style)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        seconds.append(time.perf_counter() - started)
        losses.append(loss.item())
    return seconds, losses


def plain_loss(
    net: FeatureNet, settings: Settings, weights: Weights, image: torch.Tensor, photo: torch.Tensor, style: torch.Tensor
) -> torch.Tensor:
    taps = {*settings.content_layers, *settings.style_layers}
    found, kept, wanted = (plain_features(net, x, taps) for x in (image, photo, style))
    measure = plain_gram if settings.measure == "gram" else plain_wasserstein
    terms = [weight * F.mse_loss(found[tap], kept[tap]) for tap, weight in weights.content.items()]
    for tap, weight in weights.style.items():
        terms.append(weight * measure(found[tap][0].flatten(1), wanted[tap][0].flatten(1)))
    return torch.stack([*terms, weights.tv * plain_smoothness(image, settings)]).sum()


def plain_features(net: FeatureNet, x: torch.Tensor, taps: set[str]) -> dict[str, torch.Tensor]:
    wanted, found = {net.taps[tap]: tap for tap in taps}, {}
    x = (x - net.mean) / net.std
    for number, layer in enumerate(net.layers[: max(wanted) + 1]):
        x = layer(x)
        if number in wanted:
            found[wanted[number]] = x.clone()
    return found


def plain_gram(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(a @ a.T / a.numel(), b @ b.T / b.numel())


def plain_wasserstein(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    eps = 1e-4 * torch.eye(len(a))
    s, t = (x @ x.T / x.shape[1] - torch.outer(x.mean(1), x.mean(1)) + eps for x in (a, b))
    half = root(t)[0]
    return F.mse_loss(a.mean(1), b.mean(1)) + (s + t - 2 * root(half @ s @ half)[0]).diagonal().mean()


def plain_smoothness(image: torch.Tensor, settings: Settings) -> torch.Tensor:
    if not settings.smooth_diagonals:
        z = image / image.new_tensor(STD).view(1, 3, 1, 1)
        return (z[..., 1:] - z[..., :-1]).square().mean() + (z[..., 1:, :] - z[..., :-1, :]).square().mean()
    x = F.pad(image, (1, 1, 1, 1), mode="replicate")
    own, right, below, across = x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
    straight = (right - own)[..., 1:, 1:].square().mean() + (below - own)[..., 1:, 1:].square().mean()
    return 2 * (straight / 3 + ((across - own).square().mean() + (right - below).square().mean()) / 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="slim")
    parser.add_argument("--net")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--form", choices=("artgen", "plain"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    # one scale and Adam, which the straightforward form has
    settings = replace(
        PRESETS[args.preset], size=args.size, steps=args.steps, smallest=0, optimizer="adam", lr=0.02, late=1.0, ema=0.0
    )
    if args.float32:
        device.fast_dtype = lambda place: torch.float32
    if args.form:
        seconds, losses = {"artgen": artgen_steps, "plain": plain_steps}[args.form](load(settings, args.net), settings)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"seconds": seconds, "losses": losses, "memory": peak}))
        return
    step = {}
    for form in ("plain", "artgen"):
        answer = subprocess.run([sys.executable, *sys.argv, "--form", form], check=True, capture_output=True, text=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        step[form] = sorted(found["seconds"][1:])[len(found["seconds"][1:]) // 2]
        points = list(zip(itertools.accumulate(found["seconds"]), found["losses"], strict=True))
        curve = ", ".join(f"{spent:.1f} s {loss:.4g}" for spent, loss in points[:: max(1, args.steps // 5)])
        print(f"{form:7} {step[form]:.3f} s a step, peak {found['memory']:.2f} GB; loss: {curve}", flush=True)
    print(f"ratio   {step['plain'] / step['artgen']:.2f} times faster")


if __name__ == "__main__":
    main()
