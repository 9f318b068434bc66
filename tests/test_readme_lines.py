"""Every line of README and docs is taken as written, in a folder that holds what it names: all but the models' work."""

import importlib
import itertools
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest

from artcli.commands.batch import watch
from artcli.media import images, video
from tests.conftest import photograph
from tests.readme_help import ROOT, written

PAGES = [*written(), ROOT / "CONTRIBUTING.md"]
BLOCKS = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
# Of a pipe each call stands by itself.
LINES = [
    call.strip()
    for block in BLOCKS
    for line in block.splitlines()
    if "artgen " in line
    for call in re.findall(r"artgen .*?(?= \| artgen|$)", line)
]
# What looks for weights, loads models and computes; before that, outputs are checked and their folders made.
WORK = {
    "shared.studio": ("load_and_work",), "sample.session": ("run",), "train.run": ("carry_out",),
}  # fmt: skip
RUNS = ("RUN", "RUN2", "RUN3")
DREAMS = 'verb = "dream"\nprompt = "car"\n'
LISTS = ("doctor", "gallery", "models", "weights")  # verbs that load no model and are run in full


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
    elif path.suffix in (".jpg", ".png"):
        photograph(path, (16, 12))
    else:
        path.write_text("{}")


@pytest.mark.parametrize("line", LINES, ids=[line[:60] for line in LINES])
def test_a_line(invoke, folder, monkeypatch, line):
    words = words_of(line)
    for name in inputs_of(words):
        make(name)
    if words[0] == "train":
        for name in words[2:4]:
            make(name) if not name.startswith("-") and name != "none" else None
    if "--from" in words:
        pixels = images.from_tensor(images.to_tensor(images.load(photograph(Path("car.png"), (16, 12)))))
        images.save(Path("car.png"), pixels, recipe={"command": "dream", "parameters": {"prompt": "car"}, "seed": 1})
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
