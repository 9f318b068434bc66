"""CycleGAN and pix2pix: their losses by hand, the pictures they learn from, and runs through the executable."""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artcli.errors import UsageError
from artcli.models import cyclegan, pix2pix
from artcli.nn import zoom
from artcli.nn.history import History
from artcli.nn.patchgan import cross_entropy, least_squares
from artcli.nn.projected import TAPS
from artcli.pretrained import feature_nets
from artcli.pretrained import translators as translator_files
from artcli.training import checkpoint
from artcli.training.contract import Pair
from artcli.training.data.prepare import Preparation
from artcli.training.data.sides import PAIRED, UNPAIRED, open_sides
from tests import tiny
from tests.batches import assert_learns, copies_of, pictures, seeded, train_step
from tests.conftest import one_error_line
from tests.test_stylize_run import weights_file
from tests.test_train import as_two_ranks, logged

CPU = torch.device("cpu")
SMALL = {"size": 36, "crop": 32, "width": 4, "discriminator_width": 4, "batch": 2}
CYCLE = cyclegan.Config(blocks=1, pool=3, **SMALL)
PIX = pix2pix.Config(blocks=5, **SMALL)


def pair(count=4, seed=0, side=36):
    a, b = pictures(count, side, seed=seed), 1 - pictures(count, side, seed=seed + 1)
    return Pair(a, torch.zeros(count).long(), 0, count, torch.Generator().manual_seed(seed), b)


def model(config, seed=0):
    home = cyclegan if isinstance(config, cyclegan.Config) else pix2pix
    return seeded(lambda: home.Model(config), seed)


def steps(made, count, parts=1):
    optimizers = made.optimizers()
    return [train_step(made, optimizers, step, pair(seed=step), parts) for step in range(count)]


# --- losses -----------------------------------------------------------------------------------------------------------


def test_what_discriminators_say():
    judged = torch.tensor([0.0, 2.0])
    assert least_squares(judged, 1.0).item() == pytest.approx(1.0)
    wanted = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert cross_entropy(judged, 1.0).item() == pytest.approx(wanted)


def test_the_loss_of_cyclegan():
    made, batch = model(replace(CYCLE, flip=False, crop=36, pool=0)), pair()
    a, b = 2 * batch.images - 1, 2 * batch.others - 1
    there, back = made.translators["AtoB"], made.translators["BtoA"]
    judge = {kind: discriminators[0] for kind, discriminators in made.discriminators.items()}
    with torch.no_grad():
        fake_a, fake_b = back(b), there(a)
        fooled = (judge["A"](fake_a) - 1).square().mean() + (judge["B"](fake_b) - 1).square().mean()
        cycle = (back(fake_b) - a).abs().mean() + (there(fake_a) - b).abs().mean()
        same = (there(b) - b).abs().mean() + (back(a) - a).abs().mean()
        judged = sum(
            ((judge[kind](real) - 1).square().mean() + judge[kind](fake).square().mean()) / 2
            for kind, real, fake in (("A", a, fake_a), ("B", b, fake_b))
        )
    found = dict(made.train_step(batch))
    torch.testing.assert_close(found["translators"].detach(), fooled + 10 * cycle + 5 * same)
    torch.testing.assert_close(found["discriminators"].detach(), judged)
    assert made.metrics["cycle"] == pytest.approx(cycle.item())


