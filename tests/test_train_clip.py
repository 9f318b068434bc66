"""`artgen train clip`: from a folder of arrays to a model that plain open_clip loads, whatever stops it on the way."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from artcli import weights as weights_table
from artcli.commands.shared import loop
from artcli.commands.train import run as train_run
from artcli.errors import UsageError
from artcli.models.clip import data as lessons
from artcli.models.clip import model as clip_mini
from artcli.models.clip.data import ClipData
from artcli.models.clip.model import Config, Model, encode_tokens
from artcli.models.clip.phrases import SCENES, STYLES, compose
from artcli.training.colors import COLORS
from artcli.training.trainer import Plan, Trainer
from tests import tiny
from tests.conftest import one_error_line, snapshot
from tests.tiny import write_lessons

TINY = tiny.config("clip", text_steps=4, image_steps=4)
CHANGED = [f"{k}={v}" for k, v in vars(TINY).items() if v != getattr(Config(), k)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_lessons(tmp_path_factory.mktemp("data"))


def arguments(data, out="run", *more):
    changes = [part for change in CHANGED for part in ("--set", change)]
    return ["train", "clip", str(data), "--out", str(out), "--save-every", "3", *changes, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """The run folder of an uninterrupted run."""
    from typer.testing import CliRunner

    from artcli.cli import app

    run = tmp_path_factory.mktemp("trained") / "run"
    result = CliRunner().invoke(app, arguments(data, run))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{run / 'weights.safetensors'}\n{run / 'model'}\n"
    return run


def weights(run):
    return (Path(run) / "model" / "open_clip_model.safetensors").read_bytes()


# --- what comes out -------------------------------------------------------------------------------------------------


def test_the_run_folder(trained):
    made = {
        "run.toml",
        "environment.json",
        "metrics.jsonl",
        "model",
        "checkpoints",
        "weights.safetensors",
        "report.html",
    }
    assert made <= {p.name for p in trained.iterdir()}
    what = tomllib.loads((trained / "run.toml").read_text())
    assert (what["model"], what["seed"], what["config"]) == ("clip", 0, vars(TINY))
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert "text" in rows[0]["train"] and "image" in rows[-1]["train"] and "top1_things" in rows[-1]["val"]


def test_plain_open_clip_loads_the_model(trained):
    import open_clip

    model = open_clip.create_model(f"local-dir:{trained / 'model'}", require_pretrained=True)
    tokens = open_clip.get_tokenizer(f"local-dir:{trained / 'model'}")(["a red car"])
    assert tokens.shape == (1, 16)
    assert model.eval().encode_text(tokens).shape == (1, 16)
    assert model.encode_image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)


def test_dream_can_use_the_model(trained, invoke):
    from artcli.pretrained import clip

    loaded = clip.load(str(trained / "model"), CPU)
    assert loaded.side == 32
    assert loaded.mean.flatten().tolist() == pytest.approx(clip_mini.MEAN)
    assert loaded.encode_text(["a", "b"]).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    flags = ["--drawer", "fft", "--prior", "none", "--size", 32, "--steps", 1, "--cutouts", 2, "--out", "a.png", "-q"]
    assert invoke("dream", "car", "--clip", trained / "model", *flags).exit_code == 0


def test_the_averaged_tower_is_what_is_exported(trained):
    from safetensors.torch import load_file

    exported = load_file(trained / "model" / "open_clip_model.safetensors")
    state = load_file(trained / "weights.safetensors")
    name = "head.proj.weight"
    assert torch.equal(exported[f"visual.{name}"], state[f"averaged.{name}"].half())
    assert not torch.equal(state[f"averaged.{name}"], state[f"clip.visual.{name}"])
    assert torch.equal(exported["text_projection"], state["clip.text_projection"].half())


# --- stopping and going on ------------------------------------------------------------------------------------------


def test_the_same_line_twice_gives_the_same_bytes(invoke, data, trained):
    assert invoke(*arguments(data), "-q").exit_code == 0
    assert weights("run") == weights(trained)


def test_another_seed_gives_others(invoke, data, trained):
    invoke(*arguments(data), "-q", "--seed", 1)
    assert weights("run") != weights(trained)


def test_ctrl_c(invoke, data, trained, monkeypatch):
    with monkeypatch.context() as pressed:
        after_loading = lambda session: pressed.setattr(loop.Stop, "requested", True)  # noqa: E731
        pressed.setattr(train_run.Session, "_rehearse", after_loading)
        result = invoke(*arguments(data), "-q")
    assert result.exit_code == 130
    assert "stopped at step 1 of 8" in one_error_line(result.stderr)
    assert invoke(*arguments(data), "-q").exit_code == 0
    assert weights("run") == weights(trained)


# --- what it refuses ------------------------------------------------------------------------------------------------


def refused(result, code=2):
    assert (result.exit_code, result.stdout) == (code, "")
    return one_error_line(result.stderr)


def test_missing_data_says_how_to_make_it_and_leaves_no_run(invoke, folder):
    (folder / "data").mkdir()
    says = refused(invoke(*arguments("data"), "-q"))
    assert "texts.npz" in says and "weights/recipes/text_image_data.py" in says
    write_lessons(folder / "data")
    (folder / "data" / "things.npz").unlink()
    assert "no packed sets" in refused(invoke(*arguments("data"), "-q"))
    assert not (folder / "run").exists()


def test_damaged_texts(invoke, folder):
    (folder / "data").mkdir()
    write_lessons(folder / "data")
    (folder / "data" / "texts.npz").write_bytes(b"damaged")
    assert "texts.npz" in refused(invoke(*arguments("data"), "-q"))


def test_starting_from_a_finished_model(trained):
    start = str(trained / "model")
    started, fresh = Model(replace(TINY, text_steps=0, start=start)), Model(TINY)
    shipped = weights_table.load_state(trained / "model" / "open_clip_model.safetensors")["visual.head.proj.weight"]
    assert not torch.equal(shipped.float(), fresh.clip.visual.head.proj.weight)
    for tower in (started.clip.visual, started.averaged):
        assert torch.equal(tower.head.proj.weight, shipped.float())
    with pytest.raises(UsageError, match="other sizes than these settings"):
        Model(replace(TINY, embed_dim=8, start=start))


def test_a_new_image_tower_for_the_words_of_a_finished_model(trained):
    start = str(trained / "model")
    torch.manual_seed(0)
    fresh = Model(TINY)
    torch.manual_seed(0)
    made = Model(replace(TINY, text_steps=0, start=start, new_image=True))
    shipped = weights_table.load_state(trained / "model" / "open_clip_model.safetensors")
    assert torch.equal(made.clip.text_projection, shipped["text_projection"].float())
    assert torch.equal(made.clip.visual.head.proj.weight, fresh.clip.visual.head.proj.weight)


def test_no_text_steps_need_a_start():
    with pytest.raises(UsageError, match="text_steps 0 leaves the text tower untrained"):
        replace(TINY, text_steps=0)
    with pytest.raises(UsageError, match="new_image needs a text tower"):
        replace(TINY, new_image=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("text_step=3", "Did you mean 'text_steps'?"),
        ("text_steps", "has to be name=value"),
        ("text_steps=many", "text_steps is like 1900"),
        ("ema=big", "ema is like 0.999"),
    ],
)
def test_a_bad_setting(invoke, folder, data, change, says):
    assert says in refused(invoke("train", "clip", data, "--set", change))
    assert snapshot(folder) == {}


@pytest.mark.parametrize("change", ["trunk=no_such_net", "batch=0", "embed_dim=99", "text_steps=-1", "ema=nan"])
def test_a_setting_that_cannot_work(invoke, folder, data, change):
    line = refused(invoke(*arguments(data), "-q", "--set", change))
    assert change.partition("=")[0] in line
    assert not (folder / "run").exists()


def test_prepared_data_take_no_preparation(invoke, folder, data):
    line = refused(invoke(*arguments(data), "-q", "--flip", "--crop", "30", "--filter", "box"))
    assert "leave out flip, filter, crop_pixels" in line
    assert snapshot(folder) == {}


def test_the_part_that_is_held_out(data):
    for part, rows in ((None, 2), (0.1, 10), (0.0, 0)):
        held = ClipData(data, TINY, held_out=part).validation(4, device=CPU)
        assert sum(map(len, held)) == rows


def test_a_dry_run_writes_nothing(invoke, folder, data):
    result = invoke(*arguments(data), "--dry-run")
    assert result.exit_code == 0 and "8 steps" in result.stderr and snapshot(folder) == {}


# --- the parts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(data):
    return ClipData(data, TINY)


@pytest.fixture(scope="module")
def model(source):
    torch.manual_seed(0)
    made = Model(TINY)
    made.study(source)
    return made


def test_fast_text_embeddings_are_open_clips_own(model):
    tokens = model.tokenize(["car", "a much longer text about a red car by the sea", "", "two words"])
    expected = model.clip.encode_text(tokens, normalize=True)
    torch.testing.assert_close(encode_tokens(model.clip, tokens), expected, atol=1e-5, rtol=1e-5)


def test_both_towers_learn(data):
    """A set that one glance tells apart: with every seed the loss of either tower falls within a few steps."""
    config = replace(TINY, text_steps=30, image_steps=20, text_batch=16, batch=16, text_lr=3e-3, radius=0.1)
    first, last = {"text": [], "image": []}, {"text": [], "image": []}
    for seed in range(2):
        torch.manual_seed(seed)
        source, learner = ClipData(data, config), Model(config)
        learner.study(source)
        trainer = Trainer(learner, source, Plan(config.steps, config.batch, seed, clip=config.clip_gradient), CPU)
        losses = {"text": [], "image": []}
        for now in trainer.run():
            for name, loss in now.losses.items():
                losses[name].append(loss)
        assert (len(losses["text"]), len(losses["image"])) == (30, 20)
        for name, found in losses.items():
            first[name].append(sum(found[:5]))
            last[name].append(sum(found[-5:]))
        assert trainer.validate()["top1_things"] > 0.5, "chance"
    assert all(max(last[name]) < min(first[name]) for name in first)


def test_each_tower_is_trained_in_its_own_part(model, source):
    named = [next(model.train_step(source.batch(step, 8, device=CPU)))[0] for step in (0, 3, 4, 7)]
    assert named == ["text", "text", "image", "image"]


def test_pictures_in_parts_keep_what_belongs_to_them(source):
    batch = source.batch(5, 8, device=CPU)
    parts = batch.split(3)
    assert [len(part) for part in parts] == [3, 3, 2] and [part.first for part in parts] == [0, 3, 6]
    for name in ("images", "labels", "hidden", "attribute", "turned"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Data whose teacher is sure that every picture shows what it names, and settings that listen to it."""
    folder = write_lessons(tmp_path_factory.mktemp("taught"))
    labels = torch.arange(100) % 2
    told = torch.zeros(100, 3).scatter(1, labels[:, None], 20.0)
    np.savez(folder / "teacher.npz", names=["lynx", "terrier", "chair"], things=told.half().numpy())
    return folder, replace(TINY, text_steps=4, teacher_weight=1.0)


