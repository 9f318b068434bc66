"""VQ-VAE-2: its grids of codes, both stages of a run, samples, and what stops it on the way."""

import json
import math
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artcli.errors import UsageError
from artcli.models.vqvae2 import PRESETS, Config, Model
from artcli.training import checkpoint
from tests import tiny, warm
from tests.batches import batch, before_and_after, copies_of, pictures, seeded, train_step
from tests.conftest import one_error_line

TINY = tiny.config("vqvae2", width=32, codes_steps=1000)


def made(classes=0, **changed):
    return seeded(lambda: Model(replace(TINY, **changed), classes))


def teach(model, images, steps, labels=None, parts=1, first=0, optimizers=None):
    """Losses of steps from `first` on.  images: for all steps, or a function of the step."""
    optimizers = optimizers or model.optimizers()
    losses = []
    for step in range(first, first + steps):
        model.begin(step)
        seen = images(step) if callable(images) else images
        losses.append(train_step(model, optimizers, step, batch(seen, labels, seed=step), parts))
    return losses


def draw_priors(model, images, steps, **how):
    """The second stage alone."""
    return teach(model, images, steps, first=model.config.codes_steps, **how)


# --- settings and shapes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"levels": 4}, "levels has to be 2 or 3, not 4"),
        ({"size": 60}, "size has to be a multiple of 8 for these layers, not 60; 64 works"),
        ({"size": 72, "levels": 3}, "size has to be a multiple of 16 for these layers, not 72"),
        ({"factor": 3}, "factor has to be 2, 4, 8"),
        ({"prior_heads": 3}, "prior_width 64 cannot be shared by 3 prior_heads"),
        ({"prior_kernel": 4}, "prior_kernel has to be odd, not 4"),
        ({"codes_steps": 0}, "codes_steps has to be above 0"),
        ({"decay": 1.0}, "decay has to be at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises(UsageError) as caught:
        Config(**changed)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_presets_are_the_papers_grids():
    assert [PRESETS[name].sides for name in ("2gb", "8gb", "16gb")] == [(16, 32), (16, 32), (32, 64)]
    assert [PRESETS[name].memory for name in ("2gb", "8gb", "16gb")] == [2, 8, 16]
    paper = PRESETS["16gb"]
    assert (paper.width, paper.residual_width, paper.residuals, paper.code_width, paper.codes) == (128, 32, 2, 64, 512)


@pytest.mark.parametrize(("levels", "sides"), [(2, (2, 4)), (3, (1, 2, 4))])
def test_every_level_has_a_grid_and_all_are_needed(levels, sides):
    model, images = made(levels=levels), pictures(2)
    grids = model.choose(images)
    assert [tuple(grid.shape) for grid in grids] == [(2, side, side) for side in sides]
    whole = model.draw(*grids)
    torch.testing.assert_close(model.reconstruct(images), whole)
    for level in range(levels):
        other = [(grid + 1) % 16 if place == level else grid for place, grid in enumerate(grids)]
        assert not torch.allclose(model.draw(*other), whole)


@pytest.mark.parametrize("levels", [2, 3])
def test_the_gradient_goes_through_all_levels(levels):
    """The error of the picture reaches every net of the first stage, and nothing of the second."""
    model = made(levels=levels)
    ((name, loss),) = model.train_step(batch(pictures(2)))
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert name == "codes"
    assert {n.partition(".")[0] for n in without if ".layers." not in n} == {"priors"}  # blocks begin with nothing


# --- the first stage ------------------------------------------------------------------------------------------------


def test_it_learns_to_rebuild():
    images, held_out = pictures(8), batch(pictures(4, seed=9))
    start = made(lr=5e-3)
    before, after = before_and_after(
        lambda: Model(start.config), lambda model: teach(model, images, 60),
        lambda model: model.validate(held_out)["error"],
    )  # fmt: skip
    assert after < 0.75 * min(before)


def test_training_is_the_same_every_time_and_in_micro_batches():
    images, runs = pictures(6), [made(codes_steps=2) for _ in range(3)]
    for model, parts in zip(runs, (1, 1, 3), strict=True):
        teach(model, images, 4, parts=parts)
    assert runs[0].histogram.sum(1).tolist() == [2 * 6 * 4, 2 * 6 * 16]
    for name, tensor in copies_of(runs[0]).items():
        assert torch.equal(copies_of(runs[1])[name], tensor), name
        torch.testing.assert_close(copies_of(runs[2])[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


def test_one_loss_goes_through_both_stages():
    """What the priors have to learn is in it from the start, so that the best weights are never those without them."""
    model, images = made(codes_steps=4), pictures(4)
    losses = teach(model, images, 4)
    assert model.metrics["loss"] == pytest.approx(losses[-1]["codes"] + math.log(16))
    mean = sum(step["codes"] for step in losses) / 4
    assert float(model.rebuilding) == pytest.approx(mean)
    draw_priors(model, images, 1)
    assert model.metrics["loss"] == pytest.approx(mean + math.log(16))


def test_use_of_the_codebooks_is_said():
    model = made(codes=512)
    assert model.warnings() == []
    teach(model, torch.full((2, 3, 16, 16), 0.5), 8)
    assert {"codes/top", "perplexity/top", "revived/bottom", "error", "loss"} <= model.metrics.keys()
    assert [line.partition(":")[0] for line in model.warnings()] == ["top", "bottom"]


# --- the second stage -----------------------------------------------------------------------------------------------


def test_the_second_stage_leaves_the_first_as_it_is():
    model = made(codes_steps=3)
    teach(model, pictures(4), 3)
    before = copies_of(model)
    (losses,) = draw_priors(model, pictures(4), 1)
    assert losses.keys() == {"top", "bottom"} and losses["top"] == pytest.approx(math.log(16))
    for name, tensor in copies_of(model).items():
        assert name.startswith(("priors", "histogram")) or torch.equal(tensor, before[name]), name


def test_each_prior_has_an_optimizer_of_its_own():
    model = made(levels=3)
    mine = {name: [p for g in o.param_groups for p in g["params"]] for name, o in model.optimizers().items()}
    assert list(mine) == ["codes", "top", "middle", "bottom"]
    assert sum(map(len, mine.values())) == len(list(model.parameters()))
    model.begin(model.config.codes_steps)
    for name, loss in model.train_step(batch(pictures(2))):
        model.zero_grad()
        loss.backward()
        assert {n for n, ps in mine.items() if any(p.grad is not None for p in ps)} == {name}


def test_bits_of_held_out_codes_by_hand():
    """Fresh priors know nothing; the histogram of counts 3, 1, 0 and the rest, each with one more."""
    model = made(codes_steps=1, codes=4)
    model.begin(1)
    model.histogram[0] = torch.tensor([3.0, 1.0, 0.0, 0.0])
    images = pictures(3)
    found = model.validate(batch(images))
    chances = torch.tensor([4.0, 2.0, 1.0, 1.0]) / 8
    wanted = -chances[model.choose(images)[0]].log2().mean().item()
    assert found["top_bits/histogram"].item() == pytest.approx(wanted)
    for name in (
        "top_bits/prior",
        "top_bits/uniform",
        *(f"bottom_bits/{by}" for by in ("prior", "histogram", "uniform")),
    ):
        assert found[name].item() == pytest.approx(2.0), name


def test_priors_learn_more_than_how_common_codes_are():
    """Held-out pictures of the kind that was learned take fewer bits than by the histogram; untrained, as many."""
    held_out = batch(pictures(16, seed=9999))

    def images(step):  # new ones each time: nothing can be learned by heart
        return pictures(16, seed=step)

    def gained(model):
        model.begin(model.config.codes_steps)
        found = model.validate(held_out)
        return max(found[f"{name}_bits/prior"] - found[f"{name}_bits/histogram"] for name in ("top", "bottom"))

    def both(model):
        teach(model, images, 40)
        draw_priors(model, images, 50)

    config = replace(TINY, codes_steps=40, prior_steps=50, lr=5e-3, prior_lr=1e-2)
    before, after = before_and_after(lambda: Model(config), both, gained)
    assert before == pytest.approx([0.0, 0.0], abs=1e-5) and after < -0.25


def test_classes_are_learned():
    images = torch.zeros(8, 3, 16, 16)
    images[:4, 0], images[4:, 2] = 1.0, 1.0
    model = made(classes=2, codes_steps=60, prior_steps=80, lr=5e-3, prior_lr=1e-2)
    labels = torch.tensor([0] * 4 + [1] * 4)
    teach(model, images, 60, labels)
    draw_priors(model, images, 80, labels=labels)
    red, blue = (model.generate(range(4), torch.full((4,), c), 0.5).mean((0, 2, 3)) for c in (0, 1))
    assert red[0] > red[2] + 0.5 and blue[2] > blue[0] + 0.5
    assert model.generate([1]).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("levels", [2, 3])
def test_a_sample_depends_on_its_own_seed_only(levels):
    model = made(levels=levels, codes_steps=2)
    teach(model, pictures(4), 6)
    together = model.generate([3, 4, 5])
    torch.testing.assert_close(model.generate([4])[0], together[1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[2])
    assert torch.equal(*model.generate([1, 2], truncation=0.0))


# --- runs -----------------------------------------------------------------------------------------------------------


def line(out, *more, codes=4, priors=4):
    flags = tiny.flags("vqvae2", codes_steps=codes, prior_steps=priors)
    return ["train", "vqvae2", "data", "--out", out, "--save-every", "2", *flags, *more]


@pytest.fixture
def data(folder):
    return tiny.write_pictures(folder / "data", 24, ["cats", "dogs"])


def test_a_run_says_what_its_stages_take_and_writes_bits(invoke, data):
    result = invoke(*line("run"))
    assert result.exit_code == 0, result.stderr
    assert "memory that the stages take: codes " in result.stderr or not Path("/proc/self/clear_refs").exists()
    rows = [json.loads(row) for row in Path("run/metrics.jsonl").read_text().splitlines()]
    assert "codes" in rows[0]["train"] and rows[-1]["train"].keys() >= {"top", "bottom"}
    names = {f"{level}_bits/{by}" for level in ("top", "bottom") for by in ("prior", "histogram", "uniform")}
    assert names <= rows[-1]["val"].keys() and "loss" in rows[-1]["train"]
    assert "Bottom bits" in Path("run/report.html").read_text()
    for flags in (["--class", "dogs", "--truncation", "0.5", "--seed", "0-1"], ["--reconstruct", "data/cats"]):
        assert invoke("sample", "run", *flags, "-o", "a.png", "--force").exit_code == 0
    assert "horses" in one_error_line(invoke("sample", "run", "--class", "horses", "-q").stderr)


def test_the_length_is_in_the_settings(invoke, data):
    result = invoke(*line("run", "--steps", 9))
    assert result.exit_code == 2 and "--set codes_steps=N, prior_steps=N" in one_error_line(result.stderr)


def test_a_run_in_its_first_stage_cannot_draw_yet(invoke, data):
    assert invoke(*line("run", "--time-limit", "0.0001")).exit_code == 0
    result = invoke("sample", "run", "-q", "-o", "a.png")
    assert result.exit_code == 2 and not Path("a.png").exists()
    said = one_error_line(result.stderr)
    assert "has not reached its second stage" in said and "go on with: artgen" in said
    assert invoke("sample", "run", "--reconstruct", "data/cats", "-q", "-o", "a.png").exit_code == 0


def test_killed_in_either_stage_it_goes_on_to_the_same_bytes(invoke, data):
    assert invoke(*line("whole", "-q", "--save-every", 24, codes=12, priors=12)).exit_code == 0
    for step in (2, 14):
        process = warm.Process(line("killed", codes=12, priors=12))
        while process.poll() is None and not any(
            int(path.stem.partition("-")[2] or 0) >= step for path in Path("killed/checkpoints").glob("step-*")
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = checkpoint.load(Path("killed"))["trainer"]["step"]
        assert step <= found < 24, "the run was over before it was killed"
    assert invoke(*line("killed", "-q", codes=12, priors=12)).exit_code == 0
    a, b = (checkpoint.read(Path(name, "weights.safetensors"))[0] for name in ("whole", "killed"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
