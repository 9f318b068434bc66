"""The text tower of a CLIP: what a prompt is to the models that draw from words."""

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from artcli.backends import clip
from artcli.errors import UsageError


class TextTower:
    """texts to embeddings (N, D) of unit variance: unit vectors times the root of D."""

    def __init__(self, found: clip.Clip):
        self.clip = found

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        with torch.autocast(self.clip.device.type, enabled=False):
            found = encode(self.clip, texts)
        return found * found.shape[1] ** 0.5


def encode(found: clip.Clip, texts: Sequence[str]) -> torch.Tensor:
    """Unit embeddings (N, D), without spending time on the padding that all texts share.

    The same numbers as `Clip.encode_text` but for rounding: attention is causal, so that cutting behind the longest
    text changes nothing.
    """
    model = found.model
    tokens = found.tokenizer(list(texts)).to(found.device)
    length = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection, dim=-1)


@functools.cache
def text_tower(
    spec: str, device: torch.device, size: int, weights_dirs: tuple[Path, ...] = (), offline: bool = False
) -> TextTower:
    """Of a CLIP by name, kept for the next call.  Raises UsageError when its embeddings have another size."""
    found = clip.load(spec, device, weights_dirs=weights_dirs, offline=offline)
    has = found.model.text_projection.shape[1]
    if has != size:
        raise UsageError(f"the texts of {spec} are {has} numbers, those of this model {size}: they do not go together")
    return TextTower(found)
