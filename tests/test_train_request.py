"""What `artgen train` is asked for: the same by a command line and by values, checked alike."""

import re
from pathlib import Path

import pytest

from artcli.commands.train.request import Request
from artcli.errors import UsageError
from tests.lines import request_of


@pytest.fixture(autouse=True)
def photos(folder):
    Path("photos").mkdir()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (("vae", "photos", "--steps", 5), {"model": "vae", "data": "photos", "steps": 5}),
        (("painter", "none", "--set", "width=8"), {"model": "painter", "data": "none", "settings": ["width=8"]}),
        (
            ("pix2pix", "photos", "photos", "--crop", 9, "--flip", "--keep", 3, "--time-limit", "5m"),
            {"model": "pix2pix", "data": "photos", "other": "photos", "crop": 9, "flip": True, "keep": 3}
            | {"time_limit": "5m"},
        ),
    ],
)
def test_values_ask_for_what_the_line_asks_for(line, values):
    made = Request.from_values(values)
    assert made == request_of("train", *line)
    assert made.options.trainer.keep == values.get("keep", 2)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"step": 3}, "train has no option 'step'. Did you mean 'steps'?"),
        ({"steps": 0}, "Invalid value for '--steps'"),
        ({"model": "vea"}, "MODEL 'vea' is not known"),
        ({"data": "phots"}, "there is no folder phots to train on"),
        ({"precision": "fp8"}, "--precision 'fp8' is not known; there are: fp32, bf16, fp16."),
        ({"cutout": "circle"}, "--cutout 'circle' is not known"),
    ],
)
def test_wrong_values_are_refused_as_on_the_line(values, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        Request.from_values({"model": "vae", "data": "photos", **values})


def test_a_model_has_to_be_named():
    with pytest.raises(UsageError, match="Missing argument 'MODEL'"):
        Request.from_values({"data": "photos"})
