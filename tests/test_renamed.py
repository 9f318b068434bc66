"""Runs, weights and command lines of versions that called discriminators critics."""

import json
from pathlib import Path

import pytest
import torch

from artcli import state
from artcli.training import checkpoint, renamed, report, runs
from tests import tiny

MODELS = ("cyclegan", "pix2pix", "vqgan")


def before(values):
    """The names of before."""
    return {name.replace("discriminator", "critic"): value for name, value in values.items()}


def age(run):
    """Give everything in a run folder the names of before."""
    for file in (run / "run.toml", run / "metrics.jsonl"):
        file.write_text(file.read_text().replace("discriminator", "critic"))
    for file in run.glob(f"checkpoints/*/{state.NAME}"):
        content = state.load(file)
        for part, values in content["trainer"].items():
            if part in ("model", "average", "optimizers") and values is not None:
                content["trainer"][part] = before(values)
        assert any("critic" in name for name in content["trainer"]["model"])
        state.save(file, content)


@pytest.mark.parametrize("name", MODELS)
def test_an_old_run_goes_on_to_the_same_bytes(invoke, folder, name):
    tiny.furnish(folder)
    line = [str(word).replace("discriminator", "critic") for word in tiny.line(name, "-q")]
    assert any("critic" in word for word in line)
    assert invoke(*tiny.line(name, "-q", out="whole")).exit_code == 0
    assert invoke(*line, "--time-limit", "0.0001").exit_code == 0
    age(Path("run"))
    found = invoke(*line)
    assert found.exit_code == 0, found.stderr
    whole, gone_on = (Path(run) / "weights.safetensors" for run in ("whole", "run"))
    assert whole.read_bytes() == gone_on.read_bytes()
    names = [report.folder.read(Path(run)).names("train") for run in ("whole", "run")]
    assert {*names[0]} == {*names[1]} and any("discriminator" in name for name in names[0])


def test_old_weights_load_even_with_their_critic(tmp_path):
    """Which versions before exported too."""
    config = tiny.config("vqgan")
    model = tiny.backend("vqgan").Model(config)
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(config).items()}
    about = {"model": "vqgan", "step": 7, "version": "0", "config": before(settings), "data": {}}
    checkpoint.export(tmp_path / runs.WEIGHTS, before(model.state_dict()), about)
    loaded = runs.load_generator(tmp_path, torch.device("cpu"))
    assert loaded.config == config
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("discriminator.")}
    assert all(torch.equal(loaded.model.state_dict()[name], tensor) for name, tensor in kept.items())


def test_only_the_names_that_were_changed_change():
    assert renamed.name("vqgan", "critic_start") == "discriminator_start"
    assert renamed.name("cyclegan", "critics.A.0.weight") == "discriminators.A.0.weight"
    for model, name in (("wgan", "critic"), (None, "critic"), ("vqgan", "criticism"), ("vqgan", "net.critic")):
        assert renamed.name(model, name) == name
    row = {"step": 3, "train": {"critics": 0.5, "translators": 1.0}}
    assert json.dumps(renamed.row("cyclegan", row)) == json.dumps(
        {"step": 3, "train": {"discriminators": 0.5, "translators": 1.0}}
    )
