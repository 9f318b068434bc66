"""Pictures for training: any folder or well-known file format to a cached, split, shuffled and augmented dataset.

The names below are loaded when they are asked for: `check` and `prepare` need no torch, and do not wait for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artcli.training.data.augment import Augmentation
    from artcli.training.data.dataset import Dataset, open_dataset
    from artcli.training.data.prepare import Preparation

__all__ = ["Augmentation", "Dataset", "Preparation", "open_dataset"]

_HOMES = {"Augmentation": "augment", "Dataset": "dataset", "Preparation": "prepare", "open_dataset": "dataset"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
