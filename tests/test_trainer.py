"""The trainer and its checkpoints, on a model small enough to follow by hand."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from artcli.errors import ArtgenError, UsageError, WeightsError
from artcli.training import checkpoint, finished, trainer
from artcli.training.contract import Batch
from artcli.training.trainer import Plan, Trainer
from tests import warm

CPU = torch.device("cpu")
TOTAL = 7


class Numbers:
    """A source of pictures of one pixel: row i of step k is a number made from both."""

    def batch(self, step, size, *, device, first=0, count=None):
        rows = torch.arange(first, first + (size if count is None else count))
        images = ((rows + 7 * step) % 5).float().view(-1, 1, 1, 1) / 5
        return Batch(images, torch.zeros(len(rows)).long(), first, size, torch.Generator().manual_seed(step))

    def validation(self, size, *, device, limit=None):
        yield Batch(torch.full((3, 1, 1, 1), 0.25), torch.zeros(3).long(), 0, 3, torch.Generator())
        yield Batch(torch.full((1, 1, 1, 1), 0.75), torch.zeros(1).long(), 0, 1, torch.Generator())


class Toy(nn.Module):
    """Two optimizers that take turns, as a generator and a discriminator would."""

    def __init__(self, average=0.0, bad=None, dropout=0.01):
        super().__init__()
        self.net, self.other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for layer in (self.net, self.other):
            nn.init.zeros_(layer.weight)
        self.register_buffer("seen", torch.zeros(()))
        self.average, self.bad, self.dropout, self.after = average, bad or {}, dropout, []

    def optimizers(self):
        return {
            "fit": torch.optim.Adam(self.net.parameters(), 0.2),
            "follow": torch.optim.SGD(self.other.parameters(), 0.2, momentum=0.9),
        }

    def learning_rate(self, step, total):
        return {"fit": 1 / (1 + step), "follow": 0.5}

    def train_step(self, batch):
        self.seen += len(batch)
        dropped = self.dropout * torch.randn(())  # from the global generator
        wanted = batch.images.flatten() + batch.normal() + dropped
        yield "fit", (self.net.weight - 3 - wanted).square().mean()
        yield (
            "follow",
            (self.other.weight - self.net.weight.detach()).square().mean() * self.bad.get(len(self.after), 1),
        )

    def after_step(self, step):
        self.after.append(step)

    def validate(self, batch):
        return {"loss": batch.images.mean() + self.net.weight.sum()}


def make(total=TOTAL, batch=6, seed=1, model=None, **plan):
    return Trainer(model or Toy(), Numbers(), Plan(total, batch, seed, **plan), CPU)


def weights(one):
    return [one.model.net.weight.item(), one.model.other.weight.item()]


# --- steps ----------------------------------------------------------------------------------------------------------


def test_every_step_is_reported():
    one = make()
    seen = list(one.run())
    assert [now.step for now in seen] == list(range(1, TOTAL + 1)) and {now.total for now in seen} == {TOTAL}
    assert one.model.after == list(range(TOTAL))
    assert set(seen[0].losses) == {"fit", "follow"}
    assert list(one.run()) == [], "it is finished"


def test_a_step_by_hand():
    one = make(total=1)
    first = next(one.run())
    torch.manual_seed(1_000_003)  # as step_rng does for seed 1, step 0
    offset = 0.01 * torch.randn(())
    noise = torch.randn((6,), generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 0.0]) + noise + offset
    assert first.losses["fit"] == pytest.approx((3 + wanted).square().mean().item(), rel=1e-5)
    assert one.model.net.weight.item() == pytest.approx(0.2, rel=1e-4), "Adam's first step is its rate"
    assert one.model.other.weight.item() == pytest.approx(0.1 * 2 * 0.2, rel=1e-4), "the second saw the first"


def test_the_learning_rate_is_the_optimizers_own_times_the_factor_of_the_step():
    one, rates = make(4), []
    for _ in one.run():
        rates.append([one.optimizers[name].param_groups[0]["lr"] for name in ("fit", "follow")])
    assert rates == [pytest.approx([0.2 / (1 + step), 0.1]) for step in range(4)]


def test_the_seed_decides():
    runs = [make(seed=seed) for seed in (1, 1, 2)]
    for one in runs:
        list(one.run())
    assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])


@pytest.mark.parametrize("micro", [2, 3, 6, 50])
def test_a_batch_in_parts_is_the_same_batch(micro):
    whole, parts = make(model=Toy(dropout=0)), make(micro=micro, model=Toy(dropout=0))
    for one, other in zip(whole.run(), parts.run(), strict=True):
        assert one.losses["follow"] == pytest.approx(other.losses["follow"], rel=1e-4)
    assert weights(whole)[1] == pytest.approx(weights(parts)[1], rel=1e-4)


def test_the_running_mean_of_the_weights():
    one = make(3, model=Toy(average=0.9))
    mean = 0.0
    for number, _ in enumerate(one.run()):
        decay = min(0.9, (1 + number) / (10 + number))
        mean = decay * mean + (1 - decay) * one.model.net.weight.item()
    assert one.shown is one.average and one.shown.net.weight.item() == pytest.approx(mean, rel=1e-5)
    assert one.shown.seen == one.model.seen, "buffers are taken over"
    assert one.validate()["loss"] == pytest.approx(0.375 + mean, rel=1e-5)


def test_what_only_training_needs_is_in_neither_the_mean_nor_the_finished_weights():
    class Judged(Toy):
        training_only = ("other",)

    one = make(3, model=Judged(average=0.9))
    list(one.run())
    assert one.shown.other is None and one.model.other.weight.item() != 0
    assert finished.state(one.shown).keys() == finished.state(one.model).keys() == {"net.weight", "seen"}
    again = make(3, model=Judged(average=0.9))
    again.load(one.state())
    assert weights(again) == weights(one) and again.shown.net.weight.equal(one.shown.net.weight)
    again.load(one.state() | {"average": one.model.state_dict()})  # of a run before there was `training_only`
    assert again.shown.net.weight.equal(one.model.net.weight)


def test_finished_weights_leave_the_rest_as_it_is():
    class Judged(Toy):
        training_only = ("other",)

    one = Judged()
    nn.init.ones_(one.other.weight)
    whole = {"net.weight": torch.full((1, 1), 2.0), "other.weight": torch.full((1, 1), 3.0), "seen": torch.tensor(4.0)}
    for given in (whole, {name: whole[name] for name in ("net.weight", "seen")}):
        finished.load(one, given)
        assert (one.net.weight, one.other.weight, one.seen) == (2, 1, 4)
    for wrong in ({"net.weight": whole["net.weight"]}, whole | {"more": torch.zeros(1)}):
        with pytest.raises(RuntimeError, match=r"seen|more"):
            finished.load(one, wrong)


def test_validation_weighs_by_the_number_of_pictures():
    assert make().validate() == {"loss": pytest.approx((3 * 0.25 + 0.75) / 4)}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_weights(value):
    one = make(model=Toy(bad={4: value}))
    with pytest.raises(ArtgenError, match=r"follow.*(nan|inf)|(nan|inf).*follow"):
        list(one.run())
    assert one.step == 4 and all(np.isfinite(weights(one)))


# --- memory ---------------------------------------------------------------------------------------------------------


class Hungry(Toy):
    """Takes parts of at most two pictures."""

    def train_step(self, batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield from super().train_step(batch)


def test_out_of_memory_makes_smaller_parts_in_the_rehearsal():
    one, fitting = make(model=Hungry()), make(micro=4)
    one.rehearse()
    assert one.micro == 4
    assert one.model.seen == 0 and one.model.after == [] and one.step == 0, "a rehearsal leaves no trace"
    list(one.run()), list(fitting.run())
    assert weights(one) == weights(fitting)


def test_single_pictures_that_do_not_fit():
    class Starving(Toy):
        def train_step(self, batch):
            raise torch.OutOfMemoryError("CUDA out of memory")
            yield

    with pytest.raises(ArtgenError, match="one picture at a time; try a smaller size"):
        make(model=Starving()).rehearse()


def test_the_rehearsal_is_the_most_expensive_step():
    class Lazy(Toy):
        asked = ()

        def worst_step(self, total):
            return total - 2

        def learning_rate(self, step, total):
            self.asked = (*self.asked, step)
            return {}

    model = Lazy()
    make(model=model).rehearse()
    assert model.asked == (TOTAL - 2,)


def staged(monkeypatch, sizes, **plan):
    """A trainer whose model has two stages, which take these bytes, divided by the parts of a batch."""

    class Staged(Toy):
        asked = ()

        def stages(self, total):
            return {"first": 0, "second": 3}

        def learning_rate(self, step, total):
            self.asked = (*self.asked, step)
            return {}

    def peak(device, compute):
        compute()
        return sizes[made.model.asked[-1]] // made.micro

    monkeypatch.setattr("artcli.training.memory.peak", peak)
    made = make(model=Staged())
    made.plan = replace(made.plan, **plan)
    return made


def test_every_stage_is_rehearsed_and_says_what_it_takes(monkeypatch):
    staging = staged(monkeypatch, {0: 100, 3: 700})
    assert staging.rehearse() == {"first": 100, "second": 700}
    assert staging.model.asked == (0, 3) and staging.micro == 1


def test_what_takes_more_than_it_may_is_computed_in_parts(monkeypatch):
    sizes = {0: 2**30, 3: 3 * 2**30}
    staging = staged(monkeypatch, sizes, memory=1.0)
    assert max(staging.rehearse().values()) <= 2**30 and staging.micro == 4
    going_on = staged(monkeypatch, sizes, memory=1.0)
    going_on.step = 2  # other parts would round otherwise than those of before
    going_on.rehearse()
    assert going_on.micro == 1


MEASURE = """
import torch
from artcli import device
from artcli.training import memory

