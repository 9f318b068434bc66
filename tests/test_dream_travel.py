"""Films in which the picture moves."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from artcli.backends.dream.settings import Camera
from artcli.backends.dream.travel import moved, travel
from artcli.media import video
from tests.conftest import one_error_line


def blob(y, x, height=40, width=60):
    """A soft bright spot in the dark, (3, height, width)."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18.0).expand(3, -1, -1)


def place(image):
    """Where the spot is: (y, x)."""
    weight = image[0].double()
    rows, columns = torch.arange(image.shape[1])[:, None], torch.arange(image.shape[2])
    return [(weight * axis).sum().item() / weight.sum().item() for axis in (rows, columns)]


@pytest.mark.parametrize(
    ("camera", "wanted"),
    [
        (Camera(), (15, 20)),
        (Camera(pan=(4, 0)), (15, 16)),  # the view moves right, the spot left
        (Camera(pan=(0, -3)), (18, 20)),
        (Camera(zoom=1.2), (19.5 - 1.2 * 4.5, 29.5 - 1.2 * 9.5)),  # away from the middle, (19.5, 29.5)
    ],
)
def test_where_a_spot_goes(camera, wanted):
    assert place(moved(blob(15, 20), camera)) == pytest.approx(wanted, abs=0.1)


def test_it_turns_clockwise():
    """What was left of the middle, (19.5, 19.5), is above it."""
    turned = moved(blob(15, 12, width=40), Camera(rotate=90))
    assert place(turned) == pytest.approx((19.5 - 7.5, 19.5 + 4.5), abs=0.1)


def test_moving_blurs_little():
    image = F.interpolate(
        torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0)), (48, 64), mode="bicubic"
    )[0]
    there_and_back = moved(moved(image.clamp(0, 1), Camera(pan=(0.5, 0.5))), Camera(pan=(-0.5, -0.5)))
    assert (there_and_back - image.clamp(0, 1))[:, 4:-4, 4:-4].abs().mean() < 0.01


def test_it_goes_on_at_the_same_bytes(tiny_clip):
    from artcli.backends.dream import steer
    from artcli.backends.dream.prompts import parse
    from artcli.backends.dream.settings import Settings
    from artcli.backends.dream.story import Story
    from artcli.pretrained import clip as clips

    clip = clips.load(str(tiny_clip), torch.device("cpu"))
    how = Settings(40, 32, steps=3, cutouts=3, low_res=0)
    story = Story([steer.texts(clip, parse("a city")), steer.texts(clip, parse("a city at night"))])
    camera = Camera(zoom=1.05, steps=2)
    states, shown = [], []
    for frame in travel(story, clip, how, camera, 3, seed=1):
        buffer = io.BytesIO()
        torch.save(frame.state(), buffer)
        states.append(buffer)
        shown.append(frame)
    assert [frame.step for frame in shown] == [1, 2, 3, 4, 5, 6] and {frame.total for frame in shown} == {6}
    for done in (2, 3, 4):
        states[done - 1].seek(0)
        state = torch.load(states[done - 1], weights_only=True)
        *_, last = travel(story, clip, how, camera, 3, seed=1, state=state)
        assert torch.equal(last.image(), shown[-1].image())
    *_, still = travel(story, clip, how, replace(camera, zoom=1.0), 3, seed=1)
    assert not torch.equal(still.image(), shown[-1].image())


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dream(invoke, tiny_clip, folder):
    def run(*args, code=0):
        flags = ["--size", 48, "--steps", 4, "--cutouts", 4, "--low-res", 0, "--clip", tiny_clip, "--seed", 1]
        result = invoke("dream", "--prior", "none", "--drawer", "fft", *flags, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def test_a_film_that_zooms(dream):
    result = dream("a city", "--zoom", 1.05, "--frame-steps", 2, "--fps", 10, "--duration", 0.6, "--out", "a.mp4")
    assert result.stdout.splitlines() == ["a.mp4", "a.png"] and "10 steps" in result.stderr
    frames = list(video.read_frames(Path("a.mp4")))
    assert len(frames) == 6 + 10, "six frames, and the last one held for a second"
    dream("--from", "a.png", "--out", "b.mp4")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_what_does_not_move(dream):
    for flags, message in (
        (["--zoom", 1.1, "--out", "a.png"], "make a film"),
        (["--pan", "left", "--out", "a.mp4"], "two numbers of pixels"),
    ):
        assert message in one_error_line(dream("a", "-q", *flags, code=2).stderr)
