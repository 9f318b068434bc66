"""`artgen cyclegan` from the command line to the files, with a tiny random translator."""

import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.backends import translate, upscale
from artcli.media import ffmpeg, images, record, video
from artcli.nn.translators import Sizes, Translator
from artcli.pretrained import translators as translator_files
from artcli.pretrained import upscaler
from tests.batches import seeded
from tests.conftest import one_error_line, photograph, snapshot


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory):
    """An upstream checkpoint of a small random ResNet."""
    path = tmp_path_factory.mktemp("translator") / "latest_net_G.pth"
    made = seeded(lambda: Translator(Sizes(width=4, blocks=1)))
    with torch.no_grad():
        made.state_dict()["model.18.weight"].mul_(4)  # strong enough to be seen
    torch.save(made.state_dict(), path)
    return path


@pytest.fixture
def photo(folder):
    return photograph(folder / "photo.png", (100, 70))


@pytest.fixture
def cyclegan(invoke, tiny_translator, photo):
    """Fails unless it exits as expected."""

    def run(*args, code=0, model=tiny_translator, **options):
        result = invoke("cyclegan", *args, *([] if model is None else ["--model", model]), **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


def pixels(path, mode="RGB"):
    return np.asarray(Image.open(path).convert(mode)).astype(int)


def refused(result, code=2):
    assert (result.exit_code, result.stdout) == (code, "")
    return one_error_line(result.stderr)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_executable(artgen, tiny_translator, photo):
    code, out, said = artgen("cyclegan", "photo.png", "--model", tiny_translator)
    assert (code, out) == (0, "photo-cyclegan.png\n"), said
    assert "ResNet-1" in said and "100x70 in" in said
    assert Image.open("photo-cyclegan.png").size == (100, 70)
    assert np.abs(pixels("photo-cyclegan.png") - pixels("photo.png")).mean() > 5


def test_the_picture_is_what_the_network_draws(cyclegan, tiny_translator):
    cyclegan("photo.png", "-o", "a.png")
    net = Translator(Sizes(width=4, blocks=1)).eval()
    net.load_state_dict(torch.load(tiny_translator))
    image = torch.from_numpy(pixels("photo.png").transpose(2, 0, 1) / 255).float()
    wanted = translate.whole(image, net).permute(1, 2, 0).mul(255).round().numpy()
    assert np.abs(pixels("a.png") - wanted).max() <= 1


def test_the_same_bytes_again_and_from_the_record(cyclegan):
    cyclegan("photo.png", "--strength", 0.7, "-o", "a.png")
    cyclegan("photo.png", "--strength", 0.7, "-o", "b.png")
    cyclegan("--from", "a.png", "-o", "c.png", model=None)
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b == c
    made = record.read(Path("a.png"))
    assert made["command"] == "cyclegan" and made["parameters"]["strength"] == 0.7
    assert len(made["weights"]["latest_net_G.pth"]) == 16
    cyclegan("photo.png", "--no-metadata", "-o", "d.png")
    assert "artgen" not in Image.open("d.png").info


def test_batch_normalisation_and_dropout_are_upstreams_unless_told(cyclegan, folder):
    """By the picture itself, with dropout; a seed says which; the record and the first line say how it was made."""
    made = seeded(lambda: Translator(Sizes(width=4, blocks=1, norm="batch", dropout=True)))
    with torch.no_grad():
        made.state_dict()["model.18.weight"].mul_(8)
    torch.save(made.state_dict(), "batch_net_G.pth")
    ways = {"a": [], "b": ["--seed", 0], "c": ["--seed", 1], "d": ["--no-dropout"], "e": ["--eval"]}
    said = {n: cyclegan("photo.png", *w, "-o", f"{n}.png", model="batch_net_G.pth").stderr for n, w in ways.items()}
    assert "normalised by each picture, dropout of seed 0" in said["a"] and "--eval" in said["e"]
    assert "dropout" not in said["d"] and Path("a.png").read_bytes() == Path("b.png").read_bytes()
    shown = {name: pixels(f"{name}.png") for name in ways}
    for one, other in ("ac", "ad", "de", "ae"):
        assert np.abs(shown[one] - shown[other]).mean() > 0.5, (one, other)
    cyclegan("--from", "c.png", "-o", "again.png", model=None)
    assert Path("again.png").read_bytes() == Path("c.png").read_bytes()


@pytest.mark.parametrize("kind", ["jpg", "tif", "webp"])
def test_other_formats(cyclegan, kind):
    cyclegan("photo.png", "-o", f"a.{kind}")
    assert record.read(Path(f"a.{kind}"))["parameters"]["inputs"] == ["photo.png"]


def test_strength(cyclegan):
    for name, strength in (("none", 0), ("half", 0.5), ("all", 1)):
        cyclegan("photo.png", "--strength", strength, "-o", f"{name}.png")
    assert np.array_equal(pixels("none.png"), pixels("photo.png"))
    assert np.abs(2 * pixels("half.png") - pixels("photo.png") - pixels("all.png")).max() <= 2


def test_the_net_works_at_a_size_and_the_picture_keeps_its_own(cyclegan, tiny_translator, monkeypatch):
    seen, real = [], translate.translate
    monkeypatch.setattr(translate, "translate", lambda image, *how: seen.append(image.shape[1:]) or real(image, *how))
    for name, size in (("half", 35), ("own", 70), ("double", 140)):
        said = cyclegan("photo.png", "--size", size, "-n").stderr
        assert (f"drawn at {size * 10 // 7}x{size}" in said) == (size != 70)
        cyclegan("photo.png", "--size", size, "--detail", 0, "-o", f"{name}.png")
        assert Image.open(f"{name}.png").size == (100, 70)
    assert seen == [(35, 50), (70, 100), (140, 200)]
    cyclegan("photo.png", "-o", "plain.png")
    assert np.array_equal(pixels("own.png"), pixels("plain.png"))
    net = Translator(Sizes(width=4, blocks=1)).eval()
    net.load_state_dict(torch.load(tiny_translator))
    shown = torch.from_numpy(pixels("photo.png").transpose(2, 0, 1) / 255).float()
    drawn = translate.whole(images.resize(shown, (50, 35)), net)
    enlarger = upscaler.load("upscaler", torch.device("cpu"))
    wanted = upscale.upscale(drawn, enlarger, 2).permute(1, 2, 0).mul(255).numpy()
    assert np.abs(pixels("half.png") - wanted).max() <= 1, "strokes come back sharp"
    cyclegan("--from", "half.png", "-o", "again.png", model=None)
    assert Path("again.png").read_bytes() == Path("half.png").read_bytes()
    assert "upscaler" in record.read(Path("half.png"))["weights"]


@pytest.fixture
def ours(folder, tiny_translator):
    """A file of ours that has learned from pictures of so many pixels."""

    def learned_from(scale):
        made = Translator(Sizes(width=4, blocks=1))
        made.load_state_dict(torch.load(tiny_translator))
        path = folder / "a-to-b.safetensors"
        translator_files.save(path, made, direction="AtoB", default="AtoB", size=scale, scale=scale)
        return path

    return learned_from


@pytest.fixture
def own_translator(ours):
    return ours(32)


def test_ours_work_at_the_size_they_have_learned_from(cyclegan, own_translator):
    """So that strokes have a size in the picture; what is smaller is not enlarged."""
    assert "drawn at 46x32" in cyclegan("photo.png", "-n", model=own_translator).stderr
    Image.open("photo.png").resize((30, 24)).save("small.png")
    assert "drawn at" not in cyclegan("small.png", "-n", model=own_translator).stderr
    cyclegan("photo.png", "-o", "a.png", model=own_translator)
    cyclegan("photo.png", "--size", 32, "-o", "b.png", model=own_translator)
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    cyclegan("--from", "a.png", "-o", "again.png", model=None)
    assert Path("again.png").read_bytes() == Path("a.png").read_bytes()


def test_a_small_photo_and_a_large_one_become_the_same_painting(cyclegan, own_translator, folder):
    large = photograph(folder / "large.png", (400, 280))
    Image.open(large).resize((50, 35), Image.Resampling.LANCZOS).save("small.png")

    def apart(*more, **how):
        """Of the paintings, in how far the small photo is from its own."""
        for name in ("small", "large"):
            cyclegan(f"{name}.png", "-o", f"{name}-out.png", "--force", *more, **how)
        shrunk = np.asarray(Image.open("large-out.png").resize((50, 35), Image.Resampling.LANCZOS)).astype(int)
        painted = pixels("small-out.png")
        return np.abs(shrunk - painted).mean() / np.abs(painted - pixels("small.png")).mean()

    assert apart(model=own_translator) < 0.4
    assert apart("--detail", 1, model=own_translator) < 0.4


def test_edges_of_the_photo_come_back_as_far_as_asked(cyclegan, folder):
    plain = pixels(photograph(folder / "large.png", (200, 140)))
    grainy = plain + np.random.default_rng(1).integers(-40, 41, (140, 200, 1))
    Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save("large.png")
    for detail in (0, 0.5, 1):
        cyclegan("large.png", "--size", 35, "--detail", detail, "-o", f"{detail}.png")
    none, half, all_of_it = (pixels(f"{detail}.png") for detail in (0, 0.5, 1))
    inside = ((all_of_it > 0) & (all_of_it < 255)).all(2)
    assert np.abs(2 * half - none - all_of_it)[inside].max() <= 2
    assert 0.5 < np.abs(all_of_it - none).mean() < 30
    spread = np.ptp((all_of_it - none)[inside], axis=1)
    assert spread.max() <= 2, "colours stay the painting's"


def test_a_strip_is_not_enlarged_beyond_all_bounds(cyclegan):
    Image.new("RGB", (1000, 1), "red").save("strip.png")
    assert "drawn at 8192x8" in cyclegan("strip.png", "--size", 256, "-n").stderr


def test_strength_and_colours_are_the_whole_photos_at_any_working_size(cyclegan):
    cyclegan("photo.png", "--size", 32, "--strength", 0, "-o", "none.png")
    assert np.array_equal(pixels("none.png"), pixels("photo.png"))
    cyclegan("photo.png", "--size", 32, "--upscale", 2, "-o", "large.png")
    assert Image.open("large.png").size == (200, 140)


def test_keeping_colours(cyclegan):
    cyclegan("photo.png", "-o", "free.png")
    cyclegan("photo.png", "--keep-color", "-o", "kept.png")
    before, free, kept = (pixels(f"{name}.png", "YCbCr") for name in ("photo", "free", "kept"))
    inside = ((pixels("kept.png") > 0) & (pixels("kept.png") < 255)).all(2)
    assert inside.mean() > 0.3
    assert np.abs(kept - before)[inside][:, 1:].max() <= 2 < np.abs(free - before)[inside][:, 1:].max()
    assert np.abs(kept - free)[inside][:, 0].max() <= 2


def test_alpha_stays_and_what_it_hides_does_not_matter(cyclegan, folder):
    made = np.dstack((pixels("photo.png"), np.full((70, 100), 255))).astype(np.uint8)
    made[:, :30, 3], made[:, 30:40, 3] = 0, 128
    for name, hidden in (("a", 0), ("b", 255)):
        made[:, :30, :3] = hidden
        Image.fromarray(made).save(f"{name}.png")
        cyclegan(f"{name}.png", "-o", f"{name}-out.png")
    drawn = np.asarray(Image.open("a-out.png"))
    assert np.array_equal(drawn[..., 3], made[..., 3])
    assert np.array_equal(drawn, np.asarray(Image.open("b-out.png")))


def test_grey_pictures_and_tiny_ones(cyclegan):
    Image.fromarray(pixels("photo.png", "L").astype(np.uint8)).save("grey.png")
    Image.new("RGB", (1, 3), "red").save("tiny.png")
    cyclegan("grey.png", "tiny.png")
    assert Image.open("grey-cyclegan.png").size == (100, 70) and Image.open("tiny-cyclegan.png").size == (1, 3)


def test_large_pictures_come_in_tiles(cyclegan, folder):
    photograph(folder / "large.png", (300, 260))
    said = cyclegan("large.png", "--tile", 128, "-o", "tiles.png").stderr
    cyclegan("large.png", "--tile", 512, "-o", "whole.png")
    assert "cyclegan: " in said
    far = np.abs(pixels("tiles.png") - pixels("whole.png")).mean()
    assert 0 < far < 0.15 * pixels("whole.png").std()


# --- many, streams, overwriting ---------------------------------------------------------------------------------------


def test_a_folder_goes_on_after_a_bad_file(cyclegan, folder):
    (folder / "in").mkdir(), (folder / "out").mkdir()
    for name in ("a", "c"):
        photograph(folder / f"in/{name}.png", (40, 30))
    (folder / "in/b.png").write_bytes(b"no picture")
    result = cyclegan("in", "-o", "out", "-q", code=1)
    assert result.stdout == "out/a-cyclegan.png\nout/c-cyclegan.png\n"
    assert "in/b.png" in result.stderr and "1 of 3 pictures failed" in result.stderr
    (folder / "in/b.png").unlink()
    photograph(folder / "in/d.png", (40, 30))
    assert cyclegan("in", "-o", "out", "--skip-existing").stdout == "out/d-cyclegan.png\n"


def test_json(cyclegan):
    facts = json.loads(cyclegan("photo.png", "--json").stdout)
    assert facts["paths"] == ["photo-cyclegan.png"] and facts["size"] == [100, 70] and facts["direction"] is None
    assert facts["model"] == "latest_net_G.pth" and facts["seconds"] >= 0


def test_quiet(cyclegan):
    assert cyclegan("photo.png", "-q").stderr == ""


def test_streams(cyclegan, photo):
    given = photo.read_bytes()
    cyclegan("photo.png", "-o", "a.png")
    result = cyclegan("-", "-o", "-", "-q", input=given)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result.stdout_bytes))), pixels("a.png"))


