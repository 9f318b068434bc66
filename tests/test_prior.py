"""The second stage: what it learns of a first stage's codes, what it is told, and what it completes."""

import dataclasses
import json
import math
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from artcli.errors import UsageError
from artcli.models import first_stage, prior
from artcli.nn.gpt import Choice
from artcli.training import checkpoint, runs
from tests import tiny, warm
from tests.batches import batch, before_and_after, pictures, seeded, train
from tests.conftest import one_error_line

SMALL = {"width": 24, "layers": 2, "heads": 2, "batch": 8}


@pytest.fixture
def stage(folder):
    return tiny.write_stage(folder / "stage")


@pytest.fixture
def data(folder):
    return tiny.write_pictures(folder / "data", classes=["cat", "dog"])


def made(stage, classes=0, **changes):
    config = prior.Config(first_stage=str(stage), **SMALL | changes)
    return seeded(lambda: prior.Model(config, classes))


class Coded(torch.nn.Module):
    """A first stage whose pictures are its codes."""

    factor, channels, fixed = 1, 1, False

    def __init__(self, codes=6):
        super().__init__()
        self.codes = codes

    def encode(self, images):
        return (images[:, 0] * self.codes).floor().long().clamp(max=self.codes - 1)

    def decode(self, codes):
        return ((codes + 0.5) / self.codes)[:, None]


def plain(monkeypatch, classes=0, **changes):
    """A prior of the codes of `Coded`, with grids of 4 x 4."""
    monkeypatch.setattr(first_stage, "build", lambda description: Coded())
    config = prior.Config(stage="{}", size=4, channels=1, **SMALL | changes)
    return lambda: prior.Model(config, classes)


def ruled(count, seed=0, codes=6, first=None):
    """Pictures whose codes follow a rule: a row repeats one code, and the next row has the next one."""
    if first is None:
        first = torch.randint(codes, (count,), generator=torch.Generator().manual_seed(seed))
    grid = (first.view(-1, 1, 1) + torch.arange(4).view(1, -1, 1)) % codes
    return Coded().decode(grid.expand(-1, -1, 4))


# --- learning ----------------------------------------------------------------------------------------------------


def test_it_learns_a_rule_of_the_codes_that_no_histogram_knows(monkeypatch):
    held_out = batch(ruled(24, seed=99))

    def bits(model):
        return model.validate(held_out)["bits"]

    make = plain(monkeypatch, hidden=0.0, lr=3e-3)
    before, after = before_and_after(make, lambda model: train(model, ruled(32), 120), bits)
    assert after < 0.6 < 2.3 < min(before), (before, after)


def test_the_baselines_by_hand(monkeypatch):
    model = plain(monkeypatch)()
    model.seen.copy_(torch.tensor([6, 2, 0, 0, 0, 0]))  # one more of each: 7, 3, 1, 1, 1, 1 of 14
    codes = torch.tensor([0, 0, 1, 2]).repeat(4).view(1, 4, 4)
    found = model.validate(batch(Coded().decode(codes)))
    by_hand = -(2 * math.log2(7 / 14) + math.log2(3 / 14) + math.log2(1 / 14)) / 4
    assert found["histogram"].item() == pytest.approx(by_hand, rel=1e-5)
    assert found["uniform"].item() == pytest.approx(math.log2(6))
    assert found["bits"].item() == pytest.approx(found["loss"].item() / math.log(2))


def test_the_codes_of_training_are_counted_once(monkeypatch):
    one, parts = (plain(monkeypatch)() for _ in range(2))
    train(one, ruled(6), 2)
    train(parts, ruled(6), 2, parts=3)
    assert torch.equal(one.seen, parts.seen) and one.seen.sum() == 2 * 6 * 16


def test_a_class_decides_what_is_drawn(monkeypatch):
    """Each class begins with a code of its own."""
    labels = torch.arange(24) % 2
    model = seeded(plain(monkeypatch, classes=2, hidden=0.0, lr=3e-3))
    train(model, ruled(24, first=labels * 3), 120, labels)
    drawn = Coded().encode(model.generate(range(8), torch.arange(8) % 2))
    assert drawn[:, 0, 0].tolist() == [0, 3] * 4
    free = Coded().encode(model.generate(range(16)))[:, 0, 0]
    assert {0, 3} <= set(free.tolist()), "without a class both are drawn"
    assert prior.Model(dataclasses.replace(model.config, unconditional=True), 2).classes == 0


