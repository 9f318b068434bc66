"""The terms of stylize: by hand in float64, their gradients numerically, and in tiles as in one piece."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from artcli.backends.stylize import losses, tiles
from artcli.backends.stylize.moments import Moments, mix, moments, sums
from artcli.backends.stylize.objective import Objective, Region, Weights
from artcli.backends.stylize.optimise import _Painter, stylize
from artcli.backends.stylize.schedule import Stage
from artcli.backends.stylize.settings import PRESETS
from artcli.backends.stylize.styles import Style, Styles, measure, resize
from artcli.nn.features import MEAN, POOLINGS, STD, FeatureNet, recognise, slim_layers
from artcli.pretrained import feature_nets
from tests.batches import seeded

WIDTHS = (4, 4, 6, 6, 5)


def slim(pooling="max", widths=WIDTHS):
    layers = seeded(lambda: slim_layers(widths))
    with torch.no_grad():  # PyTorch's start values lose the picture on the way down
        for layer in layers:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2.4)
    return FeatureNet("vgg-slim", layers, pooling).double().requires_grad_(False)


def squeezenet():
    import torchvision

    layers = seeded(lambda: torchvision.models.squeezenet1_1(weights=None).features)
    return FeatureNet("squeezenet1_1", layers).double().requires_grad_(False)


def picture(height, width, seed=0):
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 5, generator=rng, dtype=torch.float64)
    smooth = F.interpolate(coarse, (height, width), mode="bilinear")
    return (0.8 * smooth + 0.2 * torch.rand(1, 3, height, width, generator=rng, dtype=torch.float64)).clamp(0, 1)


def objective(net, settings, photo, style, mask=None):
    region = Region(measure(style, net, settings), mask)
    return Objective(net, settings, Weights.of(settings, net), photo, [region])


def matrix(count, seed, spread=1.0):
    drawn = torch.randn(count, 4 * count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn @ drawn.T / (4 * count) * spread


# --- the nets -------------------------------------------------------------------------------------------------------


def test_taps_are_the_layers_of_the_papers():
    net, image = slim(), picture(48, 64)
    x, by_hand = (image - net.mean) / net.std, {}
    for block, convs in enumerate((2, 2, 4, 4, 1), 1):
        x = F.max_pool2d(x, 2) if block > 1 else x
        for place in range(1, convs + 1):
            conv = net.layers[net.taps[f"conv{block}_{place}"]]
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)
            by_hand[f"conv{block}_{place}"] = x
            x = x.clamp_min(0)
            by_hand[f"relu{block}_{place}"] = x
    found = net(image, by_hand)
    assert all(torch.allclose(found[tap], by_hand[tap], atol=1e-12) for tap in by_hand)
    assert [net.stride(f"relu{block}_1") for block in range(1, 6)] == [1, 2, 4, 8, 16]


def test_the_published_nets_and_slim_ones_are_recognised_by_their_tensors():
    import torchvision

    for name in ("squeezenet1_1", "vgg19", "mobilenet_v2"):
        with torch.device("meta"):
            state = getattr(torchvision.models, name)(weights=None).state_dict()
        state = {key: torch.zeros(()).expand(t.shape) for key, t in state.items()}
        assert recognise(state)[0] == name
    slim_state = {f"features.{key}": t.half() for key, t in slim_layers(WIDTHS).state_dict().items()}
    name, layers = recognise(slim_state)
    assert name == "vgg-slim" and layers[0].weight.dtype == torch.float32
    assert recognise({"features.0.weight": torch.zeros(4, 3, 3, 3)}) is None


@pytest.mark.parametrize("kind", ["squeezenet1_1", "mobilenet_v2"])
def test_features_of_classifiers_are_those_of_torchvision(kind):
    import torchvision

    whole = seeded(lambda: getattr(torchvision.models, kind)(weights=None)).eval()
    name, layers = recognise(
        {key: t.half() if t.is_floating_point() else t for key, t in whole.half().state_dict().items()}
    )
    net, image = FeatureNet(name, layers).eval(), picture(64, 96).float()
    tap = f"layer{len(layers) - 1}"
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    with torch.no_grad():
        found, wanted = net(image, [tap])[tap], whole.float().features((image - mean) / std)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
        for number in range(len(layers)):  # pooling rounds up: a stride is how many times the places become fewer
            places = net(picture(256, 256).float(), [f"layer{number}"])[f"layer{number}"].shape[-1]
            assert round(256 / places) == pytest.approx(net.stride(f"layer{number}"), rel=0.1)


def test_weights_of_another_format_compute_what_autocast_does():
    images = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    found = []
    for net in (slim().float(), slim().float()):
        if found:
            net.compute_in(torch.bfloat16)
        seen = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=not found):
            features = net(seen, ["relu1_1", "relu4_1"])
        (slope,) = torch.autograd.grad(sum(each.square().sum() for each in features.values()), seen)
        found.append((*features.values(), slope))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype == torch.float32 and torch.equal(one, other)


def test_the_normalised_vgg_is_recognised_and_computed_as_it_was_published():
    """A layer for colours, then convolutions with mirrored edges."""
    rng, widths = torch.Generator().manual_seed(0), (4, 4, 5, 5, *[6] * 4, *[7] * 4, 8)
    places = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42)
    state = {"0.weight": 255 * torch.eye(3).flip(0)[..., None, None], "0.bias": torch.tensor([-104.0, -117.0, -124.0])}
    before = 3
    for place, width in zip(places, widths, strict=True):
        state[f"{place}.weight"] = torch.randn(width, before, 3, 3, generator=rng) / (9 * before) ** 0.5
        state[f"{place}.bias"], before = torch.randn(width, generator=rng), width
    name, layers = recognise(state | {"45.weight": torch.zeros(8, 8, 3, 3)})
    assert name == "vgg19-normalised"
    net, image = FeatureNet(name, layers).requires_grad_(False), picture(39, 50).float()  # pooled to 20x25, 10x13 ...
    x = F.conv2d(image, state["0.weight"], state["0.bias"])
    by_hand = {}
    for number, (place, tap) in enumerate(zip(places, [t for t in net.taps if t.startswith("relu")], strict=True)):
        x = F.max_pool2d(x, 2, ceil_mode=True) if number in (2, 4, 8, 12) else x
        x = F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), state[f"{place}.weight"], state[f"{place}.bias"]).relu()
        by_hand[tap] = x
    found = net(image, by_hand)
    for tap, wanted in by_hand.items():
        torch.testing.assert_close(found[tap], wanted, atol=1e-3 * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(pooling):
    net, x = slim(pooling), picture(4, 4)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    by_hand = {
        "max": windows.amax(4), "average": 2 * windows.mean(4), "l2": 0.78 * windows.square().sum(4).sqrt()
    }  # fmt: skip
    assert torch.allclose(net.layers[4](x), by_hand[pooling], atol=1e-6)


def test_pooling_has_a_gradient_where_everything_is_zero():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    slim("l2").layers[4](x).sum().backward()
    assert x.grad.isfinite().all()


# --- the terms ------------------------------------------------------------------------------------------------------


def test_moments_add_up_and_mix():
    image, net = picture(64, 64), slim()
    features = net(image, ["relu2_1"])["relu2_1"]
    flat = features[0].flatten(1)
    found = moments(sums(features))
    assert torch.allclose(found.mean, flat.mean(1)) and torch.allclose(found.second, flat @ flat.T / flat.shape[1])
    half = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    half[..., :16] = 1
    left, right = moments(sums(features, half)), moments(sums(features, 1 - half))
    assert torch.allclose(left.mean, features[0, :, :, :16].mean((1, 2)))
    together = mix([left, right], [2, 2])
    assert torch.allclose(together.mean, found.mean) and torch.allclose(together.second, found.second)


def test_the_gradient_of_moments_in_another_format():
    """It is rounded to that format, and nothing else changes: not the sums, not what is computed in float64."""
    rng = torch.Generator().manual_seed(0)
    features, weight = torch.randn(1, 8, 5, 7, generator=rng), torch.randn(8, 8, generator=rng)

    def found(dtype, features):
        seen = features.clone().requires_grad_()
        products = sums(seen, slopes_in=dtype).products
        return products.detach(), torch.autograd.grad((products * weight).sum(), seen)[0]

    exact, rough = (found(dtype, features) for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(exact[0], rough[0]) and not torch.equal(exact[1], rough[1])
    assert rough[1].dtype == torch.float32
    torch.testing.assert_close(rough[1], exact[1], rtol=0, atol=0.02 * exact[1].abs().max().item())
    fine, same = (found(dtype, features.double())[1] for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(fine, same) and fine.dtype == torch.float64


def test_wasserstein_of_diagonal_covariances_is_that_of_single_numbers():
    s, t = torch.tensor([4.0, 1.0, 0.25]).double(), torch.tensor([1.0, 9.0, 0.25]).double()
    a, b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([1.0, 0.0, 3.5]).double()
    found, wanted = (Moments(m, torch.diag(v - 1e-4) + torch.outer(m, m)) for m, v in ((a, s), (b, t)))
    by_hand = (a - b).square().mean() + (s.sqrt() - t.sqrt()).square().mean()
    assert losses.Gaussian(wanted).distance(found).item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_wasserstein_by_eigenvalues_and_its_gradient():
    mean, other = torch.arange(5).double() / 5, torch.ones(5).double()
    covariance, target = matrix(5, 1), matrix(5, 2, 2.0)
    gaussian = losses.Gaussian(Moments(other, target + torch.outer(other, other)))

    def distance(mean, covariance):
        return gaussian.distance(Moments(mean, covariance + torch.outer(mean, mean)))

    eps = 1e-4 * torch.eye(5).double()
    values, vectors = torch.linalg.eigh(target + eps)
    half = vectors @ torch.diag(values.sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(half @ (covariance + eps) @ half).sqrt().sum()
    by_hand = (mean - other).square().mean() + (torch.trace(covariance + target + 2 * eps) - 2 * inner) / 5
    assert distance(mean, covariance).item() == pytest.approx(by_hand.item(), rel=1e-5)
    mean, covariance = mean.requires_grad_(), covariance.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, c: distance(m, (c + c.T) / 2), (mean, covariance), atol=1e-5, rtol=1e-3)


def test_a_histogram_that_fits_costs_nothing_and_has_the_right_gradient():
    features = picture(8, 8)
    assert losses.histogram(features, losses.levels(features)).item() < 1e-12
    wanted = losses.levels(picture(9, 7, seed=1))
    features = features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: losses.histogram(f, wanted), (features,))


def test_smoothness_by_hand():
    """Of every pixel from its right and lower neighbour, and along both diagonals of every square that there is, the
    picture's edges repeated once all around it."""
    image = picture(5, 6)
    x = F.pad(image, (1, 1, 1, 1), mode="replicate")[0]  # (3, 7, 8)
    straight = [
        (x[:, i, j] - x[:, i + di, j + dj]) for i in range(1, 6) for j in range(1, 7) for di, dj in ((0, 1), (1, 0))
    ]
    slanted = [x[:, i, j] - x[:, i + 1, j + 1] for i in range(6) for j in range(7)]
    slanted += [x[:, i + 1, j] - x[:, i, j + 1] for i in range(6) for j in range(7)]
    mean = [torch.stack(each).square().sum() / count for each, count in ((straight, 3 * 30), (slanted, 3 * 42))]
    by_hand = 2 * (mean[0] / 3 + mean[1] / 12)
    window = F.pad(image, (0, 1, 0, 1), mode="replicate")
    assert losses.smoothness(window, 5, 6, diagonals=True).item() == pytest.approx(by_hand.item())


