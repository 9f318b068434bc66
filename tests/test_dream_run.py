"""`artgen dream` from the command line to the files, on a tiny random CLIP."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from artcli import weights
from artcli.cli import app
from artcli.commands.shared import loop
from artcli.media import images, record, video
from tests.conftest import masks, one_error_line, photograph, snapshot, with_holes

TINY = ["--drawer", "fft", "--size", 64, "--steps", 6, "--cutouts", 6, "--low-res", 0, "--prior", "none"]


@pytest.fixture
def dream(invoke, tiny_clip):
    """A short dream of 64 pixels and 6 steps; what is given behind wins.  Fails unless it exits as expected."""

    def run(*args, code=0, **options):
        result = invoke("dream", "--clip", tiny_clip, *TINY, *args, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


def run_once(*args):
    """For fixtures of the whole module."""
    result = CliRunner().invoke(app, ["dream", *map(str, args)])
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_clip):
    """What `dream` makes of a red car and seed 1."""
    path = tmp_path_factory.mktemp("plain") / "plain.png"
    run_once("--clip", tiny_clip, *TINY, "red car", "--seed", 1, "--out", path)
    return path


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def distance(a, b):
    return np.abs(pixels(a) - pixels(b)).mean()


def visible(folder):
    """Names of what lies in the folder, without locks and the like."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# --- the same bytes -------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bytes_and_another_other_ones(dream, folder):
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        dream("red car", "--seed", seed, "--out", f"{name}.mp4")
    assert visible(folder) == [f"{name}.{kind}" for name in "abc" for kind in ("mp4", "png")]
    for kind in ("png", "mp4"):
        a, b, c = (Path(f"{name}.{kind}").read_bytes() for name in "abc")
        assert a == b != c
    assert distance("a.png", "c.png") > 5


def test_a_range_of_seeds_is_as_many_single_runs(dream, plain):
    result = dream("red car", "--seed", "0-2", "--out", "a.png")
    assert result.stdout.splitlines() == ["a-0.png", "a-1.png", "a-2.png"]
    assert Path("a-1.png").read_bytes() == plain.read_bytes()
    dream("red car", "--seed", 2, "--out", "single.png")
    assert Path("a-2.png").read_bytes() == Path("single.png").read_bytes()


