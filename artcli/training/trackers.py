"""TensorBoard and Weights & Biases, when asked for and installed, through accelerate's trackers.

A run never depends on them: everything is in metrics.jsonl, and a tracker that fails is dropped with one warning.
"""

import importlib.util
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artcli.errors import UsageError, did_you_mean
from artcli.media import files

PACKAGES = {"tensorboard": ("accelerate", "tensorboard"), "wandb": ("accelerate", "wandb")}
PROJECT = "artgen"


def available() -> list[str]:
    """The trackers whose packages are installed."""
    return [name for name, packages in PACKAGES.items() if not _missing(packages)]


def check(names: list[str]) -> None:
    """Raise UsageError, before anything is loaded, for a tracker that is not known or not installed."""
    for name in names:
        if name not in PACKAGES:
            known = ", ".join(PACKAGES)
            raise UsageError(f"no tracker '{name}'; there are: {known}.{did_you_mean(name, list(PACKAGES))}")
        if missing := _missing(PACKAGES[name]):
            raise UsageError(f"{name} is not installed; get it with: pip install {' '.join(missing)}")


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]


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
        self.running: dict[str, Any] = {}
        for name in dict.fromkeys(names):
            try:
                tracker = _STARTERS[name](run, step)
                tracker.main_process_only = False  # accelerate would ask for its own idea of the processes
                tracker.start()
                if step == 0:
                    tracker.store_init_configuration(_plain(flat(config, ".")))
            except Exception as error:  # of many kinds, wandb's own among them
                self.close()
                raise UsageError(f"{name} cannot start ({_line(error)}){_HINTS.get(name, '')}") from error
            self.running[name] = tracker

    def log(self, values: dict[str, Any], step: int) -> list[str]:
        """Record numbers, tables in tables ({"train": {"loss": 1}} is train/loss); what is no number is passed over.

        Returns a line about each tracker that failed; it gets nothing more.
        """
        numbers = {
            name: value
            for name, value in flat(values, "/").items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return self._each(lambda tracker: tracker.log(numbers, step=step)) if numbers else []

    def image(self, name: str, path: Path, step: int) -> list[str]:
        """Record a picture file.  Returns a line about each tracker that failed, or about a file that is no picture."""
        if not self.running:
            return []
        import numpy as np

        from artcli.media import images

        try:
            pixels = np.rint(images.load(path).rgb * 255).astype(np.uint8)[None]  # (1, H, W, 3)
        except UsageError as error:
            return [str(error)]
        layout = {"tensorboard": {"dataformats": "NHWC"}}
        return self._each(lambda tracker: tracker.log_images({name: pixels}, step=step, **layout.get(tracker.name, {})))

    def close(self) -> list[str]:
        """Finish them all.  Returns a line about each that failed."""
        lines = self._each(lambda tracker: tracker.finish())
        self.running = {}
        return lines

    def _each(self, act: Callable[[Any], Any]) -> list[str]:
        lines = []
        for name, tracker in list(self.running.items()):
            try:
                act(tracker)
            except Exception as error:  # a full disk, a lost network: the training goes on
                del self.running[name]
                lines.append(f"{name} stopped ({_line(error)}); the training goes on without it")
        return lines


# --- the trackers ----------------------------------------------------------------------------------------------------


def _tensorboard(run: Path, step: int) -> Any:
    from accelerate.tracking import TensorBoardTracker

    _state()
    # A run that goes on repeats the steps after its checkpoint: what was logged of them is hidden.
    return TensorBoardTracker("tensorboard", run, purge_step=step + 1 if step else None)


def _wandb(run: Path, step: int) -> Any:
    import wandb
    from accelerate.tracking import WandBTracker

    _state()
    mode = os.environ.get("WANDB_MODE") or ("online" if _has_account(wandb) else "offline")
    return WandBTracker(
        PROJECT,
        name=run.resolve().name,
        dir=str(run),
        id=_identity(run),
        mode=mode,
        resume="allow" if mode == "online" else None,
        settings=wandb.Settings(console="off", silent=True),  # standard output belongs to the command
    )


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


def _state() -> None:
    """accelerate's trackers log, and its logger refuses to work before this."""
    from accelerate.state import PartialState

    PartialState()


_STARTERS = {"tensorboard": _tensorboard, "wandb": _wandb}
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