# --- presets --------------------------------------------------------------------------------------------------------


def style_of(preset, net, image, style):
    """The presets' style terms straight from their formulas."""
    found, wanted = (net(x, preset.style_layers) for x in (image, style))
    terms = []
    for tap in preset.style_layers:
        a, b = (each[tap][0].flatten(1) for each in (found, wanted))
        if preset.measure == "gram":
            terms.append((a @ a.T / a.numel() - b @ b.T / b.numel()).square().mean())
            continue
        means = (a.mean(1) - b.mean(1)).square().mean()
        eps = 1e-4 * torch.eye(len(a), dtype=a.dtype)
        s, t = (x @ x.T / x.shape[1] - torch.outer(x.mean(1), x.mean(1)) + eps for x in (a, b))
        root = losses.root(t)[0]
        inner = losses.root(root @ s @ root)[0]
        terms.append(means + torch.diagonal(s + t - 2 * inner).mean())
    return terms


@pytest.mark.parametrize("name", ["slim", "modern", "vgg19"])
def test_a_preset_by_hand(name):
    preset, net = PRESETS[name], slim()
    photo, style, image = picture(64, 80, 1), picture(48, 64, 2), picture(64, 80, 3)
    terms, _ = objective(net, preset, photo, style).gradient(image)
    weights = {"vgg19": [1e6] * 5}.get(name, [w / 341 for w in (256, 64, 16, 4, 1)])
    by_hand = sum(w * term for w, term in zip(weights, style_of(preset, net, image, style), strict=True))
    assert terms["style"].item() == pytest.approx(by_hand.item(), rel=1e-9)
    (tap,) = preset.content_layers
    content = (net(image, [tap])[tap] - net(photo, [tap])[tap]).square().mean()
    assert tap == {"vgg19": "conv2_2"}.get(name, "relu4_2")
    assert terms["content"].item() == pytest.approx(
        {"vgg19": 1.0, "modern": 0.015, "slim": 0.01}[name] * content.item(), rel=1e-9
    )
    assert (terms["tv"] == 0) == (name == "vgg19")


