"""Models that this process has loaded: calls from Python, one after another, load each of them once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from artcli import weights
from artcli.errors import ArtgenError

Model = TypeVar("Model")

MOST = 8
_models: dict[Any, Any] = {}


def once(
    load: Callable[..., Model], spec: str, device: Any, *, weights_dirs: Sequence[Path] = (), offline: bool = False,
    **how: Any,
) -> Model:  # fmt: skip
    """What `load` makes of these arguments, from memory where its files are as they were.  Nobody may change it.

    Raises as `load` does.
    """
    where: dict[str, Any] = {"weights_dirs": weights_dirs, "offline": offline}
    files = _files(spec, weights_dirs)
    key = (load, spec, str(device), files, *sorted(how.items()))
    model = _models.pop(key) if key in _models else load(spec, device, **where, **how)
    if files:
        _models[key] = model  # behind those that were used longer ago
        for oldest in list(_models)[:-MOST]:
            del _models[oldest]
    return model


def _files(spec: str, weights_dirs: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Path, time and size of the files behind a name; none where only the loader can find them."""
    try:
        found = weights.find(spec, weights_dirs=weights_dirs, offline=True).resolve()
        inside = sorted(path for depth in ("*", "*/*") for path in found.glob(depth) if path.is_file())
        paths = [found] if found.is_file() else inside
        return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    except (ArtgenError, OSError):
        return ()
