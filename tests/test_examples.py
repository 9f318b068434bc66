"""The scripts, cron lines and systemd units of examples/ do what they say, here with small models."""

import os
import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests import warm
from tests.conftest import photograph
from tests.readme_help import ROOT
from tests.test_dream_run import TINY

EXAMPLES = ROOT / "examples"
CRON = [line for line in (EXAMPLES / "crontab.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
JOBS = '[[jobs]]\nverb = "paint"\ninputs = "photo.png"\nout = "painted.png"\n'

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="no shell here")


@pytest.fixture
def shell(folder, tiny_clip, tiny_painter):
    """Runs words in a folder that is also the home, with the `artgen` of these sources: (exit code, stdout, stderr)."""
    program = folder / ".local" / "bin" / "artgen"
    program.parent.mkdir(parents=True)
    warm.program(program)
    small = dict(zip((name[2:].replace("-", "_") for name in TINY[::2]), map(str, TINY[1::2]), strict=True))
    settings = {f"ARTGEN_DREAM_{name.upper()}": value for name, value in {**small, "clip": str(tiny_clip)}.items()}
    env = os.environ | settings | {"ARTGEN_PAINT_MODEL": str(tiny_painter), "PYTHONPATH": str(ROOT)}
    env |= {"HOME": str(folder), "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(*words, **other):
        done = subprocess.run(list(map(str, words)), env=env | other, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_picture_for_every_line(shell, folder):
    Path("prompts.txt").write_text("red car\na barn\n")
    Path("made").mkdir()
    photograph(Path("made/red-car.png"))
    before = Path("made/red-car.png").stat().st_mtime_ns
    code, out, err = shell(EXAMPLES / "gallery.sh", "prompts.txt", "made")
    assert (code, out) == (0, "made/a-barn.png\n"), err
    assert Path("made/red-car.png").stat().st_mtime_ns == before


def test_a_folder_is_painted_and_has_its_page(shell, folder):
    for name in ("photos/one.png", "photos/sea/two.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        photograph(Path(name), (40, 30))
    Path("photos/broken.jpg").write_text("no picture")
    code, out, err = shell(EXAMPLES / "paint-folder.sh", "photos", "painted")
    assert code == 1 and "broken.jpg" in err
    assert out.split() == ["painted/one-painted.png", "painted/sea/two-painted.png", "painted/gallery.html"]
    page = Path("painted/gallery.html").read_text("utf-8")
    assert "one-painted.png" in page and "sea/two-painted.png" in page


@pytest.mark.parametrize("line", CRON)
def test_a_line_of_cron(shell, folder, line):
    """Also that it prints nothing where all goes well: cron would send it as mail."""
    *when, command = line.split(maxsplit=5)
    assert len(when) == 5 and all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
    assert "%" not in command, "cron takes it for the end of the line"
    for name in ("Pictures", "art"):
        Path(name).mkdir()
    photograph(Path("art/photo.png"), (40, 30))
    Path("art/jobs.toml").write_text(JOBS)
    assert shell("sh", "-c", command, PATH="/usr/bin:/bin") == (0, "", "")
    assert Path("Pictures/today.png").exists() or Path("art/painted.png").exists()


def test_the_timer_starts_what_cron_does(folder):
    service = RawConfigParser()
    service.optionxform = str
    service.read(EXAMPLES / "systemd" / "artgen.service", encoding="utf-8")
    program, *words = service["Service"]["ExecStart"].split()
    assert Path(program).name == "artgen" and service["Service"]["WorkingDirectory"] == "%h/art"
    assert any(f'cd "$HOME/art" && "$HOME/.local/bin/artgen" {shlex.join(words)} ' in line for line in CRON)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units(shell, folder):
    (folder / "art").mkdir()
    units = sorted(map(str, (EXAMPLES / "systemd").iterdir()))
    assert [Path(unit).name for unit in units] == ["artgen.service", "artgen.timer"]
    code, out, err = shell("systemd-analyze", "--user", "verify", *units, XDG_RUNTIME_DIR=str(folder))
    assert (code, out) == (0, "") and "artgen" not in err, err
