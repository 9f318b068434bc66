"""Generated calls, verbs x odd files x outputs x options: each ends in a right result or in one clear line.

No traceback, no file of the user lost or changed, nothing half written, no first frame of an animation taken silently.
ODD_CALLS=300 tries as many; `-v` shows what was tried.
"""

import io
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from artcli.errors import ArtgenError
from artcli.media import files, images, record, video
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.training import checkpoint
from tests import odd_files
from tests.conftest import DELAYS, delays, one_error_line, snapshot
from tests.test_cyclegan_run import tiny_translator  # noqa: F401  (a fixture)
from tests.test_sample_prior import write_run
from tests.test_stylize_fast import decoder  # noqa: F401
from tests.test_stylize_run import net  # noqa: F401

COUNT = int(os.environ.get("ODD_CALLS", "60"))
PLAIN_OUTPUTS = (None, "x.png", "x.jpg", "x.webp", "x.tif", "x.gif", "x.mp4", "X.PNG", "x.avif", "new/", "new/*.jpg")
OUTPUTS = (
    *PLAIN_OUTPUTS, "x.webm", "x.bmp", "x", "new/deeper/", "no/x.png", "there.png", "anim.gif", "link.png", "photos/",
    "photos", "locked/", "locked/new/", "locked/x.png", "/dev/null", "plain.png/x.png", ".x.png", "*.webp", "x.png/",
    f"{odd_files.LONG}.png", "-",
)  # fmt: skip
ALL_TAKE = (
    ["--size", 32], ["--no-metadata"], ["--force"], ["--json"], ["--skip-existing"], ["--dry-run"], ["-q"],
    ["--no-such"],
)  # fmt: skip
STEPS = (["--save-every", 1], ["--no-preview"], ["--resume"], ["--seed", 3], ["--seed", "3-4"], ["--time-limit", "1h"])
MORE = {  # by command
    "dream": (*ALL_TAKE, *STEPS, ["--prior-strength", 0.5], ["--zoom", 1.1], ["--tileable"]),
    "paint": (*ALL_TAKE, ["--recursive"], ["--gif"], ["--svg"], ["--strokes-out", "s.json"], ["--palette", 3]),
    "stylize": (*ALL_TAKE, *STEPS, ["--recursive"], ["--keep-color", "luminance"]),
    "cyclegan": (*ALL_TAKE, ["--recursive"], ["--seed", 3], ["--strength", 0.5]),
    "sample": (*ALL_TAKE, ["--seed", 3], ["--columns", 1]),
    "train": ([], [], ["--json"], ["--dry-run"], ["--check"]),
}
TINY = ["--seed", 1]
TRAIN = ["--set", "size=16", "--set", "width=4", "--set", "batch=2", "--steps", 1, *TINY]
DREAM = ["--drawer", "fft", "--steps", 2, "--frame-steps", 1, "--cutouts", 2, "--prior", "none", *TINY]
COMMANDS = {  # by what is odd about the call
    "paint": "paint", "detail-mask": "paint", "from": "paint", "cyclegan": "cyclegan", "stylize": "stylize",
    "content-mask": "stylize", "fast": "stylize", "style": "stylize", "dream": "dream", "init": "dream",
    "mask": "dream", "image-prompt": "dream", "dream-style": "dream", "prompts": "dream", "reconstruct": "sample",
    "complete": "sample", "keep": "sample", "between": "sample", "train": "train",
}  # fmt: skip
VERBS = (*COMMANDS,)
BATCHES = ("paint", "cyclegan", "stylize", "fast", "reconstruct", "complete")  # which take several inputs
FOUND = {"photos": 2, "twin": 2, "photos/*.png": 1, "photos/**/*.*": 3}  # pictures that a batch takes
FIRST = ("its first frame is taken", "the first is taken")
EXIST = ("there.png", "anim.gif", "link.png", "*.webp")  # of OUTPUTS, also beside what they are made of

