"""`--upscale` of dream, sample, stylize and cyclegan: the finished picture is enlarged, and nothing else is."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from artcli import weights
from artcli.backends import upscale
from artcli.commands.sample import sheet
from artcli.commands.shared import finish, loop, options
from artcli.commands.shared.enlarge import Enlargement, Enlarger
from artcli.errors import ArtgenError, UsageError, WeightsError
from artcli.media import decode, images, record, video
from artcli.models import upscaler
from artcli.pretrained import adain as adain_files
from artcli.pretrained import clip as clip_backend
from artcli.pretrained import feature_nets
from artcli.pretrained import translators as translator_files
from artcli.pretrained import upscaler as finished_upscaler
from artcli.training import runs
from tests import sample_fake, test_cyclegan_run, test_stylize_fast, test_stylize_run
from tests.batches import seeded
from tests.conftest import one_error_line, photograph, snapshot
from tests.sample_fake import Model
from tests.test_stylize_fast import clip as film_of_a_disc
from tests.test_stylize_run import painting

workshop, sample = sample_fake.workshop, sample_fake.sample
tiny_translator, net, decoder = test_cyclegan_run.tiny_translator, test_stylize_run.net, test_stylize_fast.decoder

CPU = torch.device("cpu")
VERBS = ["dream", "stylize", "fast", "cyclegan", "sample"]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """The folder of a run that ended with an upscaler which changes what it sees."""
    folder = tmp_path_factory.mktemp("upscaler") / "run"
    model = seeded(lambda: upscaler.Model(upscaler.Config(width=4, blocks=1, perceptual=0.0)))
    with torch.no_grad():
        model.net.last.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(0))
    model.export(folder / "model")
    return folder


@pytest.fixture(scope="session")
def enlarged(run_folder):
    """What has to come of pixels."""
    return {factor: finish.load(finish.Wanted(Enlargement(factor, str(run_folder))), CPU) for factor in (2, 4)}


@pytest.fixture
def lines(folder, tiny_clip, net, decoder, tiny_translator):
    """A short call of each verb, which draws one picture."""
    photograph(folder / "photo.png", (40, 28))
    painting(folder / "painting.png")
    pictures = ["photo.png", "painting.png"]
    few = ["--drawer", "fft", "--prior", "none", "--size", "40x32", "--steps", 4, "--cutouts", 2, "--seed", 1]
    return {
        "dream": ["dream", "car", "--clip", tiny_clip, *few],
        "stylize": ["stylize", *pictures, "--net", net, "--size", 40, "--steps", 3],
        "fast": ["stylize", *pictures, "--fast", "--model", decoder, "--size", 40],
        "cyclegan": ["cyclegan", "photo.png", "--model", tiny_translator],
        "sample": ["sample", "runs/tiny", "--seed", "3-3", "--separate", "--size", "40x32"],
    }


@pytest.fixture
def call(invoke, lines, workshop):
    """Run the short call of a verb; fails unless it exits as expected."""

    def run(verb, *args, code=0, **options):
        result = invoke(*lines[verb], *args, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


def pixels(path, mode="RGB"):
    return np.asarray(Image.open(path).convert(mode))


def refused(result):
    assert result.stdout == ""
    return one_error_line(result.stderr)


# --- the finished picture ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_the_finished_picture_is_enlarged_and_says_how(call, invoke, lines, run_folder, enlarged, verb):
    call(verb, "-o", "small.png")
    said = call(verb, "-o", "a.png", "--upscale", 2, "--upscaler", run_folder).stderr
    call(verb, "-o", "four.png", "--upscale", 4, "--upscaler", run_folder / "model")
    small = pixels("small.png")
    assert (pixels("a.png") == enlarged[2](small)).all() and "enlarged 2 times" in said
    assert (pixels("four.png") == enlarged[4](small)).all()
    assert pixels("four.png").shape == (4 * small.shape[0], 4 * small.shape[1], 3)

    made, plain = record.read(Path("a.png")), record.read(Path("small.png"))
    assert made["parameters"]["upscale"] == 2 and made["parameters"]["upscaler"] == str(run_folder)
    assert made["weights"] == {**plain["weights"], **enlarged[2].weights}
    assert not {"upscale", "upscaler"} & set(plain["parameters"])
    again = invoke(lines[verb][0], "--from", "a.png", "-o", "b.png")
    assert again.exit_code == 0, again.stderr
    assert Path("b.png").read_bytes() == Path("a.png").read_bytes()


def test_the_executable(artgen, lines, run_folder):
    code, out, said = artgen(*lines["cyclegan"], "-o", "a.png", "--upscale", 2, "--upscaler", run_folder)
    assert (code, out) == (0, "a.png\n"), said
    assert Image.open("a.png").size == (80, 56)


@pytest.mark.parametrize("verb", VERBS[:4])
def test_to_standard_output(call, run_folder, verb):
    wanted = ["--upscale", 2, "--upscaler", run_folder]
    call(verb, "-o", "a.png", *wanted)
    assert call(verb, "-o", "-", "-q", *wanted).stdout_bytes == Path("a.png").read_bytes()


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([2, 4]), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_any_picture_with_its_alpha(run_folder, enlarged, height, width, factor, clear, seed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    alpha = rng.random((height, width)).astype(np.float32) if clear else None
    written = run_folder.parent / "any.png"
    size = factor * width, factor * height
    kept = enlarged[factor].save(written, small, alpha=alpha, recipe=None)
    assert kept.pixels.shape == (*size[::-1], 3) and Image.open(written).size == size
    made = np.asarray(Image.open(written))
    assert (made[..., :3] == enlarged[factor](small)).all()
    if clear:
        wanted = images.resize(alpha, size) * 255
        assert np.abs(made[..., 3] - wanted).max() <= 0.51
    finish.Chain().save(written, small, alpha=alpha, recipe=None)
    assert (np.asarray(Image.open(written))[..., :3] == small).all()


@pytest.mark.parametrize(
    "small, large, times",
    [(8, 8, 0), (8, 4, 0), (8, 11, 0), (8, 12, 1), (8, 16, 1), (8, 22, 1), (8, 23, 2), (8, 64, 3)],
)
def test_any_size_is_reached_by_doubling_as_often_as_it_pays(run_folder, small, large, times):
    net = finished_upscaler.load(str(run_folder), torch.device("cpu"))
    picture = torch.rand(3, small, small + 1)
    assert upscale.doublings((small, small), (large, large)) == times
    made = upscale.to_size(picture, net, (large + 3, large))
    assert made.shape == (3, large, large + 3)
    if large == 2 * small:
        torch.testing.assert_close(
            upscale.to_size(picture, net, (2 * small + 2, large)), upscale.upscale(picture, net, 2)
        )


@pytest.mark.parametrize("factor", [2, 4])
def test_hard_edges_have_no_rim(factor):
    """The bundled net alone draws one of 19 of 255, and a second time one of 45."""
    step = torch.full((3, 20, 24), 64 / 255)
    step[:, :, 12:] = 192 / 255
    large = upscale.upscale(step, finished_upscaler.load(upscale.NAME, CPU), factor)
    assert large.min() >= step.min() and large.max() <= step.max()
    assert (large[..., : 12 * factor - factor] < 0.3).all() and (large[..., 12 * factor + factor :] > 0.7).all()


@pytest.mark.parametrize("verb", ["dream", "stylize", "fast", "cyclegan"])
def test_transparency_is_enlarged_too(call, lines, folder, run_folder, verb):
    photograph(folder / "photo.png", (40, 28), alpha=True)
    if verb == "dream":
        Image.new("L", (40, 28), "white").save("mask.png")
        lines[verb][lines[verb].index("--size") :] = ["--steps", 2, "--init", "photo.png", "--mask", "mask.png"]
    call(verb, "-o", "a.png", "--upscale", 2, "--upscaler", run_folder)
    alpha = images.load(Path("photo.png")).alpha
    assert Image.open("a.png").size == (80, 56)
    assert np.abs(pixels("a.png", "RGBA")[..., 3] - 255 * images.resize(alpha, (80, 56))).max() <= 0.51


# --- what stays small -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["dream", "stylize"])
def test_films_snapshots_and_previews_stay_small(call, run_folder, monkeypatch, verb):
    save, seen = images.save, {}

    def watched(path, image, **options):
        seen[Path(path).name] = image.shape[1]
        save(path, image, **options)

    monkeypatch.setattr(images, "save", watched)
    call(verb, "-o", "a.mp4", "--save-every", 2, "--upscale", 2, "--upscaler", run_folder)
    assert seen.pop("a.png") == 80 and {"a.preview.png", "a-step00002.png"} <= set(seen)
    assert set(seen.values()) == {40}
    assert video.probe(Path("a.mp4")).size[0] == 40
    assert record.read(Path("a.mp4"))["parameters"]["upscale"] == 2


@pytest.mark.parametrize("verb", ["dream", "stylize"])
def test_an_interrupted_run_is_enlarged_and_goes_on_with_another_factor(call, run_folder, enlarged, monkeypatch, verb):
    net = ["--upscaler", run_folder]
    call(verb, "-o", "small.png")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_why_stop", lambda frame, *_: "interrupted" if frame.step == 2 else None)
        call(verb, "-o", "a.png", "--upscale", 2, *net, code=130)
    assert Image.open("a.png").width == 80
    said = call(verb, "-o", "a.png", "--resume", "--upscale", 4, *net).stderr
    assert "going on from step 2" in said
    assert (pixels("a.png") == enlarged[4](pixels("small.png"))).all()


@pytest.mark.parametrize("verb", VERBS[:4])
def test_a_picture_that_cannot_be_enlarged_is_not_lost(call, run_folder, monkeypatch, verb):
    def failing(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    call(verb, "-o", "small.png")
    monkeypatch.setattr(upscale, "upscale", failing)
    message = refused(call(verb, "-q", "-o", "a.png", "--upscale", 4, "--upscaler", run_folder, code=1))
    assert message == "out of memory: a.png was written without --upscale 4"
    assert (pixels("a.png") == pixels("small.png")).all()


# --- refused before any compute ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "args, message",
    [
        (["--upscale", 3], "--upscale '3' is not known; there are: 2, 4"),
        (["--upscale", "much"], "there are: 2, 4"),
        (["--upscaler", "mine"], "add --upscale 2 or 4"),
    ],
)
def test_what_makes_no_sense(call, verb, args, message):
    assert message in refused(call(verb, "-q", *args, code=2))


@given(st.text(max_size=5))
def test_only_two_factors(text):
    if text in ("2", "4"):
        assert options._factor(text) == int(text)
    else:
        with pytest.raises(UsageError, match="2, 4"):
            options._factor(text)


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_net_is_noticed_first(call, folder, monkeypatch, verb):
    def never(*args, **options):
        raise AssertionError("the verb's own model was loaded before")

    owner, name = {
        "dream": (clip_backend, "load"),
        "stylize": (feature_nets, "load"),
        "fast": (adain_files, "load"),
        "cyclegan": (translator_files, "load"),
        "sample": (runs, "load_generator"),
    }[verb]
    monkeypatch.setattr(owner, name, never)
    before = snapshot(folder)
    assert "neither a file nor known" in refused(call(verb, "-q", "--upscale", 2, "--upscaler", "mine", code=2))
    monkeypatch.setattr(weights, "table", dict)  # an artgen without bundled weights
    message = refused(call(verb, "-q", "--upscale", 2, code=3))
    assert "artgen train upscaler" in message and "--upscaler" in message
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "verb, args, film",
    [
        ("fast", [], "disc.mp4"),
        ("cyclegan", [], "disc.mp4"),
        ("sample", ["--interpolate", "-o", "a.mp4"], "a.mp4"),
        ("sample", ["--sweep", 0, "-o", "a.gif"], "a.gif"),
    ],
)
def test_films_are_refused(call, lines, folder, run_folder, verb, args, film):
    film_of_a_disc(folder / "disc.mp4", 2)
    lines[verb] = [{"photo.png": "disc.mp4"}.get(word, word) for word in lines[verb] if word != "--separate"]
    if verb == "sample":
        lines[verb] = ["sample", "runs/tiny"]
    before = snapshot(folder)
    message = refused(call(verb, "-q", *args, "--upscale", 2, "--upscaler", run_folder, code=2))
    assert message == f"--upscale is for pictures, and {film} is a film: leave it out"
    assert snapshot(folder) == before


@pytest.mark.parametrize("mode", ["--walk", "--rate"])
def test_ways_of_sampling_that_write_no_pictures(sample, mode):
    assert f"--upscale has no meaning with {mode}" in refused(sample(mode, "--upscale", 2, "-q", code=2))


def test_settings_enlarge_pictures_and_leave_films_alone(call, sample, lines, folder, run_folder, monkeypatch):
    film_of_a_disc(folder / "disc.mp4", 2)
    lines["cyclegan"].insert(1, "disc.mp4")
    monkeypatch.setenv("ARTGEN_UPSCALE", "2")
    monkeypatch.setenv("ARTGEN_UPSCALER", str(run_folder))
    facts = [json.loads(line) for line in call("cyclegan", "--json").stdout.splitlines()]
    assert [line["size"] for line in facts] == [[64, 48], [80, 56]]
    assert video.probe(Path("disc-cyclegan.mp4")).size == (64, 48)
    sample("--interpolate", "--seed", "0-1", "--duration", 0.2, "-o", "way.mp4")
    assert video.probe(Path("way.mp4")).size == (16, 16)


@pytest.mark.parametrize("verb", VERBS[:4])
def test_too_large_for_the_format_is_noticed_first(call, run_folder, monkeypatch, verb):
    monkeypatch.setitem(images._LARGEST_SIDE, "WEBP", 79)
    wanted = ["--upscale", 2, "--upscaler", run_folder, "-q"]
    monkeypatch.setattr(Enlarger, "__call__", lambda *_: pytest.fail("it was computed"))
    assert "at most 79 pixels a side, not 80" in refused(call(verb, "-o", "a.webp", *wanted, code=1))
    monkeypatch.setattr(decode, "MAX_PIXELS", 4000)
    assert "enlarge less" in refused(call(verb, "-o", "a.png", *wanted, code=2))


# --- sheets of samples ------------------------------------------------------------------------------------------------


def cell(path, row, column, side):
    step = side + sheet.GAP
    return pixels(path)[row * step : row * step + side, column * step : column * step + side]


def test_every_picture_of_a_grid_is_enlarged_and_the_gaps_are_not(sample, run_folder, enlarged):
    sample("--seed", "0-5", "--columns", 3, "-o", "small.png")
    sample("--seed", "0-5", "--columns", 3, "-o", "large.png", "--upscale", 4, "--upscaler", run_folder)
    assert Image.open("large.png").size == (3 * 66 - 2, 2 * 66 - 2)
    for row in range(2):
        for column in range(3):
            one = cell("small.png", row, column, 16)
            assert (cell("large.png", row, column, 64) == enlarged[4](one)).all()
    assert record.read(Path("large.png"))["weights"].items() >= enlarged[4].weights.items()


@pytest.mark.parametrize(
    "args",
    [
        ["--reconstruct", "photo.png", "photo.png"],
        ["--interpolate", "--seed", "0-1"],
        ["--between", "photo.png", "photo.png"],
        ["--sweep", 1, "--seed", "0-1"],
        ["--neighbours", "--seed", "0-2"],
        ["--compare", "runs/other", "--columns", 3, "--seed", 0],
    ],
    ids=lambda args: args[0],
)
def test_every_kind_of_sheet(sample, workshop, folder, run_folder, args):
    photograph(folder / "photo.png")
    workshop.add(folder / "runs/other", Model(seed=1))
    sample("-o", "small.png", *args)
    sample("--upscale", 4, "--upscaler", run_folder, "-o", "large.png", *args)
    sample("--size", 64, "-o", "drawn.png", *args)
    small, large, drawn = (Image.open(f"{name}.png").size for name in ("small", "large", "drawn"))
    assert large == drawn != small
    assert (pixels("large.png") != pixels("drawn.png")).any()


def test_a_sheet_that_would_be_too_large_is_noticed_first(sample, monkeypatch, run_folder):
    monkeypatch.setattr(sheet, "LARGEST_SIDE", 300)
    sample("--seed", "0-35", "-o", "a.png")
    line = refused(sample("--seed", "0-35", "-q", "-o", "b.png", "--upscale", 4, "--upscaler", run_folder, code=2))
    assert "394x394" in line


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run(call, folder, run_folder, verb):
    before = snapshot(folder)
    result = call(verb, "-n", "--json", "-o", "a.png", "--upscale", 2, "--upscaler", run_folder)
    (facts,) = map(json.loads, result.stdout.splitlines())
    assert facts["dry_run"] and facts["seconds"] >= 0 and snapshot(folder) == before


def test_other_weights_than_those_of_the_record(call, invoke, folder, run_folder):
    (folder / "net").mkdir()
    file = folder / "net" / upscaler.FILE
    kept = run_folder / "model" / upscaler.FILE
    with weights.open_safetensors(kept) as opened:
        told = opened.metadata()
    file.write_bytes(kept.read_bytes())
    call("cyclegan", "-o", "a.png", "--upscale", 2, "--upscaler", "net")
    save_file({name: 2 * tensor for name, tensor in load_file(kept).items()}, file, told)
    said = invoke("cyclegan", "--from", "a.png", "-o", "b.png").stderr
    assert "net is not the one that the record names" in said


@pytest.mark.parametrize("changed", ["grey", "sizes", "tensors", "text"])
def test_files_that_cannot_be_used(tmp_path, run_folder, changed):
    kept, file = run_folder / "model" / upscaler.FILE, tmp_path / upscaler.FILE
    sizes = {"width": 4, "blocks": 1, "channels": 3} | ({"width": 5} if changed == "sizes" else {})
    tensors = load_file(kept)
    if changed == "grey":
        upscaler.Model(upscaler.Config(width=4, blocks=1, channels=1)).export(tmp_path)
    else:
        tensors = dict(list(tensors.items())[1:]) if changed == "tensors" else tensors
        save_file(tensors, file, {"upscaler": "four" if changed == "text" else json.dumps(sizes)})
    with pytest.raises(WeightsError, match="grey" if changed == "grey" else "damaged"):
        finished_upscaler.load(str(tmp_path), CPU)


def test_a_run_that_has_not_ended(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no upscaler\.safetensors.*RUN/model"):
        finished_upscaler.load(str(tmp_path), CPU)


def test_streams_take_what_save_writes(tmp_path, capsysbinary):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    images.save(Path("-"), picture, alpha=np.full((4, 4), 0.5))
    streamed = capsysbinary.readouterr().out
    images.save(tmp_path / "a.png", picture, alpha=np.full((4, 4), 0.5))
    assert streamed == (tmp_path / "a.png").read_bytes()
    assert Image.open(io.BytesIO(streamed)).mode == "RGBA"


def test_no_side_is_too_long_for_a_png():
    images.check_side(10**6, "PNG")
    with pytest.raises(ArtgenError, match="write a PNG"):
        images.check_side(10**6, "JPEG")
