"""What the command-line tests share: an empty folder to work in, the real executable, tiny random models."""

import os

# Tiny nets are fastest on one thread, and the bytes of a run depend on the number of threads; set before torch comes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import functools
import gc
import json
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from hypothesis import HealthCheck, settings
from PIL import Image

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell has what it starts in the background ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
EXECUTABLE = [sys.executable, "-m", "artcli"]
# To compile artgen and its tests takes each process seconds: they keep the bytecode, whatever is usual on the machine.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.disable()  # until all is imported: every search for garbage would walk through it again
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow])  # of a machine, not of a test
settings.load_profile("busy")
# To build the commands takes as long as a small call; a process does it once.
typer.testing._get_command = functools.cache(typer.testing._get_command)


SLOW = (  # files that take longest: they come first, and no process is left with one at the end
    "test_to_onnx", "test_diffusion", "test_dream_diffusers", "test_dream_run", "test_train_cyclegan",
    "test_every_model", "test_paint_run", "test_stylize_run", "test_cyclegan_run", "test_bundled", "test_stylegan",
    "test_train", "test_gan", "test_upscale", "test_train_clip", "test_paint_lines", "test_odd_calls",
    "test_report_browser", "test_uncompiled",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in SLOW)


def pytest_collection_finish():
    """What the tests import stays, and is left out of all searches from now on, which come less often than usual."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test is about the loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """A running browser, in which a test opens its page; skips where there is none."""
    from tests import browser

    with browser.started(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder, without settings of the user or of the machine."""
    for name in [name for name in os.environ if name.startswith("ARTGEN_")]:
        monkeypatch.delenv(name)
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.setenv("ARTGEN_CONFIG", str(outside / "none.toml"))
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(outside / "cache"))
    inside = tmp_path / "work"
    inside.mkdir()
    monkeypatch.chdir(inside)
    return inside


@pytest.fixture
def artgen(folder):
    """Run the executable as a process in the folder: (exit code, stdout, stderr)."""
    from tests import warm

    def run(*args, timeout=120):
        with warm.Process(args, stdout=warm.PIPE, stderr=warm.PIPE) as process:
            out, err = process.communicate(timeout)
        return process.returncode, out.decode(), err.decode()

    return run


@pytest.fixture
def invoke(folder):
    """Run a command in this process, where torch is loaded already."""
    from typer.testing import CliRunner

    from artcli.cli import app

    def run(*args, **options):
        result = CliRunner().invoke(app, list(map(str, args)), **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def snapshot(folder):
    """Every file below the folder with its bytes, every folder with None."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def one_error_line(stderr):
    """The text behind `error:`, after making sure that it is all there is."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ") and "Traceback" not in lines[0]
    return lines[0].removeprefix("error: ")


TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "patch_size": None},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def _make_sensitive(model):
    """A random net sees every picture nearly alike; normalise and centre what it sees, so that pictures differ."""
    import torch

    coarse = torch.rand(64, 3, 4, 4)
    images = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic") * 4 - 2
    with torch.no_grad():
        for _ in range(30):  # batch normalisation learns its statistics
            model.train().encode_image(images)
        model.visual.attnpool.c_proj.bias -= model.eval().encode_image(images).mean(0)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """A folder with a random CLIP of a ModifiedResNet that looks at 32 pixels: what `--clip` takes."""
    import torch
    from safetensors.torch import save_file

    from artcli.pretrained.clip import library

    open_clip, folder = library(), tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.model.CLIP(**TINY_CLIP)
        _make_sensitive(model)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    config = {"model_cfg": TINY_CLIP, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def clip(tiny_clip):
    """The tiny CLIP, loaded."""
    import torch

    from artcli.pretrained import clip

    return clip.load(str(tiny_clip), torch.device("cpu"))


@pytest.fixture(scope="session")
def tiny_painter(tmp_path_factory):
    """A random painter whose strokes are of a sensible size: what `--model` takes."""
    import torch

    from artcli.models.painter import model as painter

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = painter.Model(painter.Config(width=32, ffn=32, layers=1))
        model.linear_param[4].weight *= 4
        model.linear_param[4].bias += torch.tensor([0.5, 0.5, 0.5, 0.3, 0.2])
        model.linear_decider.bias += 1
        model.query_pos *= 8
    folder = tmp_path_factory.mktemp("painter")
    model.export(folder)
    return folder


def with_exif(path, picture=None):
    """A photo of a camera: turned by 90 degrees, with who, when and where, a preview's size and the maker's notes."""
    exif = Image.Exif()
    exif.update({0x010E: "a field", 0x0110: "ModelY", 0x0112: 6, 0x8298: "(c) nobody"})
    exif.get_ifd(0x8769).update({0x9003: "2021:05:06 07:08:09", 0x927C: b"notes" * 50, 0xA002: 9999, 0xA001: 65535})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 3.0, 1.5)})
    picture = picture or Image.open(photograph(path.with_suffix(".png")))
    whole = Image.Exif()
    whole.load(exif.tobytes())  # Pillow's writer of TIFF takes tables within tables from what was read only
    picture.save(path, exif=whole)
    return path


