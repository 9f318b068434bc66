"""Generated calls, verbs x odd files x outputs: each ends in a right result or in one clear line.

No traceback, no file of the user lost or changed, nothing half written, no first frame of an animation taken silently.
ODD_CALLS=300 tries as many; `-v` shows what was tried.
"""

import io
import json
import os
import random
import shutil
from pathlib import Path

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
from tests.test_sample_prior import write_run
from tests.test_cyclegan_run import tiny_translator  # noqa: F401  (a fixture)
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

_PICTURES = (*odd_files.GOOD, *odd_files.FIRST_ONLY, *odd_files.MOVING)
_NAMED = tuple(name for name in _PICTURES if name != "-")
TAKEN_BY = {  # by verb, what is no reason to refuse a call
    "paint": _PICTURES, "cyclegan": _PICTURES, "stylize": _PICTURES, "fast": _PICTURES, "init": _PICTURES,
    "style": _NAMED, "image-prompt": _NAMED, "dream-style": _NAMED, "reconstruct": _PICTURES, "between": _NAMED,
    "dream": odd_files.SOURCES,
}  # fmt: skip


def plan(number):
    """The verb, its source, the output and other flags of a call."""
    draw = random.Random(number)
    verb = VERBS[number % len(VERBS)]
    sources = odd_files.SOURCES
    if verb in ("train", *BATCHES):
        sources += odd_files.FOLDERS * (4 if verb == "train" else 1)
    source, out = draw.choice(sources), draw.choice(OUTPUTS)
    if draw.random() < 0.5:
        out = draw.choice(PLAIN_OUTPUTS)
    more = MORE[COMMANDS[verb]]
    count = 1 if verb == "train" else draw.choice((0, 0, 1, 1, 2))
    return verb, source, out, [word for flags in draw.sample(more, count) for word in flags]


PLANS = [plan(number) for number in range(COUNT)]


def told(call):
    verb, source, out, more = call
    return f"{verb}: {source} -o {out} {' '.join(map(str, more))}".strip()


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
    """The line of each verb with a source."""
    dream = ["dream", "red car", "--clip", models["clip"], *DREAM]
    stylize = lambda photo, style: ["stylize", photo, style, "--net", models["net"], "--steps", 2, "--size", 48, *TINY]  # noqa: E731, E501
    complete = lambda *what: ["sample", models["prior"], "--complete", *what, *TINY]  # noqa: E731
    return {
        "paint": lambda source: ["paint", source, "--model", models["paint"]],
        "detail-mask": lambda source: ["paint", "grey.png", "--model", models["paint"], "--detail-mask", source],
        "cyclegan": lambda source: ["cyclegan", source, "--model", models["cyclegan"]],
        "stylize": lambda source: stylize(source, "plain.png"),
        "content-mask": lambda source: [*stylize("grey.png", "plain.png"), "--mask", source],
        "fast": lambda source: ["stylize", source, "plain.png", "--fast", "--model", models["decoder"], "--size", 48],
        "style": lambda source: stylize("grey.png", source),
        "dream": lambda source: [*dream, "--size", 32],
        "init": lambda source: [*dream, "--init", source],
        "mask": lambda source: [*dream, "--init", "plain.png", "--mask", source],
        "image-prompt": lambda source: [*dream, "--size", 32, "--image-prompt", source],
        "dream-style": lambda source: [*dream, "--size", 32, "--stylize", source],
        "prompts": lambda source: ["dream", "--prompts", source, *dream[2:], "--size", 32],
        "from": lambda source: ["paint", "grey.png", "--model", models["paint"], "--from", source],
        "reconstruct": lambda source: ["sample", models["vqgan"], "--size", 32, "--reconstruct", source],
        "complete": lambda source: complete(source),
        "keep": lambda source: complete("plain.png", "--keep", source),
        "between": lambda source: ["sample", models["vqgan"], "--size", 32, "--between", "plain.png", source],
        "train": lambda source: ["train", "autoencoder", source, *TRAIN],
    }


@pytest.mark.parametrize("call", PLANS, ids=map(told, PLANS))
def test_a_right_result_or_one_clear_line(invoke, folder, odd, lines, call):
    verb, source, out, more = call
    shutil.copytree(odd, folder, dirs_exist_ok=True, symlinks=True)
    shutil.copy("grey.png", "there.png")
    before = snapshot(folder)
    line = [*lines[verb](source), *more, *([] if out is None else ["-o", out])]
    with odd_files.closed(folder):
        result = invoke(*line, input=Path(odd_files.STDIN).read_bytes())
    after = snapshot(folder)
    new = {name for name in after if name not in before and after[name] is not None}
    changed = {name for name, data in before.items() if after.get(name) != data}
    forced = "--force" in more and result.exit_code == 0 and "--dry-run" not in more
    replaced = {name for name in changed if forced and is_output(name, out)}
    assert "Traceback" not in result.stderr
    assert changed <= replaced, "files of the user"
    left = {name for name in after.keys() - before.keys() if is_beside(Path(name).name)}
    run_of = {str(Path(name).parent / ".lock") for name in new if verb == "train" and Path(name).name == "run.toml"}
    assert left - run_of <= {out}, "left behind"
    if result.exit_code:
        check_refusal(result, call, new)
    elif "--dry-run" in more or "--check" in more:
        assert after.keys() == before.keys()
    elif verb == "train":
        check_run(result, source, out, more, new)
    else:
        check_results(result, call, new | replaced)


