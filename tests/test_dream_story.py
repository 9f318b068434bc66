"""Scenes that melt into each other."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.backends.dream.prompts import Prompt, parse, parse_story
from artcli.backends.dream.story import MELT, Story
from artcli.errors import UsageError
from artcli.media import record
from tests.conftest import one_error_line


def target(seed, weight=1.0):
    return Prompt(f"text {seed}", weight), F.normalize(
        torch.randn(8, generator=torch.Generator().manual_seed(seed)), dim=0
    )


def pull(targets):
    """What the targets say together, as one vector."""
    return sum(prompt.weight * embedding for prompt, embedding in targets)


STORY = Story([[target(0)], [target(1), target(2, -0.5)], [target(3, 2.0)]])


def test_every_scene_has_its_time():
    for number, scene in enumerate(STORY.scenes):
        start = number / 3
        for along in (0.0, 0.9 * (1 - MELT)):
            assert STORY.at(start + along / 3) == scene
    assert STORY.at(1.0) == STORY.scenes[-1] == STORY.at(0.9)
    scene = [target(5)]
    assert Story([scene]).at(0.7) == scene


@given(st.floats(0, 0.999))
@settings(deadline=None)
def test_nothing_jumps(part):
    before, after = (pull(STORY.at(p)) for p in (part, part + 1e-4))
    assert (after - before).norm() < 0.01
    for _, embedding in STORY.at(part):
        assert embedding.norm().item() == pytest.approx(1, abs=1e-5)


def test_half_way_between_two_scenes():
    story = Story([[target(0)], [target(1, 3.0), target(2, -1.0)]])
    found = story.at(0.5 - MELT / 4)
    assert [prompt.weight for prompt, _ in found] == [2.0, -0.5]
    torch.testing.assert_close(found[0][1], F.normalize(target(0)[1] + target(1)[1], dim=0))
    torch.testing.assert_close(found[1][1], target(2)[1])


def test_what_turns_from_towards_to_away_has_no_weight_in_between():
    kept = target(1)
    story = Story([[target(0, 1.0), kept], [target(0, -1.0), kept]])
    ((prompt, _),) = story.at(0.5 - MELT / 4)
    assert prompt == kept[0]
    alone = Story([[target(0, 1.0)], [target(0, -1.0)]])
    assert len(alone.at(0.5 - MELT / 4)) == 1, "something always steers"


def test_reading_scenes():
    assert parse_story("a | b:2 ^ c") == [parse("a | b:2"), parse("c")]
    assert parse_story("a") == [parse("a")]
    for wrong in ("a ^", "^ a", "a ^ ^ b", "a ^ |b", ""):
        with pytest.raises(UsageError):
            parse_story(wrong)


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dream(invoke, tiny_clip, folder):
    def run(*args, code=0):
        flags = [
            "--prior",
            "none",
            "--drawer",
            "fft",
            "--size",
            48,
            "--steps",
            8,
            "--cutouts",
            4,
            "--low-res",
            32,
            "--clip",
            tiny_clip,
        ]
        result = invoke("dream", *flags, *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


def test_a_story_from_the_command_line_and_from_a_file(dream):
    Path("scenes.txt").write_text("# three\na city\na city in fog | rain:0.5\na city at night\n")
    dream("--story", "scenes.txt", "--seed", 1, "--out", "a.mp4")
    dream("a city ^ a city in fog | rain:0.5 ^ a city at night", "--seed", 1, "--out", "b.png")
    dream("a city", "--seed", 1, "--out", "c.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()
    dream("--from", "a.png", "--out", "d.png")
    assert Path("d.png").read_bytes() == Path("a.png").read_bytes()
    assert record.read(Path("a.png"))["parameters"]["prompt"].count("^") == 2


def test_a_story_is_not_a_batch(dream):
    Path("scenes.txt").write_text("a city\na city at night\n")
    for flags in (["a car", "--story", "scenes.txt"], ["--prompts", "scenes.txt", "--story", "scenes.txt"]):
        assert "--story goes without" in one_error_line(dream(*flags, "-q", code=2).stderr)
    assert "empty scene" in one_error_line(dream("a city ^", "-q", code=2).stderr)
    assert "no file nowhere.txt" in one_error_line(dream("--story", "nowhere.txt", "-q", code=2).stderr).lower()
