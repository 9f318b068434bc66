"""Every line of README, docs and `--help` is taken as written, in a folder that holds what it names.

First all but the models' work; then also that, made small: here of the verbs that make pictures with finished models,
and of batches of them.  `train` and `sample` do theirs in test_readme_models.py, Stable Diffusion in
test_dream_diffusers.py.
"""

import importlib
import itertools
import json
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
import tomli_w
import torch
from torchvision.models import squeezenet1_1

from artcli.commands.batch import watch
from artcli.media import brushes, images, strokes, video
from tests import again, test_again, test_batch_watch
from tests.batches import seeded
from tests.conftest import photograph
from tests.readme_help import COMMANDS, ROOT, written

PAGES = [*written(), ROOT / "CONTRIBUTING.md"]
BLOCKS = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
# Of a pipe each call stands by itself.
FOUND = [
    call.strip()
    for block in BLOCKS
    for line in block.splitlines()
    if "artgen " in line
    for call in re.findall(r"artgen .*?(?= \| artgen|$)", line)
]
FOUND += [  # whole ones in tables and sentences
    line for page in PAGES for line in re.findall(r"`(artgen [a-z]+ [^`]*(?:\"|\w\.\w)[^`]*)`", page.read_text("utf-8"))
]
FOUND += [
    line
    for page in sorted(COMMANDS.glob("*.md"))
    for line in re.findall(r"^  (artgen (?!.*COMMAND).*)$", page.read_text("utf-8"), re.MULTILINE)
]
LINES = [*{tuple(shlex.split(line, comments=True)): line for line in reversed(FOUND)}.values()][::-1]
# What stands before the first `artgen` of a line, and lines without: how they begin, and why no test runs them.
NOT_RUN = {
    "python3 -m venv": "downloads packages; .ci/run does it",
    ".venv/bin/python -m pytest": "it would run itself",
    ".venv/bin/ruff": "the work of .ci/run",
    ".ci/run": "it would run itself",
    "torchrun": "starts processes, as it does in test_train.py; what they run is taken",
    "./jobs.py": "stands for a program of the reader's",
    "mkdir -p ~/.config/systemd": "changes the user's settings; test_examples.py reads the files",
    "systemctl": "changes the machine",
    "python weights/recipes/": "reads gigabytes that have to be downloaded",
    "mkdir -p weights/": "changes the sources",
    "python -c": "describes what the line before has copied",
}
# What looks for weights, loads models and computes; before that, outputs are checked and their folders made.
WORK = {
    "shared.studio": ("load_and_work",), "sample.session": ("run",), "train.run": ("carry_out",),
}  # fmt: skip
RUNS = ("RUN", "RUN2", "RUN3")
DREAMS = 'verb = "dream"\nprompt = "car"\n'
LISTS = ("doctor", "gallery", "models", "weights")  # verbs that load no model and are run in full
MAKERS = ("dream", "paint", "stylize", "cyclegan")
ELSEWHERE = ("train", "sample")

quick = test_batch_watch.quick
net, run_folder, decoder = test_again.net, test_again.run_folder, test_again.decoder
tiny_translator, models = test_again.tiny_translator, test_again.models


def words_of(line):
    """The words behind `artgen`, without what a comment says."""
    return shlex.split(line, comments=True)[1:]


def inputs_of(words):
    """Words that name what has to be there."""
    given = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in ("-o", "--out", "--strokes-out", "--direction-out")
    ]
    return [
        word.split(":")[0] for word in given if re.search(r"\w(\.\w{2,4}|\.safetensors|/)(:[\d.]+)?$|^runs/|^RUN", word)
    ]


