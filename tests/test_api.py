"""artgen from Python: the same files as from the command line, and the same refusals."""

import re
import typing
from pathlib import Path

import pytest
from PIL import Image

import artcli
import artcli.api_options
from artcli import api, network
from artcli.errors import ArtgenError, UsageError
from artcli.media import claims, video
from tests import api_options, test_cyclegan_run, test_stylize_run, tiny
from tests.conftest import photograph
from tests.readme_help import DOCS

tiny_translator, net = test_cyclegan_run.tiny_translator, test_stylize_run.net


def test_pictures_are_those_of_the_command_line(invoke, folder, tiny_translator, capfd):
    photograph(folder / "photo.png", (60, 40))
    made = artcli.cyclegan("photo.png", model=str(tiny_translator), strength=0.5, out="python.png")
    assert [each.paths for each in made] == [(Path("python.png"),)]
    assert capfd.readouterr() == ("", ""), "nothing is printed"
    assert (
        invoke("cyclegan", "photo.png", "--model", tiny_translator, "--strength", 0.5, "-o", "line.png").exit_code == 0
    )
    assert (folder / "python.png").read_bytes() == (folder / "line.png").read_bytes()


def test_the_types_of_the_options_are_those_of_the_commands():
    assert api_options.FILE.read_text(encoding="utf-8") == api_options.text(), "run `python tests/api_options.py`"


def test_every_verb_has_them():
    for verb in api_options.VERBS:
        options = typing.get_type_hints(getattr(api, verb), vars(api) | {"of": artcli.api_options})["options"]
        assert options == typing.Unpack[getattr(artcli.api_options, verb.capitalize())]


def test_paths_and_numbers_are_as_good_as_their_text(folder, tiny_translator):
    photograph(folder / "photo.png", (60, 40))
    (made,) = artcli.cyclegan(folder / "photo.png", model=tiny_translator, upscale=None, out=Path("a.png"))
    assert made.paths == (Path("a.png"),)


def test_a_call_gives_back_the_names_that_it_took(folder, tiny_translator):
    photograph(folder / "photo.png", (60, 40))
    artcli.cyclegan("photo.png", model=str(tiny_translator), out="a.png")
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "photo.png"]
    with pytest.raises(ArtgenError, match=r"a\.png exists"):
        artcli.cyclegan("photo.png", model=str(tiny_translator), out="a.png")
    with claims.released():
        claims.take([Path("b.png")], force=False)
        artcli.cyclegan("photo.png", model=str(tiny_translator), out="c.png")
        assert [path for path in folder.iterdir() if path.name.startswith(".")], "b.png is somebody else's"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "c.png", "photo.png"]


def test_refusals_are_errors(folder, tiny_translator):
    photograph(folder / "photo.png", (60, 40))
    with pytest.raises(UsageError, match=r"no option 'strenght'. Did you mean 'strength'"):
        artcli.cyclegan("photo.png", strenght=0.5)
    with pytest.raises(UsageError, match="strength"):
        artcli.cyclegan("photo.png", strength=2)
    (folder / "there.png").write_bytes(b"kept")
    with pytest.raises(ArtgenError, match=r"there.png"):
        artcli.cyclegan("photo.png", model=str(tiny_translator), out="there.png")
    assert (folder / "there.png").read_bytes() == b"kept"
    with pytest.raises(AttributeError, match="no attribute 'draem'"):
        artcli.draem  # noqa: B018


def test_offline_holds_for_its_call_alone(folder, tiny_translator):
    photograph(folder / "photo.png", (60, 40))
    artcli.cyclegan("photo.png", model=str(tiny_translator), offline=True, out="a.png")
    assert not network.is_forbidden()


def test_train_and_sample(folder):
    """A list of settings, as `--set` has them; the record says which call it was."""
    tiny.write_pictures(Path("data"), 8)
    how = [f"{name}={value}" for name, value in tiny.TINY["vae"].items()]
    made = artcli.train("vae", "data", steps=1, settings=how, out="run")
    assert Path("run/weights.safetensors") in made[-1].paths
    assert "artcli.train(model='vae'" in Path("run/run.toml").read_text()
    assert artcli.sample("run", seed="0", out="sample.png")[0].paths == (Path("sample.png"),)


