"""Batches that depend on the seed and the step alone, a split that stays, and augmentation of each picture its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import UsageError
from artcli.training.data import Augmentation, Preparation, augment, open_dataset, order
from tests import warm

SIZE = 8
EVERYTHING = Augmentation(flip=True, zoom=0.2, rotation=15, jitter=0.2)


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTGEN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def paint(path, number):
    """Noise whose first pixel says the number."""
    pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    pixels[0, 0] = number % 256, number // 256, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Three classes with 30, 9 and 3 pictures."""
    root = tmp_path_factory.mktemp("classes")
    for number, name in enumerate(["a"] * 30 + ["b"] * 9 + ["c"] * 3):
        paint(root / name / f"{number:03}.png", number)
    return root


def opened(path, **options):
    return open_dataset(path, options.pop("preparation", Preparation(size=SIZE)), **options)


def numbers(batch):
    """Which pictures of `paint` a batch holds, when nothing was augmented."""
    return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()


def all_numbers(batches):
    return [number for batch in batches for number in numbers(batch)]


def same(one, other):
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


# --- batches -------------------------------------------------------------------------------------------------------


def test_a_batch_is_pictures_in_0_to_1_with_their_labels(classes):
    data = opened(classes, val_fraction=0)
    batch = data.batch(0, 10)
    assert batch.images.shape == (10, 3, SIZE, SIZE) and batch.images.dtype == torch.float32
    assert batch.labels.dtype == torch.int64 and (batch.first, batch.whole, len(batch)) == (0, 10, 10)
    for number, image, label in zip(numbers(batch), batch.images, batch.labels, strict=True):
        assert (image.permute(1, 2, 0).numpy() == data.images[number].astype(np.float32) / np.float32(255)).all()
        assert data.names[number].startswith(data.classes[label])


