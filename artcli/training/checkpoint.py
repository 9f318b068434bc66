"""The state of a training run in one file, written so that a killed run always finds a whole one."""

from pathlib import Path

import torch
from torch import nn

from artcli import state
from artcli.errors import WeightsError


def save(run: Path, step: int, modules: nn.ModuleDict, optimizers: dict[str, torch.optim.Optimizer]) -> None:
    content = {
        "step": step,
        "modules": modules.state_dict(),
        "optimizers": {name: o.state_dict() for name, o in optimizers.items()},
    }
    state.save(run / state.NAME, content)


def load(run: Path, modules: nn.ModuleDict, optimizers: dict[str, torch.optim.Optimizer]) -> int:
    """Restore the run's state; the step to go on from, 0 for a new run.  Raises WeightsError for an unreadable file."""
    path = run / state.NAME
    if not path.is_file():
        return 0
    content = state.load(path)
    try:
        modules.load_state_dict(content["modules"])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
    except (KeyError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise WeightsError(f"{path} belongs to another model ({reason}); choose another --out") from error
    return int(content["step"])
