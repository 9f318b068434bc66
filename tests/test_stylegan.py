"""StyleGAN2 with ADA: fast layers against straightforward ones, gradients against differences, ADA, resuming."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from artcli.commands.sample import paths
from artcli.commands.sample.generator import Sampler
from artcli.errors import UsageError, WeightsError
from artcli.models.stylegan import PRESETS, Config, Model
from artcli.nn import ada, fir
from artcli.nn import stylegan as nets
from artcli.nn.measure import patch_distance
from artcli.training.runs import Loaded
from artcli.training.spec import DataSpec, RunSpec
from artcli.training.trainer import Plan, Trainer
from tests import tiny
from tests.batches import assert_learns, batch, copies_of, pictures, seeded

quick = settings(deadline=None, max_examples=10)
CONFIG = tiny.config("stylegan")
CPU = torch.device("cpu")


def model(classes=0, **changed):
    return seeded(lambda: Model(replace(CONFIG, **changed), classes))


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Slopes:
    """Data of a run: at every step eight other pictures."""

    def batch(self, step, size, *, device, first=0, count=None):
        whole = batch(pictures(size, CONFIG.size, seed=step), torch.arange(size) % 2, seed=step)
        return whole

    def validation(self, size, *, device, limit=None):
        yield batch(pictures(size, CONFIG.size, seed=99))


def trained(steps, made=None, parts=1):
    trainer = Trainer(made or model(), Slopes(), Plan(steps, CONFIG.batch, micro=parts), CPU)
    losses = [done.losses for done in trainer.run()]
    return trainer, losses


# --- layers -----------------------------------------------------------------------------------------------------------


def between_zeros(x):
    """Every second pixel of twice the size, zeros between."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide


