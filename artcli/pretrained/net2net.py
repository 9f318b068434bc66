"""Checkpoints of "Taming Transformers" (Esser et al., 2021) that hold both stages: a VQGAN and the GPT over its codes.

Their "Net2NetTransformer" names the tensors `first_stage_model.*` and `transformer.*`.  A class is a token that stands
before the codes, and so is the start of a picture where there are no classes, token 0: classes have no tensors.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from artcli.errors import WeightsError
from artcli.nn.gpt import GPT
from artcli.nn.unfilled import unfilled

_GPT, _CONDITION = "transformer.", "cond_stage_model."
_HEADS = 16  # of every published one; the tensors do not say it
LARGEST_WINDOW = 16  # codes a side, of every published one; some have positions for more


class Second(NamedTuple):
    """The second stage.  classes: None where no configuration beside the file says how many there are."""

    gpt: GPT
    classes: int | None

    @property
    def side(self) -> int:
        """Codes a side of the window."""
        return min(LARGEST_WINDOW, math.isqrt(self.gpt.length))


def is_one(state: Mapping[str, torch.Tensor]) -> bool:
    return f"{_GPT}tok_emb.weight" in state


def second(path: Path, state: Mapping[str, torch.Tensor], codes: int) -> Second:
    """The GPT of a checkpoint, in evaluation mode.  codes: of the first stage.

    Raises WeightsError: tensors are missing or do not fit, it is of another codebook, or it is told more than a class.
    """
    if any(name.startswith(_CONDITION) for name in state):
        raise WeightsError(
            f"{path} draws from other pictures, such as depth; artgen reads those told a class or nothing"
        )
    tensors = {name.removeprefix(_GPT): tensor for name, tensor in state.items() if name.startswith(_GPT)}
    told = _configuration(path)
    try:
        (tokens, width), length = tensors["tok_emb.weight"].shape, tensors["pos_emb"].shape[1]
        known, layers = len(tensors["head.weight"]), _layers(tensors)
        if known < codes:
            raise WeightsError(
                f"{path} is a prior of another codebook: it knows {known} codes, its first stage {codes}"
            )
        heads = told.get("n_head", _HEADS)
        if width % heads:
            raise WeightsError(f"{path} does not say its number of heads, and {heads} is none; lay its .yaml beside it")
        with unfilled():  # the file's tensors become the weights
            gpt = GPT(codes, tokens, length, width, layers, heads)
        tensors["head.weight"] = tensors["head.weight"][:codes]
        gpt.load_state_dict({name: tensors[name].float() for name in gpt.state_dict()}, assign=True)
    except KeyError as error:
        raise WeightsError(f"{path} lacks {error} of the transformer over its codes") from error
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} holds no transformer that artgen knows ({_short(error)})") from error
    unconditional = told.get("n_classes") is None and told.get("sos_token") is not None
    return Second(gpt.eval().requires_grad_(False), 0 if unconditional else told.get("n_classes"))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _layers(tensors: Mapping[str, torch.Tensor]) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})


def _configuration(path: Path) -> dict[str, int]:
    """Numbers of the configuration that the paper's code writes: beside the file, or in ../configs."""
    places = [path.with_suffix(".yaml"), *sorted(path.parent.glob("*.yaml"))]
    places += sorted((path.parent.parent / "configs").glob("*.yaml"))
    for place in places:
        try:
            text = place.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        if "n_head" in text:
            found = re.findall(r"^\s*(n_head|n_classes|sos_token):\s*(\d+)\s*$", text, re.MULTILINE)
            plain = {"sos_token": 0} if "__is_unconditional__" in text or "SOSProvider" in text else {}
            return plain | {name: int(number) for name, number in found}
    return {}