def test_a_teacher_is_heard(taught):
    folder, config = taught
    source = ClipData(folder, config)
    torch.manual_seed(0)
    model = Model(config)
    model.study(source)
    model._fill_tables()
    batch = source.batch(5, 8, device=CPU)
    assert torch.equal(
        batch.told.argmax(1) == 1, batch.images[:, :, 16:].mean((1, 2, 3)) > batch.images.mean((1, 2, 3))
    )
    natural = replace(batch, turned=torch.zeros(8, dtype=torch.bool), attribute=torch.full((8,), -1))
    features = F.normalize(model.clip.visual(clip_mini.normalize(batch.images)).float(), dim=1)
    logits = features @ model._table(["lynx", "terrier", "chair"]).T * model.clip.logit_scale.exp()
    expected = -(natural.told * logits.log_softmax(1)).sum(1).mean()
    more = model._loss(batch.images, natural) - model._loss(batch.images, replace(natural, told=None))
    assert more.item() == pytest.approx(expected.item(), rel=0.02)  # bf16


def test_a_teacher_of_other_pictures(taught, folder):
    with pytest.raises(UsageError, match=r"has no teacher\.npz"):
        ClipData(write_lessons(folder / "plain"), taught[1])
    for told, says in (({"others": [1]}, "does not fit"), ({"things": np.zeros((7, 1), np.float16)}, "7 pictures")):
        np.savez(folder / "plain" / "teacher.npz", names=["lynx"], **told)
        with pytest.raises(UsageError, match=says):
            ClipData(folder / "plain", taught[1])


