"""Generated calls, verbs x odd files x outputs: each ends in a right result or in one clear line.

No traceback, no file of the user lost or changed, nothing half written, no first frame of an animation taken silently.
ODD_CALLS=300 tries as many; `-v` shows what was tried.
"""

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from artcli.media import images, video
from artcli.nn.vqgan import VQGAN, Sizes
from artcli.training import checkpoint
from tests import odd_files
from tests.conftest import DELAYS, delays, one_error_line, snapshot
from tests.test_cyclegan_run import tiny_translator  # noqa: F401  (a fixture)
from tests.test_stylize_fast import decoder  # noqa: F401
from tests.test_stylize_run import net  # noqa: F401

COUNT = int(os.environ.get("ODD_CALLS", "60"))
OUTPUTS = (
    None, "x.png", "x.jpg", "x.webp", "x.tif", "x.gif", "x.mp4", "X.PNG", "x.bmp", "x", "new/", "no/x.png",
    "there.png", "plain.png", "-", "new/*.jpg",
)  # fmt: skip
MORE = ([], [], ["--size", 32], ["--no-metadata"], ["--force"], ["--json"], ["--skip-existing"], ["--dry-run"])
TINY = ["--seed", 1]
TRAIN = ["--set", "size=16", "--set", "width=4", "--set", "batch=2", "--steps", 1, *TINY]
DREAM = ["--drawer", "fft", "--steps", 2, "--frame-steps", 1, "--cutouts", 2, "--prior", "none", *TINY]
VERBS = (
    "paint",
    "cyclegan",
    "stylize",
    "fast",
    "style",
    "init",
    "mask",
    "image-prompt",
    "reconstruct",
    "between",
    "train",
)
BATCHES = ("paint", "cyclegan", "stylize", "fast", "reconstruct")  # which take several inputs
WRITES_FILMS = (".gif", ".mp4", ".webm")
OF_TRAINING = ([], ["--json"], ["--dry-run"], ["--check"])
FOUND = {"photos": 2, "twin": 2}  # pictures that a batch takes
FIRST = "its first frame is taken"


def plan(number):
    """The verb, its source, the output and other flags of a call; the first calls go through all sources in turn."""
    draw = random.Random(number)
    verb = VERBS[number % len(VERBS)]
    if verb == "train":  # which makes a folder, whatever its name, and takes all that a folder holds
        return (
            verb,
            draw.choice(odd_files.SOURCES + odd_files.FOLDERS * 4),
            draw.choice(OUTPUTS),
            draw.choice(OF_TRAINING),
        )
    sources = odd_files.SOURCES + odd_files.FOLDERS * (verb in BATCHES)
    return verb, draw.choice(sources), draw.choice(OUTPUTS), draw.choice(MORE)


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
def lines(tmp_path_factory, tiny_painter, tiny_clip, tiny_translator, decoder, net):  # noqa: F811
    """The line of each verb with a source."""
    vqgan = tmp_path_factory.mktemp("vqgan") / "last.ckpt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(VQGAN(Sizes((32, 64), 1, (), False, 8, 16, 6)).state_dict(), vqgan)
    dream = ["dream", "red car", "--clip", tiny_clip, *DREAM]
    return {
        "paint": lambda source: ["paint", source, "--model", tiny_painter],
        "cyclegan": lambda source: ["cyclegan", source, "--model", tiny_translator],
        "stylize": lambda source: ["stylize", source, "plain.png", "--net", net, "--steps", 2, "--size", 48, *TINY],
        "fast": lambda source: ["stylize", source, "plain.png", "--fast", "--model", decoder, "--size", 48],
        "style": lambda source: ["stylize", "grey.png", source, "--net", net, "--steps", 2, "--size", 48, *TINY],
        "init": lambda source: [*dream, "--init", source],
        "mask": lambda source: [*dream, "--init", "plain.png", "--mask", source],
        "image-prompt": lambda source: [*dream, "--size", 32, "--image-prompt", source],
        "reconstruct": lambda source: ["sample", vqgan, "--size", 32, "--reconstruct", source],
        "train": lambda source: ["train", "autoencoder", source, *TRAIN],
        "between": lambda source: ["sample", vqgan, "--size", 32, "--between", "plain.png", source],
    }


