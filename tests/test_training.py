"""The trainer, its checkpoints and its picture sets, on a task small enough to follow by hand."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from artcli.errors import ArtgenError, UsageError, WeightsError
from artcli.training import checkpoint, pictures, trainer
from artcli.training.concepts import Concepts

TOTAL = 7


class Toy:
    """Two optimizers that take turns, as a generator and a critic would: `fit` pulls `at` to noise near 3."""

    def __init__(self, lr=0.1):
        self.modules = nn.ModuleDict({"net": nn.Linear(1, 1, bias=False), "other": nn.Linear(1, 1, bias=False)})
        for module in self.modules.values():
            nn.init.zeros_(module.weight)
        self.optimizers = {
            "fit": torch.optim.Adam(self.modules["net"].parameters(), lr),
            "follow": torch.optim.SGD(self.modules["other"].parameters(), lr, momentum=0.9),
        }
        self.steps, self.validated, self.exported = [], [], None

    def learning_rate(self, step):
        return {"fit": 1 / (1 + step), "follow": 0.5}

    def train_step(self, step, rng):
        noise = torch.randn((), generator=rng) + 0.01 * torch.randn(())  # the second one from the global generator
        yield "fit", (self.modules["net"].weight - 3 - noise).square().sum()
        yield "follow", (self.modules["other"].weight - self.modules["net"].weight.detach()).square().sum()

    def after_step(self, step):
        self.steps.append(step)

    def validate(self, step):
        self.validated.append(step)
        return {"weight": self.modules["net"].weight.item()}

    def export(self, folder):
        folder.mkdir()
        self.exported = {k: v.clone() for k, v in self.modules.state_dict().items()}


def train(task, run, total=TOTAL, **changes):
    options = {"seed": 1, "save_every": 3, "validate_every": 2} | changes
    run.mkdir(exist_ok=True)
    return trainer.train(task, run, total, **options)


def weights(task):
    return [task.modules[name].weight.item() for name in ("net", "other")]


def test_every_step_is_reported_and_the_model_exported_at_the_end(tmp_path):
    task = Toy()
    seen = list(train(task, tmp_path / "run"))
    assert [now.step for now in seen] == list(range(1, TOTAL + 1)) and {now.total for now in seen} == {TOTAL}
    assert task.steps == list(range(TOTAL))
    assert task.validated == [2, 4, 6, 7], "every second step, and the last"
    assert [now.step for now in seen if now.validation] == task.validated
    assert set(seen[0].losses) == {"fit", "follow"}
    assert task.exported is not None and (tmp_path / "run" / "model").is_dir()


def test_the_log_has_a_line_per_validation(tmp_path):
    list(train(Toy(), tmp_path))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    assert all({"fit", "follow", "weight", "seconds_per_step"} <= row.keys() for row in rows)


def test_the_learning_rate_is_the_optimizers_own_times_the_factor_of_the_step(tmp_path):
    task, rates = Toy(lr=0.2), []
    for _ in train(task, tmp_path, 4):
        rates.append([task.optimizers[name].param_groups[0]["lr"] for name in ("fit", "follow")])
    assert rates == [pytest.approx([0.2 / (1 + step), 0.1]) for step in range(4)]


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_run_goes_on_at_the_same_bytes(tmp_path, stop):
    whole = Toy()
    list(train(whole, tmp_path / "whole"))
    first = Toy()
    for now in train(first, tmp_path / "cut"):
        if now.step == stop:
            checkpoint.save(tmp_path / "cut", now.step, first.modules, first.optimizers)
            break
    torch.manual_seed(99)  # whatever else the process drew
    second = Toy()
    seen = list(train(second, tmp_path / "cut"))
    assert seen[0].step == stop + 1
    assert weights(second) == weights(whole)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    whole = Toy()
    list(train(whole, tmp_path / "whole"))
    for now in train(Toy(), tmp_path / "cut"):
        if now.step == 5:
            break  # nothing saved since step 3
    again = Toy()
    seen = list(train(again, tmp_path / "cut"))
    assert seen[0].step == 4
    assert weights(again) == weights(whole)


def test_a_finished_run_only_exports_again(tmp_path):
    list(train(Toy(), tmp_path))
    (tmp_path / "model").rmdir()
    task = Toy()
    assert list(train(task, tmp_path)) == [] and task.exported is not None


def test_the_seed_decides(tmp_path):
    tasks = [Toy() for _ in range(3)]
    for number, (task, seed) in enumerate(zip(tasks, (1, 1, 2), strict=True)):
        list(train(task, tmp_path / str(number), seed=seed))
    assert weights(tasks[0]) == weights(tasks[1]) != weights(tasks[2])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(tmp_path, value):
    class Bad(Toy):
        def train_step(self, step, rng):
            for name, loss in super().train_step(step, rng):
                yield name, loss * (value if step == 4 else 1)

    task = Bad()
    with pytest.raises(ArtgenError, match=r"fit loss is (nan|inf) at step 4"):
        list(train(task, tmp_path))
    assert all(np.isfinite(weights(task)))
    assert checkpoint.load(tmp_path, Toy().modules, Toy().optimizers) == 3


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_no_checkpoint_is_a_new_run(tmp_path):
    task = Toy()
    assert checkpoint.load(tmp_path, task.modules, task.optimizers) == 0


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_truncated_checkpoint(tmp_path, keep):
    task = Toy()
    checkpoint.save(tmp_path, 3, task.modules, task.optimizers)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"state\.pt cannot be read"):
        checkpoint.load(tmp_path, task.modules, task.optimizers)


def test_a_checkpoint_of_another_model(tmp_path):
    other = nn.ModuleDict({"net": nn.Linear(2, 2)})
    checkpoint.save(tmp_path, 3, other, {"fit": torch.optim.Adam(other.parameters())})
    with pytest.raises(WeightsError, match="belongs to another model"):
        checkpoint.load(tmp_path, Toy().modules, Toy().optimizers)


def test_a_checkpoint_is_never_half_written(tmp_path, monkeypatch):
    task = Toy()
    checkpoint.save(tmp_path, 3, task.modules, task.optimizers)
    before = (tmp_path / "state.pt").read_bytes()

    def fails_midway(content, path):
        path.write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fails_midway)
    with pytest.raises(ArtgenError, match="no space left"):
        checkpoint.save(tmp_path, 4, task.modules, task.optimizers)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    assert (tmp_path / "state.pt").read_bytes() == before


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


def test_no_sets(tmp_path):
    with pytest.raises(UsageError, match="holds no picture sets"):
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