def test_every_epoch_has_every_picture_once_in_its_own_order(classes):
    data = opened(classes, val_fraction=0)
    epochs = [all_numbers(data.batch(step, 7) for step in range(6 * e, 6 * e + 6)) for e in range(3)]
    assert all(sorted(epoch) == list(range(42)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(42))
    assert data.steps_per_epoch(7) == 6 and data.steps_per_epoch(8) == 6 and data.steps_per_epoch(100) == 1


def test_batches_run_on_across_epochs(classes):
    data = opened(classes, val_fraction=0)
    long = all_numbers(data.batch(step, 10) for step in range(21))  # five epochs
    assert long == all_numbers(data.batch(step, 7) for step in range(30))
    assert [sorted(long[e : e + 42]) for e in range(0, 210, 42)] == [list(range(42))] * 5


@given(step=st.integers(0, 10**7), size=st.integers(1, 50), data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_part_of_a_batch_is_that_part_of_the_whole(classes, step, size, data):
    dataset = opened(classes, augment=EVERYTHING, balanced=data.draw(st.booleans()), seed=data.draw(st.integers(0, 9)))
    whole = dataset.batch(step, size)
    first = data.draw(st.integers(0, size - 1))
    count = data.draw(st.integers(1, size - first))
    part = dataset.batch(step, size, first=first, count=count)
    assert torch.equal(part.images, whole.images[first : first + count])
    assert torch.equal(part.labels, whole.labels[first : first + count])
    assert (part.first, part.whole) == (first, size)
    assert torch.equal(part.normal(2), whole.normal(2)[first : first + count])
    rest = dataset.batch(step, size, first=first)
    assert len(rest) == size - first and same(rest, dataset.batch(step, size, first=first, count=size - first))


def test_the_seed_decides_and_nothing_else(classes):
    one, again, other = (opened(classes, augment=EVERYTHING, seed=seed) for seed in (3, 3, 4))
    one.batch(7, 5), torch.rand(3), np.random.rand(3)
    assert same(one.batch(8, 16), again.batch(8, 16))
    assert not same(one.batch(8, 16), other.batch(8, 16))
    assert not same(one.batch(8, 16), one.batch(9, 16))
    assert torch.equal(one.batch(8, 4).normal(5), again.batch(8, 4).normal(5))
    assert not torch.equal(one.batch(8, 4).normal(5), one.batch(9, 4).normal(5))
    assert not torch.equal(one.batch(8, 4).normal(5), other.batch(8, 4).normal(5))


def test_another_process_draws_the_same(classes):
    code = (
        "import sys; from pathlib import Path; from artcli.training.data import *\n"
        "d = open_dataset(Path(sys.argv[1]), Preparation(size=8), seed=5, augment=Augmentation(True, .2, 15, .2))\n"
        "b = d.batch(1234, 6); print(b.images.sum().item(), b.normal(3).sum().item(), d.fingerprint)"
    )
    with warm.Process([classes], code=code, stdout=warm.PIPE, stderr=warm.PIPE, text=True) as process:
        out, err = process.communicate()
    here = opened(classes, seed=5, augment=EVERYTHING)
    batch = here.batch(1234, 6)
    assert out.split() == [
        str(batch.images.sum().item()),
        str(batch.normal(3).sum().item()),
        here.fingerprint,
    ], err


def test_balanced_batches_draw_classes_equally_and_their_pictures_too(classes):
    data = opened(classes, balanced=True, val_fraction=0)
    drawn = [data.batch(step, 30) for step in range(9)]
    for batch in drawn:
        assert torch.bincount(batch.labels).tolist() == [10, 10, 10]
    seen = np.bincount(all_numbers(drawn), minlength=42)
    assert seen[:30].tolist() == [3] * 30 and seen[30:39].tolist() == [10] * 9 and seen[39:].tolist() == [30] * 3


def test_balance_without_classes(tmp_path):
    for number in range(3):
        paint(tmp_path / "flowers" / f"{number}.png", number)
    with pytest.raises(UsageError, match="has no classes: All pictures are in one folder, flowers"):
        opened(tmp_path, balanced=True)
    with pytest.raises(UsageError, match=r"has no classes: it is 3 pictures, flat folder\."):
        opened(tmp_path / "flowers", balanced=True)


def test_one_picture_is_repeated(tmp_path):
    paint(tmp_path / "only.png", 7)
    for path in (tmp_path, tmp_path / "only.png"):
        data = opened(path, augment=Augmentation(flip=True, rotation=15))
        batch = data.batch(3, 20)
        assert len(batch) == 20 and len(data.training) == 1 and len(data.held_out) == 0
        assert len({image.numpy().tobytes() for image in batch.images}) == 20, "each augmented on its own"
        assert list(data.validation(4)) == []


# --- training and validation ---------------------------------------------------------------------------------------


def parts(data):
    named = np.array(data.names)
    return set(named[data.training]), set(named[data.held_out])


def test_the_split_is_one_and_stays_when_pictures_come_and_go(tmp_path):
    for number in range(200):
        paint(tmp_path / f"{number}.png", number)
    training, held = parts(opened(tmp_path))
    assert not training & held and len(training | held) == 200 and 8 <= len(held) <= 35
    for number in range(0, 50):
        (tmp_path / f"{number}.png").unlink()
    for number in range(200, 260):
        paint(tmp_path / f"{number}.png", number)
    later_training, later_held = parts(opened(tmp_path, seed=9, preparation=Preparation(size=9)))
    both = training | held
    assert later_training & both <= training and later_held & both <= held


def test_a_copy_is_on_the_same_side(tmp_path):
    for number in range(40):
        paint(tmp_path / f"{number}.png", number)
        (tmp_path / f"copy {number}.png").write_bytes((tmp_path / f"{number}.png").read_bytes())
    _, held = parts(opened(tmp_path, val_fraction=0.3))
    assert held and all(f"copy {name}" in held for name in held if not name.startswith("copy"))
    assert len(held) % 2 == 0


DIGESTS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40) | st.integers(1, 40).map(lambda n: [5] * n)


@given(DIGESTS, st.floats(0, 0.9))
@settings(max_examples=200, deadline=None)
def test_there_is_always_something_to_train_on_and_of_ten_something_to_validate(digests, fraction):
    held = order.held_out(np.array(digests, np.uint64), fraction)
    assert (~held).sum() >= min(2, len(digests))
    if fraction == 0:
        assert not held.any()
    elif len(set(digests)) >= 10:
        assert held.any()


def test_without_validation_everything_is_trained_on(classes):
    data = opened(classes, val_fraction=0)
    assert len(data.training) == 42 and list(data.validation(8)) == []
    with pytest.raises(UsageError, match="cannot be held out"):
        opened(classes, val_fraction=1)


def test_a_part_that_the_data_set_holds_out_is_never_trained_on(tmp_path):
    for number in range(20):
        paint(tmp_path / ("train" if number < 15 else "test") / f"{number}.png", number)
    for fraction, held in ((0.1, 5), (0, 0)):
        data = opened(tmp_path, val_fraction=fraction)
        assert (len(data.training), len(data.held_out)) == (15, held)
    only = opened(tmp_path / "test", val_fraction=0)
    assert len(only.training) == 5


def test_validation_is_in_order_unchanged_and_repeatable(classes):
    data = opened(classes, val_fraction=0.4, augment=EVERYTHING)
    first, again = list(data.validation(5)), list(data.validation(5))
    assert all_numbers(first) == data.held_out.tolist()
    assert all(len(batch) == batch.whole <= 5 and batch.first == 0 for batch in first)
    assert all(torch.equal(a.normal(3), b.normal(3)) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].normal(3), first[1].normal(3))
    assert sum(len(batch) for batch in data.validation(5, limit=6)) == 6


