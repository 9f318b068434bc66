"""First stages: finished models that turn pictures into grids of codes and back, as the base of a prior."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from artcli import weights
from artcli.errors import UsageError
from artcli.models import vqgan, vqvae
from artcli.nn.inference import inference
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.pretrained import vqgan as vqgan_files
from artcli.training import runs

KINDS = ("vqgan", "vqvae")  # of the runs that can be one
USUAL = 16  # codes a side, the paper's, where a first stage does not say which pictures it learned from
_PIXELS_AT_ONCE = 2**20


class FirstStage(nn.Module):
    """Pictures (N, C, H, W) in 0..1, sides multiples of `factor`, to codes (N, h, w) below `codes`, and back.

    net: a VQGAN, or a VQ-VAE without its prior.  It is not trained any further.
    """

    def __init__(self, net: VQGAN | vqvae.Model):
        super().__init__()
        self.net = net
        self.requires_grad_(False)

    @property
    def factor(self) -> int:
        return self.net.sizes.factor if isinstance(self.net, VQGAN) else self.net.config.factor

    @property
    def codes(self) -> int:
        return len(self.codebook)

    @property
    def channels(self) -> int:
        return self.net.sizes.channels if isinstance(self.net, VQGAN) else self.net.config.channels

    @property
    def codebook(self) -> torch.Tensor:
        """(codes, W)."""
        return self.net.quantize.vectors if isinstance(self.net, VQGAN) else self.net.quantiser.codebook

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, enabled=False):  # the codes must not depend on the precision of a run
            return torch.cat([self._encode(part) for part in images.split(self._at_once(images.shape[2:].numel()))])

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        if isinstance(self.net, VQGAN):
            return self.net.quantize.choose(self.net.encode(images))
        return self.net.choose(images)

    @inference
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        area = codes.shape[1:].numel() * self.factor**2
        return torch.cat([self._decode(part) for part in codes.split(self._at_once(area))])

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        if isinstance(self.net, VQGAN):
            return self.net.decode(self.net.quantize.look_up(codes)).clamp(0, 1)
        return self.net.draw(codes)

    def _at_once(self, area: int) -> int:
        """Pictures of this many pixels, so that large ones do not need the memory of a whole batch."""
        return max(1, _PIXELS_AT_ONCE // area)

    def describe(self) -> str:
        """All that `build` needs, as JSON."""
        if isinstance(self.net, VQGAN):
            return json.dumps({"kind": "vqgan", "sizes": asdict(self.net.sizes)})
        return json.dumps({"kind": "vqvae", "config": asdict(self.net.config)})

    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of the codebook."""
        return hashlib.sha256(self.codebook.detach().float().cpu().numpy().tobytes()).hexdigest()[:16]


class Found(NamedTuple):
    """A first stage, and the side of the pictures that it learned from."""

    stage: FirstStage
    size: int


def build(description: str) -> FirstStage:
    """An untrained one, as `describe` has it.  Raises UsageError: it describes none."""
    try:
        told = json.loads(description)
        if told["kind"] == "vqgan":
            return FirstStage(VQGAN(runs.make_config(Sizes, told["sizes"])))
        return FirstStage(_without_prior(vqvae.Model(runs.make_config(vqvae.Config, told["config"]))))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the settings describe no first stage ({error})") from error


def find(spec: str) -> Found:
    """The first stage of a run of ours, of a bundled name, or of any VQGAN checkpoint.

    Raises UsageError: nothing has that name, or it has no codes.  WeightsError: missing or damaged.
    """
    path = weights.find(spec)
    if not _is_run(path):
        net = vqgan_files.load(spec, torch.device("cpu"), encodes=True)
        return Found(FirstStage(net), USUAL * net.sizes.factor)
    loaded = runs.load_generator(path, torch.device("cpu"))
    if isinstance(loaded.model, vqvae.Model):
        return Found(FirstStage(_without_prior(loaded.model)), loaded.config.size)
    if isinstance(loaded.model, vqgan.Model):
        return Found(FirstStage(loaded.model.finished()), loaded.config.size)
    raise UsageError(
        f"{loaded.name} of {loaded.run} turns pictures into no codes; a first stage is a run of {' or '.join(KINDS)}, "
        "a bundled name such as vqgan-mini, or a VQGAN checkpoint"
    )


def _is_run(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).exists() for name in (runs.RUN, runs.WEIGHTS))
    if path.suffix != ".safetensors":
        return False
    with weights.open_safetensors(path) as file:
        return "artgen" in (file.metadata() or {})


def _without_prior(model: vqvae.Model) -> vqvae.Model:
    del model.prior  # it is learned anew
    return model.eval()
