"""Several processes that train as one, on torch.distributed; `torchrun` or `accelerate launch` starts them.

Every process holds the whole model and computes its rows of every batch; gradients are summed.  Only BatchNorm sees
less: its statistics are those of one process's rows.
"""

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn


def start(device: torch.device) -> None:
    """Join the other processes, if this one was started among several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share(whole: int) -> tuple[int, int]:
    """(first row, number of rows) of this process's part of a batch; parts differ by one row at most."""
    first, end = (whole * part // world() for part in (rank(), rank() + 1))
    return first, end - first


def all_sum(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of the processes' tensors; the tensor itself where there is one process."""
    if dist.is_initialized():
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process: they have to stop together."""
    return flag if not dist.is_initialized() else bool(all_sum(torch.tensor(int(flag), device=device)))


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients, in one exchange per dtype."""
    if not dist.is_initialized():
        return
    gradients = [p.grad if p.grad is not None else _zero_gradient(p) for p in parameters if p.requires_grad]
    for dtype in sorted({g.dtype for g in gradients}, key=str):
        alike = [g for g in gradients if g.dtype == dtype]
        flat = torch.cat([g.reshape(-1) for g in alike])
        dist.all_reduce(flat)
        for gradient, part in zip(alike, flat.split([g.numel() for g in alike]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _zero_gradient(parameter: nn.Parameter) -> torch.Tensor:
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def same_everywhere(model: nn.Module) -> None:
    """Give every process the first one's weights and buffers."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