def test_training_pictures_are_those_of_their_rows(classes):
    data = opened(classes, augment=EVERYTHING)
    assert all_numbers(data.training_pictures()) == data.training.tolist()
    some = list(data.training_pictures(10, size=4))
    assert [len(batch) for batch in some] == [4, 4, 2]
    assert all_numbers(some) == data.training_rows(10).tolist()
    assert {label.item() for batch in some for label in batch.labels} >= {0, 1}, "some of the later classes too"


@given(st.integers(0, 50), st.none() | st.integers(0, 60))
def test_a_limit_takes_rows_from_first_to_last(count, limit):
    rows = order.spread(np.arange(count), limit)
    assert len(rows) == min(count, count if limit is None else limit)
    assert (np.diff(rows) > 0).all()
    if len(rows) > 1:
        assert rows[0] == 0 and rows[-1] >= count - 1 - count // len(rows)


# --- what is known about it ----------------------------------------------------------------------------------------


def test_the_description(classes, tmp_path):
    data = opened(classes)
    about = data.describe()
    assert about["layout"] == "42 pictures, 3 class folders" and about["pictures"] == 42
    assert about["training"] + about["validation"] == 42
    assert (about["classes"], about["counts"]) == (["a", "b", "c"], [30, 9, 3])
    paint(tmp_path / "1.png", 1)
    paint(tmp_path / "2.png", 2)
    (tmp_path / "3.png").write_text("words")
    about = opened(tmp_path).describe()
    assert about["skipped"] == [
        {"name": "3.png", "reason": "is a text file, not an image, whatever its name says"}
    ] and (about["classes"], about["counts"]) == ([], [])


def test_the_fingerprint_is_of_the_pictures_and_not_of_their_place(classes, tmp_path):
    import shutil

    moved = shutil.copytree(classes, tmp_path / "moved")
    before = opened(classes).fingerprint
    assert opened(moved).fingerprint == before
    assert opened(classes, preparation=Preparation(size=9)).fingerprint != before
    paint(moved / "a" / "000.png", 99)
    assert opened(moved).fingerprint != before


# --- augmentation --------------------------------------------------------------------------------------------------

RAMP = torch.linspace(0, 1, 16).expand(64, 3, 16, 16).clone()  # dark left, bright right


def changed(images, augmentation, color="rgb", step=0):
    chance = augment.draws(0, step, 0, len(images), len(images))
    return augment.change(images, chance, augmentation, color)


