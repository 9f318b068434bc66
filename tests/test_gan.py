"""gan, dcgan and wgan-gp: their nets, their losses, DiffAugment, classes, and what is told of too little data."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artcli.errors import UsageError
from artcli.models import adversarial, dcgan, gan, wgan_gp
from artcli.nn import likeness, statistics
from artcli.nn.diffaugment import CHANGES, diffaugment
from artcli.nn.discriminator import Discriminator
from artcli.nn.penalty import gradient_penalty
from artcli.training import checkpoint
from tests import tiny
from tests.batches import assert_learns, batch, copies_of, pictures, seeded, train_step
from tests.conftest import one_error_line

quick = settings(deadline=None, max_examples=10)
NAMES = ("gan", "dcgan", "wgan-gp")
CONVOLUTIONS = ("dcgan", "wgan-gp")


def made(name, classes=0, **changes):
    return seeded(lambda: tiny.backend(name).Model(tiny.config(name, **changes), classes))


def train(model, images, steps, labels=None, parts=1):
    """As the trainer does, which says which step it is."""
    optimizers, losses = model.optimizers(), []
    for step in range(steps):
        if hasattr(model, "begin"):
            model.begin(step)
        losses.append(train_step(model, optimizers, step, batch(images, labels, seed=step), parts))
    return losses


def plain(count, size, channel=None):
    """Pictures of one of three colours each, or of one of them, of different brightness."""
    images = torch.zeros(count, 3, size, size)
    bright = 0.6 + 0.4 * torch.rand(count, generator=torch.Generator().manual_seed(0))
    for number in range(count):
        images[number, number % 3 if channel is None else channel] = bright[number]
    return images


def numbers(net):
    return sum(p.numel() for p in net.parameters())


# --- the published nets ----------------------------------------------------------------------------------------------


def test_gan_is_the_reports_net():
    model = gan.Model(gan.PRESETS["mnist"])
    widths = [64, 128, 256, 512, 1024, 784]
    dense = sum(a * b + b for a, b in itertools.pairwise(widths))
    assert numbers(model.generator) == dense + 2 * sum(widths[1:-1])  # scale and shift of BatchNorm
    widths = [784, 512, 256, 128, 1]
    assert numbers(model.discriminator) == sum(a * b + b for a, b in itertools.pairwise(widths))
    assert model.generate([1, 2]).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_dcgan_is_the_papers_net(name):
    model = tiny.backend(name).Model(tiny.backend(name).PRESETS["paper"])
    seen = []
    for layer in [*model.generator, *model.discriminator.layers]:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(lambda _, __, out: seen.append((out.shape[2], out.shape[1])))
    made = model.generate([1, 2])
    model.discriminator(made)
    assert seen == [(4, 512), (8, 256), (16, 128), (32, 64), (64, 3), (32, 64), (16, 128), (8, 256), (4, 512)]
    # What the authors' code has, and here the biases of the first convolution and of the last layer besides.
    assert (numbers(model.generator), numbers(model.discriminator)) == (3_576_704, 2_765_568 + 64 + 1)
    started = next(model.generator.parameters())
    assert started.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_papers_constants():
    paper = wgan_gp.PRESETS["paper"]
    assert (paper.penalty, paper.critic_steps, paper.batch) == (10, 5, 64)
    found = wgan_gp.Model(paper).optimizers()["critic"].param_groups[0]
    assert (found["lr"], found["betas"]) == (1e-4, (0.0, 0.9))
    found = dcgan.Model(dcgan.PRESETS["paper"]).optimizers()["generator"].param_groups[0]
    assert (found["lr"], found["betas"]) == (2e-4, (0.5, 0.999))


def test_adam_of_one_pass_goes_on_with_states_of_before():
    """Earlier checkpoints are of torch's usual Adam, and go on with it."""
    model, other = (seeded(lambda: tiny.backend("gan").Model(tiny.config("gan"))) for _ in range(2))
    ours, usual = model.optimizers()["generator"], torch.optim.Adam(other.generator.parameters(), 2e-4, (0.5, 0.999))
    ours.param_groups[0]["lr"] = 2e-4
    assert ours.param_groups[0]["fused"]
    for round in range(3):
        for net, optimizer in ((model.generator, ours), (other.generator, usual)):
            for number, each in enumerate(net.parameters()):
                each.grad = torch.full_like(each, 0.1 * number - round)
            optimizer.step()
        pairs = zip(model.generator.parameters(), other.generator.parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
        ours.load_state_dict(copy.deepcopy(usual.state_dict()))
        assert not ours.param_groups[0]["fused"]


def test_the_critic_judges_each_picture_alone():
    critic, images = made("wgan-gp").discriminator, torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        (dcgan, {"size": 100}, "size has to be 4 doubled several times for these layers, not 100; 64 works"),
        (dcgan, {"size": 4}, "size has to be 4 doubled several times for these layers, not 4; 8 works"),
        (gan, {"ema": 1.0}, "ema has to be at least 0 and below 1, not 1.0"),
        (gan, {"diffaugment": "colour"}, "diffaugment 'colour' is none of color, translation, cutout. Did you mean"),
        (wgan_gp, {"penalty": 0.0}, "penalty has to be above 0"),
    ],
)
def test_settings_that_cannot_be(kind, changed, message):
    with pytest.raises(UsageError) as caught:
        kind.Config(**changed)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_the_gradient_penalty_by_hand():
    """Judged by w * x, the gradient is w everywhere; by |x|^2 / 2, it is the picture between the two."""
    rng = torch.Generator().manual_seed(1)
    real, fake, weight = (torch.randn(3, 2, 4, 4, dtype=torch.double, generator=rng) for _ in range(3))
    part = torch.rand(3, 1, 1, 1, dtype=torch.double, generator=rng)
    linear = gradient_penalty(lambda x: (x * weight[0]).flatten(1).sum(1, keepdim=True), real, fake, part)
    assert linear.item() == pytest.approx((weight[0].square().sum().sqrt().item() - 1) ** 2, abs=1e-12)
    between = (1 - part) * real + part * fake
    wanted = (between.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
    square = gradient_penalty(lambda x: x.square().flatten(1).sum(1, keepdim=True) / 2, real, fake, part)
    assert square.item() == pytest.approx(wanted.item(), abs=1e-12)


def critic_in_double():
    torch.manual_seed(1)
    return Discriminator(1, 2, 8, layers=1, norm="layer").double()


def test_the_gradient_penalty_against_differences():
    """Of a real critic, whose gradient is measured number by number."""
    with torch.random.fork_rng():
        critic = critic_in_double()
        real, fake = torch.randn(2, 2, 1, 8, 8, dtype=torch.double)
    part = torch.full((2, 1, 1, 1), 0.3, dtype=torch.double)
    between, step = real.lerp(fake, part), 1e-6
    slopes = torch.zeros(2, 64, dtype=torch.double)
    with torch.no_grad():
        for place in range(64):
            moved = torch.zeros(64, dtype=torch.double)
            moved[place] = step
            up, down = (critic(between + sign * moved.view(1, 1, 8, 8)) for sign in (1, -1))
            slopes[:, place] = ((up - down) / (2 * step))[:, 0]
    wanted = (slopes.norm(dim=1) - 1).square().mean()
    assert gradient_penalty(critic, real, fake, part).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_the_gradient_penalty_teaches_the_critic():
    """Its gradient by the critic's weights, which goes through a gradient, is right."""
    with torch.random.fork_rng():
        critic = critic_in_double()
        real, fake = torch.randn(2, 2, 1, 8, 8, dtype=torch.double)
    part = torch.full((2, 1, 1, 1), 0.3, dtype=torch.double)
    names = [name for name, _ in critic.named_parameters()]

    def penalty(*weights):
        named = dict(zip(names, weights, strict=True))
        return gradient_penalty(lambda x: torch.func.functional_call(critic, named, (x,)), real, fake, part)

    assert torch.autograd.gradcheck(penalty, tuple(critic.parameters()))


def test_the_generator_steps_with_every_fifth_step_of_the_critic():
    model, images = made("wgan-gp", critic_steps=5), pictures(4)
    assert model.worst_step(100) == 4 and model.worst_step(3) == 2
    stepped = [list(losses) for losses in train(model, images, 10)]
    assert stepped == [*4 * [["critic"]], ["critic", "generator"]] * 2
    assert set(model.metrics) == {"distance", "steepness"}


def test_the_critics_loss_is_its_metrics():
    model = made("wgan-gp", penalty=7.0)
    loss = next(model.train_step(batch(pictures(4))))[1].item()
    assert loss == pytest.approx(7 * model.metrics["steepness"] - model.metrics["distance"], rel=1e-5)


def test_the_losses_of_undecided_nets():
    """Logits of 0: the logarithm of 2 for both."""
    model = made("dcgan")
    for weights in model.discriminator.layers[-1].parameters():
        torch.nn.init.zeros_(weights)
    losses = [loss.item() for _, loss in model.train_step(batch(pictures(4)))]
    assert losses == pytest.approx([np.log(2)] * 2, rel=1e-6)
    assert model.metrics == {"real_right": 0.0, "fake_right": 0.0}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_net_whose_turn_it_is_gets_gradients(name):
    model = made(name, **({"critic_steps": 1} if name == "wgan-gp" else {}))
    for turn, loss in model.train_step(batch(pictures(4, tiny.config(name).size))):
        model.zero_grad(set_to_none=True)
        loss.backward()
        moved = {kind for kind in ("generator", "discriminator") if any_gradient(getattr(model, kind))}
        assert moved == ({"generator"} if turn == "generator" else {"discriminator"})
    assert all(p.requires_grad for p in model.parameters())


def any_gradient(net):
    return any(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_noise_and_changes_do_not_depend_on_micro_batches(name):
    """In evaluation mode, as BatchNorm does depend on them."""
    images, labels = pictures(6, tiny.config(name).size), torch.tensor([0, 1, 2, 0, 1, 2])
    model = made(name, classes=3, conditional=True, diffaugment="color,translation,cutout").eval()
    one = next(model.train_step(batch(images, labels)))[1].item()
    several = [next(model.train_step(part))[1].item() for part in batch(images, labels).split(3)]
    assert sum(several) / 3 == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name):
    model = made(name, **({"critic_steps": 1} if name == "wgan-gp" else {}))
    steps = model.train_step(batch(pictures(4, tiny.config(name).size)))
    while True:
        with torch.autocast("cpu", torch.bfloat16):
            due = next(steps, None)
        if due is None:
            break
        due[1].backward()
        assert due[1].dtype == torch.float32 and due[1].isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_it_learns(name):
    """Its samples foretell pictures of three colours better than an untrained one's."""
    images = plain(24, tiny.config(name).size)
    settings = tiny.config(name, lr=2e-3, diffaugment="")
    assert_learns(
        lambda: tiny.backend(name).Model(settings),
        lambda model: train(model, images, 60),
        lambda model: model.validate(batch(images))["loss"],
    )


# --- DiffAugment -----------------------------------------------------------------------------------------------------


def uniform_of(rows, seed=0, dtype=torch.float32):
    """As `Batch.uniform` draws for these rows of a batch of eight."""
    rng = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.rand((8, *shape), generator=rng, dtype=dtype)[rows]


@pytest.mark.parametrize("name", CHANGES)
def test_changes_can_be_differentiated(name):
    images = torch.rand(8, 3, 6, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: diffaugment(x, [name], uniform_of(slice(8), dtype=torch.double)), images, fast_mode=True
    )


@given(st.permutations(list(CHANGES)), st.integers(0, 7), st.sampled_from([1, 3]), st.integers(3, 17))
@quick
def test_a_picture_depends_on_no_other(changes, row, channels, side):
    images = torch.rand(8, channels, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1
    together = diffaugment(images, changes, uniform_of(slice(8)))
    rows = slice(row, row + 1)
    assert together.shape == images.shape and together.isfinite().all()
    torch.testing.assert_close(diffaugment(images[rows], changes, uniform_of(rows)), together[rows])


def always(*values):
    """The same numbers for each picture, whatever is asked for."""
    return lambda *shape: torch.tensor(values).expand(2, *shape) if shape == (2,) else torch.full((2, *shape), *values)


def test_the_middle_of_the_colours_is_the_picture():
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(diffaugment(images, ["color"], always(0.5)), images)


def test_colours_by_hand():
    """At 0 a picture gets half of white darker, grey, and its contrast is halved."""
    images = torch.rand(2, 3, 8, 8) * 2 - 1
    grey = (images - 0.5).mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    wanted = (mean + (grey - mean) / 2).expand_as(images)
    torch.testing.assert_close(diffaugment(images, ["color"], always(0.0)), wanted)


def test_translation_by_hand():
    """Sixteen pixels move by up to two, and what comes in is grey."""
    images = torch.rand(2, 3, 16, 16)
    moved = diffaugment(images, ["translation"], always(0.999, 0.0))  # up by two, to the right by two
    torch.testing.assert_close(moved[:, :, :14, 2:], images[:, :, 2:, :14])
    assert moved[:, :, 14:].eq(0).all() and moved[:, :, :, :2].eq(0).all()
    torch.testing.assert_close(diffaugment(images, ["translation"], always(0.5, 0.5)), images)


def test_cutout_by_hand():
    images = torch.ones(2, 3, 16, 16)
    holes = diffaugment(images, ["cutout"], always(0.5, 0.0))[0, 0].eq(0)
    assert holes.any(1).nonzero()[:, 0].tolist() == list(range(4, 12))  # in the middle
    assert holes.any(0).nonzero()[:, 0].tolist() == list(range(4))  # half of it over the edge


def test_the_discriminator_sees_changed_pictures_only():
    model, seen = made("dcgan", diffaugment="cutout"), []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    list(model.train_step(batch(torch.ones(4, 3, 16, 16))))
    assert len(seen) == 3 and all((sight == 0).all(1).flatten(1).any(1).all() for sight in seen)


# --- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_class_reaches_the_picture(name):
    """Red and blue pictures: taught, the generator draws what it is told."""
    size = tiny.config(name).size
    images = torch.cat([plain(12, size, channel) for channel in (0, 2)])
    labels = torch.tensor([0] * 12 + [1] * 12)
    every = {"critic_steps": 1} if name == "wgan-gp" else {}
    settings = tiny.config(name, conditional=True, diffaugment="", lr=5e-3, **every)

    def wrong(model):
        model.eval().fit(iter(()))
        red, blue = (model.generate(range(16), torch.full((16,), c)).mean((0, 2, 3)) for c in (0, 1))
        return {"red": red[2] - red[0], "blue": blue[0] - blue[2]}

    assert_learns(lambda: tiny.backend(name).Model(settings, 2), lambda m: train(m, images, 60, labels), wrong)


def test_labels_are_optional():
    model = made("dcgan", classes=3, conditional=True)
    some = model.generate([1, 2], torch.tensor([2, 0]))
    assert some.shape == model.generate([1, 2]).shape and not torch.allclose(some, model.generate([1, 2]))
    unconditional = made("dcgan", classes=3)
    assert unconditional.classes == 0
    torch.testing.assert_close(unconditional.generate([1], torch.tensor([2])), unconditional.generate([1]))


def test_a_discriminator_is_told_the_class():
    judge = seeded(lambda: Discriminator(3, 4, 16, classes=2)).eval()
    torch.nn.init.normal_(judge.named.weight[:2])
    images, labels = torch.rand(1, 3, 16, 16), torch.tensor([0])
    assert judge(images, labels) != judge(images, labels + 1)
    features = judge.layers[:-2](images).sum((2, 3))
    wanted = judge(images) + (features * judge.named.weight[0]).sum()
    torch.testing.assert_close(judge(images, labels), wanted)
    judge.named.weight.data[2] = 0
    torch.testing.assert_close(judge(images, labels + 2), judge(images))  # unknown


# --- the mean that draws ---------------------------------------------------------------------------------------------


def test_samples_are_drawn_with_the_statistics_of_many():
    """As the mean over what the net makes of these inputs, whatever was there before."""
    net = seeded(lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))).eval()
    net[1].running_mean.fill_(9.0)
    inputs = [torch.randn(8, 3) for _ in range(4)]
    statistics.standing(net, inputs)
    with torch.no_grad():
        made = torch.stack([net[0](x) for x in inputs])
    torch.testing.assert_close(net[1].running_mean, made.mean((0, 1)))
    torch.testing.assert_close(net[1].running_var, made.var(1).mean(0))
    assert net[1].momentum == 0.1 and not net[1].training


