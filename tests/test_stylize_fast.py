"""`artgen stylize --fast`: pictures and films in one pass, on a tiny random decoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.backends.stylize import fast
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.steady import Steady
from artcli.backends.stylize.styles import Style
from artcli.commands.stylize import fast as stylize_fast
from artcli.errors import UsageError
from artcli.media import record, video
from artcli.models import adain
from artcli.pretrained import adain as adain_files
from artcli.pretrained import feature_nets
from tests.batches import seeded
from tests.conftest import one_error_line, photograph, with_holes
from tests.test_media_video import with_tone
from tests.test_stylize_run import painting, weights_file

SIZE = Settings(size=64)


@pytest.fixture(scope="session")
def decoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adain")
    net = weights_file(folder / "tiny.safetensors")
    config = adain.Config(size=64, crop=32, net=str(net), widths=(6, 6, 6, 6))
    seeded(lambda: adain.Model(config), seed=2).export(folder)  # untrained, most seeds draw all black
    return folder


@pytest.fixture
def stylist(decoder):
    return adain_files.load(str(decoder), torch.device("cpu"))


@pytest.fixture
def stylize(invoke, decoder, folder):
    photograph(folder / "photo.png")
    painting(folder / "painting.png")

    def run(*args, code=0, inputs=("photo.png", "painting.png"), **options):
        result = invoke("stylize", *inputs, "--fast", "--model", decoder, "--size", 64, *args, **options)
        assert result.exit_code == code, result.stderr
        return result

    return run


def picture(height=48, width=64, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def clip(path, frames=8, size=(64, 48), sound=None):
    """A disc that crosses a grainy picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[1], : size[0]]
    with video.VideoWriter(path, size, 10, sound=sound) as writer:
        for number in range(frames):
            rgb = np.stack((60 + x, 80 + y, 90 + 0 * x), 2) + rng.normal(0, 2, (*size[::-1], 3))
            rgb[(x - 8 - 5 * number) ** 2 + (y - 24) ** 2 < 60] = (220, 60, 40)
            writer.write(rgb.clip(0, 255).astype(np.uint8))
    return path


# --- pictures -------------------------------------------------------------------------------------------------------


def test_what_a_style_hides_does_not_weigh(stylize, folder):
    with_holes(folder)
    for name in ("hole", "hole0"):
        stylize("-o", f"{name}-a.png", "--no-metadata", inputs=["photo.png", f"{name}.png"])
    assert Path("hole-a.png").read_bytes() == Path("hole0-a.png").read_bytes()


def test_one_pass_by_hand(stylist):
    photo, style = picture(), picture(64, 64, seed=1)
    painter = fast.Stylizer(stylist, [Style(style)], replace(SIZE, strength=0.7))
    content, wanted = (stylist.encode(x[None]) for x in (photo, style))
    moments = {tap: adain.moments(features) for tap, features in wanted.items()}
    target = adain.adapt(content, moments, stylist.gain)
    by_hand = stylist.decoder({tap: x + 0.7 * (target[tap] - x) for tap, x in content.items()})[0].clamp(0, 1)
    torch.testing.assert_close(painter(photo), by_hand, atol=1e-4, rtol=0)


def test_styles_are_mixed_by_their_weights(stylist):
    photo, styles = picture(), [Style(picture(64, 64, seed=n), n) for n in (1, 3)]
    features = stylist.encode(photo[None])
    one, other = ({tap: adain.moments(x) for tap, x in stylist.encode(style.picture[None]).items()} for style in styles)
    mixed = {tap: [0.25 * a + 0.75 * b for a, b in zip(one[tap], other[tap], strict=True)] for tap in features}
    by_hand = stylist.decoder(adain.adapt(features, mixed, stylist.gain))[0].clamp(0, 1)
    torch.testing.assert_close(fast.Stylizer(stylist, styles, SIZE)(photo), by_hand, atol=1e-4, rtol=0)


def test_tiles_leave_no_seam(stylist):
    photo, styles = picture(300, 410), [Style(picture(64, 64, seed=1))]
    whole, tiled = (fast.Stylizer(stylist, styles, replace(SIZE, tile=tile))(photo) for tile in (1000, 160))
    torch.testing.assert_close(tiled, whole, atol=2e-4, rtol=0)


def test_any_size_comes_back_as_it_was(stylist):
    painter = fast.Stylizer(stylist, [Style(picture())], SIZE)
    for size in ((1, 1), (33, 70), (8, 300)):
        assert painter(picture(*size)).shape == (3, *size)


def test_a_picture_is_painted_and_recorded(stylize, invoke):
    assert stylize("-o", "a.png").stdout == "a.png\n"
    assert Image.open("a.png").size == (64, 45)
    assert record.read(Path("a.png"))["parameters"]["fast"] is True
    stylize("-o", "b.png")
    stylize("-o", "c.png", "--strength", 0)
    a, b, c = (np.asarray(Image.open(f"{name}.png")) for name in "abc")
    assert (a == b).all() and (a != c).any()
    assert invoke("stylize", "--from", "a.png", "-o", "d.png", "--seed", 5).exit_code == 0
    assert (np.asarray(Image.open("d.png")) == a).all()