_PICTURES = (*odd_files.GOOD, *odd_files.FIRST_ONLY, *odd_files.MOVING)
_NAMED = tuple(name for name in _PICTURES if name != "-")
TAKEN_BY = {  # by verb, what is no reason to refuse a call
    "paint": _PICTURES, "cyclegan": _PICTURES, "stylize": _PICTURES, "fast": _PICTURES, "init": _PICTURES,
    "style": _NAMED, "image-prompt": _NAMED, "dream-style": _NAMED, "reconstruct": _PICTURES, "between": _NAMED,
    "dream": odd_files.SOURCES,
}  # fmt: skip


class Call(NamedTuple):
    """verb: of COMMANDS.  more: other options."""

    verb: str
    source: str
    out: str | None
    more: list[Any]

    def __str__(self):
        text = f"{self.verb}: {self.source} -o {self.out} {' '.join(map(str, self.more))}"
        return text.replace(odd_files.LONG, "LONG").strip()

    @property
    def skips(self):
        """Whether there may be nothing to do."""
        return "--skip-existing" in self.more and self.out in EXIST

    @property
    def is_plain(self):
        """Whether nothing speaks against it."""
        verb, source, out, more = self
        if more or out not in PLAIN_OUTPUTS or verb not in TAKEN_BY:
            return False
        if out in ("x.gif", "x.mp4") and verb not in ("paint", "stylize", "style", "between", "dream", "image-prompt"):
            return source in odd_files.MOVING + odd_files.FILMS and verb in ("cyclegan", "fast", "init")
        if verb in ("reconstruct", "between") and out == "new/*.jpg":
            return False  # which is for a batch
        if (verb, source) == ("style", "speck.png"):
            return False  # a tiny random net cannot measure it
        if source == "clear.png" and verb not in ("paint", "cyclegan"):
            return False  # there is nothing to see in it
        if source.startswith(odd_files.LONG) and out in (None, "new/", "new/*.jpg"):
            return False  # and no room for a longer name
        return source in TAKEN_BY[verb]


