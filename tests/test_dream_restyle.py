"""Films drawn anew: `artgen dream --init film.mp4`."""

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from artcli.backends.dream import optimise, steer
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.prompts import parse
from artcli.backends.dream.restyle import _Source, restyle
from artcli.backends.dream.settings import Redrawing, Settings
from artcli.backends.dream.story import Story
from artcli.commands.shared import loop
from artcli.media import ffmpeg, record, video
from artcli.nn.vqgan import VQGAN, Sizes
from tests.batches import seeded
from tests.conftest import one_error_line, photograph, snapshot

TINY = Sizes((8, 8), 1, (), False, 8, 16, 8, groups=4)
COUNT, SIZE, FPS = 6, (48, 32), 10


def pictures(count=COUNT):
    """A square that crosses a slope of colours, (32, 48, 3) uint8 each."""
    x = np.linspace(0, 120, SIZE[0], dtype=np.uint8)
    for number in range(count):
        frame = np.stack(np.broadcast_arrays(x, 60, np.linspace(40, 160, SIZE[1], dtype=np.uint8)[:, None]), 2)
        frame[10:22, 4 + 3 * number : 16 + 3 * number] = (230, 200, 40)
        yield frame.astype(np.uint8)


def tensors(count=COUNT):
    return [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in pictures(count)]


@pytest.fixture(scope="module")
def model():
    return seeded(lambda: VQGAN(TINY)).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr("artcli.backends.dream.codes.fast_dtype", lambda device: torch.float32)


# --- the frames -----------------------------------------------------------------------------------------------------

HOW = Settings(*SIZE, steps=3, cutouts=3, low_res=0)


def drawn(clip, film=None, pace=None, settings=HOW, words="a city", seed=1, **more):
    film = tensors() if film is None else film
    story = Story([steer.texts(clip, parse(scene)) for scene in words.split(" ^ ")])
    return restyle(story, clip, settings, pace or Redrawing(2, 0.8), film, len(film), seed=seed, **more)


@pytest.mark.parametrize("drawer", ["fft", "vqgan"])
def test_it_goes_on_at_the_same_bytes(clip, model, drawer):
    more = {"vqgan": model if drawer == "vqgan" else None, "words": "a city ^ a city at night"}
    states, shown = [], []
    for frame in drawn(clip, **more):
        buffer = io.BytesIO()
        torch.save(frame.state(), buffer)
        states.append(buffer)
        shown.append(frame)
    assert [frame.step for frame in shown] == list(range(1, 3 + COUNT)) and {f.total for f in shown} == {2 + COUNT}
    for done in (2, 3, 6):
        states[done - 1].seek(0)
        *_, last = drawn(clip, **more, state=torch.load(states[done - 1], weights_only=True))
        assert torch.equal(last.image(), shown[-1].image()) and last.metrics == shown[-1].metrics


def test_a_frame_at_a_time(clip):
    """No frame is read before its turn, and words and pictures are those of the frame."""
    read = []

    def film():
        for number, frame in enumerate(tensors()):
            read.append(number)
            yield frame

    story = Story([steer.texts(clip, parse("a city"))])
    for frame in restyle(story, clip, HOW, Redrawing(1), film(), COUNT):
        assert len(read) == max(1, frame.step - HOW.steps + 1)


def test_steady_films_flicker_less(clip):
    """Four steps for each frame alone, or one on what is there: that says more of the words, and flickers less."""

    def means(pace):
        """Over some seeds, as this few steps of so small a net depend on rounding."""
        how = replace(HOW, steps=4)
        last = [[*drawn(clip, pace=pace, settings=how, seed=seed)][-1].metrics for seed in range(1, 5)]
        return {name: fmean(metrics[name] for metrics in last) for name in ("flicker", "similarity")}

    alone, kept = means(Redrawing(4, 0)), means(Redrawing(1, 0.9))
    assert kept["flicker"] < 0.9 * alone["flicker"]
    assert kept["similarity"] > alone["similarity"]


def test_the_pull_is_to_each_frame(clip):
    def away(weight):
        film = tensors()
        found = [frame.image() for frame in drawn(clip, settings=replace(HOW, init_weight=weight))][HOW.steps - 1 :]
        return [(one - other).abs().mean().item() for one, other in zip(found, film, strict=True)]

    for held, free in zip(away(1e5), away(0), strict=True):
        assert held < 0.7 * free


def test_the_drawing_moves_along(clip):
    """Before any step is done, a frame looks like the one before it, with the square where it is now."""
    film, marked = tensors(3), tensors(3)
    marked[1][2] = 1.0  # what was drawn on the frame before: everything bluer
    source = _Source(film, HOW, Redrawing(1, 1.0), torch.device("cpu"), 1)
    canvas, how = source.begin(marked[1])
    assert how.steps == 1 and source.now is film[2] and canvas.photo is film[2]
    assert canvas.before is not None and canvas.before[2, :, :].median() > 0.95
    square, left = canvas.before[0, 12:20, 12:20].mean(), canvas.before[0, 12:20, 2:7].mean()
    assert square > 0.8 > 0.2 > left


