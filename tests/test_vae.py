"""The variational autoencoders: their layers, the two terms of the loss, and why the literal form gives grey."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.errors import UsageError
from artcli.models.vae import DESIGNS, PRESETS, Config, Model, divergence
from tests.batches import assert_learns, batch, copies_of, pictures, seeded, train

quick = settings(deadline=None, max_examples=10)
TINY = {
    "strided": Config(size=32, width=2, latent=5),
    "pooled": Config("pooled", size=32, width=2, latent=5),
    "resized": Config("resized", size=64, width=2, latent=5, noise="fitted", warm_up=4),
}


def tiny(design="strided", classes=0, **changed):
    return seeded(lambda: Model(replace(TINY[design], **changed), classes))


def shapes(net):
    """(layer kind, side, channels) of the outputs of a net's convolutions, in order."""
    found = []
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    for layer in net:
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _, __, out: found.append((out.shape[2], out.shape[1])))
    return found


# --- the reports' nets ----------------------------------------------------------------------------------------------


def test_abstract_64_is_the_reports_net():
    model = Model(PRESETS["abstract-64"])
    down, up = shapes(model.encoder), shapes(model.decoder)
    assert model.reconstruct(pictures(1, 64)).shape == (1, 3, 64, 64)
    assert down == [(32, 32), (16, 64), (8, 128), (4, 256), (2, 512)]
    assert up == [(2, 512), (4, 256), (8, 128), (16, 64), (32, 32), (64, 32), (64, 3)]
    assert model.encode(pictures(1, 64)).shape == (1, 100)
    assert (model.config.beta, model.config.batch, model.config.lr) == (0.5, 100, 2e-4)


def test_abstract_128_is_the_reports_net():
    model = Model(PRESETS["abstract-128"])
    down, up = shapes(model.encoder), shapes(model.decoder)
    assert model.reconstruct(pictures(1, 128)).shape == (1, 3, 128, 128)
    assert down == [(128, 256), (64, 128), (32, 64), (16, 32), (8, 16)]  # each is pooled afterwards, the last to 4x4
    assert up == [
        (4, 16), (8, 32), (8, 32), (16, 64), (16, 64), (32, 128), (64, 256), (128, 64), (128, 32), (128, 16), (128, 3),
    ]  # fmt: skip


def test_conv_256():
    model = Model(replace(PRESETS["conv-256"], width=4))
    assert model.reconstruct(pictures(1, 256)).shape == (1, 3, 256, 256)