@pytest.mark.parametrize("name", NAMES)
def test_looking_at_a_model_does_not_change_it(name):
    size = tiny.config(name).size
    model = made(name).train()
    before = copies_of(model)
    model.generate([1]), model.validate(batch(pictures(3, size)))
    after = copies_of(model)
    assert model.training and all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", NAMES)
def test_what_samples_look_like_is_settled_by_the_fit(name):
    """A picture drawn alone after it is as it is among others that are normalised together."""
    model = made(name).eval()
    train(model, pictures(8, tiny.config(name).size), 3)
    model.eval().fit(iter(()))
    again = copies_of(model)
    model.fit(iter(()))
    assert all(torch.equal(tensor, again[key]) for key, tensor in copies_of(model).items())
    alone = model.generate([5])
    with statistics.of_the_batch(model.generator):
        among = model.generate(range(512))[5:6]
    assert (alone - among).abs().mean() < 0.02


# --- diversity -------------------------------------------------------------------------------------------------------


def test_diversity_tells_a_collapse():
    """The same distribition has about the same diversity, three pictures that repeat hardly any."""
    real, others = (likeness.features(pictures(48, seed=seed)) for seed in (0, 1))
    few = likeness.features(pictures(3, seed=1).repeat(16, 1, 1, 1) + 0.01 * torch.rand(48, 3, 16, 16))
    assert 0.7 < likeness.diversity(real, others) < 1.4
    assert likeness.diversity(real, few) < 0.1
    assert likeness.energy_score(real, others) < likeness.energy_score(real, few)


