"""What every model of the registry has to do: train, go on after a stop, leave what others read.

How all of them sample is in test_sample_models.py, how they are exported to ONNX in test_to_onnx.py.
"""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.training import checkpoint
from artcli.training.registry import MODELS
from tests import tiny
from tests.tiny import TINY


@pytest.fixture(autouse=True)
def furnished(folder):
    tiny.furnish(folder)
    return folder


def test_every_model_has_tiny_settings():
    assert TINY.keys() == MODELS.keys(), "add the tiny settings of a new model to tests/tiny.py"


@pytest.mark.parametrize("name", TINY)
def test_it_trains_and_goes_on_after_every_step(invoke, name):
    trains_and_goes_on(invoke, name)


def trains_and_goes_on(invoke, name):
    """A few steps at once or one at a time: the same bytes, and everything that a run has to leave."""
    steps = tiny.length(name)
    told = invoke(*tiny.line(name, "--dry-run", "--json", out="whole"))
    assert told.exit_code == 0 and not Path("whole").exists(), told.stderr
    foreseen = json.loads(told.stdout)
    assert foreseen["steps"] == steps and foreseen["seconds"] >= 0 and "step" in told.stderr.splitlines()[-1]
    whole = invoke(*tiny.line(name, out="whole"))
    assert whole.exit_code == 0, whole.stderr
    kind = tiny.backend(name).Model
    outputs = ["whole/weights.safetensors", *(["whole/model"] if hasattr(kind, "export") else [])]
    assert whole.stdout.splitlines() == outputs and "first step after" in whole.stderr
    check_run(Path("whole"), name, kind, steps)
    for step in range(1, steps):
        stopped = invoke(*tiny.line(name, "--time-limit", "0.0001"))
        assert stopped.exit_code == 0 and f"stopped at step {step} of {steps}" in stopped.stderr, stopped.stderr
        assert stopped.stdout == "" and not Path("run/model").exists()
    assert invoke(*tiny.line(name, "-q")).exit_code == 0
    check_run(Path("run"), name, kind, steps)
    assert Path("run/weights.safetensors").read_bytes() == Path("whole/weights.safetensors").read_bytes()


def check_run(run, name, kind, steps):
    made = {path.name for path in run.iterdir()}
    assert made >= {"run.toml", "environment.json", "metrics.jsonl", "checkpoints", "report.html", "best.safetensors"}
    for place, methods in {"samples": ("generate",), "reconstructions": ("reconstruct", "show")}.items():
        assert (place in made) == any(hasattr(kind, method) for method in methods)
        if place in made:
            assert {path.name for path in (run / place).iterdir()} >= {f"step-{steps:06d}.png"}
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    assert all(row["images_per_second"] > 0 and row["train"] for row in rows) and np.isfinite(rows[-1]["val"]["loss"])
    description = checkpoint.read(run / "weights.safetensors")[1]
    assert (description["model"], description["step"]) == (name, steps)


# --- a new model ------------------------------------------------------------------------------------------------------

TOY = '''
    """One colour for all pictures."""

    from dataclasses import dataclass

    import torch
    from torch import nn


    @dataclass(frozen=True)
    class Config:
        size: int = 64
        channels: int = 3
        batch: int = 16
        epochs: int = 1
        lr: float = 0.1


    PRESETS = {"default": Config()}


    class Model(nn.Module):
        def __init__(self, config, classes=0):
            super().__init__()
            self.config = config
            self.colour = nn.Parameter(torch.zeros(config.channels, 1, 1))

        def optimizers(self):
            return {"toy": torch.optim.SGD(self.parameters(), self.config.lr)}

        def train_step(self, batch):
            noise = 0.01 * batch.normal(self.config.channels, 1, 1)
            yield "toy", (self.colour + noise - batch.images).square().mean()

        def validate(self, batch):
            return {"loss": (self.colour - batch.images).square().mean()}

        def generate(self, seeds, labels=None, truncation=1.0):
            size = self.config.size
            return self.colour.clamp(0, 1).expand(len(seeds), -1, size, size)
'''


def test_a_new_model_is_one_file_one_line_and_tiny_settings(invoke, folder, monkeypatch):
    package = folder / "lib" / "new_models"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "toy.py").write_text(textwrap.dedent(TOY))
    monkeypatch.syspath_prepend(folder / "lib")
    monkeypatch.setitem(MODELS, "toy", "new_models.toy")
    monkeypatch.setitem(TINY, "toy", {"size": 8, "batch": 4})
    try:
        trains_and_goes_on(invoke, "toy")
        result = invoke("sample", "run", "--count", 4, "-o", "a.png")
    finally:
        for module in ("new_models.toy", "new_models"):
            sys.modules.pop(module, None)
    assert result.exit_code == 0, result.stderr
    assert np.asarray(Image.open("a.png")).any(), "it has learned that pictures are not black"
