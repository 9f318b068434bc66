"""Files of AdaIN's decoders, each with the first layers of the net that it belongs to."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from artcli import weights
from artcli.errors import WeightsError
from artcli.nn.adain import GIVEN, Decoder
from artcli.nn.features import FeatureNet, found_widths, slim_layers
from artcli.nn.unfilled import unfilled
from artcli.pretrained import feature_nets, find, half

NAME, FILE = "adain", "adain.safetensors"
_INSTEAD = "with --model; or leave out --fast"


class Stylist(nn.Module):
    """The encoder and the decoder that belongs to it.

    gain: largest factor by which features may be amplified, as the decoder has learned it.
    """

    def __init__(self, encoder: nn.Sequential, decoder: Decoder, gain: float = math.inf):
        super().__init__()
        self.gain = gain
        self.encoder, self.decoder = FeatureNet(feature_nets.SLIM, encoder), decoder

    def encode(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """(1, 3, H, W) in 0..1 to the features that the decoder gets."""
        return self.encoder(images, self.decoder.taps)


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Stylist:
    """spec: a name, a file, or the folder of an `artgen train adain` run.

    Raises UsageError: nothing has that name.  WeightsError: missing, damaged or of another kind.
    """
    found = find.own(spec, NAME, _INSTEAD, weights_dirs=weights_dirs, offline=offline)
    path = weights.inside(found, FILE)
    with weights.open_safetensors(path) as file:
        sizes = (file.metadata() or {}).get("adain")
    if sizes is None:
        raise WeightsError(f"{path} is no decoder of styles; `artgen train adain` writes one to RUN/model")
    state = {name: tensor.float() for name, tensor in weights.load_state(path).items()}
    encoder = {name.removeprefix("encoder."): t for name, t in state.items() if name.startswith("encoder.")}
    known = {"smooth": False, "gain": math.inf, "taps": 2} | json.loads(sizes)  # older files have widths alone
    given = [len(encoder[f"{number}.weight"]) for number in (19, 10, 5)][: known["taps"]]  # GIVEN
    with unfilled():
        layers = slim_layers(found_widths(encoder))  # up to relu4_1
        decoder = Decoder(given, known["widths"], known["smooth"])
    layers.load_state_dict(encoder, assign=True)
    own = {n.removeprefix("decoder."): t for n, t in state.items() if n.startswith("decoder.")}
    decoder.load_state_dict(own, assign=True)
    stylist = Stylist(layers, decoder, known["gain"]).eval().requires_grad_(False)
    return stylist.to(device).to(memory_format=torch.channels_last)


def save(folder: Path, encoder: FeatureNet, decoder: Decoder, gain: float) -> None:
    """fp16 safetensors of the decoder with its encoder up to relu4_1."""
    layers = encoder.layers[: encoder.taps[GIVEN[0]] + 1].state_dict()
    state = {f"encoder.{name}": tensor for name, tensor in layers.items()}
    state |= {f"decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}
    known = {"widths": decoder.widths, "smooth": decoder.smooth, "gain": gain, "taps": len(decoder.taps)}
    half.export(folder / FILE, state, adain=known)