def test_a_run_goes_on_from_finished_translators(tmp_path):
    made = model(CYCLE)
    steps(made, 2)
    made.export(tmp_path)
    again = model(replace(CYCLE, start=str(tmp_path)), seed=1)
    for name, tensor in made.translators.state_dict().items():
        torch.testing.assert_close(again.translators.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    rates = [again.learning_rate(step, 1000) for step in (0, 199, 200)]
    assert [rate["translators"] for rate in rates] == [0, 0, 1] and all(rate["discriminators"] == 1 for rate in rates)
    with pytest.raises(UsageError, match="is a ResNet-1 of other sizes than the ResNet-1"):
        model(replace(CYCLE, start=str(tmp_path), width=8))
    (tmp_path / translator_files.NAMES["BtoA"]).unlink()
    with pytest.raises(UsageError, match="goes only AtoB"):
        model(replace(CYCLE, start=str(tmp_path)))


def test_the_loss_of_pix2pix():
    made, batch = model(replace(PIX, flip=False, crop=32, size=32, dropout=False)), pair(side=32)
    given, wanted = 2 * batch.images - 1, 2 * batch.others - 1
    made.train()
    drawn = made.translators["AtoB"](given).detach()
    judge = made.discriminator
    real, fake = (judge(torch.cat((given, side), 1)).detach() for side in (wanted, drawn))
    found = dict(made.train_step(batch))
    log = torch.nn.functional.logsigmoid
    torch.testing.assert_close(found["discriminator"].detach(), -(log(real).mean() + log(-fake).mean()) / 2)
    torch.testing.assert_close(
        found["translator"].detach(), -log(fake).mean() + 100 * (drawn - wanted).abs().mean(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_pix2pix_learns_the_way_it_is_told(direction):
    made = model(replace(PIX, direction=direction))
    rows = made.show(pair()).view(3, 4, 3, 32, 32)
    given, wanted = (pair().images, pair().others) if direction == "AtoB" else (pair().others, pair().images)
    torch.testing.assert_close(rows[0], cyclegan.middle(given, 32))
    torch.testing.assert_close(rows[1], cyclegan.middle(wanted, 32))
    assert list(made.translators) == [direction]


def test_pix2pix_learns():
    def teach(made):
        optimizers = made.optimizers()
        for step in range(40):
            train_step(made, optimizers, step, pair())

    settings = replace(PIX, dropout=False, lr=2e-3)
    assert_learns(lambda: pix2pix.Model(settings, 0), teach, lambda made: made.validate(pair())["loss"])


def test_cyclegan_learns_to_swap_light_and_dark():
    def shades(seed):
        drawn = pair(8, seed)
        return replace(drawn, images=0.4 * drawn.images, others=0.6 + 0.4 * drawn.others)

    def teach(made):
        optimizers = made.optimizers()
        for step in range(25):
            train_step(made, optimizers, step, shades(step))

    def apart(made):
        """How far the shades of what is drawn are from those of the other side, and back from their own."""
        a, as_b, back_a, b, as_a, back_b = made.show(shades(99)).view(6, 8, -1).mean((1, 2)).tolist()
        return {"there": abs(as_b - b) + abs(as_a - a), "back": abs(back_a - a) + abs(back_b - b)}

    settings = replace(CYCLE, identity=0.0, cycle=2.0, batch=8, lr=2e-3, width=8, discriminator_width=8)
    assert_learns(lambda: cyclegan.Model(settings), teach, apart)


def test_discriminators_learn_only_from_their_own_loss():
    made = model(CYCLE)
    optimizers = made.optimizers()
    running = made.train_step(pair())
    _, loss = next(running)
    loss.backward()
    assert all(p.grad is None for p in made.discriminators.parameters())
    _, loss = next(running)
    optimizers["translators"].zero_grad()
    loss.backward()
    assert all(p.grad is None for p in made.translators.parameters())
    assert all(p.grad is not None for p in made.discriminators.parameters())


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("eyes") / "slim.safetensors", (4, 4, 6, 6, 6))


def test_discriminators_look_through_a_finished_net(eyes, monkeypatch):
    monkeypatch.setattr(zoom, "_SMALLEST", 1.0)
    made, batch = model(replace(CYCLE, discriminator=(str(eyes),), flip=False, crop=36, pool=0)), pair()
    assert not any("layers" in name for name in made.state_dict()), "the net is no part of what is trained"
    a, b = 2 * batch.images - 1, 2 * batch.others - 1
    net = feature_nets.load(str(eyes), CPU)
    expected = 0
    with torch.no_grad():
        for kind, real, fake in (("A", a, made.translators["BtoA"](b)), ("B", b, made.translators["AtoB"](a))):
            for images, wanted in ((real, 1), (fake, 0)):
                (discriminator,) = made.discriminators[kind]
                for tap, head, size in zip(TAPS, discriminator.heads, discriminator.sizes, strict=True):
                    seen = net(images / 2 + 0.5, [tap])[tap]
                    expected += (head(seen / size) - wanted).square().mean() / len(TAPS) / 2
    found = dict(made.train_step(batch))
    torch.testing.assert_close(found["discriminators"].detach(), expected, rtol=1e-4, atol=1e-4)


def test_discriminators_look_through_a_net_in_several_sizes(eyes):
    made, sides = model(replace(CYCLE, size=64, crop=64, discriminator=(str(eyes),))), []
    made._eyes[str(eyes)].register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[3]))
    for seed in range(4):
        before = len(sides)
        list(made.train_step(pair(2, seed, 64)))
        assert len(set(sides[before:])) == 1
    assert len(set(sides)) > 2 and min(sides) >= 32 and max(sides) <= 64


