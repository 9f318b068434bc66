"""`artgen paint` from the command line to the files, with a tiny painter that puts a few strokes into each patch."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.commands.paint import run as paint_run
from artcli.commands.paint.request import Request
from artcli.commands.shared import growing
from artcli.errors import UsageError
from artcli.media import record, video
from tests.conftest import animation, masks, one_error_line, photograph, snapshot


@pytest.fixture
def photo(folder):
    return photograph(folder / "photo.png", (100, 70))


@pytest.fixture
def paint(invoke, tiny_painter, photo):
    """Fails unless it exits as expected."""

    def run(*args, code=0, **options):
        result = invoke("paint", *args, "--model", tiny_painter, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.fixture
def replay(invoke):
    def run(*args, code=0):
        result = invoke("paint", *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("photo."))


# --- outputs --------------------------------------------------------------------------------------------------------


def test_the_executable_paints(artgen, tiny_painter, folder):
    photograph(folder / "photo.png", (100, 70))
    code, out, said = artgen("paint", "photo.png", "--gif", "--duration", 1, "--model", tiny_painter)
    assert (code, out) == (0, "photo-painted.png\nphoto-painted.gif\n"), said
    assert Image.open("photo-painted.png").size == video.probe(Path("photo-painted.gif")).size == (100, 70)
    assert "strokes in" in said


def test_every_kind_of_output(paint, folder):
    result = paint("photo.png", "--gif", "--mp4", "--webm", "--svg", "--each-layer", "--strokes-out", "s.json",
                   "--duration", 0.5, "--json")  # fmt: skip
    facts = json.loads(result.stdout)
    kinds = ["gif", "mp4", "png", "svg", "webm"]
    layers = [f"photo-painted-layer-{n}.png" for n in (1, 2, 3)]
    assert visible(folder) == sorted([*layers, *(f"photo-painted.{kind}" for kind in kinds), "s.json"])
    assert sorted(facts["paths"]) == visible(folder)
    assert facts["finished"] and facts["size"] == [100, 70] and facts["strokes"] > 20
    assert all(Image.open(layer).mode == "RGBA" for layer in layers)
    count = json.loads(Path("s.json").read_text())["strokes"]
    assert len(count) == facts["strokes"] == Path("photo-painted.svg").read_text().count("<use ")


def test_layers_laid_on_each_other_are_the_painting(paint):
    paint("photo.png", "--each-layer", "--background", "white", "-o", "a.png")
    whole = Image.new("RGBA", (100, 70), "white")
    for number in (1, 2, 3):
        whole = Image.alpha_composite(whole, Image.open(f"a-layer-{number}.png"))
    assert np.abs(np.asarray(whole.convert("RGB")).astype(int) - pixels("a.png")).max() <= 3


@pytest.mark.parametrize("kind", ["jpg", "tif", "webp"])
def test_other_formats_carry_the_recipe_too(paint, kind):
    paint("photo.png", "-o", f"a.{kind}")
    made = record.read(Path(f"a.{kind}"))
    assert made["command"] == "paint" and made["parameters"]["inputs"] == ["photo.png"] and made["weights"]


def test_a_film_as_out_leaves_its_last_frame(paint, folder):
    paint("photo.png", "-o", "a.mp4", "--duration", 1, "--fps", 10)
    assert visible(folder) == ["a.mp4", "a.png"]
    frames = list(video.read_frames(Path("a.mp4")))
    assert len(frames) == 20, "a second, and a second at rest"
    assert np.abs(frames[-1].astype(int) - pixels("a.png")).mean() < 6
    distances = [np.abs(f.astype(int) - pixels("a.png")).mean() for f in frames]
    assert distances[0] > distances[5] > distances[-1]


def test_the_same_bytes_again_and_from_the_record(paint, folder):
    paint("photo.png", "--brush", "dry", "--palette", 6, "-o", "a.png")
    paint("photo.png", "--brush", "dry", "--palette", 6, "-o", "b.png")
    paint("--from", "a.png", "-o", "c.png")
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b == c
    paint("--from", "a.png", "--brush", "flat", "-o", "d.png")
    assert np.abs(pixels("a.png") - pixels("d.png")).mean() > 1


def test_no_metadata(paint):
    paint("photo.png", "--no-metadata", "-o", "a.png", "--strokes-out", "s.json")
    assert "artgen" not in Image.open("a.png").info and json.loads(Path("s.json").read_text())["recipe"] is None


# --- strokes again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--no-metadata"], ["--background", "transparent", "--opacity", 0.7]])
def test_strokes_give_the_pictures_bytes(paint, replay, flags):
    paint("photo.png", "--strokes-out", "s.json", "-o", "a.png", *flags)
    replay("s.json", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_strokes_give_the_pictures_bytes_with_alpha_and_a_brush_of_ones_own(paint, replay, folder):
    photograph(folder / "photo.png", (100, 70), alpha=True)
    y, x = np.mgrid[:60, :90]
    Image.fromarray((255 * (((x - 45) / 45) ** 2 + ((y - 30) / 30) ** 2 > 1)).astype(np.uint8)).save("own.png")
    paint("photo.png", "--brush", "own.png", "--strokes-out", "s.json", "-o", "a.png")
    Path("own.png").unlink()
    replay("s.json", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert (np.asarray(Image.open("a.png"))[..., 3] == np.asarray(Image.open("photo.png"))[..., 3]).all()


def test_what_is_written_beside_a_picture_of_another_size_has_that_size(paint, replay):
    paint("photo.png", "--size", 50, "--strokes-out", "s.json", "--svg", "-o", "a.png")
    replay("s.json", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert 'width="50"' in Path("a.svg").read_text()


def test_one_stroke_is_one(paint):
    assert "paint: 1 stroke in" in paint("photo.png", "--strokes", 1).stderr


def test_the_work_follows_the_size_that_is_painted(paint, folder):
    """As if the photo had that size; a photo that is smaller is painted as it is."""
    photograph(folder / "large.png", (800, 560))
    strokes = {}
    for size in (None, 100, 32):
        args = [] if size is None else ["--size", size]
        done = json.loads(paint("large.png", "--json", "-q", "-f", "-o", "a.png", *args).stdout)
        planned = paint("large.png", "-n", *args).stderr
        strokes[size] = done["strokes"], int(planned.split(" patches")[0].split()[-1])
        assert done["size"] == [size or 800, round(0.7 * (size or 800))]
    assert strokes[32][1] == 1 + 4 and strokes[32][0] <= 8 * 5
    assert strokes[100][1] < strokes[None][1] / 20 and strokes[100][0] < strokes[None][0] / 10


def test_strokes_at_another_size_are_the_same_painting(paint, replay):
    paint("photo.png", "--strokes-out", "s.json", "-o", "a.png")
    replay("s.json", "--size", 400, "-o", "b.png")
    paint("photo.png", "--size", 400, "-o", "c.png")
    large = Image.open("b.png")
    assert large.size == (400, 280)
    assert np.abs(np.asarray(large.resize((100, 70), Image.Resampling.BOX)).astype(int) - pixels("a.png")).mean() < 4
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes(), "even the recipe: it says what --from would do"


def test_strokes_need_no_torch(artgen, paint, folder):
    paint("photo.png", "--strokes-out", "s.json", "-o", "a.png")
    code = "import sys; from artcli.cli import app; app(['paint', 's.json'], standalone_mode=False)"
    code += "; assert 'torch' not in sys.modules"
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", code], check=True)


def test_options_that_would_do_nothing_are_refused(paint, replay, folder):
    paint("photo.png", "--strokes-out", "s.json", "-o", "a.png")
    result = replay("s.json", "--mode", "quality", "--detail", 2, "-q", code=2)
    assert "--mode, --detail" in one_error_line(result.stderr)
    result = replay("s.json", "--background", "average", "-q", "-o", "b.png", code=2)
    assert "name a colour" in one_error_line(result.stderr)


# --- controls -------------------------------------------------------------------------------------------------------


def strokes_of(path):
    return len(json.loads(Path(path).read_text())["strokes"])


def test_controls_do_what_they_say(paint, folder):
    Image.fromarray(np.repeat([[0, 255]], 70, 0).repeat(50, 1).astype(np.uint8)).save("mask.png")
    flags = {
        "plain": [], "few": ["--strokes", 40], "fine": ["--detail", 2], "coarse": ["--layers", 1],
        "long": ["--min-stroke", 30], "half": ["--detail-mask", "mask.png"], "slow": ["--mode", "quality"],
    }  # fmt: skip
    for name, more in flags.items():
        paint("photo.png", *more, "-o", f"{name}.png", "--strokes-out", f"{name}.json", "-q")
    count = {name: strokes_of(f"{name}.json") for name in flags}
    assert count["few"] == 40 and max(count["coarse"], count["long"]) < count["plain"] < count["fine"]
    assert count["half"] < count["plain"]
    away = {name: np.abs(pixels(f"{name}.png") - pixels("photo.png")).mean() for name in flags}
    assert away["slow"] < away["plain"] and away["plain"] < away["coarse"]


@pytest.mark.parametrize("kind", ["alpha", "ones"])
def test_other_ways_to_write_a_mask(paint, folder, kind):
    masks(folder, (100, 70), (0, 0, 50, 70))
    for mask in ("usual", kind):
        paint("photo.png", "--detail-mask", f"{mask}.png", "-o", f"{mask}-a.png", "--no-metadata", "-q")
    paint("photo.png", "-o", "plain.png", "--no-metadata", "-q")
    usual, other, plain = (Path(f"{name}.png").read_bytes() for name in ("usual-a", f"{kind}-a", "plain"))
    assert usual == other != plain


@pytest.mark.parametrize("more", [[], ["--size", 80]])
def test_a_dithered_picture_is_painted_in_its_tones(paint, folder, more):
    grey = np.linspace(90, 160, 100)[None].repeat(70, 0).astype(np.uint8)
    Image.fromarray(grey).convert("1").save("bits.png")
    paint("bits.png", "-o", "a.png", "-q", *more)
    seen = pixels("a.png")
    assert seen.min() > 40 and seen.max() < 215, "strokes in the colour of a dot"


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_request_from_values_is_the_command_lines(invoke, photo, monkeypatch):
    asked = []
    monkeypatch.setattr(paint_run, "run", lambda request, console: asked.append(request))
    invoke("paint", "photo.png", "--strokes", 9, "--mode", "quality", "--gif", "--strokes-out", "s.json", "-o", "out/")
    values = {"inputs": ["photo.png"], "strokes": 9, "mode": "quality", "gif": True, "strokes_out": "s.json"}
    assert asked == [Request.from_values({**values, "out": "out/"})]


def test_values_win_over_a_recorded_run(paint):
    paint("photo.png", "--detail", 2, "--layers", 1, "-o", "a.png")
    settings = Request.from_values({"from_file": "a.png", "detail": 0.5}).options.settings
    assert (settings.detail, settings.layers) == (0.5, 1)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"inputs": ["photo.png"], "detial": 2}, "no option 'detial'. Did you mean 'detail'"),
        ({"inputs": ["photo.png"], "detail": 9}, "--detail"),
        ({"inputs": ["photo.png"], "mode": "best"}, "--mode 'best' is not known; there are: fast, quality"),
        ({"inputs": ["s.json"], "detail": 2}, "--detail decides which strokes"),
        ({}, "name a photo"),
    ],
)
def test_wrong_values_are_refused(photo, values, word):
    Path("s.json").touch()
    with pytest.raises(UsageError) as refused:
        Request.from_values(values)
    assert word in str(refused.value) and refused.value.exit_code == 2


# --- batches and streams --------------------------------------------------------------------------------------------


def test_a_batch_goes_on_after_a_bad_file(paint, folder):
    (folder / "photos").mkdir()
    (folder / "done").mkdir()
    for name in ("a", "c"):
        photograph(folder / "photos" / f"{name}.png", (40, 30))
    (folder / "photos" / "b.jpg").write_text("not a picture")
    result = paint("photos", "-o", "done", "-q", code=1)
    assert result.stdout.splitlines() == ["done/a-painted.png", "done/c-painted.png"]
    assert "b.jpg" in result.stderr and "1 of 3 pictures failed" in result.stderr
    recorded = [record.read(Path(path))["parameters"]["inputs"] for path in result.stdout.splitlines()]
    assert recorded == [["photos/a.png"], ["photos/c.png"]], "each its own photo, not the folder"
    before = snapshot(folder / "done")
    paint("photos/a.png", "photos/c.png", "-o", "done", "--skip-existing")
    assert snapshot(folder / "done") == before


def test_from_stdin_to_stdout(paint, folder):
    data = (folder / "photo.png").read_bytes()
    result = paint("-", "-o", "-", "-q", input=data)
    assert Image.open(io.BytesIO(result.stdout_bytes)).size == (100, 70)
    assert visible(folder) == []


def test_nothing_is_replaced_and_nothing_is_begun(paint, folder):
    (folder / "photo-painted.gif").write_bytes(b"mine")
    before = snapshot(folder)
    result = paint("photo.png", "--gif", "-q", code=2)
    assert "photo-painted.gif exists" in one_error_line(result.stderr)
    assert snapshot(folder) == before
    paint("photo.png", "--gif", "--duration", 0.2, "--force")


def test_dry_run_writes_nothing(paint, folder):
    before = snapshot(folder)
    result = paint("photo.png", "--gif", "-n", "--json")
    assert json.loads(result.stdout)["dry_run"] and "patches without its film, about" in result.stderr
    assert snapshot(folder) == before


def test_a_dry_run_of_strokes_says_how_long_too(paint, invoke, folder):
    paint("photo.png", "--strokes-out", "s.json", "-o", "a.png")
    flags = ["-n", "--json", "-q", "--size"]
    told = {size: json.loads(invoke("paint", "s.json", *flags, size).stdout) for size in (100, 6400)}
    assert told[100]["strokes"] > 0 and told[6400]["seconds"] > told[100]["seconds"]


def test_a_dry_run_of_a_film_counts_its_frames(paint, folder):
    animation(folder / "film.gif")
    line, still = (paint("film.gif", "-o", name, "-n", "--json") for name in ("a.gif", "a.png"))
    assert "15 frames of 48x32" in line.stderr and "patches a frame at most, about" in line.stderr
    assert "frame" not in still.stderr.splitlines()[-1]


@pytest.mark.parametrize("when", ["painting", "filming"])
def test_ctrl_c_saves_what_there_is(paint, folder, monkeypatch, when):
    if when == "painting":
        real = paint_run.Studio._mask

        def stopping(self, size):
            self.stop.requested = True
            return real(self, size)

        monkeypatch.setattr(paint_run.Studio, "_mask", stopping)
    else:
        real_write = growing.write

        def stopping_film(path, painting, pace, stop, console):
            stop.requested = True
            return real_write(path, painting, pace, stop, console)

        monkeypatch.setattr(growing, "write", stopping_film)
    result = paint("photo.png", "-o", "a.mp4", "--duration", 1, "-q", code=130)
    assert "interrupted" in one_error_line(result.stderr)
    assert visible(folder) == (["a.png"] if when == "painting" else ["a.mp4", "a.png"])
    if when == "filming":
        assert len(list(video.read_frames(Path("a.mp4")))) == 1


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """More pixels than any photo has; to pack them takes half a second."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    Image.new("1", (20_000, 20_000)).save(path)
    return path