def test_the_page_about_python_runs_as_it_stands(folder, monkeypatch, tiny_clip, tiny_painter, net, tiny_translator):
    """But for small models and few steps."""
    small = {
        "dream": {"clip": tiny_clip, "drawer": "fft", "prior": "none", "size": 48, "cutouts": 3, "steps": 2},
        "paint": {"model": tiny_painter},
        "stylize": {"net": net, "size": 32, "steps": 1},
        "cyclegan": {"model": tiny_translator},
        "train": {"steps": 1, "settings": [f"{name}={value}" for name, value in tiny.TINY["vae"].items()]},
        "sample": {},
    }
    for verb, options in small.items():
        real = getattr(api, verb)
        monkeypatch.setattr(artcli, verb, lambda *a, real=real, options=options, **given: real(*a, **given | options))
    tiny.write_pictures(Path("photos"), 8)
    for name in ("photo.jpg", "painting.jpg"):
        photograph(Path(name), (40, 30))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 2
    exec("\n".join(blocks), {})
    made = {"car-0.png", "car-3.png", "car.png", "painted.png", "styled.png", "samples.png", "step-2.webp", "run"}
    assert made <= {path.name for path in folder.iterdir()}


# --- pictures on their way --------------------------------------------------------------------------------------------


@pytest.fixture
def dream(folder, tiny_clip):
    """A dream of five steps, with frames; what is given wins."""

    def run(**options):
        how = {"clip": tiny_clip, "drawer": "fft", "prior": "none", "size": 48, "cutouts": 4, "low_res": 0, "steps": 5}
        return artcli.dream("red car", **{**how, "seed": 1, "out": "a.png", "frames": True, **options})

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_frames_come_as_the_picture_does(dream, folder):
    made = dream(frames=False, out="plain.png")
    frames = dream()
    assert names(folder) == ["plain.png"], "nothing is done before the first is asked for"
    steps = []
    for frame in frames:
        assert (frame.total, frame.picture.size, frame.picture.mode) == (5, (48, 48), "RGB")
        assert not Path("a.png").exists() and frames.made == []
        steps.append(frame)
    assert [frame.step for frame in steps] == [1, 2, 3, 4, 5]
    assert len({frame.picture.tobytes() for frame in steps}) == 5
    assert steps[-1].picture.tobytes() == Image.open("a.png").tobytes()
    assert [each.paths for each in frames.made] == [(Path("a.png"),)]
    assert frames.made[0].facts.keys() == made[0].facts.keys()
    assert Path("a.png").read_bytes() == Path("plain.png").read_bytes() and names(folder) == ["a.png", "plain.png"]
    assert list(frames) == []


def test_who_leaves_the_loop_can_go_on(dream, folder):
    """No name stays taken, and all that is written is whole."""
    dream(frames=False, out="whole.mp4")
    for frame in dream(out="a.mp4"):
        if frame.step == 2:
            break
    assert names(folder) == ["a.mp4", "a.mp4.resume", "a.png", "whole.mp4", "whole.png"]
    assert Image.open("a.png").size == (48, 48) and len(list(video.read_frames(Path("a.mp4")))) == 3
    with dream(out="a.mp4", resume=True) as frames:
        assert [frame.step for frame in frames] == [4, 5]
    assert names(folder) == ["a.mp4", "a.png", "whole.mp4", "whole.png"]
    for kind in ("png", "mp4"):
        assert Path(f"a.{kind}").read_bytes() == Path(f"whole.{kind}").read_bytes()


def test_one_job_after_another_and_none_behind_the_end(dream, folder):
    with dream(seed="1-3", out="a.png") as frames:
        for frame in frames:
            if len(frames.made) == 1 and frame.step == 5:
                break
    assert [each.paths for each in frames.made] == [(Path("a-1.png"),), (Path("a-2.png"),)]
    assert names(folder) == ["a-1.png", "a-2.png"]


def test_errors_come_where_frames_are_asked_for(dream, folder):
    with pytest.raises(UsageError, match="--steps"):
        next(dream(steps=0))
    with pytest.raises(UsageError, match="no folder nowhere"):
        list(dream(out="nowhere/a.png"))
    assert names(folder) == []


def test_frames_of_a_painting(folder, tiny_painter):
    photograph(folder / "photo.png", (60, 40))
    found = list(artcli.paint("photo.png", model=tiny_painter, out="a.png", frames=True))
    assert [frame.step for frame in found] == [*range(1, found[0].total + 1)]
    assert Image.open("a.png").size == found[-1].picture.size == (60, 40)
