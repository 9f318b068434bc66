"""What a run says of itself: written, read back, and compared with what it is told when it goes on."""

import tomllib
from dataclasses import replace

import pytest
import torch

from artcli.errors import UsageError
from artcli.training import checkpoint, runs
from artcli.training.spec import DataSpec, RunSpec, TrainerSpec

# As artgen 0.1.0 wrote it before there was a RunSpec.
OLD = """\
model = "diffusion"
preset = "mini-32"
seed = 0
steps = 6000
version = "0.1.0"
command = "artgen train diffusion data --preset mini-32 --precision bf16 --steps 6000 --out run"
format = 1

[config]
size = 32
widths = [
    96,
    192,
]
start = ""
epochs = 10

[data]
path = "/data"
name = "data"
val_fraction = 0.1
balanced = false
classes = []

[data.preparation]

[data.augmentation]

[trainer]
precision = "bf16"
accumulate = 1
save_every = 200
keep = 2
"""


@pytest.fixture
def old(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.toml").write_text(OLD)
    return tmp_path / "run"


def spec():
    return RunSpec(
        model="diffusion", preset="mini-32", steps=6000, version="0.1.0",
        command="artgen train diffusion data --preset mini-32 --precision bf16 --steps 6000 --out run",
        config={"size": 32, "widths": (96, 192), "start": "", "epochs": 10},
        data=DataSpec("/data", "data", found={"classes": []}), trainer=TrainerSpec("bf16", 1, 200, 2),
    )  # fmt: skip


def go_on(run, wanted):
    return runs.choose(run, run.parent, wanted, accept_changes=False)


def test_a_run_is_written_as_it_always_was(old, tmp_path):
    runs.remember(tmp_path / "new", spec())
    assert (tmp_path / "new" / "run.toml").read_text() == OLD


def test_an_old_run_is_read(old):
    found = RunSpec.from_dict(tomllib.loads(OLD))
    assert replace(found, config=found.config | {"widths": (96, 192)}) == spec()
    assert go_on(old, spec()) == old and go_on(old, found) == old


def test_what_an_older_artgen_did_not_write_is_the_default(old):
    (old / "run.toml").write_text(OLD.replace("accumulate = 1\n", "").replace("balanced = false\n", ""))
    assert go_on(old, spec()) == old
    with pytest.raises(UsageError, match=r"\(trainer\.accumulate 1 -> 2\)"):
        go_on(old, replace(spec(), trainer=TrainerSpec("bf16", 2)))


def test_what_may_change(old):
    changed = replace(
        spec(), steps=9000, version="0.2.0", command="artgen train", trainer=TrainerSpec("bf16", 1, 50, 9),
        config=spec().config | {"epochs": 3},
    )  # fmt: skip
    assert go_on(old, changed) == old


@pytest.mark.parametrize("name", ["steps", "keep", "save_every", "version", "command"])
def test_what_may_change_is_named_by_its_whole_path(old, name):
    with pytest.raises(UsageError, match=rf"other settings \(config\.{name} None -> 7\)"):
        go_on(old, replace(spec(), config=spec().config | {name: 7}))


def test_what_only_another_artgen_knows_is_a_difference(old):
    (old / "run.toml").write_text(OLD.replace("seed = 0\n", "seed = 0\nwarp = 3\n"))
    with pytest.raises(UsageError, match=r"\(warp 3 -> None\)"):
        go_on(old, spec())


@pytest.mark.parametrize(
    ("text", "says"),
    [("format = 1\ndata = 3\nmodel = 'vae'\n", "its data is no table"), ("format = 1\n", "it names no model")],
)
def test_what_is_no_run(old, text, says):
    (old / "run.toml").write_text(text)
    with pytest.raises(UsageError, match=rf"run\.toml cannot be read \({says}.*choose another --out"):
        go_on(old, spec())


def test_two_folders_and_two_sides():
    data = DataSpec("/a", "a-b", "/b", sides="unpaired", found={"classes": ["x", "y"], "pictures": 3})
    told = data.as_dict()
    assert (told["other"], told["sides"], told["pictures"]) == ("/b", "unpaired", 3)
    assert DataSpec.from_dict(told) == data and data.classes == ["x", "y"]
    assert not {"other", "sides", "found"} & DataSpec("/a", "a").as_dict().keys()


def test_weights_that_do_not_say_what_they_are(tmp_path):
    checkpoint.export(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, {"seed": 1})
    with pytest.raises(UsageError, match="does not say what it is: it names no model"):
        runs.load_generator(tmp_path / "weights.safetensors", torch.device("cpu"))