def test_discriminators_see_crops_as_large_as_they_are_told(eyes):
    made, sides = model(replace(CYCLE, discriminator=(str(eyes),), sight=3.0)), []
    made._eyes[str(eyes)].register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[3]))
    for seed in range(8):
        list(made.train_step(pair(2, seed)))
    assert 48 <= min(sides) < 64 and 80 < max(sides) <= 96


@pytest.mark.parametrize("kind", ["squeezenet1_1", "mobilenet_v2"])
def test_discriminators_look_through_classifiers_down_to_their_last_layer(kind, tmp_path):
    import torchvision

    whole = seeded(lambda: getattr(torchvision.models, kind)(weights=None))
    torch.save(whole.state_dict(), tmp_path / "net.pth")
    settings = replace(CYCLE, discriminator=(str(tmp_path / "net.pth"),), discriminator_width=8)
    made = model(settings)
    heads = made.discriminators["A"][0]
    assert heads.taps[-1] == f"layer{len(whole.features) - 1}" and len(heads.heads) == 4
    before = copies_of(made.translators), copies_of(made.discriminators)
    steps(made, 1)
    for net, old in zip((made.translators, made.discriminators), before, strict=True):
        new = copies_of(net)
        assert any(not torch.equal(new[name], old[name]) for name in old)


def test_several_discriminators_count_alike(eyes):
    settings = {"flip": False, "crop": 36, "pool": 0, "identity": 0.0, "discriminator_width": 4}
    both = model(replace(CYCLE, discriminator=("patches", str(eyes)), **settings))
    judged = []
    for number in (0, 1):
        one = model(replace(CYCLE, discriminator=(both.config.discriminator[number],), **settings))
        one.translators.load_state_dict(both.translators.state_dict())
        for kind in "AB":
            one.discriminators[kind][0].load_state_dict(both.discriminators[kind][number].state_dict())
        judged.append(dict(one.train_step(pair()))["discriminators"].item())
    assert dict(both.train_step(pair()))["discriminators"].item() == pytest.approx(sum(judged) / 2, rel=1e-4)


def test_grain_is_new_in_every_pass_and_the_same_for_parts_of_a_batch():
    settings = replace(CYCLE, grain=True, identity=0.0)
    made, seen = model(settings), []
    made.translators["AtoB"].register_forward_pre_hook(lambda _, given: seen.append(given[0][:, 3]))
    next(made.train_step(pair()))
    assert len(seen) == 2 and seen[0].std() > 0.3 and not torch.equal(*seen) and not torch.equal(*seen[0][:2])
    for one, other in zip(steps(model(settings), 2), steps(model(settings), 2, parts=2), strict=True):
        assert one == pytest.approx(other, rel=2e-3)


def test_discriminators_that_look_through_a_net_learn_and_teach(eyes):
    settings = {
        "norm": "none",
        "residual": True,
        "width": 8,
        "discriminator_width": 8,
        "batch": 8,
        "lr": 4e-3,
        "discriminator_lr": 4e-3,
    }
    config = replace(CYCLE, discriminator=(str(eyes),), identity=0.0, cycle=1.0, softness=0.5, **settings)
    before = copies_of(feature_nets.load(str(eyes), CPU))

    def red_and_blue(seed):
        drawn, warm = pair(8, seed), torch.tensor([1.0, 0.3, 0.2]).view(3, 1, 1)
        return replace(drawn, images=warm * drawn.images, others=warm.flip(0) * drawn.others)

    def teach(made):
        optimizers = made.optimizers()
        for step in range(25):
            train_step(made, optimizers, step, red_and_blue(step))

    def apart(made):
        """How far the colours of what is drawn are from those of the other side."""
        rows = made.show(red_and_blue(99)).view(6, 8, 3, -1)
        a, as_b, _, b, as_a, _ = (rows[:, :, 0] - rows[:, :, 2]).mean((1, 2)).tolist()
        return {"AtoB": abs(as_b - b), "BtoA": abs(as_a - a)}

    made = assert_learns(lambda: cyclegan.Model(config), teach, apart)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made._eyes[str(eyes)].state_dict().items())


