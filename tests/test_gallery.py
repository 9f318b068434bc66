"""The page of `artgen gallery`: what it says of a folder, what it refuses, and that nothing in a file can harm it."""

import base64
import io
import json
import os
import re
import shlex
import sys
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from artcli.commands.gallery import page
from artcli.errors import ArtgenError
from artcli.media import files, images, video
from tests.conftest import animation, one_error_line, photograph, snapshot
from tests.test_layers import modules_after

HOSTILE = "</script><script>window.pwned = 1</script> \"it's\" <img src=x onerror='window.pwned = 1'> & @DATA@ $(ls)"


def record_of(verb="dream", seed=0, **parameters):
    return {"version": "0.1.0", "command": verb, "seed": seed, "parameters": parameters, "weights": {"clip-mini": "ab"}}


def still(path, colour=(200, 30, 40), size=(24, 16), recipe=None):
    """A picture of one colour."""
    images.save(path, np.full((size[1], size[0], 3), colour, np.uint8), recipe=recipe)
    return path


def film(path, recipe=None, colours=((10, 10, 10), (20, 200, 60)), size=(48, 32)):
    """A film from one colour to the other."""
    with video.VideoWriter(path, size, 5, recipe) as made:
        for colour in np.linspace(*colours, 8):
            made.write(np.full((size[1], size[0], 3), colour, np.uint8))
    return path


def data_in(text):
    """What the script of the page works with."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def items_in(path):
    """The results on a page by their names, each with its small picture as `picture`."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r'id="thumbs-\d+">(.*?)</script>', text, re.DOTALL)
    small = [address for each in blocks for address in json.loads(each)]
    items = data_in(text)["items"]
    for item, address in zip(items, small, strict=True):
        item["picture"] = picture_in(address)
    return {item["name"]: item for item in items}


def picture_in(address):
    head, _, code = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")).astype(int)


def near(picture, colour):
    return np.abs(picture.mean((0, 1)) - colour).max() < 12


@pytest.fixture
def gallery(invoke):
    def run(*args, code=0):
        result = invoke("gallery", *args)
        assert result.exit_code == code, result.stderr
        return result

    return run


# --- what is on the page ----------------------------------------------------------------------------------------------


def test_every_kind_of_output_shows_its_record_and_its_end(gallery, folder):
    verbs = {
        "a.png": ("dream", {"prompt": "red car"}), "b.jpg": ("paint", {"inputs": ["photos/dog.jpg"]}),
        "c.webp": ("stylize", {"inputs": ["dog.jpg", "art/night.jpg"]}), "d.tif": ("cyclegan", {"inputs": ["dog.jpg"]}),
        "e.png": ("sample", {"run": "runs/0001-vae"}), "f.mp4": ("dream", {"prompt": "a storm"}),
        "g.webm": ("paint", {"inputs": ["dog.jpg"]}), "h.gif": ("paint", {"inputs": ["dog.jpg"]}),
        "i.webp": ("sample", {"prompts": ["a cat", "a dog"]}),
    }  # fmt: skip
    for name, (verb, parameters) in verbs.items():
        write = film if name[0] in "fghi" else still
        write(folder / name, recipe=record_of(verb, **parameters))
    result = gallery(".")
    assert result.stdout == "gallery.html\n" and "gallery: 9 results\n" in result.stderr
    found = items_in(folder / "gallery.html")
    assert {name: item["verb"] for name, item in found.items()} == {name: verb for name, (verb, _) in verbs.items()}
    kinds = {name: item["kind"] for name, item in found.items() if item["kind"] != "picture"}
    assert kinds == {"f.mp4": "film", "g.webm": "film", "h.gif": "animation", "i.webp": "animation"}
    assert {name: item["title"] for name, item in found.items()} == {
        "a.png": "red car", "b.jpg": "dog.jpg", "c.webp": "dog.jpg, night.jpg", "d.tif": "dog.jpg",
        "e.png": "runs/0001-vae", "f.mp4": "a storm", "g.webm": "dog.jpg", "h.gif": "dog.jpg", "i.webp": "a cat, a dog",
    }  # fmt: skip
    for name, item in found.items():
        assert item["recorded"] and item["seed"] == "0" and item["weights"] == [["clip-mini", "ab"]]
        assert near(item["picture"], (20, 200, 60) if name[0] in "fghi" else (200, 30, 40)), name
    assert found["a.png"]["command"] == 'artgen dream "red car" --seed 0'
    assert found["a.png"]["alt"] == "Picture by artgen dream: red car"
    assert found["a.png"]["settings"] == [["prompt", "red car"]] and found["a.png"]["size"] == [24, 16]
    assert found["f.mp4"]["alt"] == "Film by artgen dream: a storm"