device.keep_memory()
blocks = [torch.ones(2**22) for _ in range(32)]
del blocks  # which the process keeps for others
for count in (1, 2**26):
    print(memory.peak(torch.device("cpu"), lambda: torch.ones(count)))
"""


def test_the_memory_of_a_computation():
    with warm.Process([], code=MEASURE, stdout=warm.PIPE, text=True) as process:
        least, most = map(int, process.communicate()[0].split())
    if not most:
        pytest.skip("this system does not say")
    assert 2**27 < most - least < 2**30


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_run_goes_on_at_the_same_bytes(tmp_path, stop, average):
    whole = make(model=Toy(average))
    list(whole.run())
    first = make(model=Toy(average))
    for now in first.run():
        if now.step == stop:
            checkpoint.save(tmp_path, now.step, first.state(), keep=2)
            break
    torch.manual_seed(99)  # whatever else the process drew
    second = make(model=Toy(average))
    second.load(checkpoint.load(tmp_path))
    assert next(second.run()).step == stop + 1
    list(second.run())
    assert weights(second) == weights(whole)
    assert second.shown.net.weight.equal(whole.shown.net.weight)


def test_a_checkpoint_of_another_model(tmp_path):
    checkpoint.save(tmp_path, 3, {"step": 3, "model": nn.Linear(2, 2).state_dict()}, keep=1)
    with pytest.raises(ArtgenError, match="belongs to another model"):
        make().load(checkpoint.load(tmp_path))


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_no_checkpoint_is_a_new_run(tmp_path):
    assert checkpoint.load(tmp_path) is None


def test_the_last_ones_are_kept(tmp_path):
    for step in (3, 10, 7, 12):
        checkpoint.save(tmp_path, step, {"step": step}, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["step-000010", "step-000012"]
    assert checkpoint.load(tmp_path) == {"step": 12}


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_truncated_checkpoint(tmp_path, keep):
    path = checkpoint.save(tmp_path, 3, make().state(), keep=1) / "state.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"state\.pt cannot be read"):
        checkpoint.load(tmp_path)


def test_a_checkpoint_that_would_run_code(tmp_path):
    folder = checkpoint.save(tmp_path, 3, {}, keep=1)

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"model": Evil()}, folder / "state.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        checkpoint.load(tmp_path)


def test_a_checkpoint_is_never_half_written(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 3, {"step": 3}, keep=1)

    def fails_midway(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fails_midway)
    with pytest.raises(ArtgenError, match="no space left"):
        checkpoint.save(tmp_path, 4, {"step": 4}, keep=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000003"]
    assert checkpoint.load(tmp_path) == {"step": 3}


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path):
    checkpoint.save(tmp_path, 3, {"step": 3}, keep=1)
    (tmp_path / "checkpoints" / ".step-000004.part").mkdir()
    (tmp_path / "checkpoints" / "step-000005").mkdir()
    assert checkpoint.load(tmp_path) == {"step": 3}
    checkpoint.save(tmp_path, 4, {"step": 4}, keep=1)
    assert checkpoint.load(tmp_path) == {"step": 4}


# --- exported weights -----------------------------------------------------------------------------------------------


def test_weights_carry_their_description(tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoint.export(path, Toy().state_dict(), {"model": "toy", "config": {"size": 3}})
    tensors, description = checkpoint.read(path)
    assert set(tensors) == {"net.weight", "other.weight", "seen"}
    assert description == {"model": "toy", "config": {"size": 3}, "format": 1}


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_others_may_read_the_weights_as_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    checkpoint.export(tmp_path / "weights", Toy().state_dict(), {})
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_same_weights_are_the_same_bytes(tmp_path):
    for name in "ab":
        checkpoint.export(tmp_path / name, Toy().state_dict(), {"b": 1, "a": [2, {"d": 1, "c": 2}]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_kind(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match="not written by `artgen train`"):
        checkpoint.read(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"artgen": json.dumps({"format": 99, "version": "9.0"})})
    with pytest.raises(UsageError, match=r"format 99, this artgen reads 1; it was written by artgen 9\.0"):
        checkpoint.read(path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(WeightsError, match="cannot be read"):
        checkpoint.read(path)


def test_pace_counts_neither_the_first_step_nor_one_that_waited(monkeypatch):
    clock = iter([0.0, 20.0, 20.5, 21.0, 61.0, 61.5])
    monkeypatch.setattr(trainer.time, "monotonic", lambda: next(clock))
    pace = trainer.Speed(10, 100)
    pace.tick()
    assert pace.images_per_second() == 0.5  # all that is known so far
    for _ in range(4):
        pace.tick()
    assert pace.images_per_second() == 20 and pace.left(40) == 30
