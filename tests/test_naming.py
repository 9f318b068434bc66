"""Where results go: one file, a folder that may have to be made, a pattern of names."""

from pathlib import Path

import pytest

from artcli.commands.shared import naming
from artcli.errors import UsageError
from artcli.media import files
from tests.conftest import photograph


def names(sources, out, **options):
    found = naming.places([Path(source) for source in sources], out and files.output(out), name, **options)
    return [str(path) for path in found]


def name(source):
    return f"{source.stem}-painted.png"


def test_one_file_a_folder_or_a_pattern(folder):
    assert names(["p/a.jpg"], None) == ["a-painted.png"]
    assert names(["p/a.jpg"], "b.png") == ["b.png"]
    assert names(["p/a.jpg"], "out/") == ["out/a-painted.png"]
    assert names(["p/a.jpg"], "out") == ["out"]  # whose missing ending is complained of
    assert names(["p/a.jpg", "q/b.jpg"], "out") == ["out/a-painted.png", "out/b-painted.png"]
    assert names(["p/a.jpg", "q/b.jpg"], "out/*.jpg") == ["out/a.jpg", "out/b.jpg"]
    assert names(["p/a.jpg"], "*-new.webp") == ["a-new.webp"]
    (folder / "there.d").mkdir()
    assert names(["p/a.jpg"], "there.d") == ["there.d/a-painted.png"]
    assert not list((folder / "there.d").iterdir())


def test_one_file_for_several(folder):
    with pytest.raises(UsageError, match=r"--out b.png is one file, but there are 2 inputs; give a folder"):
        names(["a.jpg", "b.jpg"], "b.png")
    with pytest.raises(UsageError, match="takes one picture"):
        names(["a.jpg", "b.jpg"], "-")


def test_equal_names_are_numbered(folder):
    sources = ["p/a.jpg", "p/a.png", "q/a.jpg", "a-painted-2.jpg", "p/b.jpg"]
    assert names(sources, None)[:3] == ["a-painted.png", "a-painted-2.png", "a-painted-3.png"]
    assert names(["p/a.jpg", "p/a.png", "p/a-2.png"], "*.jpg") == ["a.jpg", "a-3.jpg", "a-2.jpg"]


def test_a_tree_is_mirrored(folder):
    sources = ["p/a.jpg", "p/sub/deep/b.jpg", "c.jpg"]
    assert names(sources, "out/", mirrored=["p"]) == [
        "out/a-painted.png", "out/sub/deep/b-painted.png", "out/c-painted.png",
    ]  # fmt: skip
    assert names(sources, None, mirrored=["p"])[1] == "sub/deep/b-painted.png"
    assert names(sources, "out/*.jpg", mirrored=["p/"])[1] == "out/sub/deep/b.jpg"


# Each verb with what it needs to come as far as its check of the outputs.
CALLS = {
    "dream": ["dream", "red car", "--clip", "none"],
    "paint": ["paint", "a.png", "--model", "none"],
    "stylize": ["stylize", "a.png", "a.png", "--net", "none"],
    "fast": ["stylize", "a.png", "a.png", "--fast", "--model", "none"],
    "cyclegan": ["cyclegan", "a.png", "--model", "none"],
    "sample": ["sample", "a.png"],
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_verb_makes_a_folder_with_a_slash(invoke, folder, call):
    photograph(folder / "a.png")
    assert invoke(*call, "-o", "new/out/").exit_code in (2, 3)  # there is no such model
    assert Path("new/out").is_dir()
    assert invoke(*call, "--dry-run", "-o", "other/").exit_code in (2, 3)
    assert not Path("other").exists()


@pytest.mark.parametrize(
    "call", [["paint", "--model"], ["cyclegan", "--model"], ["stylize", "--style", "a.png", "--net"]], ids=str
)
def test_several_inputs_make_a_folder_of_a_plain_name(invoke, folder, call):
    for each in ("a.png", "b.png"):
        photograph(folder / each)
    assert invoke(*call, "none", "a.png", "b.png", "-o", "new").exit_code in (2, 3)
    assert Path("new").is_dir()
