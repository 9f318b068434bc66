"""Any folder of pictures is understood or refused in one line; nothing that is no picture gets in."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import UsageError
from artcli.training.data.layout import read_layout


def put(root, *names, size=(8, 8)):
    """Small pictures under these names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (len(name) % 256, 9, 200)).save(path, "PNG")


def names(layout):
    return [item.name for item in layout.items]


def labels(layout):
    return [item.label for item in layout.items]


def held(layout):
    return [item.name for item in layout.items if item.held_out]


def test_a_flat_folder(tmp_path):
    put(tmp_path, "b.png", "a.JPG", "c.TiFf")
    layout = read_layout(tmp_path)
    assert names(layout) == ["a.JPG", "b.png", "c.TiFf"]
    assert (layout.classes, layout.notes, layout.problems) == ((), (), ())
    assert layout.describe() == "3 pictures, flat folder"


def test_class_folders_own_what_lies_deeper(tmp_path):
    put(tmp_path, "dog/1.png", "cat/old/2.png", "cat/3.png", "dog/a/b/c/4.png")
    layout = read_layout(tmp_path)
    assert layout.classes == ("cat", "dog")
    assert dict(zip(names(layout), labels(layout), strict=True)) == {
        "cat/3.png": 0,
        "cat/old/2.png": 0,
        "dog/1.png": 1,
        "dog/a/b/c/4.png": 1,
    }
    assert layout.describe() == "4 pictures, 2 class folders"


def test_what_no_person_put_there_is_left_out(tmp_path):
    put(tmp_path, "cat/1.png", "dog/2.png", "__MACOSX/cat/._1.png", "__MACOSX/x.png", ".git/3.png", "cat/.4.png")
    put(tmp_path, "dog/@eaDir/2.png")
    (tmp_path / "readme.txt").write_text("text")
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"1")
    assert names(read_layout(tmp_path)) == ["cat/1.png", "dog/2.png"]


def test_folders_around_everything_are_looked_through(tmp_path):
    put(tmp_path, "flowers/jpg/rose/1.png", "flowers/jpg/tulip/2.png")
    layout = read_layout(tmp_path)
    assert layout.classes == ("rose", "tulip") and labels(layout) == [0, 1]


def test_one_class_folder_is_no_class(tmp_path):
    put(tmp_path, "rose/1.png", "rose/2.png")
    layout = read_layout(tmp_path)
    assert layout.classes == () and labels(layout) == [0, 0]
    assert layout.notes == ("All pictures are in one folder, rose: there are no classes.",)


def test_pictures_beside_folders_leave_no_classes_and_say_so(tmp_path):
    put(tmp_path, "1.png", "cat/2.png", "dog/3.png")
    layout = read_layout(tmp_path)
    assert layout.classes == () and len(layout.items) == 3
    assert "Beside the folders lie 1 picture, so" in layout.notes[0]
    assert layout.kind == "nested folders without classes"


def test_cyclegan_folders_are_two_classes_with_their_own_test_part(tmp_path):
    put(tmp_path, "trainA/1.png", "trainB/2.png", "trainB/3.png", "testA/4.png", "testB/5.png", "extra/6.png")
    layout = read_layout(tmp_path)
    assert layout.classes == ("A", "B") and layout.kind == "trainA and trainB"
    assert dict(zip(names(layout), labels(layout), strict=True)) == {
        "testA/4.png": 0,
        "testB/5.png": 1,
        "trainA/1.png": 0,
        "trainB/2.png": 1,
        "trainB/3.png": 1,
    }
    assert held(layout) == ["testA/4.png", "testB/5.png"]
    assert "CycleGAN" in layout.notes[0] and layout.notes[1] == "Left out: 1 picture beside trainA and trainB."


