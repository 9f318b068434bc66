"""Who may import whom, and that starting up stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import artcli

PACKAGE = Path(artcli.__file__).parent
SOURCES = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
HEAVY = {"torch", "torchvision", "open_clip", "numpy", "PIL", "scipy", "imageio"}


def loaded_after(code):
    """The names of all modules that Python holds after running the code in a fresh process."""
    code += "\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import artcli.cli",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['--help'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['dream', '--help'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['stylize', '-h'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['paint', '--help'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['train', '--help'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['sample', '-h'])",
        "from typer.testing import CliRunner; from artcli.cli import app; CliRunner().invoke(app, ['cyclegan', '-h'])",
    ],
    ids=["import", "help", "dream help", "stylize help", "paint help", "train help", "sample help", "cyclegan help"],
)
def test_starting_up_loads_nothing_heavy(code):
    assert not loaded_after(code) & HEAVY


def test_the_version_is_all_that_the_package_itself_holds():
    assert not loaded_after("import artcli") & {"typer", "artcli.cli", *HEAVY}


def test_rooms_import_only_what_lies_below_them():
    """The contracts are in pyproject.toml; .ci/run names what breaks them."""
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_backend_names_its_source():
    for room in ("backends.dream", "pretrained.clip", "models.clip.model", "backends.paint", "backends.stylize"):
        name = f"artcli.{room}"
        path = SOURCES.get(f"{name}.__init__") or SOURCES[name]
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]
        assert "et al., " in first, f"{name}: {first}"