@pytest.mark.parametrize("call", PLANS, ids=map(told, PLANS))
def test_a_right_result_or_one_clear_line(invoke, folder, odd, lines, call):
    verb, source, out, more = call
    shutil.copytree(odd, folder, dirs_exist_ok=True)
    shutil.copy("grey.png", "there.png")
    before = snapshot(folder)
    line = [*lines[verb](source), *more, *([] if out is None else ["-o", out])]
    if verb in ("image-prompt", "stylize", "fast", "style") and "--size" in more:
        line = [*lines[verb](source), *([] if out is None else ["-o", out])]
    result = invoke(*line)
    after = snapshot(folder)
    new = {name for name in after if name not in before and after[name] is not None}
    changed = {name for name, data in before.items() if after.get(name) != data}
    replaced = {out} if "--force" in more and result.exit_code == 0 and "--dry-run" not in more else set()
    assert "Traceback" not in result.stderr
    assert changed <= replaced, "files of the user"
    left = [name for name in after if ".part" in name or ".lock" in name]
    assert not left or (verb == "train" and Path(left[0]).name == ".lock" and len(left) == 1), "left behind"
    if result.exit_code:
        check_refusal(result, source, new)
    elif "--dry-run" in more or "--check" in more:
        assert not new
    elif verb == "train":
        check_run(result, source, out, more, new)
    else:
        check_results(result, call, new | {name for name in replaced if name in before})


def check_refusal(result, source, new):
    assert result.exit_code in (1, 2, 3)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    batch = source in odd_files.FOLDERS
    assert len(errors) == 1 or (batch and errors), result.stderr
    assert one_error_line(errors[-1]).strip() and result.stderr.splitlines()[-1] == errors[-1]
    assert batch or not new, "written in spite of an error"


def check_results(result, call, written):
    verb, source, out, more = call
    skips = "--skip-existing" in more
    if out == "-":
        assert result.stdout_bytes.startswith(b"\x89PNG") and not written
    else:
        assert skips or "--json" in more or set(result.stdout.splitlines()) == written
        assert skips or written, "neither a result nor an error"
    for name in written:
        whole(Path(name))
    if source in odd_files.MOVING and FIRST not in result.stderr:
        assert skips or any(map(moves, written)), "a silent first frame"
    if source == "twelve.png":
        assert skips or "white" in result.stderr
    assert skips or source not in odd_files.BAD
    if verb in ("paint", "cyclegan") and written:
        check_likeness(source, more, written)
    if source in FOUND and not skips and verb != "reconstruct":
        assert len(written) == FOUND[source]
        assert ("--recursive" in result.stderr) == (source == "photos")


def check_run(result, source, out, more, new):
    """One folder with whole weights, of the pictures there are."""
    (weights,) = json.loads(result.stdout)["paths"] if "--json" in more else result.stdout.splitlines()
    run = Path(weights).parent
    assert out is None or run == Path(out)
    assert all(run in Path(name).parents for name in new) and checkpoint.read(Path(weights))[1]["step"] == 1
    assert source not in odd_files.BAD and source not in odd_files.FILMS
    assert source != "mixed" or "left out bad.png" in result.stderr
    assert source not in odd_files.MOVING or "the first is taken" in result.stderr, "a silent first frame"


def check_likeness(source, more, written):
    """What keeps its size and its time."""
    if source in odd_files.FILMS + odd_files.MOVING:
        for name in filter(moves, written):
            seconds = video.seconds(Path(name)) if name.endswith(".mp4") else sum(delays(name)) / 1000
            assert abs(seconds - (sum(DELAYS) / 1000 if source in odd_files.MOVING else 1)) < 0.11
    elif source not in odd_files.FOLDERS and "--size" not in more:
        with Image.open(source) as image:
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