def test_the_energy_score_by_hand():
    """Drawn at 0 and 4, real at 1: (1 + 3) / 2 away, and 4 apart."""
    assert likeness.energy_score(torch.tensor([[1.0]]), torch.tensor([[0.0], [4.0]])).item() == 0


def test_one_held_out_picture_has_no_diversity():
    assert set(made("gan").validate(batch(pictures(1, 8)))) == {"loss"}
    assert set(made("gan").validate(batch(pictures(2, 8)))) == {"loss", "diversity"}


# --- the commands ----------------------------------------------------------------------------------------------------


def line(*more, name="dcgan", data="data", steps=3, out="run", **changes):
    flags = tiny.flags(name, **changes)
    return ["train", name, data, "--out", out, "--save-every", 2, "--steps", steps, *flags, *more]


def test_sampling_a_run_that_is_still_training(invoke, folder):
    """Between checkpoints it draws by the last one; before the first it says so."""
    tiny.write_pictures(folder / "data")
    (folder / "run").mkdir()
    stopped = invoke(*line("--time-limit", "0.0001"))
    assert "stopped at step 1 of 3" in stopped.stderr
    film = ["--duration", 0.5, "--fps", 4, "-o", "a.gif", "--force"]
    for flags in (["-o", "a.png"], ["--interpolate", *film], ["--walk", *film]):
        result = invoke("sample", "run", "--seed", "0-3", *flags)
        assert result.exit_code == 0, result.stderr
        assert "step 1," in result.stderr
    (folder / "run/weights.safetensors").unlink()
    assert one_error_line(invoke("sample", "run", "-q").stderr).endswith(
        "run has no weights.safetensors yet; train it further"
    )


