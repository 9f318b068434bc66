"""`artgen dream --stylize PICTURE --upscale 2 --paint`: what becomes of a dream when it is drawn."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.commands.dream import painted
from artcli.commands.shared import growing
from artcli.errors import UsageError
from artcli.media import record, strokes, video
from tests import test_dream_run, test_upscale, warm
from tests.conftest import one_error_line, photograph

dream, run_folder = test_dream_run.dream, test_upscale.run_folder
SEED = ("red car", "--seed", 1)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_it_is_painted_as_paint_would(dream, invoke, folder):
    dream(*SEED, "-o", "plain.png")
    result = dream(*SEED, "-o", "a.png", "--paint", "--gif", "--svg", "--strokes-out", "a.json", "--json")
    made = json.loads(result.stdout)
    assert made["paths"] == ["a.png", "a.json", "a.svg", "a.gif"] and made["strokes"] > 20
    assert invoke("paint", "plain.png", "-o", "b.png", "--strokes-out", "b.json", "--gif").exit_code == 0
    assert (pixels("a.png") == pixels("b.png")).all() and (pixels("a.png") != pixels("plain.png")).any()
    painting = strokes.load(Path("a.json"))
    assert (painting.strokes.table == strokes.load(Path("b.json")).strokes.table).all()
    assert Path("a.svg").read_text().startswith("<?xml") or "<svg" in Path("a.svg").read_text()
    assert Image.open("a.gif").n_frames == Image.open("b.gif").n_frames
    told = record.read(Path("a.png"))
    assert told["command"] == "dream" and told["parameters"]["paint"] is True and "painter" in str(told["weights"])
    dream("--from", "a.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("a.png").read_bytes()
    assert invoke("paint", "a.json", "-o", "c.png").exit_code == 0
    assert (pixels("c.png") == pixels("a.png")).all() and record.read(Path("c.png")) == told
    assert invoke("paint", "a.json", "--size", 96, "-o", "large.png").exit_code == 0
    with pytest.raises(UsageError, match="no artgen recipe"):
        record.read(Path("large.png"))  # dream would not make it


def test_a_film_shows_the_dream_and_then_the_painting(dream):
    dream(*SEED, "-o", "a.mp4", "--paint", "--fps", 10)
    frames = list(video.read_frames(Path("a.mp4")))
    assert len(frames) == 6 + 10 + 60 + 10  # steps, a rest, the strokes, a rest
    apart = [np.abs(frame.astype(int) - pixels("a.png")).mean() for frame in frames]
    assert apart[-1] < 6 < min(apart[6], apart[20])
    assert np.abs(frames[5].astype(int) - frames[15].astype(int)).mean() < 3, "it rests on the dream"
    dream(*SEED, "-o", "b.gif", "--paint", "--gif")
    assert sorted(path.name for path in Path().glob("b.*")) == ["b.gif", "b.png"]


def test_every_seed_has_its_own(dream):
    result = dream("red car", "--seed", "1-2", "-o", "made/", "--paint", "--svg", "--strokes-out", "made/s.json")
    assert sorted(result.stdout.split()) == sorted(
        f"made/{name}-{seed}.{kind}"
        for seed in (1, 2)
        for name, kind in (("red-car", "png"), ("s", "json"), ("red-car", "svg"))
    )


def test_styled_then_enlarged_then_painted(dream, invoke, run_folder):
    photograph(Path("style.png"), (40, 40))
    dream(*SEED, "-o", "plain.png")
    assert invoke("stylize", "plain.png", "style.png", "--fast", "--size", 64, "-o", "styled.png").exit_code == 0
    dream(*SEED, "-o", "a.png", "--stylize", "style.png")
    assert np.abs(pixels("a.png") - pixels("styled.png")).max() <= 1
    assert (pixels("a.png") != pixels("plain.png")).any()
    how = ["--paint", "--stylize", "style.png", "--upscale", 2, "--upscaler", run_folder, "--strokes-out", "b.json"]
    said = dream(*SEED, "-o", "b.png", *how).stderr
    assert ", in the style of style.png, enlarged 2 times, painted" in said
    assert strokes.load(Path("b.json")).size == (128, 128) and Image.open("b.png").size == (128, 128)
    assert {"adain", "painter"} <= {name.split("-")[0] for name in record.read(Path("b.png"))["weights"]}


def test_enlarged_and_styled_in_the_order_given(dream, invoke, run_folder):
    photograph(Path("style.png"), (40, 40))
    larger, style = ["--upscale", 2, "--upscaler", run_folder], ["--stylize", "style.png"]
    dream(*SEED, "-o", "large.png", *larger)
    assert invoke("stylize", "large.png", "style.png", "--fast", "--size", 128, "-o", "styled.png").exit_code == 0
    said = dream(*SEED, "-o", "a.png", *larger, *style).stderr
    assert ", enlarged 2 times, in the style of style.png" in said
    assert np.abs(pixels("a.png") - pixels("styled.png")).max() <= 1
    assert record.read(Path("a.png"))["parameters"]["upscale_first"] is True
    dream("--from", "a.png", "-o", "again.png")
    dream(*SEED, "-o", "told.png", *style, *larger, "--upscale-first")
    assert Path("again.png").read_bytes() == Path("told.png").read_bytes() == Path("a.png").read_bytes()
    dream(*SEED, "-o", "b.png", *style, *larger)
    assert (pixels("b.png") != pixels("a.png")).any()


@pytest.mark.parametrize(
    "given, line",
    [
        (["--upscale-first", "--upscale", 2], "--upscale-first is about the order of --upscale and --stylize"),
        (["--svg", "--gif"], "--gif, --svg is of a painting: add --paint"),
        (["--strokes-out", "a.json"], "--strokes-out is of a painting: add --paint"),
        (["--paint", "--strokes-out", "a.txt"], "cannot write .txt"),
        (["--paint", "--gif", "-o", "-"], "--out - writes the picture alone, without --gif"),
        (["--stylize", "style.pgn"], "no file style.pgn. Did you mean 'style.png'?"),
        (["--paint", "--svg", "-o", "there.png"], "there.svg exists"),
        (["--paint", "--init", "film.mp4", "-o", "a.mp4"], "--paint is for a picture, and film.mp4 is a film"),
    ],
)
def test_refusals(dream, folder, given, line):
    photograph(folder / "style.png", (16, 12))
    (folder / "there.svg").touch()
    with video.VideoWriter(folder / "film.mp4", (32, 32), 5) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
    assert line in one_error_line(dream("red car", *given, code=2).stderr)


def test_a_dry_run_counts_it(dream, folder):
    photograph(folder / "style.png", (16, 12))
    result = dream(*SEED, "-o", "a.mp4", "--paint", "--svg", "--stylize", "style.png", "--dry-run")
    assert result.stdout.split() == ["a.mp4", "a.png", "a.svg"] and not Path("a.png").exists()


def test_interrupted_while_the_painting_grows(dream, monkeypatch):
    real = growing.growing

    def stopping(*args):
        for number, frame in enumerate(real(*args)):
            yield frame
            if number == 3:
                os.kill(os.getpid(), 2)

    monkeypatch.setattr(painted.growing, "growing", stopping)
    result = dream(*SEED, "-o", "a.mp4", "--paint", "--gif", "--fps", 10, "--json", code=130)
    assert json.loads(result.stdout)["paths"] == ["a.mp4", "a.png"] and not json.loads(result.stdout)["finished"]
    assert "not all that shows how was written" in result.stderr
    assert len(list(video.read_frames(Path("a.mp4")))) == 6 + 10 + 5 + 10


def test_by_a_pipe(folder, tiny_clip):
    """dream writes to standard output what paint reads from standard input, as two programs."""
    reading, writing = os.pipe()
    dream = ["dream", "red car", "--clip", tiny_clip, *test_dream_run.TINY, "--seed", 1, "-o", "-"]
    first = warm.Process(dream, stdout=writing)
    with warm.Process(["paint", "-", "--gif", "-o", "out.png"], stdin=reading, stdout=warm.PIPE, text=True) as second:
        os.close(reading), os.close(writing)
        out, _ = second.communicate(300)
    assert (first.wait(300), second.returncode) == (0, 0)
    assert sorted(out.split()) == ["out.gif", "out.png"]
    assert Image.open("out.png").size == (64, 64)
    assert sorted(path.name for path in folder.iterdir()) == ["out.gif", "out.png"]
