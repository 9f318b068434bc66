"""The VQ-VAE: its codebook against numbers by hand, its prior, and samples that depend on their seed alone."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artcli.errors import UsageError
from artcli.models.vqvae import PRESETS, Config, Model
from artcli.nn.prior import GridPrior, choose
from artcli.nn.quantise import VectorQuantiser
from tests.batches import assert_learns, batch, copies_of, pictures, seeded, train

quick = settings(deadline=None, max_examples=15)
TINY = Config(size=16, width=32, residuals=1, codes=16, code_width=4, prior_width=16, prior_layers=2, prior_heads=2)


def tiny(classes=0, **changed):
    return seeded(lambda: Model(replace(TINY, **changed), classes))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=rng(seed), dtype=dtype)


# --- the codebook ---------------------------------------------------------------------------------------------------


def quantiser(codes=8, width=3, decay=0.99):
    return seeded(lambda: VectorQuantiser(codes, width, decay))


def line(*codes, decay=0.9):
    """A codebook of numbers, whose codes have been in use."""
    book = quantiser(len(codes), 1, decay)
    book.codebook.data.copy_(torch.tensor(codes)[:, None])
    book.counts.fill_(2.0)
    book.steps.fill_(1e6)  # past the start, where it follows faster
    if decay:
        book.sums.copy_(2 * book.codebook)
    return book


def values(*numbers):
    """One picture (1, 1, 1, n)."""
    return torch.tensor(numbers).view(1, 1, 1, -1)


def observe(book, features, seed=0):
    book.observe(features, book.nearest(features), 0, len(features), rng(seed))


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99))
@quick
def test_the_nearest_code_is_the_nearest(codes, width, count, side, seed):
    book, features = quantiser(codes, width), noise(count, width, side, side + 1, seed=seed)
    distances = (features[:, None] - book.codebook[None, :, :, None, None]).norm(dim=2)
    chosen = book.nearest(features)
    assert chosen.shape == (count, side, side + 1)
    torch.testing.assert_close(distances.gather(1, chosen[:, None])[:, 0], distances.min(1).values)
    assert torch.equal(book.look_up(chosen).movedim(1, -1), book.codebook[chosen])


def test_many_distances_are_found_in_pieces(monkeypatch):
    features = noise(3, 3, 5, 5)
    whole = quantiser().nearest(features)
    monkeypatch.setattr("artcli.nn.quantise._MOST_NUMBERS", 32)
    assert torch.equal(quantiser().nearest(features), whole)


def test_codes_that_bf16_cannot_tell_apart():
    book = line(1.0, 1.002)
    with torch.autocast("cpu", torch.bfloat16):
        assert book.nearest(values(1.0002, 1.0018)).flatten().tolist() == [0, 1]


@pytest.mark.parametrize("decay", [0.99, 0.0])
def test_the_gradient_goes_straight_through(decay):
    features = noise(2, 3, 2, 2).requires_grad_()
    weights = noise(2, 3, 2, 2, seed=1)
    book = quantiser(decay=decay)
    vectors, codes = book(features)
    torch.testing.assert_close(vectors, book.look_up(codes))
    (vectors * weights).sum().backward()
    assert torch.equal(features.grad, weights) and book.codebook.grad is None


def test_codes_move_to_the_mean_of_what_chose_them():
    """By hand, with decay .9: counts .9 * 2 + .1 * n, sums .9 * 2 * e + .1 * sum, code = sum / smoothed count."""
    book = line(0.0, 10.0)
    observe(book, values(1.0, 2.0, 12.0))  # two choose 0, one chooses 10
    book.update()
    counts, sums = [0.9 * 2 + 0.1 * 2, 0.9 * 2 + 0.1 * 1], [0.9 * 0 + 0.1 * 3, 0.9 * 20 + 0.1 * 12]
    total = sum(counts)
    smoothed = [(n + 1e-5) / (total + 2 * 1e-5) * total for n in counts]
    assert book.counts.tolist() == pytest.approx(counts)
    assert book.sums.flatten().tolist() == pytest.approx(sums)
    assert book.codebook.flatten().tolist() == pytest.approx([s / n for s, n in zip(sums, smoothed, strict=True)])


def test_codes_settle_at_the_means():
    book = line(0.0, 10.0)
    for _ in range(200):
        observe(book, values(1.0, 2.0, 9.0, 13.0))
        book.update()
    assert book.codebook.flatten().tolist() == pytest.approx([1.5, 11.0], rel=1e-4)


def test_the_first_step_fills_the_codebook_with_features():
    book, features = quantiser(), noise(4, 3, 4, 4, seed=5)
    observe(book, features)
    book.update()
    rows = features.movedim(1, -1).flatten(0, 2)
    found = (book.codebook[:, None] == rows[None]).all(2)
    assert found.any(1).all() and (found.sum(0) <= 1).all()  # each code another feature


def test_dead_codes_get_the_place_of_a_feature():
    book = line(0.0, 10.0, 5000.0)
    seen = [1.0, 2.0, 9.0, 13.0]
    for step in range(60):
        observe(book, values(*seen), seed=step)
        book.update()
    assert book.codebook[2].item() < 20 and book.counts[2] > 0.1
    assert book.use()["codes"] == 3


def test_the_loss_of_either_form_by_hand():
    """Features 1 and 8 beside codes 0 and 10: squared distances 1 and 4, each pulled at one end or at both."""
    features, codes = values(1.0, 8.0).requires_grad_(), torch.tensor([[[0, 1]]])
    for decay, at_the_codes in ((0.9, None), (0.0, [-1.0, 2.0])):
        features.grad = None
        book = line(0.0, 10.0, decay=decay)
        loss = book.loss(features, codes, 0.25)
        loss.backward()
        assert loss.item() == pytest.approx((0.25 if decay else 1.25) * (1 + 4) / 2)
        assert features.grad.flatten().tolist() == pytest.approx([0.25 * 1, 0.25 * -2])
        found = book.codebook.grad
        assert at_the_codes is None if found is None else found.flatten().tolist() == pytest.approx(at_the_codes)


def test_codes_that_learn_by_gradient_settle_at_the_means_and_dead_ones_revive():
    book = line(0.0, 10.0, 5000.0, decay=0.0)
    optimizer = torch.optim.Adam(book.parameters(), 0.3)
    seen, revived = values(1.0, 2.0, 9.0, 13.0), 0.0
    for step in range(400):
        optimizer.zero_grad()
        book.loss(seen, book.nearest(seen), 0.25).backward()
        optimizer.step()
        observe(book, seen, seed=step)
        book.update()
        revived += book.use()["revived"]
    assert revived >= 1 and book.use() == pytest.approx({"codes": 3, "perplexity": 2 * 2**0.5, "revived": 0})
    assert (seen[0, 0, 0] - book.look_up(book.nearest(seen))[0, 0, 0]).abs().max() < 2.1


def test_a_model_learns_codes_by_gradient():
    model, images = tiny(lr=5e-3, decay=0.0), pictures(8)
    losses = train(model, images, 40)
    assert losses[-1]["vqvae"] < 0.8 * losses[5]["vqvae"] and model.metrics["codes"] > 4


def test_a_code_that_is_in_use_is_left_alone():
    book = line(0.0, 10.0)
    observe(book, values(0.0, 10.0))
    book.update()
    assert book.codebook.flatten().tolist() == pytest.approx([0.0, 10.0], abs=1e-3)


@pytest.mark.parametrize("sizes", [(6,), (3, 3), (1, 2, 3)])
def test_parts_of_a_batch_move_the_codes_as_the_whole_does(sizes):
    """Micro-batches and processes alike: sums of parts, and one choice of features for dead codes."""
    features = noise(6, 3, 2, 2)
    whole, parts = quantiser(), quantiser()
    observe(whole, features, seed=7)
    first = 0
    for part in features.split(sizes):
        parts.observe(part, parts.nearest(part), first, 6, rng(7))
        first += len(part)
    for book in (whole, parts):
        book.update()
    for name, tensor in copies_of(whole).items():
        torch.testing.assert_close(copies_of(parts)[name], tensor, atol=1e-6, rtol=1e-5)


def test_processes_agree():
    """Two processes that exchange sums end with the codebook of one."""
    features = noise(6, 3, 2, 2)
    whole = quantiser()
    observe(whole, features, seed=7)
    whole.update()
    books = quantiser(), quantiser()
    for book, first, part in zip(books, (0, 4), features.split((4, 2)), strict=True):
        book.observe(part, book.nearest(part), first, 6, rng(7))
    totals = [sum(pair) for pair in zip(*(book._parts.take() for book in books), strict=True)]
    for book in books:
        book._parts.add(0, 1, *(torch.zeros_like(t) for t in totals))
        exchange = iter(totals)
        book.update(lambda tensor, exchange=exchange: next(exchange))
        torch.testing.assert_close(book.codebook, whole.codebook, atol=1e-6, rtol=1e-5)


def test_use_of_the_codes():
    book = line(0.0, 10.0, 20.0, 30.0)
    assert book.use() == {}
    observe(book, values(0.0, 0.0, 10.0, 10.0))
    book.update()
    assert book.use() == pytest.approx({"codes": 2.0, "perplexity": 2.0, "revived": 0.0})


def test_fewer_features_than_codes():
    book = quantiser(codes=50)
    observe(book, noise(1, 3, 2, 2))
    book.update()
    assert book.codebook.isfinite().all() and len(book.codebook.unique(dim=0)) == 4


# --- the prior ------------------------------------------------------------------------------------------------------


def prior(classes=0, side=3, codes=5):
    model = seeded(lambda: GridPrior(codes, side, 8, 2, 2, classes))
    with torch.no_grad():  # as far from uniform as a trained one
        for parameter in model.parameters():
            parameter.copy_(parameter + 0.3 * noise(*parameter.shape, seed=parameter.numel()))
    return model


def grids(count, side=3, codes=5, seed=0):
    return torch.randint(codes, (count, side, side), generator=rng(seed))


@given(st.integers(0, 8), st.integers(0, 9))
@quick
def test_a_place_sees_only_what_comes_before_it(place, seed):
    model, codes = prior(), grids(1, seed=seed)
    label = torch.zeros(1, dtype=torch.long)
    other = codes.clone().flatten(1)
    other[:, place:] = (other[:, place:] + 1) % 5
    before, after = model(codes, label), model(other.view(1, 3, 3), label)
    torch.testing.assert_close(before[:, : place + 1], after[:, : place + 1], atol=1e-5, rtol=1e-5)
    assert place == 8 or not torch.allclose(before[:, place + 1 :], after[:, place + 1 :])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_drawing_step_by_step_is_the_whole_forward_pass(side):
    """The likeliest code at every place, with keys and values kept, is what the training pass finds likeliest."""
    model = prior(side=side)
    label = torch.zeros(2, dtype=torch.long)
    drawn = model.sample([1, 2], label, temperature=0.0)
    assert drawn.shape == (2, side, side)
    assert torch.equal(model(drawn, label).argmax(2).view_as(drawn), drawn)


def test_hidden_codes_are_not_seen():
    model, codes, label = prior(), grids(2), torch.zeros(2, dtype=torch.long)
    hidden = torch.zeros(2, 3, 3, dtype=torch.bool)
    hidden[:, 0, 1] = True
    other = codes.clone()
    other[:, 0, 1] = (other[:, 0, 1] + 1) % 5
    torch.testing.assert_close(model(codes, label, hidden), model(other, label, hidden))
    assert not torch.allclose(model(codes, label), model(other, label))


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=5), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
@quick
def test_a_grid_depends_on_its_own_seed_only(seeds, temperature):
    model = prior(classes=2)
    labels = torch.arange(len(seeds)) % 3
    together = model.sample(seeds, labels, temperature)
    for number, seed in enumerate(seeds):
        alone = model.sample([seed], labels[number : number + 1], temperature)
        assert torch.equal(alone[0], together[number])


def test_codes_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([0.1, 0.2, 0.0, 0.7]).log().expand(20_000, -1)
    chances = torch.rand(20_000, generator=rng())
    parts = choose(logits, chances, 1.0).bincount(minlength=4) / 20_000
    assert parts.tolist() == pytest.approx([0.1, 0.2, 0.0, 0.7], abs=0.02) and parts[2] == 0
    sharp = choose(logits, chances, 0.5).bincount(minlength=4) / 20_000
    assert sharp.tolist() == pytest.approx([0.01 / 0.54, 0.04 / 0.54, 0.0, 0.49 / 0.54], abs=0.02)
    assert choose(logits[:3], chances[:3], 0.0).tolist() == [3, 3, 3]


@pytest.mark.parametrize(("chance", "code"), [(0.0, 1), (1.0 - 1e-7, 2)])
def test_the_ends_of_chance(chance, code):
    assert choose(torch.tensor([[-math.inf, 0.0, 0.0]]), torch.tensor([chance]), 1.0).item() == code


# --- the model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset):
    config = PRESETS[preset]
    model = Model(config)
    images = pictures(1, config.size)
    assert config.codes == 512 and config.commitment == 0.25 and config.side == 16
    assert model.encode(images).shape == (1, config.code_width * 16 * 16)
    assert model.reconstruct(images).shape == images.shape


@given(st.sampled_from([2, 4, 8]), st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(0, 2))
@quick
def test_every_size_that_fits_works(factor, times, channels, width, residuals):
    size = factor * times
    model = Model(replace(TINY, size=size, factor=factor, channels=channels, width=width, residuals=residuals))
    made = model.generate([1, 2])
    assert made.shape == (2, channels, size, size) and made.min() >= 0 and made.max() <= 1
    assert model.reconstruct(made).shape == made.shape


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 30}, "size has to be a multiple of 4 for these layers, not 30; 32 works"),
        ({"factor": 6}, "factor has to be 2, 4, 8 or a further power of two, not 6"),
        ({"factor": 1}, "factor has to be 2, 4, 8"),
        ({"codes": 0}, "codes has to be above 0"),
        ({"decay": 1.0}, "decay has to be at least 0 and below 1"),
        ({"prior_heads": 3}, "prior_width 128 cannot be shared by 3 prior_heads"),
    ],
)
def test_settings_that_cannot_be(changed, message):
    with pytest.raises(UsageError) as caught:
        Config(**changed)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def steps_of(model, whole):
    return dict(model.train_step(whole))


def test_the_loss_by_hand():
    """Grey against 0.75, and features of 1 beside the only code, 0."""
    model = tiny(codes=1)
    for net, value in ((model.encoder, 1.0), (model.decoder, 0.0)):
        net[-1].weight.data.zero_()
        net[-1].bias.data.fill_(value)
    model.quantiser.codebook.zero_()
    images = torch.full((2, 3, 16, 16), 0.75)
    losses = steps_of(model, batch(images))
    assert losses["vqvae"].item() == pytest.approx(0.0625 / 0.06 + 0.25 * 1.0, rel=1e-5)
    assert losses["prior"].item() == 0  # the only code there is
    assert model.validate(batch(images))["error"].item() == pytest.approx(0.0625, rel=1e-5)


def test_the_commitment_pulls_the_features_and_not_the_codes():
    model = tiny()
    features = noise(2, 4, 4, 4).requires_grad_()
    vectors, codes = model.quantiser(features)
    model._loss(torch.zeros(()), features, codes).backward()
    torch.testing.assert_close(features.grad, 0.25 * 2 * (features - vectors).detach() / features.numel())
    assert not model.quantiser.codebook.requires_grad


def test_the_gradient_is_the_slope_of_the_loss():
    """In double precision, for weights behind the choice of codes, which has no slope."""
    model = tiny(channels=1, width=4).double()
    images = pictures(2, 16, 1).double()
    vectors, _ = model.quantiser(model._features(images))

    def picture(weight):
        return torch.func.functional_call(model.decoder, {"0.weight": weight}, (vectors.detach(),))

    assert torch.autograd.gradcheck(picture, (model.decoder[0].weight,), nondet_tol=1e-12)


def test_each_loss_reaches_its_own_weights():
    model = tiny()
    losses = steps_of(model, batch(pictures(2)))
    optimizers = model.optimizers()
    mine = {name: [p for g in o.param_groups for p in g["params"]] for name, o in optimizers.items()}
    assert sum(map(len, mine.values())) == len(list(model.parameters()))
    for name, other in (("vqvae", "prior"), ("prior", "vqvae")):
        model.zero_grad()
        losses[name].backward()
        assert all(p.grad is None for p in mine[other])
        assert any(p.grad.abs().sum() > 0 for p in mine[name])


def test_a_fresh_prior_knows_nothing():
    assert tiny().validate(batch(pictures(4)))["prior"].item() == pytest.approx(math.log(16), abs=0.05)


def test_training_lowers_both_losses():
    images = pictures(8)

    def measure(model):
        found = model.validate(batch(images))
        return {name: found[name] for name in ("error", "prior")}

    model = assert_learns(lambda: Model(replace(TINY, lr=5e-3)), lambda model: train(model, images, 50), measure)
    assert model.metrics["codes"] > 1 and model.metrics["perplexity"] > 1 and model.metrics["error"] > 0
    assert not model.warnings()


def test_training_is_the_same_every_time_and_in_micro_batches():
    images = pictures(6)
    runs = [tiny() for _ in range(3)]
    for model, parts in zip(runs, (1, 1, 3), strict=True):
        train(model, images, 4, parts=parts)
    for name, tensor in runs[0].state_dict().items():
        assert torch.equal(runs[1].state_dict()[name], tensor), name
        torch.testing.assert_close(runs[2].state_dict()[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


def test_few_codes_are_worth_a_warning():
    model = tiny(codes=64)
    assert model.warnings() == []
    train(model, torch.full((2, 3, 16, 16), 0.5), 8)
    (line,) = model.warnings()
    assert "of 64 codes are in use" in line and "\n" not in line


def test_half_precision():
    model = tiny()
    losses = []
    with torch.autocast("cpu", torch.bfloat16):
        for _, loss in model.train_step(batch(pictures(2))):
            losses.append(loss)
    for loss in losses:
        loss.backward()
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses)
    model.after_step(0)
    assert model.quantiser.codebook.dtype == torch.float32


def test_the_memory_format_makes_no_difference():
    images = pictures(2)
    plain, last = tiny(), tiny().to(memory_format=torch.channels_last)
    for model, form in ((plain, torch.contiguous_format), (last, torch.channels_last)):
        train(model, images.to(memory_format=form), 2)
    torch.testing.assert_close(last.encode(images), plain.encode(images), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(last.reconstruct(images), plain.reconstruct(images), atol=1e-3, rtol=1e-3)


def test_blending_is_straight_and_what_it_gives_can_be_decoded():
    model = tiny()
    start, end = model.encode(pictures(2)).split(1)
    half = model.blend(start, end, 0.5)
    torch.testing.assert_close(half, (start + end) / 2)
    assert model.decode(half).shape == (1, 3, 16, 16)
    assert not hasattr(model, "latents")


@pytest.mark.parametrize("truncation", [0.5, 1.0])
def test_a_sample_depends_on_its_own_seed_only(truncation):
    model = tiny()
    train(model, pictures(8), 10)
    together = model.generate([3, 4, 5], truncation=truncation)
    torch.testing.assert_close(model.generate([4], truncation=truncation)[0], together[1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[2])


def test_classes_are_learned():
    """Red and blue squares: the prior draws the class that is asked for, and either when none is."""
    images = torch.zeros(8, 3, 16, 16)
    images[:4, 0], images[4:, 2] = 1.0, 1.0
    labels = torch.tensor([0] * 4 + [1] * 4)

    def wrong(model):
        red, blue = (model.generate(range(4), torch.full((4,), c), 0.5).mean((0, 2, 3)) for c in (0, 1))
        return {"red": red[2] - red[0], "blue": blue[0] - blue[2]}

    settings = replace(TINY, lr=5e-3, prior_lr=5e-3)
    model = assert_learns(lambda: Model(settings, 2), lambda model: train(model, images, 60, labels), wrong)
    assert model.generate([1]).shape == (1, 3, 16, 16)