def test_classes_by_the_names_of_folders(invoke, folder):
    tiny.write_pictures(folder / "data", classes=["cats", "dogs"])
    assert invoke(*line(conditional=True)).exit_code == 0
    assert invoke("sample", "run", "--class", "all", "--seed", "0-2", "-o", "a.png").exit_code == 0
    rows = np.split(np.asarray(Image.open("a.png"))[: 2 * 16 + 2].astype(int), [16, 18])
    assert np.abs(rows[0] - rows[2]).max() > 0


def test_one_class_is_none(invoke, folder):
    """Neither does such a run learn classes, nor do samples of one that has not know them."""
    tiny.write_pictures(folder / "data" / "cats")
    asked = invoke(*line("-q", conditional=True))
    assert asked.exit_code == 2
    assert one_error_line(asked.stderr).endswith("conditional needs pictures in class folders; these have no classes")
    assert invoke(*line("-q")).exit_code == 0
    asked = invoke("sample", "run", "--class", "cats", "-q")
    assert (asked.exit_code, asked.stdout) == (2, "")
    assert one_error_line(asked.stderr).endswith("was not trained to tell classes apart: leave --class out.")


def test_too_few_pictures(invoke, folder):
    tiny.write_pictures(folder / "data", 12)
    result = invoke(*line("-q", "--val-fraction", 0))
    assert result.exit_code == 2 and not (folder / "run/run.toml").exists()
    assert "12 training pictures are too few for a GAN, which needs 16 at least" in one_error_line(result.stderr)


def test_few_pictures_are_told_once_with_advice(invoke, folder):
    tiny.write_pictures(folder / "data", 24)
    result = invoke(*line(steps=4, diffaugment=""))
    assert result.exit_code == 0 and result.stderr.count("set diffaugment=color,translation,cutout") == 1
    changed = invoke(*line(steps=4, out="other", diffaugment="translation"))
    assert changed.exit_code == 0 and "set diffaugment" not in changed.stderr


def test_the_discriminator_is_not_exported(invoke, folder):
    tiny.write_pictures(folder / "data")
    assert invoke(*line("-q")).exit_code == 0
    assert {key.partition(".")[0] for key in checkpoint.read(folder / "run/weights.safetensors")[0]} == {"generator"}


def test_every_setting_of_a_preset_is_known():
    for kind in (gan, dcgan, wgan_gp):
        assert next(iter(kind.PRESETS.values())) == kind.Config()
        for config in kind.PRESETS.values():
            assert isinstance(replace(config), adversarial.Settings)
