"""Settings: flag > ARTGEN_DREAM_STEPS > ARTGEN_STEPS > the project's artgen.toml > the user's > default."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcli import config
from artcli.backends.dream.settings import Settings
from artcli.errors import UsageError
from tests.conftest import one_error_line, snapshot

KNOWN = {"dream": {"steps": "steps", "out": "out", "no-metadata": "no_metadata"}, "train": {"out": "out"}}


@pytest.fixture
def user(folder):
    """The user's own settings file, still empty."""
    path = folder.parent / "outside" / "none.toml"
    path.write_text("")
    return path


@pytest.fixture
def steps_of(folder, monkeypatch):
    """The steps that `artgen dream` would do, seen where it would start to load its models."""
    from typer.testing import CliRunner

    from artcli.cli import app
    from artcli.commands.dream import run as dream_run

    seen = []
    monkeypatch.setattr(dream_run, "run", lambda request, console: seen.append(request.settings.steps))

    def steps(*args):
        result = CliRunner().invoke(app, ["dream", "a", *args])
        assert result.exit_code == 0, result.output
        return seen.pop()

    return steps


def test_each_place_beats_the_one_before(steps_of, folder, user, monkeypatch):
    assert steps_of() == Settings().steps
    user.write_text("steps = 11")
    assert steps_of() == 11
    (folder / "artgen.toml").write_text("steps = 12")
    assert steps_of() == 12
    monkeypatch.setenv("ARTGEN_STEPS", "13")
    assert steps_of() == 13
    monkeypatch.setenv("ARTGEN_DREAM_STEPS", "14")
    assert steps_of() == 14
    assert steps_of("--steps", "15") == 15


def test_a_table_is_for_one_command_and_beats_the_top_of_its_file(steps_of, folder, user):
    user.write_text("steps = 21\n[dream]\nsteps = 22\n")
    assert steps_of() == 22
    (folder / "artgen.toml").write_text("steps = 23\n")
    assert steps_of() == 23


def test_the_project_is_the_nearest_folder_above_that_has_settings(steps_of, folder, monkeypatch):
    (folder / "artgen.toml").write_text("steps = 31\n")
    (folder / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "deeper")
    assert steps_of() == 31
    (folder / "deep" / "artgen.toml").write_text("steps = 32\n")
    assert steps_of() == 32


def test_an_empty_variable_counts_as_unset(steps_of, monkeypatch):
    monkeypatch.setenv("ARTGEN_STEPS", "")
    assert steps_of() == Settings().steps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stepz = 3", "Did you mean 'steps'?"),
        ("[dream]\nstepz = 3", "[dream] has no setting 'stepz'. Did you mean 'steps'?"),
        ("[draem]\nsteps = 3", "Did you mean 'dream'?"),
        ("steps = ", "cannot be read"),
        ("steps = 'many'", "--steps"),
        ("steps = 0", "--steps"),
        ("[dream]\noptimizer = 'adamm'", "Did you mean 'adam'?"),
        ("[dream]\nloss = 3", "--loss '3' is not known"),
    ],
)
def test_a_mistake_in_a_settings_file(invoke, folder, text, says):
    (folder / "artgen.toml").write_text(text)
    result = invoke("dream", "a", "--out", "a.png")
    assert says in one_error_line(result.stderr) and (result.exit_code, result.stdout) == (2, "")
    assert list(snapshot(folder)) == ["artgen.toml"]


def test_a_mistake_in_the_users_file_names_it(invoke, user):
    user.write_text("qiuet = true")
    result = invoke("dream", "a")
    line = one_error_line(result.stderr)
    assert result.exit_code == 2 and str(user) in line and "Did you mean 'quiet'?" in line


def test_a_settings_file_that_is_no_text(invoke, folder):
    (folder / "artgen.toml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in one_error_line(invoke("dream", "a").stderr)


def test_a_mistake_in_a_variable(invoke):
    result = invoke("dream", "a", env={"ARTGEN_STEPS": "many"})
    assert result.exit_code == 2 and "--steps" in one_error_line(result.stderr)


def test_help_works_beside_a_broken_settings_file(invoke, folder):
    """How else would one find the right name of a setting?"""
    (folder / "artgen.toml").write_text("stepz = 1")
    result = invoke("--help")
    assert result.exit_code == 0 and "dream" in result.stdout


def test_dashes_and_underscores_are_the_same(folder):
    (folder / "artgen.toml").write_text("no_metadata = true\nout = 'a'\n[dream]\nno-metadata = false\n")
    assert config.load(KNOWN) == {"dream": {"no_metadata": False, "out": "a"}, "train": {"out": "a"}}


@given(st.from_regex(r"[a-z][a-z-]{0,15}", fullmatch=True))
def test_every_unknown_key_is_refused(name):
    known = {"dream": {"steps": "steps"}}
    if name != "steps":
        with pytest.raises(UsageError, match=f"'{name}'"):
            config._check(config.Path("artgen.toml"), "", {name: 1}, set(known["dream"]))