def test_squeezenet_in_means_is_the_sums_of_the_course_at_192_pixels():
    preset, net = PRESETS["squeezenet"], squeezenet()
    photo, style, image = picture(192, 192, 1), picture(192, 160, 2), picture(192, 192, 3).requires_grad_()
    found, kept = (net(x, ["layer3"])["layer3"] for x in (image, photo))
    loss = 0.03 * (found - kept).square().sum()
    seen, wanted = (net(x, preset.style_layers) for x in (image, style))
    for tap, weight in zip(preset.style_layers, (200_000, 800, 12, 1), strict=True):
        a, b = (each[tap][0].flatten(1) for each in (seen, wanted))
        loss = loss + weight * (a @ a.T / a.numel() - b @ b.T / b.numel()).square().sum()
    z = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    down, across = (z[..., 1:, :] - z[..., :-1, :]), (z[..., 1:] - z[..., :-1])
    loss = loss + 2 * (down.square().sum() + across.square().sum())
    (slope,) = torch.autograd.grad(loss, image)
    terms, gradient = objective(net, preset, photo, style).gradient(image.detach())
    assert sum(terms.values()).item() == pytest.approx(loss.item(), rel=1e-6)
    assert (gradient - slope).norm() < 1e-6 * slope.norm()


@pytest.mark.parametrize("name", ["slim", "vgg19"])
def test_the_gradient_to_the_picture_numerically(name):
    net, photo, style = slim("average"), picture(32, 32, 1), picture(32, 32, 2)
    made = objective(net, replace(PRESETS[name], histogram=0.1), photo, style)
    image, way = picture(32, 32, 3), picture(32, 32, 4) - 0.5
    _, gradient = made.gradient(image)
    h = 1e-7
    up, down = (sum(made.gradient(image + side * h * way)[0].values()) for side in (1, -1))
    # the inverse root of a covariance that is nearly flat is only nearly there after twelve rounds
    tolerance = 1e-2 if name == "slim" else 1e-4
    assert ((up - down) / (2 * h)).item() == pytest.approx((gradient * way).sum().item(), rel=tolerance)


