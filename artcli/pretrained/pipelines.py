"""Stable Diffusion (Rombach et al., 2022) as diffusers, an extra, saves it: a folder, or a name on the hub.

Folders are found and checked without torch.  Only safetensors are read, and a folder never asks the network.
"""

import functools
import hashlib
import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artcli import network, weights
from artcli.errors import UsageError, WeightsError
from artcli.pretrained.silent import silent

if TYPE_CHECKING:
    import torch

NEEDS = ("diffusers", "transformers", "accelerate")
INDEX = "model_index.json"
_CLASSES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
_FORMS = ("", "Img2Img", "Inpaint")  # of the same components
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
_UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_SAMPLES, _SAMPLE = 64, 2**16  # of a file that are looked at to recognise it, and bytes of each


class Usual(NamedTuple):
    """What suits a model."""

    steps: int
    guidance: float


TURBO, LARGE, PLAIN = Usual(4, 0.0), Usual(30, 5.0), Usual(30, 7.5)


@dataclass(frozen=True)
class Pipeline:
    """A loaded model.

    pipe: diffusers' own, of which nobody may change anything.  side: of the pictures that it was trained on, in pixels.
    factor: pixels of a latent.  large: whether it is an XL.  inside: whether the net is told what is left of a picture.
    fingerprint: of the files.
    """

    pipe: Any
    name: str
    device: "torch.device"
    side: int
    factor: int
    large: bool
    inside: bool
    fingerprint: str

    def unheard(self, text: str) -> list[str]:
        """A line about what the first text encoder's context has no room for."""
        from artcli.pretrained.clip import cut

        tokenizer = self.pipe.tokenizer
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        return cut(self.name, tokens, tokenizer.model_max_length - 2, tokenizer.decode)


# --- without torch --------------------------------------------------------------------------------------------------


def require() -> None:
    """Raises UsageError: the extra is not installed."""
    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise UsageError(f"--drawer diffusers needs {', '.join(missing)}: pip install 'artgen[diffusers]'")


def find(spec: str, weights_dirs: Sequence[Path] = ()) -> Path | None:
    """The folder that a name stands for; None for a name on the hub.  Raises UsageError: it is neither."""
    try:
        found = weights.find(spec, weights_dirs=weights_dirs, offline=True)
    except UsageError:
        if _ON_THE_HUB.fullmatch(spec) and not spec.startswith("."):
            return None
        raise UsageError(f"--model {spec}: there is no such folder, and names on the hub are OWNER/NAME") from None
    if not found.is_dir():
        raise UsageError(f"--model {spec} is a file; give a folder as diffusers' save_pretrained writes it")
    return found


def check(spec: str, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> None:
    """Raises UsageError: nothing has that name.  WeightsError: not to be had, or not what is drawn with."""
    folder = find(spec, weights_dirs)
    if folder is not None:
        _check(folder)
    elif (offline or network.is_forbidden()) and _kept(spec) is None:
        raise WeightsError(_not_here(spec))


def usual(spec: str, weights_dirs: Sequence[Path] = ()) -> Usual:
    """What suits a model, by its folder, or by its name where it is on the hub.  Raises as `find` does."""
    folder = find(spec, weights_dirs)
    if "turbo" in Path(spec).name.lower():
        return TURBO
    if folder is None:
        return LARGE if "xl" in spec.lower() else PLAIN
    index, solver = _read(folder / INDEX), _read(folder / "scheduler" / "scheduler_config.json")
    # The last step of the training's is where a model begins that takes few of them; so do those of zero signal.
    few = solver.get("timestep_spacing") == "trailing" and solver.get("prediction_type", "epsilon") == "epsilon"
    if few and str(solver.get("_class_name")).startswith("Euler"):
        return TURBO
    return LARGE if "XL" in str(index.get("_class_name")) else PLAIN


def side(folder: Path) -> int:
    """Pixels of the pictures that a model was trained on, the shorter side.  Raises WeightsError as `check` does."""
    latents = _read(folder / "unet" / "config.json").get("sample_size") or 64
    return int(min(latents) if isinstance(latents, list) else latents) * factor(folder)


def factor(folder: Path) -> int:
    """Pixels of a latent."""
    return int(2 ** (len(_read(folder / "vae" / "config.json").get("block_out_channels", ())) - 1))


def inside(folder: Path) -> bool:
    """Whether a model was trained to fill masks: its net takes what is left of a picture beside the noise."""
    return _read(folder / "unet" / "config.json").get("in_channels") == 9


def get(spec: str, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Path:
    """The folder of a model, downloaded if it has to be.  Raises as `check` does."""
    folder = find(spec, weights_dirs)
    if folder is None:
        with network.forbidden(offline):
            folder = _from_hub(spec)
    _check(folder)
    return folder


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path.parent} has no {path.name}, which diffusers writes beside the weights") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({' '.join(str(error).split())[:100]})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged: it holds no settings")
    return found


