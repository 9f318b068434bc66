"""`--init-from`: a GAN that begins with the layers of another run."""

import shutil

import pytest
import torch

from artcli import state
from artcli.training import checkpoint, inherit
from artcli.training.spec import RunSpec
from tests import tiny
from tests.batches import seeded
from tests.conftest import one_error_line

GANS = ("gan", "dcgan", "wgan-gp", "stylegan")
# How many tensors are not half the size's: the last layers of generators, and the first of discriminators.
NEW = {
    "gan": {"generator.3", "discriminator.layers.1"},
    "dcgan": {"generator.7", "generator.8", "generator.10", "discriminator.layers.0", "discriminator.layers.2",
              "discriminator.layers.3"},
    "stylegan": {"generator.synthesis.b32", "discriminator.b32"},
}  # fmt: skip


def width(name):
    """That of a model of twice the size whose other layers are the same."""
    return {"width": 2, "discriminator_width": 2} if name in ("dcgan", "wgan-gp") else {}


@pytest.fixture(params=GANS)
def run(invoke, folder, request):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line(request.param, "-q")).exit_code == 0
    return request.param


def begun(name, folder, **changes):
    model = seeded(lambda: tiny.backend(name).Model(tiny.config(name, **changes)), 7)
    said = inherit.take_over(model, RunSpec(name, init_from=str(folder / "run")))
    return model, said


def test_the_same_size_is_all_of_it(run, folder):
    model, said = begun(run, folder)
    known = checkpoint.load(folder / "run")["trainer"]["model"]
    assert all(torch.equal(tensor, known[name]) for name, tensor in model.state_dict().items())
    count = len(list(model.parameters()))
    assert said == f"{count} of {count} tensors begin as those of {folder / 'run'}, the others anew"


def test_twice_the_size_has_new_outer_layers(run, folder):
    if run == "wgan-gp":
        return  # its nets are those of dcgan
    size = 2 * tiny.config(run).size
    fresh = seeded(lambda: tiny.backend(run).Model(tiny.config(run, size=size, **width(run))), 7).state_dict()
    model, _ = begun(run, folder, size=size, **width(run))
    same = {name for name, tensor in model.named_parameters() if torch.equal(tensor, fresh[name])}
    outer = {name for name in fresh if name.startswith(tuple(f"{layer}." for layer in NEW[run]))}
    learned = {
        name for name, _ in model.named_parameters() if "noise_strength" not in name and not name.endswith("bias")
    }
    assert outer & learned <= same
    known = checkpoint.load(folder / "run")["trainer"]["model"]
    for name, tensor in model.state_dict().items():
        if name not in outer and run != "dcgan":
            assert torch.equal(tensor, known[name]), name
    if run == "dcgan":
        for name, other in (("generator.4", "generator.4"), ("layers.5", "layers.2"), ("layers.9", "layers.6")):
            part = "discriminator." if name.startswith("layers") else ""
            assert torch.equal(model.state_dict()[f"{part}{name}.weight"], known[f"{part}{other}.weight"])
    assert model.generate([0]).shape[2] == size


@pytest.mark.parametrize("name", ["stylegan", "dcgan"])
def test_a_run_goes_on_without_the_one_it_began_with(invoke, folder, name):
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line(name, "-q", out="first")).exit_code == 0
    more = ["--init-from", "first"]
    for part, value in ({"size": 2 * tiny.config(name).size} | width(name)).items():
        more += ["--set", f"{part}={value}"]
    line = [each for each in tiny.line(name, *more, out="second") if each != "--steps"]
    line.remove(3)
    whole = invoke(*[{"second": "whole"}.get(each, each) for each in line], "--steps", 4)
    assert whole.exit_code == 0 and "tensors begin as those of" in whole.stderr, whole.stderr
    assert invoke(*line, "--steps", 2).exit_code == 0
    shutil.rmtree(folder / "first")
    again = invoke(*line, "--steps", 4)
    assert again.exit_code == 0 and "begin as those" not in again.stderr, again.stderr
    assert (folder / "second/weights.safetensors").read_bytes() != b""
    one, other = (checkpoint.read(folder / f"{run}/weights.safetensors")[0] for run in ("second", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[each], other[each]) for each in one)


@pytest.mark.parametrize(
    ("model", "more", "line"),
    [
        ("gan", ["--init-from", "none"], "none is no run folder"),
        ("vae", ["--init-from", "run"], "vae cannot begin with layers of another run: leave --init-from out"),
        ("dcgan", ["--init-from", "run"], "is a run of gan: it has to be one of dcgan"),
        ("gan", ["--init-from", "run", "--set", "size=12"], "has pictures of 8 pixels: size has to be 8 or 16, not 12"),
        ("gan", ["--init-from", "run", "--set", "latent=5", "--set", "widths=17", "--set", "discriminator_widths=17"],
         "no layer of --init-from"),
    ],
)  # fmt: skip
def test_what_cannot_begin_so(invoke, folder, model, more, line):
    tiny.write_pictures(folder / "data")
    if "run" in more:
        assert invoke(*tiny.line("gan", "-q")).exit_code == 0
    result = invoke(*tiny.line(model, *more, "-q", out="second"))
    assert result.exit_code == 2 and line in one_error_line(result.stderr), result.stderr
    assert not (folder / "second" / "run.toml").exists()


def test_a_dry_run_begins_as_the_run_would(invoke, folder):
    """What is damaged is told of before the run; what is left to it does not look at the other one any more."""
    tiny.write_pictures(folder / "data")
    assert invoke(*tiny.line("gan", "-q", out="first")).exit_code == 0
    line = tiny.line("gan", "--init-from", "first", out="second")
    assert "tensors begin as those of" in invoke(*line, "--dry-run").stderr
    newest = folder / "first/checkpoints/step-000003" / state.NAME
    newest.write_bytes(newest.read_bytes()[:100])
    refused = [invoke(*line, *more, "-q") for more in (["--dry-run"], [])]
    assert [result.exit_code for result in refused] == [3, 3]
    assert one_error_line(refused[0].stderr) == one_error_line(refused[1].stderr)
