"""The stroke predictor of Paint Transformer (Liu et al., 2021): what is missing on a canvas, as eight strokes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artcli import weights
from artcli.device import fast_dtype
from artcli.errors import WeightsError
from artcli.media.strokes import Outline
from artcli.nn.stroke_predictor import HEADS, Predictor, Sizes
from artcli.pretrained import find

Array = np.ndarray[Any, Any]

_CHUNK = 48  # patches at once: more are no faster, and take 1 MB each

# --- loading --------------------------------------------------------------------------------------------------------


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> "Painter":
    """A finished predictor.

    spec: a bundled name, a run folder, a weights file or the paper's model.pth.
    Raises UsageError: nothing has that name.  WeightsError: missing, damaged or of another kind.
    """
    path = find.painter(spec, weights_dirs=weights_dirs, offline=offline)
    state = weights.load_state(path)
    net = from_state(state, path).eval().requires_grad_(False).to(device)
    foreign = path.suffix != ".safetensors"  # which is what artgen writes
    return Painter(net, spec, hashlib.sha256(path.read_bytes()).hexdigest()[:16], device, foreign)


def from_state(state: dict[str, torch.Tensor], source: Path) -> Predictor:
    """A predictor of the sizes that its tensors have.  Raises WeightsError when they are another model's."""
    net = Predictor(sizes_of(state, source))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"{source} does not fit a stroke predictor ({' '.join(str(error).split())[:160]})"
        ) from error
    return net


def sizes_of(state: dict[str, torch.Tensor], source: Path) -> Sizes:
    """Read off the tensors.  Raises WeightsError where there are other ones."""
    try:
        strokes, width = state["query_pos"].shape
        ffn = len(state["transformer.encoder.layers.0.linear1.weight"])
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{source} is no stroke predictor: it lacks its tensors (query_pos, transformer, ...)"
        ) from error
    layers = {key.split(".")[3] for key in state if key.startswith("transformer.encoder.layers.")}
    if width % HEADS:
        raise WeightsError(f"{source} has a width of {width}, no multiple of {HEADS}")
    return Sizes(width, ffn, len(layers), strokes)


# The authors' net has learned from pictures of brushes that leave the rim of a stroke's box bare, and their program
# takes another pixel off around each stroke.
_AUTHORS = Outline(0.165, 0.025, 0.911, 0.926, back=1.0)


class Painter:
    """A loaded predictor.

    fingerprint: first 16 hex digits of the SHA-256 of its file.  foreign: not trained by artgen, whose strokes fill
    their boxes.  brush: the name of the one that its strokes are meant for.
    """

    def __init__(self, net: Predictor, name: str, fingerprint: str, device: torch.device, foreign: bool = False):
        self.net, self.name, self.fingerprint, self.device = net, name, fingerprint, device
        self.strokes = len(net.query_pos)
        self.outline = _AUTHORS if foreign else None
        self.brush = "classic" if foreign else "flat"

    @torch.no_grad()
    def __call__(self, targets: Array, canvases: Array) -> tuple[Array, Array]:
        """Patches (N, 32, 32, 3) uint8 to strokes (N, S, 5) and logits (N, S), float64."""
        parts = [self._look(targets[i : i + _CHUNK], canvases[i : i + _CHUNK]) for i in range(0, len(targets), _CHUNK)]
        shapes, logits = (torch.cat(part).double().cpu().numpy() for part in zip(*parts, strict=True))
        return shapes, logits

    def _look(self, *patches: Array) -> tuple[torch.Tensor, torch.Tensor]:
        target, canvas = (
            torch.from_numpy(np.ascontiguousarray(p.transpose(0, 3, 1, 2))).to(self.device).float() / 255
            for p in patches
        )
        dtype = fast_dtype(self.device)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            shapes, logits = self.net(target, canvas)
        return shapes.float(), logits.float()
