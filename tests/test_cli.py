"""What every command does with a bad request: one line that says what is wrong, the right exit code, no trace of it."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli import cli
from artcli.media import images
from tests.conftest import EXECUTABLE, one_error_line, photograph, snapshot

# --- found before torch is imported ---------------------------------------------------------------------------------

BAD_REQUESTS = [
    # (arguments, what the line has to say)
    (["dream"], "the prompt is empty"),
    (["dream", ""], "the prompt is empty"),
    (["dream", "  "], "the prompt is empty"),
    (["dream", "a|"], "empty prompt beside a '|'"),
    (["dream", ":2"], "a weight but no text"),
    (["dream", "a:0"], "other than 0"),
    (["dream", "a:nan"], "other than 0"),
    (["dream", "a", "--steps", "0"], "--steps"),
    (["dream", "a", "--steps", "many"], "--steps"),
    (["dream", "a", "--size", "7"], "32 to 8192"),
    (["dream", "a", "--size", "abc"], "neither a side such as 256 nor WIDTHxHEIGHT"),
    (["dream", "a", "--size", "64x64x64"], "neither a side such as 256 nor WIDTHxHEIGHT"),
    (["dream", "a", "--lr", "nan"], "--lr"),
    (["dream", "a", "--lr", "inf"], "--lr"),
    (["dream", "a", "--cut-power", "inf"], "--cut-power"),
    (["dream", "a", "--feather", "inf"], "--feather"),
    (["dream", "a", "--fps", "nan"], "--fps"),
    (["dream", "a", "--init-weight", "nan"], "--init-weight"),
    (["dream", "a", "--duration", "inf", "--out", "a.mp4"], "--duration"),
    (["dream", "a", "--out", "a.pgn"], "Did you mean '.png'?"),
    (["dream", "a", "--out", "picture"], "no file extension"),
    (["dream", "a", "--out", "nowhere/a.png"], "no folder nowhere"),
    (["dream", "a", "--out", "there.png"], "--force"),
    (["dream", "a", "--out", "there.mp4"], "there.png exists"),
    (["dream", "a", "--out", "folder.mp4"], "folder.png is a folder"),
    (["dream", "a", "--out", "-", "--save-every", "5"], "--save-every"),
    (["dream", "a", "--out", "there-again.png", "--save-every", "5", "--steps", "9"], "there-again-step00005.png"),
    (["dream", "a", "--stepz", "3"], "--steps"),
    (["dreem", "a"], "Did you mean 'dream'?"),
    (["dream", "a", "--steps", "3", "red", "b"], 'put quotes round a prompt of several words: artgen dream "a red b"'),
    (
        ["paint", "there.png", "--out", "x.bmp"],
        "use one of .png, .jpg, .jpeg, .webp, .tif, .tiff, .avif, .mp4, .webm, .gif.",
    ),
    (["dream", "a", "--optimizer", "adamm"], "Did you mean 'adam'?"),
    (["dream", "a", "--loss", "spheric"], "Did you mean 'spherical'?"),
    (["dream", "a", "--augment", "flip,afine"], "Did you mean 'affine'?"),
    (["dream", "a", "--drawer", "ftt"], "Did you mean 'fft'?"),
    (["dream", "a", "--mask", "there.png"], "--mask needs --init"),
    (["dream", "a", "--init-weight", "5"], "--init-weight needs --init"),
    (["dream", "a", "--feather", "3"], "--feather needs --init and --mask"),
    (["dream", "a", "--fps", "5", "--duration", "3"], "--fps, --duration needs a film: --out NAME.mp4"),
    (["paint", "there.png", "--pace", "change"], "--pace needs a film: --out NAME.mp4"),
    (["stylize", "there.png", "there.png", "--duration", "3"], "--duration needs a film: --out NAME.mp4"),
    (["dream", "a", "--init", "there.png", "--prior-strength", "0.3"], "needs --init PICTURE --start prior"),
    (["dream", "a", "--prior", "none", "--candidates", "2"], "--candidates needs a sketch"),
    (["dream", "a", "--init", "there.png", "--guidance", "2"], "--guidance needs --start prior beside --init"),
    (["dream", "a", "--init", "ther.png"], "Did you mean 'there.png'?"),
    (["dream", "a", "--init", "there.png", "--mask", "no.png"], "no file no.png"),
    (["dream", "a", "--init", "runs"], "runs is a folder: name a file in it"),
    (["dream", "a", "--init", "there.png", "--mask", "runs"], "runs is a folder: name a file in it"),
    (["stylize", "there.png", "there.png", "--mask", "runs"], "runs is a folder: name a file in it"),
    (["dream", "a", "--init", "n" * 300], "n...: the name is too long"),
    (["dream", "a", "--out", f"{'n' * 248}.png"], "n...: the name is too long"),  # for what lies beside it
    (["stylize", "there.png", "there.png", "--mask", "n" * 300], "n...: the name is too long"),
    (["paint", "there.png", "--out", f"{'n' * 300}.png"], "n...: the name is too long"),
    (["dream", "a", "--clip", "n" * 300], "n...: the name is too long"),
    (["dream", "a", "--seed", "x"], "--seed 'x'"),
    (["dream", "a", "--seed", "-1"], "-1"),
    (["dream", "a", "--seed", "5-3"], "has to go up"),
    (["dream", "a", "--seed", "0-99999999"], "10000 is the most"),
    (["dream", "a", "--seed", "99999999999"], "at most"),
    (["dream", "a", "--time-limit", "soon"], "write 90s, 5m or 1h30m"),
    (["dream", "a", "--time-limit", "0s"], "write 90s, 5m or 1h30m"),
    (["dream", "--prompts", "no.txt"], "no file no.txt"),
    (["dream", "--prompts", "empty.txt"], "empty.txt has no prompts"),
    (["dream", "--prompts", "there.png"], "cannot be read as text"),
    (["dream", "--prompts", "zeros.txt"], "cannot be read as text"),
    (["dream", "--prompts", "bad.txt"], "empty prompt beside a '|'"),
    (["dream", "a", "--prompts", "empty.txt"], "not both"),
    (["dream", "--prompts", "two.txt", "--out", "a.png"], "give a folder, such as out/"),
    (["dream", "--prompts", "two.txt", "--out", "-"], "takes one picture"),
    (["dream", "a", "--out", "-", "--seed", "0-2"], "takes one picture"),
    (["dream", "--from", "there.png"], "carries no artgen recipe"),
    (["dream", "--from", "no.png"], "no file no.png"),
    (["dream", "--from", "painted.png"], "made by `artgen paint`, not by `artgen dream`"),
    (["dream", "--from", "bare.png"], "bare.png"),
    (["dream", "--from", "foreign.png"], "'no_such_option'"),
    (["dream", "--from", "hostile.png"], "'force'"),
    (["train"], "MODEL"),
    (["train", "clop", "."], "Did you mean 'clip'?"),
    (["train", "clip", "no"], "no folder no"),
    (["sample", "runs", "--walk", "--rate"], "do not go together"),
    (["sample", "runs", "--out", "*.webp"], "* stands for an input of a batch"),
]


@pytest.fixture
def furnished(folder):
    """A folder with a picture, prompt files and records of other makers."""
    photograph(folder / "there.png", (40, 40))
    photograph(folder / "there-again-step00005.png", (40, 40))
    (folder / "folder.png").mkdir()
    (folder / "runs").mkdir()
    for name, text in {"empty": "\n# nothing\n", "two": "a\nb\n", "bad": "a\nb|\n", "zeros": "a\n\0\0\n"}.items():
        (folder / f"{name}.txt").write_text(text)
    grey = np.full((8, 8, 3), 128, np.uint8)
    images.save(folder / "painted.png", grey, recipe={"command": "paint", "parameters": {}, "seed": 1})
    images.save(folder / "bare.png", grey, recipe={"command": "dream"})
    foreign = {"command": "dream", "parameters": {"prompt": "a", "no_such_option": 1}, "seed": 1}
    images.save(folder / "foreign.png", grey, recipe=foreign)
    hostile = {"command": "dream", "parameters": {"prompt": "a", "out": "there.png", "force": True}, "seed": 1}
    images.save(folder / "hostile.png", grey, recipe=hostile)
    return folder


@pytest.mark.parametrize(("arguments", "says"), BAD_REQUESTS, ids=[" ".join(words) for words, _ in BAD_REQUESTS])
def test_a_bad_request_is_one_line_and_exit_2(invoke, furnished, arguments, says):
    before = snapshot(furnished)
    assert says in refused(invoke(*arguments), 2)
    assert snapshot(furnished) == before


ALL_AT_ONCE = """
import json, sys
from typer.testing import CliRunner
from artcli.cli import app
for arguments in json.load(sys.stdin):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, (arguments, result.exit_code)
    assert "torch" not in sys.modules, arguments