def planned(number):
    draw = random.Random(number)
    verb = VERBS[number % len(VERBS)]
    sources = odd_files.SOURCES
    if verb in ("train", *BATCHES):
        sources += odd_files.FOLDERS * (4 if verb == "train" else 1)
    source, out = draw.choice(sources), draw.choice(OUTPUTS)
    if draw.random() < 0.5:
        out = draw.choice(PLAIN_OUTPUTS)
    count = 1 if verb == "train" else draw.choice((0, 0, 1, 1, 2))
    return Call(verb, source, out, [word for flags in draw.sample(MORE[COMMANDS[verb]], count) for word in flags])


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    odd_files.make(folder)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_painter, tiny_clip, tiny_translator, decoder, net):  # noqa: F811
    """The path of each, by what it is for."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        torch.save(VQGAN(Sizes((32, 64), 1, (), False, 8, 16, 6)).state_dict(), folder / "last.ckpt")
        patch.chdir(folder)
        write_run(folder)
    return {
        "paint": tiny_painter, "clip": tiny_clip, "cyclegan": tiny_translator, "decoder": decoder, "net": net,
        "vqgan": folder / "last.ckpt", "prior": folder / "run",
    }  # fmt: skip


@pytest.fixture(scope="session")
def lines(models):
    """The line of each verb up to its source, and what comes behind."""
    paint = ["paint", "grey.png", "--model", models["paint"]]
    stylize = ["--net", models["net"], "--steps", 2, "--size", 48, *TINY]
    fast = ["--fast", "--model", models["decoder"], "--size", 48]
    dream = ["dream", "red car", "--clip", models["clip"], *DREAM]
    coded, complete = ["sample", models["vqgan"], "--size", 32], ["sample", models["prior"], *TINY, "--complete"]
    return {
        "paint": (["paint"], ["--model", models["paint"]]),
        "detail-mask": ([*paint, "--detail-mask"], []),
        "from": ([*paint, "--from"], []),
        "cyclegan": (["cyclegan"], ["--model", models["cyclegan"]]),
        "stylize": (["stylize"], ["plain.png", *stylize]),
        "content-mask": (["stylize", "grey.png", "plain.png", *stylize, "--mask"], []),
        "fast": (["stylize"], ["plain.png", *fast]),
        "style": (["stylize", "grey.png"], stylize),
        "dream": ([*dream, "--size", 32], None),
        "init": ([*dream, "--init"], []),
        "mask": ([*dream, "--init", "plain.png", "--mask"], []),
        "image-prompt": ([*dream, "--size", 32, "--image-prompt"], []),
        "dream-style": ([*dream, "--size", 32, "--stylize"], []),
        "prompts": (["dream", *dream[2:], "--size", 32, "--prompts"], []),
        "reconstruct": ([*coded, "--reconstruct"], []),
        "complete": (complete, []),
        "keep": ([*complete, "plain.png", "--keep"], []),
        "between": ([*coded, "--between", "plain.png"], []),
        "train": (["train", "autoencoder"], TRAIN),
    }


@pytest.mark.parametrize("call", [planned(number) for number in range(COUNT)], ids=str)
def test_a_right_result_or_one_clear_line(invoke, folder, odd, lines, call):
    shutil.copytree(odd, folder, dirs_exist_ok=True, symlinks=True)
    shutil.copy("grey.png", "there.png")
    before = snapshot(folder)
    first, behind = lines[call.verb]
    line = first if behind is None else [*first, call.source, *behind]
    out = [] if call.out is None else ["-o", call.out]
    with odd_files.closed(folder):
        result = invoke(*line, *call.more, *out, input=Path(odd_files.STDIN).read_bytes())
    after = snapshot(folder)
    new = {name for name in after if name not in before and after[name] is not None}
    changed = {name for name, data in before.items() if after.get(name) != data}
    may = "--force" in call.more and result.exit_code == 0 and "--dry-run" not in call.more
    replaced = {name for name in changed if may and is_output(name, call.out)}
    assert "Traceback" not in result.stderr
    assert changed <= replaced, "files of the user"
    left = {name for name in after.keys() - before.keys() if is_beside(Path(name).name)} - {call.out}
    runs = {str(Path(name).parent / ".lock") for name in new if call.verb == "train" and Path(name).name == "run.toml"}
    assert left == runs & after.keys(), "left behind"
    if result.exit_code:
        check_refusal(result, call, new)
    elif "--dry-run" in call.more or "--check" in call.more:
        assert after.keys() == before.keys()
    elif call.verb == "train":
        check_run(result, call, new)
    else:
        check_results(result, call, new | replaced)


def is_beside(name):
    """Whether a name is one of those that a run uses while it works."""
    return name.startswith(".") or ".preview" in name or name.endswith((".resume", ".part"))


def is_output(name, out):
    """Whether --out may stand for this file that is there before: also in a folder, or behind a film's last frame."""
    if out is None:
        return False
    same = name in (out, str(Path(out).with_suffix(".png"))) or (name, out) == (odd_files.STDIN, "link.png")
    return same or Path(out) in Path(name).parents


def check_refusal(result, call, new):
    assert result.exit_code in (1, 2, 3)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    batch = call.source in odd_files.FOLDERS
    assert len(errors) == 1 or (batch and errors), result.stderr
    assert one_error_line(errors[-1]).strip() and result.stderr.splitlines()[-1] == errors[-1]
    assert batch or not new, "written in spite of an error"
    assert not call.is_plain, errors[-1]


def check_results(result, call, written):
    results = {name for name in written if not is_step(name)}
    if call.out == "-":
        assert not written
        with Image.open(io.BytesIO(result.stdout_bytes)) as image:
            assert image.format == "PNG" and np.asarray(image).size
    elif "--json" in call.more:
        told = [json.loads(line) for line in result.stdout.splitlines()]
        assert {path for one in told for path in one["paths"]} == results
    else:
        assert "\n" in call.source or set(result.stdout.splitlines()) == results
    assert call.out == "-" or call.skips or written, "neither a result nor an error"
    for name in written:
        check_whole(Path(name))
        check_record(name, call)
    if call.verb != "dream":  # which has no source
        check_source(result, call, results)


