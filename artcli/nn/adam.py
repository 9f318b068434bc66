"""Adam (Kingma and Ba, 2014), AdamW (Loshchilov and Hutter, 2017) and RAdam (Liu et al., 2019) for a picture.

torch computes them; only its classes are left out: the first of these in a process imports torch's compiler, for two
seconds in which nothing is drawn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.radam import radam

_DECAY = {"adam": 0.0, "adamw": 0.01, "radam": 0.0}  # torch's defaults
_MEANS = ("exp_avg", "exp_avg_sq")
_FUSED = ("cpu", "cuda")  # devices


def fused(parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    """torch's Adam, for training, in one pass over the numbers where the device can: a fifth of the time on CPUs."""
    learned = list(parameters)
    return torch.optim.Adam(learned, lr, betas, fused=learned[0].device.type in _FUSED or None)


class Adam:
    """The same numbers as torch.optim.Adam, AdamW or RAdam, and the same `state_dict`, for tensors with one rate.

    state: of each tensor that has made a step, `step`, `exp_avg` and `exp_avg_sq`.
    """

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        kind: str = "adam",
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
        fused: bool | None = None,
    ):
        self.parameters, self.kind, self.betas, self.eps, self.fused = list(parameters), kind, betas, eps, fused
        self.param_groups: list[dict[str, Any]] = [{"lr": lr}]
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = {}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """closure: only taken because L-BFGS needs one."""
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in moved:
            if parameter not in self.state:
                self.state[parameter] = self._fresh(parameter)
        steps, means, squares = ([self.state[p][name] for p in moved] for name in ("step", *_MEANS))
        gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
        how = {
            "lr": self.param_groups[0]["lr"], "beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps,
            "weight_decay": _DECAY[self.kind],
        }  # fmt: skip
        if self.kind == "radam":
            radam(moved, gradients, means, squares, steps, **how)
            return
        work = adamw if self.kind == "adamw" else adam
        work(moved, gradients, means, squares, [], steps, fused=self.fused, amsgrad=False, maximize=False, **how)

    def _fresh(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        step = torch.zeros((), device=parameter.device if self.fused else "cpu")
        return {"step": step, **{name: torch.zeros_like(parameter) for name in _MEANS}}

    def state_dict(self) -> dict[str, Any]:
        known = {n: self.state[p] for n, p in enumerate(self.parameters) if p in self.state}
        groups = [{**group, "params": list(range(len(self.parameters)))} for group in self.param_groups]
        return {"state": known, "param_groups": groups}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Also what the classes of torch have saved."""
        self.param_groups[0]["lr"] = saved["param_groups"][0]["lr"]
        for number, known in saved["state"].items():
            parameter = self.parameters[number]
            self.state[parameter] = {name: known[name].to(parameter, copy=True) for name in _MEANS}
            step = torch.as_tensor(known["step"], dtype=torch.float32)
            self.state[parameter]["step"] = step.to(parameter.device if self.fused else "cpu", copy=True)
