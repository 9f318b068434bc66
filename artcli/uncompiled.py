"""Imports without torch's compiler: it takes a second and a half to import, and what artgen runs is not compiled.

Torchvision and timm ask for it when they are imported.  So do the first of torch's optimizers in a process, and random
numbers that are drawn for nets without any: see artcli/nn/adam.py and artcli/nn/unfilled.py.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

_UTILITIES = "torch._dynamo.utils"


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """What is imported inside leaves the compiler alone; what really uses it gets it."""
    if _UTILITIES in sys.modules:
        yield
        return
    stand_in, disable = _StandIn(_UTILITIES), torch.compiler.disable
    sys.modules[_UTILITIES] = stand_in
    torch.compiler.disable = _as_it_is  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_UTILITIES) is stand_in:
            del sys.modules[_UTILITIES]


class _StandIn(types.ModuleType):
    """Of a part of the compiler, until it is asked for more than the one function that torchvision imports."""

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        found: bool = importlib.import_module(_UTILITIES).is_compile_supported(device)
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_UTILITIES) is self:
            del sys.modules[_UTILITIES]
        return getattr(importlib.import_module(_UTILITIES), name)


def _as_it_is(function: Callable | None = None, *_: Any, **__: Any) -> Callable:
    """Instead of `torch.compiler.disable`, also as a decorator with arguments."""
    return function if function is not None else _as_it_is