def test_dry_run(cyclegan, folder):
    before = snapshot(folder)
    result = cyclegan("photo.png", "-n", "--json")
    facts = json.loads(result.stdout)
    assert facts["dry_run"] and facts["paths"] == ["photo-cyclegan.png"] and "about" in result.stderr
    assert snapshot(folder) == before


def test_what_exists_is_not_replaced(cyclegan, folder):
    cyclegan("photo.png", "-o", "a.png")
    before = snapshot(folder)
    assert "--force" in refused(cyclegan("photo.png", "-o", "a.png", code=2))
    assert snapshot(folder) == before
    cyclegan("photo.png", "-o", "a.png", "--force", "--strength", 0.5)
    assert snapshot(folder) != before


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C comes after so many parts or pictures."""
    seen = []

    def at(number):
        original = translate.translate

        def stopping(*args):
            for step in original(*args):
                seen.append(step)
                if len(seen) == number:
                    os.kill(os.getpid(), signal.SIGINT)
                yield step

        monkeypatch.setattr(translate, "translate", stopping)

    return at


def test_an_interrupted_picture_is_not_written(cyclegan, folder, interrupt):
    photograph(folder / "large.png", (300, 260))
    interrupt(2)
    message = refused(cyclegan("large.png", "--tile", 128, "-q", code=130), 130)
    assert "part 2 of" in message and not (folder / "large-cyclegan.png").exists()


def test_an_interrupted_batch_keeps_what_is_finished(cyclegan, folder, interrupt):
    photograph(folder / "second.png", (40, 30))
    interrupt(1)
    result = cyclegan("photo.png", "second.png", "-q", code=130)
    assert result.stdout == "photo-cyclegan.png\n" and "before second.png" in one_error_line(result.stderr)


# --- films ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def film(folder):
    """Ten frames with a tone."""
    path = folder / "film.mp4"
    silent = folder / "silent.mp4"
    with video.VideoWriter(silent, (48, 32), 10) as writer:
        for number in range(10):
            frame = np.full((32, 48, 3), 40, np.uint8)
            frame[8:24, 3 * number : 3 * number + 12] = (220, 120, 60)
            writer.write(frame)
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    ffmpeg.run(["-i", f"file:{silent}", *tone, "-c:v", "copy", "-shortest", f"file:{path}"], "make a film")
    return path


@pytest.mark.parametrize("more", [[], ["--size", 64]])
def test_films_keep_their_sound_and_length(cyclegan, film, more):
    facts = json.loads(cyclegan("film.mp4", "--json", *more).stdout)
    made = Path("film-cyclegan.mp4")
    assert facts["paths"] == [str(made)] and facts["frames"] == 10 and facts["flicker"] > 0 and facts["finished"]
    assert video.has_sound(made) and video.probe(made).size == (48, 32)
    assert len(list(video.read_frames(made))) == 10 == video.frame_count(made, video.probe(made))
    assert record.read(made)["parameters"]["inputs"] == ["film.mp4"]


def test_films_are_drawn_at_the_translators_size_too(cyclegan, film, ours, monkeypatch):
    seen, real = [], translate.translate
    monkeypatch.setattr(translate, "translate", lambda image, *how: seen.append(image.shape[1:]) or real(image, *how))
    cyclegan("film.mp4", model=ours(16))
    assert set(seen) == {(16, 24)} and video.probe(Path("film-cyclegan.mp4")).size == (48, 32)


def test_alpha_stays_where_the_net_works_smaller(cyclegan, folder, ours):
    photograph(folder / "clear.png", (60, 48), alpha=True)
    cyclegan("clear.png", model=ours(16))
    assert np.array_equal(pixels("clear-cyclegan.png", "RGBA")[..., 3], pixels("clear.png", "RGBA")[..., 3])


def test_an_unchanged_film_does_not_flicker_more(cyclegan, film):
    assert json.loads(cyclegan("film.mp4", "--strength", 0, "--json").stdout)["flicker"] == 1


def test_an_interrupted_film_can_be_played(cyclegan, film, interrupt):
    interrupt(4)
    result = cyclegan("film.mp4", "-o", "a.mp4", "-q", code=130)
    assert result.stdout == "a.mp4\n" and "what there was" in one_error_line(result.stderr)
    assert len(list(video.read_frames(Path("a.mp4")))) == 4


def test_a_film_without_frames(cyclegan, folder):
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    ffmpeg.run([*tone, f"file:{folder / 'tone.mp4'}"], "make a tone")
    assert "no picture track" in refused(cyclegan("tone.mp4", "-q", code=2))
    assert not (folder / "tone-cyclegan.mp4").exists()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, code, message",
    [
        ([], 2, "name a picture"),
        (["photo.png", "-o", "a.bmp"], 2, "cannot write .bmp"),
        (["photo.png", "-o", "nowhere/a.png"], 2, "no folder nowhere"),
        (["photo.png", "photo.png", "other.png"], 2, "no file other.png"),
        (["photo.png", "--direction", "left"], 2, "AtoB, BtoA"),
        (["photo.png", "-o", "a.mp4"], 2, "cannot write .mp4"),
        (["sound.mp4"], 2, "sound.mp4"),
        (["sound.mp4", "-o", "a.png"], 2, "cannot write .png"),
        (["sound.mp4", "-o", "-"], 2, "a film needs a file"),
        (["--from", "photo.png"], 2, "photo.png"),
    ],
)
def test_what_is_refused(cyclegan, folder, args, code, message):
    (folder / "sound.mp4").write_bytes(b"no film")
    before = snapshot(folder)
    assert message in refused(cyclegan(*args, "-q", code=code), code)
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "model, code, message",
    [
        ("nowhere", 2, "neither a file nor known"),
        ("photo.png", 3, "photo.png"),
        (".", 3, "holds no translator"),
    ],
)
def test_models_that_cannot_be_used(cyclegan, model, code, message):
    assert message in refused(cyclegan("photo.png", "-q", model=model, code=code), code)


def test_two_inputs_with_one_name(cyclegan, folder):
    (folder / "in").mkdir()
    photograph(folder / "in/photo.png")
    assert cyclegan("photo.png", "in", "-q").stdout == "photo-cyclegan.png\nphoto-cyclegan-2.png\n"
