"""What programs save around a model's tensors, taken off: one rule for every file of weights that artgen reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_AROUND = ("state_dict", "model_state_dict", "model", "module")  # beside epochs, optimizers and the like
_DEEPEST = 8  # such layers: a damaged file can hold itself
_PARALLEL = "module."  # before every name, of DataParallel and its kin
_COMPILED = "_orig_mod."  # within names, of torch.compile


def unwrap(saved: Mapping[Any, Any]) -> dict[str, "Tensor"]:
    """The tensors of what was saved, under the names that the model's own code gives them; nothing else of it.

    saved: names and tensors, as they are or in one of `_AROUND`, also nested.  Empty where there are no tensors.
    """
    import torch

    for _ in range(_DEEPEST):
        inner = next((saved[key] for key in _AROUND if isinstance(saved.get(key), Mapping)), None)
        if inner is None:
            break
        saved = inner
    tensors = {str(name).replace(_COMPILED, ""): t for name, t in saved.items() if isinstance(t, torch.Tensor)}
    while tensors and all(name.startswith(_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL): t for name, t in tensors.items()}
    return tensors
