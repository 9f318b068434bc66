"""Translators of any origin: our runs and files, and the checkpoints of pytorch-CycleGAN-and-pix2pix."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes

from artcli import weights
from artcli.errors import UsageError, WeightsError
from artcli.media import files
from artcli.nn import translators
from artcli.nn.translators import Translator, sizes_of
from artcli.nn.unfilled import unfilled
from artcli.pretrained import find, translator_names
from artcli.pretrained.find import DIRECTIONS, SCALE

MODELS = ("cyclegan", "pix2pix")
NAMES = {"AtoB": "a-to-b.safetensors", "BtoA": "b-to-a.safetensors"}  # in a folder of our own
PREFIX = "translators.{}."  # of a direction in the weights of a run
_UPSTREAM = {"AtoB": ("*_net_G_A.pth", "*_net_G.pth"), "BtoA": ("*_net_G_B.pth",)}
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")  # which instance normalisation once had too
_OTHERS = {  # tensors that identify other kinds of models
    "decoder.conv_in.weight": "a VQGAN",
    "token_embedding.weight": "a CLIP",
    "features.0.weight": "an image classifier",
    "conv1.conv2d.weight": "a fast style transfer network",
    "mapping.fc0.weight": "a StyleGAN",
}


@dataclass(frozen=True)
class Loaded:
    """A translator in evaluation mode.

    direction: one of DIRECTIONS, None where the file does not say.  size: side of the crops that it has learned from;
    scale: shorter side of the pictures that these were cut from, at which strokes have the size that it has learned.
    """

    net: Translator
    name: str
    direction: str | None
    fingerprint: str
    size: int | None = None
    scale: int | None = None


def load(
    spec: str,
    device: torch.device,
    *,
    direction: str | None = None,
    as_in_training: bool = False,
    dropout: bool = True,
    weights_dirs: Sequence[Path] = (),
    offline: bool = False,
) -> Loaded:
    """A translator without gradients to its weights.

    spec: a name from `artgen weights list`, a run's folder, a file of ours, or an upstream `*_net_G*.pth`, or a folder
    of them.  direction: one of DIRECTIONS; by default the model's own.  as_in_training: batch normalisation uses the
    statistics of the picture and dropout stays on, as in upstream's test.py without `--eval`.  dropout: False turns it
    off even then (upstream: `--no_dropout`).
    Raises UsageError: nothing has that name, or it does not go that way.  WeightsError: missing, damaged, of another
    kind, or with code inside.
    """
    found = find.translator(spec, weights_dirs=weights_dirs, offline=offline)
    path, there = _choose(found, direction) if found.is_dir() else (found, None)
    state, record = _read(path, direction)
    there = record.get("direction", there)
    if direction is not None and there not in (None, direction):
        raise UsageError(f"{path} goes {there}, not {direction}")
    net = _assemble(path, state, record.get("sizes", {}).get("dropout"))
    if as_in_training:
        translators.as_in_training(net, dropout)
    net = net.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    name = spec if found.is_dir() or spec in weights.table() else found.name
    return Loaded(net, name, there, weights.fingerprint(net), record.get("size"), record.get("pictures"))


def save(path: Path, net: Translator, *, direction: str, default: str, size: int, scale: int) -> None:
    """Write fp16 safetensors that say what they are.

    default: the direction to use when none is asked for.  size, scale: as `Loaded` has them.
    """
    half = {name: _small(name, tensor.detach()).cpu().contiguous() for name, tensor in net.state_dict().items()}
    record = {"direction": direction, "default": default, "size": size, "pictures": scale, "sizes": asdict(net.sizes)}
    with files.atomic(path) as temporary:
        temporary.write_bytes(to_bytes(half, metadata={"translator": json.dumps(record)}))


def _small(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Half precision for weights; running statistics may be larger than it can hold."""
    return tensor if name.endswith(_RUNNING) else tensor.half()


# --- which file ------------------------------------------------------------------------------------------------------


def _choose(folder: Path, direction: str | None) -> tuple[Path, str | None]:
    """The file of a folder that goes the wanted way, and which way that is where its name says so."""
    for inside in (folder / "model", folder):
        ours = {way: inside / name for way, name in NAMES.items() if (inside / name).is_file()}
        if ours:
            default = _record(next(iter(ours.values()))).get("default", "AtoB")
            return _of_these(folder, ours, direction, default)
    if (folder / "weights.safetensors").is_file():
        return folder / "weights.safetensors", None
    theirs = {way: _newest(folder, patterns) for way, patterns in _UPSTREAM.items()}
    known = {way: path for way, path in theirs.items() if path is not None}
    if known:
        return _of_these(folder, known, direction, "AtoB")
    raise WeightsError(
        f"{folder} holds no translator: neither the weights of a cyclegan or pix2pix run nor a *_net_G*.pth"
    )


