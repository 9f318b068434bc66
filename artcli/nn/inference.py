"""Using a model that may be in training."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import nn

P = ParamSpec("P")
M = TypeVar("M", bound=nn.Module)
R = TypeVar("R")


def inference(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """A method that runs without gradients and in evaluation mode, and leaves the mode as it found it.

    In training mode BatchNorm would make a picture depend on the others of its batch, and learn from them.
    """

    @functools.wraps(method)
    def run(self: M, *args: P.args, **kwargs: P.kwargs) -> R:
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                return method(self, *args, **kwargs)
        finally:
            self.train(training)

    return run
