"""Every line of `train` and `sample` in README, docs and `--help` does its work, with its own options, made small.

What a line sets stays as it is; the sizes and lengths that it leaves to the model are those of tests/tiny.py.  The runs
that lines of `sample` name are made by `artgen train`, each once.
"""

import gzip
import itertools
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.commands.sample import project
from artcli.pretrained import inception
from artcli.training import samples, to_onnx
from tests import (
    again,
    test_data_formats,
    test_inherit,
    test_readme_lines,
    test_sample_finished,
    test_train_metrics,
    tiny,
)
from tests.batches import seeded
from tests.test_readme_lines import LINES, inputs_of, make, words_of

run_folder = test_readme_lines.run_folder

CLASSES = ["cat", "cats"]
CIFAR = "cifar-10-batches-py"
# How the runs that lines of `sample` name, and those that trainings go on from, are trained.
TRAINED = {
    "vae": "vae photos",
    "autoencoder": "autoencoder photos",
    "dcgan": "dcgan photos --set conditional=true",
    "stylegan": "stylegan photos --set conditional=true --table labels.csv --by-color",
    "prior": "prior stage photos",
    "diffusion": "diffusion photos",
    "plain diffusion": "diffusion photos --set texts=0",
    "plain dcgan": "dcgan photos",
    "plain stylegan": "stylegan photos",
}
# Settings of TINY that lines do not mean: colour where the data are grey, pictures without words, their first stage.
MEANT = {"gan": {"channels"}, "diffusion": {"texts"}, "prior": {"first_stage"}}


def pictures(name):
    """Two classes, of which labels.csv knows more."""
    tiny.write_pictures(Path(name), 24, CLASSES)
    rows = [f"{number:03}.png,{('cubism', 'impressionism')[number % 2]},{1880 + 2 * number}" for number in range(24)]
    Path("labels.csv").write_text("\n".join(["file,style,year", *rows]))


def pairs(name):
    """Pictures twice as wide as high."""
    rng = np.random.default_rng(0)
    Path(name).mkdir()
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (20, 40, 3)).astype(np.uint8)).save(f"{name}/{number}.png")


def packed(name):
    with tarfile.open(name, "w:gz") as tar:
        tar.add(test_data_formats.cifar_python(Path(CIFAR)), CIFAR)


def digits(name):
    rng = np.random.default_rng(0)
    Path(name).write_bytes(gzip.compress(test_data_formats.idx(rng.integers(0, 256, (24, 28, 28), dtype=np.uint8))))


def stage(name):
    Path(name).parent.mkdir(exist_ok=True)
    tiny.write_stage(Path(name), "vqgan")


DATA = {
    "none": lambda name: None,
    "vqgan-mini": lambda name: None,
    "facades": pairs,
    "runs/codes": stage,
    "data": lambda name: tiny.write_lessons(Path(name)),
    "train-images-idx3-ubyte.gz": digits,
    CIFAR: lambda name: test_data_formats.cifar_python(Path(name)),
    "cifar-10-python.tar.gz": packed,
}  # all others are folders of pictures


@pytest.fixture(autouse=True)
def little_of_others(monkeypatch):
    """No 90 MB of Inception, no seconds for writing ONNX, which has tests of its own, and few pictures on the way."""
    monkeypatch.setattr(inception, "load", lambda spec, device, offline=False: test_train_metrics.Net())
    monkeypatch.setattr(to_onnx, "_write", lambda path, part, about: path.touch() or 0.0)
    monkeypatch.setattr(samples, "COUNT", 4)
    monkeypatch.setattr(project, "_CANDIDATES", 2)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Finished runs by the names in TRAINED, with what they learned from."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def trained(invoke, shelf, monkeypatch):
    """Lays a run of TRAINED into the current folder."""

    def lay(name, place):
        if not (shelf / name).exists():
            with monkeypatch.context() as there:
                there.chdir(shelf)
                train(name)
        Path(place).parent.mkdir(exist_ok=True)
        shutil.copytree(shelf / name, place)

    def train(name):
        if not Path("photos").exists():
            pictures("photos")
            tiny.write_stage(Path("stage"))
        words = TRAINED[name].split()
        result = invoke("train", *words, *made_small(words), "-q", "--out", name)
        assert result.exit_code == 0, result.stderr

    return lay