def _of_these(folder: Path, known: Mapping[str, Path], direction: str | None, default: str) -> tuple[Path, str]:
    wanted = direction or (default if default in known else next(iter(known)))
    if wanted not in known:
        raise UsageError(f"{folder} goes only {', '.join(known)}, not {wanted}")
    return known[wanted], wanted


def _newest(folder: Path, patterns: Sequence[str]) -> Path | None:
    """`latest_net_G.pth`, or that of the last epoch."""
    found = [path for pattern in patterns for path in folder.glob(pattern)]
    return max(found, key=lambda path: (path.name.startswith("latest"), len(path.name), path.name), default=None)


# --- what is in it ---------------------------------------------------------------------------------------------------


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    with weights.open_safetensors(path) as file:
        return file.metadata() or {}


def _record(path: Path) -> dict:
    """What our own files say of themselves."""
    text = _metadata(path).get("translator")
    return {} if text is None else {"pictures": SCALE, **json.loads(text)}


def _read(path: Path, direction: str | None) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors under the names that the networks use, and what the file says: direction and size, if anything."""
    text = _metadata(path).get("artgen")
    if text is not None:
        return _of_run(path, json.loads(text), direction)
    return translator_names.plain(weights.load_state(path)), _record(path)


def _of_run(path: Path, description: dict, direction: str | None) -> tuple[dict[str, torch.Tensor], dict]:
    """One translator out of the weights of a run of ours, which may have two."""
    if description["model"] not in MODELS:
        raise WeightsError(f"{path} is no translator but a {description['model']}")
    state = weights.load_state(path)
    known = {way: path for way in DIRECTIONS if any(name.startswith(PREFIX.format(way)) for name in state)}
    _, chosen = _of_these(path, known, direction, description["config"]["direction"])
    prefix = PREFIX.format(chosen)
    mine = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    config = description["config"]
    seen = {"size": config["crop"], "pictures": config["size"]}
    return mine, {"direction": chosen, **seen, "sizes": {"dropout": config.get("dropout")}}


def _assemble(path: Path, state: dict[str, torch.Tensor], dropout: bool | None) -> Translator:
    """dropout: what the file says; None where it says nothing."""
    try:
        sizes = sizes_of(state)
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{path} is neither a ResNet nor a U-Net translator{_looks(state)}") from error
    if {sizes.channels, sizes.drawn} - {1, 3}:
        raise WeightsError(f"{path} takes {sizes.channels} channels and draws {sizes.drawn}; pictures have 1 or 3")
    if sizes.kind == "unet":  # whose tensors do not tell: pix2pix, which normalises over batches, drops by default
        sizes = replace(sizes, dropout=sizes.norm == "batch" if dropout is None else dropout)
    with unfilled():  # the file's tensors become the weights; there is nothing to initialise
        net = Translator(sizes, fresh=False)  # drawing start values there loads half of torch
    wanted = net.state_dict()
    what = f"{path} looks like a {sizes.describe()}, but"
    for name, tensor in wanted.items():
        if name not in state:
            raise WeightsError(f"{what} lacks {name}")
        if state[name].shape != tensor.shape:
            raise WeightsError(f"{what} {name} is {_shape(state[name])}, not {_shape(tensor)}")
    if more := [name for name in state if name not in wanted and not name.endswith(_RUNNING)]:
        raise WeightsError(f"{what} has {more[0]} too ({len(more)} such)")
    floats = {name: state[name].float() if state[name].is_floating_point() else state[name] for name in wanted}
    net.load_state_dict(floats, assign=True)
    return net


def _looks(state: Mapping[str, torch.Tensor]) -> str:
    if any(name.endswith(".filt") for name in state):
        return "; it looks like a generator of CUT, whose antialiasing artgen does not know"
    first = next((t for name, t in state.items() if name.endswith("0.weight") and t.ndim == 4), None)
    if first is not None and first.shape[2:] == (4, 4):
        return "; it looks like a discriminator: take the file with net_G in its name"
    looks = next((kind for name, kind in _OTHERS.items() if name in state), None)
    return f"; it looks like {looks}" if looks else ""


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