"""


def test_bad_requests_do_not_wait_for_torch(furnished):
    requests = json.dumps([arguments for arguments, _ in BAD_REQUESTS])
    done = subprocess.run([sys.executable, "-c", ALL_AT_ONCE], input=requests, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_executable(artgen):
    from artcli import __version__

    assert artgen("--version") == (0, f"artgen {__version__}\n", "")
    code, out, err = artgen("dream", "--help")
    assert (code, err) == (0, "") and out.startswith("Usage: ") and "\x1b" not in out
    code, out, err = artgen("--verson")
    assert (code, out) == (2, "") and "--version" in one_error_line(err)


def test_no_arguments_show_the_help(invoke):
    result = invoke()
    assert result.exit_code == 2 and "dream" in result.output and "train" in result.output


def test_the_list_of_verbs_says_what_each_does(invoke):
    """In 80 columns nothing is cut: a verb's first sentence is short."""
    listed = invoke("--help", env={"COLUMNS": "80"}).stdout.partition("Commands:")[2].strip().splitlines()
    assert len(listed) == 11 and all(line.endswith(".") and "..." not in line for line in listed)


def test_a_command_by_itself_knows_both_names_of_help():
    """One that was asked outside the executable first, as a recipe's is, keeps the help option that it got then."""
    command = cli._command.__wrapped__("cyclegan", "cyclegan.command")
    option = command.get_help_option(command.make_context("cyclegan", [], resilient_parsing=True))
    assert sorted(option.opts) == ["--help", "-h"]


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["train", "-h"]])
def test_help_is_on_stdout_and_in_plain_text(invoke, words):
    result = invoke(*words)
    assert (result.exit_code, result.stderr) == (0, "") and result.stdout.startswith("Usage: ")
    assert "\x1b" not in result.stdout


