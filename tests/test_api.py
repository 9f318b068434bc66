"""artgen from Python: the same files as from the command line, and the same refusals."""

import typing
from pathlib import Path

import pytest

import artcli
import artcli.api_options
from artcli import api, network
from artcli.errors import ArtgenError, UsageError
from tests import api_options, test_cyclegan_run, tiny
from tests.conftest import photograph

tiny_translator = test_cyclegan_run.tiny_translator


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
