"""Nets without numbers, for a file to fill."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_)


class _NoDraws(TorchFunctionMode):
    """Leaves out what a net is initialised with: nothing of it stays."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if function in _DRAWS or getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return function(*args, **given)


@contextmanager
def unfilled(device: str = "meta") -> Iterator[None]:
    """Nets that are made within the block only have shapes, until `load_state_dict(..., assign=True)` fills them.

    Where there are no numbers, torch draws and computes in Python, for which it imports its compiler: two seconds.
    So draws are left out, and a net that computes while it is made has to be made on the `cpu`: memory that nothing is
    written to costs nothing.
    """
    with torch.device(device), _NoDraws():
        yield
