"""--offline: nothing in this process asks the network, neither artgen nor a library that it calls."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_QUIETING = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "WANDB_MODE": "offline"}  # what libraries look at
_forbidden = 0  # how many blocks want it so


@contextmanager
def forbidden(wanted: bool = True) -> Iterator[None]:
    """Within the block the network is not asked: what is not on this machine is missing, at once.

    wanted: False changes nothing.
    """
    global _forbidden
    if not wanted:
        yield
        return
    before = {name: os.environ.get(name) for name in _QUIETING}
    os.environ.update(_QUIETING)
    hub = sys.modules.get("huggingface_hub.constants")  # which looked at them when it was imported
    asked = getattr(hub, "HF_HUB_OFFLINE", False)
    if hub is not None:
        setattr(hub, "HF_HUB_OFFLINE", True)  # noqa: B010  (a module, whose names mypy knows)
    _forbidden += 1
    try:
        yield
    finally:
        _forbidden -= 1
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        hub = sys.modules.get("huggingface_hub.constants")
        if hub is not None:
            setattr(hub, "HF_HUB_OFFLINE", asked)  # noqa: B010


def is_forbidden() -> bool:
    return _forbidden > 0
