"""The autoencoders: the reports' layers to the parameter, their losses, and what is drawn from their latents."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.errors import UsageError
from artcli.models.autoencoder import DESIGNS, PRESETS, Config, Model
from tests.batches import assert_learns, batch, pictures, seeded, train

quick = settings(deadline=None, max_examples=12)
TINY = {
    "pairs": Config("pairs", size=16, width=4),
    "narrow": Config("narrow", size=32, width=4, loss="mse"),
    "strided": Config("strided", size=32, width=4, loss="mse"),
    "vector": Config("vector", size=16, width=4, latent=6, dropout=0.2, loss="mse"),
}


def tiny(design="vector", **changed):
    return seeded(lambda: Model(replace(TINY[design], **changed)))


# --- the reports' nets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "count"), [("flowers-1", 3_988), ("flowers-2", 168_931), ("cifar10", 131_059)])
def test_as_many_parameters_as_the_report_has(preset, count):
    assert sum(p.numel() for p in Model(PRESETS[preset]).parameters()) == count


@pytest.mark.parametrize(
    ("preset", "numbers"), [("cifar10", 1024), ("flowers-1", 64), ("flowers-2", 2048), ("monet", 256)]
)
def test_a_picture_goes_through_and_comes_back(preset, numbers):
    config = PRESETS[preset]
    model = seeded(lambda: Model(config))
    images = pictures(2, config.size)
    found = model.encode(images)
    assert found.shape == (2, numbers)
    again = model.decode(found)
    assert again.shape == images.shape and again.min() >= 0 and again.max() <= 1
    torch.testing.assert_close(model.reconstruct(images), again)


def test_the_first_preset_is_the_default():
    assert next(iter(PRESETS.values())) == Config()


@pytest.mark.parametrize("latent", [1, 16, 300])
def test_monet_has_several_latent_sizes(latent):
    model = Model(replace(PRESETS["monet"], latent=latent, width=4))
    assert model.encode(pictures(1, 64)).shape == (1, latent)


@pytest.mark.parametrize("design", DESIGNS)
@given(st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 6))
@quick
def test_every_size_that_fits_works(design, times, channels, width):
    size = times * DESIGNS[design].factor
    model = Model(replace(TINY[design], size=size, channels=channels, width=width))
    assert model.reconstruct(pictures(2, size, channels)).shape == (2, channels, size, size)
    assert model.generate([5]).shape == (1, channels, size, size)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 50}, "size has to be a multiple of 8"),
        ({"design": "pears"}, "design 'pears' is none of pairs, narrow, strided, vector. Did you mean 'pairs'?"),
        ({"loss": "l1"}, "loss 'l1' is none of bce, mse"),
        ({"latent": 5}, "latent is the length of design vector's latents"),
        ({"design": "vector"}, "latent is the length of design vector's latents"),
        ({"lr": -1.0}, "lr has to be above 0"),
        ({"dropout": 1.0}, "dropout has to be at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises(UsageError) as caught:
        Config(**changed)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


# --- losses ---------------------------------------------------------------------------------------------------------


def with_logit(model, value):
    """The last layer ignores the picture: the same logit everywhere."""
    last = model.decoder[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, value)
    return model


def test_losses_against_numbers_by_hand():
    images = torch.full((2, 3, 16, 16), 0.25)
    model = with_logit(tiny("pairs"), math.log(3))  # sigmoid: 0.75
    expected = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25))
    losses = model.validate(batch(images))
    assert losses["bce"].item() == pytest.approx(expected, rel=1e-5) and losses["loss"] == losses["bce"]
    assert losses["mse"].item() == pytest.approx(0.25, rel=1e-5)
    _, loss = next(model.train_step(batch(images)))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_squared_error_where_the_configuration_says_so():
    losses = with_logit(tiny("narrow"), math.log(3)).validate(batch(torch.full((1, 3, 32, 32), 0.25)))
    assert losses["loss"].item() == pytest.approx(0.25, rel=1e-5)


def test_the_best_cross_entropy_is_that_of_the_picture_itself():
    """0.56 in the report cannot be a squared error: this is the floor that a loss of BCE has."""
    images = torch.full((1, 3, 16, 16), 0.3)
    loss = with_logit(tiny("pairs"), math.log(0.3 / 0.7)).validate(batch(images))["bce"].item()
    assert loss == pytest.approx(-(0.3 * math.log(0.3) + 0.7 * math.log(0.7)), rel=1e-5)


@pytest.mark.parametrize("design", ["pairs", "narrow", "strided", "vector"])
def test_the_gradient_is_the_slope_of_the_loss(design):
    """In double precision, of the loss along a random direction through all weights."""
    model = tiny(design, channels=1).double()
    images = pictures(2, model.config.size, 1).double()

    def loss():
        return next(model.train_step(batch(images)))[1]

    loss().backward()
    direction = [torch.randn(p.shape, generator=torch.Generator().manual_seed(3)).double() for p in model.parameters()]
    slope = sum((p.grad * d).sum() for p, d in zip(model.parameters(), direction, strict=True)).item()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(model.parameters(), direction, strict=True):
                p += sign * 1e-6 * d
            values.append(loss().item())
            for p, d in zip(model.parameters(), direction, strict=True):
                p -= sign * 1e-6 * d
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("design", DESIGNS)
def test_training_lowers_the_loss(design):
    images = pictures(8, TINY[design].size)
    assert_learns(
        lambda: Model(replace(TINY[design], lr=5e-3)),
        lambda model: train(model, images, 30),
        lambda model: model.validate(batch(images))["loss"],
    )


def test_micro_batches_come_to_the_same_weights():
    images = pictures(6)
    whole, split = tiny(), tiny()
    train(whole, images, 5)
    train(split, images, 5, parts=3)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(split.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)


def test_dropout_leaves_latents_out_and_only_in_training():
    images = pictures(2)
    model = tiny(dropout=0.5)
    losses = {next(model.train_step(batch(images, seed=seed)))[1].item() for seed in range(4)}
    assert len(losses) == 4
    assert model.validate(batch(images, seed=1))["loss"] == model.validate(batch(images, seed=2))["loss"]


def test_half_precision():
    model = tiny("pairs")
    with torch.autocast("cpu", torch.bfloat16):
        name, loss = next(model.train_step(batch(pictures(2))))
    loss.backward()
    assert name == "autoencoder" and loss.dtype == torch.float32 and loss.isfinite()


# --- samples --------------------------------------------------------------------------------------------------------


def fitted(design, images):
    model = tiny(design)
    model.fit(iter([batch(part) for part in images.split(16)]))
    return model


@pytest.mark.parametrize("design", ["pairs", "vector"])
def test_random_latents_are_distributed_as_those_of_the_pictures(design):
    images = pictures(300)
    model = fitted(design, images)
    seen, drawn = model.encode(images), model.latents(range(2000))
    scale = seen.std(0).mean().item()
    torch.testing.assert_close(drawn.mean(0), seen.mean(0), atol=0.15 * scale, rtol=0.02)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(seen.T), atol=0.2 * scale**2, rtol=0.3)


def test_a_sigmoid_latent_stays_in_its_range():
    drawn = fitted("vector", pictures(40)).latents(range(50), truncation=9.0)
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_what_was_fitted_is_saved():
    model, other = fitted("vector", pictures(40)), tiny()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.latents([1, 2]), model.latents([1, 2]), rtol=0, atol=0)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_sample_depends_on_its_own_seed_only(design):
    model = fitted(design, pictures(20, TINY[design].size))
    together = model.generate([3, 4, 5])
    torch.testing.assert_close(model.generate([4])[0], together[1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1])


def test_without_variety_every_sample_is_the_middle():
    model = fitted("vector", pictures(20))
    first, second = model.generate([1, 2], truncation=0.0)
    torch.testing.assert_close(first, second)


def test_blending_is_straight():
    model = tiny()
    start, end = model.latents([1]), model.latents([2])
    torch.testing.assert_close(model.blend(start, end, 0.25), 0.75 * start + 0.25 * end)
