"""What the Tab key offers."""

import importlib
import json
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


OFFER = """
import contextlib, io, json, os, sys
from artcli.cli import app
offered = []
for line in json.load(sys.stdin):
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_ARTGEN_COMPLETE": "complete_bash"}
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        app(prog_name="artgen")
    offered.append(out.getvalue().split())
json.dump([offered, "torch" in sys.modules], sys.stdout)
"""
WORDS = {
    "artgen train vq": ["vqgan", "vqvae", "vqvae2"],
    "artgen train vqvae photos --preset ": ["default", "objects"],
    "artgen train vae photos --color y": ["ycbcr"],
    "artgen train vae photos --crop s": ["stretch"],
    "artgen train vae photos --track w": ["wandb"],
    "artgen sample runs/": ["runs/0001-vae-a"],
    "artgen sample run --checkpoint ": ["best"],
    "artgen weights get monet": ["monet-mini"],
    "artgen dream car --device c": ["cuda", "cpu"],
    "artgen dream car --upscale ": ["2", "4"],
    "artgen paint photo.jpg --brush b": ["bristle"],
    "artgen cyclegan photo.jpg --direction B": ["BtoA"],
}


def test_a_shell_is_offered_names_without_torch(folder):
    """What it gets for the last word of each line."""
    Path("runs/0001-vae-a").mkdir(parents=True)
    Path("runs/0001-vae-a/run.toml").touch()
    done = subprocess.run([sys.executable, "-c", OFFER], input=json.dumps([*WORDS]), capture_output=True, text=True)
    offered, torch = json.loads(done.stdout)
    assert dict(zip(WORDS, offered, strict=True)) == WORDS
    assert not torch