def test_colours_masks_alpha_and_folders(stylize, folder):
    photograph(folder / "clear.png", (64, 48), alpha=True)
    Image.fromarray(np.repeat(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)[None], 48, 0)).save("mask.png")
    inputs = ["clear.png", "painting.png"]
    stylize("-o", "out.png", "--mask", "mask.png", "--keep-color", "coral", inputs=inputs)
    out, own = (np.asarray(Image.open(name)).astype(int) for name in ("out.png", "clear.png"))
    assert (out[..., 3] == own[..., 3]).all() and (out[1:, :31, :3] == own[1:, :31, :3]).all()
    (folder / "out").mkdir()
    stylize("--style", "painting.png:2", "--style", "photo.png", "-o", "out", inputs=["photo.png", "clear.png"])
    assert sorted(path.name for path in Path("out").iterdir()) == ["clear-stylized.png", "photo-stylized.png"]


def test_what_does_not_go_together(stylize, invoke, folder):
    clip(folder / "clip.mp4", 2)
    for options, inputs, words in (
        (["--steps", 3, "--tv", 1], None, "--steps, --tv goes without --fast"),
        (["-o", "out.mp4"], None, "cannot write .mp4"),
        (["--mask", "photo.png"], ["clip.mp4", "painting.png"], "one photo"),
        (["--keep-color", "coral"], ["clip.mp4", "painting.png"], "luminance"),
        (["-o", "-"], ["clip.mp4", "painting.png"], "standard output"),
        (["-o", "out.png"], ["clip.mp4", "painting.png"], "cannot write .png"),
    ):
        result = stylize("-q", *options, code=2, **({"inputs": inputs} if inputs else {}))
        assert words in one_error_line(result.stderr)
    for arguments, words in (
        (["clip.mp4", "painting.png"], "only --fast"),
        (["photo.png", "painting.png", "--steady", 0.5], "--steady needs --fast"),
    ):
        result = invoke("stylize", *arguments)
        assert result.exit_code == 2 and words in result.stderr
    result = stylize("-q", "--model", "painting.safetensors", code=2)
    assert "neither" in one_error_line(result.stderr)


def test_a_version_without_the_decoder_says_how_to_make_it(invoke, folder, stylize, monkeypatch):
    def missing(*args, **options):
        raise UsageError("nothing has that name")

    monkeypatch.setattr(feature_nets.weights, "find", missing)
    result = invoke("stylize", "photo.png", "painting.png", "--fast", "-q")
    assert result.exit_code == 3 and "artgen train adain" in one_error_line(result.stderr)


# --- films ----------------------------------------------------------------------------------------------------------


def test_a_film_keeps_its_rate_size_and_sound(stylize, folder):
    with_tone(folder / "tone.mp4", 1)
    clip(folder / "clip.mp4", sound=folder / "tone.mp4")
    facts = json.loads(stylize("--json", "--size", 40, inputs=["clip.mp4", "painting.png"]).stdout)
    made = Path("clip-stylized.mp4")
    assert facts["paths"] == [str(made)] and facts["frames"] == 8 and facts["finished"]
    assert video.probe(made) == ((40, 30), 10) and len(list(video.read_frames(made))) == 8
    assert video.has_sound(made)
    assert record.read(made)["command"] == "stylize"


def test_still_places_flicker_less(stylize, folder):
    clip(folder / "clip.mp4")
    facts = [
        json.loads(stylize("--json", "-f", "--steady", part, inputs=["clip.mp4", "painting.png"]).stdout)
        for part in (0, 0.9)
    ]
    assert facts[0]["flicker"] == facts[0]["flicker_undamped"] > 0
    assert facts[1]["flicker"] < 0.5 * facts[0]["flicker"]


def test_only_what_stands_still_is_held_back(stylist):
    steady = Steady(fast.Stylizer(stylist, [Style(picture())], SIZE), 0.9)
    first, scene = picture(seed=2), picture(seed=3)
    steady(first)
    shown = steady(scene)
    torch.testing.assert_close(shown, steady.painter(scene))  # nothing of the scene before
    right = scene.clone()
    right[..., 40:] = picture(seed=4)[..., 40:] * 0.3
    again, painted = steady(right), steady.painted
    assert (again - shown)[..., :32].abs().mean() < 0.2 * (painted - shown)[..., :32].abs().mean()
    torch.testing.assert_close(again[..., 46:], painted[..., 46:])


def test_an_interrupted_film_goes_on_to_the_same_frames(stylize, folder, monkeypatch):
    clip(folder / "clip.mp4")
    inputs = ["clip.mp4", "painting.png"]
    stylize("-o", "whole.mp4", inputs=inputs)
    paint, calls = Steady.__call__, []

    def stopping(self, frame):
        calls.append(1)
        if len(calls) == 5:
            stop.requested = True
        return paint(self, frame)

    with monkeypatch.context() as patch:
        make = stylize_fast.Studio.__init__

        def keep(self, request, console, given, foreseen):
            nonlocal stop
            stop = given
            make(self, request, console, given, foreseen)

        stop = None
        patch.setattr(stylize_fast.Studio, "__init__", keep)
        patch.setattr(Steady, "__call__", stopping)
        assert "--resume" in stylize("-o", "parts.mp4", inputs=inputs, code=130).stderr
    assert len(list(video.read_frames(Path("parts.mp4")))) == 5
    assert "frame 5" in stylize("-o", "parts.mp4", "--resume", inputs=inputs).stderr
    assert Path("parts.mp4").read_bytes() == Path("whole.mp4").read_bytes()
    assert not Path("parts.mp4.resume").exists()


def test_a_dry_run_of_a_film(stylize, folder):
    clip(folder / "clip.mp4")
    facts = json.loads(stylize("-n", "--json", inputs=["clip.mp4", "painting.png"]).stdout)
    assert facts["dry_run"] and not Path("clip-stylized.mp4").exists()
