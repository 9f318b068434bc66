"""The model that CONTRIBUTING.md begins with is one file and one line, and works as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from artcli.media import images
from artcli.training import contract
from artcli.training.registry import MODELS
from tests.batches import assert_learns, batch, pictures, seeded, train
from tests.readme_help import ROOT
from tests.test_train import write_pictures

TINY = ["--set", "size=16", "--set", "width=8", "--set", "batch=8"]


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """The file, imported, and its line in the registry."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    place = tmp_path / "code"
    place.mkdir()
    (place / "flow_toy.py").write_text(blocks[0], encoding="utf-8")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setitem(MODELS, "flow", "flow_toy")
    import flow_toy

    return flow_toy


def test_it_trains_goes_on_and_draws(flow, invoke, folder):
    write_pictures(folder / "photos")
    for steps in (2, 4):
        result = invoke("train", "flow", "photos", *TINY, "--steps", steps, "--save-every", 2)
        assert result.exit_code == 0, result.stderr
    run = Path("runs/0001-flow-photos")
    assert {p.name for p in run.iterdir()} >= {"weights.safetensors", "best.safetensors", "report.html", "samples"}
    assert not Path("runs/0002-flow-photos").exists()
    result = invoke("sample", run, "--seed", "0-3", "-o", "drawn/")
    assert result.exit_code == 0, result.stderr
    drawn = [images.load(path).rgb for path in sorted(Path("drawn").iterdir())]
    assert len(drawn) == 4 and not np.array_equal(drawn[0], drawn[1])


def test_it_learns(flow):
    assert_learns(
        lambda: flow.Model(flow.Config(size=16, width=8, batch=8)),
        lambda model: train(model, pictures(8), 30),
        lambda model: model.validate(batch(pictures(8), seed=99))["loss"],
    )


def test_a_batch_may_be_split(flow):
    config = flow.Config(size=16, width=8, batch=8)
    whole, split = (seeded(lambda: flow.Model(config)) for _ in range(2))
    train(whole, pictures(8), 5)
    train(split, pictures(8), 5, parts=3)
    for one, other in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_it_has_all_that_the_contract_asks_for(flow):
    model = flow.Model(flow.Config(size=16, width=8))
    asked = {name for name in vars(contract.Model) if not name.startswith("_")}
    assert {"optimizers", "train_step", "validate"} <= asked and all(hasattr(model, name) for name in asked)
    both, alone = model.generate([3, 4]), model.generate([4])
    assert both.shape == (2, 3, 16, 16) and torch.allclose(both[1], alone[0], atol=1e-6)
    assert model.validate(batch(pictures(4)))["loss"] > 0
