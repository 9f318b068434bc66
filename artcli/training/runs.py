"""Run folders: what is in them, and how a finished model comes back out.

RUN/run.toml             what the run is: model, data, every setting; the same line finds it again
RUN/environment.json     where it ran
RUN/metrics.jsonl        losses over time
RUN/samples/             pictures over time; RUN/reconstructions/ likewise
RUN/checkpoints/         to go on from
RUN/weights.safetensors  the newest weights, with their description; best.safetensors the best ones
RUN/report.html          all of that on one page
"""

import hashlib
import importlib
import json
import os
import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import nn

from artcli import __version__
from artcli.errors import UsageError
from artcli.media import files
from artcli.training import checkpoint, columns, finished, renamed
from artcli.training.registry import MODELS
from artcli.training.spec import RunSpec

RUN, METRICS, WEIGHTS, BEST = "run.toml", "metrics.jsonl", "weights.safetensors", "best.safetensors"
# Without changing what is learned, each by its whole path in run.toml.
MAY_CHANGE = {
    "steps",
    "epochs",
    "command",
    "version",
    "config.epochs",  # the model's own length of a run, where neither of the two above is given
    "trainer.save_every",
    "trainer.keep",
}


# --- finding and making a run folder -------------------------------------------------------------------------------


def choose(out: Path | None, root: Path, spec: RunSpec, *, accept_changes: bool) -> Path:
    """The folder of this run: `out`, or the newest under `root` that is the same run, or a new numbered one.

    Raises UsageError when `out` holds a run with other settings (each is named), unless changes are accepted.
    """
    if out is None:
        same = [run for run in numbered(root) if _is(run, spec)]
        return same[-1] if same else root / f"{_next_number(root):04d}-{spec.model}-{files.slug(spec.data.name)}"
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; --out takes a folder for the run")
    if (out / RUN).is_file():
        changed = differences(describe(out), _plain(spec.as_dict()))
        if changed and not accept_changes:
            raise UsageError(
                f"{out} holds a run with other settings ({', '.join(changed)}); choose another --out, "
                "or --accept-changes to go on with the new ones"
            )
    elif out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
        raise UsageError(f"{out} is a folder with other things in it and no {RUN}; choose another --out")
    return out


def _is(run: Path, spec: RunSpec) -> bool:
    try:
        return not differences(describe(run), _plain(spec.as_dict()))
    except UsageError:  # damaged or of another version: some other run
        return False


def numbered(root: Path) -> list[Path]:
    """Run folders `0001-...` by number."""
    if not root.is_dir():
        return []
    found = [p for p in root.iterdir() if re.match(r"\d{4,}-", p.name) and (p / RUN).is_file()]
    return sorted(found, key=lambda p: int(p.name.partition("-")[0]))


def _next_number(root: Path) -> int:
    taken = [int(m[1]) for p in root.glob("*-*") if (m := re.match(r"(\d{4,})-", p.name))] if root.is_dir() else []
    return max(taken, default=0) + 1


def describe(run: Path) -> dict[str, Any]:
    """What run.toml says, with what an older artgen did not write as it is by default.

    Raises UsageError when it is missing, damaged or of another version.
    """
    path = run / RUN
    try:
        what = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{run} is no run folder: it has no {RUN}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); choose another --out") from error
    if what.get("format") != checkpoint.FORMAT:
        raise UsageError(
            f"{run} was made by artgen {what.get('version', '?')} in format {what.get('format')}; "
            f"this artgen reads {checkpoint.FORMAT}; choose another --out"
        )
    del what["format"]
    what = renamed.config(what)
    try:
        return _over(_plain(RunSpec.from_dict(what).as_dict()), what)
    except UsageError as error:
        raise UsageError(f"{path} cannot be read ({error}); choose another --out") from error


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, tables in tables; where both say something the second counts."""
    inner = {key: _over(below[key], value) for key, value in above.items() if isinstance(below.get(key), dict)}
    return below | above | inner


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """`config.lr 0.001 -> 0.002` for every setting that is not the same, but for those that may change."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if f"{prefix}{key}" in MAY_CHANGE:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old} -> {new}")
    return found


