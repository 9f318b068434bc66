"""What `artgen sample` is asked for: the same by a command line and by values, checked alike."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artcli.commands.sample.request import Request
from artcli.errors import UsageError
from artcli.media import images
from tests.lines import request_of


@pytest.fixture(autouse=True)
def run(folder):
    Path("runs/tiny").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save("a.png")


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (("--seed", "3-5", "--size", 64), {"seed": "3-5", "size": "64"}),
        (("--seed", 4, "--class", "x", "--class", "y"), {"seed": 4, "classes": ["x", "y"]}),
        (("--reconstruct", "a.png", "a.png", "--columns", 1), {"reconstruct": ["a.png", "a.png"], "columns": 1}),
        (("--sweep", 2, "--seed", "0-1", "--out", "b.mp4"), {"sweep": 2, "seed": "0-1", "out": "b.mp4"}),
        (("--seed", "0-1", "--out", "x/", "--no-metadata"), {"seed": "0-1", "out": "x/", "no_metadata": True}),
        (("--compare", "runs", "runs/tiny", "--seed", 1), {"compare": ["runs", "runs/tiny"], "seed": "1"}),
    ],
)
def test_values_ask_for_what_the_line_asks_for(line, values):
    assert Request.from_values({"run": "runs/tiny", **values}) == request_of("sample", "runs/tiny", *line)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"colums": 3}, "sample has no option 'colums'. Did you mean 'columns'?"),
        ({"count": 0}, "Invalid value for '--count'"),
        ({"seed": "0-2", "count": 5}, "--seed 0-2 is 3 seeds, and --count asks for 5: leave one out"),
        ({"size": "big"}, "--size 'big' is neither"),
        ({"walk": True, "loop": True}, "--loop has no meaning with --walk"),
        ({"upscale": 3}, "--upscale '3' is not known"),
    ],
)
def test_wrong_values_are_refused_as_on_the_line(values, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        Request.from_values({"run": "runs/tiny", **values})


def test_values_beside_a_record_change_it():
    recipe = {"version": "0", "command": "sample", "parameters": {"run": "runs/tiny", "columns": 2}, "seed": "7-9"}
    images.save(Path("made.png"), np.zeros((8, 8, 3), np.uint8), recipe=recipe)
    again = Request.from_values({"from_file": "made.png", "columns": 3})
    assert (again.options.columns, again.seeds) == (3, (7, 8, 9))
    assert again == request_of("sample", "--from", "made.png", "--columns", 3)