@pytest.mark.parametrize(
    ("flags", "code", "word"),
    [
        ([], 2, "name a photo"),
        (["nothing.jpg"], 2, "no file nothing.jpg"),
        (["photo.png", "--brush", "flatt"], 2, "Did you mean 'flat'"),
        (["photo.png", "--background", "reed"], 2, "no colour"),
        (["photo.png", "--palette", "x"], 2, "neither a number"),
        (["photo.png", "--mode", "slow"], 2, "fast, quality"),
        (["photo.png", "--pace", "x"], 2, "change, strokes"),
        (["photo.png", "--out", "a.bmp"], 2, ".bmp"),
        (["photo.png", "--out", "missing/a.png"], 2, "no folder missing"),
        (["photo.png", "photo.png", "photo2.png", "--out", "a.png"], 2, "2 inputs"),
        (["photo.png", "--strokes-out", "a.txt"], 2, ".txt"),
        (["photo.png", "--out", "-", "--gif"], 2, "picture alone"),
        (["photo.png", "--detail-mask", "mask.png"], 2, "no file mask.png"),
        (["text.jpg"], 2, "a text file"),
        (["cut.jpg"], 2, "cut short"),
        (["large.png"], 2, "million pixels"),
        (["photo.png", "strokes.json", "--mode", "x"], 2, "fast, quality"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(paint, folder, large, flags, code, word):
    photograph(folder / "photo2.png")
    (folder / "text.jpg").write_text("hello")
    photograph(folder / "whole.jpg", (300, 300))
    (folder / "cut.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:3000])
    shutil.copy(large, "large.png")
    (folder / "strokes.json").write_text('{"artgen": "strokes", "version": 1, "size": [NaN, 2]}')
    before = snapshot(folder)
    result = paint(*flags, "-q", code=code)
    assert word in one_error_line(result.stderr)
    assert snapshot(folder) == before


@pytest.mark.parametrize("text", ['{"artgen": "strokes", "version": 1, "size": [NaN, 2]}', "{}", ""])
def test_damaged_strokes(replay, folder, text):
    (folder / "strokes.json").write_text(text)
    assert "strokes.json" in one_error_line(replay("strokes.json", "-q", code=2).stderr)
    assert visible(folder) == ["strokes.json"]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (300, 2)])
def test_thin_and_tiny_photos(paint, folder, size):
    photograph(folder / "thin.png", size)
    paint("thin.png", "--strokes-out", "s.json", "--gif", "--duration", 0.2, "-q")
    assert Image.open("thin-painted.png").size == size


def test_hidden_colours_do_not_bleed_into_the_rim(paint, folder):
    rgba = np.zeros((60, 60, 4), np.uint8)
    rgba[15:45, 15:45] = (250, 240, 230, 255)
    Image.fromarray(rgba).save("logo.png")
    paint("logo.png", "-q")
    seen = np.asarray(Image.open("logo-painted.png"))
    assert seen[seen[..., 3] > 0][:, :3].min() > 200


def test_an_animation_gives_its_first_frame(paint, folder):
    frames = [Image.new("RGB", (50, 40), color) for color in ("red", "blue")]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    said = paint("a.gif", "-o", "a-painted.png").stderr
    assert (pixels("a-painted.png").mean((0, 1)) - (255, 0, 0) < 25).all()
    assert said.count("a.gif is an animation: its first frame is taken") == 1


def test_the_bundled_painter_paints_what_it_is_shown(artgen, folder):
    photograph(folder / "photo.png")
    code, _, said = artgen("paint", "photo.png", "-q", "--offline")
    assert code == 0, said
    shown, painted = pixels("photo.png").astype(float), pixels("photo-painted.png").astype(float)
    plain = np.square(shown - shown.mean((0, 1))).mean()
    assert np.square(shown - painted).mean() < 0.2 * plain


def test_a_folder_without_a_painter(invoke, folder):
    photograph(folder / "photo.png")
    (folder / "run").mkdir()
    result = invoke("paint", "photo.png", "--model", "run", "-q")
    assert result.exit_code == 3 and "holds no painter" in one_error_line(result.stderr)


# --- pacing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("even", ["strokes", "change"])
def test_every_frame_has_its_part_and_the_last_one_all(paint, even):
    from artcli.media import strokes as stroke_files

    paint("photo.png", "--strokes-out", "s.json", "-q")
    painting = stroke_files.load(Path("s.json"))
    ends = growing.frames(painting, 12, even)
    assert len(ends) == 12 and ends == sorted(ends) and ends[-1] == len(painting.strokes)
    if even == "change":
        assert ends[2] < len(painting.strokes) / 6, "broad strokes change most, so they come slowly"