def remember(run: Path, spec: RunSpec) -> None:
    """Make the folder and write down what the run is and where it runs."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        with files.atomic(run / RUN) as temporary:
            temporary.write_text(
                tomli_w.dumps(_plain(spec.as_dict() | {"format": checkpoint.FORMAT})), encoding="utf-8"
            )
        with files.atomic(run / "environment.json") as temporary:
            temporary.write_text(json.dumps(environment(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the run folder {run}: {files.reason(error)}") from error


def _plain(value: Any) -> Any:
    """As TOML gives it back: it has no null, so that what is None is left out, and no tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def environment() -> dict[str, Any]:
    """What the figures of a run depend on besides its settings."""
    import torchvision

    return {
        "artgen": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "platform": platform.platform(),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


# --- metrics --------------------------------------------------------------------------------------------------------


def cut_metrics(run: Path, step: int) -> None:
    """Forget the lines after the step that the run goes on from, and a half-written last one."""
    path = run / METRICS
    if not path.is_file():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
    with files.atomic(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def log(run: Path, row: dict[str, Any]) -> None:
    with (run / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


# --- the finished model ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loaded:
    """A trained model, ready to sample.

    spec: the run that it is of.  step: that it was saved at, None where its file does not say.  fingerprint: first 16
    hex digits of the SHA-256 of its file.
    """

    model: nn.Module
    config: Any
    spec: RunSpec
    step: int | None
    fingerprint: str
    run: Path

    @property
    def name(self) -> str:
        return self.spec.model

    @property
    def classes(self) -> list[str]:
        return self.spec.data.classes


def load_generator(run: Path, device: torch.device, *, checkpoint_name: str | None = None) -> Loaded:
    """The model of a run folder or of a weights file, in evaluation mode.

    checkpoint_name: "best" for the best validation loss, None for the newest.  Raises UsageError for folders and
    files that are none of ours, WeightsError for damaged ones.
    """
    path = _weights_file(run, checkpoint_name)
    tensors, description = checkpoint.read(path)
    try:
        spec = RunSpec.from_dict(description)
    except UsageError as error:
        raise UsageError(f"{path} does not say what it is: {error}") from error
    if spec.model not in MODELS:
        raise UsageError(f"{path} is a model of the kind '{spec.model}'; this artgen knows: {', '.join(MODELS)}")
    backend = importlib.import_module(MODELS[spec.model])
    config = make_config(backend.Config, spec.config)
    model = build(backend, config, spec)
    try:
        finished.load(model, renamed.keys(spec.model, tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{path} does not fit its own description ({reason})") from error
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    model = model.eval().requires_grad_(False).to(device)
    return Loaded(model, config, spec, description.get("step"), fingerprint, path.parent)


def build(backend: Any, config: Any, spec: RunSpec) -> Any:
    """An untrained model, for what the data of the run say of pictures."""
    facts = columns.width(spec.data.columns)
    return backend.Model(config, len(spec.data.classes), **({"facts": facts} if facts else {}))


def _weights_file(run: Path, checkpoint_name: str | None) -> Path:
    if run.is_file():
        return run
    if not run.is_dir():
        raise UsageError(f"there is no run {run}{_known_runs(run.parent)}")
    names = {None: WEIGHTS, "best": BEST}
    if checkpoint_name not in names:
        raise UsageError(f"--checkpoint '{checkpoint_name}' is not known; there is: best")
    path = run / names[checkpoint_name]
    if not path.is_file():
        describe(run)
        raise UsageError(f"{run} has no {path.name} yet; train it further")
    return path


def _known_runs(root: Path) -> str:
    known = [p.name for p in numbered(root)]
    return f"; there are: {', '.join(known[-8:])}" if known else ""


def make_config(kind: type, values: dict[str, Any]) -> Any:
    """A frozen dataclass from a plain dictionary (lists become tuples, unknown names are errors)."""
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise UsageError(f"settings of another version of this model: {', '.join(unknown)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def dataset_of(loaded: Loaded) -> Any:
    """The pictures that a model was trained on.  Raises UsageError when they are gone."""
    from artcli.training import source

    if not loaded.spec.data.path:
        raise UsageError(f"{loaded.run} does not say which pictures it was trained on, as the folder of a run does.")
    backend = importlib.import_module(MODELS[loaded.spec.model])
    return source.reopen(backend, loaded.config, loaded.spec)
