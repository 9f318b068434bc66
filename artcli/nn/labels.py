"""Class labels as the input of a net, where the class may also be unknown: label `classes` stands for that; and
numbers that say more."""

import torch
import torch.nn.functional as F

from artcli.errors import UsageError

FORGOTTEN = 0.1  # part of the training labels that is hidden, so that the net can do without ("Classifier-Free
# Diffusion Guidance", Ho and Salimans, 2021, section 3.2)


def learned(conditional: bool, classes: int) -> int:
    """How many of the data's classes a model learns, 0 where it is not conditional.  Raises UsageError: it is, and
    there are none."""
    if conditional and classes == 0:
        raise UsageError("conditional needs pictures in class folders; these have no classes")
    return classes if conditional else 0


def forget(labels: torch.Tensor, uniform: torch.Tensor, classes: int) -> torch.Tensor:
    """Labels (B,) of which a tenth is unknown, by numbers in 0..1 (B,)."""
    return torch.where(uniform < FORGOTTEN, classes, labels)


def unknown(count: int, classes: int, device: torch.device) -> torch.Tensor:
    """(count,) labels of no class."""
    return torch.full((count,), classes, device=device)


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Labels (B,) to (B, classes); a row of zeros where the class is unknown."""
    return F.one_hot(labels, classes + 1)[:, :classes].float()


def together(labels: torch.Tensor | None, classes: int, facts: torch.Tensor | None) -> torch.Tensor:
    """Labels (B,), where there are classes, and facts (B, F), where there are such, to (B, classes + F)."""
    parts = [one_hot(labels, classes)] if classes and labels is not None else []
    return torch.cat([*parts, *([] if facts is None else [facts])], 1)
