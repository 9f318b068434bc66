"""`artgen train diffusion`: words from folders and captions, the loss by hand, going on, files, refusals."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artcli.errors import UsageError, WeightsError
from artcli.models.diffusion import Config, Model, draw, to_picture
from artcli.nn import flow
from artcli.nn.unet import UNet
from artcli.pretrained import diffusion as diffusion_files
from artcli.pretrained import upscaler
from artcli.training import checkpoint, runs, words
from artcli.training.colors import COLORS
from artcli.training.data import Preparation, open_dataset
from artcli.training.texts import TextPictures
from tests import warm
from tests.batches import assert_learns, copies_of, pictures, seeded, train_step
from tests.batches import batch as plain_batch
from tests.conftest import one_error_line
from tests.tiny import write_pictures

CPU = torch.device("cpu")
SHAPE = {"widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "features": 16, "size": 16, "texts": 32}


@pytest.fixture
def tiny(tiny_clip):
    def made(**changed):
        return seeded(lambda: Model(replace(Config(**SHAPE, clip=str(tiny_clip), batch=4, ema=0.5, rise=0), **changed)))

    return made


def batch(texts=("a cat", "a dog", "", "a red car"), seed=0):
    return replace(plain_batch(pictures(len(texts)), seed=seed), texts=tuple(texts))


def awake(model):
    """Random weights also where layers start at zero."""
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return model


# --- the net ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 24)])
def test_the_net_takes_any_size_that_its_levels_divide(height, width):
    net = awake(UNet(3, (8, 16), (1, 2), (False, True), 2, 16, 5))
    found = net(torch.randn(2, 3, height, width), torch.rand(2), torch.randn(2, 5))
    assert found.shape == (2, 3, height, width)


def test_a_new_net_is_silent_and_time_and_text_matter_to_a_trained_one():
    net = UNet(3, (8, 16), (1, 1), (False, True), 2, 16, 5)
    x, time, text = torch.randn(2, 3, 16, 16), torch.tensor([0.2, 0.7]), torch.randn(2, 5)
    assert (net(x, time, text) == 0).all()
    awake(net)
    found = net(x, time, text)
    assert (net(x, time.flip(0), text) - found).abs().max() > 1e-3
    assert (net(x, time, text.flip(0)) - found).abs().max() > 1e-3


# --- learning ---------------------------------------------------------------------------------------------------------


def test_the_loss_by_hand(tiny):
    """Mean squared error of noise - picture at the drawn times, where dropped and missing texts are zeros."""
    model = awake(tiny(drop=0.5))
    given = batch()
    ((name, loss),) = model.train_step(given)
    again = batch()
    kept = (again.uniform() >= 0.5).float() * torch.tensor([1.0, 1.0, 0.0, 1.0])
    noise, time = again.normal(3, 16, 16), again.normal().sigmoid()
    x0 = given.images * 2 - 1
    x = (1 - time.view(-1, 1, 1, 1)) * x0 + time.view(-1, 1, 1, 1) * noise
    found = model.net(x, time, model.tower(given.texts) * kept[:, None])
    assert name == "flow"
    assert loss.item() == pytest.approx((found - (noise - x0)).square().mean().item(), rel=1e-4)


def test_in_parts_it_is_the_same_batch(tiny):
    model = awake(tiny())
    (_, whole), given = next(model.train_step(batch())), batch()
    parts = [next(model.train_step(part))[1].item() * len(part) / 4 for part in given.split(2)]
    assert [part.texts for part in given.split(2)] == [given.texts[:2], given.texts[2:]]
    assert sum(parts) == pytest.approx(whole.item(), rel=1e-4)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns(tiny, optimizer):
    """By noise that it has not seen."""

    def teach(model):
        optimizers = model.optimizers()
        for step in range(30):
            train_step(model, optimizers, step, batch(seed=step))

    def held_out(model):
        return sum(model.validate(batch(seed=1000 + n))["loss"].item() for n in range(4)) / 4

    settings = replace(tiny().config, optimizer=optimizer, lr=5e-3)
    assert_learns(lambda: Model(settings), teach, held_out)


def test_every_weight_has_an_optimizer_of_its_own(tiny):
    model = tiny()
    groups = model.optimizers()["flow"].param_groups
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


# --- drawing ----------------------------------------------------------------------------------------------------------


def test_a_picture_depends_on_its_seed_and_its_words(tiny):
    model = awake(tiny())
    a, b = model.generate([1, 1], prompts=["a cat", "a dog"])
    c, d = model.generate([2, 1], prompts=["a cat", "a cat"])
    assert torch.equal(a, d) and not torch.equal(a, b) and not torch.equal(a, c)
    assert a.min() >= 0 and a.max() <= 1 and a.shape == (3, 16, 16)


def test_guidance_1_is_the_conditional_model(tiny):
    model = awake(tiny())
    text = model.tower(["a cat"])
    drawn = draw(model.net, [flow.Wish(text[0])], [5], 16, guidance=1.0, steps=4)
    x = torch.randn((3, 16, 16), generator=torch.Generator().manual_seed(5))[None]
    *_, state = flow.solve(lambda x, time: model.net(x, time, text), x, 4)
    assert torch.allclose(drawn, to_picture(state.picture), atol=0.02)  # bfloat16 where the machine has it


def test_a_model_without_words(tiny):
    model = awake(tiny(texts=0))
    given = plain_batch(pictures(4))
    assert next(model.train_step(given))[1].item() > 0
    assert model.generate([1, 2]).shape == (2, 3, 16, 16)


# --- words ------------------------------------------------------------------------------------------------------------


def test_nouns_and_phrases():
    assert words.noun(["car", "auto"], ["vehicle"], [0.6, 0.9]) == "auto"
    assert words.noun(["car", "auto"], ["vehicle"], [0.6, 0.1]) == "vehicle"
    assert words.phrase("car", COLORS.index("red"), [0, 0, 0.9, 0.0]) == "car"
    assert words.phrase("car", COLORS.index("red"), [0, 0, 0.1, 0.5]) == "a red car"
    assert words.of_folder("sports_car") == "sports car"


def open_with_words(folder, **how):
    return open_dataset(folder, Preparation(size=16), words=True, **how)


def said(data, steps=12, size=8):
    return {text for step in range(steps) for text in data.batch(step, size).texts}


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTGEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_class_folders_say_what_they_hold(cached):
    data = open_with_words(write_pictures(cached / "pets", classes=["cat", "guinea_pig"]))
    spoken = said(data)
    assert {"cat", "a cat", "a photo of a guinea pig"} <= spoken
    assert any(text.split()[-2:] == ["guinea", "pig"] and len(text.split()) > 3 for text in spoken), "colours"
    assert data.batch(3, 8).texts == data.batch(3, 8).texts
    assert data.batch(3, 8, first=2, count=3).texts == data.batch(3, 8).texts[2:5]
    held = [text for part in data.validation(8) for text in part.texts]
    assert set(held) <= {"cat", "guinea pig"}, "the plainest words"


def captions_of(folder):
    return {p.name: [f"a picture called {p.stem}", f"number {p.stem}"] for p in folder.glob("*.png")}


def write_metadata(folder, known):
    rows = [json.dumps({"file_name": name, "text": texts}) for name, texts in known.items()]
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def write_table(folder, known):
    (folder / "captions.json").write_text(json.dumps(known))


def write_beside(folder, known):
    for name, texts in known.items():
        (folder / name).with_suffix(".txt").write_text("\n".join(texts) + "\n")


@pytest.mark.parametrize("write", [write_metadata, write_table, write_beside])
def test_captions_in_all_their_forms(cached, write):
    folder = write_pictures(cached / "some", count=12)
    write(folder, captions_of(folder))
    data = open_with_words(folder, val_fraction=0.0)
    rows = {name: data.texts[row] for row, name in enumerate(data.names)}
    assert rows == {name: tuple(texts) for name, texts in captions_of(folder).items()}
    assert said(data) <= {text for texts in rows.values() for text in texts}
    assert "12 with captions" in data.layout


def test_pictures_without_captions_are_counted_and_learned_from(cached):
    folder = write_pictures(cached / "some", count=12)
    write_table(folder, dict(list(captions_of(folder).items())[:9]) | {"gone.png": "what is gone"})
    data = open_with_words(folder, val_fraction=0.0)
    assert "" in said(data)
    notes = " ".join(data.notes)
    assert "Without a caption: 3 pictures" in notes and "1 picture that are not there" in notes


def test_captions_count_in_the_fingerprint(cached):
    folder = write_pictures(cached / "some", count=12)
    write_table(folder, captions_of(folder))
    one = open_with_words(folder).fingerprint
    write_table(folder, captions_of(folder) | {"000.png": "something else"})
    assert open_with_words(folder).fingerprint != one


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("metadata.jsonl", "{oops", "line 1, is no JSON"),
        ("metadata.jsonl", '{"file_name": "000.png"}', '"text"'),
        ("captions.json", "[1, 2]", "has to be"),
        ("captions.json", '{"gone.png": "x"}', "none of which is there"),
    ],
)
def test_captions_that_cannot_be_used(cached, name, text, says):
    folder = write_pictures(cached / "some", count=12)
    (folder / name).write_text(text)
    with pytest.raises(UsageError, match=says):
        open_with_words(folder)


def write_sets(folder, count=60):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 24, 24, 3)).astype(np.uint8)
    labels = np.arange(count) % 2
    for name, attributes in (("things", True), ("captioned", False)):
        np.savez(
            folder / f"{name}.npz", images=images, labels=labels, names=["cat|kitty", "a dog, that barks"],
            kinds=["mammal", ""], share=1.0, attributes=attributes,
        )  # fmt: skip
    return folder


def test_picture_sets(tmp_path):
    data = TextPictures(write_sets(tmp_path / "sets"), 16)
    spoken = {text for step in range(20) for text in data.batch(step, 8, device=CPU).texts}
    assert {"cat", "kitty", "a cat", "mammal", "a dog, that barks"} <= spoken
    one, part = data.batch(3, 8, device=CPU), data.batch(3, 8, device=CPU, first=2, count=3)
    assert torch.equal(one.images[2:5], part.images) and one.texts[2:5] == part.texts
    assert torch.equal(one.normal(4)[2:5], part.normal(4))
    assert one.images.shape == (8, 3, 16, 16) and one.images.max() <= 1
    assert len(data.held_out) == 2 and len(TextPictures(tmp_path / "sets", 16, held_out=0.25).held_out) == 30


# --- the command ------------------------------------------------------------------------------------------------------

SETTINGS = [f"{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for name, v in SHAPE.items()]


def line(data, clip, *more, out="run", steps=6):
    changes = [part for change in [*SETTINGS, f"clip={clip}", "batch=4", "rise=1"] for part in ("--set", change)]
    length = ["--steps", steps, "--save-every", 2]
    return ["train", "diffusion", str(data), "--out", str(out), *map(str, length), *changes, *more]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data") / "blobs", classes=["cat", "dog"])


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, tiny_clip):
    """A finished run, awake enough to draw differently for every word."""
    from typer.testing import CliRunner

    from artcli.cli import app

    place = tmp_path_factory.mktemp("runs") / "run"
    how = ["--set", "lr=0.02", "--save-every", "10"]
    result = CliRunner().invoke(app, line(data, tiny_clip, *how, out=place, steps=20))
    assert result.exit_code == 0, result.stderr
    return place


def test_a_run_and_the_model_that_it_leaves(run):
    assert (run / "samples/step-000020.png").is_file() and (run / "report.html").is_file()
    model = diffusion_files.load(str(run / "model"), CPU)
    kept = checkpoint.read(run / "weights.safetensors")[0]
    assert model.size == 16
    for name, tensor in model.net.state_dict().items():
        assert torch.equal(tensor, kept[f"net.{name}"].half().float())


def test_a_killed_run_goes_on_at_the_same_bytes(invoke, folder, data, tiny_clip):
    invoke(*line(data, tiny_clip, "--save-every", 12, out="whole", steps=12))
    rng = random.Random(0)
    again = line(data, tiny_clip, out="killed", steps=12)
    for _ in range(2):
        process = warm.Process(again)
        while not Path("killed/checkpoints").exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.random() / 2)
        process.kill()
        process.wait()
    assert invoke(*again).exit_code == 0
    a, b = (checkpoint.read(Path(name, "weights.safetensors"))[0] for name in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_going_on_from_a_finished_model(run, tiny):
    start = tiny(start=str(run / "model"))
    shipped = diffusion_files.load(str(run / "model"), CPU).net.state_dict()
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in start.net.state_dict().items())
    with pytest.raises(UsageError, match=r"has other sizes than these settings ask for: \S+ [\dx]+, not "):
        tiny(start=str(run / "model"), widths=(8, 24))


def refused(result, code=2):
    assert result.exit_code == code and result.stdout == "", result.stderr
    return one_error_line(result.stderr)


def test_pictures_without_words_are_refused_with_what_to_do(invoke, folder, tiny_clip):
    flat = write_pictures(folder / "flat")
    says = refused(invoke(*line(flat, tiny_clip, "-q")))
    assert "captions" in says and "texts=0" in says
    assert not Path("run").exists()
    assert invoke(*line(flat, tiny_clip, "--set", "texts=0")).exit_code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("texts=16", "do not go together"),
        ("size=18", "multiple of 4"),
        ("widths=8", "one number for each level"),
        ("drop=1", "drop has to be"),
        ("optimizer=sgd", "none of muon, adamw"),
    ],
)
def test_settings_that_cannot_work(invoke, folder, data, tiny_clip, change, says):
    assert says in refused(invoke(*line(data, tiny_clip, "-q", "--set", change)))
    assert not Path("run/weights.safetensors").exists()


def test_files_that_are_no_model(tiny, folder):
    model = tiny()
    model.export(folder / "model")
    path = folder / "model/diffusion.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        diffusion_files.load(str(folder / "model"), CPU)
    tiny(texts=0).export(folder / "plain")
    with pytest.raises(UsageError, match="without words"):
        diffusion_files.load(str(folder / "plain"), CPU)
    with pytest.raises(WeightsError, match="upscaler"):
        upscaler.load(str(folder / "plain"), CPU)


def test_an_exported_copy_is_as_the_trained_one(tiny, folder):
    model = awake(tiny())
    before = copies_of(model)
    model.export(folder)
    found = diffusion_files.load(str(folder), CPU).net.state_dict()
    assert all(torch.allclose(tensor, before[f"net.{name}"], atol=2e-3) for name, tensor in found.items())


# --- sampling ---------------------------------------------------------------------------------------------------------


def pixels(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def sampled(invoke, run, *more, code=0):
    result = invoke("sample", str(run), *map(str, more))
    assert result.exit_code == code, result.stderr
    return result


def test_a_grid_has_a_row_for_each_prompt(invoke, run):
    sampled(invoke, run, "--prompt", "a cat", "--prompt", "a dog", "--count", 3, "--seed", 4, "-o", "both.png")
    sampled(invoke, run, "--prompt", "a dog", "--count", 3, "--seed", 4, "--columns", 3, "-o", "dogs.png")
    both, dogs = pixels("both.png"), pixels("dogs.png")
    assert (both[-len(dogs) :] == dogs).all()
    assert not (both[: len(dogs)] == dogs).all()


def test_files_of_their_own_are_named_by_prompt_and_run_again_from_their_record(invoke, run):
    sampled(invoke, run, "--prompt", "a cat", "--prompt", "a dog", "--seed", "1-2", "--separate", "-o", "x.png")
    names = sorted(p.name for p in Path().glob("x-*.png"))
    assert names == ["x-a-cat-1.png", "x-a-cat-2.png", "x-a-dog-1.png", "x-a-dog-2.png"]
    result = invoke("sample", str(run), "--from", "x-a-dog-2.png", "-o", "again.png")
    assert result.exit_code == 0, result.stderr
    assert (pixels("again.png") == pixels("x-a-dog-2.png")).all()


def test_guidance_and_negative_words_matter(invoke, run):
    for name, more in {"a": [], "b": ["--guidance", 8], "c": ["--negative", "a dog"]}.items():
        sampled(invoke, run, "--prompt", "a cat", "--count", 1, "--seed", 1, *more, "-o", f"{name}.png")
    a, b, c = (pixels(f"{name}.png") for name in "abc")
    assert (a != b).any() and (a != c).any()


def test_a_film_from_prompt_to_prompt(invoke, run):
    more = ["--interpolate", "--prompt", "a cat", "--prompt", "a dog", "--seed", 3]
    sampled(invoke, run, *more, "--columns", 4, "-o", "way.png")
    sampled(invoke, run, "--prompt", "a cat", "--count", 1, "--seed", 3, "-o", "start.png")
    side = len(pixels("start.png"))
    assert np.abs(pixels("way.png")[:side, :side] - pixels("start.png")).max() <= 1
    sampled(invoke, run, *more, "--duration", 0.5, "--fps", 8, "-o", "way.mp4")
    assert Path("way.mp4").stat().st_size > 0


def test_the_part_of_picture_sets_that_is_held_out(invoke, folder, tiny_clip):
    """A run of before, which did not say, goes on as it was; another part is another run."""
    write_sets(folder / "sets")
    how = ["--preset", "tiny", "--set", f"clip={tiny_clip}", "--set", "texts=32"]
    line = ["train", "diffusion", "sets", *how, "--out", "run"]
    assert invoke(*line, "--steps", 1).exit_code == 0
    told = runs.describe(Path("run"))["data"]
    assert told["val_fraction"] == 0.1 and "held_out" not in told
    assert "is finished" in invoke(*line, "--steps", 1).stderr
    other = invoke(*line, "--steps", 1, "--val-fraction", 0.25, "-q")
    assert other.exit_code == 2 and "data.held_out None -> 0.25" in one_error_line(other.stderr)


def test_neighbours_in_picture_sets(invoke, folder, tiny_clip):
    write_sets(folder / "sets")
    how = ["--preset", "tiny", "--set", f"clip={tiny_clip}", "--set", "texts=32", "--steps", 2]
    result = invoke("train", "diffusion", "sets", *how, "--val-fraction", 0.25, "--out", "packed")
    assert result.exit_code == 0, result.stderr
    assert len(runs.dataset_of(runs.load_generator(Path("packed"), CPU)).held_out) == 30
    result = invoke(
        "sample", "packed", "--neighbours", "--prompt", "a cat", "--count", 2, "--seed", 0, "-o", "n.png", "--json"
    )
    assert result.exit_code == 0, result.stderr
    near = [json.loads(line) for line in result.stdout.splitlines()][-1]["pixels"]
    assert len(near) == 2 and all(n["name"].startswith(("things-", "captioned-")) for n in near)


def test_words_that_the_tower_cannot_know(invoke, run):
    result = sampled(invoke, run, "--prompt", "кошка", "--prompt", "a cat", "--count", 1, "--json", "-n")
    (said,) = json.loads(result.stdout)["unheard"]
    assert said.endswith("cannot know these words: кошка") and f"warning: {said}\n" in result.stderr


def test_neighbours_of_samples(invoke, run):
    result = sampled(invoke, run, "--neighbours", "--prompt", "a cat", "--count", 2, "-o", "near.png")
    assert "nearest in pixels" in result.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "give --prompt"),
        (["--prompt", " "], "a prompt is empty"),
        (["--prompt", "a cat", "--truncation", "0.5"], "leave --truncation out"),
        (["--prompt", "a cat", "--class", "cat"], "leave --class out"),
    ],
)
def test_samples_that_cannot_be(invoke, run, more, says):
    assert says in refused(invoke("sample", str(run), *more, "-q", "-o", "x.png"))
    assert not Path("x.png").exists()


def test_the_text_tower_is_clip_s_own_and_an_embedding_does_not_depend_on_its_company(tiny_clip):
    from artcli.pretrained import clip as clips
    from artcli.pretrained.text_tower import TextTower

    loaded = clips.load(str(tiny_clip), CPU)
    texts = ["a cat", "a photo of a very old red car by the sea", "dog", "a dog"] * 3 + [
        f"number {n}" for n in range(40)
    ]
    found = TextTower(loaded)(texts)
    assert torch.allclose(found, loaded.encode_text(texts) * 32**0.5, atol=1e-4)
    alone = TextTower(loaded)
    assert all(torch.equal(alone([text])[0], row) for text, row in zip(texts, found, strict=True))
