"""What `artgen dream` is asked for, on the command line and from Python: the same values, checks and defaults."""

from pathlib import Path

import numpy as np
import pytest

from artcli.backends.dream.settings import Camera, Redrawing, Settings, Sketching
from artcli.commands.dream import options as dream_options
from artcli.commands.dream import run as dream_run
from artcli.commands.dream.request import Request
from artcli.errors import UsageError
from artcli.media import images
from tests.conftest import photograph


@pytest.fixture
def on_the_line(invoke, monkeypatch):
    """The request that a command line makes, seen where the work would begin."""
    seen = []
    monkeypatch.setattr(dream_run, "run", lambda request, console: seen.append(request))

    def request(*words):
        result = invoke("dream", *words)
        assert result.exit_code == 0, result.output
        return seen.pop()

    return request


def test_values_make_the_request_of_the_command_line(on_the_line):
    line = [
        "--seed", "3-4", "--steps", 9, "--augment", "flip,noise", "--cutouts", 5, "--candidates", 2,
        "--frame-steps", 2, "--zoom", 1.01, "--pan=-2,0", "--image-prompt", "a.png:0.5",
        "--image-prompt", "b.png", "--no-preview", "--tileable", "--size", "96x64", "--out", "a.mp4", "--fps", 12,
        "--time-limit", "5m", "--optimizer", "radam",
    ]  # fmt: skip
    values = {
        "prompt": "-1 | red", "seed": "3-4", "steps": 9, "augment": "flip,noise", "cutouts": 5, "candidates": 2,
        "frame_steps": 2, "zoom": 1.01, "pan": "-2,0", "image_prompt": ["a.png:0.5", "b.png"],
        "preview": False, "tileable": True, "resume": False, "size": "96x64", "out": "a.mp4", "fps": 12,
        "time_limit": "5m", "optimizer": "radam", "mask": None,
    }  # fmt: skip
    made = Request.from_values(values)
    assert made == on_the_line(*line, "--", "-1 | red")
    assert [job.seed for job in made.jobs] == [3, 4] and made.size == (96, 64) and made.time_limit == 300
    assert made.options.sketching == Sketching(candidates=2) and made.options.pace == Redrawing(2)
    assert made.settings == Settings(
        steps=9, drawer="fft", optimizer="radam", cutouts=5, augment=("flip", "noise"), tileable=True
    )
    assert made.camera == Camera(1.01, (-2.0, 0.0), 0.0, 2)
    assert made.recipe["parameters"]["augment"] == "flip,noise" and made.recipe["parameters"]["frame_steps"] == 2


def test_files_and_folders(on_the_line, folder):
    photograph(folder / "photo.png", (40, 40))
    line = ["a", "--init", "photo.png", "--mask", "photo.png", "--weights", "w", "--weights", "v", "-f", "-o", "new/"]
    values = {"prompt": "a", "init": "photo.png", "weights_dirs": ["w", "v"]}
    made = Request.from_values({**values, "mask": Path("photo.png"), "force": True, "out": "new/", "seed": 1})
    assert made == on_the_line(*line, "--seed", 1)
    assert made.options.folders == (Path("w"), Path("v")) and made.jobs[0].out == Path("new/a.png")


def test_what_a_value_says_wins_over_a_preset_and_a_record(folder):
    made = Request.from_values({"prompt": "a", "preset": "official", "lr": 0.3})
    assert (made.settings.lr, made.settings.loss, made.settings.cutouts) == (0.3, "spherical", 32)
    grey = np.full((8, 8, 3), 128, np.uint8)
    record = {"command": "dream", "parameters": {"prompt": "a", "lr": 0.5, "augment": "noise", "steps": 7}, "seed": 5}
    images.save(folder / "made.png", grey, recipe=record)
    made = Request.from_values({"from_file": "made.png", "steps": 8})
    assert (made.settings.steps, made.settings.lr, made.settings.augment) == (8, 0.5, ("noise",))
    assert [(job.prompt, job.seed) for job in made.jobs] == [("a", 5)]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stepz": 3}, "dream has no option 'stepz'. Did you mean 'steps'?"),
        ({"hold": 3}, "dream has no option 'hold'"),
        ({"strength": 0.5}, "dream has no option 'strength'"),
        ({"steps": 0}, "'--steps'"),
        ({"steps": "many"}, "'--steps'"),
        ({"loss": "spheric"}, "Did you mean 'spherical'?"),
        ({"augment": "afine"}, "Did you mean 'affine'?"),
        ({"tileable": "perhaps"}, "'--tileable'"),
        ({"size": "7"}, "32 to 8192"),
        ({"preset": "offical"}, "Did you mean 'official'?"),
        ({"vqgan": "mine", "drawer": "fft"}, "--vqgan goes with --drawer vqgan"),
        ({"upscaler": "mine"}, "add --upscale 2 or 4"),
        ({"pan": "x", "out": "a.mp4"}, "--pan 'x' has to be two numbers"),
    ],
)
def test_values_that_cannot_be(folder, values, says):
    with pytest.raises(UsageError) as error:
        Request.from_values({"prompt": "a", **values})
    assert says in str(error.value) and error.value.exit_code == 2


def test_every_preset_sets_options_that_there_are(folder):
    for name, values in dream_options.PRESETS.items():
        parameters = Request.from_values({"prompt": "a", "preset": name}).recipe["parameters"]
        assert values.items() <= parameters.items()


@pytest.mark.parametrize("columns", [40, 80])
def test_the_help_fits_and_has_what_people_use_first_in_front(invoke, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = invoke("dream", "--help").stdout
    assert max(map(len, text.splitlines())) <= columns
    sections = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    wanted = ["Arguments", "Options", "Prompts", "Start", "Drawing", "Film", "Afterwards", "Run", "Files and weights"]
    assert sections == wanted
    first = text.split("Options:")[1].split("Prompts:")[0]
    assert first.count("\n  -") == 11
    assert "noise|gradient" in text  # the last of the choices, on a line of its own where it is narrow
