"""TensorBoard and Weights & Biases, when asked for and installed.

A run never depends on them: everything is in metrics.jsonl, and a tracker that fails is dropped with one warning.
"""

import importlib.util
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from artcli.errors import UsageError, did_you_mean
from artcli.media import files

if TYPE_CHECKING:
    import numpy as np

PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb"}
PROJECT = "artgen"


def available() -> list[str]:
    """The trackers whose packages are installed."""
    return [name for name, package in PACKAGES.items() if not _missing(package)]


def check(names: list[str]) -> None:
    """Raise UsageError, before anything is loaded, for a tracker that is not known or not installed."""
    for name in names:
        if name not in PACKAGES:
            known = ", ".join(PACKAGES)
            raise UsageError(f"no tracker '{name}'; there are: {known}.{did_you_mean(name, list(PACKAGES))}")
        if _missing(PACKAGES[name]):
            raise UsageError(f"{name} is not installed; get it with: pip install {PACKAGES[name]}")


def _missing(package: str) -> bool:
    return importlib.util.find_spec(package) is None


class Tracker(Protocol):
    """One of them, started."""

    def settings(self, values: dict[str, bool | int | float | str]) -> None: ...
    def log(self, numbers: dict[str, float], step: int) -> None: ...
    def image(self, name: str, pixels: "np.ndarray", step: int) -> None:
        """pixels: uint8 (H, W, 3)."""
        ...

    def close(self) -> None: ...


class Trackers:
    """The trackers of one run.

    TensorBoard writes into RUN/tensorboard, Weights & Biases into RUN/wandb; without an account, or with
    WANDB_MODE=offline, it only writes there.  For the first process alone, after its process group is there.
    """

    def __init__(self, names: list[str], run: Path, config: dict[str, Any], *, step: int = 0):
        """Start them.  config: settings, tables in tables.  step: where the run goes on, 0 for a new one.

        Raises UsageError for a tracker that is not known, not installed or cannot start.
        """
        check(names)
        self.running: dict[str, Tracker] = {}
        for name in dict.fromkeys(names):
            try:
                self.running[name] = _STARTERS[name](run, step)
                if step == 0:
                    self.running[name].settings(_plain(flat(config, ".")))
            except Exception as error:  # of many kinds, wandb's own among them
                self.close()
                raise UsageError(f"{name} cannot start ({_line(error)}){_HINTS.get(name, '')}") from error

    def log(self, values: dict[str, Any], step: int) -> list[str]:
        """Record numbers, tables in tables ({"train": {"loss": 1}} is train/loss); what is no number is passed over.

        Returns a line about each tracker that failed; it gets nothing more.
        """
        numbers = {
            name: value
            for name, value in flat(values, "/").items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return self._each(lambda tracker: tracker.log(numbers, step)) if numbers else []

    def image(self, name: str, path: Path, step: int) -> list[str]:
        """Record a picture file.  Returns a line about each tracker that failed, or about a file that is no picture."""
        if not self.running:
            return []
        import numpy as np

        from artcli.media import images

        try:
            pixels = np.rint(images.load(path).rgb * 255).astype(np.uint8)
        except UsageError as error:
            return [str(error)]
        return self._each(lambda tracker: tracker.image(name, pixels, step))

    def close(self) -> list[str]:
        """Finish them all.  Returns a line about each that failed."""
        lines = self._each(lambda tracker: tracker.close())
        self.running = {}
        return lines

    def _each(self, act: Callable[[Tracker], None]) -> list[str]:
        lines = []
        for name, tracker in list(self.running.items()):
            try:
                act(tracker)
            except Exception as error:  # a full disk, a lost network: the training goes on
                del self.running[name]
                lines.append(f"{name} stopped ({_line(error)}); the training goes on without it")
        return lines


# --- the trackers ----------------------------------------------------------------------------------------------------


class _TensorBoard:
    def __init__(self, run: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        # A run that goes on repeats the steps after its checkpoint: what was logged of them is hidden.
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)

    def settings(self, values: dict[str, bool | int | float | str]) -> None:
        from torch.utils.tensorboard.summary import hparams

        for part in hparams(values, {}):  # the writer's own add_hparams would make another run of them
            self.writer.file_writer.add_summary(part)  # type: ignore[attr-defined]

    def log(self, numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def image(self, name: str, pixels: "np.ndarray", step: int) -> None:
        self.writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class _WandB:
    def __init__(self, run: Path, step: int):
        import wandb

        mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_account(wandb) else "offline")
        self.wandb = wandb
        self.run = wandb.init(
            project=PROJECT,
            name=run.resolve().name,
            dir=str(run),
            id=_identity(run),
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(console="off", silent=True),  # standard output belongs to the command
        )

    def settings(self, values: dict[str, bool | int | float | str]) -> None:
        self.run.config.update(values, allow_val_change=True)

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.run.log(numbers, step=step)

    def image(self, name: str, pixels: "np.ndarray", step: int) -> None:
        self.run.log({name: self.wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        self.run.finish()


def _has_account(wandb: Any) -> bool:
    """Whether wandb knows one, without asking for it: a run from cron must not wait for an answer."""
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # older ones take no `prompt`
        return wandb.api.api_key is not None


def _identity(run: Path) -> str:
    """The name that the run keeps when it goes on."""
    path = run / "wandb" / "artgen-id.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = secrets.token_hex(6)
    with files.atomic(path) as temporary:
        temporary.write_text(identity + "\n", encoding="utf-8")
    return identity


_STARTERS: dict[str, Callable[[Path, int], Tracker]] = {"tensorboard": _TensorBoard, "wandb": _WandB}
_HINTS = {"wandb": "; WANDB_MODE=offline keeps everything on this machine"}


def flat(values: dict[str, Any], between: str) -> dict[str, Any]:
    """`{"train": {"loss": 1}}` as `{"train/loss": 1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= {f"{key}{between}{inner}": deep for inner, deep in flat(value, between).items()}
        else:
            found[str(key)] = value
    return found


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """TensorBoard takes numbers and texts as settings, nothing else."""
    return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in values.items() if v is not None}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