def test_weights_mean_the_same_at_every_size():
    """A picture repeated has the same statistics, so but for its edges the same loss."""
    net, photo, style = slim(), picture(64, 64, 1), picture(64, 64, 2)
    image = picture(64, 64, 3)
    for name in ("slim", "vgg19"):
        small, _ = objective(net, PRESETS[name], photo, style).gradient(image)
        large, _ = objective(net, PRESETS[name], photo.tile(1, 1, 3, 3), style).gradient(image.tile(1, 1, 3, 3))
        assert all(large[k].item() == pytest.approx(small[k].item(), rel=0.25) for k in ("content", "style"))


# --- tiles ----------------------------------------------------------------------------------------------------------


def test_tiles_cover_every_pixel_once():
    for height, width, side in ((100, 70, 32), (256, 300, 128), (64, 64, 64), (33, 500, 48)):
        count = torch.zeros(1, 1, height, width)
        for tile in tiles.cover(height, width, side):
            count[..., tile.rows.start : tile.rows.end, tile.columns.start : tile.columns.end] += 1
            assert tile.own(tile.cut(count)).shape[-2:] == (
                tile.rows.end - tile.rows.start, tile.columns.end - tile.columns.start
            )  # fmt: skip
        assert (count == 1).all()


@pytest.mark.parametrize("name", ["slim", "vgg19", "squeezenet"])
def test_a_picture_in_two_by_two_tiles_is_the_picture_in_one_piece(name):
    net = squeezenet() if name == "squeezenet" else slim()
    photo, style, image = picture(200, 230, 1), picture(96, 96, 2), picture(200, 230, 3)
    mask = torch.zeros(1, 1, 200, 230).double()
    mask[..., 40:, 60:] = 1
    for region in (None, mask):
        made = [
            objective(net, replace(PRESETS[name], tile=tile), photo, style, region).gradient(image)
            for tile in (1000, 128)
        ]
        (whole, gradient), (parts, slopes) = made
        for term in whole:
            assert parts[term].item() == pytest.approx(whole[term].item(), rel=1e-6 if region is None else 0.1)
        if region is None:
            assert (slopes - gradient).norm() < 1e-6 * gradient.norm()


