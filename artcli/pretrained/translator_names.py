"""Converts other variants of the papers' generators to our parameter names and weights."""

import re
from collections.abc import Mapping

import torch

State = dict[str, torch.Tensor]

_OLD = "_orig", "_u", "_v"  # of torch.nn.utils.spectral_norm, behind the name of the weight
_NEW = ".original", ".0._u", ".0._v"  # of torch.nn.utils.parametrizations, which has them in a module of that name
_BETWEEN = 2  # layers without weights that double the sides before a convolution: repeat pixels, mirror the edge


def plain(state: Mapping[str, torch.Tensor]) -> State:
    """The state as saved by a generator without spectral normalisation, with its layers numbered as ours."""
    return _numbered(_without_spectral_norm(state))


def _without_spectral_norm(state: Mapping[str, torch.Tensor]) -> State:
    """Weights divided by the largest singular value, as far as training had found it ("Spectral Normalization for
    Generative Adversarial Networks", Miyato et al., 2018)."""
    plain = dict(state)
    for name in state:
        stem, ends = (name.removesuffix("_orig"), _OLD) if name.endswith("_orig") else ("", _NEW)
        if name.endswith(".weight.original") and ".parametrizations." in name:
            stem = name.removesuffix(".original")
        parts = [f"{stem}{end}" for end in ends]
        if not stem or not all(part in state for part in parts):
            continue
        weight, u, v = (plain.pop(part).float() for part in parts)
        turned = weight if len(u) == len(weight) else weight.transpose(0, 1)  # a transposed convolution
        plain[stem.replace(".parametrizations.", ".")] = weight / (u @ turned.flatten(1) @ v)
    return plain


def _numbered(state: State) -> State:
    """Renumber a ResNet that upsamples with two weightless layers and a convolution, which are one layer in ours."""
    blocks = {int(found[1]) for name in state if (found := re.match(r"model\.(\d+)\.conv_block\.", name))}
    last = max(blocks, default=9)
    places = sorted(int(found[1]) for name in state if (found := re.match(r"model\.(\d+)\.weight$", name)))
    after = [place for place in places if place > last and state[f"model.{place}.weight"].ndim == 4]
    if len(after) != 3 or after[0] != last + 1 + _BETWEEN or after[1] != after[0] + 3 + _BETWEEN:
        return state
    ours = {after[0]: last + 1, after[1]: last + 4, after[2]: last + 8}
    ours |= {place + 1: number + 1 for place, number in [*ours.items()][:2]}  # normalisations
    return {_renumbered(name, ours): tensor for name, tensor in state.items()}


def _renumbered(name: str, ours: Mapping[int, int]) -> str:
    found = re.match(r"model\.(\d+)\.(.*)$", name)
    if found is None or int(found[1]) not in ours:
        return name
    return f"model.{ours[int(found[1])]}.{found[2]}"