def is_step(name):
    """Whether --save-every has left it."""
    return "-step0" in name


def check_source(result, call, results):
    """What the file that is odd should come to."""
    verb, source, out, more = call
    quiet = "-q" in more
    if call.skips:
        return
    assert source not in odd_files.BAD or (verb == "prompts" and source in odd_files.TEXTS)
    if source in odd_files.MOVING + odd_files.FIRST_ONLY and not any(note in result.stderr for note in FIRST):
        assert quiet or any(map(moves, results)), "a silent first frame"
    if source in odd_files.UNSURE:
        assert "white" in result.stderr
    if source in FOUND and verb not in ("reconstruct", "complete"):
        deeper = source == "photos" and "--recursive" not in more
        count = FOUND[source] + (source == "photos" and not deeper)
        assert out == "-" or len([name for name in results if is_picture(name)]) == count
        assert quiet or ("--recursive takes" in result.stderr) == deeper
    if verb in ("paint", "cyclegan", "fast", "init"):
        check_likeness(call, results)
    elif verb in ("image-prompt", "dream-style", "prompts", "reconstruct") and source not in odd_files.FOLDERS:
        assert {Image.open(name).width for name in results if is_picture(name)} <= {32}


def check_record(name, call):
    """What made it, where it can say so."""
    if Path(name).suffix.lower() not in files.IMAGE_SUFFIXES + files.FILM_SUFFIXES or is_step(name):
        return
    if "--no-metadata" in call.more:
        with pytest.raises(ArtgenError):
            record.read(Path(name))
    else:
        assert record.read(Path(name))["command"] == COMMANDS[call.verb]


def check_run(result, call, new):
    """One folder with whole weights, of the pictures there are."""
    (weights,) = json.loads(result.stdout)["paths"] if "--json" in call.more else result.stdout.splitlines()
    run = Path(weights).parent
    assert call.out is None or run == Path(call.out)
    assert all(run in Path(name).parents for name in new) and checkpoint.read(Path(weights))[1]["step"] == 1
    assert call.source not in odd_files.BAD and call.source not in odd_files.FILMS
    assert call.source != "mixed" or "left out bad.png" in result.stderr
    assert call.source not in odd_files.MOVING or "the first is taken" in result.stderr, "a silent first frame"


def check_likeness(call, results):
    """What keeps its size and its time."""
    if call.source in odd_files.FILMS + odd_files.MOVING:
        for name in filter(moves, results):
            seconds = video.seconds(Path(name)) if name.endswith((".mp4", ".webm")) else sum(delays(name)) / 1000
            assert abs(seconds - (sum(DELAYS) / 1000 if call.source in odd_files.MOVING else 1)) < 0.11
    elif call.source not in odd_files.FOLDERS and "--size" not in call.more and call.verb in ("paint", "cyclegan"):
        with Image.open(odd_files.STDIN if call.source == "-" else call.source) as image:
            size = ImageOps.exif_transpose(image).size
        assert {Image.open(name).size for name in results if is_picture(name)} <= {size}


def is_picture(name):
    return Path(name).suffix.lower() in images.FORMATS


def check_whole(path):
    """Opened and read to its end."""
    if path.suffix.lower() in (".mp4", ".webm"):
        assert sum(1 for _ in video.read_frames(path))
    elif is_picture(path.name) or path.suffix.lower() == ".gif":
        with Image.open(path) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                assert np.asarray(image.convert("RGB")).size


def moves(name):
    if Path(name).suffix.lower() in (".mp4", ".webm"):
        return True
    with Image.open(name) as image:
        return getattr(image, "is_animated", False)
