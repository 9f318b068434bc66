"""CLIP (Radford et al., 2021) through open_clip: by bundled name, hub name, folder or file."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from artcli import weights
from artcli.device import fast_dtype
from artcli.errors import UsageError, WeightsError, did_you_mean


class Clip:
    """A CLIP in evaluation mode.  side: edge of the pictures it takes; fingerprint: of its weights."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, name: str):
        self.name, self.device, self.tokenizer = name, device, tokenizer
        self.model = model.eval().requires_grad_(False).to(device)
        self.model.visual.to(memory_format=torch.channels_last)
        size = model.visual.image_size
        self.side: int = size if isinstance(size, int) else size[0]
        shape = (1, 3, 1, 1)
        preprocess = model.visual.preprocess_cfg
        self.mean = torch.tensor(preprocess["mean"], device=device).view(shape)
        self.std = torch.tensor(preprocess["std"], device=device).view(shape)
        self.dtype = fast_dtype(device)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit embeddings (N, D) in float32."""
        return F.normalize(self.model.encode_text(self.tokenizer(list(texts)).to(self.device)).float(), dim=1)

    def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, 3, side, side) in 0..1 to embeddings (N, D) in float32, with a gradient to the batch."""
        batch = ((batch - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model.encode_image(batch).float()

    def fingerprint(self) -> str:
        """First 16 hex digits of a SHA-256 over all weights; goes into the record of every picture."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Clip:
    """Load a CLIP.

    spec: a bundled name (`clip-mini`), a folder with open_clip_config.json, `ARCH/TAG` of open_clip's hub table
    (`ViT-B-32-quickgelu/openai`), or `ARCH=FILE`.  Raises UsageError for unknown names (with a suggestion) and
    WeightsError for missing, truncated or unsafe files.
    """
    folder = _folder(spec, weights_dirs, offline)
    if folder is not None:
        return _create(f"local-dir:{folder}", None, device, spec)
    arch, separator, rest = _split(spec)
    _check_arch(arch, spec)
    if separator == "=":
        if not Path(rest).is_file():
            raise WeightsError(f"there is no file {rest} for --clip {spec}")
        return _create(arch, rest, device, spec)
    arch = _openai_form(arch, rest)
    _check_tag(arch, rest)
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    return _create(arch, rest, device, spec)


def _folder(spec: str, weights_dirs: Sequence[Path], offline: bool) -> Path | None:
    """The model folder that a bundled name or a path means; None for hub names."""
    path = Path(spec).expanduser()
    if (path / "open_clip_config.json").is_file():
        return path
    if path.is_dir():
        raise WeightsError(f"{path} has no open_clip_config.json, so it is no open_clip model folder")
    if "/" in spec or "=" in spec:
        return None
    return weights.find(spec, weights_dirs=weights_dirs, offline=offline)


def _split(spec: str) -> tuple[str, str, str]:
    separator = "=" if "=" in spec else "/"
    return tuple(spec.partition(separator))  # type: ignore[return-value]


def _check_arch(arch: str, spec: str) -> None:
    import open_clip

    known = open_clip.list_models()
    if arch not in known:
        raise UsageError(
            f"open_clip has no model '{arch}' (--clip {spec}).{did_you_mean(arch, known)} Or use 'clip-mini', "
            "which is bundled"
        )


def _check_tag(arch: str, tag: str) -> None:
    import open_clip

    known = open_clip.list_pretrained_tags_by_model(arch)
    if tag not in known:
        tags = ", ".join(known) or "none"
        raise UsageError(f"'{arch}' has no weights '{tag}'; there are: {tags}.{did_you_mean(tag, known)}")


def _openai_form(arch: str, tag: str) -> str:
    """OpenAI's weights were trained with QuickGELU: the plain architecture gives wrong features with them."""
    import open_clip

    quick = f"{arch}-quickgelu"
    return quick if tag == "openai" and quick in open_clip.list_models() else arch


def _create(name: str, pretrained: str | None, device: torch.device, spec: str) -> Clip:
    import open_clip

    try:
        model = open_clip.create_model(name, pretrained=pretrained, weights_only=True)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # open_clip, the hub and torch each raise their own kinds
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"the weights of --clip {spec} cannot be loaded ({type(error).__name__}: {reason}); without a network use "
            "the bundled 'clip-mini', or give a folder or ARCH=FILE"
        ) from error
    return Clip(model, tokenizer, device, spec)
