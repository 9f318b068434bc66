"""`artgen models`: what there is, and what takes it."""

import json
from pathlib import Path

import pytest
import tomli_w

from tests.conftest import one_error_line


def write_run(path, model, *, finished=False, weights=True):
    path.mkdir(parents=True)
    (path / "run.toml").write_text(tomli_w.dumps({"model": model, "data": {"name": "photos"}}))
    if weights:
        (path / "weights.safetensors").write_bytes(b"")
    if finished:
        (path / "model").mkdir()


@pytest.fixture
def here(folder):
    write_run(folder / "runs/0001-cyclegan-photos", "cyclegan")
    write_run(folder / "runs/0002-vqgan-photos", "vqgan")
    write_run(folder / "runs/0003-vqgan-photos", "vqgan", finished=True)
    write_run(folder / "runs/0004-vae-photos", "vae")
    write_run(folder / "runs/0005-vae-photos", "vae", weights=False)
    write_run(folder / "runs/0007-upscaler-photos", "upscaler", finished=True)
    (folder / "runs/0006-damaged").mkdir()
    (folder / "runs/0006-damaged/run.toml").write_text("model = [")
    return folder


def rows(invoke, *args):
    result = invoke("models", "--json", *args)
    assert result.exit_code == 0, result.stderr
    return {row.pop("model"): row for row in map(json.loads, result.stdout.splitlines())}


def test_what_is_here_and_what_takes_it(invoke, here):
    found = rows(invoke)
    assert found["clip-mini"] == {"kind": "clip", "use": "dream --clip", "state": "bundled"}
    uses = {Path(name).name[:4]: (row["use"], row["state"]) for name, row in found.items() if "runs" in name}
    assert uses == {
        "0001": ("cyclegan --model", "in training on photos"),
        "0002": ("sample", "in training on photos"),
        "0003": ("dream --vqgan", "trained on photos"),
        "0004": ("sample", "trained on photos"),
        "0007": ("--upscaler", "trained on photos"),
    }


def test_one_kind_and_another_folder(invoke, here):
    assert list(rows(invoke, "--kind", "cyclegan")) == ["monet-mini", "runs/0001-cyclegan-photos"]
    write_run(here / "other/mine", "pix2pix", finished=True)
    assert rows(invoke, "other", "--kind", "pix2pix")["other/mine"]["use"] == "cyclegan --model"


def test_the_table(invoke, here):
    lines = invoke("models").stdout.splitlines()
    assert lines[0].split() == ["MODEL", "KIND", "FOR", "STATE"]
    assert lines[-2].split() == ["runs/0004-vae-photos", "vae", "sample", "trained", "on", "photos"]


def test_what_is_refused(invoke, here):
    result = invoke("models", "--kind", "cyclgan")
    assert result.exit_code == 2 and "Did you mean 'cyclegan'" in one_error_line(result.stderr)
    assert "no folder nowhere" in one_error_line(invoke("models", "nowhere").stderr)


def test_nothing_trained_yet(invoke, folder):
    assert "clip-mini" in rows(invoke)