def exif_of(path):
    """All of an image's EXIF as one mapping."""
    with Image.open(path) as image:
        found = image.getexif()
        return {**found, **found.get_ifd(0x8769), **{("gps", k): v for k, v in found.get_ifd(0x8825).items()}}


DELAYS = [100, 100, 100, 1000, 100, 100]  # milliseconds


def animation(path, size=(48, 32)):
    """A square that jumps, with a rest in the middle."""
    frames = []
    for number in range(len(DELAYS)):
        frame = np.full((size[1], size[0], 3), (40, 90, 150), np.uint8)
        frame[10:20, 4 + 6 * number : 14 + 6 * number] = (250, 200, 0)
        frames.append(Image.fromarray(frame))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DELAYS, loop=0)
    return path


def delays(path):
    """How long each frame of an animation is shown, in milliseconds."""
    found = []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            found.append(round(image.info["duration"]))
    return found


def with_holes(folder, size=(80, 56)):
    """hole.png and hole0.png, alike to the eye: beneath the same round hole lie two colours.  Where that is, (H, W)."""
    rgb = np.asarray(Image.open(photograph(folder / "whole.png", size)))
    y, x = np.mgrid[: size[1], : size[0]]
    hole = (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < (size[1] / 4) ** 2
    rgba = np.dstack((rgb, np.where(hole, 0, 255).astype(np.uint8)))
    for name, colour in (("hole.png", (0, 255, 0)), ("hole0.png", 0)):
        rgba[hole, :3] = colour
        Image.fromarray(rgba).save(folder / name)
    return hole


def masks(folder, size, box):
    """usual.png, alpha.png and ones.png: the same mask, white in a box (left, top, right, bottom), in three ways."""
    grey = np.zeros(size[::-1], np.uint8)
    grey[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(grey).save(folder / "usual.png")
    Image.fromarray(grey // 255).save(folder / "ones.png")
    Image.fromarray(np.dstack((np.full((*grey.shape, 3), 255, np.uint8), grey))).save(folder / "alpha.png")
    return grey > 0


def photograph(path: Path, size=(80, 56), alpha=False):
    """A colourful picture with a soft gradient, a disc and some grain, so that nothing about it is symmetric."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(float)
    disc = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (height * 0.25) ** 2
    rgb = np.stack((40 + 150 * x / width, 60 + 120 * y / height, 160 - 80 * x / width), 2)
    rgb[disc] = (220, 60, 40)
    rgb += np.random.default_rng(0).normal(0, 6, rgb.shape)
    pixels = rgb.clip(0, 255).astype(np.uint8)
    if alpha:
        pixels = np.dstack((pixels, (255 * y / height).astype(np.uint8)))
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def refereed_clip(tiny_clip, tmp_path):
    """A copy of the tiny CLIP's folder with a referee of another seed."""
    import open_clip
    import torch

    from artcli.pretrained import referee

    folder = Path(shutil.copytree(tiny_clip, tmp_path / "refereed"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = open_clip.model.CLIP(**TINY_CLIP)
        _make_sensitive(model)
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    referee.export(folder, model.visual, 20.0, TINY_CLIP, preprocess)
    return folder


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory, tiny_clip):
    """A folder with a random diffusion model of 16 pixels that hears every word: what `--prior` takes."""
    import torch

    from artcli.models import diffusion

    shape = {"widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "features": 16, "size": 16, "texts": 32}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = diffusion.Model(diffusion.Config(**shape, clip=str(tiny_clip)))
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    folder = tmp_path_factory.mktemp("prior")
    model.export(folder)
    return folder
