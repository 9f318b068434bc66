"""ONNX files of finished models, written by torch's exporter and checked with onnxruntime against torch.

The model itself names its parts with their inputs and outputs; see `contract.Exported`.
"""

import importlib
import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artcli.errors import ArtgenError, UsageError
from artcli.media import files
from artcli.training import runs
from artcli.training.contract import Axis, Exported, Port
from artcli.training.registry import MODELS

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-3  # how far onnxruntime may be from torch
_SWAPPED = 0.01  # share of the integers that may differ: choices between two codes at nearly the same distance
_RECORD = "artgen"  # in the file's metadata, as in safetensors


def check(name: str) -> None:
    """Raise UsageError, before anything is trained, where the model has no parts to export or a package is missing."""
    if not _can(name):
        known = ", ".join(other for other in MODELS if _can(other))
        raise UsageError(f"{name} cannot be exported to ONNX: it is not one pass forward; these can: {known}")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(
            f'--export onnx needs {", ".join(missing)}, not installed here; get it with: pip install "artgen[onnx]"'
        )


def _can(name: str) -> bool:
    return hasattr(importlib.import_module(MODELS[name]).Model, "exports")


def export(run: Path) -> Iterator[tuple[Path, float]]:
    """Write RUN/model/PART.onnx for every part of the run's newest weights; yield each path and its `_apart`.

    Raises ArtgenError where a file cannot be written, or does not do what torch does; then it is not kept.
    """
    loaded = runs.load_generator(run, torch.device("cpu"))
    spec = loaded.spec
    about: dict[str, Any] = {"model": spec.model, "preset": spec.preset, "version": spec.version, "step": loaded.step}
    about |= {"config": spec.config, "classes": loaded.classes, "weights": loaded.fingerprint}
    for name, part in loaded.model.exports().items():  # type: ignore[operator]
        path = run / "model" / f"{name}.onnx"
        yield path, _write(path, part, about | {"part": name})


