"""How a start of `artgen train` begins, in earnest and in a dry run."""

from pathlib import Path
from typing import Any

import torch

from artcli.console import Console
from artcli.training import checkpoint, inherit, runs
from artcli.training.spec import RunSpec
from artcli.training.trainer import Plan, Trainer


def trainer(
    backend: Any, config: Any, spec: RunSpec, pictures: Any, plan: Plan, run: Path, device: torch.device,
    console: Console,
) -> Trainer:  # fmt: skip
    """Of the model as its seed makes it, with the layers of --init-from where the run has no checkpoint yet.

    Raises UsageError: no layer fits.  WeightsError: files that it begins with are missing or damaged.
    """
    torch.manual_seed(plan.seed)
    model = runs.build(backend, config, spec)
    if spec.init_from is not None and not checkpoint.exists(run):
        console.info(f"train: {inherit.take_over(model, spec)}")
    if hasattr(model, "study"):
        model.study(pictures)
    return Trainer(model.to(device), pictures, plan, device)