def test_a_cut_is_drawn_like_a_beginning(clip):
    source = _Source([torch.zeros(3, 32, 48), torch.ones(3, 32, 48)], HOW, Redrawing(1), torch.device("cpu"), 0)
    canvas, how = source.begin(torch.full((3, 32, 48), 0.5))
    assert how is HOW and torch.equal(canvas.before, canvas.photo)


@pytest.mark.parametrize("drawer", ["fft", "vqgan"])
def test_the_start_lies_between_two_pictures(clip, model, drawer):
    """At the ends of the scale it is one of them, and what is drawn in between is between them."""
    one, other = tensors(2)[0], torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    targets = steer.texts(clip, parse("a city"))

    def latents(canvas):
        vqgan = model if drawer == "vqgan" else None
        return optimise._Artist(targets, clip, HOW, 0, canvas, vqgan).drawer.latents()

    first, second = latents(Canvas(one)), latents(Canvas(other))
    for steady in (0.0, 0.25, 1.0):
        for a, b, mixed in zip(first, second, latents(Canvas(one, before=other, steady=steady)), strict=True):
            torch.testing.assert_close(mixed, a.lerp(b, steady))


def test_the_first_frame_has_as_many_steps_as_the_others_together():
    assert (Redrawing(4, 0.9).first, Redrawing(3, 0.0).first, Redrawing(1, 0.98).first) == (40, 3, 50)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def film(folder):
    """Six frames in 0.6 seconds, with a tone."""
    path, silent = folder / "film.mp4", folder / "silent.mp4"
    with video.VideoWriter(silent, SIZE, FPS) as writer:
        for frame in pictures():
            writer.write(frame)
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    ffmpeg.run(["-i", f"file:{silent}", *tone, "-c:v", "copy", "-shortest", f"file:{path}"], "make a film")
    silent.unlink()
    return path


@pytest.fixture
def dream(invoke, tiny_clip, model, film):
    def run(*args, init="film.mp4", code=0):
        flags = ["--clip", tiny_clip, "--seed", 1, "--cutouts", 3, "--steps", 3, "--frame-steps", 1, "--init", init]
        result = invoke("dream", "a city", "--drawer", "fft", *flags, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def facts(result):
    (line,) = result.stdout.splitlines()
    return json.loads(line)


@pytest.fixture
def stop_at(monkeypatch):
    """Ctrl-C comes at that step."""
    follow, chosen = loop._why_stop, []

    def why(frame, watch, stop, now):
        stop.requested = stop.requested or frame.step in chosen[-1:]
        return follow(frame, watch, stop, now)

    monkeypatch.setattr(loop, "_why_stop", why)
    return chosen.append


def frames(path):
    return list(video.read_frames(Path(path)))


@pytest.mark.parametrize("drawer", ["fft", "vqgan"])
def test_length_rate_size_and_sound_are_the_films(dream, model, drawer):
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, "codes.safetensors", metadata={"vqgan": json.dumps(asdict(TINY))})
    more = ["--drawer", "vqgan", "--vqgan", "codes.safetensors"] if drawer == "vqgan" else []
    found = facts(dream(*more, "--out", "a.mp4", "--json"))
    assert found["paths"] == ["a.mp4", "a.png"] and found["finished"] and found["flicker"] > 0
    assert (found["frames"], found["steps"]) == (COUNT, 3 + COUNT - 1)
    made = Path("a.mp4")
    assert video.probe(made) == (SIZE, FPS) and video.has_sound(made) and len(frames(made)) == COUNT
    last = np.asarray(Image.open("a.png").convert("RGB")).astype(int)
    assert np.abs(last - frames(made)[-1]).mean() < 20
    for path in (made, Path("a.png")):
        parameters = record.read(path)["parameters"]
        assert (parameters["init"], parameters["steps"], parameters["size"]) == ("film.mp4", 3, "48x32")


def test_another_rate_keeps_the_length_and_duration_cuts(dream):
    dream("--fps", 5, "--out", "slow.mp4")
    assert video.probe(Path("slow.mp4")).fps == 5 and len(frames("slow.mp4")) == 3
    dream("--duration", 0.3, "--size", "64x48", "--out", "short.webm")
    assert len(frames("short.webm")) == 3 and video.probe(Path("short.webm")).size == (64, 48)
    assert video.has_sound(Path("short.webm"))


def test_it_runs_again_from_its_record(dream, invoke):
    dream("--out", "a.mp4")
    assert invoke("dream", "--from", "a.mp4", "--out", "b.mp4").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_names_that_are_not_given(dream, folder):
    assert dream().stdout.splitlines() == ["a-city.mp4", "a-city.png"]
    (folder / "out").mkdir()
    assert dream("--out", "out").stdout.splitlines() == ["out/a-city.mp4", "out/a-city.png"]


