"""Who may import whom, and that starting up stays light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import artcli

PACKAGE = Path(artcli.__file__).parent
SOURCES = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
HEAVY = {"torch", "torchvision", "open_clip", "numpy", "PIL", "scipy", "imageio", "diffusers", "transformers"}


def modules_after(steps):
    """The names of all modules that a fresh Python holds after each of these steps, code by its name."""
    code = "import json, sys\nfor step in json.load(sys.stdin): exec(step, {}); print(*sys.modules, file=sys.stderr)"
    given = json.dumps(list(steps.values()))
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(steps, map(str.split, done.stderr.splitlines()), strict=True))


def test_starting_up_loads_nothing_heavy():
    """The version first, which is all that the package itself holds; then every help."""
    steps = {"package": "import artcli", "import": "import artcli.cli"}
    for verb in ("", *sorted(path.parent.name for path in PACKAGE.glob("commands/*/command.py"))):
        words = [verb, "--help"] if verb else ["--help"]
        invoked = f"assert CliRunner().invoke(app, {words}).exit_code == 0"
        steps[f"{verb} help"] = f"from typer.testing import CliRunner; from artcli.cli import app; {invoked}"
    found = modules_after(steps)
    assert len(found) == 11 and not {"typer", "artcli.cli"} & {*found["package"]}
    late = {*HEAVY, "rich", "artcli.commands.sample.session"}
    assert {step: late & {*modules} for step, modules in found.items() if late & {*modules}} == {}


def test_what_needs_no_torch_loads_none():
    steps = {
        "light": "import artcli.media.files, artcli.training.watch, artcli.training.trackers",
        "pictures": "import artcli.training.data.check, artcli.training.data.cache, artcli.training.report",
    }
    found = modules_after(steps)
    assert not {"torch", "numpy", "PIL", "accelerate"} & {*found["light"]}
    assert not {"torch", "scipy", "typer", "rich"} & {*found["pictures"]}


def test_rooms_import_only_what_lies_below_them():
    """The contracts are in pyproject.toml; .ci/run names what breaks them."""
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_function_of_a_command_is_longer_than_a_screen():
    long = {}
    for name, path in SOURCES.items():
        if name.startswith("artcli.commands."):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef) and (lines := node.end_lineno - node.lineno + 1) > 40:
                    long[f"{name}.{node.name}"] = lines
    assert long == {}


def test_every_backend_names_its_source():
    for room in ("backends.dream", "pretrained.clip", "models.clip.model", "backends.paint", "backends.stylize"):
        name = f"artcli.{room}"
        path = SOURCES.get(f"{name}.__init__") or SOURCES[name]
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]
        assert "et al., " in first, f"{name}: {first}"
