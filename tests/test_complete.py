"""What the Tab key offers."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artcli.commands.shared import complete
from artcli.training.registry import MODELS


@pytest.mark.parametrize("model", MODELS)
def test_presets_are_those_that_the_model_has(model):
    assert complete.presets(model, "") == list(getattr(importlib.import_module(MODELS[model]), "PRESETS", {}))


def test_runs_of_the_usual_folder_and_of_one_that_is_typed(folder):
    for run in ("runs/0001-vae-a", "runs/0002-clip-b", "other/0001-vae-c"):
        Path(run).mkdir(parents=True)
        Path(run, "run.toml").touch()
    Path("runs/none").mkdir()
    assert complete.runs("") == complete.runs("ru") == ["runs/0001-vae-a", "runs/0002-clip-b"]
    assert complete.runs("runs/0002") == ["runs/0002-clip-b"]
    assert complete.runs("other/") == ["other/0001-vae-c"]
    assert complete.runs("nothing/") == []


def test_weights_by_kind():
    assert "clip-mini" in complete.weights("clip") and "clip-mini" not in complete.weights("", "vqgan")


def offered(folder, line):
    """What a shell gets for the last word of a line, and which modules it took."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_ARTGEN_COMPLETE": "complete_bash"}
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    code += "; from artcli.cli import app; app(prog_name='artgen')"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True)
    return done.stdout.split(), set(done.stderr.split())


def test_a_shell_is_offered_names_without_torch(folder):
    Path("runs/0001-vae-a").mkdir(parents=True)
    Path("runs/0001-vae-a/run.toml").touch()
    for line, names in (
        ("artgen train vq", ["vqgan", "vqvae", "vqvae2"]),
        ("artgen train vqvae photos --preset ", ["default", "objects"]),
        ("artgen train vae photos --color y", ["ycbcr"]),
        ("artgen sample runs/", ["runs/0001-vae-a"]),
        ("artgen weights get monet", ["monet-mini"]),
    ):
        found, modules = offered(folder, line)
        assert found == names, line
        assert "torch" not in modules