@pytest.mark.parametrize("design", DESIGNS)
@given(st.integers(1, 2), st.sampled_from([1, 3]), st.integers(1, 3))
@quick
def test_every_size_that_fits_works(design, times, channels, width):
    size = times * DESIGNS[design].factor
    model = Model(replace(TINY[design], size=size, channels=channels, width=width))
    made = model.generate([1, 2])
    assert made.shape == (2, channels, size, size) and made.min() >= 0 and made.max() <= 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 100}, "size has to be a multiple of 32 for these layers, not 100; 96 works"),
        ({"design": "pool"}, "design 'pool' is none of strided, pooled, resized. Did you mean 'pooled'?"),
        ({"noise": "learned"}, "noise 'learned' is none of fixed, fitted"),
        ({"beta": -0.5}, "beta has to be at least 0, not -0.5"),
        ({"literal": True, "noise": "fitted"}, "literal compares the plain form; it goes with noise=fixed"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises(UsageError) as caught:
        Config(**changed)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_conditional_needs_classes():
    with pytest.raises(UsageError, match="conditional needs pictures in class folders"):
        Model(Config(conditional=True))


# --- the loss -------------------------------------------------------------------------------------------------------


@given(st.floats(-3, 3), st.floats(-3, 3))
@quick
def test_the_divergence_is_what_sampling_finds(mean, log_variance):
    draws = mean + math.exp(log_variance / 2) * torch.randn(200_000, generator=torch.Generator().manual_seed(1))
    normal = torch.distributions.Normal
    ratio = normal(mean, math.exp(log_variance / 2)).log_prob(draws) - normal(0.0, 1.0).log_prob(draws)
    exact = divergence(torch.tensor([[mean]]), torch.tensor([[log_variance]])).item()
    assert exact == pytest.approx(ratio.mean().item(), abs=6 * ratio.std().item() / 200_000**0.5 + 1e-4)


def set_by_hand(model, mean=0.5, log_variance=-1.0, drawn=0.0):
    """A net with the same posterior for every picture, which draws the same number everywhere."""
    model.posterior.weight.data.zero_()
    half = model.config.latent
    model.posterior.bias.data[:half], model.posterior.bias.data[half:] = mean, log_variance
    last = [layer for layer in model.decoder if isinstance(layer, torch.nn.Conv2d)][-1]
    last.weight.data.zero_()
    last.bias.data.fill_(drawn)
    return model


NATS = 5 * (0.25 + math.exp(-1) - 1 + 1) / 2  # five latents of mean .5 and log variance -1
NUMBERS = 3 * 32 * 32


def loss_of(model, value=0.75, step=None):
    return next(model.train_step(batch(torch.full((4, 3, model.config.size, model.config.size), value))))[1].item()


def test_error_and_divergence_are_sums_and_means_over_the_batch():
    """Grey (0 of -1..1, .5 of 0..1) against 0.75: .5 away in -1..1, .25 in 0..1."""
    assert loss_of(set_by_hand(tiny())) == pytest.approx(NUMBERS * 0.25 + 0.5 * NATS, rel=1e-5)
    pooled = set_by_hand(tiny("pooled", beta=3.0))
    assert loss_of(pooled) == pytest.approx(NUMBERS * 0.0625 + 3 * NATS, rel=1e-5)


def test_the_literal_form_has_the_mean_error():
    assert loss_of(set_by_hand(tiny(literal=True))) == pytest.approx(0.25 + 0.5 * NATS, rel=1e-5)


def test_fitted_noise_is_a_likelihood():
    """Minus the log probability of the picture's numbers under the Gaussian, plus the divergence."""
    model = set_by_hand(tiny(noise="fitted", beta=1.0))
    model.variance.fill_(0.09)
    density = torch.distributions.Normal(0.0, 0.3).log_prob(torch.tensor(0.5)).item()
    assert loss_of(model) == pytest.approx(-NUMBERS * density + NATS, rel=1e-5)


def test_fitted_noise_follows_the_error():
    model = set_by_hand(tiny(noise="fitted"))
    model.variance.fill_(0.01)
    loss_of(model)
    model.after_step(0)
    assert model.variance.item() == pytest.approx(0.98 * 0.01 + 0.02 * 0.25, rel=1e-5)


def test_the_weight_of_the_divergence_warms_up():
    model = set_by_hand(tiny(warm_up=4, beta=1.0))
    found = []
    for step in range(6):
        found.append(loss_of(model) - NUMBERS * 0.25)
        model.after_step(step)
    assert found == pytest.approx([NATS * part for part in (0.25, 0.5, 0.75, 1, 1, 1)], rel=1e-2)
    short = set_by_hand(tiny(warm_up=1000, beta=1.0))
    short.learning_rate(0, 4)  # a run of four steps has two to warm up in
    assert loss_of(short) - NUMBERS * 0.25 == pytest.approx(NATS / 2, rel=1e-2)
    images = torch.full((4, 3, 32, 32), 0.75)
    fresh = set_by_hand(tiny(warm_up=4, beta=1.0)).validate(batch(images))
    assert fresh["loss"].item() == pytest.approx(NUMBERS * 0.25 + NATS, rel=1e-4)


def test_where_the_warm_up_stands_is_saved():
    model, other = tiny(warm_up=4), tiny(warm_up=4)
    train(model, pictures(4, 32), 3)
    other.load_state_dict(model.state_dict())
    assert int(other.done) == 3


def test_the_draw_reaches_the_encoder():
    """The gradient goes through the random latents to the mean and to the deviation (the reparametrisation)."""
    model = tiny(beta=0.0)
    next(model.train_step(batch(pictures(4, 32))))[1].backward()
    mean, deviation = model.posterior.weight.grad.chunk(2)
    assert mean.abs().sum() > 0 and deviation.abs().sum() > 0


def test_the_gradient_of_the_divergence():
    mean, log_variance = (torch.randn(2, 3, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(divergence, (mean, log_variance))


@pytest.mark.parametrize("design", DESIGNS)
def test_training_lowers_the_error(design):
    images = pictures(8, TINY[design].size)

    def error(model):
        """As training sees it: the running statistics of BatchNorm come later."""
        next(model.train().train_step(batch(images, seed=99)))
        return model.metrics["error"]

    model = assert_learns(lambda: Model(replace(TINY[design], lr=5e-3)), lambda model: train(model, images, 50), error)
    assert not model.warnings()


def test_the_literal_form_collapses_and_says_so():
    """The same net and data: summed, the latents say something; with the mean error, nothing is left of them."""
    images, said, differs = pictures(8, 32), {True: [], False: []}, {True: [], False: []}
    for seed in range(3):
        for literal in (True, False):
            model = seeded(lambda literal=literal: Model(replace(TINY["strided"], lr=1e-2, literal=literal)), seed)
            train(model, images, 40)
            said[literal].append(model.metrics["kl"])
            differs[literal].append(model.generate(range(8)).std(0).mean())
            lines = model.warnings()
            assert len(lines) == literal
            if literal:
                assert model.metrics["active"] == 0
                assert "posterior collapse" in lines[0] and "train without literal" in lines[0]
    assert max(said[True]) < min(said[False]) and max(differs[True]) < min(differs[False])


def test_nothing_to_warn_of_before_the_first_step():
    assert tiny().warnings() == [] and tiny().metrics == {}


def test_noise_and_labels_do_not_depend_on_micro_batches():
    images, labels = pictures(6, 32), torch.tensor([0, 1, 2, 0, 1, 2])
    whole = batch(images, labels)
    model = tiny(classes=3, conditional=True).eval()  # in evaluation mode, as BatchNorm does depend on them
    parts = whole.split(3)
    one = next(model.train_step(whole))[1].item()
    several = [next(model.train_step(part))[1].item() for part in parts]
    assert sum(several) / 3 == pytest.approx(one, rel=1e-5)


def test_half_precision():
    model = tiny("resized")
    with torch.autocast("cpu", torch.bfloat16):
        name, loss = next(model.train_step(batch(pictures(2, 64))))
    loss.backward()
    assert name == "vae" and loss.dtype == torch.float32 and loss.isfinite()


def test_an_extreme_start_does_not_overflow():
    assert math.isfinite(loss_of(set_by_hand(tiny(), log_variance=500.0)))


# --- classes --------------------------------------------------------------------------------------------------------


def test_the_class_reaches_the_picture():
    """Red and blue squares: the decoder is told which, and what latents say is dear."""
    images = torch.zeros(8, 3, 32, 32)
    images[:4, 0], images[4:, 2] = 1.0, 1.0
    labels = torch.tensor([0] * 4 + [1] * 4)
    settings = replace(TINY["strided"], conditional=True, lr=2e-2, width=4, beta=50.0)

    def wrong(model):
        red, blue = (model.generate(range(16), torch.full((16,), c)).mean((0, 2, 3)) for c in (0, 1))
        return {"red": red[2] - red[0], "blue": blue[0] - blue[2]}

    assert_learns(lambda: Model(settings, 2), lambda model: train(model, images, 40, labels), wrong)


def test_labels_are_optional_everywhere():
    model = tiny(classes=3, conditional=True)
    images, labels = pictures(2, 32), torch.tensor([2, 0])
    assert model.encode(images).shape == model.encode(images, labels).shape == (2, 5)
    assert not torch.allclose(model.encode(images), model.encode(images, labels))
    assert model.reconstruct(images).shape == model.reconstruct(images, labels).shape == images.shape
    assert model.generate([1]).shape == (1, 3, 32, 32)


def test_classes_make_no_difference_to_an_unconditional_model():
    model = tiny(classes=3)
    assert model.classes == 0
    torch.testing.assert_close(model.generate([1], torch.tensor([2])), model.generate([1]))


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_a_sample_depends_on_its_own_seed_only(design):
    model = tiny(design)
    together = model.train().generate([3, 4, 5])  # in training mode BatchNorm would mix them
    assert model.training
    torch.testing.assert_close(model.generate([4])[0], together[1], atol=1e-5, rtol=1e-4)
    assert not torch.equal(together[0], together[1])


def test_looking_at_a_model_does_not_change_it():
    model = tiny().train()
    before = copies_of(model)
    images = pictures(3, 32)
    model.generate([1]), model.reconstruct(images), model.validate(batch(images))
    after = copies_of(model)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_truncation_is_the_distance_from_the_middle():
    model = tiny()
    torch.testing.assert_close(model.latents([1, 2], 0.5), model.latents([1, 2]) / 2)
    assert model.latents([1], 0.0).eq(0).all()


def test_encoding_gives_the_mean_and_nothing_random():
    model, images = set_by_hand(tiny()), pictures(2, 32)
    torch.testing.assert_close(model.encode(images), torch.full((2, 5), 0.5))


def test_blending_keeps_the_length():
    model = tiny()
    start, end = model.latents([1]), model.latents([2])
    expected = (start.norm() + end.norm()) / 2
    torch.testing.assert_close(model.blend(start, end, 0.5).norm(), expected, atol=1e-3, rtol=1e-3)


def test_a_black_and_a_white_picture_are_in_range():
    """What the decoder draws in -1..1 comes out in 0..1."""
    model = set_by_hand(tiny(), drawn=20.0)
    assert model.generate([1]).eq(1).all()
    assert set_by_hand(model, drawn=-20.0).generate([1]).eq(0).all()
