"""`--init-from`: a run that begins with the layers of another one, of the same size or half of it."""

from pathlib import Path
from typing import Any

import torch

from artcli.errors import UsageError
from artcli.training import checkpoint, renamed, runs
from artcli.training.registry import MODELS
from artcli.training.spec import RunSpec

_OF_THE_DATA = ("facts.",)  # tensors that say what these data are like


def check(backend: Any, config: Any, spec: RunSpec) -> None:
    """Raises UsageError: the model cannot begin so, or the run is of another model or another size."""
    if spec.init_from is None:
        return
    if not hasattr(backend.Model, "grown"):
        raise UsageError(f"{spec.model} cannot begin with layers of another run: leave --init-from out")
    known = runs.describe(Path(spec.init_from))
    if known["model"] != spec.model:
        raise UsageError(f"--init-from {spec.init_from} is a run of {known['model']}: it has to be one of {spec.model}")
    _doubled(spec, _size(spec, known), config.size)


def _size(spec: RunSpec, known: dict[str, Any]) -> int:
    if known["model"] not in MODELS or "size" not in known["config"]:
        raise UsageError(f"--init-from {spec.init_from} does not say of what size its pictures are")
    return int(known["config"]["size"])


def _doubled(spec: RunSpec, before: int, size: int) -> bool:
    if size not in (before, 2 * before):
        raise UsageError(
            f"--init-from {spec.init_from} has pictures of {before} pixels: size has to be {before} or {2 * before}, "
            f"not {size}"
        )
    return size != before


@torch.no_grad()
def take_over(model: Any, spec: RunSpec) -> str:
    """Give the model all tensors of the run that fit; the others stay as they began.  Says how many, in a line.

    Raises UsageError: none fits.  WeightsError: the run's files are damaged.
    """
    assert spec.init_from is not None
    run = Path(spec.init_from)
    doubled = _doubled(spec, _size(spec, runs.describe(run)), model.config.size)
    given = _tensors(run, spec.model)
    named = {model.grown(name): tensor for name, tensor in given.items()} if doubled else given
    own = {name: t for name, t in model.state_dict().items() if not name.startswith(_OF_THE_DATA)}
    fitting = {name for name, tensor in own.items() if name in named and named[name].shape == tensor.shape}
    learned = {name for name, _ in model.named_parameters()}
    if not any(own[name].dim() > 1 for name in fitting & learned):  # a bias alone fits many layers
        raise UsageError(f"no layer of --init-from {run} fits these settings; its own are in {run / runs.RUN}")
    for name in fitting:
        own[name].copy_(named[name])
    return f"{len(fitting & learned)} of {len(learned)} tensors begin as those of {run}, the others anew"


def _tensors(run: Path, model: str) -> dict[str, torch.Tensor]:
    """Of the newest checkpoint; of the exported weights, which have no discriminator, where there is none."""
    found = checkpoint.load(run)
    if found is not None:
        return renamed.state(model, found["trainer"])["model"]
    return renamed.keys(model, checkpoint.read(run / runs.WEIGHTS)[0])
