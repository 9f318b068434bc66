"""Generated calls of all verbs: `--from` what they wrote makes the same bytes again.

RECIPES=40 tries 40 of each verb, 200 in all; `-v` shows them by number, a failure shows the line.
"""

import os
from pathlib import Path

import pytest
import torch

from artcli.media import record
from artcli.nn.vqgan import VQGAN, Sizes
from tests import again, test_cyclegan_run, test_stylize_fast, test_stylize_run, test_upscale, tiny

COUNT = int(os.environ.get("RECIPES", "2"))
TRIES = 40
TAKEN = (0, 2)  # what a model cannot do, such as classes that it does not have, is known when it is loaded

tiny_translator, decoder = test_cyclegan_run.tiny_translator, test_stylize_fast.decoder
net, run_folder = test_stylize_run.net, test_upscale.run_folder


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_clip, tiny_prior, tiny_painter, tiny_translator, decoder, net, run_folder):
    """The path of each by the name that the calls give it."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(VQGAN(Sizes((32, 64), 1, (), False, 8, 16, 6)).state_dict(), folder / "last.ckpt")
    found = {
        "clip": tiny_clip, "prior": tiny_prior, "diffusion": tiny_prior, "painter": tiny_painter, "net": net,
        "translator": tiny_translator, "decoder": decoder, "upscaler": run_folder, "vqgan": folder / "last.ckpt",
    }  # fmt: skip
    return found | {kind: tiny.write_stage(folder / kind, kind) for kind in again.RUNS if kind not in found}


@pytest.mark.parametrize("name", again.OPTIONS)
def test_every_option_of_a_record_is_among_them(name):
    """A new option of a verb needs an entry in tests/again.py, or counts as one of how a run is carried out."""
    assert again.OPTIONS[name].keys() | again.GIVEN[name] == again.shaping(name)


@pytest.mark.parametrize("number", range(COUNT))
@pytest.mark.parametrize("name", again.OPTIONS)
def test_the_same_bytes_again(invoke, folder, models, name, number):
    again.furnish()
    before = {*folder.iterdir()}
    for attempt in range(TRIES):
        line, out = again.call_of(name, f"{number}.{attempt}", models)
        told = " ".join([*line, "-o", out])
        made = invoke(*line, "-q", "-o", out)
        assert made.exit_code in TAKEN, f"{told}: {made.stderr}"
        if made.exit_code == 0:
            break
    else:
        pytest.fail(f"no call was taken; the last was {told}: {made.stderr}")
    written = sorted(path.name for path in folder.iterdir() if path not in before)
    file = out if out in written else written[0]  # of several pictures each has a file
    assert record.read(Path(file))["command"] == name, told
    repeated = invoke(name, "--from", file, "-q", "-o", out.replace("a", "b", 1))
    assert repeated.exit_code == 0, f"{told}: {repeated.stderr}"
    repeats = {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("b")}
    if file == out:
        assert repeats == {one.replace("a", "b", 1): Path(one).read_bytes() for one in written}, told
    else:  # the record of one of several pictures is of that one alone
        assert Path(file).read_bytes() in repeats.values(), f"{told}: {file} is not among {[*repeats]}"
