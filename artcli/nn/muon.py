"""Muon ("Muon: An optimizer for hidden layers in neural networks", Jordan et al., 2024), with Adam for the rest.

The momentum of a matrix is made nearly orthogonal before it steps: all its directions move by about the same amount,
not mainly the few that dominate the gradient.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist

_ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the quintic that pushes singular values into 0.7..1.2
_LIKE_ADAM = 0.2  # root mean square of Adam's steps ("Muon is Scalable for LLM Training", Liu et al., 2025)


class Muon(torch.optim.Optimizer):
    """matrices: parameters of two dimensions or more; all but the first are taken together, as in a convolution.

    adam: the optimizer of all other parameters, which steps with this one.  lr: fits as Adam's does.
    """

    def __init__(
        self, matrices: Iterable[torch.Tensor], adam: torch.optim.Optimizer, lr: float, momentum: float = 0.95
    ):
        super().__init__(matrices, {"lr": lr, "momentum": momentum})
        self.adam = adam
        self.own = len(self.param_groups)
        self.param_groups += adam.param_groups  # rates, clipping and zeroing reach them through this list

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups[: self.own]:
            moved = [matrix for matrix in group["params"] if matrix.grad is not None]
            directions = _orthogonal([self._ahead(matrix, group["momentum"]) for matrix in moved])
            for matrix, direction in zip(moved, directions, strict=True):
                size = _LIKE_ADAM * max(direction.shape) ** 0.5
                matrix.add_(direction.view(matrix.shape), alpha=-group["lr"] * size)
        self.adam.step()

    def _ahead(self, matrix: torch.Tensor, momentum: float) -> torch.Tensor:
        """The gradient, (M, N), as Nesterov's momentum sees it."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        mean = state["momentum"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(mean, momentum).flatten(1)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        own = {"momentum": [self.state[p]["momentum"] for p in self._matrices() if p in self.state]}
        return {"muon": own, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])
        self.param_groups[self.own :] = self.adam.param_groups  # loading made new ones
        for matrix, momentum in zip(self._matrices(), state["muon"]["momentum"], strict=False):
            self.state[matrix]["momentum"] = momentum.to(matrix.device, copy=True)

    def _matrices(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups[: self.own] for p in group["params"]]


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """(..., M, N) with singular values near 1 and its singular vectors kept, by Newton-Schulz iterations in bf16."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    wide = matrix.bfloat16().mT if tall else matrix.bfloat16()
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = wide @ wide.mT
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return (wide.mT if tall else wide).to(matrix.dtype)


def _orthogonal(matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """`orthogonal` of each; several processes, which all have the same, share the work."""
    if not (dist.is_available() and dist.is_initialized()):
        return _by_shape(matrices)
    turn, count = dist.get_rank(), dist.get_world_size()
    mine = [torch.zeros_like(matrix) for matrix in matrices]
    mine[turn::count] = _by_shape(matrices[turn::count])
    flat = torch.cat([matrix.reshape(-1) for matrix in mine])
    dist.all_reduce(flat)
    return [part.view(m.shape) for part, m in zip(flat.split([m.numel() for m in mine]), mine, strict=True)]


def _by_shape(matrices: list[torch.Tensor]) -> list[torch.Tensor]:
    """On an accelerator, matrices of one shape in one batch: single ones are too small to keep it busy."""
    if not matrices or matrices[0].device.type == "cpu":
        return [orthogonal(matrix) for matrix in matrices]
    found = dict[int, torch.Tensor]()
    for shape in {matrix.shape for matrix in matrices}:
        places = [n for n, matrix in enumerate(matrices) if matrix.shape == shape]
        found |= dict(zip(places, orthogonal(torch.stack([matrices[n] for n in places])), strict=True))
    return [found[n] for n in range(len(matrices))]
