"""`artgen train --metrics`: figures at checkpoints, which change nothing of what is learned; files of Inception."""

import importlib.util
import json

import pytest
import torch

from artcli.commands.train import metrics
from artcli.pretrained import inception, inception_names
from tests import tiny
from tests.conftest import one_error_line

ASKED = ["--metrics", "kid,fid", "--metrics-pictures", 20]


class Net:
    name = "a few pixels"

    def __call__(self, pictures):
        assert pictures.dtype == torch.uint8 and pictures.shape[1] == 3 and len(pictures) <= 16
        return torch.nn.functional.adaptive_avg_pool2d(pictures.double(), 2).flatten(1) / 255


@pytest.fixture
def loaded(monkeypatch):
    """What was asked of `inception.load`, which gives a net that looks at a few pixels."""
    asked = []
    monkeypatch.setattr(inception, "load", lambda spec, device, offline: asked.append((spec, offline)) or Net())
    monkeypatch.setattr(metrics, "find_spec", lambda name: name)
    return asked


def scores(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["score"] for row in rows if "score" in row}


@pytest.mark.parametrize("name", ["gan", "stylegan", "vae", "vqvae2"])
def test_figures_at_checkpoints(invoke, folder, loaded, name):
    tiny.furnish(folder)
    done = invoke(*tiny.line(name, *ASKED, "--metrics-every", 1, out="run"))
    assert done.exit_code == 0 and loaded == [(inception.NAME, False)], done.stderr
    steps = {2, tiny.length(name)} - ({2} if name == "vqvae2" else set())  # which cannot draw in its first stage
    found = scores(folder / "run")
    assert found.keys() == steps and all(each.keys() == {"kid", "fid"} for each in found.values())
    last = found[max(steps)]
    line = f"KID {last['kid']:.4g}, FID {last['fid']:.4g} of 20 samples beside 20 pictures, by a few pixels"
    assert f"train: step {max(steps)}: {line}" in done.stderr
    assert "KID" in (folder / "run/report.html").read_text()
    assert invoke(*tiny.line(name, "-q", out="plain")).exit_code == 0
    assert (folder / "run/weights.safetensors").read_bytes() == (folder / "plain/weights.safetensors").read_bytes()


def test_an_interrupted_run_has_the_same_figures(invoke, folder, loaded):
    tiny.furnish(folder)
    line = [each for each in tiny.line("gan", *ASKED, "-q", "--metrics-every", 2) if each not in ("--steps", 3)]
    assert invoke(*line, "--steps", 6, "--out", "whole").exit_code == 0
    assert invoke(*line, "--steps", 4).exit_code == 0
    assert invoke(*line, "--steps", 6).exit_code == 0
    assert scores(folder / "run") == scores(folder / "whole") and scores(folder / "run").keys() == {4, 6}


@pytest.mark.parametrize(
    ("model", "more", "code", "line"),
    [
        ("adain", ASKED, 2, "adain draws nothing that --metrics could measure: leave it out"),
        ("gan", ["--metrics", "is"], 2, "--metrics 'is' is not known; there are: kid, fid"),
        ("gan", [*ASKED, "--inception", "none.pth"], 2, "none.pth"),
        ("painter", ASKED, 2, "painter draws nothing that --metrics could measure: leave it out"),
    ],
)
def test_what_cannot_be_measured(invoke, folder, loaded, model, more, code, line):
    tiny.furnish(folder)
    asked = invoke(*tiny.line(model, *more, "-q"))
    assert asked.exit_code == code and line in one_error_line(asked.stderr)
    assert not (folder / "run").exists()


def test_without_torch_fidelity(invoke, folder, monkeypatch):
    tiny.furnish(folder)
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    asked = invoke(*tiny.line("gan", *ASKED, "-q"))
    assert asked.exit_code == 2
    assert one_error_line(asked.stderr) == "--metrics needs torch-fidelity: pip install 'artgen[metrics]'"


@pytest.mark.skipif(not importlib.util.find_spec("torch_fidelity"), reason="torch-fidelity")
def test_without_the_weights_of_inception(invoke, folder, monkeypatch):
    tiny.furnish(folder)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    asked = invoke(*tiny.line("gan", *ASKED, "-q", "--offline"))
    assert asked.exit_code == 3 and "name a file with --inception" in one_error_line(asked.stderr)
    assert not (folder / "run").exists()


# --- the names of the archive's tensors -------------------------------------------------------------------------------


def original():
    """Names of the layers of the archive."""
    inside = {
        "A": ["conv", "tower.conv", "tower.conv_1", *(f"tower_1.conv{n}" for n in ("", "_1", "_2")), "tower_2.conv"],
        "B": ["conv", *(f"tower.conv{n}" for n in ("", "_1", "_2"))],
        "C": ["conv", *(f"tower.conv{n}" for n in ("", "_1", "_2")),
              *(f"tower_1.conv{n}" for n in ("", "_1", "_2", "_3", "_4")), "tower_2.conv"],
        "D": ["tower.conv", "tower.conv_1", *(f"tower_1.conv{n}" for n in ("", "_1", "_2", "_3"))],
        "E": ["conv", "tower_conv", "tower_mixed_conv", "tower_mixed_conv_1", "tower_1_conv", "tower_1_conv_1",
              "tower_1_mixed_conv", "tower_1_mixed_conv_1", "tower_2_conv"],
    }  # fmt: skip
    first = ["conv", *(f"conv_{number}" for number in range(1, 5))]
    blocks = [f"mixed{f'_{n}' if n else ''}.{each}" for n, kind in enumerate("AAABCCCCDEE") for each in inside[kind]]
    return [f"net.layers.{name}" for name in (*first, *blocks)]


@pytest.mark.skipif(not importlib.util.find_spec("torch_fidelity"), reason="torch-fidelity")
def test_every_tensor_of_the_archive_has_its_place():
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Net

    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Net, "load_state_dict", lambda self, state: None)
        patch.setattr(torch, "load", lambda *args, **how: {})
        wanted = Net("meta", ["2048"], feature_extractor_weights_path="none").state_dict()
    parts = {"weight": 0.0, "beta": 1.0, "mean": 2.0, "var": 3.0}
    state = {f"{name}.{part}": torch.full((1,), value) for name in original() for part, value in parts.items()}
    made = inception_names.translated(state)
    assert made.keys() == wanted.keys() and len(original()) == 94
    assert made["Mixed_7c.branch3x3dbl_3b.bn.running_var"].item() == 3.0
    assert made["fc.weight"].shape == wanted["fc.weight"].shape
    assert inception_names.translated(made) == made