def test_the_statistics_of_a_style_are_computed_once():
    net, seen = slim().float(), []
    net.register_forward_hook(lambda *args: seen.append(1))
    styles = Styles([Style(picture(40, 50)[0].float()), Style(picture(50, 40)[0].float(), 2.0)], net, PRESETS["slim"])
    first = styles.at(64)
    assert styles.at(64) is first and len(seen) == 2


def test_modern_repeats_the_edge_before_the_first_convolution_only(tmp_path):
    """As style-transfer-pytorch does; a net that was trained with other edges keeps them."""
    import torchvision

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in torchvision.models.vgg16(weights=None).state_dict().items()}
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}  # hardly any bytes in a file
    rng = torch.Generator().manual_seed(0)
    for name in ("features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"):
        state[name] = torch.randn(shapes[name], generator=rng) / 10
    torch.save(state, tmp_path / "plain.pth")
    torch.save({f"features.{n}": t for n, t in slim_layers(WIDTHS).state_dict().items()}, tmp_path / "slim.pth")
    image, cpu = picture(32, 40).float(), torch.device("cpu")
    assert PRESETS["modern"].padding == "replicate" and PRESETS["slim"].padding is PRESETS["vgg19"].padding is None
    net = feature_nets.load(str(tmp_path / "plain.pth"), cpu, padding=PRESETS["modern"].padding)
    first, second = net.layers[0], net.layers[2]
    x = F.pad((image - net.mean) / net.std, (1,) * 4, mode="replicate")
    x = F.conv2d(x, first.weight, first.bias).relu()
    x = F.conv2d(x, second.weight, second.bias, padding=1).relu()
    torch.testing.assert_close(net(image, ["relu1_2"])["relu1_2"], x, atol=1e-5, rtol=1e-4)
    kept = feature_nets.load(str(tmp_path / "slim.pth"), cpu, padding="replicate")
    assert kept.layers[0].padding_mode == "reflect"


# --- from step to step ----------------------------------------------------------------------------------------------


def frames(photo, settings, stages):
    net = slim().float()
    return list(stylize(photo, Styles([Style(picture(40, 50, 2)[0].float())], net, settings), settings, stages))


def test_however_the_photo_lies_in_memory():
    """Fused steps of a parameter that is not in one piece would go to other pixels."""
    photo, plan = picture(48, 56)[0].float(), [Stage(56, 3)]
    settings = replace(PRESETS["slim"], smallest=0)
    lying = photo.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert not lying.is_contiguous()
    for one, other in zip(frames(photo, settings, plan), frames(lying, settings, plan), strict=True):
        assert one.metrics["loss"] == pytest.approx(other.metrics["loss"], rel=1e-6)
        torch.testing.assert_close(one.image(), other.image(), atol=1e-5, rtol=0)


def test_a_scale_begins_with_the_running_mean_of_the_one_before():
    settings = replace(PRESETS["slim"], ema=0.9, lr=0.2)
    styles = Styles([Style(picture(40, 50, 2)[0].float())], slim().float(), settings)
    painter = _Painter(picture(32, 48)[0].float(), styles, settings, [Stage(48, 6), Stage(64, 1)], (), 0)
    painter.start()
    for _ in range(6):
        painter.advance()
    mean, last = painter.picture(), painter.image.detach()[0].clone()
    painter._grow()
    wanted, other = (resize(each[None], (43, 64)) for each in (mean, last))
    assert torch.equal(painter.image, wanted) and (wanted - other).abs().max() > 0.01
