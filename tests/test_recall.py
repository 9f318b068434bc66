"""The command line that a record stands for: parsed again, it asks for the same; nothing in a record can harm."""

import shlex
from pathlib import Path

import pytest
import typer

from artcli.cli import app
from artcli.commands.shared import recall, recipe

COMMANDS = typer.main.get_command(app).commands
LINES = {
    "nothing but words": ["dream", "red car", "--seed", "3"],
    "quotes": ["dream", "it's a \"red\" $car; `ls` \\ & more", "--seed", "3", "--steps", "7", "--tileable"],
    "repeated": ["dream", "--image-prompt", "a.png", "--image-prompt", "b c.png:0.5", "--seed", "1"],
    "choices": ["dream", "x", "--augment", "none", "--loss", "spherical", "--drawer", "fft", "--seed", "1"],
    "numbers below 0": ["dream", "x", "--rotate", "-2.5", "--pan", "-1,0", "--zoom", "1.01", "--seed", "1"],
    "a prompt like an option": ["dream", "--seed", "3", "--steps", "9", "--", "-fast car"],
    "photos": ["paint", "a b.jpg", "c.jpg", "--size", "300", "--palette", "5"],
    "photos like options": ["paint", "--size", "300", "--", "-a.jpg"],
    "two kinds of input": ["stylize", "photo.jpg", "painting.jpg", "--time-limit", "1h30m", "--seed", "2"],
    "parsed words": ["cyclegan", "a.jpg", "--direction", "btoa", "--seed", "4", "--keep-color", "--eval"],
    "a range of seeds": ["sample", "runs/one", "--seed", "0-3", "--class", "cat", "--class", "big dog"],
    "ways of sampling": ["sample", "one", "--seed", "0", "--interpolate", "--between", "a.png", "--between", "b.png"],
    "a standard input": ["paint", "-"],
}  # fmt: skip


def record_of(words):
    """What a call would put into its outputs."""
    verb = COMMANDS[words[0]]
    with verb.make_context(words[0], list(words[1:])) as context:
        made = recipe.make(words[0], context.params)
        seed = context.params.get("seed")
    return made | ({} if seed is None else {"seed": seed})


def line_of(found, file="made.png"):
    return recall.line(found, Path(file), COMMANDS)


@pytest.mark.parametrize("words", LINES.values(), ids=LINES)
def test_a_line_asks_for_what_the_record_says(words):
    found = record_of(words)
    line = line_of(found)
    assert line.startswith(f"artgen {words[0]} ")
    assert record_of(shlex.split(line)[1:]) == found


def test_a_style_stands_before_an_enlargement_that_came_after_it():
    """Their order on a line is that of the work, but where a record says --upscale-first."""
    line = line_of(record_of(["dream", "x", "--upscale", "2", "--seed", "1", "--stylize", "a.png"]))
    assert 0 < line.index("--stylize") < line.index("--upscale")


def test_defaults_are_left_out():
    assert line_of(record_of(["dream", "red car", "--seed", "3"])) == 'artgen dream "red car" --seed 3'
    assert line_of(record_of(["paint", "photo.jpg", "--no-metadata"])) == "artgen paint photo.jpg"


def test_what_a_dream_settles_is_left_out_where_it_is_the_usual():
    def line(*more, **settled):
        found = record_of(["dream", "red car", "--seed", "3", *more])
        return line_of(found | {"parameters": found["parameters"] | {"size": "256x256", "steps": 300} | settled})

    assert line() == 'artgen dream "red car" --seed 3'
    assert line(steps=60, size="64x64") == 'artgen dream "red car" --size 64x64 --steps 60 --seed 3'
    assert "--size 256x256 --steps 300" in line("--init", "photo.png")
    assert "--size 256x256 --steps 300" in line("--drawer", "diffusers", "--model", "sd")


@pytest.mark.parametrize("sign", ["\n", "\x1b[201~", "\u202e", "\x00"], ids=repr)
def test_what_a_terminal_would_hide_or_obey_is_read_from_the_file(sign):
    """A line is there to be pasted; --from takes such a prompt as it is."""
    found = record_of(["dream", f"red{sign} car", "--seed", "3"])
    assert line_of(found, "my car.png") == 'artgen dream --from "my car.png"'
    assert line_of(found, f"my{sign}.png") is None


def test_a_record_that_from_refuses_has_no_line():
    good = record_of(["dream", "red car", "--seed", "3"])
    parameters = good["parameters"]
    bad = [
        {**good, "command": "rm"},
        {**good, "command": "train"},
        {**good, "command": ["dream"]},
        {**good, "parameters": {**parameters, "out": "/etc/passwd"}},
        {**good, "parameters": {**parameters, "of_the_future": 1}},
        {**good, "parameters": None},
        {name: value for name, value in good.items() if name != "seed"},
        {},
    ]
    assert [line_of(found) for found in bad] == [None] * len(bad)


def test_values_of_a_wrong_kind_become_no_words():
    good = record_of(["dream", "red car", "--seed", "3"])
    for value in ({"a": 1}, [[1]], [True]):
        odd = {**good, "parameters": {**good["parameters"], "steps": value}}
        assert line_of(odd) == "artgen dream --from made.png"
    told = {**good, "parameters": {**good["parameters"], "steps": "1; rm -rf ~"}, "seed": "$(ls)"}
    assert shlex.split(line_of(told)) == ["artgen", "dream", "red car", "--steps", "1; rm -rf ~", "--seed", "$(ls)"]
