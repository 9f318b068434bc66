"""CLIP (Radford et al., 2021) through open_clip: by bundled name, hub name, folder or file."""

import functools
import importlib.util
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from artcli import network, weights
from artcli.device import fast_dtype
from artcli.errors import UsageError, WeightsError, did_you_mean
from artcli.media import files
from artcli.nn.folding import fold
from artcli.pretrained.silent import silent
from artcli.uncompiled import uncompiled


def library() -> Any:
    """open_clip, imported when it is first needed."""
    with uncompiled(), _hidden("transformers"):
        import open_clip

    return open_clip


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Within the block a library is as if not installed, if nothing has imported it yet.

    Where transformers is there, open_clip imports half of it, seconds of work, for text towers that few CLIPs have.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


class Clip:
    """A CLIP in evaluation mode.  side: edge of the pictures it takes.  folder: where it lies, if it has one."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, name: str, folder: Path | None = None):
        self.name, self.device, self.tokenizer, self.folder = name, device, tokenizer, folder
        self.model = model.eval().requires_grad_(False).to(device)
        fold(self.model.visual)
        self.model.visual.to(memory_format=torch.channels_last)
        _sequence_first(self.model.visual)
        size = model.visual.image_size
        self.side: int = size if isinstance(size, int) else size[0]
        shape = (1, 3, 1, 1)
        preprocess = model.visual.preprocess_cfg
        self.mean = torch.tensor(preprocess["mean"], device=device).view(shape)
        self.std = torch.tensor(preprocess["std"], device=device).view(shape)
        self.scale = float(model.logit_scale.exp())
        self.dtype = fast_dtype(device)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit embeddings (N, D) in float32."""
        tokens = self.tokenizer(list(texts)).to(self.device)
        if _ends_with_largest(self.model):
            return encode_tokens(self.model, tokens).float()
        return F.normalize(self.model.encode_text(tokens).float(), dim=1)

    def unheard(self, text: str) -> list[str]:
        """One line for everything in a text that the model ignores: text beyond its context, words it cannot know.

        Only checks OpenAI's tokenizer, whose vocabulary is English.
        """
        found: list[str] = []
        if not hasattr(self.tokenizer, "bpe"):
            return found
        most = self.tokenizer.context_length - 2  # without start and end
        found += cut(self.name, self.tokenizer.encode(text), most, self.tokenizer.decode)
        if foreign := [word for word in text.split() if any(map(_is_foreign, word))]:
            found.append(f"{self.name} learned English and cannot know these words: {_short(' '.join(foreign))}")
        return found

    def encode_image(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, 3, side, side) in 0..1 to embeddings (N, D) in float32, with a gradient to the batch."""
        batch = ((batch - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model.encode_image(batch).float()


_SHOWN = 40  # letters of a text in a message


def cut(name: str, tokens: Sequence[int], most: int, decode: Callable[[Sequence[int]], str]) -> list[str]:
    """A line about where a model cuts a text of more than so many tokens; none about a shorter one."""
    if len(tokens) <= most:
        return []
    heard, lost = (decode(part).strip() for part in (tokens[:most], tokens[most:]))
    return [
        f"{name} hears {most} pieces of a text, of {len(tokens)}: it is cut after "
        f"'... {heard[-_SHOWN:]}', before '{_short(lost)}'"
    ]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _is_foreign(letter: str) -> bool:
    """Whether it belongs to another script than the Latin one."""
    return letter.isalpha() and ord(letter) > 0xFF and not unicodedata.name(letter, "LATIN").startswith("LATIN")


def _ends_with_largest(model: Any) -> bool:
    """Whether `encode_tokens` is right for it: OpenAI's text tower, causal and read at its last token."""
    causal = getattr(model, "text_pool_type", None) == "argmax" and model.attn_mask is not None
    return causal and isinstance(model.text_projection, torch.Tensor)