def test_a_gif_is_what_is_made_of_it(dream, folder):
    moving = [Image.fromarray(frame) for frame in pictures(3)]
    moving[0].save("moving.gif", save_all=True, append_images=moving[1:], duration=100)
    moving[0].save("still.gif")
    assert facts(dream("--out", "a.gif", "--json", init="moving.gif"))["frames"] == 3
    assert "frames" not in facts(dream("--out", "b.mp4", "--json", init="still.gif"))
    assert dream("--out", "c.png", init="moving.gif").stdout == "c.png\n"


@pytest.mark.parametrize("step", [2, 5])
def test_an_interrupted_film_goes_on_to_the_same_bytes(dream, stop_at, folder, step):
    dream("--out", "whole.mp4")
    stop_at(step)
    result = dream("--out", "a.mp4", "-q", code=130)
    assert f"step {step} of 8" in one_error_line(result.stderr) and "--resume" in result.stderr
    if step > 2:
        assert result.stdout.splitlines() == ["a.mp4", "a.png"]
        assert len(frames("a.mp4")) == step - 2 and video.has_sound(Path("a.mp4"))
    else:  # the first frame was not finished, and only the picture shows how far it came
        assert result.stdout.splitlines() == ["a.png"] and not (folder / "a.mp4").exists()
    stop_at(0)
    assert f"going on from step {step}" in dream("--out", "a.mp4", "--resume").stderr
    for kind in ("png", "mp4"):
        assert Path(f"a.{kind}").read_bytes() == Path(f"whole.{kind}").read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["a.mp4", "a.png", "film.mp4", "whole.mp4", "whole.png"]


def test_another_film_is_another_run(dream, stop_at, film):
    stop_at(4)
    dream("--out", "a.mp4", code=130)
    assert "other pace" in one_error_line(dream("--out", "a.mp4", "--resume", "--steady", 0, "-q", code=2).stderr)
    silent = film.with_name("other.mp4")
    ffmpeg.run(["-i", f"file:{film}", "-an", "-c:v", "copy", f"file:{silent}"], "take away the sound")
    assert "other init" in one_error_line(dream("--out", "a.mp4", "--resume", "-q", init=silent, code=2).stderr)


def test_best_of_and_previews_and_a_dry_run(dream, folder):
    before = snapshot(folder)
    assert facts(dream("--out", "a.mp4", "-n", "--json"))["dry_run"] and snapshot(folder) == before
    result = dream("--best-of", 2, "--save-every", 4, "--out", "a.mp4")
    assert "looks best" in result.stderr and "preview in a.preview.png" in result.stderr
    assert sorted(p.name for p in folder.glob("a*")) == ["a-step00004.png", "a.mp4", "a.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "a.png"], "give --out NAME.mp4"),
        (["--out", "-"], "give --out NAME.mp4"),
        (["--out", "a.mp4", "--mask", "photo.png"], "--mask belongs to one picture"),
        (["--out", "a.mp4", "--drawer", "vqgan", "--shifts", 4], "--shifts goes with a picture, and"),
        (["--out", "a.mp4", "--start", "prior", "--prior", "diffusion-mini"], "--prior, --start goes with a picture"),
        (["--out", "a.mp4", "--low-res", 32], "--low-res goes with a picture"),
        (["--out", "a.mp4", "--zoom", 1.1], "--zoom, --pan and --rotate move a picture"),
        (["--out", "a.mp4", "--init", "damaged.mp4"], "not a film, or is damaged"),
        (["--out", "a.mp4", "--init", "tone.mp4"], "no picture track"),
        (["--out", "a.mp4", "--init", "nowhere.mp4"], "no file nowhere.mp4"),
    ],
)
def test_what_is_refused(dream, folder, flags, message):
    (folder / "damaged.mp4").write_bytes(b"no film")
    photograph(folder / "photo.png")
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    ffmpeg.run([*tone, f"file:{folder / 'tone.mp4'}"], "make a tone")
    before = snapshot(folder)
    assert message in one_error_line(dream(*flags, "-q", code=2).stderr)
    assert snapshot(folder) == before


def test_a_film_that_breaks_off(dream, film, folder):
    film.rename("whole.mp4")
    ffmpeg.run(["-i", "file:whole.mp4", "-c", "copy", "-f", "matroska", "file:film.mkv"], "copy")
    data = Path("film.mkv").read_bytes()
    Path("film.mkv").write_bytes(data[: len(data) * 2 // 3])
    result = dream("--out", "a.mp4", "-q", "--json", init="film.mkv")
    assert facts(result)["frames"] < COUNT, "what there is of it is drawn"