def test_files_without_a_record_and_broken_ones(gallery, folder):
    photograph(folder / "photo.png")
    animation(folder / "moves.gif")
    (folder / "cut.webp").write_bytes(still(folder / "whole.webp", size=(200, 200)).read_bytes()[:80])
    for name in ("text.png", "empty.jpg", "film.mp4", "old.avi"):
        (folder / name).write_text("" if name == "empty.jpg" else "not what it says")
    result = gallery(".", "--json")
    told = json.loads(result.stdout)
    bad = ["cut.webp", "empty.jpg", "film.mp4", "old.avi", "text.png"]
    assert told == {"paths": ["gallery.html"], "shown": 3, "without_record": 3, "broken": bad}
    assert "warning: 5 files cannot be read; the page lists them" in result.stderr
    found = items_in(folder / "gallery.html")
    assert {item["alt"] for item in found.values()} == {
        "Picture photo.png, without a record", "Animation moves.gif, without a record",
        "Picture whole.webp, without a record",
    }  # fmt: skip
    assert all(not item["recorded"] and item["command"] is None for item in found.values())
    listed = data_in((folder / "gallery.html").read_text())["broken"]
    assert [file["name"] for file in listed] == bad and all(file["why"] for file in listed)


def test_odd_pictures_look_as_artgen_reads_them(gallery, folder):
    levels = np.full((20, 30), 0x8000, np.uint16)
    levels[0, 0] = 65535
    Image.fromarray(levels).save(folder / "deep.png")
    Image.new("CMYK", (30, 20), (0, 255, 255, 0)).save(folder / "print.jpg", quality=95)
    Image.new("RGBA", (30, 20), (0, 0, 255, 0)).save(folder / "clear.png")
    turned = Image.new("RGB", (40, 20), (0, 200, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    gallery(".")
    found = items_in(folder / "gallery.html")
    assert near(found["deep.png"]["picture"], (128, 128, 128))
    assert found["print.jpg"]["picture"].mean((0, 1))[0] > 180 > 90 > found["print.jpg"]["picture"].mean((0, 1))[2]
    assert found["turned.jpg"]["size"] == found["turned.jpg"]["shape"] == [20, 40]


def test_newest_first_and_names_within_a_second(gallery, folder):
    for name, time in {"b.png": 100, "a.png": 100, "c.png": 200, "d.png": 50}.items():
        os.utime(still(folder / name), (time, time))
    gallery(".")
    assert list(items_in(folder / "gallery.html")) == ["c.png", "a.png", "b.png", "d.png"]


def test_subfolders_on_request_and_never_what_is_hidden(gallery, folder):
    for name in ("a.png", ".b.png", "new/c.png", ".old/d.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        still(folder / name)
    gallery(".")
    assert list(items_in(folder / "gallery.html")) == ["a.png"]
    gallery(".", "--recursive", "--force")
    assert set(items_in(folder / "gallery.html")) == {"a.png", "new/c.png"}


def test_links_lead_to_the_files_from_where_the_page_is(gallery, folder):
    names = ["a b.png", "50%#1?.png", "jävascript:x.png"]
    lines = {f"../../in/{name}": f'artgen dream --from "../../in/{name}"' for name in names}
    (folder / "in").mkdir()
    if sys.platform == "linux":
        names.append(os.fsdecode(b"\xff.png"))  # no text, so no line either
        lines["../../in/?.png"] = None
    for name in names:
        still(folder / "in" / name, recipe=record_of(prompt="of two\nlines"))
    gallery("in", "-o", "out/pages/")
    found = items_in(folder / "out/pages/gallery.html")
    assert {name: item["command"] for name, item in found.items()} == lines
    for item in found.values():
        assert re.fullmatch(r"[\w./%-]+", item["href"])
        there = folder / "out/pages" / os.fsdecode(unquote_to_bytes(item["href"]))
        assert there.stat().st_size == item["bytes"]


def test_a_thousand_small_pictures(gallery, folder):
    thousand(folder)
    gallery(".", "-q")
    found = items_in(folder / "gallery.html")
    assert len(found) == 1000 and found["0777.png"]["title"] == "number 777"
    assert (found["0777.png"]["picture"] == (777 % 256, 3, 0)).all(), "so small a picture is kept as it is"
    assert (folder / "gallery.html").stat().st_size < 2_000_000
    text = (folder / "gallery.html").read_text()
    assert text.index('id="thumbs-0"') < text.index('"use strict"') < text.index('id="thumbs-1"')


def thousand(folder):
    for number in range(1000):
        colour = (number % 256, number // 256, 0)
        still(folder / f"{number:04}.png", colour, (8, 8), record_of(prompt=f"number {number}", seed=number))
        os.utime(folder / f"{number:04}.png", (9, 9))


# --- what is refused, and what is not lost ----------------------------------------------------------------------------


def test_one_clear_line(gallery, folder):
    (folder / "empty").mkdir()
    (folder / "deep/er").mkdir(parents=True)
    photograph(folder / "deep/er/a.png")
    (folder / "deep/notes.txt").write_text("x")
    lines = {
        ("empty",): "there is no picture and no film in empty",
        ("empty", "--recursive"): "there is no picture and no film in empty",
        ("deep",): "there is no picture and no film in deep; its subfolders have 1: add --recursive",
        ("none",): "there is no folder none",
        ("deep/notes.txt",): "deep/notes.txt is not a folder: name the one that the pictures are in",
        ("deep/er", "-o", "a.png"): "cannot write .png (a.png): use one of .html, .htm.",
        ("deep/er", "-o", "no/a.html"): "no folder no (the nearest that exists",
    }
    before = snapshot(folder)
    for words, line in lines.items():
        assert one_error_line(gallery(*words, code=2).stderr).startswith(line)
    assert snapshot(folder) == before


def test_a_page_is_replaced_only_by_force_and_whole(gallery, folder, monkeypatch):
    still(folder / "a.png")
    gallery(".")
    first = (folder / "gallery.html").read_bytes()
    still(folder / "b.png")
    line = one_error_line(gallery(".", code=2).stderr)
    assert line == "gallery.html exists: add --force to replace it."
    before = snapshot(folder)
    with monkeypatch.context() as patch:
        patch.setattr(files, "publish", lambda *paths: (_ for _ in ()).throw(OSError(28, "full")))
        assert "no space left" in gallery(".", "--force", code=1).stderr
        patch.setattr(page, "render", lambda *args: (_ for _ in ()).throw(ArtgenError("stopped")))
        gallery(".", "--force", code=1)
    assert snapshot(folder) == before
    gallery(".", "--force")
    assert (folder / "gallery.html").read_bytes() != first


def test_a_dry_run_writes_nothing(gallery, folder):
    still(folder / "a.png")
    before = snapshot(folder)
    result = gallery(".", "--dry-run", "-o", "new/")
    assert "gallery: 1 file for new/gallery.html" in result.stderr and result.stdout == ""
    assert snapshot(folder) == before


# --- files come from anywhere -----------------------------------------------------------------------------------------


def test_no_prompt_and_no_name_ends_the_script(gallery, folder):
    place = folder / "<img src=x onerror=alert(1)>@DATA@"
    place.mkdir()
    name = "<b>&'.png"
    still(place / name, recipe=record_of(prompt=HOSTILE, **{"<i>": "</script>"}))
    still(place / "good.png", recipe=record_of(prompt=HOSTILE))
    (place / "<u>.png").write_text("no picture")
    gallery(place)
    text = (place / "gallery.html").read_text()
    assert not re.search("[<>&]", re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert text.count("</script>") == 3 and "<img src=x" not in text
    found = items_in(place / "gallery.html")
    assert found[name]["title"] == HOSTILE and found[name]["command"] is None
    assert ["<i>", "</script>"] in found[name]["settings"]
    assert shlex.split(found["good.png"]["command"]) == ["artgen", "dream", HOSTILE, "--seed", "0"]


def test_records_of_any_shape(gallery, folder):
    deep = []
    for _ in range(300):
        deep = [deep]
    odd = [
        {"command": None}, {"command": "dream", "parameters": [1]},
        {"command": ["x"], "parameters": {"prompt": {"a": 1}}},
        {"parameters": {"prompt": deep, "inputs": 3}, "weights": 7, "seed": {}},
        {"command": "x" * 5000, "parameters": {str(k): "y" * 20 for k in range(300)}},
    ]  # fmt: skip
    for number, recipe in enumerate(odd):
        still(folder / f"{number}.png", recipe=recipe)
    text = PngInfo()
    text.add_text("artgen", '{"artgen": {"seed": NaN, "parameters": {"lr": Infinity, "prompt": "\\ud800"}}}')
    Image.new("RGB", (8, 8)).save(folder / "6.png", pnginfo=text)
    gallery(".")
    found = items_in(folder / "gallery.html")
    assert [item["recorded"] and item["command"] is None for item in found.values()] == [True] * 6
    assert len(found["4.png"]["verb"]) == page.MOST_TEXT and len(found["4.png"]["settings"]) == page.MOST_ROWS
    assert (found["6.png"]["seed"], found["6.png"]["title"]) == ("NaN", "?"), "a browser reads no bare NaN"


def test_the_page_needs_nothing_from_outside(gallery, folder):
    still(folder / "a.png", recipe=record_of(prompt="red car"))
    gallery(".")
    text = (folder / "gallery.html").read_text()
    assert "default-src 'none'" in text and "@" not in text.split("<body>")[0].split("</style>")[1]
    assert not re.search(r"https?:|url\(|@import|<script src|<link rel=\"style", text)


def test_it_loads_no_torch(folder):
    still(folder / "a.png", recipe=record_of(prompt="red car"))
    film(folder / "b.mp4")
    called = (
        "from typer.testing import CliRunner; from artcli.cli import app; r = CliRunner().invoke(app, ['gallery', '.'])"
    )
    found = modules_after({"gallery": f"{called}; assert r.exit_code == 0, r.output"})
    assert not {"torch", "torchvision", "open_clip", "scipy"} & {*found["gallery"]}