def make(name):
    """A small file or folder of that name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if (
        name.endswith("/")
        or name.startswith("runs/")
        or name in (*RUNS, "photos", "paintings", "facades", "faces", "clip-data")
    ):
        path.mkdir(parents=True, exist_ok=True)
        photograph(path / "one.png", (16, 12))
    elif path.suffix == ".mp4":
        with video.VideoWriter(path, (16, 12), 5) as film:
            film.write(images.from_tensor(images.to_tensor(images.load(photograph(Path("frame.png"), (16, 12))))))
        Path("frame.png").unlink()
    elif path.suffix == ".toml":
        paints = 'verb = "paint"\ninputs = "{file}"\nout = "out/"\n'
        path.write_text(f"[[jobs]]\n{paints if path.stem == 'watch' else DREAMS}")
    elif path.suffix == ".txt":
        path.write_text("one\ntwo\n")
    elif path.suffix == ".csv":
        path.write_text("file,style\none.png,impressionism\ntwo.png,cubism\n")
    elif name == "s.json":
        strokes.save(path, strokes.Painting((16, 12), strokes.Strokes.none(), brushes.Brush.find("flat"), (0, 0, 0)))
    elif path.suffix in (".jpg", ".png"):
        photograph(path, (16, 12))
    else:
        path.write_text("{}")
    return path


def furnish(words):
    """What the line names, in the current folder."""
    for name in inputs_of(words):
        make(name)
    if words[0] == "train":
        for name in words[2:4]:
            make(name) if not name.startswith("-") and name != "none" else None
    if "--table" in words:  # which tells pictures apart
        photograph(Path(words[2], "two.png"), (16, 12))
    if words[0] == "gallery":
        make(f"{words[1].rstrip('/')}/")
    if "--from" in words:
        pixels = images.from_tensor(images.to_tensor(images.load(photograph(Path("car.png"), (16, 12)))))
        images.save(Path("car.png"), pixels, recipe={"command": "dream", "parameters": {"prompt": "car"}, "seed": 1})


def test_every_line_runs_or_says_why_not():
    assert {line.split()[1] for line in LINES} == {*LISTS, *MAKERS, *ELSEWHERE, "batch"}
    before = [line.partition("artgen ")[0] for block in BLOCKS for line in block.splitlines()]
    others = {line.strip() for line in before if line.strip()}
    begun = {line: [begin for begin in NOT_RUN if line.startswith(begin)] for line in others}
    assert all(len(found) == 1 for found in begun.values()), begun
    assert {begin for found in begun.values() for begin in found} == NOT_RUN.keys(), "remove what no line begins with"


@pytest.mark.parametrize("line", LINES, ids=[line[:60] for line in LINES])
def test_a_line(invoke, folder, monkeypatch, line):
    words = words_of(line)
    furnish(words)
    if "--watch" in words:  # which does not end by itself
        words += ["--time-limit", "1"]
        monkeypatch.setattr(watch, "STILL_FOR", 0.0)
    work = mock.MagicMock()
    for module, names in WORK.items():
        for name in names:
            monkeypatch.setattr(importlib.import_module(f"artcli.commands.{module}"), name, work)
    result = invoke(*words, input='{"verb": "dream", "prompt": "car"}')
    assert result.exit_code == 0, result.stderr
    assert work.mock_calls or "--check" in words or words[0] in LISTS
    for before, name in itertools.pairwise(words):
        if before == "-o" and name.endswith("/"):
            assert Path(name).is_dir()


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.split()[1] in MAKERS and "--drawer diffusers" not in line]
)
def test_a_line_makes_what_it_says(invoke, folder, models, line):
    words = words_of(line)
    furnish(words)
    if "--preset squeezenet" in line:
        models = models | {"net": folder / "squeezenet.pth"}
        torch.save(seeded(squeezenet1_1).state_dict(), models["net"])
    words += again.small(words[0], words[1:], models)
    result = invoke(*words, "--offline", input=photograph(folder / "stdin.png", (16, 12)).read_bytes())
    assert result.exit_code == 0, result.stderr
    if "-o" in words and words[words.index("-o") + 1] == "-":
        assert result.stdout_bytes.startswith(b"\x89PNG")
    else:
        paths = result.stdout.split()
        assert paths and all(Path(path).exists() for path in paths) is not ("--dry-run" in words)


@pytest.mark.parametrize("line", [line for line in LINES if line.split()[1] == "batch"])
def test_a_batch_does_its_jobs(invoke, folder, models, quick, line):
    words = words_of(line)
    furnish(words)
    job = {"verb": "paint", "inputs": "{file}", "out": "out/", "model": str(models["painter"])}
    if "--watch" in words:
        words += ["--time-limit", "100"]
    else:
        small = again.small("dream", ["car"], models)
        job = {"verb": "dream", "prompt": "car"} | {
            option.removeprefix("--"): int(value) if value.isdigit() else value
            for option, value in zip(small[::2], small[1::2], strict=True)
        }
    if words[1] != "-":
        Path(words[1]).write_text(tomli_w.dumps({"jobs": [job]}))
    result = invoke(*words, input=json.dumps(job))
    assert result.exit_code == 0, result.stderr
    (path,) = result.stdout.split()
    assert Path(path).exists() is not ("--dry-run" in words)