def test_the_first_stage_learns_nothing(stage):
    model = made(stage)
    before = {name: tensor.clone() for name, tensor in model.first.state_dict().items()}
    train(model, pictures(4), 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.first.state_dict().items())
    assert all(p.requires_grad != name.startswith("first.") for name, p in model.named_parameters())


# --- drawing ----------------------------------------------------------------------------------------------------


def test_pictures_have_the_size_asked_for(stage):
    model = made(stage)
    assert model.window == (4, 4) and model.generate([1]).shape == (1, 3, 16, 16)
    for size, drawn in (((32, 16), (16, 32)), ((24, 40), (40, 24)), ((8, 8), (16, 16)), ((8, 16), (32, 16))):
        model.of_size(*size)
        assert model.generate([1]).shape[2:] == drawn


def test_a_completion_has_the_codes_that_are_kept(monkeypatch):
    model = seeded(plain(monkeypatch, hidden=0.0, lr=3e-3))
    train(model, ruled(32), 120)
    image = ruled(1, first=torch.tensor([4]))
    keep = torch.zeros(4, 4, dtype=torch.bool)
    keep[0] = True
    model.drawing = prior.Drawing(temperature=0.0)
    drawn = Coded().encode(model.complete(image.expand(3, -1, -1, -1), keep, [1, 2, 3]))
    assert torch.equal(drawn, Coded().encode(image).expand(3, -1, -1)), "what it has learned follows from the first row"
    model.drawing = prior.Drawing()
    row = Coded().encode(model.complete(image, keep, [9]))[0, 0]
    assert torch.equal(row, Coded().encode(image)[0, 0])


def test_how_codes_are_chosen(monkeypatch):
    model = seeded(plain(monkeypatch))
    model.drawing = prior.Drawing(top_k=1)
    assert len({tuple(model.generate([seed]).flatten().tolist()) for seed in range(4)}) == 1
    assert isinstance(model.drawing, Choice)


# --- words ----------------------------------------------------------------------------------------------------


def test_words_decide_what_is_drawn(monkeypatch, tiny_clip):
    texts, labels = ("red", "blue") * 12, torch.arange(24) % 2
    model = seeded(plain(monkeypatch, texts=32, clip=str(tiny_clip), hidden=0.0, lr=3e-3, drop=0.2))
    images, optimizers = ruled(24, first=labels * 3), model.optimizers()
    for step in range(120):
        whole = dataclasses.replace(batch(images, seed=step), texts=texts)
        for name, loss in model.train_step(whole):
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
        model.after_step(step)
    for guidance in (1.0, 2.0):
        model.drawing = prior.Drawing(guidance=guidance, negative=("blue",) if guidance > 1 else ())
        drawn = Coded().encode(model.generate(range(6), prompts=["red", "blue", "red"]))[:, 0, 0]
        assert (drawn[[0, 2, 3, 5]] == 0).all()
    assert model.validate(dataclasses.replace(batch(images), texts=texts))["bits"] < 0.6


def test_texts_are_chosen_for_the_report(stage, data, tiny_clip):
    from artcli.training.data import Preparation, open_dataset

    model = made(stage, texts=32, clip=str(tiny_clip))
    model.study(open_dataset(data, Preparation(size=16), words=True))
    assert model.shown and model.generate([1, 2]).shape == (2, 3, 16, 16)