def _check(folder: Path) -> None:
    """Raises WeightsError: it is no pipeline, not one of these, or its weights are no safetensors."""
    index = _read(folder / INDEX)
    kind = str(index.get("_class_name"))
    if kind not in {name.replace("Pipeline", f"{form}Pipeline") for name in _CLASSES for form in _FORMS}:
        raise WeightsError(f"{folder} holds a {kind}; what is drawn with is Stable Diffusion 1, 2, XL or turbo")
    parts = {name: value for name, value in index.items() if isinstance(value, list) and name not in _UNUSED}
    if foreign := [name for name, value in parts.items() if value[:1] not in ([None], ["diffusers"], ["transformers"])]:
        raise WeightsError(f"{folder / INDEX} wants code of {foreign[0]}'s own, which is not run")
    for part in _PARTS:
        if parts.get(part, [None])[:1] != [None]:
            _check_weights(folder / part)
    net = _read(folder / "unet" / "config.json")
    if net.get("in_channels") not in (4, 9) or net.get("time_cond_proj_dim") or index.get("requires_aesthetics_score"):
        raise WeightsError(f"{folder} is for another use: its net takes more than a picture and words")


def _check_weights(part: Path) -> None:
    kinds = {path.suffix for path in part.glob("*") if path.is_file()}
    if ".safetensors" in kinds:
        return
    if pickles := sorted(path.name for path in part.glob("*") if path.suffix in _PICKLES):
        raise WeightsError(
            f"{part / pickles[0]} is a pickle, which may hold code and is not read; "
            "save the model with safe_serialization=True"
        )
    raise WeightsError(f"{part} has no weights; a model's folder holds a .safetensors for each of its nets")


def _not_here(spec: str) -> str:
    return f"{spec} is not on this machine, and --offline forbids a download; run once while online, or give a folder"


def _kept(spec: str) -> str | None:
    """Where the hub's cache has the model's index, without asking the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(spec, INDEX)
    return found if isinstance(found, str) else None


# --- with torch -----------------------------------------------------------------------------------------------------


def load(spec: str, device: "torch.device", *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Pipeline:
    """A model in evaluation mode; its nets in the device's fast format, the decoder of pictures in float32.

    spec: a folder, also relative to one of `weights_dirs`, or a name on the hub.  A safety checker is not loaded.
    Raises as `check` does, and WeightsError for damaged files.
    """
    import torch

    from artcli.device import fast_dtype

    folder = get(spec, weights_dirs=weights_dirs, offline=offline)
    index = _read(folder / INDEX)
    large = "XL" in index["_class_name"]
    for path in _files(folder):
        with weights.open_safetensors(path):  # whose own error says more than diffusers' of a file that is cut short
            pass
    with network.forbidden(), silent(), warnings.catch_warnings():  # all of it is here
        warnings.simplefilter("ignore")  # `torch_dtype` has a new name, which older ones do not know
        library = _library()
        how: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        how |= {name: None for name in _UNUSED if name in index}
        how |= {} if large else {"requires_safety_checker": False}
        try:
            vae = library.AutoencoderKL.from_pretrained(
                folder, subfolder="vae", torch_dtype=torch.float32, use_safetensors=True, **_variant(folder / "vae")
            )
            made = getattr(library, _CLASSES[large]).from_pretrained(
                folder, vae=vae, torch_dtype=fast_dtype(device), **how, **_variant(folder / "unet")
            )
        except Exception as error:  # diffusers, transformers and safetensors each raise their own kinds
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{folder} cannot be loaded ({type(error).__name__}: {reason})") from error
        _fits(made, folder)
        made.to(device)
    for part in _PARTS:
        if getattr(made, part, None) is not None:
            getattr(made, part).eval().requires_grad_(False)
    return Pipeline(made, spec, device, side(folder), factor(folder), large, inside(folder), fingerprint(folder))


def _fits(made: Any, folder: Path) -> None:
    """Raises WeightsError: the solver or the decoder is not of a kind that the loop knows."""
    if not hasattr(made.scheduler, "alphas_cumprod"):
        raise WeightsError(f"{folder} has a {type(made.scheduler).__name__}, which is no solver of Stable Diffusion's")
    if getattr(made.vae.config, "latents_mean", None) is not None:
        raise WeightsError(f"{folder} has latents with a mean of their own, which are not known here")


def _variant(part: Path) -> dict[str, str]:
    """Weights may be there in half precision only, by another name."""
    plain = [path for path in part.glob("*.safetensors*") if ".fp16." not in path.name]
    return {} if plain else {"variant": "fp16"}


@functools.cache  # what is needed of the folder is read before the model is: the hub is asked once for both
def _from_hub(spec: str) -> Path:
    """Downloads what is not in the hub's cache."""
    if network.is_forbidden() and _kept(spec) is None:
        raise WeightsError(_not_here(spec))
    library = _library()
    try:
        found = library.DiffusionPipeline.download(
            spec, use_safetensors=True, local_files_only=network.is_forbidden(), safety_checker=None
        )
    except Exception as error:  # the hub, HTTP and diffusers each raise their own kinds
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{spec} cannot be had from the hub ({type(error).__name__}: {reason})") from error
    return Path(found)


def _library() -> Any:
    from artcli.uncompiled import uncompiled

    with uncompiled():
        import diffusers
        import transformers

        for each in (diffusers, transformers):
            each.utils.logging.set_verbosity_error()
            each.utils.logging.disable_progress_bar()
    return diffusers


def _files(folder: Path) -> list[Path]:
    return sorted(path for part in _PARTS for path in (folder / part).glob("*.safetensors"))


def fingerprint(folder: Path) -> str:
    """16 hex digits of a SHA-256 over samples from all over the weights, which may be many gigabytes.

    A net that was trained on, or into which another was merged, differs in most of them.
    """
    digest = hashlib.sha256()
    for path in _files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1), os.SEEK_SET)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]