def filtered(x, gain, left, right):
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype)
    kernel = (taps[:, None] * taps / 64 * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (left, right, left, right)), kernel, groups=x.shape[1])


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 6))
@quick
def test_fast_filters_are_the_definition(count, channels, half):
    x = normal(count, channels, 2 * half, 2 * half)
    torch.testing.assert_close(fir.double(x), filtered(between_zeros(x), 4, 2, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fir.halve(x), filtered(x, 1, 1, 1)[:, :, ::2, ::2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fir.blur(x, 2, gain=3.0), filtered(x, 3, 2, 2), atol=1e-4, rtol=1e-4)


def test_filters_keep_what_is_even():
    x = torch.full((1, 2, 8, 8), 0.7)
    for changed in (fir.double(x), fir.halve(x), fir.blur(x, 2)):
        torch.testing.assert_close(changed[:, :, 2:-2, 2:-2], torch.full_like(changed[:, :, 2:-2, 2:-2], 0.7))


def straightforward(x, weight, style, *, demodulate=True, doubles=False):
    """A convolution of every picture with weights of its own."""
    drawn = []
    for row, scales in zip(x, style, strict=True):
        own = weight * scales[:, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if doubles:  # doubled first, then convolved at the full size
            wide = filtered(between_zeros(row[None]), 4, 3, 2)
            drawn.append(F.conv2d(wide, own.flip(2, 3)))
        else:
            drawn.append(F.conv2d(row[None], own, padding=weight.shape[2] // 2))
    return torch.cat(drawn)


@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_is_one_with_scaled_weights(doubles, demodulate):
    x, weight, style = normal(3, 5, 6, 6), normal(4, 5, 3, 3, seed=1), normal(3, 5, seed=2)
    how = {"demodulate": demodulate, "doubles": doubles}
    torch.testing.assert_close(
        nets.modulated(x, weight, style, **how), straightforward(x, weight, style, **how), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("doubles", [False, True])
def test_gradients_of_the_modulated_convolution(doubles):
    given = [normal(*shape, seed=n, dtype=torch.double) for n, shape in enumerate([(2, 2, 3, 3), (2, 2, 3, 3), (2, 2)])]
    inputs = [each.requires_grad_() for each in given]
    assert torch.autograd.gradcheck(lambda *parts: nets.modulated(*parts, doubles=doubles), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *parts: nets.modulated(*parts, doubles=doubles), inputs, fast_mode=True)


def test_minibatch_deviation():
    """Two pictures (0 and 2 everywhere) and their like: the deviation of a group is 1, of equal pictures 0."""
    x = torch.zeros(8, 3, 4, 4)
    x[1:4:2] = 2
    found = nets.minibatch_deviation(x)
    assert found.shape == (8, 4, 4, 4) and torch.equal(found[:, :3], x)
    torch.testing.assert_close(found[:, 3].mean((1, 2)), torch.tensor([1.0] * 4 + [0.0] * 4), atol=1e-3, rtol=0)
    for count in (1, 2, 3, 5, 6):
        assert nets.minibatch_deviation(x[:count]).shape[0] == count
    parts = torch.cat([nets.minibatch_deviation(part) for part in x.split(4)])
    torch.testing.assert_close(parts, found)


def test_gradients_of_the_minibatch_deviation():
    x = normal(4, 2, 2, 2, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(nets.minibatch_deviation, x)
    assert torch.autograd.gradgradcheck(nets.minibatch_deviation, x)


SMALL = nets.Sizes(size=8, channels=1, latent=3, layers=2, width=16, most=2)


@pytest.mark.parametrize("name", ["b8.conv1.weight", "b8.skip.weight", "b4.fc.weight"])
@pytest.mark.parametrize("augmented", [False, True])
def test_gradients_of_r1(name, augmented):
    """By the discriminator's weights, through the changes that ADA makes."""
    net = seeded(lambda: nets.Discriminator(SMALL)).double()
    augment = ada.Augment(0.6, 100).double()
    augment.p.fill_(0.9 if augmented else 0.0)
    draws = torch.rand(4, ada.UNIFORM, generator=torch.Generator().manual_seed(3)).double()
    real = normal(4, 1, 8, 8, seed=1, dtype=torch.double).requires_grad_()

    def loss(given):
        seen = augment(real, draws, normal(4, ada.NORMAL, seed=2, dtype=torch.double))
        return nets.steepness(torch.func.functional_call(net, {name: given}, (seen,)), real).mean()

    assert loss(net.get_parameter(name)) > 0
    assert torch.autograd.gradcheck(loss, net.get_parameter(name).detach().requires_grad_(), fast_mode=True)


def test_r1_by_hand():
    """Of logits that are 3 times the sum of a picture's four numbers the slope is (3, 3, 3, 3), squared 36."""
    real = normal(2, 1, 2, 2).requires_grad_()
    assert nets.steepness(3 * real.sum((1, 2, 3)), real).tolist() == [36, 36]


@pytest.mark.parametrize("name", ["b4.const", "b8.conv0.weight", "b8.conv1.affine.weight"])
def test_gradients_of_the_path_lengths(name):
    net = seeded(lambda: nets.Synthesis(SMALL)).double()
    noise, change = normal(2, net.noise_count, dtype=torch.double), normal(2, 1, 8, 8, seed=1, dtype=torch.double)
    styles = normal(2, SMALL.styles, 3, seed=2, dtype=torch.double).requires_grad_()

    def loss(given):
        drawn = torch.func.functional_call(net, {name: given}, (styles, noise))
        return (nets.path_lengths(drawn, styles, change) - 0.1).square().sum()

    assert torch.autograd.gradcheck(loss, net.get_parameter(name).detach().requires_grad_(), fast_mode=True)


def test_path_lengths_by_hand():
    """Pictures of four pixels that are all twice the one number of their style: J^T y is the sum of 2 y, over 2."""
    styles, noise = normal(3, 1, 1).requires_grad_(), normal(3, 1, 2, 2, seed=1)
    drawn = 2 * styles[..., None].expand(-1, -1, 2, 2)
    torch.testing.assert_close(nets.path_lengths(drawn, styles, noise), noise.sum((1, 2, 3)).abs())


# --- ADA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign", "p"), [(1.0, 0.6), (-1.0, 0.4)])
def test_p_rises_when_the_discriminator_is_sure_and_falls_otherwise(sign, p):
    augment = ada.Augment(0.6, 320)
    augment.p.fill_(0.5)
    for _ in range(4):
        augment.watch(torch.tensor(8 * sign), torch.tensor(8.0))
    augment.adapt()
    assert float(augment.p) == pytest.approx(p) and augment.signs.tolist() == [0, 0]
    for _ in range(40):
        augment.watch(torch.tensor(8 * sign), torch.tensor(8.0))
        augment.adapt()
    assert float(augment.p) == (sign > 0)
    off = ada.Augment(0.0, 320)
    off.watch(torch.tensor(8.0), torch.tensor(8.0))
    off.adapt()
    assert float(off.p) == 0


def changed(images, p, seed=0):
    augment = ada.Augment(0.6, 100)
    augment.p.fill_(p)
    draws = torch.rand(len(images), ada.UNIFORM, generator=torch.Generator().manual_seed(seed))
    return augment(images, draws, normal(len(images), ada.NORMAL, seed=seed))


def test_so_many_pictures_are_changed_as_p_says():
    images = pictures(200, 16)
    assert torch.equal(changed(images, 0.0), images)
    far = {p: (changed(images, p) - images).abs().amax((1, 2, 3)) > 1e-4 for p in (0.02, 0.2, 1.0)}
    assert 0.05 < far[0.02].float().mean() < 0.35 < far[0.2].float().mean() and far[1.0].all()
    assert changed(images[:, :1], 1.0).shape == (200, 1, 16, 16)


def place(matrix=((1, 0), (0, 1)), shift=(0, 0)):
    return torch.cat((torch.tensor(matrix).float(), torch.tensor(shift).float()[:, None]), 1)[None]


def test_places_are_looked_up_as_they_should():
    images = normal(1, 3, 8, 8)
    torch.testing.assert_close(ada.move(images, place()), images, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ada.move(images, place(((-1, 0), (0, 1)))), images.flip(3), atol=1e-5, rtol=1e-5)
    quarter = ada.move(images, place(((0, -1), (1, 0))))
    torch.testing.assert_close(quarter, images.rot90(1, (2, 3)), atol=1e-5, rtol=1e-5)
    shifted = ada.move(images, place(shift=(2 / 8, 0)))  # by a pixel; the last one is mirrored
    torch.testing.assert_close(shifted, torch.cat((images[..., 1:], images[..., -1:]), 3), atol=1e-5, rtol=1e-5)
    half = ada.move(images, place(shift=(0, 1 / 8)))
    torch.testing.assert_close(half[:, :, :-1], (images[:, :, 1:] + images[:, :, :-1]) / 2, atol=1e-5, rtol=1e-5)


def test_places_are_moved_by_pixels_before_and_by_parts_after_scaling():
    """Twice as small, by an eighth of the side, which are 4 pixels of 32 or twice as many."""
    chance, amount, numbers = torch.ones(1, 13), torch.full((1, 8), 0.5), torch.zeros(1, ada.NORMAL)
    numbers[0, 0], numbers[0, 2], amount[0, 6] = 5.0, 1.0, 1.0  # scaled by 2, to the right by an eighth
    found = {}
    for name, happens in {"pixels": [2, 6], "parts": [2, 7]}.items():
        now = chance.clone()
        now[0, happens] = 0.0
        found[name] = ada._places(now, amount, numbers, torch.tensor(0.5), 32)[0]
    torch.testing.assert_close(found["pixels"], torch.tensor([[2.0, 0, 0.25], [0, 2, 0]]))
    torch.testing.assert_close(found["parts"], torch.tensor([[2.0, 0, 0.5], [0, 2, 0]]))


def test_changes_can_be_differentiated_twice():
    images = normal(3, 3, 4, 4, dtype=torch.double).requires_grad_()
    augment = ada.Augment(0.6, 100).double()
    augment.p.fill_(1.0)
    draws = torch.rand(3, ada.UNIFORM, generator=torch.Generator().manual_seed(1)).double()

    def change(given):
        return augment(given, draws, normal(3, ada.NORMAL, dtype=torch.double)).square()

    assert torch.autograd.gradcheck(change, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(change, images, fast_mode=True)


def test_hue_keeps_luma():
    happens = torch.zeros(5, 13, dtype=torch.bool)
    happens[:, 11] = True
    matrix, offset = ada._colours(happens, torch.rand(5, 8), normal(5, ada.NORMAL))
    images = pictures(5, 8)
    turned = ada.recolour(images, matrix, offset)
    torch.testing.assert_close(turned.mean(1), images.mean(1), atol=1e-5, rtol=1e-4)
    assert (turned - images).abs().max() > 0.05


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_losses_by_hand():
    made = model(mixing=0.0, path=0.0, r1=0.0)
    whole = batch(pictures(8, 16))
    made.begin(0)
    found = {name: loss.detach() for name, loss in made.train_step(whole)}
    drawing = batch(pictures(8, 16))
    z = drawing.normal(2, CONFIG.latent)
    drawing.uniform(2)
    noise = drawing.normal(made.generator.synthesis.noise_count)
    w = made.generator.mapping(z[:, 0])
    drawn = made.generator.synthesis(w[:, None].expand(-1, made.generator.styles, -1), noise)
    judged = made.discriminator(drawn)
    torch.testing.assert_close(found["generator"], -F.logsigmoid(judged).mean())
    real = made.discriminator(2 * whole.images - 1)
    torch.testing.assert_close(found["discriminator"], -F.logsigmoid(-judged).mean() - F.logsigmoid(real).mean())


def test_regularisers_are_lazy():
    """They change the gradients of the steps in which they are due, and no loss that is logged."""
    losses, lengths = {}, {}
    for step in range(17):
        made = model(r1=100.0, path=100.0)
        made.begin(step)
        for name, loss in made.train_step(batch(pictures(8, 16))):
            net = getattr(made, name)
            net.zero_grad(set_to_none=True)
            loss.backward()
            losses[step, name] = loss.item()
            lengths[step, name] = sum(p.grad.square().sum() for p in net.parameters() if p.grad is not None).item()
    for name, due in {"generator": {0, 4, 8, 12, 16}, "discriminator": {0, 16}}.items():
        assert {step for step in range(17) if lengths[step, name] != lengths[1, name]} == due
        assert [losses[step, name] for step in range(17)] == pytest.approx([losses[1, name]] * 17, rel=1e-5)


def slopes(made, step, turn):
    """Of an optimizer's loss by its net's parameters."""
    made.begin(step)
    loss = dict(made.train_step(batch(pictures(8, 16))))[turn]
    return gradients(loss, getattr(made, turn))


def gradients(loss, net):
    return torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, materialize_grads=True)


def assert_differ_by(due, without, penalty):
    for one, other, wanted in zip(due, without, penalty, strict=True):
        torch.testing.assert_close(one - other, wanted, atol=1e-4, rtol=1e-3)


def test_lazy_regularisers_count_for_the_steps_without_them():
    """16 x 3 / 2 times the squared slope; 4 x 3 times the squared lengths of every second picture, from a mean of 0."""
    made = model(r1=3.0, path=0.0)
    real = (2 * pictures(8, 16) - 1).requires_grad_()
    penalty = 24 * nets.steepness(made.discriminator(real), real).mean()
    found = [slopes(made, step, "discriminator") for step in (0, 1)]
    assert_differ_by(*found, gradients(penalty, made.discriminator))
    made = model(r1=0.0, path=3.0, mixing=0.0)
    whole, net = batch(pictures(8, 16)), made.generator
    made._new_styles(whole, (None, None)), made._noise(whole), whole.uniform(ada.UNIFORM), whole.normal(ada.NORMAL)
    z, noise, change = whole.normal(CONFIG.latent), made._noise(whole), whole.normal(3, 16, 16)
    styles = net.mapping(z[::2])[:, None].repeat(1, net.styles, 1)
    lengths = nets.path_lengths(net.synthesis(styles, noise[::2]), styles, change[::2])
    found = [slopes(made, step, "generator") for step in (0, 1)]
    assert_differ_by(*found, gradients(12 * lengths.square().mean(), net))


def test_the_generator_learns_nothing_from_the_discriminators_loss_nor_the_other_way_round():
    made = model()
    running = made.train_step(batch(pictures(8, 16)))
    next(running)[1].backward()
    assert all(p.grad is None for p in made.discriminator.parameters())
    made.generator.zero_grad(set_to_none=True)
    next(running)[1].backward()
    assert all(p.grad is None for p in made.generator.parameters())
    assert all(p.grad is not None for p in made.discriminator.parameters())


def test_parts_of_a_batch_are_the_whole():
    whole, losses = trained(2)
    parts, split = trained(2, parts=2)
    for one, other in zip(losses, split, strict=True):
        assert one["generator"] == pytest.approx(other["generator"], rel=1e-3)
        assert one["discriminator"] == pytest.approx(other["discriminator"], rel=1e-3)
    torch.testing.assert_close(whole.model.path_mean, parts.model.path_mean, rtol=1e-3, atol=1e-5)


def test_a_run_goes_on_at_the_same_bytes():
    """With ADA at work: its probability, the mean path length, the mean of w and the running mean of the weights."""
    made = {"ada_pictures": 64, "target": 0.05}
    whole, _ = trained(14, model(**made))
    begun = Trainer(model(**made), Slopes(), Plan(14, CONFIG.batch), CPU)
    running = begun.run()
    for _ in range(9):
        next(running)
    again = Trainer(model(**made), Slopes(), Plan(14, CONFIG.batch), CPU)
    again.load(begun.state())
    list(again.run())
    for one, other in ((whole.model, again.model), (whole.average, again.average)):
        wanted, found = copies_of(one), copies_of(other)
        assert wanted.keys() == found.keys() and all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert float(whole.model.augment.p) > 0 and float(whole.model.path_mean) > 0
    assert whole.average.generator.mapping.w_avg.abs().sum() > 0
    assert not any(name.startswith(("discriminator", "augment")) for name in whole.average.state_dict())


def test_the_means_follow():
    made = model()
    optimizers = made.optimizers()
    assert list(optimizers) == ["generator", "discriminator"]
    list(made.train_step(batch(pictures(8, 16))))
    w = made._styles._parts[0, 8][0] / 8
    made.after_step(0)
    torch.testing.assert_close(made.generator.mapping.w_avg, 0.005 * w)
    torch.testing.assert_close(float(made.path_mean), 0.01 * made.metrics["path"])


def test_it_learns():
    """Red pictures above, dark below."""
    images = torch.zeros(8, 3, 16, 16)
    images[:, 0, :8] = 0.9

    def teach(made):
        class Alike(Slopes):
            def batch(self, step, size, **_):
                return batch(images, seed=step)

        list(Trainer(made, Alike(), Plan(60, 8), CPU).run())

    config = replace(CONFIG, lr=1e-2)
    assert_learns(lambda: Model(config), teach, lambda made: (made.generate(range(8)) - images).abs().mean())


def test_the_class_reaches_picture_and_judgement():
    made = model(classes=2, conditional=True)
    z = [5, 5]
    one, other = made.generate(z, torch.tensor([0, 1]))
    assert (one - other).abs().max() > 1e-3
    images = pictures(1, 16).repeat(2, 1, 1, 1)
    judged = made.discriminator(images, torch.tensor([0, 1]))
    assert (judged[0] - judged[1]).abs() > 1e-4
    torch.testing.assert_close(made.generate([2, 3]), made.generate([2, 3], torch.tensor([0, 1])))
    losses = trained(1, made)[1]
    assert losses[0].keys() >= {"generator", "discriminator", "sure", "p"}


def test_half_precision():
    made = model()
    with torch.autocast("cpu", torch.bfloat16):
        for _, loss in made.train_step(batch(pictures(4, 16))):
            loss.backward()
            assert loss.dtype == torch.float32 and loss.isfinite()


# --- samples ----------------------------------------------------------------------------------------------------------


def test_truncation_is_the_distance_from_the_mean_of_w():
    made = model()
    made.generator.mapping.w_avg.copy_(normal(CONFIG.latent))
    full, half = made.latents([1, 2]), made.latents([1, 2], 0.5)
    torch.testing.assert_close(half, (full + made.generator.mapping.w_avg) / 2)
    same = made.generate([1, 2], truncation=0.0)
    torch.testing.assert_close(same[0], same[1])


def test_styles_mix_layer_by_layer():
    made = model()
    one, other = made.latents([1]), made.latents([2])
    mixes = {part: made.mix(one, other, part) for part in ("coarse", "middle", "fine")}
    taken = {part: [bool((row == other[0]).all()) for row in mix[0]] for part, mix in mixes.items()}
    assert [sum(column) for column in zip(*taken.values(), strict=True)] == [1] * 6
    assert taken["coarse"][0] and taken["fine"][-1] and not torch.equal(made.decode(one), made.decode(mixes["fine"]))


def test_axes_are_those_along_which_styles_vary_most():
    made = model()
    styles = made.latents(range(4096))
    variance, axes = torch.linalg.eigh(styles.T.cov())
    for number in (0, 3):
        axis, deviation = made.axis(number)
        torch.testing.assert_close((axis @ axes[:, -1 - number]).abs(), torch.tensor(1.0), atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(deviation, variance[-1 - number].sqrt(), atol=1e-4, rtol=1e-3)


def test_axes_of_a_class_are_of_its_styles():
    made = model(classes=2, conditional=True)
    labels = torch.tensor([1])
    axis, deviation = made.axis(0, labels)
    styles = made.latents(range(4096), labels=labels.expand(4096))
    variance, axes = torch.linalg.eigh(styles.T.cov())
    torch.testing.assert_close((axis @ axes[:, -1]).abs(), torch.tensor(1.0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(deviation, variance[-1].sqrt(), atol=1e-4, rtol=1e-3)
    spec = RunSpec("stylegan", data=DataSpec(found={"classes": ["cats", "dogs"]}))
    sampler = Sampler(Loaded(made, made.config, spec, 1, "", Path("run")), CPU, None)
    sampler.told = "dogs"
    for found, wanted in zip(sampler.axis(0), (axis, deviation), strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_sweep_goes_along_an_axis():
    made = model()
    sampler = Sampler(Loaded(made, made.config, RunSpec("stylegan"), 1, "", Path("run")), CPU, None)
    at, (axis, deviation) = paths.sweep(sampler, [1, 2], 0, 0.5), made.axis(0)
    along = [at(position) @ axis for position in (0.0, 0.5, 1.0)]
    torch.testing.assert_close(along[2] - along[0], (3 * deviation).expand(2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(along[1], (along[0] + along[2]) / 2, atol=1e-4, rtol=1e-4)
    rest = made.latents([1, 2], 0.5) - at(0.5)
    torch.testing.assert_close(rest, (rest @ axis)[:, None] * axis, atol=1e-4, rtol=1e-4)


def test_styles_are_shared_among_the_parts_as_in_the_paper():
    sizes = [4 * 2**n for n in range(7)]
    shared = nets.layers_of(14, sizes)  # 4 to 8, 16 to 32, 64 to 256
    assert [list(part) for part in shared.values()] == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11, 12, 13]]


def test_training_mixes_styles():
    one, other = torch.zeros(3, 2), torch.ones(3, 2)
    first = torch.tensor([1, 4, 3])
    assert nets.mixed(one, other, first, 4)[..., 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]]


# --- settings and weights of others -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 100}, "size has to be a power of two from 16 on, not 100; 128 works"),
        ({"size": 8}, "size has to be a power of two from 16 on, not 8; 16 works"),
        ({"mixing": 1.5}, "mixing has to be at least 0 and below 1, not 1.5"),
        ({"lr": 0.0}, "lr has to be above 0, not 0.0"),
    ],
)
def test_settings_that_cannot_be(changes, message):
    with pytest.raises(UsageError) as caught:
        Config(**changes)
    assert str(caught.value) == message


def test_conditional_needs_classes():
    with pytest.raises(UsageError, match="conditional needs pictures in class folders"):
        Model(replace(CONFIG, conditional=True))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_presets():
    small = Model(PRESETS["mini-64"])
    assert 1e6 < count(small) < 3e6
    with torch.device("meta"):
        large = Model(Config())
    # What the paper's code counts for the same nets.
    assert (count(large.generator), count(large.discriminator)) == (24_767_458, 24_001_089)


def test_a_generator_goes_on_from_another(tmp_path):
    made = model()
    state = {f"generator.{name}": t for name, t in made.generator.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    plain = dict(made.generator.state_dict()) | {"synthesis.b8.conv0.resample_filter": torch.ones(4, 4)}
    torch.save(plain, tmp_path / "plain.pt")  # a state dict of the paper's own code
    for start in (tmp_path, tmp_path / "weights.safetensors", tmp_path / "plain.pt"):
        again = seeded(lambda start=start: Model(replace(CONFIG, start=str(start))), 1)
        assert all(torch.equal(again.generator.state_dict()[n], t) for n, t in made.generator.state_dict().items())
    with pytest.raises(UsageError, match="has other sizes than these settings ask for"):
        model(latent=4, start=str(tmp_path))
    with pytest.raises(WeightsError, match="There is no file"):
        model(start=str(tmp_path / "none.pt"))


class Code:
    """Names in a pickle as those of the paper's code have."""

    def __reduce__(self):
        return (exec, ("raise AssertionError('run')  # torch_utils.persistence",))


def test_pickles_of_the_papers_code_are_refused(tmp_path, invoke):
    path = tmp_path / "network-snapshot-000100.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Code()}))
    with pytest.raises(WeightsError) as caught:
        model(start=str(path))
    told = str(caught.value)
    assert "stylegan2-ada-pytorch" in told and "G_ema.state_dict()" in told and "\n" not in told
    result = invoke("sample", path)
    assert result.exit_code == 3 and "stylegan2-ada-pytorch" in result.stderr


def test_the_distance_of_patches():
    one, other = pictures(8, 32), pictures(8, 32, seed=5)
    assert patch_distance(one, one.flip(0)) == 0
    assert 0 < patch_distance(one, other) < patch_distance(one, torch.zeros_like(one))