def test_a_drawn_seed_is_printed_and_recorded(dream):
    said = dream("red car", "--out", "a.png").stderr
    seed = record.read(Path("a.png"))["seed"]
    assert f"seed {seed}" in said
    dream("red car", "--seed", seed, "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_chunks_change_rounding_and_nothing_else(dream):
    plain = ["--loss", "spherical"]  # of which a random CLIP has a gradient well above the rounding
    dream("red car", "--seed", 1, "--out", "whole.png", *plain)
    dream("red car", "--seed", 1, "--out", "parts.png", *plain, "--chunk", 3)
    dream("red car", "--seed", 1, "--out", "uneven.png", *plain, "--chunk", 4)
    dream("red car", "--seed", 2, "--out", "other.png")
    assert max(distance("whole.png", "parts.png"), distance("whole.png", "uneven.png")) < 0.5
    assert distance("whole.png", "other.png") > 5


@pytest.mark.parametrize("loss", ["contrast", "spherical"])
def test_chunks_add_up_to_the_gradient_of_the_whole(clip, loss):
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings

    image = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    found = []
    for chunk in (64, 4):
        settings = Settings(48, 48, cutouts=9, loss=loss, chunk=chunk)
        artist = optimise._Artist(steer.texts(clip, parse("red car | blue:-0.5")), clip, settings, 0, None)
        found.append(artist._look(image, torch.Generator().manual_seed(1)))
    (whole_loss, whole), (parts_loss, parts) = found
    assert parts_loss == pytest.approx(whole_loss, rel=0.01)
    assert (parts - whole).norm() < 0.03 * whole.norm()  # bfloat16 where the machine has it


def test_other_words_give_another_picture(dream, plain):
    dream("blue house", "--seed", 1, "--out", "b.png")
    assert distance(plain, "b.png") > 0.5


# --- memory ---------------------------------------------------------------------------------------------------------


def short_of_memory(monkeypatch, limit):
    """A CLIP that takes `limit` pictures at once.  Returns the sizes that were tried."""
    from artcli.pretrained.clip import Clip

    encode, tried = Clip.encode_image, []

    def limited(self, batch):
        tried.append(len(batch))
        if len(batch) > limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        return encode(self, batch)

    monkeypatch.setattr(Clip, "encode_image", limited)
    return tried


def test_short_of_memory_the_crops_go_in_smaller_chunks(dream, monkeypatch):
    dream("red car", "--seed", 1, "--loss", "spherical", "--out", "rich.png")
    tried = short_of_memory(monkeypatch, 2)
    dream("red car", "--seed", 1, "--loss", "spherical", "--out", "poor.png")
    assert tried[:2] == [6, 3] and tried.count(6) == 1, "the size that fits is kept"
    assert distance("rich.png", "poor.png") < 0.5


def test_not_even_memory_for_one_crop(dream, folder, monkeypatch):
    short_of_memory(monkeypatch, 0)
    result = dream("red car", "-q", "--out", "a.mp4", code=1)
    assert "--size" in one_error_line(result.stderr)
    assert visible(folder) == []


def test_a_loss_that_is_not_finite(dream, folder, monkeypatch):
    from artcli.pretrained.clip import Clip

    monkeypatch.setattr(Clip, "encode_image", lambda self, batch: batch.flatten(1)[:, :32] * float("nan"))
    result = dream("red car", "-q", "--out", "a.png", code=1)
    assert "--lr" in one_error_line(result.stderr)
    assert visible(folder) == []


# --- what it starts from --------------------------------------------------------------------------------------------


def test_the_init_weight_keeps_the_photo(dream, folder, plain):
    photograph(folder / "photo.png", (64, 64))
    for name, weight in {"free": 0, "held": 10_000}.items():
        dream("red car", "--seed", 1, "--init", "photo.png", "--init-weight", weight, "--out", f"{name}.png")
    free, held, without = (distance(path, "photo.png") for path in ("free.png", "held.png", plain))
    assert held < 0.8 * free and free < 0.8 * without


def test_an_init_picture_gives_its_own_shape(dream, invoke, tiny_clip, folder):
    photograph(folder / "photo.png", (70, 41))
    flags = ["--drawer", "fft", "--steps", 2, "--cutouts", 2]
    invoke("dream", "car", "--clip", tiny_clip, *flags, "--init", "photo.png", "--out", "a.png")
    assert Image.open("a.png").size == (70, 41)
    dream("red car", "--init", "photo.png", "--size", "48x64", "--out", "b.png")
    assert Image.open("b.png").size == (48, 64)


def test_what_a_hole_hides_does_not_weigh_and_the_hole_stays(dream, folder):
    hole = with_holes(folder)
    for name in ("hole", "hole0"):
        started = ["--init", f"{name}.png", "--size", "80x56"]
        dream("red car", *started, "--init-weight", 50, "--seed", 1, "--out", f"{name}-a.png")
        dream("--image-prompt", f"{name}.png", "--seed", 1, "--out", f"{name}-b.png")
    for which in "ab":
        one, other = (np.asarray(Image.open(f"{name}-{which}.png")) for name in ("hole", "hole0"))
        assert (one == other).all()
    kept, before = (np.asarray(Image.open(name)) for name in ("hole-a.png", "whole.png"))
    assert (kept[..., 3] == np.where(hole, 0, 255)).all()
    assert (kept[~hole, :3] != before[~hole]).mean() > 0.9


@pytest.mark.parametrize("kind", ["alpha", "ones"])
def test_other_ways_to_write_a_mask(invoke, tiny_clip, folder, kind):
    photograph(folder / "photo.png", (160, 120))
    box = masks(folder, (160, 120), (40, 40, 90, 80))
    for mask in ("usual", kind):
        flags = ["--init", "photo.png", "--mask", f"{mask}.png", "--feather", 0, "--seed", 1, "--no-metadata"]
        flags += ["--clip", tiny_clip, "--drawer", "fft", "--steps", 4, "--cutouts", 4, "--out", f"{mask}-a.png"]
        assert invoke("dream", "red car", *flags).exit_code == 0
    assert Path("usual-a.png").read_bytes() == Path(f"{kind}-a.png").read_bytes()
    away = (np.asarray(Image.open("usual-a.png")) != np.asarray(Image.open("photo.png"))).any(2)
    assert away[box].mean() > 0.9 and not away[~box].any()


@pytest.fixture(scope="module")
def edit(tmp_path_factory, tiny_clip):
    folder = tmp_path_factory.mktemp("edit")
    photo = photograph(folder / "photo.png", (200, 140), alpha=True)
    y, x = np.mgrid[:140, :200]
    disc = (x - 80) ** 2 + (y - 60) ** 2 < 15**2
    Image.fromarray((disc * 255).astype(np.uint8)).save(folder / "mask.png")
    flags = ["--steps", 4, "--cutouts", 4, "--init", photo, "--mask", folder / "mask.png", "--feather", 3]
    run_once("red car", "--clip", tiny_clip, "--drawer", "fft", "--seed", 1, *flags, "--out", folder / "a.mp4")
    return folder


@pytest.fixture
def edited(edit, folder):
    """photo.png (with alpha) changed inside a white disc of mask.png: a.png and a.mp4."""
    shutil.copytree(edit, folder, dirs_exist_ok=True)
    return folder


def test_outside_the_mask_every_byte_stays(edited):
    soft = np.asarray(Image.open("mask.png").filter(ImageFilter.GaussianBlur(3)))
    before, after = (np.asarray(Image.open(name)) for name in ("photo.png", "a.png"))
    assert after.shape == before.shape == (140, 200, 4)
    outside = (soft == 0) & (before[..., 3] > 0)
    assert (after[outside] == before[outside]).all()
    assert (after[..., 3] == before[..., 3]).all()
    changed = (after[..., :3] != before[..., :3]).any(2)
    assert changed[soft > 200].mean() > 0.9


def test_an_edit_at_another_size(invoke, tiny_clip, folder):
    """As if photo and mask had that size; the record says it."""
    photo = photograph(folder / "photo.png", (200, 140))
    box = np.zeros((140, 200), np.uint8)
    box[40:80, 60:120] = 255
    Image.fromarray(box).save("mask.png")
    how = ["--clip", tiny_clip, "--drawer", "fft", "--seed", 1, "--steps", 4, "--cutouts", 4, "--feather", 0]
    flags = ["--init", "photo.png", "--mask", "mask.png", "--size", "100x70"]
    assert invoke("dream", "red car", *flags, *how, "--out", "a.png").exit_code == 0
    before, mask, after = (
        np.asarray(Image.open(path).resize((100, 70), Image.Resampling.LANCZOS))
        for path in (photo, "mask.png", "a.png")
    )
    changed = np.abs(after.astype(int) - before).max(2)
    assert Image.open("a.png").size == (100, 70)
    assert changed[mask == 0].max() <= 1 and (changed[mask == 255] > 1).mean() > 0.9
    assert invoke("dream", "--from", "a.png", "--out", "b.png").exit_code == 0
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()
    Image.new("L", (100, 70), 255).save("small.png")
    refused = invoke("dream", "car", "--init", "photo.png", "--mask", "small.png", "--size", "100x70", *how, "-q")
    assert refused.exit_code == 2 and "make them the same size" in one_error_line(refused.stderr)


def test_the_film_of_an_edit_shows_the_whole_picture(edited):
    info = video.probe(Path("a.mp4"))
    assert info.size == (200, 140)


def test_an_edit_can_be_run_again_from_its_record(edited, invoke):
    before = Path("a.png").read_bytes()
    assert invoke("dream", "--from", "a.png", "--out", "b.png").exit_code == 0
    assert Path("b.png").read_bytes() == before


# --- what steers it -------------------------------------------------------------------------------------------------


def facts(result):
    """The JSON objects on stdout."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_more_steps_come_nearer_and_a_negative_prompt_goes_away(dream):
    def similarity(prompt, steps):
        args = ("--seed", 1, "--steps", steps, "--loss", "spherical", "--json", "-f", "--out", "a.png")
        return facts(dream(prompt, *args))[0]["similarity"]

    start = similarity("red car", 1)
    assert similarity("red car", 25) > start + 0.1
    assert similarity("red car:-1", 25) < start - 0.1


def test_an_image_prompt_draws_towards_a_picture(dream, folder, clip):
    """CLIP finds the result more like the picture that was given than like another one."""
    from artcli.backends.dream import steer
    from artcli.backends.dream.prompts import Prompt

    photograph(folder / "one.png", (64, 64))
    Image.fromarray(np.tile([[[20, 200, 60]], [[240, 240, 20]]], (32, 64, 1)).astype(np.uint8)).save("two.png")
    for name in ("one", "two"):
        dream("--image-prompt", f"{name}.png", "--seed", 1, "--steps", 25, "--out", f"to-{name}.png")
    embedding = {n: steer.image(clip, Prompt(f"{n}.png"))[1] for n in ("one", "two", "to-one", "to-two")}
    assert embedding["to-one"] @ embedding["one"] > embedding["to-two"] @ embedding["one"]
    assert embedding["to-two"] @ embedding["two"] > embedding["to-one"] @ embedding["two"]


def test_noise_prompts(dream):
    outputs = {}
    for prompt in ("7", "7:1", "8", "7:-1"):
        dream("--noise-prompt", prompt, "--seed", 1, "--out", "a.png", "-f", "--no-metadata")
        outputs[prompt] = Path("a.png").read_bytes()
    assert outputs["7"] == outputs["7:1"]
    assert len(set(outputs.values())) == 3


def test_best_of_draws_the_seed_that_clip_likes(dream):
    result = dream("red car", "--seed", 10, "--best-of", 3, "--out", "a.png", "--json")
    (best,) = facts(result)
    assert best["seed"] in (10, 11, 12)
    assert f"seed {best['seed']} looks best" in result.stderr
    dream("red car", "--seed", best["seed"], "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_seeds_are_ranked_by_similarity_best_first(clip):
    from artcli.backends.dream import begin, optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings

    targets = steer.texts(clip, parse("red car"))
    settings = Settings(48, 48, steps=10, cutouts=4, low_res=32, low_part=1.0)  # as short as a trial is
    ends = {
        seed: [f.metrics["similarity"] for f in optimise.dream(targets, clip, settings, seed=seed)]
        for seed in (3, 1, 2)
    }
    expected = sorted(ends, key=lambda seed: sum(ends[seed][-5:]), reverse=True)
    scores = {seed: begin.try_seed(targets, clip, settings, seed, None) for seed in (1, 2, 3)}
    assert sorted(scores, key=lambda seed: -scores[seed]) == expected


def test_an_init_picture_comes_from_stdin_too(dream, folder):
    photograph(Path("photo.png"))
    dream("red car", "--seed", 1, "--init", "photo.png", "--out", "a.png", "--no-metadata")
    dream(
        "red car", "--seed", 1, "--init", "-", "--out", "b.png", "--no-metadata", input=Path("photo.png").read_bytes()
    )
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    masks(folder, (80, 56), (20, 10, 60, 40))
    line = ["red car", "--seed", 1, "--init", "photo.png", "--no-metadata", "--mask"]
    dream(*line, "usual.png", "--out", "c.png")
    dream(*line, "-", "--out", "d.png", input=Path("usual.png").read_bytes())
    assert Path("c.png").read_bytes() == Path("d.png").read_bytes()


def test_running_again_with_other_weights_warns(dream, folder, monkeypatch):
    dream("red car", "--out", "a.png")
    assert "not the one that the record names" not in dream("--from", "a.png", "--out", "b.png").stderr
    monkeypatch.setattr(weights, "fingerprint", lambda model: "0" * 16)
    assert "not the one that the record names" in dream("--from", "a.png", "--out", "c.png").stderr


def test_every_prompt_keeps_its_own_embedding(clip):
    from artcli.backends.dream import steer
    from artcli.backends.dream.prompts import parse

    prompts = parse("red car | blue:-0.5 | a city: night:2:0.1")
    for (prompt, embedding), wanted in zip(steer.texts(clip, prompts), prompts, strict=True):
        assert prompt == wanted
        torch.testing.assert_close(embedding, clip.encode_text([wanted.text])[0])


def test_low_resolution_first(clip):
    """The first steps draw small; frames always have the full size; the seed still decides every byte."""
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings

    settings = Settings(80, 48, steps=4, cutouts=3, low_res=32, low_part=0.5)
    runs = [list(optimise.dream(steer.texts(clip, parse("car")), clip, settings, seed=1)) for _ in range(2)]
    assert [frame.step for frame in runs[0]] == [1, 2, 3, 4]
    shown = [[frame.image() for frame in run[-1:]] for run in runs]
    assert shown[0][0].shape == (3, 48, 80) and torch.equal(shown[0][0], shown[1][0])
    sizes = [
        optimise._Artist(steer.texts(clip, parse("car")), clip, settings, 0, None)._size(step) for step in range(4)
    ]
    assert sizes == [(32, 53), (32, 53), (48, 80), (48, 80)]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "radam"])
@pytest.mark.parametrize("loss", ["contrast", "spherical", "cosine"])
def test_every_optimizer_and_loss_lowers_the_loss(clip, optimizer, loss):
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings

    settings = Settings(48, 48, steps=20, cutouts=8, optimizer=optimizer, loss=loss, augment=(), low_res=0)
    frames = list(optimise.dream(steer.texts(clip, parse("red car")), clip, settings, seed=1))
    assert frames[-1].metrics["loss"] < frames[0].metrics["loss"]


def test_a_state_goes_on_at_the_same_bytes(clip):
    """The contract that --resume rests on, for every optimizer state and across the change of size."""
    from artcli.backends.dream import optimise, steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings

    settings = Settings(48, 48, steps=6, cutouts=3, low_res=32, augment=("flip", "affine", "noise", "erase"))
    targets = steer.texts(clip, parse("red car | blue:-0.3"))
    states, last = [], None
    for frame in optimise.dream(targets, clip, settings, seed=1):
        buffer = io.BytesIO()
        torch.save(frame.state(), buffer)
        states.append(buffer)
        last = frame.image()
    for buffer in (states[0], states[3]):
        buffer.seek(0)
        state = torch.load(buffer, weights_only=True)
        *_, again = optimise.dream(targets, clip, settings, seed=1, state=state)
        assert torch.equal(again.image(), last)


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.fixture
def batch(folder):
    (folder / "prompts.txt").write_text("# cars\nred car\n\nblue car:2\n")
    (folder / "out").mkdir()
    return folder


def test_a_prompt_per_line(dream, batch):
    result = dream("--prompts", "prompts.txt", "--seed", 1, "--out", "out")
    assert result.stdout.splitlines() == ["out/red-car.png", "out/blue-car-2.png"]
    assert visible(batch / "out") == ["blue-car-2.png", "red-car.png"]
    dream("blue car:2", "--seed", 1, "--out", "single.png")
    assert Path("single.png").read_bytes() == Path("out/blue-car-2.png").read_bytes()


def test_existing_files_stop_a_batch_or_are_skipped(dream, batch):
    (batch / "out" / "red-car.png").write_text("mine")
    line = one_error_line(dream("--prompts", "prompts.txt", "-q", "--out", "out", code=2).stderr)
    assert "--force" in line and "--skip-existing" in line
    assert visible(batch / "out") == ["red-car.png"]
    result = dream("--prompts", "prompts.txt", "--out", "out", "--skip-existing")
    assert result.stdout.splitlines() == ["out/blue-car-2.png"]
    assert "1 of 2 exist already" in result.stderr
    assert (batch / "out" / "red-car.png").read_text() == "mine"
    again = dream("--prompts", "prompts.txt", "--out", "out", "--skip-existing")
    assert again.stdout == ""


def test_one_that_fails_does_not_stop_the_others(dream, batch):
    """An interrupted run whose state is damaged cannot go on; its neighbour can."""
    waiting = batch / "out" / "red-car.png.resume"
    waiting.mkdir()
    (waiting / "state.pt").write_bytes(b"damaged")
    result = dream("--prompts", "prompts.txt", "-q", "--out", "out", "--resume", code=1)
    assert result.stdout.splitlines() == ["out/blue-car-2.png"]
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("error: ") for line in lines)
    assert "red-car.png" in lines[0] and "1 of 2 pictures failed" in lines[1]
    assert (batch / "out" / "blue-car-2.png").is_file() and not (batch / "out" / "red-car.png").exists()


def test_one_that_waits_does_not_stop_the_others(dream, batch):
    """What was interrupted needs a word, --resume or --force; the other prompts do not wait for it."""
    waiting = batch / "out" / "red-car.png.resume"
    waiting.mkdir(parents=True)
    result = dream("--prompts", "prompts.txt", "-q", "--out", "out", code=1)
    assert result.stdout.splitlines() == ["out/blue-car-2.png"]
    first, last = result.stderr.splitlines()
    assert first.startswith(
        "error: an interrupted run of out/red-car.png waits in out/red-car.png.resume: add --resume"
    )
    assert last == "error: 1 of 2 pictures failed; the others are done" and waiting.is_dir()
    again = dream("--prompts", "prompts.txt", "-q", "--out", "out", "--skip-existing", code=1)
    assert again.stdout == "" and again.stderr == f"{first}\nerror: 1 of 1 picture failed\n"
    (batch / "out" / "blue-car-2.png.resume").mkdir()
    none = dream("--prompts", "prompts.txt", "-q", "--out", "out", code=2)
    assert one_error_line(none.stderr) == first.removeprefix("error: ")


# --- what is said, and where ----------------------------------------------------------------------------------------


def test_stdout_holds_the_paths_alone(dream):
    result = dream("red car", "--out", "a.mp4")
    assert result.stdout == "a.mp4\na.png\n"
    assert "dream: 6/6 loss" in result.stderr and "\x1b" not in result.stderr, "plain lines where there is no terminal"


def test_json_lines(dream):
    result = dream("red car", "--seed", "3-4", "--out", "a.png", "--json")
    lines = facts(result)
    assert [(line["paths"], line["seed"]) for line in lines] == [(["a-3.png"], 3), (["a-4.png"], 4)]
    assert all(line["finished"] and line["steps"] == 6 and line["prompt"] == "red car" for line in lines)


def test_quiet(dream):
    result = dream("red car", "-q", "--out", "a.png")
    assert result.stderr == "" and result.stdout == "a.png\n"


def test_a_picture_on_standard_output(dream, folder, plain):
    streamed = dream("red car", "--seed", 1, "--out", "-", "--json").stdout_bytes
    assert visible(folder) == [] and streamed == plain.read_bytes()


def test_the_default_name_is_the_prompt(dream, folder):
    dream("A red car!", "--steps", 1)
    assert visible(folder) == ["a-red-car.png"]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_other_formats_carry_their_record_too(dream, suffix):
    dream("red car", "--steps", 2, "--seed", 1, "--out", f"a{suffix}")
    assert Image.open(f"a{suffix}").size == (64, 64)
    assert record.read(Path(f"a{suffix}"))["parameters"]["prompt"] == "red car"


# --- while it runs --------------------------------------------------------------------------------------------------


def test_pictures_on_the_way(dream, folder, plain):
    dream("red car", "--seed", 1, "--save-every", 2, "--out", "a.png")
    assert visible(folder) == ["a-step00002.png", "a-step00004.png", "a.png"]
    assert distance("a-step00002.png", "a-step00004.png") > 0
    assert distance("a.png", plain) == 0, "looking does not change the result"


def test_the_preview_is_there_during_the_run_and_gone_after(dream, folder, monkeypatch):
    seen, save = [], images.save

    def watch(path, pixels, **how):
        save(path, pixels, **how)
        seen.append(visible(folder))

    monkeypatch.setattr(images, "save", watch)
    dream("red car", "--out", "a.png")
    assert seen[0] == ["a.preview.png"] and visible(folder) == ["a.png"]
    seen.clear()
    dream("red car", "--out", "b.png", "--no-preview")
    assert seen == [["a.png", "b.png"]]


def test_a_preview_never_touches_a_file_of_the_user(dream, folder):
    Path("a.preview.png").write_bytes(b"mine")
    dream("red car", "--out", "a.png")
    assert Path("a.preview.png").read_bytes() == b"mine" and Path("a.png").exists()


def test_a_preview_goes_away_when_the_run_fails(dream, folder, monkeypatch):
    from artcli.errors import ArtgenError

    def fail(self, step, pixels):
        raise ArtgenError("no more")

    monkeypatch.setattr(loop.Film, "add", fail)
    dream("red car", "--out", "a.mp4", code=1)
    assert visible(folder) == []


def test_a_time_limit_saves_what_there_is(dream, folder, monkeypatch):
    result = dream("red car", "--seed", 1, "--steps", 500, "--time-limit", "0.001", "--out", "a.mp4", "--json")
    (line,) = facts(result)
    assert not line["finished"] and line["steps"] < 500
    assert "time limit" in result.stderr and "--resume" in result.stderr
    assert visible(folder) == ["a.mp4", "a.mp4.resume", "a.png"]
    assert len(list(video.read_frames(Path("a.mp4")))) == line["steps"]


def test_a_time_limit_on_standard_output_leaves_no_folder(dream, folder):
    result = dream("red car", "--steps", 500, "--time-limit", "0.001", "--out", "-")
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (64, 64)
    assert "--resume" not in result.stderr and visible(folder) == []


def test_a_dry_run_writes_nothing(dream, folder):
    result = dream("red car", "--out", "a.mp4", "--dry-run", "--json")
    (line,) = facts(result)
    assert line["dry_run"] and line["paths"] == ["a.mp4", "a.png"] and line["memory_gb"] > 0
    assert visible(folder) == []


def test_a_dry_run_of_two_stages(dream, folder):
    assert "about" in dream("red car", "--low-res", 32, "-n").stderr
    assert visible(folder) == []


# --- films ----------------------------------------------------------------------------------------------------------


def frames(path):
    return list(video.read_frames(Path(path)))


def test_a_film_has_a_frame_per_step_and_rests_on_the_last(dream):
    dream("red car", "--seed", 3, "--out", "a.mp4", "--fps", 5)
    shown = frames("a.mp4")
    assert len(shown) == 6 + 5
    assert np.abs(coarse(shown[-1]) - coarse(pixels("a.png"))).mean() < 2  # H.264 halves the resolution of colour
    assert np.abs(shown[0].astype(int) - shown[5]).mean() > 1


def coarse(picture):
    """(64, 64, 3) averaged over blocks of 4 x 4."""
    return picture.reshape(16, 4, 16, 4, 3).mean((1, 3))


@pytest.mark.parametrize(("seconds", "count"), [(0.2, 2), (0.6, 6), (2, 20)])
def test_the_duration_of_a_film(dream, seconds, count):
    dream("red car", "--out", "a.mp4", "--fps", 10, "--duration", seconds)
    assert len(frames("a.mp4")) == count + 10


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_odd_sizes(dream, suffix):
    dream("red car", "--size", "65x33", "--steps", 2, "--out", f"a{suffix}")
    assert Image.open("a.png").size == (65, 33)
    width, height = video.probe(Path(f"a{suffix}")).size
    assert (width - 65, height - 33) == ((0, 0) if suffix == ".gif" else (1, 1))


# --- the record -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_record_runs_again(dream, invoke, name):
    dream("red car | blur:-0.5", "--seed", 5, "--augment", "flip,noise", "--lr", 0.07, "--out", "a.mp4", "--fps", 12)
    before = snapshot(Path())
    again = invoke("dream", "--from", name, "--out", "b.mp4", "-q")
    assert again.exit_code == 0, again.stderr
    assert Path("b.png").read_bytes() == before["a.png"] and Path("b.mp4").read_bytes() == before["a.mp4"]


def test_a_flag_beside_the_record_wins(dream, invoke):
    dream("red car", "--seed", 5, "--out", "a.png")
    invoke("dream", "--from", "a.png", "--seed", 6, "--out", "b.png")
    invoke("dream", "blue car", "--from", "a.png", "--out", "c.png")
    dream("red car", "--seed", 6, "--out", "d.png")
    assert Path("b.png").read_bytes() == Path("d.png").read_bytes()
    assert record.read(Path("c.png"))["parameters"]["prompt"] == "blue car"
    assert record.read(Path("c.png"))["seed"] == 5


def test_a_record_of_lists_runs_again(dream, invoke, folder):
    photograph(folder / "photo.png", (64, 64))
    flags = ["--image-prompt", "photo.png:0.5", "--noise-prompt", "3:0.1", "--noise-prompt", "4:0.1"]
    dream("--seed", 5, *flags, "--out", "a.png")
    invoke("dream", "--from", "a.png", "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_a_record_names_the_weights(dream, clip, tiny_clip):
    dream("red car", "--out", "a.png")
    assert record.read(Path("a.png"))["weights"] == {str(tiny_clip): weights.fingerprint(clip.model)}


def test_no_metadata(dream, invoke):
    dream("red car", "--out", "a.mp4", "--no-metadata")
    assert set(Image.open("a.png").info) == {"icc_profile"}
    for name in ("a.png", "a.mp4"):
        assert "no artgen recipe" in one_error_line(invoke("dream", "--from", name).stderr)


# --- going on -------------------------------------------------------------------------------------------------------


class Stopped:
    """Lets a run stop at a step as Ctrl-C would."""

    def __init__(self, monkeypatch):
        self.at, follow = None, loop._why_stop

        def why(frame, watch, stop, now):
            stop.requested = stop.requested or frame.step == self.at
            return follow(frame, watch, stop, now)

        monkeypatch.setattr(loop, "_why_stop", why)


@pytest.fixture
def stopped(monkeypatch):
    return Stopped(monkeypatch)


@pytest.mark.parametrize("step", [1, 4])
def test_an_interrupted_run_goes_on_to_the_same_bytes(dream, folder, stopped, step):
    dream("red car", "--seed", 1, "--out", "whole.mp4")
    stopped.at = step
    line = dream("red car", "--seed", 1, "-q", "--out", "a.mp4", code=130).stderr
    assert f"step {step} of 6" in one_error_line(line) and "--resume" in line
    assert len(frames("a.mp4")) == step
    assert (folder / "a.mp4.resume").is_dir()
    stopped.at = None
    result = dream("red car", "--seed", 1, "--out", "a.mp4", "--resume")
    assert f"going on from step {step}" in result.stderr
    assert visible(folder) == ["a.mp4", "a.png", "whole.mp4", "whole.png"]
    for kind in ("png", "mp4"):
        assert Path(f"a.{kind}").read_bytes() == Path(f"whole.{kind}").read_bytes()


def test_interrupted_twice(dream, stopped):
    dream("red car", "--seed", 1, "--out", "whole.mp4")
    for stopped.at in (2, 4):
        dream("red car", "--seed", 1, "--out", "a.mp4", "--resume", code=130)
    stopped.at = None
    dream("red car", "--seed", 1, "--out", "a.mp4", "--resume")
    assert Path("a.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_an_interrupted_run_is_not_lost_by_mistake(dream, folder, stopped):
    stopped.at = 3
    dream("red car", "--seed", 1, "--out", "a.mp4", code=130)
    stopped.at = None
    before = snapshot(folder)
    (folder / "a.mp4").unlink(), (folder / "a.png").unlink()
    assert "--resume" in one_error_line(dream("red car", "--seed", 1, "-q", "--out", "a.mp4", code=2).stderr)
    for flags, what in {
        ("--seed", 2): "seed", ("--lr", 0.1): "settings", ("--fps", 7): "film", ("--duration", 9): "film",
    }.items():  # fmt: skip
        line = dream("red car", "--seed", 1, *flags, "-q", "--out", "a.mp4", "--resume", code=2).stderr
        assert what in one_error_line(line)
    left = {name: data for name, data in before.items() if name not in ("a.mp4", "a.png")}
    assert snapshot(folder) == left


def test_starting_over_forgets_the_frames_of_the_interrupted_run(dream, stopped):
    dream("red car", "--seed", 2, "--out", "whole.mp4")
    stopped.at = 3
    dream("red car", "--seed", 1, "--out", "a.mp4", code=130)
    stopped.at = 2
    dream("red car", "--seed", 2, "--out", "a.mp4", "--force", code=130)
    stopped.at = None
    dream("red car", "--seed", 2, "--out", "a.mp4", "--resume")
    assert Path("a.mp4").read_bytes() == Path("whole.mp4").read_bytes()


def test_a_damaged_state(dream, folder, stopped):
    stopped.at = 3
    dream("red car", "--seed", 1, "--out", "a.png", code=130)
    stopped.at = None
    path = folder / "a.png.resume" / "state.pt"
    path.write_bytes(path.read_bytes()[:500])
    line = one_error_line(dream("red car", "--seed", 1, "-q", "--out", "a.png", "--resume", code=3).stderr)
    assert "state.pt" in line


def test_damaged_frames_cost_the_start_of_the_film_and_not_the_picture(dream, folder, stopped):
    dream("red car", "--seed", 1, "--out", "whole.mp4")
    stopped.at = 3
    dream("red car", "--seed", 1, "--out", "a.mp4", code=130)
    stopped.at = None
    (folder / "a.mp4.resume" / "frames.mkv").write_bytes(b"damaged")
    result = dream("red car", "--seed", 1, "--out", "a.mp4", "--resume")
    assert "warning: the interrupted film kept 0 of 3 frames" in result.stderr
    assert Path("a.png").read_bytes() == Path("whole.png").read_bytes()
    assert visible(folder) == ["a.mp4", "a.png", "whole.mp4", "whole.png"]


def test_ctrl_c_in_a_batch_stops_the_batch(dream, batch, stopped):
    stopped.at = 2
    result = dream("--prompts", "prompts.txt", "--seed", 1, "--out", "out", code=130)
    assert result.stdout.splitlines() == ["out/red-car.png"]
    stopped.at = None
    again = dream("--prompts", "prompts.txt", "--seed", 1, "--out", "out", "--resume")
    assert again.stdout.splitlines() == ["out/red-car.png", "out/blue-car-2.png"]
    dream("red car", "--seed", 1, "--out", "single.png")
    assert Path("single.png").read_bytes() == Path("out/red-car.png").read_bytes()


# --- what of the words is heard -------------------------------------------------------------------------------------


def test_how_a_prompt_was_read(dream):
    said = dream("time 10:30", "--out", "a.png", "--json")
    assert "dream: the prompt is read as 'time 10' (weight 30)\n" in said.stderr
    assert facts(said)[0]["read_as"] == "'time 10' (weight 30)"
    said = dream("time 10:30", "--out", "b.png", "--json", "--dry-run")
    assert said.stderr.count("'time 10' (weight 30)") == 1 and facts(said)[0]["read_as"]
    assert "is read as" not in dream("time 10.30", "--out", "c.png").stderr


def test_what_clip_does_not_hear(dream, clip):
    said = dream("car " * 13 + "dog горы", "--out", "a.png", "--seed", "1-2", "-q").stderr.splitlines()
    assert len(said) == 2  # once for both seeds, also when quiet
    assert said[0].startswith("warning: ") and "hears 14 pieces" in said[0]
    assert "car dog', before 'горы'" in said[0] and said[1].endswith("cannot know these words: горы")
    (found,) = facts(dream("горы", "--out", "b.png", "--json", "--dry-run"))
    assert found["unheard"][0].endswith("cannot know these words: горы")
    assert clip.unheard("naïve café Łódź µ 🚗") == []
    assert clip.unheard("赤い車")[0].endswith("these words: 赤い車")
    assert clip.unheard("x " * 14) == [] and len(clip.unheard("x " * 15)) == 1
