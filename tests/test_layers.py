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


def imports(module):
    """What a module imports anywhere in its file, as dotted names; what only type checkers see is left out."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found = set()
    for node in set(ast.walk(tree)) - typing_only:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(*layers):
    """Every module of these layers; a layer is a module or a package."""
    return [name for name in SOURCES if any(name == layer or name.startswith(f"{layer}.") for layer in layers)]


def offences(layers, forbidden):
    return [
        f"{module} imports {name}"
        for module in modules(*layers)
        for name in imports(module)
        if any(name == f or name.startswith(f"{f}.") for f in forbidden)
    ]


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


def test_a_backend_knows_no_command_line():
    above = ["typer", "rich", "click", "artcli.commands", "artcli.cli", "artcli.console", "artcli.run"]
    assert offences(["artcli.backends", "artcli.nn", "artcli.training"], above) == []


def test_building_blocks_know_no_model():
    assert offences(["artcli.nn"], ["artcli.backends", "artcli.training", "artcli.media", "artcli.weights"]) == []


def test_leaves_import_nothing_above_them():
    leaves = ["artcli.errors", "artcli.device", "artcli.media", "artcli.weights", "artcli.fetch", "artcli.config"]
    above = ["artcli.cli", "artcli.commands", "artcli.run", "artcli.backends", "artcli.nn", "artcli.training", "typer"]
    assert offences(leaves, above) == []


def test_the_loop_knows_no_command():
    assert offences(["artcli.run", "artcli.console"], ["artcli.commands", "artcli.cli", "typer"]) == []


def test_commands_do_not_import_the_app():
    assert offences(["artcli.commands", "artcli.options", "artcli.recipe"], ["artcli.cli"]) == []


def test_every_backend_names_its_source():
    for backend in ("dream", "clip", "clip_mini", "paint", "stylize"):
        name = f"artcli.backends.{backend}"
        path = SOURCES.get(f"{name}.__init__") or SOURCES[name]
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]
        assert "et al., " in first, f"{name}: {first}"