# --- found with torch at hand: in this process ----------------------------------------------------------------------


@pytest.fixture
def dream(invoke, tiny_clip):
    """A short dream on the tiny CLIP; flags given here come first, so that a test's own win."""

    def run(*args, **options):
        tiny = ["--clip", tiny_clip, "--size", 64, "--steps", 4, "--cutouts", 4, "--seed", 1, "--low-res", 0]
        return invoke("dream", "--drawer", "fft", "--prior", "none", *tiny, *args, **options)

    return run


def refused(result, code):
    assert (result.exit_code, result.stdout) == (code, "")
    return one_error_line(result.stderr)


@pytest.mark.parametrize("device", ["cuda:99", "mps", "qpu", "cuda:x"])
def test_a_device_that_is_not_there(dream, folder, device):
    import torch

    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    assert device in refused(dream("a", "-q", "--device", device), 2)
    assert snapshot(folder) == {}


def test_a_mistyped_clip_gets_a_suggestion(dream, folder):
    assert "Did you mean 'ViT-B-32-quickgelu'?" in refused(dream("a", "-q", "--clip", "ViT-B-32-quickgell/openai"), 2)
    assert "Did you mean 'openai'?" in refused(dream("a", "-q", "--clip", "ViT-B-32-quickgelu/openi"), 2)
    assert "'clip-mimi'" in refused(dream("a", "-q", "--clip", "clip-mimi"), 2)
    assert snapshot(folder) == {}


def test_a_clip_folder_without_its_configuration(dream, folder):
    (folder / "empty").mkdir()
    assert "has no open_clip_config.json" in refused(dream("a", "-q", "--clip", "empty"), 3)


def test_a_clip_file_that_is_not_there(dream):
    assert "no file nowhere.pt" in refused(dream("a", "-q", "--clip", "ViT-B-32=nowhere.pt"), 3)


@pytest.fixture
def broken_clip(folder, tiny_clip):
    """A model folder with the tiny CLIP's configuration, whose weights a test fills in."""
    broken = folder / "broken"
    broken.mkdir()
    (broken / "open_clip_config.json").write_bytes((tiny_clip / "open_clip_config.json").read_bytes())
    return broken


def test_a_truncated_clip(dream, broken_clip, tiny_clip):
    whole = (tiny_clip / "open_clip_model.safetensors").read_bytes()
    (broken_clip / "open_clip_model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "cannot be loaded" in refused(dream("a", "-q", "--clip", broken_clip), 3)


def test_a_clip_of_another_shape(dream, broken_clip, tiny_clip):
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["width"] = 32
    (broken_clip / "open_clip_config.json").write_text(json.dumps(config))
    (broken_clip / "open_clip_model.safetensors").write_bytes((tiny_clip / "open_clip_model.safetensors").read_bytes())
    assert "cannot be loaded" in refused(dream("a", "-q", "--clip", broken_clip), 3)


def test_a_clip_folder_without_weights(dream, broken_clip):
    """open_clip itself would go on with random weights."""
    assert "cannot be loaded" in refused(dream("a", "-q", "--clip", broken_clip), 3)


class _Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))  # what an unpickler that runs code would do


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_code_in_a_pickle_does_not_run(dream, broken_clip, folder, form):
    import torch

    path = broken_clip / "open_clip_pytorch_model.bin"
    if form == "pickle":
        path.write_bytes(pickle.dumps(_Trap()))
    else:
        torch.save({"weight": _Trap()}, path)
    assert "cannot be loaded" in refused(dream("a", "-q", "--clip", broken_clip), 3)
    assert not (folder / "trapped").exists()