@pytest.mark.parametrize("softness", [0.0, 0.3])
def test_small_differences_may_count_as_squares(softness):
    made = model(replace(CYCLE, softness=softness, identity=0.0, flip=False, crop=36, pool=0))
    batch = pair()
    a, b = 2 * batch.images - 1, 2 * batch.others - 1
    there, back = made.translators["AtoB"], made.translators["BtoA"]
    apart = [(back(there(a)) - a).detach().abs(), (there(back(b)) - b).detach().abs()]
    if softness:
        apart = [torch.where(d < softness, d.square() / (2 * softness), d - softness / 2) for d in apart]
    next(made.train_step(batch))
    assert made.metrics["cycle"] == pytest.approx(sum(d.mean().item() for d in apart), rel=1e-4)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_a_residual_translator_begins_with_the_picture_itself(norm):
    made, batch = model(replace(CYCLE, residual=True, norm=norm)), pair()
    rows = made.show(batch).view(6, 4, 3, 32, 32)
    assert all((row - rows[0]).abs().max() < 1e-5 for row in rows[:3])
    with pytest.raises(UsageError, match="at colour pictures"):
        replace(CYCLE, discriminator=("vgg-slim",), channels=1)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_a_batch_are_the_batch(parts):
    whole, split = model(CYCLE), model(CYCLE)
    first, second = steps(whole, 3), steps(split, 3, parts)
    for one, other in zip(first, second, strict=True):
        assert one == pytest.approx(other, rel=2e-3)
    torch.testing.assert_close(whole.histories["A"].pictures, split.histories["A"].pictures, atol=5e-3, rtol=0)
    assert torch.equal(whole.histories["B"].count, split.histories["B"].count)


def test_both_get_other_parts_and_pairs_the_same():
    a = pictures(4, 36)
    batch = Pair(a, torch.zeros(4).long(), 0, 4, torch.Generator().manual_seed(3), a)
    one, other = batch.looks(20, flip=True, together=True)
    assert torch.equal(one, other) and one.shape == (4, 3, 20, 20)
    one, other = batch.looks(20, flip=True, together=False)
    assert not torch.equal(one, other)


# --- old pictures -----------------------------------------------------------------------------------------------------


def test_the_history_fills_up_and_then_swaps():
    history, chance = History(2, 1, 1), torch.tensor([[0.9, 0.0]])

    def see(value, swap, which):
        shown = history.mix(torch.full((1, 1, 1, 1), value), 0, torch.tensor([[swap, which]]))
        history.keep(1, lambda t: t)
        return shown.item()

    assert [see(1.0, 0.0, 0.0), see(2.0, 0.0, 0.0)] == [1, 2], "new ones while there is room"
    assert see(3.0, 0.7, 0.0) == 3 and history.pictures.flatten().tolist() == [1, 2]
    assert see(4.0, 0.2, 0.6) == 2 and history.pictures.flatten().tolist() == [1, 4]
    assert int(history.count) == 2
    none = History(0, 1, 1)
    assert none.mix(torch.ones(1, 1, 1, 1), 0, chance).item() == 1
    none.keep(1, lambda t: t)


def test_a_history_of_a_batch_that_is_larger():
    history = History(3, 1, 1)
    fresh = torch.arange(5.0).view(5, 1, 1, 1)
    shown = history.mix(fresh, 0, torch.zeros(5, 2))
    assert torch.equal(shown, fresh)
    history.keep(5, lambda t: t)
    assert history.pictures.flatten().tolist() == [0, 1, 2] and int(history.count) == 3


# --- data -------------------------------------------------------------------------------------------------------------