def test_train_and_val_with_classes_inside(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/2.png", "val/dog/3.png", "test/cat/4.png")
    layout = read_layout(tmp_path)
    assert layout.classes == ("cat", "dog")
    assert names(layout) == ["train/cat/1.png", "train/dog/2.png", "val/dog/3.png"]
    assert labels(layout) == [0, 1, 1] and held(layout) == ["val/dog/3.png"]
    assert layout.kind == "train and val parts with 2 class folders"
    assert layout.notes == ("Left out: the test part with 1 picture.",)


def test_train_and_test_without_classes(tmp_path):
    put(tmp_path, "set/Train/1.png", "set/Train/2.png", "set/Test/3.png")
    layout = read_layout(tmp_path)
    assert (layout.classes, held(layout), layout.notes) == ((), ["set/Test/3.png"], ())


def test_pairs_side_by_side_are_noted(tmp_path):
    put(tmp_path, *(f"{n}.png" for n in range(20)), size=(16, 8))
    assert "pairs side by side (pix2pix)" in read_layout(tmp_path).notes[0]


def test_one_wide_picture_among_others_makes_no_pairs(tmp_path):
    put(tmp_path, "a.png", size=(16, 8))
    put(tmp_path, "b.png")
    assert read_layout(tmp_path).notes == ()


def test_a_folder_inside_can_be_excluded(tmp_path):
    put(tmp_path, "images/1.png", "images/2.png", "masks/1.png", "masks/2.png")
    layout = read_layout(tmp_path, [tmp_path / "masks"])
    assert names(layout) == ["images/1.png", "images/2.png"]


def test_one_picture_alone_or_in_a_folder(tmp_path):
    put(tmp_path, "only.png")
    for path in (tmp_path, tmp_path / "only.png"):
        layout = read_layout(path)
        assert names(layout) == ["only.png"] and layout.kind == "one picture, repeated"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_that_lead_back_end(tmp_path):
    put(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "cat")
    assert len(read_layout(tmp_path).items) == 2


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_names_that_are_no_unicode_can_be_printed(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png"))
    (item,) = read_layout(tmp_path).items
    assert item.name == "\\xff\\xfe.png" and item.source.exists()


# --- refused -------------------------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(UsageError) as caught:
        read_layout(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_missing_folder(tmp_path):
    put(tmp_path, "flowers/1.png")
    assert refused(tmp_path / "flowerz") == (
        f"there is no {tmp_path / 'flowerz'}: name a folder of pictures. Did you mean 'flowers'?"
    )
    assert "there is no" in refused(tmp_path / "a" / "b")


def test_an_empty_folder(tmp_path):
    (tmp_path / "deeper").mkdir()
    assert refused(tmp_path) == f"{tmp_path} is empty: put pictures in it, or name another folder."


def test_a_folder_of_text_files_is_told_what_it_holds(tmp_path):
    for name in ("a.txt", "b.TXT", "c.csv", "LICENSE"):
        (tmp_path / name).write_text("words")
    assert f"no picture in {tmp_path}: it holds 2 .txt, 1 .csv and 1 called LICENSE; pictures are" in refused(tmp_path)


def test_a_text_file(tmp_path):
    (tmp_path / "notes.txt").write_text("words and more words")
    assert "is a text file, not an image" in refused(tmp_path / "notes.txt")


def test_a_zip_archive(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"PK\x03\x04" + bytes(30))
    assert "unpack it first" in refused(tmp_path / "set.zip")


# --- whatever comes ------------------------------------------------------------------------------------------------

PART = st.sampled_from(["a", "B", "c1", "train", "val", "test", "trainA", "trainB", "testA", "__MACOSX", ".x", "ü"])
FILES = st.lists(st.tuples(st.lists(PART, max_size=3), st.sampled_from(["1.png", "2.JPG", "3.txt", ".4.png"])))


@given(FILES)
@settings(max_examples=60, deadline=None)
def test_every_tree_is_understood_or_refused(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tree")
    data = np.full((4, 4, 3), 7, np.uint8)
    for parts, name in files:
        folder = root.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data).save(folder / name, "PNG")
    seen = {
        "/".join((*parts, name))
        for parts, name in files
        if name in ("1.png", "2.JPG") and not {"__MACOSX", ".x"} & set(parts)
    }
    if not seen:
        refused(root)
        return
    layout = read_layout(root)
    assert set(names(layout)) <= seen and len(names(layout)) == len(set(names(layout)))
    assert sorted(item.source for item in layout.items) == sorted(root / item.name for item in layout.items)
    assert all(item.label in range(max(1, len(layout.classes))) for item in layout.items)
    if len(seen) > len(layout.items):
        assert any("Left out" in note for note in layout.notes)
