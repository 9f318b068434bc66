"""VQGAN checkpoints of any origin: our own, the paper's, latent diffusion's."""

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from artcli import weights
from artcli.errors import WeightsError
from artcli.nn.unfilled import unfilled
from artcli.nn.vqgan import VQGAN, Sizes, sizes_of

FILE = "vqgan.safetensors"  # in a folder of our own
_OTHERS = {  # tensors that identify other kinds of models
    "visual.conv1.weight": "a CLIP",
    "token_embedding.weight": "a CLIP",
    "model.diffusion_model.input_blocks.0.0.weight": "a diffusion model",
    "features.0.weight": "an image classifier",
    "model.1.weight": "a translator, which artgen cyclegan --model takes",
    "model.model.0.weight": "a translator, which artgen cyclegan --model takes",
}


def load(
    spec: str,
    device: torch.device,
    *,
    encodes: bool = False,
    weights_dirs: Sequence[Path] = (),
    offline: bool = False,
) -> VQGAN:
    """A VQGAN in evaluation mode, without gradients to its weights.

    spec: a name from `artgen weights list`, a file, or the folder of an `artgen train vqgan` run.  encodes: whether the
    encoder is wanted; without it only the decoder and the codebook take memory.
    Raises UsageError: nothing has that name.  WeightsError: missing, damaged, of another kind, or with code inside.
    """
    found = weights.find(spec, weights_dirs=weights_dirs, offline=offline)
    path = weights.inside(found, FILE)
    return assemble(path, read(path), device, encodes=encodes)


def assemble(path: Path, state: Mapping[str, torch.Tensor], device: torch.device, *, encodes: bool = False) -> VQGAN:
    """What `load` gives, of tensors that are read already.  path: of their file.  Raises WeightsError."""
    state = _plain_names(state)
    sizes = _sizes(path, state)
    with unfilled():  # the file's tensors become the weights; there is nothing to initialise
        model = VQGAN(sizes, encodes)
    wanted = model.state_dict()
    if missing := [name for name in wanted if name not in state]:
        raise WeightsError(f"{path} lacks {missing[0]} and {len(missing) - 1} more tensors of a VQGAN")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise WeightsError(
                f"{path} is no VQGAN that artgen knows: {name} is {_shape(state[name])}, not {_shape(tensor)}"
            )
    model.load_state_dict({name: state[name].float() for name in wanted}, assign=True)
    return model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def is_one(path: Path) -> bool:
    """Whether a .safetensors file holds a VQGAN, alone or within another model.  Raises WeightsError: it is damaged."""
    with weights.open_safetensors(path) as file:
        ours = "vqgan" in (file.metadata() or {})
        return ours or any(name.endswith("decoder.conv_in.weight") for name in file.keys())  # noqa: SIM118  (a handle)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def read(path: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a file, which may lie in an archive."""
    inside = _archived(path)
    if inside is None:
        return weights.load_state(path)
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        return weights.load_state(Path(archive.extract(inside, folder)))


def _archived(path: Path) -> str | None:
    """The name of the checkpoint in a zip archive; None for everything else, also for PyTorch's own zip format."""
    try:
        with zipfile.ZipFile(path) as archive:
            return next((name for name in archive.namelist() if name.endswith((".ckpt", ".pt"))), None)
    except (OSError, zipfile.BadZipFile):
        return None


def _plain_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Strip the prefix of the names in a diffusion model's checkpoint, which contains its VQGAN."""
    prefix = "first_stage_model."
    inner = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    return inner or dict(state)


def _sizes(path: Path, state: Mapping[str, torch.Tensor]) -> Sizes:
    told = _told(path)
    try:
        if told.get("groups") == 0:  # plain networks, whose tensors are called otherwise
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
            return Sizes(**plain)
        sizes = sizes_of(state, told.get("groups", Sizes.groups))
    except TypeError as error:
        raise WeightsError(f"{path} is damaged: what it says of itself is no VQGAN") from error
    except (KeyError, IndexError) as error:
        looks = next((f": it looks like {kind}" for name, kind in _OTHERS.items() if name in state), "")
        raise WeightsError(f"{path} is no VQGAN (it lacks {error}){looks}") from error
    return sizes


def _told(path: Path) -> dict[str, Any]:
    """What our own files say of their sizes; all others have the paper's groups, which cannot be read off tensors."""
    if path.suffix != ".safetensors":
        return {}
    with weights.open_safetensors(path) as file:
        text = (file.metadata() or {}).get("vqgan")
    return json.loads(text) if text else {}