def test_pictures_with_less_detail():
    images = torch.rand(2, 3, 32, 32, generator=rng())
    seen = lessons.as_seen(images, 8)
    assert seen.shape == images.shape and seen.min() >= 0 and seen.max() <= 1
    again = F.interpolate(seen, (8, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(again, F.interpolate(images, (8, 8), mode="bilinear", antialias=True), atol=0.1, rtol=0)


def test_words_and_colours_compete_together(model, source):
    """Each picture's own softmax, written out."""
    model._fill_tables()
    features, table = torch.randn(3, 16, generator=rng()), model.attribute_table
    labels, attribute = torch.tensor([0, 1, 0]), torch.tensor([2, 0, 5])
    hidden = torch.zeros(3, len(table), dtype=torch.bool)
    hidden[:, 2] = True
    lost = []
    for f, label, colour in zip(features, labels, attribute, strict=True):
        right = table[label, colour] @ f
        classes = [table[c, colour] @ f for c in range(len(table)) if c not in (label, 2)]
        colours = [table[label, a] @ f for a in range(table.shape[1]) if a != colour]
        lost.append(torch.stack([right, *classes, *colours]).logsumexp(0) - right)
    found = model._attribute_loss(features, labels, hidden, attribute)
    torch.testing.assert_close(found, torch.stack(lost).mean())


def test_one_process_only(source):
    with pytest.raises(UsageError, match="clip trains in one process"):
        source.batch(5, 8, device=CPU, first=4, count=4)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_learning_rate_rises_stays_and_falls():
    factors = [clip_mini._trapezoid(step, 100, 0.5) for step in range(100)]
    assert factors[0] == 0.5 and factors[1:50] == [1.0] * 49
    assert factors[50:] == pytest.approx([(100 - step) / 50 for step in range(50, 100)])
    assert clip_mini._trapezoid(-3, 100, 0.5) == 0.0


def test_a_batch_of_texts_has_about_one_length(source):
    rows = source._similar_lengths(rng())
    lengths = (source.texts[rows] != 0).sum(1)
    assert len(rows) == TINY.text_batch and lengths.max() - lengths.min() <= 2


def test_whitened_targets():
    vectors = torch.randn(200, 12, generator=rng()) * torch.linspace(0.1, 5, 12) + 3
    white = lessons.whiten(vectors, 6)
    assert white.shape == (200, 6)
    torch.testing.assert_close(white.norm(dim=1), torch.ones(200))
    spread = white.std(0)
    assert spread.max() / spread.min() < 2.5, "directions of very different variance come closer together"
    assert white.mean(0).abs().max() < 0.15


def test_perturbations_stay_in_their_ball():
    start = clip_mini.random_in_ball(torch.Size((50, 3, 8, 8)), 0.5, rng())
    lengths = start.flatten(1).norm(dim=1)
    assert lengths.max() <= 0.5 + 1e-6 and lengths.std() > 0.05
    far = clip_mini.project(start * 10, 0.5).flatten(1).norm(dim=1)
    assert far.max() <= 0.5 + 1e-6
    near = 0.1 * start
    assert torch.equal(clip_mini.project(near, 0.5), near)


def test_an_attack_moves_the_loss_up(model, source):
    """The step of the inner maximisation: along the gradient the loss grows."""
    model._fill_tables()
    batch = source.batch(5, 8, device=CPU)
    delta = torch.zeros_like(batch.images).requires_grad_()
    before = model.train()._loss(batch.images + delta, batch)
    (gradient,) = torch.autograd.grad(before, delta)
    assert model._loss(batch.images + 0.5 * clip_mini.unit(gradient), batch) > before


def test_attributes_are_read_off_the_pictures():
    red = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1).expand(200, -1, 16, 16).contiguous()
    images, attribute, turned = lessons.attribute_batch(red, torch.ones(200, dtype=torch.bool), rng())
    plain = (images - red).abs().amax((1, 2, 3)) < 1e-5
    assert (attribute[plain] == COLORS.index("red")).all() and plain.sum() > 100
    assert (attribute == lessons.BLACK_AND_WHITE).any() and (attribute == lessons.SKETCH).any()
    assert turned.any() and not (turned & plain).any()
    _, nothing, _ = lessons.attribute_batch(red, torch.zeros(200, dtype=torch.bool), rng())
    assert (nothing == -1).all()


# --- phrases --------------------------------------------------------------------------------------------------------


def test_phrases_are_text_about_their_noun():
    from random import Random

    phrases = [compose(Random(seed), ["castle"]) for seed in range(300)]
    assert all("castle" in phrase and "  " not in phrase and "{" not in phrase for phrase in phrases)
    assert len(set(phrases)) > 200
    assert phrases[:5] == [compose(Random(seed), ["castle"]) for seed in range(5)]
    assert sum(any(color in phrase.split() for color in COLORS) for phrase in phrases) > 90
    assert any(phrase.endswith(scene) for scene in SCENES if scene for phrase in phrases)
    assert any(phrase.startswith(style.split("{}")[0]) for style in STYLES[:1] for phrase in phrases)


def test_texts_and_their_targets(data):
    from open_clip.tokenizer import SimpleTokenizer

    tokens, targets = lessons.load_texts(data, SimpleTokenizer(context_length=16), 16)
    assert tokens.shape == (64, 16) and targets.shape == (64, 16)
    with pytest.raises(UsageError, match=r"texts\.npz"):
        lessons.load_texts(data / "nowhere", None, 16)
