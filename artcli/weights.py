"""The one table of weights, and where they are found: given folders, then bundled, then the cache."""

import hashlib
import json
import os
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from artcli import network
from artcli.errors import UsageError, WeightsError, did_you_mean
from artcli.unwrap import unwrap

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from artcli.fetch import BytesDone


@dataclass(frozen=True)
class File:
    path: str  # below the folder that is searched, with forward slashes
    bytes: int | None = None
    sha256: str | None = None
    sha256_prefix: str | None = None  # all that some publishers state, in the file's name
    urls: tuple[str, ...] = ()  # mirrors, the best first


@dataclass(frozen=True)
class Weight:
    name: str
    kind: str  # the role it can play: clip, vqgan, net, ...
    licence: str
    files: tuple[File, ...]
    bundled: bool = False
    note: str = ""

    @property
    def bytes(self) -> int | None:
        sizes = [file.bytes for file in self.files if file.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def has_url(self) -> bool:
        return all(file.urls for file in self.files)


_TORCHVISION = "https://download.pytorch.org/models"
_HEIBOX = "https://heibox.uni-heidelberg.de/f"
_LATENT_DIFFUSION = "https://ommer-lab.com/files/latent-diffusion"
_OPENAI = "https://openaipublic.azureedge.net/clip/models"


def _torchvision(name: str, note: str, size: int, sha256: str, kind: str = "net") -> Weight:
    path = f"{name}-{sha256[:8]}.pth"
    file = File(path, size, sha256, urls=(f"{_TORCHVISION}/{path}",))
    return Weight(name, kind, "BSD-3-Clause", (file,), note=note)


def _openai(name: str, path: str, size: int, sha256: str) -> Weight:
    file = File(path, size, sha256, urls=(f"{_OPENAI}/{sha256}/{path}",))
    return Weight(name, "clip", "MIT", (file,), note="OpenAI CLIP, a TorchScript archive")


def _taming(name: str, key: str, note: str) -> Weight:
    file = File(f"{name}.ckpt", urls=(f"{_HEIBOX}/{key}/?dl=1",))
    return Weight(name, "vqgan", "MIT", (file,), note=note)


def _latent_diffusion(name: str, note: str) -> Weight:
    file = File(f"{name}.zip", urls=(f"{_LATENT_DIFFUSION}/{name}.zip",))
    return Weight(name, "vqgan", "MIT", (file,), note=note)


PUBLIC = (
    _torchvision(
        "vgg19",
        "ImageNet classifier; its features measure style",
        574673361,
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    ),
    _torchvision(
        "squeezenet1_1",
        "ImageNet classifier; a small stand-in for vgg19",
        4958839,
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    ),
    _torchvision(
        "mobilenet_v2",
        "ImageNet classifier; discriminators of cyclegan look through it",
        14212972,
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        kind="discriminator",
    ),
    _openai(
        "clip-vit-b-32-quickgelu-openai",
        "ViT-B-32.pt",
        353976522,
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    _openai(
        "clip-vit-b-16-quickgelu-openai",
        "ViT-B-16.pt",
        350837078,
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    _openai(
        "clip-rn50-quickgelu-openai",
        "RN50.pt",
        255827503,
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    ),
    # Their publishers state neither size nor hash.
    _taming("vqgan-imagenet-f16-1024", "140747ba53464f49b476", "VQGAN, 16 pixels a code, 1,024 codes"),
    _taming("vqgan-imagenet-f16-16384", "867b05fc8c4841768640", "VQGAN, 16 pixels a code, 16,384 codes"),
    _taming("vqgan-gumbel-f8", "34a747d5765840b5a99d", "VQGAN, 8 pixels a code, 8,192 codes chosen by logits"),
    _latent_diffusion("vq-f4", "VQGAN of latent diffusion, 4 pixels a code, 8,192 codes"),
    _latent_diffusion("vq-f8", "VQGAN of latent diffusion, 8 pixels a code, 16,384 codes"),
)


def bundled_dir() -> Path:
    """Our own weights: inside the package when built as a wheel, beside it in a source tree."""
    package = Path(__file__).parent
    inside = package / "_weights"
    return inside if inside.is_dir() else package.parent / "weights"


def cache_dir() -> Path:
    """`$ARTGEN_CACHE_DIR`, or the user's cache folder (XDG on Linux); downloaded weights lie in its `weights`."""
    chosen = os.environ.get("ARTGEN_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else user_cache_path("artgen", appauthor=False)


def table() -> dict[str, Weight]:
    """Every known weight by name: the bundled ones that `weights/manifest.json` describes, then the public ones.

    Raises WeightsError: the manifest cannot be read.
    """
    manifest = bundled_dir() / "manifest.json"
    try:
        rows = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
        bundled = [_row(name, entry) for name, entry in rows.items()]
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise WeightsError(f"{manifest} is damaged ({error}); install artgen again.") from error
    return {weight.name: weight for weight in (*bundled, *PUBLIC)}


def _row(name: str, entry: dict[str, Any]) -> Weight:
    files = tuple(File(path, facts["bytes"], facts["sha256"]) for path, facts in entry["files"].items())
    return Weight(name, entry["kind"], entry["licence"], files, bundled=True, note=entry.get("data", ""))


def look_up(name: str) -> Weight:
    """The row called `name`.  Raises UsageError: there is none; it lists those there are."""
    rows = table()
    if name not in rows:
        raise _unknown(name, list(rows))
    return rows[name]


def _unknown(name: str, known: list[str]) -> UsageError:
    hint = did_you_mean(name, known)
    return UsageError(f"'{name}' is neither a file nor known weights.{hint} Known: {', '.join(known)}.")


@dataclass(frozen=True)
class Place:
    label: str  # explicit, bundled or cache
    folder: Path

    def holds(self, weight: Weight) -> bool:
        return all((self.folder / file.path).is_file() for file in weight.files)

    def path_of(self, weight: Weight) -> Path:
        """The one file, or the folder of several."""
        if len(weight.files) == 1:
            return self.folder / weight.files[0].path
        return self.folder / os.path.commonpath([PurePath(file.path).parent for file in weight.files])


def places(weights_dirs: Sequence[Path] = ()) -> list[Place]:
    """The folders searched, in order: `--weights`, `$ARTGEN_WEIGHTS`, bundled, cache.

    Raises UsageError: a folder given with `--weights` does not exist.
    """
    for folder in weights_dirs:
        if not folder.is_dir():
            raise UsageError(f"--weights {folder}: there is no such folder.")
    environment = [Path(part).expanduser() for part in os.environ.get("ARTGEN_WEIGHTS", "").split(os.pathsep) if part]
    explicit = [Place("explicit", folder) for folder in (*weights_dirs, *environment)]
    return [*explicit, Place("bundled", bundled_dir()), _cache()]


def _cache() -> Place:
    return Place("cache", cache_dir() / "weights")


def locate(weight: Weight, weights_dirs: Sequence[Path] = ()) -> Place | None:
    """The first place that holds all the files of `weight`, whatever their state."""
    return next((place for place in places(weights_dirs) if place.holds(weight)), None)


def find(
    name: str,
    *,
    weights_dirs: Sequence[Path] = (),
    offline: bool = False,
    fetch: bool = True,
    progress: "BytesDone | None" = None,
) -> Path:
    """The local file (or the folder, where a model is several files) of `name`, downloaded if it has to be.

    `name` is a row of the table, else a path, which may also be relative to a folder that is searched.

    Raises UsageError: nothing has that name.  WeightsError: the weights are damaged, or neither here nor to be had.
    """
    rows = table()
    if name not in rows:
        path = _find_path(name, weights_dirs)
        if path is None:
            raise _unknown(name, list(rows))
        return path
    weight = rows[name]
    place = locate(weight, weights_dirs)
    if place is None:
        offline = offline or network.is_forbidden()
        if offline or not fetch or not weight.has_url:
            raise WeightsError(_missing(weight, weights_dirs, offline))
        return get(weight, progress=progress)
    check(weight, place)
    return place.path_of(weight)


def refuse_unknown(names: Iterable[str], weights_dirs: Sequence[Path] = ()) -> None:
    """Raises UsageError where nothing has one of these names, as `find` does, which may download first."""
    for name in names:
        if name not in table() and _find_path(name, weights_dirs) is None:
            raise _unknown(name, list(table()))


def _find_path(name: str, weights_dirs: Sequence[Path]) -> Path | None:
    if not name:
        return None
    folders = [Path(), *(place.folder for place in places(weights_dirs) if place.label == "explicit")]
    paths = (folder / Path(name).expanduser() for folder in folders)
    return next((path for path in paths if path.exists()), None)


def inside(found: Path, name: str) -> Path:
    """What `find` found, if it is a file; else the file `name` in that folder, which may be a run's.

    Raises WeightsError: the folder does not hold it.
    """
    if not found.is_dir():
        return found
    for path in (found / name, found / "model" / name):
        if path.is_file():
            return path
    raise WeightsError(f"{found} holds no {name}, which `artgen train` writes to RUN/model at the end of a run.")


def _missing(weight: Weight, weights_dirs: Sequence[Path], offline: bool) -> str:
    files = ", ".join(file.path for file in weight.files)
    searched = ", ".join(str(place.folder) for place in places(weights_dirs))
    message = f"{weight.name} is not on this machine{', and --offline forbids a download' if offline else ''}: "
    message += f"{files} was looked for in {searched}. "
    if not weight.has_url:
        return message + f"It comes with artgen: install artgen again, or put it in {_cache().folder}."
    ways = " and ".join(f"download {file.urls[0]} to {_cache().folder / file.path}" for file in weight.files)
    return message + f"Run `artgen weights get {weight.name}` ({human(weight.bytes)}) while online, or {ways}."


def get(weight: Weight, *, force: bool = False, progress: "BytesDone | None" = None) -> Path:
    """Download `weight` to the cache; files of the right size are kept, unless `force`.

    Raises WeightsError: no URL, no mirror works, no space.
    """
    from artcli.fetch import download  # which imports all that speaks HTTPS

    for file in weight.files:
        download(
            file.urls,
            _cache().folder / file.path,
            sha256=file.sha256,
            sha256_prefix=file.sha256_prefix,
            size=file.bytes,
            progress=progress,
            force=force,
        )
    return _cache().path_of(weight)


def check(weight: Weight, place: Place, *, hashes: bool = False) -> None:
    """Compare sizes, and on request SHA-256, with the table.  Raises WeightsError: a file differs."""
    for file in weight.files:
        path = place.folder / file.path
        size = path.stat().st_size
        if file.bytes is not None and size != file.bytes:
            raise _damaged(weight, place, f"{path} is damaged: {size} bytes instead of {file.bytes}")
        expected = file.sha256 or file.sha256_prefix
        if hashes and expected and not _sha256(path).startswith(expected):
            raise _damaged(weight, place, f"{path} is damaged: its sha256 is not {expected[:12]}...")


def _sha256(path: Path) -> str:
    from artcli.fetch import sha256_of

    return sha256_of(path)


def _damaged(weight: Weight, place: Place, what: str) -> WeightsError:
    remedy = {
        "bundled": "install artgen again",
        "cache": f"run `artgen weights get --force {weight.name}`",
        "explicit": "replace or remove it",
    }
    return WeightsError(f"{what}; {remedy[place.label]}.")


def verify(weight: Weight, weights_dirs: Sequence[Path] = ()) -> Path:
    """Where `weight` is, once sizes and hashes are right.  Raises WeightsError: missing or damaged."""
    place = locate(weight, weights_dirs)
    if place is None:
        raise WeightsError(_missing(weight, weights_dirs, offline=False))
    check(weight, place, hashes=True)
    return place.path_of(weight)


def describe(*paths: Path, root: Path | None = None) -> dict[str, dict[str, int | str]]:
    """The "files" part of a manifest entry: bytes and sha256 of these files and of all files in these folders.

    The names are relative to `root`, by default the folder of bundled weights; ValueError if they are not in it.
    """
    root = (root or bundled_dir()).resolve()
    inside = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return {
        file.relative_to(root).as_posix(): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(file.resolve() for file in inside)
    }


def fingerprint(model: "Module") -> str:
    """First 16 hex digits of a SHA-256 over all weights; goes into the record of every picture."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def human(size: int | None) -> str:
    """A size for people: `4.7 MB`."""
    if size is None:
        return "size unknown"
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def open_safetensors(path: Path) -> Any:
    """A `.safetensors` file, opened but not yet read: a context with `keys`, `get_tensor` and `metadata`.

    Raises WeightsError: it is missing, cut short or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt", device="cpu")
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def load_state(path: Path, programs: Collection[str] = ()) -> dict[str, "Tensor"]:
    """The tensors of a `.safetensors` or PyTorch file, on the CPU; code that a pickle carries is never run.

    What training programs save around them and in front of their names is taken off, see `unwrap`.  A TorchScript
    archive is a program, so it is opened only when its SHA-256 is in the table or among `programs`.

    Raises WeightsError: the file is missing, damaged, or holds something else than a state dict.
    """
    if path.suffix == ".safetensors":
        with open_safetensors(path) as file:
            return unwrap({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118  (a handle, not a dict)
    state = _load_torchscript(path, programs) if _is_torchscript(path) else _load_pickle(path)
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__} instead of named tensors.")
    tensors = unwrap(state)
    if not tensors:
        raise WeightsError(
            f"{path} holds no named tensors{', only ' * bool(state)}{', '.join(map(str, [*state][:5]))}."
        )
    return tensors


class _Nothing:
    """Stands for the class `_NAMED`."""


# Published checkpoints name this class beside their tensors, as a key; nothing of it is ever imported or run.
_NAMED = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"


def _load_pickle(path: Path) -> object:
    import torch

    try:
        with torch.serialization.safe_globals([(_Nothing, _NAMED)]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything: EOFError, IndexError, RuntimeError, ...
        raise _unreadable(path, error) from error


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePath(name).name == "constants.pkl" for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False  # let the loader say what is wrong


def _load_torchscript(path: Path, programs: Collection[str]) -> object:
    import warnings

    import torch

    if _sha256(path) not in {*programs, *(file.sha256 for weight in table().values() for file in weight.files)}:
        raise WeightsError(f"{path} is a TorchScript program, which is not run; save its state_dict as .safetensors.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is on its way out; these archives are not
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def _unreadable(path: Path, error: Exception) -> WeightsError:
    if not path.exists():
        return WeightsError(f"There is no file {path}.")
    if "Unsupported operand" in str(error) and not path.read_bytes().startswith(
        b"\x80"
    ):  # no pickle, such as a picture
        return WeightsError(f"{path} is damaged or no weights file.")
    if _of_stylegan(path):
        return WeightsError(
            f"{path} is a pickle of stylegan2-ada-pytorch, which holds code besides tensors and is not run; with that "
            "program, torch.save(G_ema.state_dict(), FILE), then artgen train stylegan DATA --set start=FILE goes on "
            "from it."
        )
    if "weights_only" in str(error) or "Weights only" in str(error):
        return WeightsError(f"{path} holds code besides tensors, which is not run; save its state_dict alone.")
    reason = str(error).strip().split("\n")[0].split(". ")[0] or type(error).__name__
    return WeightsError(f"{path} is damaged or no weights file ({reason}).")


def _of_stylegan(path: Path) -> bool:
    """Whether a file begins as the pickles of NVIDIA's StyleGANs, by the name of a module of theirs."""
    with path.open("rb") as file:
        return b"torch_utils.persistence" in file.read(2**16)
