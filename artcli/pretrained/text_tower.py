"""The text tower of a CLIP: it encodes the prompts of text-conditional models."""

import functools
from collections.abc import Sequence
from pathlib import Path

import torch

from artcli.errors import UsageError
from artcli.pretrained import clip

MOST = 2**18  # embeddings that are remembered
AT_ONCE = 32  # texts


class TextTower:
    """texts to embeddings (N, D) of unit variance: unit vectors times the root of D.

    Embeddings are cached: training repeats the same texts, and on a fast accelerator encoding them again would take as
    long as the training step.
    """

    def __init__(self, found: clip.Clip):
        self.clip = found
        self.rows: dict[str, int] = {}
        self.known = torch.empty(0, found.model.text_projection.shape[1], device=found.device)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        if len(self.rows) > MOST:
            self.rows, self.known = {}, self.known[:0]
        fresh = [text for text in dict.fromkeys(texts) if text not in self.rows]
        if fresh:
            self._learn(fresh)
        return self.known[[self.rows[text] for text in texts]]

    @torch.no_grad()
    def _learn(self, texts: list[str]) -> None:
        tokens = self.clip.tokenizer(texts)
        lengths = tokens.argmax(1) + 1  # the last token has the largest number
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0]
            for part in rows.split(AT_ONCE):
                # Padded to one batch size: rounding depends on it, and an embedding must not depend on the other texts.
                filled = torch.cat((part, part[-1:].expand(AT_ONCE - len(part))))
                found = self._read(tokens[filled].to(self.clip.device))[: len(part)]
                self.rows |= {texts[row]: len(self.known) + n for n, row in enumerate(part.tolist())}
                self.known = torch.cat((self.known, found * found.shape[1] ** 0.5))

    def _read(self, tokens: torch.Tensor) -> torch.Tensor:
        with torch.autocast(tokens.device.type, enabled=False):
            return clip.encode_tokens(self.clip.model, tokens)


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
