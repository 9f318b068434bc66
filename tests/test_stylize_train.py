"""The nets of stylize that are trained: a slim VGG from a teacher, and AdaIN's decoder."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from artcli.errors import UsageError
from artcli.models import adain, vgg_slim
from artcli.nn import adain as adain_nets
from artcli.nn import fields
from artcli.nn.features import FeatureNet, slim_layers
from artcli.pretrained import adain as adain_files
from artcli.pretrained import feature_nets
from tests.batches import assert_learns, batch, pictures, seeded, train, train_step
from tests.conftest import photograph
from tests.test_stylize_run import painting, weights_file

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("teacher") / "wide.safetensors", (8, 8, 12, 12, 12))


@pytest.fixture
def slim(teacher):
    config = vgg_slim.Config(size=64, crop=64, widths=(4, 4, 6, 6, 6), teacher=str(teacher), batch=4, lr=5e-3)
    return seeded(lambda: vgg_slim.Model(config))


@pytest.fixture
def painter(teacher, folder):
    (folder / "paintings").mkdir()
    for number, colours in enumerate((((30, 40, 120), (240, 200, 60)), ((200, 30, 30), (250, 120, 90)))):
        painting(folder / "paintings" / f"{number}.png", colours=colours)
    config = adain.Config(
        size=64, crop=32, net=str(teacher), styles="paintings", widths=(12, 12, 8, 8), batch=4, lr=3e-3, inversion=0
    )
    return seeded(lambda: adain.Model(config))


def noisy(count, size=64):
    """Pictures whose left and right halves differ in colour and in grain."""
    rng = torch.Generator().manual_seed(0)
    grain = torch.rand(count, 3, size, size, generator=rng) * torch.linspace(0.05, 0.5, size)
    return (0.6 * pictures(count, size) + grain).clamp(0, 1)


# --- vgg-slim -------------------------------------------------------------------------------------------------------


def test_it_learns_the_teachers_features_and_distances(slim):
    images = noisy(4)

    def measure(model):
        return {
            name: error for name, error in model.validate(batch(images)).items() if name in ("features", "distances")
        }

    assert_learns(lambda: vgg_slim.Model(slim.config), lambda model: train(model, images, 30), measure)


def test_pictures_are_driven_to_the_style_of_their_other_half(slim):
    def apart(images):
        found = slim.net(images, vgg_slim.STYLE)
        return torch.stack([vgg_slim._halves_apart(found[tap]) for tap in vgg_slim.STYLE]).sum(0)

    images = noisy(4)
    driven = slim._driven(images.clone())
    with torch.no_grad():
        assert (apart(driven) < apart(images) - 0.1).all()
    assert torch.equal(driven[..., 32:], images[..., 32:])
    moved = (driven - images)[..., :32].abs()
    assert 0 < moved.max() <= slim.config.driven * slim.config.stride + 1e-6
    torch.testing.assert_close(slim._driven(images[1:2].clone()), driven[1:2], atol=1e-6, rtol=0)


def test_a_run_goes_on_from_a_finished_net(slim, tmp_path):
    train(slim, noisy(4), 2)
    slim.export(tmp_path)
    again = vgg_slim.Model(replace(slim.config, start=str(tmp_path)))
    torch.testing.assert_close(again.net.layers[0].weight, slim.net.layers[0].weight, atol=1e-3, rtol=1e-3)
    before = {name: t.clone() for name, t in again.net.state_dict().items()}
    with_maps_alone = replace(again.config, distances=0.0)
    settled = vgg_slim.Model(with_maps_alone)
    settled.begin(0)
    train(settled, noisy(4), 3)
    assert all(torch.equal(t, before[name]) for name, t in settled.net.state_dict().items()), "the maps follow first"
    settled.begin(vgg_slim._SETTLING)
    train(settled, noisy(4), 1)
    assert not all(torch.equal(t, before[name]) for name, t in settled.net.state_dict().items())
    with pytest.raises(UsageError, match="wider than these settings"):
        vgg_slim.Model(replace(again.config, widths=(4, 4, 4, 4, 4)))


@pytest.mark.parametrize("widths", [(4, 6, 6, 8, 7), (5, 4, 6, 4, 8, 6, 6, 6, 8, 6, 6, 7, 7)])
def test_a_wider_net_begins_as_the_narrow_one(slim, tmp_path, widths):
    slim.export(tmp_path)
    wide = seeded(lambda: vgg_slim.Model(replace(slim.config, start=str(tmp_path), widths=widths)))
    narrow = feature_nets.load(str(tmp_path), CPU)
    images = noisy(2)
    with torch.no_grad():
        found, wanted = wide.net(images, vgg_slim.TAPS), narrow(images, vgg_slim.TAPS)
    for tap in vgg_slim.TAPS:
        known = wanted[tap].shape[1]
        torch.testing.assert_close(found[tap][:, :known], wanted[tap], atol=1e-5, rtol=1e-4)
    assert found["relu4_1"][:, 6:].std() > 0, "new channels see something"


def test_a_net_that_is_its_teacher_has_the_teachers_distances(slim, teacher):
    same = feature_nets.load(str(teacher), CPU)
    images = noisy(2)
    with torch.no_grad():
        found = same(images, vgg_slim.TAPS)
    assert all(vgg_slim._follow(found[tap], found[tap]) == 0 for tap in vgg_slim.STYLE)
    twice = vgg_slim._follow(2**0.5 * found["relu3_1"], found["relu3_1"])  # products twice, their square four times
    assert twice.item() == pytest.approx(torch.tensor(4.0).log().square().item(), rel=1e-4)


def test_parts_of_a_batch_are_the_batch(slim):
    images = noisy(4)
    whole = train(slim, images, 1)[0]["vgg-slim"]
    slim = seeded(lambda: vgg_slim.Model(slim.config))
    assert train(slim, images, 1, parts=2)[0]["vgg-slim"] == pytest.approx(whole, rel=1e-5)


def test_the_teacher_is_no_part_of_the_model(slim):
    train(slim, noisy(4), 1)
    assert not [name for name in slim.state_dict() if "teacher" in name]


@pytest.mark.parametrize("widths", [(4, 4, 6, 6, 6), (5, 4, 6, 4, 8, 6, 6, 6, 8, 6, 6, 7, 7)])
def test_what_is_exported_is_found_again(slim, tmp_path, widths):
    slim = seeded(lambda: vgg_slim.Model(replace(slim.config, widths=widths)))
    slim.export(tmp_path)
    net = feature_nets.load(str(tmp_path), CPU)
    images = noisy(1)
    with torch.no_grad():
        wanted, found = (each(images, ["relu5_1"])["relu5_1"] for each in (slim.net, net))
    assert net.name == "vgg-slim"
    torch.testing.assert_close(found, wanted, atol=0.02 * wanted.abs().max().item(), rtol=0)


def test_the_default_is_small_enough_to_ship():
    numbers = sum(p.numel() for p in slim_layers(vgg_slim.Config().widths).parameters())
    assert 2 * numbers < 6e6


# --- adain ----------------------------------------------------------------------------------------------------------


def test_adapting_amplifies_no_feature_beyond_its_limit():
    own, wanted = torch.tensor([1e-3, 1.0, 5.0, 1e3]), torch.tensor([1.0, 1.0, 10.0, 1.0])
    found = adain_nets.factor(own, wanted, 2.0)
    assert found[0].item() == pytest.approx(2.0, rel=1e-4) and found[1] == 1 and found[2] < 2
    torch.testing.assert_close(adain_nets.factor(own, wanted, math.inf), wanted / own)


def test_features_get_the_moments_of_the_picture_that_they_are_a_part_of():
    whole = {tap: torch.randn(1, 5, 8, 8) for tap in adain.GIVEN}
    wanted = {tap: adain.moments(3 + 2 * torch.randn(1, 5, 6, 7)) for tap in adain.GIVEN}
    part = {tap: x[..., :4] for tap, x in whole.items()}
    own = {tap: adain.moments(x) for tap, x in whole.items()}
    found, expected = adain.adapt(part, wanted, 2.0, own), adain.adapt(whole, wanted, 2.0)
    assert all(torch.allclose(found[tap], expected[tap][..., :4], atol=1e-5) for tap in adain.GIVEN)


def test_fields_have_one_colour_and_halos_count():
    numbers = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(1))
    scene, own = fields.scene(numbers, 48)
    assert (own.sum(1) == 1).all() and (own.sum((2, 3)) > 0).sum() >= 4
    assert fields.unevenness(scene, own, 2).item() == pytest.approx(0, abs=1e-10)
    blurred = torch.nn.functional.avg_pool2d(scene, 3, 1, 1, count_include_pad=False)
    assert fields.unevenness(blurred, own, 2).item() == pytest.approx(0, abs=1e-10), "soft edges are no halos"
    ringing = scene + 0.5 * (scene - torch.nn.functional.avg_pool2d(scene, 13, 1, 6, count_include_pad=False))
    assert fields.unevenness(ringing, own, 2) > 1e-4


def test_halos_are_learned_away(painter):
    images = noisy(4)

    def teach(model):
        optimizers = model.optimizers()
        for step in range(1, 40, 2):
            model.begin(step)
            train_step(model, optimizers, step, batch(images, seed=step))

    def measure(model):
        model._step = 3
        with torch.no_grad():
            numbers = torch.rand(4, 3, 6, generator=torch.Generator().manual_seed(5))
            return model._halo(images, torch.tensor([0, 1, 0, 1]), numbers)

    only = replace(painter.config, style=0.0, halo=1e4)
    made = assert_learns(lambda: adain.Model(only), teach, measure)
    assert set(made.metrics) == {"content", "style", "halo"}


def test_another_net_can_judge(painter, tmp_path):
    other = weights_file(tmp_path / "judge.safetensors", (8, 10, 12, 14, 12))
    made = seeded(lambda: adain.Model(replace(painter.config, judge=str(other))))
    same = seeded(lambda: adain.Model(painter.config))
    images = noisy(2)
    found, own = (model.validate(batch(images)) for model in (made, same))
    assert found["identity"] == own["identity"] and found["style"] != own["style"]
    assert made._moments(torch.tensor([1]), CPU)[1]["relu4_1"][0].shape[1] == 14


def test_adapted_features_have_the_styles_moments():
    content = {tap: torch.randn(2, 5, 9, 8) for tap in adain.GIVEN}
    wanted = {tap: adain.moments(3 + 2 * torch.randn(2, 5, 6, 7)) for tap in adain.GIVEN}
    found = adain.adapt(content, wanted)
    for tap in adain.GIVEN:
        for own, other in zip(adain.moments(found[tap]), wanted[tap], strict=True):
            torch.testing.assert_close(own, other, atol=1e-3, rtol=1e-3)


def test_the_decoder_learns(painter):
    images = noisy(4)
    taught = assert_learns(
        lambda: adain.Model(painter.config),
        lambda model: train(model, images, 30),
        lambda model: model.validate(batch(images))["loss"],
    )
    assert taught.reconstruct(images).shape == images.shape
    assert not [name for name in taught.state_dict() if not name.startswith("decoder.")]


def test_inversion_learns_to_paint_pictures_from_their_own_features_alone(painter):
    images, losses = noisy(4), []

    def teach(model):
        model.begin(0)
        losses.extend(train(model, images, 30))

    made = assert_learns(
        lambda: adain.Model(replace(painter.config, inversion=60)),
        teach,
        lambda model: model.validate(batch(images))["identity"],
    )
    assert set(made.metrics) == {"identity"}
    assert losses[-1]["adain"] == pytest.approx(made.config.identity * made.metrics["identity"], rel=1e-5)
    made.begin(60)
    train(made, images, 1)
    assert set(made.metrics) == {"content", "style", "identity"}


@pytest.mark.parametrize("identity", [0.0, 100.0])
def test_the_loss_of_adain(painter, identity):
    made = seeded(lambda: adain.Model(replace(painter.config, identity=identity, crop=64)))
    images = noisy(2)
    found = made.validate(batch(images))
    with torch.no_grad():
        encode = lambda x: made._encoder(x, adain.TAPS)  # noqa: E731
        styles = made._styles[:2] / 255
        of_photos, of_styles = encode(images), encode(styles)
        last = adain.TAPS[-1]
        moments = {tap: adain.moments(features) for tap, features in of_styles.items()}
        target = adain.adapt(of_photos, moments)
        painted = encode(made.decoder(adain.adapt(of_photos, moments, made.config.gain)))
        content = (painted[last] - target[last]).square().mean()
        style = sum(
            (one - other).square().mean()
            for tap in adain.TAPS
            for one, other in zip(adain.moments(painted[tap]), adain.moments(of_styles[tap]), strict=True)
        )
        same = [(made.decoder(f) - x).square().mean() for f, x in ((of_photos, images), (of_styles, styles))]
    wanted = content + 10 * style + identity * sum(same) / 2
    torch.testing.assert_close(found["loss"], wanted, rtol=1e-4, atol=1e-5)
    assert ("identity" in found) == bool(identity)


def test_parts_of_a_batch_get_the_same_styles(painter):
    images = noisy(4)
    whole = train(painter, images, 1)[0]["adain"]
    again = seeded(lambda: adain.Model(painter.config))
    assert train(again, images, 1, parts=4)[0]["adain"] == pytest.approx(whole, rel=1e-4)


def test_the_decoder_is_exported_with_its_encoder(painter, tmp_path):
    painter.export(tmp_path)
    state = load_file(tmp_path / adain_files.FILE)
    assert {name.split(".")[0] for name in state} == {"encoder", "decoder"}
    assert sum(tensor.nbytes for tensor in state.values()) < 8e6


def test_a_decoder_goes_on_from_a_finished_one(painter, teacher, tmp_path):
    train(painter, noisy(4), 2)
    painter.export(tmp_path)
    settings = replace(painter.config, start=str(tmp_path), inversion=5)
    again = seeded(lambda: adain.Model(settings), seed=1)
    state = again.decoder.state_dict()
    assert all(torch.equal(t.half(), state[name].half()) for name, t in painter.decoder.state_dict().items())
    again.begin(0)
    train(again, noisy(4), 1)
    assert "style" in again.metrics, "what a finished decoder has learned is not learned again"
    with pytest.raises(UsageError, match=r"has other sizes than these settings ask for: .* 8x.*, not 6x"):
        adain.Model(replace(settings, widths=(12, 12, 8, 6)))
    other = weights_file(tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="was made for another net than net="):
        adain.Model(replace(settings, net=str(other)))
    alike = adain.Model(replace(settings, net=""))
    alike.export(tmp_path / "again")
    first, second = (load_file(each / adain_files.FILE) for each in (tmp_path, tmp_path / "again"))
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())


def test_files_of_before_paint_as_before_and_can_be_gone_on_from(painter, tmp_path):
    painter.export(tmp_path / "new")
    new = adain_files.load(str(tmp_path / "new"), CPU)
    assert (new.gain, new.decoder.smooth, new.decoder.taps) == (2.0, True, adain.GIVEN)
    decoder = seeded(lambda: adain_nets.Decoder((12, 12), (12, 12, 8, 8)))
    adain_files.save(tmp_path, new.encoder, decoder, 2.0)
    path = tmp_path / adain_files.FILE
    again = adain.Model(replace(painter.config, start=str(tmp_path)))
    images = noisy(2)
    with torch.no_grad():
        found = new.encoder(images, adain.GIVEN)
        known = {tap: found[tap] for tap in decoder.taps}
        torch.testing.assert_close(again.decoder(found), decoder(known), atol=0.01, rtol=0.01)  # fp16
    save_file(load_file(path), path, metadata={"adain": '{"widths": [12, 12, 8, 8]}'})
    old = adain_files.load(str(tmp_path), CPU)
    assert (old.gain, old.decoder.smooth, old.decoder.taps) == (math.inf, False, adain.GIVEN[:2])


# --- what is refused ------------------------------------------------------------------------------------------------


def test_settings_that_cannot_work(teacher, folder):
    for config, changed, words in (
        (vgg_slim.Config(), {"widths": (1, 2)}, "five blocks"),
        (vgg_slim.Config(), {"crop": 300}, "crop"),
        (adain.Config(), {"widths": (1, 2)}, "four blocks"),
        (adain.Config(), {"crop": 100}, "multiple of 8"),
        (adain.Config(), {"identity": 0.0}, "inversion=0"),
        (adain.Config(), {"net": ""}, "set net=vgg-slim"),
        (adain.Config(), {"gain": 1.0}, "gain has to be above 1"),
    ):
        with pytest.raises(UsageError, match=words):
            replace(config, **changed)
    model = seeded(lambda: adain.Model(adain.Config(size=64, crop=32, net=str(teacher))))
    with pytest.raises(UsageError, match="styles=PAINTINGS"):
        train(model, noisy(2), 1)


def test_both_are_trained_from_the_command_line(invoke, folder, teacher):
    (folder / "photos").mkdir()
    for number in range(4):
        photograph(folder / "photos" / f"{number}.png", (64 + number, 64))
    sizes = ["--set", "size=64", "--set", "crop=64", "--set", "batch=2", "--steps", 2, "-q"]
    slim = ["--set", f"teacher={teacher}", "--set", "widths=4,4,6,6,6"]
    result = invoke("train", "vgg-slim", "photos", "--out", "slim", *sizes, *slim)
    assert result.exit_code == 0, result.stderr
    decoder = ["--set", "net=slim/model", "--set", "styles=photos", "--set", "widths=6,6,4,4"]
    result = invoke("train", "adain", "photos", "--out", "fast", *sizes, *decoder)
    assert result.exit_code == 0, result.stderr
    assert (folder / "slim" / "model" / feature_nets.FILE).is_file()
    assert (folder / "fast" / "model" / adain_files.FILE).is_file()


def test_the_layers_of_a_net_in_training_can_be_tapped():
    net = FeatureNet("vgg-slim", slim_layers((2, 2, 2, 2, 2)))
    found = net(torch.rand(1, 3, 32, 32), ["conv1_1", "relu5_1"])
    assert found["relu5_1"].requires_grad and (found["conv1_1"] < 0).any()
