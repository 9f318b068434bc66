"""Picture sets of clip-mini, and what a picture may be called."""

import numpy as np
import pytest
import torch

from artcli.errors import UsageError
from artcli.models.clip.concepts import Concepts
from artcli.training import pictures

# --- picture sets ---------------------------------------------------------------------------------------------------


def write_set(folder, name, **changes):
    content = {
        "images": np.zeros((100, 8, 8, 3), np.uint8),
        "labels": np.arange(100) % 2,
        "names": ["cat", "dog, hound"],
        "kinds": ["mammal", "mammal, pet"],
        "share": 1.0,
        "attributes": True,
    }
    np.savez(folder / f"{name}.npz", **(content | changes))


def test_picture_sets_are_read_by_name_and_texts_are_none_of_them(tmp_path):
    write_set(tmp_path, "b", share=0.25, attributes=False)
    write_set(tmp_path, "a")
    (tmp_path / "texts.npz").write_bytes(b"")
    first, second = pictures.load_sets(tmp_path)
    assert (first.name, first.share, first.attributes) == ("a", 1.0, True)
    assert (second.name, second.share, second.attributes) == ("b", 0.25, False)
    assert first.images.shape == (100, 3, 8, 8) and first.names == ["cat", "dog, hound"]


def test_every_fiftieth_picture_is_held_out(tmp_path):
    write_set(tmp_path, "a")
    training, validation = pictures.load_sets(tmp_path)[0].split()
    assert validation.tolist() == [49, 99] and len(training) == 98
    assert not set(training.tolist()) & set(validation.tolist())


@pytest.mark.parametrize(("part", "held"), [(0.0, []), (0.03, [33, 66, 99]), (0.1, [*range(9, 100, 10)])])
def test_another_part_can_be_held_out(tmp_path, part, held):
    write_set(tmp_path, "a")
    assert pictures.load_sets(tmp_path)[0].split(part)[1].tolist() == held


def test_no_sets(tmp_path):
    with pytest.raises(UsageError, match="holds no packed sets"):
        pictures.load_sets(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "text", "missing", "pickled"])
def test_a_damaged_set_is_named(tmp_path, damage):
    write_set(tmp_path, "a", **({"names": np.array([{"a": 1}], dtype=object)} if damage == "pickled" else {}))
    path = tmp_path / "a.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    if damage == "text":
        path.write_text("no archive")
    if damage == "missing":
        np.savez(path, images=np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match=r"a\.npz is not a picture set"):
        pictures.load_sets(tmp_path)


# --- what a picture may be called -----------------------------------------------------------------------------------


def named(names, kinds):
    return pictures.PictureSet("a", torch.zeros(2, 3, 8, 8), torch.zeros(2).long(), names, kinds, 1.0, True)


CARS = named(["sports car", "limousine, limo", "van", "car, auto"], ["vehicle, car", "car", "", "vehicle"])
PETS = named(["cat", "truck"], ["mammal", "vehicle"])


def test_rows_are_the_classes_and_then_the_kinds_that_are_no_class():
    concepts = Concepts([CARS, PETS])
    assert concepts.names == [*CARS.names, *PETS.names, "vehicle", "mammal", "vehicle"]
    assert concepts.first_class.tolist() == [0, 4]
    sports_car = dict(zip(concepts.names[:7], concepts.chances[0].tolist(), strict=False))
    assert {name for name, chance in sports_car.items() if chance} == {"sports car", "car, auto", "vehicle"}
    assert concepts.chances.sum(1).tolist() == pytest.approx([1] * 6)
    assert concepts.chances[2, 2] == 1  # a van is only a van


def test_a_right_word_is_asked_for_and_no_other_right_word_is_a_rival():
    concepts = Concepts([CARS, PETS])
    classes = torch.tensor([0, 1, 2, 3, 4, 5] * 50)
    rows, hidden = concepts.draw(classes, torch.Generator().manual_seed(0))
    right = concepts.chances[classes] > 0
    asked = torch.nn.functional.one_hot(rows, hidden.shape[1]).bool()
    assert right[asked].all()
    assert not hidden[asked].any()
    assert hidden[right & ~asked].all()
    shown = {concepts.names[row] for row in (~hidden[5]).nonzero().flatten().tolist()}  # of the truck
    assert shown == {"cat", "mammal", concepts.names[rows[5]]}  # its own set, one right word
    share = (rows[classes == 1] == 3).float().mean()  # limousines that were asked for as cars
    assert 0.15 < share < 0.6
