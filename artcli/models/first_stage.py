"""First stages: finished models that turn pictures into grids of codes and back, as the base of a prior."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from artcli import weights
from artcli.errors import UsageError
from artcli.models import vqgan, vqvae, vqvae2
from artcli.nn.inference import inference
from artcli.nn.labels import unknown
from artcli.nn.pixelsnail import uniform
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.pretrained import vqgan as vqgan_files
from artcli.training import runs

KINDS = ("vqgan", "vqvae", "vqvae2")  # of the runs that can be one
USUAL = 16  # codes a side, the paper's, where a first stage does not say which pictures it learned from
_PIXELS_AT_ONCE = 2**20


class FirstStage(nn.Module):
    """Pictures (N, C, H, W) in 0..1, sides multiples of `factor`, to codes (N, h, w) below `codes`, and back.

    net: a VQGAN; a VQ-VAE without its prior; or a VQ-VAE-2 without the prior of its topmost codes, which are the ones
    that count here: its other priors draw the codes below them.  It is not trained any further.
    """

    def __init__(self, net: VQGAN | vqvae.Model | vqvae2.Model):
        super().__init__()
        self.net: Any = net
        if isinstance(net, VQGAN):
            self.factor, self.channels = net.sizes.factor, net.sizes.channels
        else:
            self.factor, self.channels = net.config.factor, net.config.channels
        if isinstance(net, vqvae2.Model):
            self.factor *= 2 ** (net.config.levels - 1)
        self.fixed = isinstance(net, vqvae2.Model)  # pictures of one size only
        self.requires_grad_(False)

    @property
    def codes(self) -> int:
        return len(self.codebook)

    @property
    def codebook(self) -> torch.Tensor:
        """(codes, W)."""
        if isinstance(self.net, vqvae2.Model):
            return self.net.quantisers[0].vectors
        return (self.net.quantize if isinstance(self.net, VQGAN) else self.net.quantiser).vectors

    @inference
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, enabled=False):  # the codes must not depend on the precision of a run
            return torch.cat([self._encode(part) for part in images.split(self._at_once(images.shape[2:].numel()))])

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        if isinstance(self.net, VQGAN):
            return self.net.quantize.choose(self.net.encode(images))
        found = self.net.choose(images)
        return found[0] if isinstance(self.net, vqvae2.Model) else found

    @inference
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        area = codes.shape[1:].numel() * self.factor**2
        return torch.cat([self._decode(part) for part in codes.split(self._at_once(area))])

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        if isinstance(self.net, VQGAN):
            return self.net.decode(self.net.quantize.look_up(codes)).clamp(0, 1)
        return self.net.draw(*(self._below(codes) if isinstance(self.net, vqvae2.Model) else [codes]))

    def _below(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """The codes of all levels of a VQ-VAE-2: those below are drawn, always with the same chances."""
        net, grids = self.net, [codes]
        labels = unknown(len(codes), net.classes, codes.device)
        chances = uniform([0] * len(codes), [side**2 for side in net.config.sides[1:]])
        for prior, drawn in zip(list(net.priors)[1:], chances, strict=True):
            grids.append(prior.sample(drawn, labels, grids))
        return grids

    def _at_once(self, area: int) -> int:
        """Pictures of this many pixels, so that large ones do not need the memory of a whole batch."""
        return max(1, _PIXELS_AT_ONCE // area)

    def describe(self) -> str:
        """All that `build` needs, as JSON."""
        if isinstance(self.net, VQGAN):
            return json.dumps({"kind": "vqgan", "sizes": asdict(self.net.sizes)})
        kind = "vqvae2" if isinstance(self.net, vqvae2.Model) else "vqvae"
        return json.dumps({"kind": kind, "config": asdict(self.net.config), "classes": self.net.classes})

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
        kind: Any = {"vqvae": vqvae, "vqvae2": vqvae2}[told["kind"]]
        return FirstStage(_without_prior(kind.Model(runs.make_config(kind.Config, told["config"]), told["classes"])))
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
    if isinstance(loaded.model, vqvae2.Model) and (why := loaded.model.unready()):
        raise UsageError(f"{loaded.run} {why}: go on with the command that trains it")
    if isinstance(loaded.model, vqvae.Model | vqvae2.Model):
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


def _without_prior(model: Any) -> Any:
    """What is learned anew is left out."""
    if isinstance(model, vqvae2.Model):
        model.priors[0] = nn.Identity()
    else:
        del model.prior
    return model.eval()
