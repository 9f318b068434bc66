"""A CLIP's referee: a second image tower for the same words, which picks among pictures that the first one led.

A net that has led a picture finds it good: what it likes of its own doing says little.  One that was trained by itself
is not taken in (the reason why GANs and robust nets are judged by others, too).
"""

import functools
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artcli import weights
from artcli.errors import WeightsError
from artcli.nn.unfilled import unfilled
from artcli.pretrained import half
from artcli.pretrained.clip import Clip, library

FILE = "referee.safetensors"  # in the CLIP's folder


@functools.lru_cache(maxsize=1)  # as long as its CLIP is kept for the next call
def load(clip: Clip) -> Clip | None:
    """The referee of a CLIP from a folder that has one, else None; it shares the CLIP's text tower.

    Raises WeightsError: the file is damaged, or of another CLIP.
    """
    if clip.folder is None or not (clip.folder / FILE).is_file():
        return None
    path = clip.folder / FILE
    with weights.open_safetensors(path) as file:
        told = (file.metadata() or {}).get("referee")
    visual = {n: t.float() if t.is_floating_point() else t for n, t in weights.load_state(path).items()}
    try:
        model = _assemble(json.loads(told or ""), clip.model, visual)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged, or no referee of {clip.name}") from error
    return Clip(model, clip.tokenizer, clip.device, f"{clip.name} referee")


def export(folder: Path, visual: nn.Module, scale: float, model_cfg: dict, preprocess_cfg: dict) -> None:
    """Write an image tower (fp16) as the referee of the CLIP in a folder.  scale: the factor of its cosines."""
    told = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg, "logit_scale": math.log(scale)}
    half.export(folder / FILE, visual.state_dict(), referee=told)


def _assemble(told: dict[str, Any], first: Any, visual: dict[str, torch.Tensor]) -> Any:
    """told: open_clip's `model_cfg` and `preprocess_cfg`, and `logit_scale`."""
    open_clip = library()
    with unfilled("cpu"):  # the files' tensors become the weights; there is nothing to initialise
        model = open_clip.model.CLIP(**told["model_cfg"])
    texts = {name: tensor for name, tensor in first.state_dict().items() if not name.startswith("visual.")}
    state = {**texts, **{f"visual.{name}": tensor for name, tensor in visual.items()}}
    state["logit_scale"] = torch.tensor(float(told["logit_scale"]), device=first.logit_scale.device)
    model.load_state_dict(state, assign=True)
    model.attn_mask = first.attn_mask  # which no file has
    model.visual.preprocess_cfg = told["preprocess_cfg"]
    return model