def made_small(words):
    """What makes a training small, to stand behind its words: MODEL, DATA, options."""
    model, own = words[0], {word.partition("=")[0] for before, word in itertools.pairwise(words) if before == "--set"}
    usual = {name for name in own if not name.endswith("_steps")} | MEANT.get(model, set())
    changes = {}
    if "--init-from" in words:  # twice as large as the other run
        changes = {"size": 2 * tiny.config(model).size, **test_inherit.width(model)}
    flags = tiny.flags(model, *(usual - changes.keys()), **changes)
    if hasattr(tiny.config(model), "steps"):
        return flags
    return [*flags, "--epochs", "1"] if "--epochs" in words else [*flags, "--steps", "2"]


# --- train ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [line for line in LINES if line.split()[1] == "train"])
def test_a_line_trains(invoke, folder, trained, line):
    _, *words = words_of(line)
    for name in itertools.takewhile(lambda word: not word.startswith("-"), words[1:]):
        DATA.get(name, pictures)(name)
    if "--init-from" in words:
        trained(f"plain {words[0]}", words[words.index("--init-from") + 1])
    if "--inception" in words:
        make("inception.pth")
    if "start=g.pt" in words:
        made = seeded(lambda: tiny.backend("stylegan").Model(tiny.config("stylegan")))
        torch.save(made.generator.state_dict(), "g.pt")
    result = invoke("train", *words, *made_small(words))
    assert result.exit_code == 0, result.stderr
    if {"--check", "--dry-run"} & {*words}:
        assert not Path("runs").exists() and ("24 pictures" if "--check" in words else "dry run: 2") in result.stderr
        return
    run = Path(result.stdout.splitlines()[0]).parent
    number = f"runs/0001-{words[0]}"
    assert str(run) == words[words.index("--out") + 1] if "--out" in words else str(run).startswith(number)
    assert (run / "report.html").exists() and (run / "weights.safetensors").exists()
    if "--export" in words:
        assert all((run / name).exists() for name in line.partition("# ")[2].split(", "))


# --- sample -----------------------------------------------------------------------------------------------------------


# What a line needs, by what is in it; the first that fits.
RUN_OF = (
    ("-vae-", "vae"), ("-dcgan-", "dcgan"), ("-diffusion-", "plain diffusion"), ("--prompt", "diffusion"),
    ("--complete", "prior"), ("--temperature", "prior"), ("--size", "prior"), ("--compare", "vae"), (".jpg", "vae"),
    ("RUN", "stylegan"),
)  # fmt: skip
OTHERS = {"RUN2": "autoencoder", "RUN3": "dcgan"}


def run_of(words):
    """The run that a line draws from, None for finished weights."""
    return next((name for part, name in RUN_OF if part in " ".join(words)), None)


@pytest.fixture
def furnish(invoke, trained):
    """Puts what a line names into the current folder."""

    def put(words):
        if run_of(words):
            trained(run_of(words), words[1])
        for name in inputs_of(words[1:]):
            if not Path(name).exists():
                made.get(name, make)(name)

    def write(out, *words):
        result = invoke("sample", "RUN", *words, "-o", out)
        assert result.exit_code == 0, result.stderr

    made = {name: lambda place: trained(OTHERS[place], place) for name in OTHERS} | {
        "pictures/": lambda name: tiny.write_pictures(Path(name), 8),
        "last.ckpt": lambda name: test_sample_finished.two_stages(Path(name), codes=256),
        "found.safetensors": lambda name: write("found.png", "--project", make("photo.png"), "--steps", 1),
        "smile.safetensors": lambda name: write("s.png", "--sweep", 0, "--count", 1, "--direction-out", name),
    }
    return put


@pytest.mark.parametrize("line", [line for line in LINES if line.split()[1] == "sample"])
def test_a_line_draws(invoke, folder, furnish, run_folder, line):
    words = words_of(line)
    furnish(words)
    words += again.small("sample", words[1:], {"upscaler": run_folder})
    words += ["--count", "5"] if "--score" in words else []
    words += ["--steps", "1"] if run_of(words) == "stylegan" and {"--project", "--between"} & {*words} else []
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr
    paths = result.stdout.split()
    assert paths and all(Path(path).stat().st_size for path in paths)
