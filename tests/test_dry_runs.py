"""Dry runs load and try no more than they must, and signals stop whatever is not waiting for them."""

import json
import os
import re
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from artcli import device, weights
from artcli.backends.dream import begin
from artcli.backends.stylize import optimise
from artcli.backends.stylize.schedule import Stage
from artcli.backends.stylize.settings import PRESETS
from artcli.commands.sample import session
from artcli.commands.sample.generator import Sampler
from artcli.commands.shared import costs
from artcli.commands.shared.loop import interruptible
from artcli.errors import UsageError
from artcli.media import decode, images, video
from artcli.training import source
from tests.conftest import one_error_line, photograph
from tests.test_cyclegan_run import tiny_translator  # noqa: F401  (a fixture)
from tests.test_start import after


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A large photo in a small file, whose packing takes a while."""
    path = tmp_path_factory.mktemp("huge") / "huge.png"
    Image.new("L", (9000, 6000), 90).save(path)
    return path


@pytest.fixture
def huge(folder, packed):
    """That photo, and a style."""
    shutil.copy(packed, "huge.png")
    photograph(folder / "style.png", (64, 48))
    return "huge.png"


def call(verb, translator, clip=None):
    return {
        "dream": ["dream", "red car", "--init", "huge.png", "--clip", clip, "--drawer", "fft", "--cutouts", 2],
        "dream --size": ["dream", "red car", "--clip", clip, "--prior", "none", "--size", 4096, "--cutouts", 2],
        "sample": ["sample", "vqgan-mini", "--reconstruct", "huge.png"],
        "train": ["train", "autoencoder", ".", "--set", "size=16"],
        "stylize": ["stylize", "huge.png", "style.png", "--time-limit", "1h", "--size", 8000],
        "stylize --fast": ["stylize", "huge.png", "style.png", "--fast", "--size", 1200],
        "cyclegan": ["cyclegan", "huge.png", "--model", translator],
        "paint": ["paint", "huge.png"],
    }[verb]


@pytest.mark.parametrize("verb", ["dream", "dream --size", "sample", "stylize", "stylize --fast", "cyclegan", "paint"])
def test_a_dry_run_of_a_huge_photo_does_not_read_its_pixels(
    invoke,
    huge,
    monkeypatch,
    tiny_translator,  # noqa: F811
    tiny_clip,
    verb,
):
    original, tried = images.load, []
    judge = optimise._seconds_of_a_step
    monkeypatch.setattr(
        images, "load", lambda source, *more: original(source, *more) if source.stem == "style" else 1 / 0
    )
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda *a: tried.append(a[3]) or judge(*a))
    drawn = begin.begin
    monkeypatch.setattr(begin, "begin", lambda *a, **k: tried.append(max(a[2].width, a[2].height)) or drawn(*a, **k))
    result = invoke(*call(verb, tiny_translator, tiny_clip), "-n")
    assert result.exit_code == 0, result.stderr
    assert "would write" in result.stderr and all(side <= (256 if "dream" in verb else 1100) for side in tried)
    assert tried or verb not in ("dream", "dream --size")


def test_a_dry_run_of_a_film_does_not_read_its_frames(invoke, folder, monkeypatch, tiny_clip):
    with video.VideoWriter(folder / "film.mp4", (48, 32), 10) as writer:
        for _ in range(7):
            writer.write(np.zeros((32, 48, 3), np.uint8))
    monkeypatch.setattr(video, "read_frames", lambda *args: 1 / 0)
    flags = ["--clip", tiny_clip, "--drawer", "fft", "--cutouts", 2, "--steps", 3, "--frame-steps", 1, "-n"]
    assert "for the first of 7 frames" in invoke("dream", "red car", "--init", "film.mp4", *flags).stderr


@pytest.mark.parametrize(("pace", "tried"), [(0.0, [1, 16]), (1.0, [1])])
def test_a_slow_generator_is_tried_with_one_picture(invoke, folder, monkeypatch, pace, tried):
    """pace: seconds that every look at the clock takes."""
    seen, now = [], [0.0]
    monkeypatch.setattr(Sampler, "generate", lambda self, rows: seen.append(self.at_once) or iter(()))
    monkeypatch.setattr(Sampler, "can", lambda self, ability: ability == "samples")
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now.append(now[-1] + pace) or now[-1]))
    bundled = weights.bundled_dir() / "diffusion-mini"  # a folder, which no table of costs knows
    result = invoke("sample", bundled, "--prompt", "red car", "-n")
    assert result.exit_code == 0, result.stderr
    assert seen == tried


def test_a_dry_run_of_a_training_reads_a_few_pictures_only(invoke, folder, monkeypatch):
    for number in range(3):
        photograph(folder / f"{number}.png", (20, 20))
    monkeypatch.setattr(source.time, "monotonic", iter(range(0, 10_000, 6)).__next__)
    result = invoke("train", "autoencoder", ".", "--set", "size=16", "-n")
    assert result.exit_code == 0, result.stderr
    assert "dry run: autoencoder on" in result.stderr and "3 pictures" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png", "2.png"]


def test_trying_stays_within_its_budget(monkeypatch):
    """A single large scale is tried on few pixels, further ones are guessed once the time is over."""
    tried = []
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda photo, styles, settings, side: tried.append(side) or 0.1)
    how = (None, None, PRESETS["slim"])
    assert optimise.seconds_per_step(*how, [Stage(8192, 1)], 1e9, budget=2.0) == [pytest.approx(0.1 * 32**2)]
    assert optimise.seconds_per_step(*how, [Stage(128, 1), Stage(256, 1), Stage(1024, 1)], 1e9, budget=2.5) == [
        0.1, 0.1, pytest.approx(1.6),
    ]  # fmt: skip
    assert tried == [256, 128, 256]


# --- foreseen -------------------------------------------------------------------------------------------------------

BUNDLED = {
    "paint": ["paint", "photo.png"],
    "cyclegan": ["cyclegan", "photo.png", "--upscale", 2],
    "stylize": ["stylize", "photo.png", "photo.png", "--size", 64, "--steps", 2],
    "stylize --fast": ["stylize", "photo.png", "photo.png", "--fast", "--size", 64],
    "dream": ["dream", "red car | sea:0.5", "--seed", 0, "--size", 96, "--steps", 2, "--cutouts", 1, "--candidates", 1],
    "dream afterwards": [
        "dream", "red car", "--seed", 0, "--init", "photo.png", "--steps", 1, "--cutouts", 1, "--paint", "--stylize",
        "photo.png",
    ],
    "sample": ["sample", "diffusion-mini", "--prompt", "red car", "--seed", 0, "--count", 1],
    "sample --reconstruct": ["sample", "vqgan-mini", "--reconstruct", "photo.png"],
}  # fmt: skip


def test_dry_runs_of_bundled_models_need_no_torch(folder):
    photograph(folder / "photo.png", (64, 48))
    _, _, said = after(*([*line, "--dry-run"] for line in BUNDLED.values()), without=["torch"])
    assert said.count("dry run: ") == said.count("would write") == len(BUNDLED), said
    assert "code" not in said.replace("code 0", "") and len(re.findall(r"about \S+, \d\.\d GB", said)) == len(BUNDLED)
    assert [path.name for path in folder.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("verb", BUNDLED)
def test_what_is_foreseen_is_what_is_found(invoke, folder, monkeypatch, verb):
    """The same lines and outputs; only seconds, memory and how a translator is built are not."""
    photograph(folder / "photo.png", (64, 48))

    def said():
        result = invoke(*BUNDLED[verb], "--dry-run")
        assert result.exit_code == 0, result.stderr
        return re.sub(r"about .* GB| \(ResNet-\d\)", "", result.stderr) + result.stdout

    monkeypatch.setattr(device, "threads", torch.get_num_threads)
    foreseen = said()
    monkeypatch.setattr(costs, "known", lambda *args: False)
    assert foreseen == said()


@pytest.mark.parametrize("verb", ["paint", "cyclegan", "stylize", "dream"])
def test_whether_all_is_known_is_found_out_once(invoke, folder, monkeypatch, verb):
    photograph(folder / "photo.png", (64, 48))
    asked = []
    monkeypatch.setattr(costs, "known", lambda *args: not asked.append(1))
    assert invoke(*BUNDLED[verb], "--dry-run").exit_code == 0
    assert len(asked) == 1


def test_a_dream_is_foreseen_with_its_trials_and_its_scenes(invoke, folder, monkeypatch):
    """Here a sketch takes 20 s for a candidate, small steps 10 s, large ones 100 s."""
    photograph(folder / "photo.png", (128, 96))
    prices = {"sketch": 1.0, "clip-mini": 0.0, "fft": 10 / 64**2, "vqgan-mini": 100 / 256**2}
    monkeypatch.setattr(costs, "seconds", lambda what, amount: prices[what] * amount)

    def seconds(prompt, *more):
        result = invoke("dream", prompt, "--steps", 100, "--seed", 1, *more, "-n", "--json", "-q")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)["seconds"]

    assert seconds("red car") == 16 * 20 + 80 * 10 + 20 * 100
    assert seconds("red car", "--best-of", 3) == seconds("red car") + 3 * (16 * 20 + 20 * 10)
    assert seconds("red car ^ sea", "--candidates", 2) == 2 * 20 + 0.8 * 16 * 20 + 40 * 10 + 60 * 100
    assert seconds("red car", "--low-part", 0) == 16 * 20 + 100 * 100
    coded = ["--init", "photo.png", "--drawer", "vqgan", "--size", 256]
    assert seconds("red car", *coded) == 100 * 100
    assert seconds("red car", *coded, "--start", "prior") == seconds("red car")


def test_seconds_follow_the_machine(monkeypatch):
    monkeypatch.setattr(costs, "TABLE", {"thing": costs.Cost(2.0, 6.0)})
    monkeypatch.setattr(device, "threads", lambda: 1)
    monkeypatch.setattr(costs, "has_bfloat16", lambda: True)
    monkeypatch.setattr(costs, "speed", lambda: costs.SPEED)
    assert costs.seconds("thing", 5) == 10
    monkeypatch.setattr(costs, "speed", lambda: costs.SPEED / 2)
    assert costs.seconds("thing", 5) == 20
    monkeypatch.setattr(device, "threads", lambda: 4)
    assert 5 < costs.seconds("thing", 5) < 20
    monkeypatch.setattr(device, "threads", lambda: 1)
    monkeypatch.setattr(costs, "has_bfloat16", lambda: False)
    assert costs.seconds("thing", 5) == 60


def test_the_machine_is_timed_once(folder, monkeypatch):
    timed = []
    monkeypatch.setattr(costs, "_time_product", lambda: timed.append(1) or 7.0 * len(timed))

    def speed():
        costs.speed.cache_clear()
        return costs.speed()

    assert [speed(), speed()] == [7, 7]
    monkeypatch.setattr(costs, "_machine", lambda: "another")
    assert [speed(), speed()] == [14, 14]
    path = weights.cache_dir() / "speed.json"
    assert sorted(json.loads(path.read_text()).values()) == [7, 14]
    for damaged in ("{", "[]", '{"another": "fast"}', '{"another": 0}'):
        path.write_text(damaged)
        assert speed() == 7 * len(timed)
    assert len(timed) == 6
    path.unlink(), path.mkdir()  # nothing can be remembered
    assert speed() == 49
    costs.speed.cache_clear()


def test_what_is_not_in_the_table_is_timed(folder, tmp_path, monkeypatch):
    assert costs.known({"painter", "upscaler"}, "cpu", ())
    assert not costs.known({"painter", "vgg19"}, "cpu", ())
    assert not costs.known({str(weights.bundled_dir() / "painter")}, "cpu", ())
    own = tmp_path / "own" / "painter"
    own.mkdir(parents=True), (own / "painter.safetensors").touch()
    assert not costs.known({"painter"}, "cpu", [own.parent])
    assert not costs.known({"painter"}, "cuda", ())
    monkeypatch.setattr(device, "_GPUS", (str(tmp_path),))
    assert not costs.known({"painter"}, "auto", ()) and costs.known({"painter"}, "cpu", ())
    assert costs.hears(["a" * 62]) and not costs.hears(["a" * 63]) and not costs.hears(["ein Häuschen"])


def test_the_size_from_the_header(folder):
    photo = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    photo.save("turned.jpg", exif=exif)
    photo.save("plain.png")
    assert [decode.size_of(folder / name) for name in ("turned.jpg", "plain.png")] == [(20, 30), (30, 20)]
    (folder / "none.png").write_bytes(b"none")
    with pytest.raises(UsageError, match=r"none\.png"):
        decode.size_of(folder / "none.png")


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("verb", ["dream", "sample", "train", "stylize", "cyclegan", "paint"])
def test_a_signal_while_loading_stops_at_once(
    invoke,
    huge,
    monkeypatch,
    tiny_translator,  # noqa: F811
    tiny_clip,
    verb,
    number,
):
    def choose(name):
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setattr(device, "choose", choose)
    monkeypatch.setattr(costs, "known", lambda *args: False)  # so that models are loaded
    result = invoke(*call(verb, tiny_translator, tiny_clip), "-n", "-q")
    assert result.exit_code == 130 and "interrupted" in one_error_line(result.stderr)


def test_a_signal_while_steps_are_planned_stops_at_once(invoke, folder, huge, monkeypatch):
    monkeypatch.setattr(optimise, "_seconds_of_a_step", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
    result = invoke("stylize", "style.png", "style.png", "--time-limit", "1h", "-o", "out.png", "-q")
    assert result.exit_code == 130 and "interrupted" in one_error_line(result.stderr)
    assert sorted(path.name for path in folder.iterdir()) == ["huge.png", "style.png"]


@pytest.mark.parametrize("planned", ["try_seed", "sketching"])
def test_a_signal_before_the_first_step_of_a_dream_stops_at_once(invoke, folder, monkeypatch, tiny_clip, planned):
    monkeypatch.setattr(begin, planned, lambda *args: os.kill(os.getpid(), signal.SIGTERM))
    more = ["--best-of", 2] if planned == "try_seed" else ["--prior", "diffusion-mini"]
    result = invoke("dream", "red car", "--clip", tiny_clip, "--size", 32, *more, "-o", "out.mp4", "-q")
    assert result.exit_code == 130 and "interrupted" in one_error_line(result.stderr)
    assert not list(folder.iterdir())


def test_what_is_awaited_and_what_is_not():
    with interruptible() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        stop.requested = False
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt), stop.at_once():
            raise AssertionError("asked for before")