def test_half_of_the_pictures_are_mirrored(classes):
    plain, flipped = (opened(classes, augment=Augmentation(flip=flip), val_fraction=0) for flip in (False, True))
    a, b = plain.batch(5, 200).images, flipped.batch(5, 200).images
    mirrored = (b == a.flip(3)).flatten(1).all(1)
    assert ((b == a).flatten(1).all(1) | mirrored).all() and 70 < mirrored.sum() < 130


def test_nothing_asked_is_nothing_done(classes):
    data = opened(classes, val_fraction=0)
    batch = data.batch(0, 42)
    assert (batch.images.permute(0, 2, 3, 1) * 255).round().byte().numpy().tobytes() in {
        data.images[numbers(batch)].tobytes()
    }
    assert torch.equal(changed(RAMP, Augmentation()), RAMP)


def test_zoom_magnifies_about_the_middle_by_up_to_its_part():
    slopes = changed(RAMP, Augmentation(zoom=0.2))[:, 0, 8, 5:11].diff(dim=1).mean(1) * 15  # 1 at the right size
    assert 0.8 <= slopes.reciprocal().min() < 0.85 and 1.15 < slopes.reciprocal().max() <= 1.2
    middle = changed(RAMP, Augmentation(zoom=0.2))[:, 0, 7:9, 7:9].mean((1, 2))
    assert (middle - 0.5).abs().max() < 1e-5


def test_rotation_turns_both_ways_by_up_to_its_degrees():
    turned = changed(RAMP, Augmentation(rotation=15))[:, 0]
    across = (turned[:, 8, 10] - turned[:, 8, 5]) / 5
    down = (turned[:, 10, 8] - turned[:, 5, 8]) / 5
    degrees = torch.rad2deg(torch.atan2(down, across))
    assert -15.01 <= degrees.min() < -12 and 12 < degrees.max() <= 15.01
    assert turned.min() >= 0 and turned.max() <= 1, "what comes in is the picture mirrored, not black"
    assert turned[:, 0, 0].max() < 0.2 and turned[:, 0, -1].min() > 0.8


@pytest.mark.parametrize("color, channels", [("rgb", 3), ("ycbcr", 3), ("grey", 1)])
def test_jitter_changes_light_of_each_picture_alone(color, channels):
    grey = torch.full((64, channels, 4, 4), 0.5)
    if color == "ycbcr":
        grey[:, 1:] = 128 / 255
    light = changed(grey, Augmentation(jitter=0.4), color)
    levels = light[:, 0, 0, 0]
    assert 0.3 <= levels.min() < 0.33 and 0.67 < levels.max() <= 0.7 and len(set(levels.tolist())) > 60
    assert (light[:, :1] == light[:, :1, :1, :1]).all()
    rgb = augment.to_rgb(light, color)
    assert (rgb - rgb[:, :1]).abs().max() < 1e-5, "grey stays grey"


def test_jitter_is_the_same_in_rgb_and_ycbcr():
    rgb = torch.rand(32, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.35
    red, green, blue = rgb.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ycbcr = torch.stack((luma, (blue - luma) / 1.772 + 128 / 255, (red - luma) / 1.402 + 128 / 255), 1)
    how = Augmentation(jitter=0.3)
    assert torch.allclose(augment.to_rgb(changed(ycbcr, how, "ycbcr"), "ycbcr"), changed(rgb, how), atol=1e-4)


@pytest.mark.parametrize("wrong", [{"zoom": 0.6}, {"zoom": -0.1}, {"rotation": 181}, {"jitter": 1.1}])
def test_impossible_augmentation(wrong):
    with pytest.raises(UsageError, match="zoom is 0 to"):
        Augmentation(**wrong)


def test_noise_is_drawn_on_the_models_device(classes, monkeypatch):
    asked, make = [], torch.Generator
    data = opened(classes)
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": asked.append(str(device)) or make())
    data.batch(0, 4, device=torch.device("meta"))
    next(data.validation(2, device=torch.device("meta")))
    assert asked == ["meta", "meta"]
