"""`artgen doctor`: each thing that can be wrong is named, with what to do."""

import importlib
import json

import pytest
import typer
from typer.testing import CliRunner

from artcli.commands import doctor
from tests.test_weights import bundle, home, put  # noqa: F401  (home is a fixture)

app = typer.Typer()
app.command()(doctor.doctor)


@pytest.fixture(autouse=True)
def no_open_clip(monkeypatch):
    """Importing open_clip takes seconds, and shows nothing here."""
    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: None if name == "open_clip" else real(name))


def one(part):
    (check,) = list(part())
    return check


def test_a_sound_machine(home):  # noqa: F811
    bundle(home, one=b"1")
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    for name in (
        "artgen",
        "python",
        "torch",
        "open_clip",
        "cpu",
        "memory",
        "ffmpeg",
        "weights mini",
        "cache",
        "ARTGEN_CACHE_DIR",
    ):
        assert f"  {name}: " in result.stdout


def test_json_and_exit_code(home):  # noqa: F811
    (bundle(home, one=b"right") / "one").write_bytes(b"wrong")
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 1
    failed = [row for row in map(json.loads, result.stdout.splitlines()) if row["status"] == "fail"]
    assert [row["name"] for row in failed] == ["weights mini"]
    assert "install artgen again" in failed[0]["detail"]


def test_no_bundled_weights(home):  # noqa: F811
    assert one(doctor.bundled).status == "warn"
    (bundle(home, one=b"1") / "one").unlink()
    assert one(doctor.bundled).status == "fail"


@pytest.mark.parametrize("error", [ModuleNotFoundError("torch"), RuntimeError("operator nms does not exist\nmore")])
def test_a_package_that_does_not_load(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    check = list(doctor.versions())[-1]
    assert check.status == "fail"
    assert check.advice
    assert "\n" not in check.detail


def test_a_check_that_breaks_does_not_stop_the_others(home, monkeypatch):  # noqa: F811
    def broken():
        raise ValueError("broken\ntwice")
        yield

    monkeypatch.setattr(doctor, "memory", broken)
    found = {check.name: check for check in doctor.checks()}
    assert found["broken"] == doctor.Check("fail", "broken", "ValueError: broken")
    assert "cache" in found


def test_ffmpeg_missing(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    check = one(doctor.ffmpeg)
    assert check.status == "warn"
    assert "ffmpeg" in check.advice


def test_ffmpeg_without_the_encoder(monkeypatch):
    monkeypatch.setattr(doctor, "_output", lambda *command: "ffmpeg version 7.0 and so on")
    assert "without the encoder libx264" in one(doctor.ffmpeg).detail


def test_little_memory_and_disk(home, monkeypatch):  # noqa: F811
    monkeypatch.setattr(doctor, "MEMORY_WANTED", 1e18)
    monkeypatch.setattr(doctor, "DISK_WANTED", 1e18)
    assert one(doctor.memory).status == "warn"
    assert "has only" in one(doctor.folders).detail


def test_a_folder_that_cannot_be_written(home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(put(home / "file") / "below"))
    check = next(doctor.cache())
    assert check.status == "warn"
    assert "ARTGEN_CACHE_DIR" in check.advice


def test_variables(home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ARTGEN_WEIGHTS", str(home / "typo"))
    assert [check.status for check in doctor.environment()] == ["ok", "warn"]