def write(folder, count=12, size=(40, 40), shift=0, names="{:02d}.png"):
    """Flat colours whose red says which number they have."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((size[1], size[0], 3), (number * 10, 100, shift), np.uint8)
        pixels[: size[1] // 2, : size[0] // 3, 1] = 10 * number
        Image.fromarray(pixels).save(folder / names.format(number))
    return folder


@pytest.fixture
def sides(folder):
    """Two folders with matching names."""
    return write(folder / "A"), write(folder / "B", shift=200)


def opened(a, b, kind, **how):
    return open_sides(a, b, Preparation(size=36), kind, seed=0, val_fraction=0.2, **how)


def numbers(images):
    return (images[:, 0, -1, -1] * 25.5).round().int().tolist()


def blue(images):
    return (images[:, 2, 0, 0] * 255).round().int().unique().tolist()


def test_two_folders(sides):
    data = opened(*sides, UNPAIRED)
    seen = [data.batch(step, 4, device=CPU) for step in range(6)]
    assert all(blue(batch.images) == [0] and blue(batch.others) == [200] for batch in seen)
    met = {pair for batch in seen for pair in zip(numbers(batch.images), numbers(batch.others), strict=True)}
    assert len(met) > 12, "not always the same two"
    assert data.steps_per_epoch(4) == 3
    held = next(data.validation(8, device=CPU))
    assert len(held.images) == len(held.others) > 0
    assert torch.equal(data.batch(3, 4, device=CPU, first=1, count=2).others, seen[3].others[1:3])


def test_one_folder_of_two_kinds(folder):
    write(folder / "data/trainA"), write(folder / "data/trainB", 9, shift=200)
    write(folder / "data/testA", 2), write(folder / "data/testB", 3, shift=200)
    data = opened(folder / "data", None, UNPAIRED)
    assert (len(data.a.training), len(data.b.training), len(data.a.held_out), len(data.b.held_out)) == (12, 9, 2, 3)
    batch = data.batch(0, 4, device=CPU)
    assert blue(batch.images) == [0] and blue(batch.others) == [200]
    assert len(next(data.validation(8, device=CPU))) == 2
    assert data.notes == () and data.describe()["training"] == 21


def test_pairs_by_name(sides):
    data = opened(*sides, PAIRED)
    for batch in [data.batch(step, 4, device=CPU) for step in range(4)] + list(data.validation(4, device=CPU)):
        assert numbers(batch.images) == numbers(batch.others) and blue(batch.others) == [200]


def test_captions_come_with_the_pictures_of_a(sides, folder):
    for path in sides[0].glob("*.png"):
        path.with_suffix(".txt").write_text(f"number {path.stem}")
    for kind in (PAIRED, UNPAIRED):
        batch = opened(*sides, kind, words=True).batch(0, 4, device=CPU)
        assert batch.texts == tuple(f"number {number:02d}" for number in numbers(batch.images))
        assert [part.texts for part in batch.split(2)] == [batch.texts[:2], batch.texts[2:]]
    write(folder / "data/trainA"), write(folder / "data/trainB", shift=200)
    assert opened(folder / "data", None, UNPAIRED, words=True).batch(0, 4, device=CPU).texts == ()


def test_pairs_side_by_side(folder):
    write(folder / "pairs", size=(80, 40))
    write(folder / "pairs", 1, names="square{}.png")
    data = opened(folder / "pairs", None, PAIRED)
    assert [entry for entry in data.skipped] == [("square0.png", "is 40x40: no two pictures side by side")]
    batch = data.batch(0, 4, device=CPU)
    assert numbers(batch.images) == numbers(batch.others)
    assert not torch.equal(batch.images, batch.others), "the left and the right half differ"
    assert len(data.a.training) + len(data.a.held_out) == 12


def test_pairs_in_train_a_and_train_b(folder):
    for part, count in (("train", 10), ("test", 3)):
        write(folder / f"data/{part}A", count), write(folder / f"data/{part}B", count, shift=200)
    data = opened(folder / "data", None, PAIRED)
    assert (len(data.a.training), len(data.a.held_out)) == (10, 3)
    batch = data.batch(0, 4, device=CPU)
    assert numbers(batch.images) == numbers(batch.others) and blue(batch.others) == [200]


def test_what_has_no_partner_is_listed(sides):
    a, b = sides
    (a / "00.png").unlink()
    (b / "01.png").rename(b / "else.png")
    Image.new("RGB", (60, 40)).save(b / "02.png")
    found = dict(opened(a, b, PAIRED).skipped)
    assert found["01.png"] == f"has no partner in {b}" and found["else.png"] == f"has no partner in {a}"
    assert found["02.png"] == "is 40x40, its partner 60x40" and found["00.png"] == f"has no partner in {a}"


def test_left_out_pictures_are_told_and_written_down(invoke, sides):
    _, b = sides
    for number in range(7):
        (b / f"{number:02d}.png").rename(b / f"x{number}.png")
    said = invoke("train", *LINES["pix2pix"], "--steps", 1, "--out", "run").stderr
    assert "left out 00.png: has no partner in" in said and "left out 9 more; run.toml" in said
    assert len(tomllib.loads(Path("run/run.toml").read_text())["data"]["skipped"]) == 14


def test_data_that_cannot_be_used(sides, folder):
    a, b = sides
    with pytest.raises(UsageError, match=r"two kinds .* is 12 pictures, flat folder"):
        opened(a, None, UNPAIRED)
    with pytest.raises(UsageError, match=r"holds no pairs: 00.png is 40x40.*or name two folders"):
        opened(a, None, PAIRED)
    other = write(folder / "other", 3, names="x{}.png")
    with pytest.raises(UsageError, match=r"no picture in .* has a partner .*00.png.*, \.\.\."):
        opened(a, other, PAIRED)
    wide = write(folder / "wide", size=(60, 40))
    with pytest.raises(UsageError, match=r"no pair of pictures has one shape.*60x40"):
        opened(a, wide, PAIRED)
    with pytest.raises(UsageError, match="balanced"):
        opened(a, b, UNPAIRED, balanced=True)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"crop": 30}, "crop has to be 32 to"),
        ({"crop": 37}, "crop has to be 32 to the pictures' size 36"),
        ({"size": 40, "crop": 34}, "multiple of 4"),
        ({"net": "resnest"}, "Did you mean 'resnet'"),
        ({"net": "unet", "blocks": 6}, "multiple of 64"),
        ({"net": "unet", "blocks": 1}, "halves the sides 3 to 10 times"),
        ({"net": "unet", "blocks": 5, "norm": "none"}, "needs a normalisation"),
        ({"direction": "both"}, "AtoB, BtoA"),
        ({"lr": 0.0}, "lr has to be above 0"),
        ({"ema": 1.0}, "ema is the decay of a running mean"),
    ],
)
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(UsageError, match=message):
        replace(CYCLE, **changes)


@pytest.mark.parametrize("home", [cyclegan, pix2pix])
def test_presets_are_what_they_say(home):
    light = home.PRESETS["light"]
    assert (light.crop, light.discriminator_width) == (128, 32)
    if home is cyclegan:
        with torch.device("meta"):
            made = cyclegan.Model(light)
        assert 2e5 < sum(p.numel() for p in made.translators["AtoB"].parameters()) < 5e5


@pytest.mark.parametrize("preset", ["mini", "mini-128"])
def test_what_ships_is_of_the_sizes_to_go_on_from(preset):
    for way in ("AtoB", "BtoA"):
        assert translator_files.load("monet-mini", CPU, direction=way).net.sizes == cyclegan.PRESETS[preset].sizes


# --- runs -------------------------------------------------------------------------------------------------------------

LINES = {
    name: [name, "A", "B", *tiny.flags(name, batch=2), "--save-every", 2, "--val-fraction", 0.2]
    for name in ("cyclegan", "pix2pix")
}


def tensors(run):
    return checkpoint.read(Path(run) / "weights.safetensors")[0]


def state(run):
    """Of the whole model, discriminators and all, as the last checkpoint has it."""
    return checkpoint.load(Path(run))["trainer"]["model"]


@pytest.mark.parametrize("name", LINES)
def test_what_a_run_leaves(invoke, sides, name):
    result = invoke("train", *LINES[name], "--out", "run", "--steps", 3)
    assert (result.exit_code, result.stdout) == (0, "run/weights.safetensors\nrun/model\n"), result.stderr
    shown = Image.open("run/reconstructions/step-000003.png")
    assert round(shown.height / 34) == (6 if name == "cyclegan" else 3)
    what = tomllib.loads(Path("run/run.toml").read_text())
    assert what["data"]["name"] == "A-B" and what["data"]["other"].endswith("B")
    loaded = translator_files.load("run", CPU)
    assert loaded.direction == ("AtoB" if name == "cyclegan" else "BtoA")
    if name == "cyclegan":
        assert int(state("run")["histories.A.count"]) == 3


@pytest.mark.parametrize("name", LINES)
def test_exported_weights_hold_the_translators_alone(invoke, sides, name):
    """So does the running mean; an older checkpoint, whose mean has discriminators too, goes on at the same bytes."""
    ema = ["--set", "ema=0.9"] if name == "cyclegan" else []
    line = ["train", *LINES[name], *ema, "-q", "--steps", 3, "--out"]
    assert invoke(*line, "whole").exit_code == invoke(*line, "run", "--time-limit", "0.001s").exit_code == 0
    assert {tensor.partition(".")[0] for tensor in tensors("run")} == {"translators"}
    if ema:
        saved = checkpoint.load(Path("run"))
        assert saved["trainer"]["average"].keys() == tensors("run").keys() < state("run").keys()
        saved["trainer"]["average"] = state("run") | saved["trainer"]["average"]
        checkpoint.save(Path("run"), 1, saved, keep=2)
    assert invoke(*line, "run").exit_code == 0
    whole, parts = tensors("whole"), tensors("run")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


def test_weights_of_an_unfinished_run_are_used(invoke, sides):
    line = ["train", *LINES["cyclegan"], "--steps", 900, "-q", "--out", "run", "--time-limit", "0.001s"]
    assert invoke(*line).exit_code == 0 and not Path("run/model").exists()
    there, back = (translator_files.load("run", CPU, direction=way) for way in ("AtoB", "BtoA"))
    assert there.size == back.size == 32 and there.scale == back.scale == 36 and there.fingerprint != back.fingerprint
    state = tensors("run")
    assert torch.equal(there.net.state_dict()["model.1.weight"], state["translators.AtoB.model.1.weight"])


def test_the_running_mean_of_translators_is_exported(invoke, sides):
    """Of the first step's weights and the second's, whose decay is 2/11 so early."""
    line = ["train", *LINES["cyclegan"], "-q"]
    assert invoke(*line, "--out", "last", "--steps", 2).exit_code == 0
    assert invoke(*line, "--out", "mean", "--steps", 2, "--set", "ema=0.9").exit_code == 0
    assert invoke(*line, "--out", "first", "--steps", 2, "--time-limit", "0.001s").exit_code == 0
    first, last, mean = (tensors(run)["translators.BtoA.model.1.weight"] for run in ("first", "last", "mean"))
    assert checkpoint.read(Path("first/weights.safetensors"))[1]["step"] == 1
    between = (mean - last) / (first - last)
    assert between.median().item() == pytest.approx(2 / 11, abs=0.02)
    applied = translator_files.load("mean", CPU, direction="BtoA").net.state_dict()["model.1.weight"]
    assert torch.equal(applied, mean.half().float())


@pytest.mark.parametrize(
    "line, message",
    [
        (["cyclegan", "A", "nowhere"], "no folder nowhere"),
        (["cyclegan", "A", "empty"], "empty is empty"),
        (["cyclegan", "A"], "two kinds of pictures are needed"),
        (["vae", "A", "B"], "vae learns from one folder"),
        (["pix2pix", "A", "B", "--balanced"], "--balanced"),
    ],
)
def test_what_is_refused(invoke, sides, folder, line, message):
    (folder / "empty").mkdir()
    result = invoke("train", *line, "-q", "--out", "run", "--steps", 2)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in one_error_line(result.stderr)
    assert not Path("run").exists()


@pytest.mark.parametrize("flags", [[], ["--neighbours"], ["--reconstruct", "A/00.png"]])
def test_sample_says_that_there_is_nothing_to_sample(invoke, sides, flags):
    assert invoke("train", *LINES["pix2pix"], "--steps", 1, "-q", "--out", "run").exit_code == 0
    result = invoke("sample", "run", *flags, "-q", "-o", "a.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pix2pix" in one_error_line(result.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="gloo under torchrun")
def test_two_processes_are_one(invoke, folder):
    """Their histories too, which every process has the whole of."""
    rng = np.random.default_rng(0)
    for number in range(24):  # no flat colours, whose normalisation would magnify the last digits
        place = folder / "AB"[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(place / f"{number}.png")
    alike = ["--set", "dropout=no"]  # whose chance is each process's
    line = ["train", *LINES["cyclegan"], *alike, "--steps", 3, "-q"]
    assert invoke(*line, "--device", "cpu", "--out", "one").exit_code == 0
    as_two_ranks(*line, "--out", "two")
    one, two = (
        [(row["train"]["translators"], row["train"]["discriminators"]) for row in logged(run)] for run in ("one", "two")
    )
    assert one == [pytest.approx(row, rel=1e-3) for row in two]
    one, two = state("one"), state("two")
    assert torch.equal(one["histories.A.count"], two["histories.A.count"]) and int(one["histories.A.count"]) == 3
    torch.testing.assert_close(one["histories.A.pictures"], two["histories.A.pictures"], atol=1e-2, rtol=0)