def is_beside(name):
    """Whether a name is one of those that a run uses while it works."""
    return name.startswith(".") or ".preview" in name or name.endswith((".resume", ".part"))


def is_output(name, out):
    """Whether --out may stand for this file that is there before."""
    return name == out or (out == "link.png" and name == "plain.png") or (out or "").rstrip("/") == Path(name).parts[0]


def check_refusal(result, call, new):
    verb, source, out, more = call
    assert result.exit_code in (1, 2, 3)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    batch = source in odd_files.FOLDERS
    assert len(errors) == 1 or (batch and errors), result.stderr
    assert one_error_line(errors[-1]).strip() and result.stderr.splitlines()[-1] == errors[-1]
    assert batch or not new, "written in spite of an error"
    open("/tmp/hc/refusals.txt","a").write(f"{told(call)} => {result.exit_code} {errors}\n")
    assert not is_plain(call), errors[-1]


def is_plain(call):
    """Whether nothing speaks against a call."""
    verb, source, out, more = call
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
    if source.startswith("long") and out in (None, "new/", "new/*.jpg"):
        return False  # nor a longer name
    return source in TAKEN_BY[verb]


def check_results(result, call, written):
    verb, source, out, more = call
    skips = "--skip-existing" in more
    if out == "-":
        assert result.stdout_bytes.startswith(b"\x89PNG") and not written
        Image.open(io.BytesIO(result.stdout_bytes)).load()
    elif "--json" in more:
        told = [json.loads(line) for line in result.stdout.splitlines()]
        assert skips or {path for one in told for path in one["paths"]} == results(written)
    else:
        assert skips or "\n" in source or set(result.stdout.splitlines()) == results(written)
    assert out == "-" or skips or written, "neither a result nor an error"
    for name in written:
        whole(Path(name))
        check_record(name, verb, more)
    if verb != "dream":
        check_source(result, call, written)


def check_source(result, call, written):
    verb, source, out, more = call
    skips, quiet = "--skip-existing" in more, "-q" in more
    if source in odd_files.MOVING + odd_files.FIRST_ONLY and not any(note in result.stderr for note in FIRST):
        assert skips or quiet or any(map(moves, written)), "a silent first frame"
    if source == "twelve.png":
        assert skips or "white" in result.stderr
    assert skips or source not in odd_files.BAD or (verb == "prompts" and source in odd_files.TEXTS)
    if verb in ("paint", "cyclegan", "fast", "init"):
        check_likeness(call, written)
    elif verb in ("image-prompt", "dream-style", "prompts", "reconstruct") and source not in odd_files.FOLDERS:
        assert {Image.open(name).width for name in written if Path(name).suffix.lower() in images.FORMATS} <= {32}
    if source in FOUND and not skips and verb not in ("reconstruct", "complete"):
        assert len(results(written)) == FOUND[source] + (source == "photos" and "--recursive" in more)
        assert quiet or ("--recursive takes" in result.stderr) == (source == "photos" and "--recursive" not in more)


def results(written):
    """Without what --save-every leaves."""
    return {name for name in written if "-step0" not in name}


def check_record(name, verb, more):
    """What made it, where it can say so."""
    if Path(name).suffix.lower() not in files.IMAGE_SUFFIXES + files.FILM_SUFFIXES or "-step0" in name:
        return
    if "--no-metadata" in more:
        with pytest.raises(ArtgenError):
            record.read(Path(name))
    else:
        assert record.read(Path(name))["command"] == COMMANDS[verb]


def check_run(result, source, out, more, new):
    """One folder with whole weights, of the pictures there are."""
    (weights,) = json.loads(result.stdout)["paths"] if "--json" in more else result.stdout.splitlines()
    run = Path(weights).parent
    assert out is None or run == Path(out)
    assert all(run in Path(name).parents for name in new) and checkpoint.read(Path(weights))[1]["step"] == 1
    assert source not in odd_files.BAD and source not in odd_files.FILMS
    assert source != "mixed" or "left out bad.png" in result.stderr
    assert source not in odd_files.MOVING or "the first is taken" in result.stderr, "a silent first frame"


def check_likeness(call, written):
    """What keeps its size and its time."""
    verb, source, out, more = call
    if source in odd_files.FILMS + odd_files.MOVING:
        for name in filter(moves, written):
            seconds = video.seconds(Path(name)) if name.endswith((".mp4", ".webm")) else sum(delays(name)) / 1000
            assert abs(seconds - (sum(DELAYS) / 1000 if source in odd_files.MOVING else 1)) < 0.11
    elif source not in odd_files.FOLDERS and "--size" not in more and verb in ("paint", "cyclegan"):
        with Image.open(odd_files.STDIN if source == "-" else source) as image:
            size = ImageOps.exif_transpose(image).size
        for name in written:
            if Path(name).suffix.lower() in images.FORMATS:
                assert Image.open(name).size == size


def whole(path):
    """Opened and read to its end."""
    if path.suffix.lower() in (".mp4", ".webm"):
        assert video.seconds(path) > 0
    elif path.suffix.lower() in images.FORMATS or path.suffix.lower() == ".gif":
        with Image.open(path) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                assert np.asarray(image.convert("RGB")).size


def moves(name):
    if Path(name).suffix.lower() in (".mp4", ".webm"):
        return True
    with Image.open(name) as image:
        return getattr(image, "is_animated", False)