# --- first stages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", first_stage.KINDS)
def test_runs_are_first_stages(folder, kind):
    run = tiny.write_stage(folder / "run", kind)
    found, size = first_stage.find(str(run))
    loaded = runs.load_generator(run, torch.device("cpu")).model
    images = pictures(3, size)
    codes = found.encode(images)
    assert codes.shape == (3, size // found.factor, size // found.factor) and codes.max() < found.codes == 16
    if kind == "vqvae2":  # whose lower codes are drawn
        assert found.decode(codes).shape == images.shape and found.factor == 2 * loaded.config.factor
        assert torch.equal(codes, loaded.choose(images)[0])
    else:
        torch.testing.assert_close(found.decode(codes), loaded.reconstruct(images))
    again = first_stage.build(found.describe())
    again.load_state_dict(found.state_dict())
    assert torch.equal(again.encode(images), codes) and again.fingerprint() == found.fingerprint()
    unwanted = ("net.prior.", "net.priors.0.")
    assert not any(name.startswith(unwanted) or "discriminator" in name for name in found.state_dict())


def test_bundled_names_are_first_stages():
    config = prior.settle(prior.Config(first_stage="vqgan-mini"))
    assert (config.size, config.channels) == (128, 3)
    assert prior.settle(prior.Config(first_stage="vqgan-mini", size=64)).size == 64
    with pytest.raises(UsageError, match="size has to be a multiple of 8"):
        prior.settle(prior.Config(first_stage="vqgan-mini", size=60))


def test_what_is_no_first_stage(folder, stage):
    tiny.write_stage(folder / "vae", "vae")
    with pytest.raises(UsageError, match="turns pictures into no codes"):
        first_stage.find("vae")
    with pytest.raises(UsageError, match="codes pictures of 3 channels, not 1"):
        prior.settle(prior.Config(first_stage="stage", channels=1))
    with pytest.raises(UsageError, match="heads"):
        prior.Config(heads=3)


# --- artgen train prior -----------------------------------------------------------------------------------------------


def line(*more, out="run"):
    return ["train", "prior", "stage", "data", "--out", out, *tiny.flags("prior")[2:], "--steps", "4", *more]


def test_the_first_stage_is_inside(invoke, stage, data):
    assert invoke(*line()).exit_code == 0
    kept = Path("run/weights.safetensors").read_bytes()
    shutil.rmtree(stage)
    loaded = runs.load_generator(Path("run"), torch.device("cpu"))
    assert loaded.classes == ["cat", "dog"] and Path("run/weights.safetensors").read_bytes() == kept
    result = invoke("sample", "run", "--class", "dog", "--count", 2)
    assert result.exit_code == 0, result.stderr
    row = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])["val"]
    assert row["uniform"] == pytest.approx(4, abs=1e-5) and {"bits", "histogram"} <= row.keys()


def test_without_data_it_learns_the_pictures_of_its_first_stage(invoke, folder, data):
    first = [*tiny.flags("vqvae"), "--steps", "2", "--color", "grey", "--val-fraction", "0.25", "--filter", "box"]
    assert invoke("train", "vqvae", "data", "--out", "stage", *first).exit_code == 0
    result = invoke("train", "prior", "stage", "--out", "run", *tiny.flags("prior")[2:], "--steps", "1")
    assert result.exit_code == 0, result.stderr
    told, before = runs.describe(Path("run")), runs.describe(Path("stage"))
    assert (
        told["data"]["path"] == before["data"]["path"] and told["data"]["preparation"] == before["data"]["preparation"]
    )
    assert told["data"]["val_fraction"] == 0.25 and told["config"]["channels"] == 1
    line = one_error_line(invoke("train", "prior", "stage", "--out", "b", "--color", "rgb", "-q").stderr)
    assert "--color prepares other pictures than those of stage" in line
    shutil.rmtree(data)
    line = one_error_line(invoke("train", "prior", "stage", "-q").stderr)
    assert "artgen train prior stage DATA" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing", "data"], "there is no run nothing"),
        (["vqgan-min", "data"], "Did you mean 'vqgan-mini'"),
        (["vqgan-mini"], "artgen train prior vqgan-mini DATA"),
        (["stage", "elsewhere"], "there is no folder elsewhere"),
        (["data", "data"], "holds no vqgan.safetensors"),
        (["stage", "data", "--set", "heads=3"], "cannot be shared by 3 heads"),
        (["stage", "data", "--set", "size=15"], "multiple of 4"),
    ],
)
def test_lines_that_cannot_work(invoke, stage, data, arguments, says):
    result = invoke("train", "prior", *arguments, "-q", "--steps", "1")
    assert result.exit_code in (2, 3) and says in one_error_line(result.stderr), result.stderr


def test_another_codebook_is_another_run(invoke, stage, data):
    assert invoke(*line()).exit_code == 0
    shutil.rmtree(stage)
    model = seeded(lambda: tiny.backend("vqvae").Model(tiny.config("vqvae")), seed=5)
    told = {"model": "vqvae", "config": dataclasses.asdict(model.config), "data": {}, "seed": 0, "step": 9}
    stage.mkdir()
    checkpoint.export(stage / "weights.safetensors", model.state_dict(), told)
    result = invoke(*line("-q"))
    assert result.exit_code == 2
    assert "run holds a run with other settings (config.codebook " in one_error_line(result.stderr)


def test_a_killed_run_goes_on_at_the_same_bytes(invoke, stage, data):
    more = ["--steps", "16", "--save-every", "2"]
    assert invoke(*line(*more, "--save-every", "16", out="whole")).exit_code == 0
    rng = random.Random(0)
    for attempt in range(20):
        process = warm.Process(line(*more, out="killed"))
        if attempt < 2:
            while not Path("killed/checkpoints").exists() and process.poll() is None:
                time.sleep(0.05)
            time.sleep(rng.random())
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
    a, b = (checkpoint.read(Path(name, "weights.safetensors"))[0] for name in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)