def encode_tokens(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Unit text embeddings of tokens (B, L), without spending time on the padding that all rows share.

    The same numbers as `model.encode_text(tokens, normalize=True)`: attention is causal, so cutting behind the
    longest text changes nothing.
    """
    length = int(tokens.argmax(1).max()) + 1  # the last token has the largest number; 0 is an exclamation mark, too
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(-1)] @ model.text_projection
    return F.normalize(x, dim=-1)


def _sequence_first(visual: Any) -> None:
    """Let a ViT keep its tokens as (L, N, D); the numbers stay the same.

    As (N, L, D) torch's attention projects a transposed view, and for every such product it copies the weights once
    per picture: on a CPU that takes longer than all the arithmetic.
    """
    transformer = getattr(visual, "transformer", None)
    if transformer is None or not hasattr(transformer, "batch_first"):
        return
    transformer.batch_first = False
    for block in transformer.resblocks:
        block.attn.batch_first = False


def load(spec: str, device: torch.device, *, weights_dirs: Sequence[Path] = (), offline: bool = False) -> Clip:
    """Load a CLIP.

    spec: a name from `artgen weights list`, a folder with open_clip_config.json, `ARCH/TAG` of open_clip's hub table
    (`ViT-B-32-quickgelu/openai`), `ARCH=FILE`, also with a checkpoint of open_clip's own training, or open_clip's
    `hf-hub:OWNER/NAME` and `local-dir:FOLDER`.  Raises UsageError for unknown names (with a suggestion) and
    WeightsError for missing, truncated or unsafe files, also where the network is forbidden.
    """
    with network.forbidden(offline):
        return _load(spec, device, weights_dirs)


def _load(spec: str, device: torch.device, weights_dirs: Sequence[Path]) -> Clip:
    if spec.startswith(_LOCAL):
        return _from_folder(files.home(spec.removeprefix(_LOCAL)), device, spec)
    if spec.startswith(_HUB):
        return _create(spec, None, device, spec)
    if "=" in spec:
        arch, _, file = spec.partition("=")
        return _from_file(_known_arch(arch), files.home(file), device, spec)
    if "/" in spec and not files.home(spec).exists() and Path(spec).suffix.lower() not in _FILES:
        return _from_hub(spec, device, weights_dirs)
    found = weights.find(spec, weights_dirs=weights_dirs)
    if found.is_dir():
        return _from_folder(found, device, spec)
    if spec not in _ARCHS:
        raise UsageError(
            f"--clip {spec} is a file, which does not say its architecture: write ARCH={spec}, such as "
            f"ViT-B-32={spec}, with one of open_clip's models"
        )
    return _from_file(_ARCHS[spec], found, device, spec)


_LOCAL, _HUB = "local-dir:", "hf-hub:"  # open_clip's own
_FILES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")


# Single-file rows of the weights table: the file does not say which of open_clip's models it belongs to.
_ARCHS = {
    "clip-vit-b-32-quickgelu-openai": "ViT-B-32-quickgelu",
    "clip-vit-b-16-quickgelu-openai": "ViT-B-16-quickgelu",
    "clip-rn50-quickgelu-openai": "RN50-quickgelu",
}
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}  # numbers in OpenAI's archives


def _from_hub(spec: str, device: torch.device, weights_dirs: Sequence[Path]) -> Clip:
    arch, _, tag = spec.partition("/")
    arch = _openai_form(_known_arch(arch), tag)
    _check_tag(arch, tag)
    name = f"clip-{arch.lower()}-{tag}"
    if name in _ARCHS and (place := weights.locate(weights.look_up(name), weights_dirs)):
        return _from_file(arch, place.path_of(weights.look_up(name)), device, spec)
    if network.is_forbidden() and not _may_be_here(arch, tag):
        raise WeightsError(_not_here(spec))
    return _create(arch, tag, device, spec)


def _may_be_here(arch: str, tag: str) -> bool:
    """False where open_clip would download from a plain URL, which its offline switch does not prevent."""
    open_clip = library()
    known = open_clip.pretrained.get_pretrained_cfg(arch, tag)
    copy = Path("~/.cache/clip").expanduser() / Path(known.get("url") or "none").name
    return bool(known.get("hf_hub")) or copy.is_file()


def _not_here(spec: str) -> str:
    return (
        f"the weights of --clip {spec} are not on this machine, and --offline forbids a download; use the bundled "
        "'clip-mini', or give a folder or ARCH=FILE"
    )


def _from_folder(folder: Path, device: torch.device, spec: str) -> Clip:
    if not folder.is_dir():
        raise UsageError(f"--clip {spec}: there is no folder {folder}")
    if not (folder / "open_clip_config.json").is_file():
        raise WeightsError(f"{folder} has no open_clip_config.json, so it is no open_clip model folder")
    return _create(f"local-dir:{folder}", None, device, spec, folder)


def _from_file(arch: str, file: Path, device: torch.device, spec: str) -> Clip:
    open_clip = library()
    if not file.is_file():
        raise WeightsError(f"there is no file {file} (--clip {spec})")
    state = {k: v for k, v in weights.load_state(file).items() if k not in _NOT_WEIGHTS}
    with silent():  # it warns that its weights are random
        model = open_clip.create_model(arch)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{file} is not a {arch} ({' '.join(str(error).split())[:160]})") from error
    return Clip(model, _tokenizer(arch, model.context_length), device, spec)


def _known_arch(arch: str) -> str:
    open_clip = library()
    known = open_clip.list_models()
    if arch not in known:
        hint = did_you_mean(arch, known) or " Or use 'clip-mini', which is bundled."
        raise UsageError(f"open_clip has no model '{arch}'.{hint}")
    return arch


def _check_tag(arch: str, tag: str) -> None:
    open_clip = library()
    known = open_clip.list_pretrained_tags_by_model(arch)
    if tag not in known:
        tags = ", ".join(known) or "none"
        raise UsageError(f"'{arch}' has no weights '{tag}'; there are: {tags}.{did_you_mean(tag, known)}")


def _openai_form(arch: str, tag: str) -> str:
    """OpenAI's weights were trained with QuickGELU: the plain architecture gives wrong features with them."""
    open_clip = library()
    quick = f"{arch}-quickgelu"
    return quick if tag == "openai" and quick in open_clip.list_models() else arch


@functools.cache
def _tokenizer(name: str, length: int) -> Any:
    """Made once a process, as it reads a long vocabulary.  length: the model's, which a folder may change."""
    open_clip = library()
    return open_clip.get_tokenizer(name)


def _with_any_tower(create: Callable[[], Any]) -> Any:
    """What it creates, also where the text tower is one of transformers', which `library` has hidden."""
    try:
        return create()
    except RuntimeError as error:
        if "transformers" not in str(error) or importlib.util.find_spec("transformers") is None:
            raise
    importlib.reload(library().hf_model)
    return create()


def _create(name: str, pretrained: str | None, device: torch.device, spec: str, folder: Path | None = None) -> Clip:
    open_clip = library()
    try:
        with silent():  # it logs what it raises too
            model = _with_any_tower(
                lambda: open_clip.create_model(name, pretrained=pretrained, require_pretrained=True, weights_only=True)
            )
            tokenizer = _tokenizer(name, model.context_length)
    except Exception as error:  # open_clip, the hub and torch each raise their own kinds
        if network.is_forbidden() and not name.startswith(_LOCAL):
            raise WeightsError(_not_here(spec)) from error
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"the weights of --clip {spec} cannot be loaded ({type(error).__name__}: {reason}); without a network use "
            "the bundled 'clip-mini', or give a folder or ARCH=FILE"
        ) from error
    return Clip(model, tokenizer, device, spec, folder)