def test_a_mask_of_another_size(dream, folder):
    photograph(folder / "photo.png", (80, 56))
    photograph(folder / "mask.png", (40, 56))
    line = refused(dream("a", "-q", "--init", "photo.png", "--mask", "mask.png"), 2)
    assert "40x56" in line and "80x56" in line


def test_a_black_mask(dream, folder):
    photograph(folder / "photo.png", (80, 56))
    Image.new("L", (80, 56), 0).save(folder / "mask.png")
    assert "black everywhere" in refused(dream("a", "-q", "--init", "photo.png", "--mask", "mask.png"), 2)


def test_a_corrupt_init_picture(dream, folder):
    whole = photograph(folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[:200])
    before = snapshot(folder)
    assert "cut.png" in refused(dream("a", "-q", "--init", "cut.png"), 2)
    (folder / "text.png").write_text("no picture")
    assert "text.png" in refused(dream("a", "-q", "--init", "text.png"), 2)
    (folder / "text.png").unlink()
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--image-prompt", "no.png", "no file no.png"),
        ("--image-prompt", "no.png:0.5", "no file no.png"),
        ("--image-prompt", "~nobody.png", "no file ~nobody.png"),
        ("--noise-prompt", "loud:2", "has to start with a seed"),
        ("--noise-prompt", "7:0", "other than 0"),
        ("--noise-prompt", "²", "has to start with a seed"),
        ("--noise-prompt", "9" * 30, "seed"),
        ("--weights", "nowhere", "no such folder"),
    ],
)
def test_other_prompts_that_cannot_be_used(dream, folder, option, value, says):
    clip = ["--clip", "clip-mini"] if option == "--weights" else []
    assert says in refused(dream("-q", "a", option, value, *clip), 2)
    assert snapshot(folder) == {}


def test_a_picture_that_steers_all_is_refused_once(dream, folder):
    (folder / "text.png").write_text("no picture")
    assert "text.png is a text file" in refused(dream("a", "-q", "--seed", "1-3", "--image-prompt", "text.png"), 2)


def test_a_prompt_too_long_for_a_record_is_refused_before_any_compute(dream, folder, monkeypatch):
    from artcli.backends.dream import begin, restyle, travel  # noqa: F401 (which keep what they import)

    monkeypatch.setattr(begin, "begin", lambda *args, **kwargs: iter(()))
    result = dream("word " * 5000, "-q", "--out", "a.png")
    cut, error = result.stderr.splitlines()
    assert result.exit_code == 1 and "it is cut" in cut and "--no-metadata" in error
    assert snapshot(folder) == {}


def test_force_replaces(dream, folder):
    (folder / "a.png").write_text("old")
    assert "--force" in refused(dream("a", "-q", "--out", "a.png"), 2)
    assert (folder / "a.png").read_text() == "old"
    assert dream("a", "-q", "--out", "a.png", "--force").exit_code == 0
    assert Image.open(folder / "a.png").size == (64, 64)


def test_an_unexpected_error_keeps_its_traceback(dream, monkeypatch):
    from artcli.backends.dream import begin, restyle, travel  # noqa: F401 (which keep what they import)

    def bug(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(begin, "begin", bug)
    with pytest.raises(ZeroDivisionError):
        dream("a", "-q")


# --- progress -------------------------------------------------------------------------------------------------------


def shown(monkeypatch, capsys, *, terminal, **console):
    """What a progress of two steps leaves on stderr."""
    import sys

    from artcli.console import Console

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with Console(**console).progress("dream", 2) as progress:
        progress.update(1, "loss 2")
        progress.update(2, "loss 1")
    return capsys.readouterr().err


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_plain_progress_where_nothing_can_be_redrawn(monkeypatch, capsys, terminal, term):
    monkeypatch.setenv("TERM", term)
    assert shown(monkeypatch, capsys, terminal=terminal) == "dream: 2/2 loss 1\n"


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "2/2" in shown(monkeypatch, capsys, terminal=True)


def test_no_progress_when_quiet(monkeypatch, capsys):
    assert shown(monkeypatch, capsys, terminal=True, quiet=True) == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["--version"], ["models"], ["weights", "list"]])
def test_a_full_disk_behind_standard_output(arguments):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([*EXECUTABLE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and "No space left" in one_error_line(result.stderr)