def _write(path: Path, part: Exported, about: dict[str, Any]) -> float:
    with files.atomic(path) as temporary:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # an export of older weights must not survive a failure
        try:
            temporary.write_bytes(_onnx(part, about))
            apart = max(_apart(temporary, part, turn) for turn in (0, 1))
        except OSError:
            raise
        except Exception as error:  # of many kinds, of packages that are no part of artgen
            raise _failed(path, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
        if not apart <= TOLERANCE:
            raise _failed(path, f"onnxruntime is {apart:.2g} from torch, more than {TOLERANCE:g}")
    return apart


def _failed(path: Path, why: str) -> ArtgenError:
    weights = path.parent.parent / runs.WEIGHTS
    return ArtgenError(f"could not export {path.name} ({why}); it is not kept, the trained weights are: {weights}")


# --- torch to ONNX ---------------------------------------------------------------------------------------------------


class _Net(nn.Module):
    """A part as a module that holds only the weights it needs."""

    def __init__(self, part: Exported):
        super().__init__()
        self.function, self.parts = part.function, nn.ModuleList(part.modules)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def _onnx(part: Exported, about: dict[str, Any]) -> bytes:
    """The file's bytes, with a record that says what the model is and what goes in and out."""
    lengths = {axis: max(axis.usual, 2 * axis.step) for axis in _axes(part)}  # 1 would be taken for a constant
    with _silence(), torch.no_grad():
        program = torch.onnx.export(
            _Net(part).eval(),
            _inputs(part, lengths),
            dynamic_shapes=(_dynamic(part),),
            input_names=[port.name for port in part.inputs],
            output_names=[port.name for port in part.outputs],
            dynamo=True,
        )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:  # where in which file of whose machine each came from
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value, port in zip([*proto.graph.input, *proto.graph.output], [*part.inputs, *part.outputs], strict=True):
        for found, length in zip(value.type.tensor_type.shape.dim, port.shape, strict=True):
            if not isinstance(length, int):
                found.dim_param = length.name if isinstance(length, Axis) else length
    about |= {"inputs": [_describe(port) for port in part.inputs], "outputs": [_describe(p) for p in part.outputs]}
    proto.metadata_props.add(key=_RECORD, value=json.dumps(about, sort_keys=True))
    return proto.SerializeToString()


def _axes(part: Exported) -> list[Axis]:
    """Those of any length, each once."""
    return list(dict.fromkeys(axis for port in part.inputs for axis in port.shape if isinstance(axis, Axis)))


def _dynamic(part: Exported) -> tuple[dict[int, Any], ...]:
    """For each input which of its axes are of any length; where lengths are multiples, a multiple of any length."""
    any_length: dict[Axis, Any] = {}
    for axis in _axes(part):
        dim = torch.export.Dim(f"{axis.name}_{axis.step}", min=-(-axis.least // axis.step))
        any_length[axis] = dim if axis.step == 1 else axis.step * dim
    return tuple(
        {place: any_length[axis] for place, axis in enumerate(port.shape) if isinstance(axis, Axis)}
        for port in part.inputs
    )


def _describe(port: Port) -> dict[str, Any]:
    """range: None on a side without bound, which JSON has no number for."""
    shape = [length.name if isinstance(length, Axis) else length for length in port.shape]
    bounds = [bound if math.isfinite(bound) else None for bound in (port.low, port.high)]
    steps = {axis.name: [axis.least, axis.step] for axis in port.shape if isinstance(axis, Axis)}
    kind = "int64" if port.whole else "float32"
    return {"name": port.name, "shape": shape, "least_and_step": steps, "type": kind, "range": bounds}


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter prints, logs and warns about its own progress."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- the check -------------------------------------------------------------------------------------------------------


def _apart(path: Path, part: Exported, turn: int) -> float:
    """The largest difference between what onnxruntime and torch make of the same random numbers.

    As a part of the largest number where that is above 1; infinite where it is no number,
    or where too many whole numbers differ.
    turn: 0 or 1; axes of any length have their usual length in one and another in the other, by turns.
    """
    lengths = {axis: _lengths(axis)[(place + turn) % 2] for place, axis in enumerate(_axes(part))}
    inputs = _inputs(part, lengths)
    with torch.no_grad():
        wanted = part.function(*inputs)
    found = _run(path, [port.name for port in part.inputs], inputs)
    outputs = wanted if isinstance(wanted, tuple) else (wanted,)
    return max(_difference(torch.from_numpy(one), other) for one, other in zip(found, outputs, strict=True))


def _lengths(axis: Axis) -> tuple[int, int]:
    """The usual length, and about half of it; or one step more where that is too short."""
    half = max(axis.least, -(-axis.usual // (2 * axis.step)) * axis.step)
    return axis.usual, half if half < axis.usual else axis.usual + axis.step


def _inputs(part: Exported, lengths: dict[Axis, int]) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    return tuple(_random(port, lengths, rng) for port in part.inputs)


def _random(port: Port, lengths: dict[Axis, int], rng: torch.Generator) -> torch.Tensor:
    """Numbers in the range of the input; standard normal ones where it has none."""
    shape = [lengths[length] if isinstance(length, Axis) else int(length) for length in port.shape]
    if port.whole:
        return torch.randint(int(port.low), int(port.high) + 1, shape, generator=rng)
    if math.isinf(port.low):
        return torch.randn(shape, generator=rng)
    return port.low + (port.high - port.low) * torch.rand(shape, generator=rng)


def _run(path: Path, names: list[str], inputs: tuple[torch.Tensor, ...]) -> list[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what matters is raised
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})


def _difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    if found.shape != wanted.shape:
        raise ValueError(f"shape {tuple(found.shape)} instead of {tuple(wanted.shape)}")
    if not wanted.is_floating_point():
        return 0.0 if (found != wanted).float().mean() <= _SWAPPED else math.inf
    apart = float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1))
    return apart if math.isfinite(apart) else math.inf
