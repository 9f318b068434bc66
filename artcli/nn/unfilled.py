"""Nets without numbers, for a file to fill."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# What torch computes in Python for tensors without numbers, which leave their shape as it is.
_IN_PLACE = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.triu_, torch.Tensor.tril_)


class _NoDraws(TorchFunctionMode):
    """Leaves out what a net is initialised with: nothing of it stays, buffers that no file has included."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if function in _IN_PLACE or getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return function(*args, **given)


@contextmanager
def unfilled() -> Iterator[None]:
    """Nets that are made within the block only have shapes, until `load_state_dict(..., assign=True)` fills them.

    torch would draw random numbers of such tensors in Python, for which it imports its compiler: two seconds.
    """
    with torch.device("meta"), _NoDraws():
        yield
